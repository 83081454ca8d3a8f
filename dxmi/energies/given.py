"""Values of a sampler whose energy is given and fixed, and Markov chains that need no training."""

import math

import torch
from torch import Tensor, nn

from dxmi.arrays import PerSample, Points, StepIndex
from dxmi.energies.langevin import Potential
from dxmi.sampling.noise import Noise
from dxmi.sampling.noising import NoisingChain


class GivenEnergyValue(nn.Module):
    """V_K = E, and V_k = -log N(x; 0, sigma_k^2 + data_std^2) + net for k < K: right from the start for a Gaussian.

    The energy is called at the rows that ask for V_K and at no others.
    """

    total_var: Tensor

    def __init__(self, energy: nn.Module, net: nn.Module, chain: NoisingChain) -> None:
        super().__init__()
        self.energy_net, self.net, self.num_steps = energy, net, chain.num_steps
        self.register_buffer("total_var", chain.total_var.float(), persistent=False)

    def value(self, x: Points, k: StepIndex) -> PerSample:
        var, flat, last = self.total_var[k], x.flatten(1), k == self.num_steps
        gaussian = 0.5 * flat.square().sum(dim=1) / var + 0.5 * flat.shape[1] * torch.log(2 * math.pi * var)
        values = gaussian + self.net(x, k.clamp(max=self.num_steps - 1)).squeeze(-1)
        return values.masked_scatter(last, self.energy(x[last])) if bool(last.any()) else values

    def energy(self, x: Points) -> PerSample:
        return self.energy_net(x)


def with_gradient(potential: Potential, x: Points) -> tuple[PerSample, Points]:
    """U(x) and its gradient, without a graph."""
    with torch.enable_grad():
        x = x.detach().requires_grad_(True)
        value = potential(x)
        (gradient,) = torch.autograd.grad(value.sum(), x)
    return value.detach(), gradient


def accepted(log_ratio: PerSample, noise: Tensor) -> Tensor:
    """True, row by row, with probability min(1, exp(log_ratio)); from standard normal `noise`, [b].

    A ratio that is NaN, as of two infinite energies, is a refusal.
    """
    return torch.special.log_ndtr(noise) < log_ratio


def langevin_chain(
    potential: Potential, noise: Noise, *, start_std: float, num_steps: int, step_size: float, adjusted: bool
) -> Points:
    """Ends of Langevin chains x <- x - h grad U + sqrt(2 h) eps, from N(0, start_std^2 I), [b, d].

    Adjusted, each step is accepted or refused by its Metropolis ratio (MALA: Roberts and Tweedie 1996,
    doi:10.2307/3318418), and the law of the ends tends to exp(-U); unadjusted, it does so up to an error of order h.

    Args:
        noise: of events of one coordinate more than the points have; the last decides on acceptance.
    """
    x = start_std * noise.normal(0)[:, :-1]
    value, gradient = with_gradient(potential, x)
    for step in range(num_steps):
        drawn = noise.normal(step + 1)
        eps, decision = drawn[:, :-1], drawn[:, -1]
        proposal = x - step_size * gradient + math.sqrt(2 * step_size) * eps
        new_value, new_gradient = with_gradient(potential, proposal)
        if adjusted:
            back = x - proposal + step_size * new_gradient
            forth = 0.5 * eps.square().sum(dim=1)
            keep = ~accepted(value - new_value + forth - back.square().sum(dim=1) / (4 * step_size), decision)
            proposal = torch.where(keep[:, None], x, proposal)
            new_value = torch.where(keep, value, new_value)
            new_gradient = torch.where(keep[:, None], gradient, new_gradient)
        x, value, gradient = proposal, new_value, new_gradient
    return x


def hamiltonian_chain(
    potential: Potential, noise: Noise, *, start_std: float, num_steps: int, leapfrog_steps: int, step_size: float
) -> Points:
    """Ends of Hamiltonian chains from N(0, start_std^2 I), [b, d] (Neal 2011, arXiv:1206.1901).

    A step draws a momentum of unit mass, follows it for `leapfrog_steps` of length `step_size`, and is accepted or
    refused by the change of the total energy. `noise` is as in `langevin_chain`.
    """
    x = start_std * noise.normal(0)[:, :-1]
    value, gradient = with_gradient(potential, x)
    for step in range(num_steps):
        drawn = noise.normal(step + 1)
        momentum, decision = drawn[:, :-1], drawn[:, -1]
        before = value + 0.5 * momentum.square().sum(dim=1)
        y, new_value, new_gradient = x, value, gradient
        for _ in range(leapfrog_steps):
            momentum = momentum - 0.5 * step_size * new_gradient
            y = y + step_size * momentum
            new_value, new_gradient = with_gradient(potential, y)
            momentum = momentum - 0.5 * step_size * new_gradient
        take = accepted(before - new_value - 0.5 * momentum.square().sum(dim=1), decision)
        x = torch.where(take[:, None], y, x)
        value = torch.where(take, new_value, value)
        gradient = torch.where(take[:, None], new_gradient, gradient)
    return x
