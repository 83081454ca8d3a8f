"""Training a noise predictor on a variance-preserving schedule."""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from dxmi.arrays import PerSample, Points
from dxmi.losses import noise_prediction_loss
from dxmi.noise import StreamNoise
from dxmi.optimisers import cosine_adam, ema
from dxmi.protocols import NoisePredictor
from dxmi.schedules import VPSchedule


def denoising_loss(net: NoisePredictor, schedule: VPSchedule, data: Points, noise: StreamNoise) -> PerSample:
    """DDPM's simple loss (Ho et al. 2020, arXiv:2006.11239, Algorithm 1), k uniform on 0 .. K - 1.

    x_k = sqrt(alpha_bar_k) data + sqrt(1 - alpha_bar_k) eps; the net sees x_k and k.
    """
    k = torch.randint(schedule.num_steps, (len(data),), generator=noise.generator, device=data.device)
    signal = schedule.alpha_bar.to(data)[k].reshape(-1, *([1] * (data.ndim - 1)))
    eps = noise.normal(0)
    return noise_prediction_loss(net(signal.sqrt() * data + (1 - signal).sqrt() * eps, k), eps)


@runtime_checkable
class Slot(Protocol):
    """Where a trained average is kept and found again."""

    def load(self) -> dict[str, Any] | None: ...

    def save(self, state: dict[str, Any]) -> None: ...


class NoisePredictorTraining:
    """A noise predictor at work: Adam with cosine decay on `denoising_loss`, and an average of the weights.

    Attributes:
        iterations: how many there are to do; 0 where the average was found in `slot`.
        done: how many are done.
    """

    def __init__(
        self,
        net: nn.Module,
        schedule: VPSchedule,
        *,
        data: Callable[[], Points],
        noise: StreamNoise,
        iterations: int,
        lr: float,
        ema_decay: float,
        slot: Slot | None = None,
    ) -> None:
        self.net, self.schedule, self.data, self.noise, self.slot = net, schedule, data, noise, slot
        self.optimiser, self.lr = cosine_adam([{"params": net.parameters(), "lr": lr}], iterations)
        self.ema = ema(net, ema_decay)
        found = slot.load() if slot else None
        if found is not None:
            self.average.load_state_dict(found)
        self.iterations, self.done = iterations if found is None else 0, 0

    @property
    def average(self) -> nn.Module:
        """The net with the averaged weights."""
        return self.ema.module

    @property
    def finished(self) -> bool:
        return self.done >= self.iterations

    def step(self) -> Tensor:
        """One iteration; its loss, detached. The last one leaves the average in the slot."""
        loss = denoising_loss(self.net, self.schedule, self.data(), self.noise).mean()
        loss.backward()
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.lr.step()
        self.ema.update_parameters(self.net)
        self.done += 1
        if self.finished and self.slot is not None:
            self.slot.save(dict(self.average.state_dict()))
        return loss.detach()

    def _parts(self) -> dict[str, Any]:
        return {"net": self.net, "optimiser": self.optimiser, "lr": self.lr, "ema": self.ema}

    def state_dict(self) -> dict[str, Any]:
        parts = {name: part.state_dict() for name, part in self._parts().items()}
        return parts | {"iterations": self.iterations, "done": self.done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.iterations, self.done = state["iterations"], state["done"]
