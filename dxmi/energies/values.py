"""Energies and value functions: V_k(x) is the expected cost-to-go, V_K = E."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import nn
from torch.func import functional_call

from dxmi.arrays import PerSample, Points, StepIndex


class SharedValue(nn.Module):
    """One step-conditioned net for all V_k, its last level being the energy: V_K = E (DxMI section 5.1)."""

    def __init__(self, net: nn.Module, *, num_steps: int) -> None:
        super().__init__()
        self.net = net
        self.num_steps = num_steps

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The networks that the value evaluates."""
        return (self.net,)

    def value(self, x: Points, k: StepIndex) -> PerSample:
        return self.net(x, k).squeeze(-1)

    def energy(self, x: Points) -> PerSample:
        return self.value(x, x.new_full((len(x),), self.num_steps, dtype=torch.int64))


class TimeIndependentValue(nn.Module):
    """V_k = E for every k (DxMI Algorithm 2, used on images)."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The networks that the value evaluates."""
        return (self.net,)

    def value(self, x: Points, k: StepIndex) -> PerSample:
        return self.energy(x)

    def energy(self, x: Points) -> PerSample:
        return self.net(x).squeeze(-1)


class SeparateEnergy(nn.Module):
    """An energy net of its own beside a value for k < K (DxMI section 5.3, anomaly detection)."""

    def __init__(self, energy: nn.Module, value: nn.Module, *, num_steps: int) -> None:
        super().__init__()
        self.energy_net = energy
        self.value_net = value
        self.num_steps = num_steps

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The networks that the value may evaluate."""
        return (self.energy_net, self.value_net)

    def value(self, x: Points, k: StepIndex) -> PerSample:
        last = k == self.num_steps
        # Clamped so that the value net needs no level K; its rows there are overwritten.
        running = self.value_net(x, k.clamp(max=self.num_steps - 1)).squeeze(-1)
        return torch.where(last, self.energy(x), running) if bool(last.any()) else running

    def energy(self, x: Points) -> PerSample:
        return self.energy_net(x).squeeze(-1)


class CorrectedEnergy(SeparateEnergy):
    """V_k = E + net(., k) for k < K: the value net learns what a step still to come changes.

    With a net that begins at 0, values are of use to the policy from the first iteration. The energy inside V_k is a
    constant of the value step: only the net learns from it.
    """

    def value(self, x: Points, k: StepIndex) -> PerSample:
        constant = {name: parameter.detach() for name, parameter in self.energy_net.named_parameters()}
        energy = functional_call(self.energy_net, constant, (x,)).squeeze(-1)
        correction = self.value_net(x, k.clamp(max=self.num_steps - 1)).squeeze(-1)
        return energy + correction * (k < self.num_steps)


ValueNet = SharedValue | TimeIndependentValue | SeparateEnergy


def make_value(
    kind: Literal["shared", "time_independent", "separate"],
    net: Callable[[int | None, str], nn.Module],
    *,
    num_steps: int,
) -> ValueNet:
    """Energy and value of the named kind.

    Args:
        net: a net with one output, of so many steps or, for None, of the point alone; its parameters from the stream
            of that name.
    """
    match kind:
        case "shared":
            return SharedValue(net(num_steps + 1, "init value"), num_steps=num_steps)
        case "time_independent":
            return TimeIndependentValue(net(None, "init value"))
        case "separate":
            return SeparateEnergy(net(None, "init energy"), net(num_steps, "init value"), num_steps=num_steps)
