"""Eight Gaussians on a ring: the 2D task of DxMI (arXiv:2407.00626, section 5.1, Table 1)."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dxbench.api import Evaluation, EvaluationInputs, Model, Problem, Task, Tile
from dxbench.api.streams import derive_seed
from dxbench.drawing.draw import draw_chains, draw_samples, energy_function
from dxbench.metrics.energy import EnergyAUC, EnergyKL, EnergyRank, grid_points
from dxbench.metrics.points.densities import GaussianMixture
from dxbench.metrics.points.energy_distance import EnergyDistance
from dxbench.metrics.points.modes import ModeShare, OutlierShare
from dxbench.metrics.points.sliced import ExactSlicedWasserstein, SlicedWasserstein
from dxbench.metrics.scoring import score
from dxbench.metrics.start import OfTheStart
from dxbench.pictures.base import CaptionedFigure
from dxbench.pictures.plane import plane_pictures
from dxbench.pictures.tiles import plane_tiles, stages

Array = NDArray[np.float64]

NAME, VERSION = "gaussians8", 1
REFERENCE = f"{NAME}@{VERSION}"
BOX = (-4.0, 4.0)
NUM_SAMPLES = 100_000
PICTURE_CELLS = 100
CHAINS = 2_000
"""Samples whose way from noise is kept for pictures."""

SW2 = SlicedWasserstein(reference=f"5 disjoint sets of test draws of {REFERENCE}")
SW2_START = OfTheStart(SW2)
SW2_EXACT = ExactSlicedWasserstein(reference=REFERENCE)
ENERGY_DISTANCE = EnergyDistance(reference=f"5 disjoint sets of test draws of {REFERENCE}")
ENERGY_AUC = EnergyAUC(reference=REFERENCE)
ENERGY_KL = EnergyKL(reference=REFERENCE)
ENERGY_RANK = EnergyRank(reference=REFERENCE)
MODE_SHARE_MIN = ModeShare(extreme="min", reference=REFERENCE)
MODE_SHARE_MAX = ModeShare(extreme="max", reference=REFERENCE)
OUTLIER_SHARE = OutlierShare(reference=REFERENCE)


@cache
def eight_gaussians() -> GaussianMixture:
    """Centres at radius 4 and the eight compass angles, std 0.5, everything divided by 1.414.

    As `sample2d('8gaussians')` of the DxMI, NAE and MPDR code: radius 2.829, std 0.354.
    """
    angles = np.arange(8) * np.pi / 4
    centres = 4.0 * np.stack([np.cos(angles), np.sin(angles)], axis=1) / 1.414
    return GaussianMixture(centres=centres, weights=np.full(8, 1 / 8), std=0.5 / 1.414)


class MixtureStream:
    """Training data: fresh draws at every call, as in the 2D notebooks of the DxMI authors.

    It holds nothing: methods are handed draws, not what they are drawn from.
    """

    def batch(self, n: int, *, rng: np.random.Generator) -> Tensor:
        return torch.from_numpy(eight_gaussians().sample(n, rng)).float()


def mixture_oracle(mixture: GaussianMixture) -> Model:
    """The truth as a model: fresh draws, E = -log p at temperature 1, and its denoiser, which torch differentiates."""

    def sampler(seeds: Tensor) -> Tensor:
        # One bit generator re-keyed per sample: a new Generator for each of 100,000 seeds takes seconds.
        bits = np.random.Philox(key=0)
        rng, state = np.random.Generator(bits), bits.state
        points = np.empty((len(seeds), mixture.dim))
        for i, seed in enumerate(seeds.tolist()):
            state["state"]["key"][:] = (seed, 0)
            bits.state = state
            points[i] = mixture.sample(1, rng)[0]
        return torch.from_numpy(points)

    def energy(x: Tensor) -> Tensor:
        return -torch.from_numpy(mixture.log_prob(x.double().cpu().numpy()))

    def denoiser(x: Tensor, sigma: Tensor) -> Tensor:
        """The components' own posterior means, weighted by their probabilities at x."""
        centres, weights = (
            torch.as_tensor(of, dtype=x.dtype, device=x.device) for of in (mixture.centres, mixture.weights)
        )
        variance = mixture.std**2 + sigma.square()[:, None]
        offsets = x[:, None, :] - centres
        share = (weights.log() - offsets.square().sum(dim=2) / (2 * variance)).softmax(dim=1)
        means = centres + (mixture.std**2 / variance)[:, :, None] * offsets
        return (share[:, :, None] * means).sum(dim=1)

    return Model(sampler=sampler, energy=energy, temperature=1.0, denoiser=denoiser)


class Reference:
    """The truth, which only metrics see."""

    def __init__(self) -> None:
        self.mixture = eight_gaussians()

    @cached_property
    def test_draws(self) -> list[Array]:
        seeds = [derive_seed(REFERENCE, "test", i) for i in range(SW2.repeats)]
        return [self.mixture.sample(SW2.num_samples, np.random.default_rng(seed)) for seed in seeds]

    @cached_property
    def uniform_draws(self) -> list[Array]:
        seeds = [derive_seed(REFERENCE, "uniform", i) for i in range(SW2.repeats)]
        return [np.random.default_rng(seed).uniform(*BOX, size=(SW2.num_samples, 2)) for seed in seeds]


class Gaussians8(Task):
    """Eight Gaussians on a ring in the plane: sliced Wasserstein of samples, and how well the energy is known."""

    name = NAME
    version = VERSION
    family = "plane"
    threads = 1
    auto_device = "cpu"  # batches of a few hundred points keep no GPU busy
    headline = ("sw2", "sw2_exact", "energy_auc", "energy_kl", "mode_share_min", "outlier_share")
    num_samples = NUM_SAMPLES

    def __init__(self) -> None:
        self._reference = Reference()

    @property
    def metrics(self) -> Sequence[Any]:
        return (
            SW2,
            SW2_EXACT,
            ENERGY_AUC,
            ENERGY_KL,
            ENERGY_RANK,
            MODE_SHARE_MIN,
            MODE_SHARE_MAX,
            OUTLIER_SHARE,
            SW2_START,
            ENERGY_DISTANCE,
        )

    def problem(self, *, oracle: bool) -> Problem:
        mixture = self._reference.mixture
        variance = mixture.std**2 + (mixture.centres**2).sum(axis=1).mean() / 2
        return Problem(
            task=self.name,
            event_shape=(2,),
            data=MixtureStream(),
            data_std=float(np.sqrt(variance)),
            oracle=mixture_oracle(mixture) if oracle else None,
        )

    def evaluate(self, model: Model, *, seed: int, device: str, progress: Callable[[str], None]) -> Evaluation:
        samples, nfe, start = None, None, None
        if model.sampler is not None:
            samples, nfe = self._draw(model, seed, progress)
        if model.start is not None:
            start, _ = self._draw(model.start, seed, progress)
        energy = None if model.energy is None else energy_function(model.energy, device=device, batch_size=20_000)
        arrays = {} if samples is None else {"samples": samples}
        if energy is not None:
            scale = model.temperature or 1.0
            arrays["energy"] = energy(self._picture_grid()).reshape(PICTURE_CELLS, -1) / scale
        if model.value is not None and model.num_steps is not None:
            arrays["values"] = self._value_maps(model.value, model.num_steps, device)
        if (chains := draw_chains(model, CHAINS, first_seed=seed)) is not None:
            arrays["chain"] = stages(chains)
        inputs = EvaluationInputs(
            samples=samples,
            energy=energy,
            temperature=model.temperature,
            nfe=nfe,
            reference=self._reference,
            start_samples=start,
        )
        return self._score(inputs, arrays, progress)

    def evaluate_samples(self, samples: Array, *, progress: Callable[[str], None]) -> Evaluation:
        return self._score(self.inputs_of(samples), {"samples": samples}, progress)

    @staticmethod
    def _draw(model: Model, seed: int, progress: Callable[[str], None]) -> tuple[Array, float]:
        samples, nfe = draw_samples(
            model, NUM_SAMPLES, first_seed=seed, batch_size=10_000, progress=progress, event_shape=(2,)
        )
        return samples.astype(np.float64), nfe

    def _score(self, inputs: EvaluationInputs, arrays: dict[str, Array], progress: Callable[[str], None]) -> Evaluation:
        scores, notes, protocols = score(self.metrics, inputs, progress=progress)
        true_energy = -self._reference.mixture.log_prob(self._picture_grid()).reshape(PICTURE_CELLS, -1)
        arrays = arrays | {"true_energy": true_energy, "test": self._reference.test_draws[0]}
        kept = {name: array.astype(np.float32) for name, array in arrays.items()}
        return Evaluation(scores=scores, notes=notes, protocols=protocols, arrays=kept, nfe=inputs.nfe)

    def inputs_of(self, samples: Array) -> EvaluationInputs:
        return EvaluationInputs(
            samples=samples.astype(np.float64), energy=None, temperature=None, nfe=None, reference=self._reference
        )

    def pictures(self, arrays: Mapping[str, Array]) -> list[CaptionedFigure]:
        return plane_pictures(arrays, box=BOX)

    def tiles(self, arrays: Mapping[str, Array]) -> list[Tile]:
        return plane_tiles(arrays, box=BOX)

    @staticmethod
    def _picture_grid() -> Array:
        return grid_points(BOX, PICTURE_CELLS)

    def _value_maps(self, value: Callable[[Tensor, int], Tensor], num_steps: int, device: str) -> Array:
        x = torch.as_tensor(self._picture_grid(), dtype=torch.float32, device=device)
        with torch.no_grad():
            maps = [value(x, k).double().cpu().numpy() for k in range(num_steps + 1)]
        return np.stack(maps).reshape(-1, PICTURE_CELLS, PICTURE_CELLS)
