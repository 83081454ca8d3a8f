"""Denoisers trained on data before a method begins: what is sampled, distilled or finetuned.

Both families see data scaled to a std of 0.5, as images in [-1, 1] have it.
"""

from typing import Any

import torch
from torch import Generator, Tensor, nn

from dxmi.arrays import Points
from dxmi.denoisers import AtSteps, EDMDenoiser, VPDenoiser
from dxmi.denoising import denoising_loss, drawn_steps, edm_loss
from dxmi.fastdpm import LinearChain
from dxmi.networks import Networks
from dxmi.noise import StreamNoise
from dxmi.optimisers import Learner

SIGMA_DATA = 0.5


class EDMTeacher:
    """A denoiser of EDM's family and loss (Karras et al. 2022, arXiv:2206.00364)."""

    def __init__(
        self, nets: Networks, generator: Generator, *, lr: float, iterations: int, ema_decay: float, device: str
    ) -> None:
        denoiser = EDMDenoiser(nets.denoiser(generator), sigma_data=SIGMA_DATA).to(device)
        self._learner = Learner(denoiser, lr=lr, iterations=iterations, ema_decay=ema_decay)

    @property
    def denoiser(self) -> EDMDenoiser:
        """The averaged weights."""
        average = self._learner.average
        assert isinstance(average, EDMDenoiser)
        return average

    def step(self, data: Points, noise: StreamNoise) -> Tensor:
        module = self._learner.module
        assert isinstance(module, EDMDenoiser)
        return self._learner.descend(edm_loss(module, data, noise).mean())

    def state_dict(self) -> dict[str, Any]:
        return self._learner.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._learner.load_state_dict(state)


class DDPMTeacher:
    """A noise predictor on DDPM's chain of many steps (Ho et al. 2020, arXiv:2006.11239)."""

    def __init__(
        self,
        nets: Networks,
        generator: Generator,
        *,
        chain: LinearChain,
        lr: float,
        iterations: int,
        ema_decay: float,
        device: str,
    ) -> None:
        self.chain = chain
        self._schedule = chain.step_linear(chain.length)
        net = nets.denoiser(generator, condition_scale=4.0 / chain.length)
        steps = torch.arange(chain.length - 1, -1, -1.0)
        self._learner = Learner(AtSteps(net, steps).to(device), lr=lr, iterations=iterations, ema_decay=ema_decay)

    @property
    def steps_net(self) -> AtSteps:
        """eps(x_k, k) with the averaged weights, k a step index of the whole chain."""
        average = self._learner.average
        assert isinstance(average, AtSteps)
        return average

    @property
    def net(self) -> nn.Module:
        """eps(x_t, t) with the averaged weights, t in steps of the chain, whole or fractional."""
        return self.steps_net.net

    @property
    def denoiser(self) -> VPDenoiser:
        return VPDenoiser(self.net, self.chain)

    def step(self, data: Points, noise: StreamNoise) -> Tensor:
        module = self._learner.module
        assert isinstance(module, AtSteps)
        k, eps = drawn_steps(self._schedule, noise)
        return self._learner.descend(denoising_loss(module, self._schedule, data, k, eps).mean())

    def state_dict(self) -> dict[str, Any]:
        return self._learner.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._learner.load_state_dict(state)
