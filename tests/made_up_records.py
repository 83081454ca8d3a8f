"""Records of a made-up method."""

from typing import Any

from dxbench.api import Estimate, Provenance, ResultRecord
from dxbench.records.files import config_id_of

PROVENANCE = Provenance(
    dxbench_version="0",
    git_sha=None,
    git_dirty=False,
    command="dxbench run",
    created="2026-01-01T00:00:00+00:00",
    python="3.11",
    packages={},
    platform="Linux",
    processor="none",
    cores=1,
    accelerator=None,
    resumed=0,
)


def record(seed: int, value: float | None, **changes: Any) -> ResultRecord:
    """One run of a made-up method; without a value, a failed one."""
    estimate = None if value is None else Estimate(value=value, better="lower", fingerprint="f" * 16)
    fields: dict[str, Any] = {
        "run_id": "",
        "task": "gaussians8",
        "task_version": 1,
        "method": "made-up",
        "method_version": 1,
        "preset": "default",
        "config": {"a": 1},
        "seed": seed,
        "status": "failed" if estimate is None else "ok",
        "headline": ["sw2"],
        "nfe": 5.0,
        "scores": {} if estimate is None else {"sw2": estimate},
        "provenance": PROVENANCE,
    }
    made = ResultRecord.model_validate(fields | changes)
    return made.model_copy(update={"run_id": f"{config_id_of(made)}-s{seed}"})
