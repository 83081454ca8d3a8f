"""Checks of what the trained model gives: samples, energies, values."""

import math
from collections.abc import Callable

import torch

from dxbench.conformance.subject import Broken, NotChecked, Subject

FAR = 1e4  # data stds: beyond what an untrained network gives, short of an overflow
SEEDS = torch.tensor([5, 2**61 + 7, 0, 123456789, 6, 1, 9])


def check_capabilities(subject: Subject) -> None:
    model = subject.trained.model
    if model.sampler is None and model.energy is None and model.maps is None:
        raise Broken("the model has neither sampler, nor energy, nor maps")


def check_classes(subject: Subject) -> None:
    model, classes = subject.sampler(), subject.problem.num_classes
    if classes is None and model.num_classes is not None:
        raise Broken("the model samples by class only, and the task has no classes")
    if model.num_classes != classes:
        raise Broken(f"num_classes is {model.num_classes}, the task has {classes} classes")
    if classes is None:
        return
    with torch.no_grad():
        first, other = subject.draw(model, SEEDS), subject.draw(model, SEEDS, shift=1)
    same = int(torch.isclose(first, other).flatten(1).all(dim=1).sum()) if len(first) == len(other) else 0
    if same:
        raise Broken(f"{same} of {len(SEEDS)} samples stayed the same under another label")


def check_shapes(subject: Subject) -> None:
    model = subject.sampler()
    for count in (1, 2, 7):
        with torch.no_grad():
            samples = subject.draw(model, torch.arange(count))
        wanted = (count, *subject.problem.event_shape)
        if not isinstance(samples, torch.Tensor) or tuple(samples.shape) != wanted:
            raise Broken(f"{count} seeds gave {_shape(samples)}, wanted {wanted}")
        if not samples.is_floating_point():
            raise Broken(f"samples are {samples.dtype}, wanted a floating type")


def _shape(value: object) -> str:
    return str(tuple(value.shape)) if isinstance(value, torch.Tensor) else f"a {type(value).__name__}"


def check_range(subject: Subject) -> None:
    model = subject.sampler()
    with torch.no_grad():
        samples = subject.draw(model, torch.arange(64)).flatten(1)
    bad = int((~torch.isfinite(samples).all(dim=1)).sum())
    if bad:
        raise Broken(f"{bad} of 64 samples are not finite")
    largest = float(samples.abs().max())
    if largest > FAR * subject.problem.data_std:
        raise Broken(f"a sample reaches {largest:.3g}, where one std of the data is {subject.problem.data_std:.3g}")


def check_seeds(subject: Subject) -> None:
    model = subject.sampler()
    with torch.no_grad():
        first, again, other = (subject.draw(model, seeds) for seeds in (SEEDS, SEEDS, SEEDS + 1))
    if not torch.equal(first, again):
        raise Broken("the same seeds, sampled twice, gave different samples")
    same = int(torch.isclose(first, other).flatten(1).all(dim=1).sum())
    if same:
        raise Broken(f"{same} of {len(SEEDS)} samples stayed the same under another seed")


def check_batch_size(subject: Subject) -> None:
    model = subject.sampler()
    with torch.no_grad():
        whole = subject.draw(model, SEEDS)
        cuts = {
            "one by one": torch.cat([subject.draw(model, SEEDS[i : i + 1]) for i in range(len(SEEDS))]),
            "in batches of 3 and 4": torch.cat([subject.draw(model, SEEDS[:3]), subject.draw(model, SEEDS[3:])]),
            "in reverse": subject.draw(model, SEEDS.flip(0)).flip(0),
        }
    # Matrix products may sum in another order for another batch size: equal to rounding, not to the bit.
    tolerance = 1e-5 * max(1.0, float(whole.abs().max()))
    for cut, samples in cuts.items():
        gap = float((samples - whole).abs().max())
        if not gap <= tolerance:
            raise Broken(f"{len(SEEDS)} samples drawn {cut} differ by {gap:.3g} from those of one batch")


def check_energy(subject: Subject) -> None:
    model = subject.trained.model
    if model.maps is not None:
        _check_map(model.maps, subject.grids)
        return
    if model.energy is None:
        raise NotChecked("the model has no energy")
    x = subject.points
    with torch.no_grad():
        energies, alone = model.energy(x), model.energy(x[:1])
    if energies.shape != (len(x),):
        raise Broken(f"energies of {len(x)} points have shape {tuple(energies.shape)}, wanted ({len(x)},)")
    if not torch.isfinite(energies).all():
        raise Broken(f"{int((~torch.isfinite(energies)).sum())} of {len(x)} energies are not finite")
    if not torch.allclose(energies[:1], alone, rtol=1e-4, atol=1e-4):
        raise Broken(f"a point's energy is {float(alone):.6g} alone and {float(energies[0]):.6g} in a batch")
    temperature = model.temperature
    if temperature is not None and not 0 <= temperature < math.inf:
        raise Broken(f"temperature is {temperature}")


def _check_map(maps_of: Callable[[torch.Tensor], torch.Tensor], grids: torch.Tensor) -> None:
    with torch.no_grad():
        maps, alone = maps_of(grids), maps_of(grids[:1])
    if maps.shape != grids.shape[:3] or not torch.isfinite(maps).all():
        wanted = tuple(grids.shape[:3])
        raise Broken(f"energies of patches have shape {tuple(maps.shape)}, wanted {wanted}, or are not finite")
    if not torch.allclose(maps[:1], alone, rtol=1e-4, atol=1e-4):
        raise Broken("an image's energies depend on the other images of its batch")


def check_value(subject: Subject) -> None:
    model = subject.trained.model
    if model.value is None or model.num_steps is None:
        raise NotChecked("the model has no value function")
    x = subject.points
    with torch.no_grad():
        values = [model.value(x, k) for k in range(model.num_steps + 1)]
        for k, value in enumerate(values):
            if value.shape != (len(x),) or not torch.isfinite(value).all():
                raise Broken(f"value at k = {k} has shape {tuple(value.shape)}, or is not finite")
        if model.energy is not None and not torch.allclose(values[-1], model.energy(x), rtol=1e-4, atol=1e-4):
            raise Broken("value(x, num_steps) is not energy(x)")
