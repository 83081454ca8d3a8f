"""100,000 records: loading them cold and from the index, one table, and the whole site."""

import json
from pathlib import Path

TASKS, METHODS, CONFIGS, SEEDS = 20, 20, 50, 5
METRICS = ("sw2", "sw2_exact", "energy_auc", "energy_kl", "mode_share_min", "outlier_share")


def write_records(folder: Path, template: dict[str, object], count: int) -> None:
    """`count` records, TASKS x METHODS x CONFIGS x SEEDS of them at most, made from one that was measured."""
    from dxbench.records import config_id

    written = 0
    for task in range(TASKS):
        for method in range(METHODS):
            place = folder / f"task{task}" / f"method{method}"
            place.mkdir(parents=True)
            for config in range(CONFIGS):
                fields = {"task": f"task{task}", "method": f"method{method}", "config": {"width": config}}
                run = config_id(fields["task"], 1, fields["method"], 1, fields["config"])
                for seed in range(SEEDS):
                    if written == count:
                        return
                    record = (
                        template | fields | {"run_id": f"{run}-s{seed}", "seed": seed, "overrides": {"width": config}}
                    )
                    scores = json.loads(json.dumps(template["scores"]))
                    for name in scores:
                        scores[name]["value"] += 0.01 * method + 0.001 * config + 1e-4 * seed
                    record |= {"scores": scores, "preset": "default"}
                    (place / f"{run}-s{seed}.json").write_text(json.dumps(record, indent=1))
                    written += 1
