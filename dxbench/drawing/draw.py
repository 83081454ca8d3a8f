"""Drawing from models and counting what it costs."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dxbench.api import Model
from dxbench.drawing.counting import OperationCounter, counted_passes

FAR = 10_000
"""Standard deviations of the data that no sample is away. An untrained DDPM multiplies noise by 160 and stays below."""


def far_off(samples: torch.Tensor, data_std: float) -> str:
    """Words on samples [n, *event] that are beyond FAR standard deviations of the data's; "" where none is."""
    reach = samples.abs().flatten(1).amax(dim=1)
    far = reach[reach.isfinite() & (reach > FAR * data_std)]
    if not len(far):
        return ""
    return (
        f"coordinates of {len(far):,} of {len(samples):,} samples are beyond {FAR:,} standard deviations of the data, "
        f"up to {float(far.max()):.3g} where that deviation is {data_std:.3g}"
    )


def within_reach(model: Model, data_std: float) -> Model:
    """The model and its start, whose samplers raise ValueError where a sample is far off, as after a divergence."""
    sampler = model.sampler
    if sampler is None:
        return model

    def checked(*seeds_and_labels: torch.Tensor) -> torch.Tensor:
        samples = sampler(*seeds_and_labels)
        if isinstance(samples, torch.Tensor) and (said := far_off(samples, data_std)):
            raise ValueError(f"{said}; the model has diverged: lower its rates, or scale what its sampler gives")
        return samples

    start = None if model.start is None else within_reach(model.start, data_std)
    return replace(model, sampler=checked, start=start)


def draw_samples(
    model: Model,
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
        ValueError: as `Model.sample`, if a batch has another shape than [b, *event_shape], or a sample is not finite.
    """
    assert labels is None or labels.shape == (n,)
    batches, bad = [], 0
    with torch.no_grad(), counted_passes(model.networks) as counter:
        for start in range(0, n, batch_size):
            progress(f"sampling {start:,} of {n:,}")
            size = min(batch_size, n - start)
            seeds = first_seed + torch.arange(start, start + size, dtype=torch.int64)
            classes = None if labels is None else torch.from_numpy(labels[start : start + size])
            batch = model.sample(seeds, classes)
            if not isinstance(batch, torch.Tensor) or batch.shape != (size, *event_shape):
                got = tuple(batch.shape) if isinstance(batch, torch.Tensor) else f"a {type(batch).__name__}"
                raise ValueError(
                    f"wanted samples of shape {(size, *event_shape)}, got {got}; the model's sampler "
                    "has to give a tensor with one event per seed"
                )
            array = batch.detach().cpu().numpy()
            bad += int((~np.isfinite(array.reshape(size, -1)).all(axis=1)).sum())
            if not bad:
                batches.append(array if keep is None else keep(array))
    if bad:
        raise ValueError(f"{bad:,} of {n:,} samples are not finite")
    return np.concatenate(batches), counter.total / n


def draw_chains(
    model: Model, n: int, *, first_seed: int, labels: NDArray[np.int64] | None = None
) -> NDArray[np.float64] | None:
    """States [K + 1, n, *event] of the first n seeds, from noise on; None for a model that does not tell them."""
    if model.trajectory_sampler is None:
        return None
    classes = None if labels is None else torch.from_numpy(labels[:n])
    with torch.no_grad():
        return model.trajectory(first_seed + torch.arange(n), classes).double().cpu().numpy()


def draw_log_weights(
    model: Model, n: int, *, first_seed: int, batch_size: int, progress: Callable[[str], None]
) -> NDArray[np.float64] | None:
    """Log weights [n] of the samples of seeds first_seed .. first_seed + n - 1; None for a model that gives none.

    Raises:
        ValueError: if there is not one per seed, or one is NaN or plus infinity.
    """
    if model.weighted_sampler is None:
        return None
    parts = []
    with torch.no_grad():
        for start in range(0, n, batch_size):
            progress(f"weighing {start:,} of {n:,}")
            size = min(batch_size, n - start)
            _, weights = model.weighted_sampler(first_seed + torch.arange(start, start + size, dtype=torch.int64))
            if weights.shape != (size,):
                raise ValueError(f"wanted log weights of shape ({size},), got {tuple(weights.shape)}; one per seed")
            parts.append(weights.double().cpu().numpy())
    found = np.concatenate(parts)
    bad = int((np.isnan(found) | (found == np.inf)).sum())
    if bad:
        raise ValueError(f"{bad:,} of {n:,} log weights are NaN or infinite; minus infinity alone is a weight, of 0")
    return found


def energy_function(
    energy_of: Callable[[torch.Tensor], torch.Tensor], *, device: str, batch_size: int
) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """A model's energy as a function of arrays: [n, *event] to float64 [n].

    Raises:
        ValueError: (when called) if an energy is not finite or has another shape than [n].
    """

    def energy(x: NDArray[Any]) -> NDArray[Any]:
        parts = []
        with torch.no_grad():
            for start in range(0, len(x), batch_size):
                points = torch.as_tensor(x[start : start + batch_size], dtype=torch.float32, device=device)
                parts.append(energy_of(points).detach().double().cpu().numpy())
        energies = np.concatenate(parts)
        if energies.shape != (len(x),) or not np.isfinite(energies).all():
            raise ValueError(f"energies must be finite and of shape ({len(x)},), got shape {energies.shape}")
        return energies

    return energy


def energy_maps(model: Model, grids: NDArray[Any], *, device: str, batch_size: int) -> NDArray[np.float64]:
    """Energies [n, h, w] of images that are grids of patches [n, h, w, d], in batches of about `batch_size` patches.

    Raises:
        ValueError: if an energy is not finite or they have another shape.
    """
    n, h, w, d = grids.shape
    if model.maps is None:
        assert model.energy is not None
        energy = energy_function(model.energy, device=device, batch_size=batch_size)
        return energy(grids.reshape(-1, d)).reshape(n, h, w)
    images = max(1, batch_size // (h * w))
    with torch.no_grad():
        parts = [
            model.maps(torch.as_tensor(grids[start : start + images], dtype=torch.float32, device=device))
            for start in range(0, n, images)
        ]
    energies = np.concatenate([part.detach().double().cpu().numpy() for part in parts])
    if energies.shape != (n, h, w) or not np.isfinite(energies).all():
        raise ValueError(f"energies must be finite and of shape {(n, h, w)}, got shape {energies.shape}")
    return energies


def count_parameters(model: Model) -> int:
    """Parameters of the networks that sampling or scoring evaluates."""
    return sum(p.numel() for network in model.networks for p in network.parameters())


def sampling_flops(model: Model) -> int:
    """Floating-point operations of the matrix products and convolutions behind one sample."""
    zero = torch.zeros(1, dtype=torch.int64)
    with torch.no_grad(), OperationCounter() as counter:
        model.sample(zero, None if model.num_classes is None else zero)
    return counter.forward + counter.backward
