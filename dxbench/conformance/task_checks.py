"""Checks of a task."""

import inspect
import io
from collections.abc import Callable

import numpy as np
import torch

from dxbench.api import (
    DescribedMetric,
    Estimate,
    Evaluation,
    EvaluationInputs,
    LabelledData,
    NoData,
    NotApplicable,
    Problem,
    canonical_json,
)
from dxbench.conformance.hidden import require_hidden
from dxbench.conformance.subject import Broken, NotChecked
from dxbench.conformance.task_subject import REFUSALS, SEED, TaskSubject, parts_of, refused, small_batches
from dxbench.conformance.training import differing_generators
from dxbench.engine.process import global_generator_state
from dxbench.files.code import told

FAMILIES = ("plane", "small_images", "images", "vectors", "patches", "boltzmann")
CLOSE = 1e-6
"""Relative difference that sums in another order make."""


def check_identity(subject: TaskSubject) -> str | None:
    kind = subject.kind
    if not isinstance(kind.name, str) or not kind.name.isidentifier():
        raise Broken(f"name is {kind.name!r}, wanted letters, digits and underscores")
    if not isinstance(kind.version, int) or kind.version < 1:
        raise Broken(f"version is {kind.version!r}, wanted a whole number from 1")
    if not kind.__doc__ or not inspect.getdoc(kind):
        raise Broken("the class has no docstring; its first line is shown by `dxbench list tasks`")
    if isinstance(kind.headline, str) or not kind.headline:
        raise Broken(f"headline is {kind.headline!r}, wanted the names of one metric at least, as a tuple")
    lacking = [name for name in kind.headline if name not in {metric.name for metric in subject.task.metrics}]
    if lacking:
        raise Broken(f"headline names {', '.join(lacking)}, which `metrics` does not have")
    if kind.family.partition("/")[0] not in FAMILIES:
        return f"family is {kind.family!r}, so that methods have no presets but for any data; {', '.join(FAMILIES)}"
    return None


def check_metrics(subject: TaskSubject) -> None:
    metrics = subject.task.metrics
    names = [metric.name for metric in metrics]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise Broken(f"two metrics are called {', '.join(twice)}")
    nothing = EvaluationInputs(samples=None, energy=None, temperature=None, nfe=None, reference=None)
    for metric in metrics:
        if not metric.name or not metric.title:
            raise Broken(f"metric {metric.name!r} has the title {metric.title!r}")
        if isinstance(metric, DescribedMetric) and None not in (metric.card.low, metric.card.high):
            assert metric.card.low is not None
            assert metric.card.high is not None
            if metric.card.low >= metric.card.high:
                raise Broken(f"{metric.name} says that it lies in {metric.card.range}")
        try:
            metric.measure(nothing)
        except NotApplicable:
            continue
        except Exception as error:
            raise Broken(f"{metric.name} with nothing to measure: {told(error)}") from None
        raise Broken(f"{metric.name} has a number for a model with neither samples nor an energy")


def check_protocols(subject: TaskSubject) -> None:
    first = {metric.name: metric.protocol for metric in subject.task.metrics}
    other = {metric.name: metric.protocol for metric in subject.kind().metrics}
    for name, protocol in first.items():
        if name not in other or other[name].fingerprint != protocol.fingerprint:
            raise Broken(f"{name} has another protocol in a second object of the task")
        if " at 0x" in canonical_json(protocol.fields):
            raise Broken(f"the protocol of {name} holds an object's address, another in each process")


def check_data(subject: TaskSubject) -> None:
    for problem in subject.problems:
        if isinstance(problem.data, NoData):
            _require_energy(problem)
            continue
        batch = problem.data.batch(256, rng=np.random.default_rng(SEED))
        if tuple(batch.shape) != (256, *problem.event_shape):
            raise Broken(f"a batch of 256 has shape {tuple(batch.shape)}, wanted {(256, *problem.event_shape)}")
        if batch.dtype != torch.float32 or batch.device.type != "cpu":
            raise Broken(f"a batch is {batch.dtype} on {batch.device}, wanted float32 on the CPU")
        if not torch.isfinite(batch).all():
            raise Broken("a batch holds numbers that are not finite")
        if len(problem.event_shape) == 3 and batch.abs().max() > 1.001:
            raise Broken(f"pixels reach {float(batch.abs().max()):.3g}, wanted [-1, 1]")
        many = problem.data.batch(4096, rng=np.random.default_rng(SEED)).flatten(1)
        low, high = float(many.var(dim=0).mean().sqrt()), float(many.std())
        if not 0.5 * low <= problem.data_std <= 2 * max(low, high):
            raise Broken(f"data_std is {problem.data_std:.4g}, and coordinates of the data have {low:.4g}")
        if problem.num_classes is not None:
            if not isinstance(problem.data, LabelledData):
                raise Broken(f"the task has {problem.num_classes} classes, and its data no labelled_batch")
            labels = problem.data.labelled_batch(256, rng=np.random.default_rng(SEED))[1]
            if labels.min() < 0 or labels.max() >= problem.num_classes:
                raise Broken(f"labels reach from {int(labels.min())} to {int(labels.max())}")


def _require_energy(problem: Problem) -> None:
    """Raises Broken unless there is an energy that is a number per point, point by point, with its own gradient."""
    if problem.energy is None:
        raise Broken("the task gives neither data nor an energy")
    x = problem.data_std * torch.randn((64, *problem.event_shape), generator=torch.Generator().manual_seed(SEED))
    x.requires_grad_(True)
    try:
        energies = problem.energy(x)
    except ValueError as error:
        raise Broken(str(error)) from None
    if not torch.isfinite(energies).any():
        raise Broken("the energy is infinite at all of 64 points of the size of the data")
    if not torch.allclose(problem.energy(x[:5]), energies[:5], rtol=1e-4, atol=1e-4):
        raise Broken("the energy of a point depends on the others of its batch")
    if not energies.requires_grad or not torch.isfinite(torch.autograd.grad(energies.sum(), x)[0]).all():
        raise Broken("torch finds no finite gradient of the energy at points of the size of the data")


def check_reproducible(subject: TaskSubject) -> None:
    for first, second in zip(subject.problems, parts_of(subject.kind().problem(oracle=False)), strict=True):
        if isinstance(first.data, NoData):
            continue
        one, same, other = (
            problem.data.batch(64, rng=np.random.default_rng(seed))
            for problem, seed in ((first, 1), (second, 1), (first, 2))
        )
        if not torch.equal(one, same):
            raise Broken("one rng gives two batches, in two objects of the task")
        if torch.equal(one, other):
            raise Broken("two rngs give one batch")


def check_hidden(subject: TaskSubject) -> None:
    require_hidden(subject.problems)


def check_evaluation(subject: TaskSubject) -> str | None:
    """The truth has every number that a task has for its kind of model, and each is what its metric says."""
    evaluation, _ = subject.judged
    known = {metric.name: metric for metric in subject.task.metrics}
    stray = sorted({*evaluation.scores} - {*known})
    if stray:
        raise Broken(f"scores has {', '.join(stray)}, which is no metric of the task")
    silent = sorted({*known} - {*evaluation.scores} - {*evaluation.notes})
    if silent:
        raise Broken(f"{', '.join(silent)}: neither a score nor a note that says why there is none")
    if subject.task.headline[0] not in evaluation.scores:
        raise Broken(f"{subject.task.headline[0]}, the first column: {evaluation.notes[subject.task.headline[0]]}")
    for name, estimate in evaluation.scores.items():
        _require_sound(name, estimate, known[name].protocol.fingerprint)
        metric = known[name]
        if isinstance(metric, DescribedMetric):
            _require_as_described(name, estimate, metric)
        if estimate.fingerprint not in evaluation.protocols:
            raise Broken(f"{name} was measured by {estimate.fingerprint}, which protocols does not have")
    missing = [f"{name} ({reason})" for name, reason in evaluation.notes.items() if name in known]
    return f"not measured here: {'; '.join(missing)}" if missing else None


def _require_sound(name: str, estimate: Estimate, fingerprint: str) -> None:
    if not np.isfinite(estimate.value):
        raise Broken(f"{name} is {estimate.value}")
    if estimate.fingerprint != fingerprint:
        raise Broken(f"{name} is measured by {estimate.fingerprint}, and its protocol is {fingerprint}")


def _require_as_described(name: str, estimate: Estimate, metric: DescribedMetric) -> None:
    card = metric.card
    if (estimate.better, estimate.unit or card.unit) != (card.better, card.unit):
        raise Broken(
            f"{name} is in {estimate.unit or 'no unit'}, {estimate.better} is better; "
            f"its card says {card.unit or 'none'}, {card.better}"
        )
    if not (card.low is None or estimate.value >= card.low - CLOSE) or not (
        card.high is None or estimate.value <= card.high + CLOSE
    ):
        raise Broken(f"{name} is {estimate.value:.4g}, outside the {card.range} of its card")


def check_repeatable(subject: TaskSubject) -> None:
    evaluation, _ = subject.judged
    before = global_generator_state()
    second = subject.evaluate(subject.truth()[0])
    _require_equal(evaluation, second, "scored twice", close=0.0)
    moved = differing_generators(before, global_generator_state())
    if moved:
        raise Broken(f"evaluation draws from the global generator of {', '.join(moved)}")


def _require_equal(one: Evaluation, other: Evaluation, when: str, *, close: float) -> None:
    for name, estimate in one.scores.items():
        if name not in other.scores:
            raise Broken(f"{when}, {name} is not measured: {other.notes.get(name, 'no reason')}")
        value = other.scores[name].value
        if abs(value - estimate.value) > close * max(1.0, abs(estimate.value)):
            raise Broken(f"{name} is {estimate.value:.8g} and, {when}, {value:.8g}")


def check_seeds(subject: TaskSubject) -> None:
    """Sample i has seed `seed` + i, whatever the batches."""
    samples = subject.samples
    (model,) = subject.judged[1]
    seeds = torch.cat(model.seeds)
    if not torch.equal(seeds, SEED + torch.arange(len(seeds))):
        first = int((seeds != SEED + torch.arange(len(seeds))).nonzero()[0])
        raise Broken(f"sample {first} was drawn with seed {int(seeds[first])}, wanted {SEED + first}")
    if subject.task.num_samples not in (0, len(samples)):
        raise Broken(f"num_samples is {subject.task.num_samples:,}, and {len(samples):,} were drawn")


def check_batch_size(subject: TaskSubject) -> str | None:
    evaluation, _ = subject.judged
    with small_batches(subject.kind) as used:
        _require_equal(evaluation, subject.evaluate(subject.truth()[0]), "in small batches", close=CLOSE)
    if not used:
        raise NotChecked("the task uses none of draw_samples, energy_function and energy_maps, whose batches are cut")
    return None


def check_without_model(subject: TaskSubject) -> str | None:
    evaluation, _ = subject.judged
    samples = subject.samples
    try:
        alone = subject.given(samples)
    except NotApplicable as reason:
        raise Broken(f"samples of a file are not scored: {reason}") from None
    if not alone.scores:
        raise Broken("samples of a file have no score")
    for name, estimate in alone.scores.items():
        theirs = evaluation.scores.get(name)
        if theirs is None or abs(theirs.value - estimate.value) > 1e-3 * max(1.0, abs(estimate.value)):
            there = "not measured" if theirs is None else f"{theirs.value:.6g}"
            raise Broken(
                f"{name} is {estimate.value:.6g} of samples in a file, and {there} of the model that drew them"
            )
    return None


def check_wrong_law(subject: TaskSubject) -> None:
    """A wrong law scores clearly worse than the truth, in a metric of the task's tables."""
    spread = _spread(subject)
    truth = {name: estimate.value for name, estimate in subject.judged[0].scores.items()}
    passed = []
    if any(part.drawn for part in subject.judged[1]):
        for what, samples in subject.wrong_laws():
            try:
                wrong = subject.given(samples)
            except REFUSALS:
                continue
            if not refused(subject.task, truth, wrong, spread):
                passed.append(what)
    if any(part.asked for part in subject.judged[1]):
        wrong = subject.evaluate(subject.truth(sign=-1)[0])
        if not refused(subject.task, truth, wrong, spread):
            passed.append("an energy that is high where data are")
    if passed:
        raise Broken(
            f"no column of its tables ({', '.join(subject.task.headline)}) is clearly worse for {'; '.join(passed)}"
        )


def _spread(subject: TaskSubject) -> Callable[[str], float]:
    """The amount by which chance moves a metric of the truth: its own std, or the difference to other seeds."""
    one = subject.judged[0].scores
    told = all(name not in one or one[name].std is not None for name in subject.task.headline)
    other = one if told else subject.again.scores

    def spread(name: str) -> float:
        moved = abs(one[name].value - other[name].value) if name in other else 0.0
        return max(moved, one[name].std or 0.0, 1e-9)

    return spread


def check_pictures(subject: TaskSubject) -> None:
    evaluation, _ = subject.judged
    kept = io.BytesIO()
    np.savez(kept, **evaluation.arrays)  # type: ignore[arg-type]
    kept.seek(0)
    with np.load(kept, allow_pickle=False) as file:
        arrays = dict(file)
    pictures = subject.task.pictures(arrays)
    if not pictures:
        raise Broken("there is no picture")
    for picture in pictures:
        if not picture.title or not picture.caption:
            raise Broken(f"a picture has the title {picture.title!r} and the caption {picture.caption!r}")
        picture.figure.savefig(io.BytesIO(), format="png", dpi=40)
    names = [tile.name for tile in subject.task.tiles(arrays)]
    if len(set(names)) < len(names):
        raise Broken(f"two tiles have one name: {names}")
