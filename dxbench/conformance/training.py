"""Training: finite, repeatable, resumable, and of no effect outside itself."""

import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from dxbench.conformance.subject import Broken, NotChecked, Subject
from dxbench.engine.checkpoint import NonFiniteState, load_checkpoint, save_checkpoint
from dxbench.engine.parts import trained_model
from dxbench.engine.process import global_generator_state, restore_global_generators


def check_training(subject: Subject) -> None:
    training, _ = subject.fresh()
    total = training.total_steps
    if not isinstance(total, int) or total < 0:
        raise Broken(f"total_steps is {total!r}, wanted a whole number")
    for step, scalars in enumerate(subject.advance(training, subject.steps_of(training)), 1):
        for name, value in scalars.items():
            if not math.isfinite(value):
                raise Broken(f"{name} is {value} at step {step}")


def check_repeatable(subject: Subject) -> None:
    first, again = subject.trained, subject.train()
    if first.scalars != again.scalars:
        step = next(i for i, (a, b) in enumerate(zip(first.scalars, again.scalars, strict=True), 1) if a != b)
        raise Broken(f"two trainings of one seed differ in their scalars at step {step}")
    outcome = subject.probe(first.model)
    if not subject.equal(outcome, subject.probe(again.model)):
        raise Broken("two trainings of one seed logged the same but ended in different models")
    if not first.scalars:
        return
    other = subject.train("b")
    if other.scalars == first.scalars and subject.equal(outcome, subject.probe(other.model)):
        raise Broken("another seed trained to the same bits")


def check_global_rng(subject: Subject) -> None:
    outcomes = []
    for global_scope in ("one", "two"):
        subject.seed_globals(global_scope)
        seeded = global_generator_state()
        training, _ = subject.fresh()
        scalars = subject.advance(training, subject.steps_of(training))
        outcomes.append((scalars, subject.probe(trained_model(training))))
        moved = differing_generators(seeded, global_generator_state())
        if moved:
            raise Broken(f"training or sampling drew from the global generator of {' and '.join(moved)}")
    (a, probe_a), (b, probe_b) = outcomes
    if a != b or not subject.equal(probe_a, probe_b):
        raise Broken("the outcome depends on the seeds of the global generators")


def differing_generators(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    """Names of the generators whose states differ.

    Not Python's own, from which run-time type checkers draw; that a method depends on it shows in the outcome.
    """
    return [name for name in ("torch", "numpy") if not _same(a[name], b[name])]


def _same(a: Any, b: Any) -> bool:
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def _tensors(value: Any, path: str = "state") -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(value, torch.Tensor):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _tensors(item, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _tensors(item, f"{path}.{i}")


def check_state(subject: Subject) -> None:
    trained = subject.train()
    with tempfile.TemporaryDirectory() as folder:
        try:
            save_checkpoint(Path(folder) / "state", {"training": trained.training.state_dict()}, run_id="conformance")
        except NonFiniteState as error:
            raise Broken(f"{error} is not finite") from None
        except TypeError as error:
            raise Broken(str(error)) from None
    before = {name: tensor.clone() for name, tensor in _tensors(trained.training.state_dict())}
    subject.probe(trained.model)
    for name, tensor in _tensors(trained.training.state_dict()):
        if not torch.equal(tensor, before[name]):
            raise Broken(f"sampling changed {name}")


def check_resume(subject: Subject) -> None:
    whole = subject.trained
    half = len(whole.scalars) // 2
    subject.seed_globals()
    first, rng = subject.fresh()
    head = subject.advance(first, half)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint"
        saved = {"training": first.state_dict(), "rng": rng.state_dict(), "global_rng": global_generator_state()}
        save_checkpoint(path, saved, run_id="conformance")
        state = load_checkpoint(path, run_id="conformance")
    second, new_rng = subject.fresh()
    second.load_state_dict(state["training"])
    new_rng.load_state_dict(state["rng"])
    restore_global_generators(state["global_rng"])
    tail = subject.advance(second, len(whole.scalars) - half)
    if subject.compute.device == "cpu" and head + tail != whole.scalars:
        step = next(i for i, (a, b) in enumerate(zip(head + tail, whole.scalars, strict=True), 1) if a != b)
        raise Broken(f"resumed after step {half}, the scalars differ from step {step} on")
    if not subject.equal(subject.probe(trained_model(second)), subject.probe(whole.model)):
        raise Broken(f"resumed after step {half}, it ends in another model")
    if not whole.scalars:
        raise NotChecked("trains nothing")
