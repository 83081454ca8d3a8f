"""Denoising diffusion sampler: a policy trained on a given energy by the gradient through its whole chain.

Vargas, Grathwohl, Doucet 2023, arXiv:2302.13834 (and PIS, Zhang and Chen 2022, arXiv:2111.15141): the law of the
sampler's chain is brought to that of a noising chain that begins at exp(-E), by

    E(x_K) + sum_k [log pi(x_{k+1} | x_k) - log q(x_k | x_{k+1})],

minus the log of the chain's weight, whose mean is minimised with the noise held (`reparametrised_rollout`). Deviations:
the noising chain adds noise and does not shrink (as EDM's, arXiv:2206.00364, where the source's keeps the variance);
the std of a step is learned; the net does not see the gradient of the energy, so that drawing calls no energy, where
the source's drift has a term in it; log pi stands by its expectation, as in `dxdp`.
"""

from typing import Any

from torch import Tensor

from dxbench.api import Compute, Method, Model, Need, Problem, RandomStreams, Training
from dxbench_baselines.starts.given_energy import GivenEnergyConfig, path_model
from dxmi.sampling.noise import StreamNoise
from dxmi.sampling.rollouts import reparametrised_rollout
from dxmi.training.costs import PathCost
from dxmi.training.optimisers import Learner


class DDSConfig(GivenEnergyConfig):
    """Settings of the denoising diffusion sampler."""


class DDS(Method):
    """Denoising diffusion sampler: a given energy sampled by a policy trained through its whole chain."""

    name = "dds"
    version = 1
    family = "given energy"
    citation = "Vargas, Grathwohl, Doucet 2023, arXiv:2302.13834"
    recipes = ".recipes.dds"
    Config = DDSConfig
    needs = frozenset({Need.ENERGY, Need.VECTORS})

    def start(self, problem: Problem, config: DDSConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        return DDSTraining(problem, config, compute, rng)


class DDSTraining(Training):
    """One chain per row of a batch, one step of the policy."""

    def __init__(self, problem: Problem, config: DDSConfig, compute: Compute, rng: RandomStreams) -> None:
        assert problem.energy is not None  # the harness grants what `needs` lists
        self.config, self.energy = config, problem.energy
        self.chain = config.chain(problem)
        self.policy = config.policy(problem, self.chain, rng).to(compute.device)
        self.learner = Learner(
            self.policy,
            lr=config.lr,
            iterations=config.iterations,
            ema_decay=config.ema_decay,
            max_grad_norm=config.max_grad_norm,
        )
        self.var = self.chain.var.float().to(compute.device)
        self.noise = StreamNoise(
            batch_size=config.batch_size,
            event_shape=self.policy.noise_shape,
            generator=rng.torch("noise", device=compute.device),
        )

    @property
    def total_steps(self) -> int:
        return self.config.iterations

    def step(self) -> dict[str, float | Tensor]:
        chains = reparametrised_rollout(self.policy, self.noise)
        energy = self.energy(chains.samples).mean()
        move = chains.transitions(tuple(range(self.chain.num_steps)))
        cost = PathCost()(move.x, move.x_next, move.k, self.policy.log_std(move.k), self.var[move.k])
        path = cost.mean() * self.chain.num_steps
        self.learner.descend(energy + path)
        return {"energy_samples": energy.detach(), "path_cost": path.detach()}

    def state_dict(self) -> dict[str, Any]:
        return {"learner": self.learner.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.learner.load_state_dict(state["learner"])

    def model(self) -> Model:
        policy = self.learner.average
        assert isinstance(policy, type(self.policy))
        return path_model(policy, self.chain, self.energy)
