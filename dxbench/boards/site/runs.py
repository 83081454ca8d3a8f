"""The page of a run. There is one per record, so that it is kept small and made quickly."""

import shlex

from dxbench.api import ResultRecord, TrainingCost
from dxbench.boards.aggregate import located
from dxbench.boards.render.cells import quantity
from dxbench.boards.site.names import config_anchor, method_page, task_page
from dxbench.boards.site.plots import line
from dxbench.boards.site.rendering import render
from dxbench.plugins.configure import DEFAULT_PRESET, assignments
from dxbench.records.files import config_id_of, precision_of


def repeat_command(record: ResultRecord) -> str:
    """What to type to run a record's cell again; of samples from outside, to score them again."""
    if record.external is not None:
        return record.provenance.command
    parts = ["dxbench", "run", "--task", record.task, "--method", record.method, "--seed", str(record.seed)]
    if record.preset != DEFAULT_PRESET:
        parts += ["--preset", record.preset]
    for text in assignments(record.overrides):
        parts += ["--set", text]
    if record.cost is not None:
        parts += ["--device", record.cost.device.partition(":")[0]]
    if precision_of(record) != "32":
        parts += ["--precision", precision_of(record)]
    return shlex.join(parts)


def run_text(record: ResultRecord, pictures: list[dict[str, str]], *, origin: str) -> str:
    """The page of a run.

    Args:
        pictures: title, caption and file of each, beside the page.
        origin: as `Entry.origin`.
    """
    return render(
        "run",
        depth=3,
        record=record,
        title=located(f"{record.method} on {record.task}, seed {record.seed}", origin),
        task_page=task_page(record.task),
        method_page=method_page(record.method),
        config_anchor=config_anchor(record.task, config_id_of(record), origin=origin),
        command=repeat_command(record),
        config=assignments(record.config),
        lines=[drawn for name, curve in record.curves.items() if (drawn := line(name, curve)) is not None],
        cost=_cost(record),
        pictures=pictures,
    )


def _counted(cost: TrainingCost | None) -> str:
    return "" if cost is None else f"{quantity(cost.flops)} FLOP, {quantity(cost.passes)} passes, {cost.seconds:.1f} s"


def _cost(record: ResultRecord) -> dict[str, str]:
    cost = record.cost
    if cost is None:
        return {}
    facts = {
        "training": f"{cost.train_seconds:.1f} s on {record.provenance.processor}, {cost.steps} steps",
        "counted training": _counted(cost.train),
        "parts found trained": _counted(cost.stored) if cost.stored and cost.stored.flops else "",
        "evaluation": f"{cost.eval_seconds:.1f} s",
        "peak memory": f"{quantity(cost.peak_memory_bytes)}B",
        "parameters": quantity(cost.parameters),
        "FLOP per sample": quantity(cost.sampling_flops),
        "device": f"{cost.device}, {cost.threads} threads",
    }
    return {name: text for name, text in facts.items() if text}
