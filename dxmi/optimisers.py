"""Modules under training: optimisers and weight averages that methods share."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def cosine_adam(
    groups: list[dict[str, Any]], iterations: int, *, betas: tuple[float, float] = (0.9, 0.999)
) -> tuple[torch.optim.Adam, torch.optim.lr_scheduler.LambdaLR]:
    """Adam over parameter groups, each with its own lr, all decaying to 0 along half a cosine."""
    optimiser = torch.optim.Adam(groups, betas=betas, fused=True)
    decay = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda i: 0.5 * (1 + math.cos(math.pi * i / iterations)))
    return optimiser, decay


def ema(module: nn.Module, decay: float) -> AveragedModel:
    """Exponential moving average of a module's parameters; its first update copies them."""
    return AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(decay))


@dataclass(kw_only=True)
class Trainee:
    """A module, its optimiser, and the largest gradient norm it may take a step with."""

    module: nn.Module
    optimizer: torch.optim.Optimizer
    max_grad_norm: float | None = None

    def descend(self, loss: Tensor) -> None:
        """One optimiser step; gradients reach this module's parameters only."""
        parameters = [p for p in self.module.parameters() if p.requires_grad]
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        if self.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(parameters, self.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


class Learner:
    """A module with all that training it needs: Adam with cosine decay, clipped gradients, averaged weights.

    Attributes:
        module: what is trained.
        average: the moving average of its weights, which samples and scores.

    `own_rates` gives single parameters a learning rate other than `lr`.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        lr: float,
        iterations: int,
        ema_decay: float,
        betas: tuple[float, float] = (0.9, 0.999),
        max_grad_norm: float | None = None,
        own_rates: Mapping[nn.Parameter, float] = MappingProxyType({}),
    ) -> None:
        self.module = module
        groups = [{"params": [p for p in module.parameters() if p not in own_rates], "lr": lr}]
        groups += [{"params": [parameter], "lr": rate} for parameter, rate in own_rates.items()]
        optimiser, self._decay = cosine_adam(groups, iterations, betas=betas)
        self._trainee = Trainee(module=module, optimizer=optimiser, max_grad_norm=max_grad_norm)
        self._ema = ema(module, ema_decay)

    @property
    def average(self) -> nn.Module:
        return self._ema.module

    def begin_from(self, weights: Mapping[str, Tensor]) -> None:
        """Take over the weights of a start model, into the average too."""
        self.module.load_state_dict(weights)
        self.average.load_state_dict(weights)

    def descend(self, loss: Tensor) -> Tensor:
        """One step against the gradient of `loss`, which comes back detached."""
        self._trainee.descend(loss)
        self._decay.step()
        self._ema.update_parameters(self.module)
        return loss.detach()

    def state_dict(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict[str, Any]:
        return {"module": self.module, "optimiser": self._trainee.optimizer, "decay": self._decay, "ema": self._ema}
