"""Modules under training: optimisers and weight averages that methods share."""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from dxmi.training.parallel import ONE_PROCESS, Parallel


class FusedAdam(torch.optim.Adam):
    """Adam by torch's fused kernel, which takes parameter, gradient and averages for laid out in memory alike.

    On a CPU it does not look: numbers of a gradient that a compiled or a channels-last network gave in another order
    would reach the wrong parameters. So they, and averages read from a checkpoint, are laid out as the parameter is.
    """

    def __init__(self, params: Any, *, betas: tuple[float, float] = (0.9, 0.999)) -> None:
        super().__init__(params, betas=betas, fused=True)
        self.register_step_pre_hook(_lay_out_gradients)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the state of a checkpoint (`load_state_dict` calls this), of a copy, or of a pickle."""
        super().__setstate__(state)
        # A hook, since of a `step` that calls its parent's torch runs each hook twice once a plain Adam was made.
        if _lay_out_gradients not in self._optimizer_step_pre_hooks.values():
            self.register_step_pre_hook(_lay_out_gradients)
        for parameter in _parameters(self):
            for name, value in self.state[parameter].items():
                if value.shape == parameter.shape:
                    self.state[parameter][name] = _laid_out_as(parameter, value)


def _lay_out_gradients(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    for parameter in _parameters(optimizer):
        if parameter.grad is not None:
            parameter.grad = _laid_out_as(parameter, parameter.grad)


def _parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _laid_out_as(parameter: Tensor, value: Tensor) -> Tensor:
    return value if value.stride() == parameter.stride() else torch.empty_like(parameter).copy_(value)


def make_optimizer(
    groups: list[dict[str, Any]],
    iterations: int,
    *,
    kind: Literal["adam", "radam"] = "adam",
    betas: tuple[float, float] = (0.9, 0.999),
    lr_decay: Literal["cosine", "none"] = "cosine",
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
    """Adam, or RAdam (arXiv:1908.03265), over parameter groups, each with its own lr.

    `lr_decay` lets all of them fall to 0 along half a cosine, or stay.
    """
    optimiser = FusedAdam(groups, betas=betas) if kind == "adam" else torch.optim.RAdam(groups, betas=betas)
    factors = {"cosine": lambda i: 0.5 * (1 + math.cos(math.pi * i / iterations)), "none": lambda i: 1.0}
    return optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, factors[lr_decay])


def ema(module: nn.Module, decay: float) -> AveragedModel:
    """Exponential moving average of a module's parameters; its first update copies them."""
    return AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(decay))


@dataclass(kw_only=True)
class OptimizedModule:
    """A module, its optimiser, and the largest gradient norm it may take a step with.

    Attributes:
        parallel: what batches of `accumulated_step` are spread over.
        scaler: of the loss before gradients are taken, where they are of float16. A step whose scaled gradient is not
            finite is left out, and the next one is scaled by less.
    """

    module: nn.Module
    optimizer: torch.optim.Optimizer
    max_grad_norm: float | None = None
    parallel: Parallel = ONE_PROCESS
    scaler: GradScaler = field(init=False)

    def __post_init__(self) -> None:
        self.scaler = self.parallel.scaler()

    def clipped(self, max_grad_norm: float | None) -> "OptimizedModule":
        """The same module, optimiser and scaler, with another largest gradient norm."""
        other = copy.copy(self)
        other.max_grad_norm = max_grad_norm
        return other

    def descend(self, loss: Tensor) -> None:
        """One optimiser step of this process; gradients reach this module's parameters only."""
        self._step(self._gradients(loss))

    def accumulated_step(self, batch_size: int, means: Callable[[slice], tuple[Tensor, ...]]) -> list[Tensor]:
        """One optimiser step against the mean of a loss over a batch that is spread.

        Args:
            means: of these rows, counted from this process's first: the loss, then others that are of interest.

        Returns:
            This process's share of each mean over the batch, detached; the sum over processes is the mean.
        """
        mine = self.parallel.rows(batch_size)
        gradients: list[Tensor | None] = []
        totals: list[Tensor] = []
        for rows in self.parallel.micro_batches(mine.stop - mine.start):
            share = (rows.stop - rows.start) / batch_size
            with self.parallel.autocast():
                found = means(rows)
            gradients = _added(gradients, self._gradients(found[0] * share))
            parts = [mean.detach() * share for mean in found]
            totals = [total + part for total, part in zip(totals, parts, strict=True)] if totals else parts
        self.parallel.sum([gradient for gradient in gradients if gradient is not None])
        self._step(gradients)
        return totals

    @property
    def _parameters(self) -> list[nn.Parameter]:
        return [p for p in self.module.parameters() if p.requires_grad]

    def _gradients(self, loss: Tensor) -> list[Tensor | None]:
        return list(torch.autograd.grad(self.scaler.scale(loss), self._parameters, allow_unused=True))

    def _step(self, gradients: list[Tensor | None]) -> None:
        parameters = self._parameters
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        self.scaler.unscale_(self.optimizer)
        if self.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(parameters, self.max_grad_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)


def _added(totals: list[Tensor | None], gradients: list[Tensor | None]) -> list[Tensor | None]:
    """Sums in place of `totals`. A parameter that one micro-batch leaves out, all of them do."""
    for total, gradient in zip(totals, gradients, strict=bool(totals)):
        if total is not None and gradient is not None:
            total.add_(gradient)
    return totals or gradients


class Learner:
    """A module with all that training it needs: Adam with cosine decay by default, clipped gradients, an average.

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
        kind: Literal["adam", "radam"] = "adam",
        lr_decay: Literal["cosine", "none"] = "cosine",
        max_grad_norm: float | None = None,
        own_rates: Mapping[nn.Parameter, float] = MappingProxyType({}),
        parallel: Parallel = ONE_PROCESS,
    ) -> None:
        self.module = module
        groups = [{"params": [p for p in module.parameters() if p not in own_rates], "lr": lr}]
        groups += [{"params": [parameter], "lr": rate} for parameter, rate in own_rates.items()]
        optimiser, self._decay = make_optimizer(groups, iterations, kind=kind, betas=betas, lr_decay=lr_decay)
        self._optimized = OptimizedModule(
            module=module, optimizer=optimiser, max_grad_norm=max_grad_norm, parallel=parallel
        )
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
        self._optimized.descend(loss)
        self._after_step()
        return loss.detach()

    def accumulated_step(self, batch_size: int, loss: Callable[[slice], Tensor]) -> Tensor:
        """One step against the mean of a loss over a batch that is spread; that mean (`OptimizedModule`)."""
        (mean,) = self._optimized.accumulated_step(batch_size, lambda rows: (loss(rows),))
        self._optimized.parallel.sum([mean])
        self._after_step()
        return mean

    def _after_step(self) -> None:
        self._decay.step()
        self._ema.update_parameters(self.module)

    def state_dict(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict[str, Any]:
        return {
            "module": self.module,
            "optimiser": self._optimized.optimizer,
            "scaler": self._optimized.scaler,
            "decay": self._decay,
            "ema": self._ema,
        }
