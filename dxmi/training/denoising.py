"""Losses of noise predictors and denoisers, and their training."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from dxmi.arrays import ClassLabels, PerSample, Points, StepIndex, per_sample
from dxmi.losses import mean_square, noise_prediction_loss
from dxmi.protocols import NoisePredictor
from dxmi.sampling.noise import StreamNoise
from dxmi.schedules.levels import VPSchedule
from dxmi.training.optimisers import Learner
from dxmi.training.parallel import ONE_PROCESS, Parallel


def drawn_steps(schedule: VPSchedule, noise: StreamNoise) -> tuple[StepIndex, Points]:
    """Draw what DDPM's loss needs for a batch: k uniform on 0 .. K - 1, and eps."""
    generator = noise.generator
    k = torch.randint(schedule.num_steps, (noise.batch_size,), generator=generator, device=generator.device)
    return k, noise.normal(0)


def denoising_loss(net: NoisePredictor, schedule: VPSchedule, data: Points, k: StepIndex, eps: Points) -> PerSample:
    """DDPM's simple loss (Ho et al. 2020, arXiv:2006.11239, Algorithm 1) at the steps and noise of `drawn_steps`.

    The net sees x_k (`noised`) and k.
    """
    return noise_prediction_loss(net(noised(schedule, data, k, eps), k), eps)


def noised(schedule: VPSchedule, data: Points, k: StepIndex, eps: Points) -> Points:
    """x_k = sqrt(alpha_bar_k) data + sqrt(1 - alpha_bar_k) eps."""
    signal = per_sample(schedule.alpha_bar.to(data)[k], data)
    return signal.sqrt() * data + (1 - signal).sqrt() * eps


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A whole batch, for which a loss draws its numbers.

    Attributes:
        labels: the classes, where the network is conditioned on them.
        progress: share of the training that is done, from 0 to 1.
    """

    data: Points
    labels: tuple[ClassLabels, ...]
    noise: StreamNoise
    progress: float


@runtime_checkable
class DenoisingLoss(Protocol):
    """A loss that trains a network: per sample, at numbers that are drawn for the whole batch before."""

    def draw(self, batch: Batch) -> tuple[Tensor, ...]:
        """Numbers of a batch, a row per sample."""
        ...

    def __call__(self, net: Any, data: Points, *drawn: Tensor) -> PerSample: ...


@dataclass(frozen=True, kw_only=True)
class DDPMLoss:
    """`denoising_loss` on a schedule, as a `DenoisingLoss`."""

    schedule: VPSchedule

    def draw(self, batch: Batch) -> tuple[Tensor, ...]:
        return drawn_steps(self.schedule, batch.noise)

    def __call__(self, net: Any, data: Points, *drawn: Tensor) -> PerSample:
        k, eps = drawn
        return denoising_loss(net, self.schedule, data, k, eps)


@dataclass(frozen=True, kw_only=True)
class EDMLoss:
    """`edm_loss` with ln sigma ~ N(mean, std^2), as a `DenoisingLoss` (Karras et al. 2022, Table 1)."""

    mean: float = -1.2
    std: float = 1.2

    def draw(self, batch: Batch) -> tuple[Tensor, ...]:
        return lognormal_sigmas(batch.noise, mean=self.mean, std=self.std), batch.noise.normal(0)

    def __call__(self, net: Any, data: Points, *drawn: Tensor) -> PerSample:
        sigma, eps, *labels = drawn
        return edm_loss(net, data, sigma, eps, *labels)


class DenoiserTraining:
    """A denoiser or noise predictor at work: Adam with cosine decay on its loss, and an average of the weights.

    Attributes:
        iterations: how many there are to do; 0 where the average was `found`.
        done: how many are done.
    """

    def __init__(
        self,
        net: nn.Module,
        loss: DenoisingLoss,
        *,
        data: Callable[[], Points | tuple[Tensor, ...]],
        noise: StreamNoise,
        iterations: int,
        lr: float,
        ema_decay: float,
        max_grad_norm: float | None = None,
        found: Mapping[str, Tensor] | None = None,
        finish: Callable[[nn.Module, Points], None] = lambda average, data: None,
        parallel: Parallel = ONE_PROCESS,
    ) -> None:
        """`data` gives a batch, or one with its classes, which the loss is then given behind what it drew; `found` is
        an average that was trained before, and `finish` is given the average and data behind the last step."""
        self.net, self.loss, self.data, self.noise, self.finish = net, loss, data, noise, finish
        self._learner = Learner(
            net,
            lr=lr,
            iterations=max(1, iterations),
            ema_decay=ema_decay,
            max_grad_norm=max_grad_norm,
            parallel=parallel,
        )
        self._mine = parallel.rows(noise.batch_size)
        if found is not None:
            self.average.load_state_dict(found)
        self.iterations, self.done = iterations if found is None else 0, 0

    @property
    def average(self) -> nn.Module:
        """The net with the averaged weights."""
        return self._learner.average

    @property
    def finished(self) -> bool:
        return self.done >= self.iterations

    def step(self) -> Tensor:
        """One iteration; its loss, detached."""
        found = self.data()
        points, *labels = found if isinstance(found, tuple) else (found,)
        progress = self.done / max(1, self.iterations)
        numbers = self.loss.draw(Batch(data=points, labels=tuple(labels), noise=self.noise, progress=progress))
        data = points[self._mine]
        drawn = tuple(values[self._mine] for values in (*numbers, *labels))

        def loss_of(rows: slice) -> Tensor:
            return self.loss(self.net, data[rows], *(values[rows] for values in drawn)).mean()

        loss = self._learner.accumulated_step(self.noise.batch_size, loss_of)
        self.done += 1
        if self.finished:
            self.finish(self.average, data)
        return loss

    def state_dict(self) -> dict[str, Any]:
        return {"learner": self._learner.state_dict(), "iterations": self.iterations, "done": self.done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._learner.load_state_dict(state["learner"])
        self.iterations, self.done = state["iterations"], state["done"]


def lognormal_sigmas(noise: StreamNoise, *, mean: float, std: float) -> PerSample:
    """Noise levels with ln sigma ~ N(mean, std^2), one per sample of the stream."""
    z = torch.randn(noise.batch_size, generator=noise.generator, device=noise.generator.device, dtype=noise.dtype)
    return (mean + std * z).exp()


@runtime_checkable
class ScaledDenoiser(Protocol):
    """D(x, sigma), of a class where it is conditioned, for data of a known std."""

    @property
    def sigma_data(self) -> float: ...

    def __call__(self, x: Points, sigma: PerSample, *labels: ClassLabels) -> Points: ...


def edm_loss(denoiser: ScaledDenoiser, data: Points, sigma: PerSample, eps: Points, *labels: ClassLabels) -> PerSample:
    """w(sigma) ||D(data + sigma eps, sigma) - data||^2 / D (Karras et al. 2022, Table 1).

    w = (sigma^2 + sigma_data^2) / (sigma sigma_data)^2, which makes the net's own error count alike at every level.
    """
    weight = (sigma.square() + denoiser.sigma_data**2) / (sigma * denoiser.sigma_data).square()
    return weight * mean_square(denoiser(data + per_sample(sigma, data) * eps, sigma, *labels) - data)
