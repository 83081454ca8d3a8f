"""A task like gaussians8 in small, and runs on it without training, for tests of bundles."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dxbench.api import (
    Cost,
    Evaluation,
    EvaluationInputs,
    MethodCard,
    Model,
    Problem,
    Provenance,
    ResultRecord,
    Task,
)
from dxbench.drawing.draw import draw_samples
from dxbench.files.arrays import array_sha256, save_arrays
from dxbench.metrics.energy import EnergyRank
from dxbench.metrics.points.modes import ModeShare, OutlierShare
from dxbench.metrics.points.sliced import ExactSlicedWasserstein
from dxbench.metrics.scoring import score
from dxbench.plugins.registry import Plugin
from dxbench.records.files import config_id, work_folder, write_record
from dxbench.records.sketches import sketch
from dxbench.tasks.gaussians8 import MixtureStream, Reference, mixture_oracle

Array = NDArray[np.float64]

NUM_SAMPLES = 5000
ENTRY = EntryPoint(name="tiny", value="tiny_task:Tiny", group="dxbench.tasks")
PLUGIN = Plugin(kind="tasks", name="tiny", entry=ENTRY)


class Tiny(Task):
    """Eight Gaussians, few samples."""

    name = "tiny"
    version = 1
    headline = ("sw2_exact", "outlier_share")
    num_samples = NUM_SAMPLES
    metrics: Sequence[Any] = (
        ExactSlicedWasserstein(num_angles=12, num_samples=NUM_SAMPLES, reference="tiny@1"),
        ModeShare(extreme="min", num_samples=NUM_SAMPLES, reference="tiny@1"),
        OutlierShare(num_samples=NUM_SAMPLES, reference="tiny@1"),
        EnergyRank(num_draws=500, reference="tiny@1"),
    )

    def __init__(self) -> None:
        self.reference = Reference()

    def problem(self, *, oracle: bool) -> Problem:
        return Problem(task=self.name, event_shape=(2,), data=MixtureStream(), data_std=2.0)

    def evaluate(self, model: Model, *, seed: int, device: str, progress: Callable[[str], None]) -> Evaluation:
        samples, nfe = draw_samples(
            model, NUM_SAMPLES, event_shape=(2,), first_seed=seed, batch_size=1000, progress=progress
        )
        return replace(self.evaluate_samples(samples, progress=progress), nfe=nfe)

    def evaluate_samples(self, samples: Array, *, progress: Callable[[str], None]) -> Evaluation:
        scores, notes, protocols = score(self.metrics, self.inputs_of(samples), progress=progress)
        kept = {"samples": samples.astype(np.float32)}
        return Evaluation(scores=scores, notes=notes, protocols=protocols, arrays=kept)

    def pictures(self, arrays: Mapping[str, Array]) -> list[Any]:
        return []

    def inputs_of(self, samples: Array) -> EvaluationInputs:
        return EvaluationInputs(
            samples=samples.astype(np.float64), energy=None, temperature=None, nfe=None, reference=self.reference
        )

    def evidence_of_run(self, samples: Array) -> EvaluationInputs:
        """Of a run, whose energy is the true one."""
        energy = mixture_oracle(self.reference.mixture).energy
        return replace(
            self.inputs_of(samples), energy=lambda x: energy(torch.from_numpy(x)).numpy(), temperature=1.0, nfe=4.0
        )


def draw(seed: int, *, std: float = 1.0) -> Array:
    """[5000, 2] draws of the truth, or of the truth made wider."""
    samples = Reference().mixture.sample(NUM_SAMPLES, np.random.default_rng(seed))
    return (std * samples).astype(np.float32)


def measured(seed: int, samples: Array, **changes: Any) -> ResultRecord:
    """The record that a run with these samples would have."""
    task = Tiny()
    scores, notes, protocols = score(task.metrics, task.evidence_of_run(samples), progress=lambda text: None)
    config = changes.pop("config", {"num_steps": 4, "lr": 0.001})
    identity = config_id("tiny", 1, "sound", 1, config)
    fields: dict[str, Any] = {
        "run_id": f"{identity}-s{seed}",
        "task": "tiny",
        "task_version": 1,
        "method": "sound",
        "method_version": 1,
        "card": MethodCard(family="diffusion", summary="A sound method."),
        "preset": "default",
        "config": config,
        "seed": seed,
        "status": "ok",
        "nfe": 4.0,
        "samples_sha256": array_sha256(samples),
        "samples_sketch": sketch(samples),
        "headline": list(task.headline),
        "scores": scores,
        "notes": notes,
        "protocols": protocols,
        "cost": COST,
        "provenance": PROVENANCE,
    }
    return ResultRecord(**fields | changes)


def keep(record: ResultRecord, samples: Array, home: Path) -> None:
    """As the engine leaves a run: a record, and arrays beside it."""
    write_record(home / "results", record)
    folder = work_folder(home, task=record.task, method=record.method, run_id=record.run_id)
    save_arrays(folder / "arrays.npz", {"samples": samples})


COST = Cost(
    train_seconds=1.0,
    eval_seconds=1.0,
    steps=10,
    peak_memory_bytes=1,
    parameters=50,
    sampling_flops=400,
    device="cpu",
    threads=1,
)
PROVENANCE = Provenance(
    dxbench_version="0.1.0",
    git_sha="0" * 40,
    git_dirty=False,
    command="dxbench run",
    created="2026-11-22T12:00:00+00:00",
    python="3.11",
    packages={},
    platform="Linux",
    processor="any",
    cores=2,
    accelerator=None,
    resumed=0,
)
