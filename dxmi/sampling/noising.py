"""Chains that carry samples of an energy to noise, whose reversal is what a sampler of the energy has to learn.

The law q(x_0, ..., x_{K-1} | x_K) of x_k = x_{k+1} + s_k eps is known; a policy pi gives p(x_0) pi(x_1 | x_0) ... . The
ratio of exp(-E(x_K)) q to the density of the policy's chain is an unbiased weight, of mean Z, and its log the negative
cost that the policy minimises: the bound that path integral samplers (Zhang and Chen 2022, arXiv:2111.15141), denoising
diffusion samplers (Vargas et al. 2023, arXiv:2302.13834) and DxMI (arXiv:2407.00626, Eq. 8) share.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from dxmi.arrays import PerSample, PerStep, Points, States
from dxmi.nets.steps import InUnits
from dxmi.sampling.noise import Noise
from dxmi.sampling.policies import GaussianPolicy


@dataclass(frozen=True, kw_only=True)
class NoisingChain:
    """x_k = x_{k+1} + s_k eps with s_k^2 = sigma_k^2 - sigma_{k+1}^2, from a sample x_K to noise of level sigma_0.

    Attributes:
        sigmas: levels [K + 1], falling, the last 0; float64.
        data_std: std of a coordinate of a sample, by which the policy is scaled.

    Raises:
        ValueError: unless the levels fall to 0 and data_std is positive.
    """

    sigmas: Float[Tensor, " levels"]
    data_std: float

    def __post_init__(self) -> None:
        if len(self.sigmas) < 2 or self.sigmas[-1] != 0 or not bool((self.sigmas.diff() < 0).all()):
            raise ValueError(f"levels have to fall to 0, got {self.sigmas.tolist()}")
        if not self.data_std > 0:
            raise ValueError(f"data_std has to be positive, got {self.data_std}")

    @classmethod
    def geometric(cls, num_steps: int, *, sigma_max: float, sigma_min: float, data_std: float) -> "NoisingChain":
        """K levels in geometric progression from `sigma_max` to `sigma_min`, and 0.

        Raises:
            ValueError: unless sigma_max > sigma_min > 0.
        """
        if not sigma_max > sigma_min > 0:
            raise ValueError(f"wants sigma_max > sigma_min > 0, got {sigma_max} and {sigma_min}")
        levels = torch.linspace(math.log(sigma_max), math.log(sigma_min), num_steps, dtype=torch.float64).exp()
        return cls(sigmas=torch.cat([levels, levels.new_zeros(1)]), data_std=data_std)

    @property
    def num_steps(self) -> int:
        return len(self.sigmas) - 1

    @property
    def var(self) -> PerStep:
        """s_k^2, [K]."""
        return -self.sigmas.square().diff()

    @property
    def total_var(self) -> Float[Tensor, " levels"]:
        """The variance of a coordinate of x_k, [K + 1]."""
        return self.sigmas.square() + self.data_std**2

    def policy(self, net: nn.Module, *, event_shape: tuple[int, ...]) -> GaussianPolicy:
        """Steps that reverse the chain exactly for a Gaussian of `data_std` while the net gives 0.

        The net is asked at x_k over its std; what it gives moves the mean of x_K behind x_k, as in EDM
        (arXiv:2206.00364).
        """
        before, behind = self.total_var[:-1], self.total_var[1:]
        sigma, clean = self.sigmas[:-1], self.sigmas[1:].square()
        var = self.var
        return GaussianPolicy(
            InUnits(net, before.rsqrt()),
            event_shape=event_shape,
            scale=(clean + var * self.data_std**2 / before) / sigma.square(),
            gain=var * self.data_std / (sigma * before.sqrt()),
            std=(var * behind / before).sqrt(),
            trainable_std=[True] * self.num_steps,
            start_std=float(before[0].sqrt()),
        )

    def log_weights(self, policy: GaussianPolicy, states: States, energies: PerSample) -> PerSample:
        """log of exp(-E(x_K)) q(x_0 ... x_{K-1} | x_K) over the density of the policy's chain, nats, [b].

        Args:
            states: x_0 ... x_K of the policy, [K + 1, b, *event].
            energies: E(x_K), [b].
        """
        total = -energies - _normal_log_prob(states[0], torch.as_tensor(policy.start_std**2))
        for step, var in enumerate(self.var.to(states)):
            k = torch.full_like(energies, step, dtype=torch.int64)
            backward = _normal_log_prob(states[step] - states[step + 1], var)
            total = total + backward - policy.log_prob(states[step], k, states[step + 1])
        return total


@dataclass(frozen=True, kw_only=True)
class PinnedChain(NoisingChain):
    """The noising chain given that it ends at 0: its reversal starts at a point and learns nothing from its start.

    Backwards in k it is a walk x_{k+1} = x_k + s_k eps from x_0 = 0, of end N(0, sigma_0^2 I): the memoryless reference
    of adjoint sampling (Havens et al. 2025, arXiv:2504.11713) in K steps. sigma_k^2 is the variance still to come, and

        x_k | x_{k+1} ~ N(r x_{k+1}, r s_k^2 I),    r = (sigma_0^2 - sigma_k^2) / (sigma_0^2 - sigma_{k+1}^2).
    """

    @classmethod
    def of(cls, chain: NoisingChain) -> "PinnedChain":
        """The chain of these levels and of this law."""
        return cls(sigmas=chain.sigmas, data_std=chain.data_std)

    @property
    def total_var(self) -> Float[Tensor, " levels"]:
        """The variance of a coordinate of x_k, [K + 1]; 0 at first."""
        share = 1 - self.sigmas.square() / self.sigmas[0].square()
        return share * (share * self.data_std**2 + self.sigmas.square())

    def bridge(self, samples: Points, noise: Noise) -> States:
        """x_0 ... x_K given x_K, [K + 1, b, *event]; draw k of `noise` is behind x_k."""
        passed = self.sigmas[0].square() - self.sigmas.square()
        rho = (passed[:-1] / passed[1:]).to(samples)
        std = self.var.sqrt().to(samples) * rho.sqrt()
        states = [samples]
        for k in reversed(range(self.num_steps)):
            states.append(rho[k] * states[-1] + std[k] * noise.normal(k))
        return torch.stack(states[::-1])

    def policy(self, net: nn.Module, *, event_shape: tuple[int, ...]) -> GaussianPolicy:
        """Steps from 0 that end exactly at a Gaussian of `data_std` while the net gives 0.

        With l = 1/data_std^2 - 1/sigma_0^2 the curvature of -log of that Gaussian over the walk's end, the best step
        shrinks by 1 / (1 + s_k^2 m_k), m_k = l / (1 + l sigma_{k+1}^2). The net is asked and moves as `NoisingChain`'s.
        """
        sigma, clean, var = self.sigmas[:-1], self.sigmas[1:].square(), self.var
        curvature = 1 / self.data_std**2 - 1 / sigma[0].square()
        shrink = 1 / (1 + var * curvature / (1 + curvature * clean))
        asked = self.total_var[:-1].clone()
        asked[0] = 1.0  # x_0 is 0 in any unit
        return GaussianPolicy(
            InUnits(net, asked.rsqrt()),
            event_shape=event_shape,
            scale=shrink,
            gain=var * self.data_std / (sigma * (sigma.square() + self.data_std**2).sqrt()),
            std=(var * shrink).sqrt(),
            trainable_std=[True] * self.num_steps,
            start_std=0.0,
        )

    def log_weights(self, policy: GaussianPolicy, states: States, energies: PerSample) -> PerSample:
        """log of exp(-E(x_K)) / N(x_K; 0, sigma_0^2 I) times the walk's density over the policy's, nats, [b]."""
        total = -energies - _normal_log_prob(states[-1], self.sigmas[0].square().to(states))
        for step, var in enumerate(self.var.to(states)):
            k = torch.full_like(energies, step, dtype=torch.int64)
            walk = _normal_log_prob(states[step + 1] - states[step], var)
            total = total + walk - policy.log_prob(states[step], k, states[step + 1])
        return total


def _normal_log_prob(x: Points, var: Tensor) -> PerSample:
    """log N(x; 0, var I), summed over the event."""
    flat = x.flatten(1)
    return -0.5 * flat.square().sum(dim=1) / var - 0.5 * flat.shape[1] * torch.log(2 * math.pi * var)
