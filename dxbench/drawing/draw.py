"""Drawing from models and counting what it costs."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from dxbench.api import ConditionalSampler, EnergyModel, MapModel, Model, Sampler
from dxbench.drawing.counting import OperationCounter, counted_passes


class UnconditionalModel(Model, Sampler, Protocol):
    """A model that samples."""


class ConditionalModel(Model, ConditionalSampler, Protocol):
    """A model that samples by class."""


SamplingModel = UnconditionalModel | ConditionalModel


def sample(model: SamplingModel, seeds: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
    """Samples of int64 seeds [b], of the classes `labels` [b] where the task has classes, as [b, *event].

    Raises:
        ValueError: if the model draws by class and the task does not, or the other way round, or a label is none of
            the model's classes.
    """
    if labels is None:
        if not isinstance(model, Sampler):
            raise ValueError(
                f"{type(model).__name__} draws samples of a class (sample_classes), but the task has no classes; "
                "give it sample(seeds)"
            )
        return model.sample(seeds)
    if not isinstance(model, ConditionalSampler):
        raise ValueError(
            f"the task scores samples of given classes, but {type(model).__name__} is unconditional; "
            "give it num_classes and sample_classes(seeds, labels)"
        )
    if labels.shape != seeds.shape or labels.dtype != torch.int64:
        raise ValueError(f"wanted int64 labels {tuple(seeds.shape)}, got {labels.dtype} {tuple(labels.shape)}")
    outside = labels[(labels < 0) | (labels >= model.num_classes)]
    if len(outside):
        raise ValueError(
            f"{len(outside):,} of {len(labels):,} labels are out of range, the first {int(outside[0])}; "
            f"{type(model).__name__} knows classes 0 .. {model.num_classes - 1}"
        )
    return model.sample_classes(seeds, labels)


def draw_samples(
    model: SamplingModel,
    n: int,
    *,
    event_shape: tuple[int, ...],
    first_seed: int,
    batch_size: int,
    progress: Callable[[str], None],
    labels: NDArray[np.int64] | None = None,
    keep: Callable[[NDArray[Any]], NDArray[Any]] | None = None,
) -> tuple[NDArray[Any], float]:
    """Samples of seeds first_seed .. first_seed + n - 1 as [n, *event], and the counted NFE per sample.

    `labels` [n] are their classes, for a task that has classes; `keep` says what is kept of each batch, such as bytes
    of images, where all samples as floats would not fit.

    Raises:
        ValueError: as `sample`, or if a batch has another shape than [b, *event_shape], or a sample is not finite.
    """
    assert labels is None or labels.shape == (n,)
    batches, bad = [], 0
    with torch.no_grad(), counted_passes(model.networks) as counter:
        for start in range(0, n, batch_size):
            progress(f"sampling {start:,} of {n:,}")
            size = min(batch_size, n - start)
            seeds = first_seed + torch.arange(start, start + size, dtype=torch.int64)
            classes = None if labels is None else torch.from_numpy(labels[start : start + size])
            batch = sample(model, seeds, classes)
            if batch.shape != (size, *event_shape):
                raise ValueError(f"wanted samples of shape {(size, *event_shape)}, got {tuple(batch.shape)}")
            array = batch.detach().cpu().numpy()
            bad += int((~np.isfinite(array.reshape(size, -1)).all(axis=1)).sum())
            if not bad:
                batches.append(array if keep is None else keep(array))
    if bad:
        raise ValueError(f"{bad:,} of {n:,} samples are not finite")
    return np.concatenate(batches), counter.rows / n


def energy_function(model: EnergyModel, *, device: str, batch_size: int) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """The model's energy as a function of arrays: [n, *event] to float64 [n].

    Raises:
        ValueError: (when called) if an energy is not finite or has another shape than [n].
    """

    def energy(x: NDArray[Any]) -> NDArray[Any]:
        parts = []
        with torch.no_grad():
            for start in range(0, len(x), batch_size):
                points = torch.as_tensor(x[start : start + batch_size], dtype=torch.float32, device=device)
                parts.append(model.energy(points).detach().double().cpu().numpy())
        energies = np.concatenate(parts)
        if energies.shape != (len(x),) or not np.isfinite(energies).all():
            raise ValueError(f"energies must be finite and of shape ({len(x)},), got shape {energies.shape}")
        return energies

    return energy


def energy_maps(
    model: EnergyModel | MapModel, grids: NDArray[Any], *, device: str, batch_size: int
) -> NDArray[np.float64]:
    """Energies [n, h, w] of images that are grids of patches [n, h, w, d], in batches of about `batch_size` patches.

    Raises:
        ValueError: if an energy is not finite or they have another shape.
    """
    n, h, w, d = grids.shape
    if not isinstance(model, MapModel):
        energy = energy_function(model, device=device, batch_size=batch_size)
        return energy(grids.reshape(-1, d)).reshape(n, h, w)
    images = max(1, batch_size // (h * w))
    with torch.no_grad():
        parts = [
            model.energy_map(torch.as_tensor(grids[start : start + images], dtype=torch.float32, device=device))
            for start in range(0, n, images)
        ]
    energies = np.concatenate([part.detach().double().cpu().numpy() for part in parts])
    if energies.shape != (n, h, w) or not np.isfinite(energies).all():
        raise ValueError(f"energies must be finite and of shape {(n, h, w)}, got shape {energies.shape}")
    return energies


def count_parameters(model: Model) -> int:
    """Parameters of the networks that sampling or scoring evaluates."""
    return sum(p.numel() for network in model.networks for p in network.parameters())


def sampling_flops(model: SamplingModel) -> int:
    """Floating-point operations of the matrix products and convolutions behind one sample."""
    zero = torch.zeros(1, dtype=torch.int64)
    with torch.no_grad(), OperationCounter() as counter:
        sample(model, zero, None if isinstance(model, Sampler) else zero)
    return counter.forward + counter.backward
