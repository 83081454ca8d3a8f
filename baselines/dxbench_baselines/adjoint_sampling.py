"""Adjoint sampling: a sampler of a given energy by regression on the energy's gradient at kept samples.

Havens et al. 2025, arXiv:2504.11713; equations checked in a copy of its public code and in A. Thiery's notes on
adjoint samplers (alexxthiery.github.io). The reference dX = sigma dW from X_0 = 0 ends at N(0, nu_1 I). With the
terminal cost

    g(x) = E(x) + log N(x; 0, nu_1 I),

the control that makes its end exp(-E) is the least of

    E ||u(X_t, t) + sigma grad g(X_1)||^2,    X_1 of the sampler, X_t of the reference's bridge from 0 to X_1:

the lean adjoint of a reference without drift is the constant grad g(X_1), and the best process has the reference's
bridges (reciprocal projection). So pairs (X_1, grad g(X_1)) are kept, and many steps of the net are taken for each
batch of them.

Here in K Gaussian steps, which is as exact for means: with the walk x_{k+1} = x_k + s_k eps for reference, the best
chain has E[x_{k+1} | x_k] = x_k - s_k^2 E[grad g(x_K) | x_k]. That is `dxmi.training.adjoint` with a walk for its
start, on bridges of `dxmi.sampling.noising.PinnedChain`. Deviations: stds of steps are learned, by that loss's own
term, since a few steps want others than the walk's; the net begins at the chain that is best for a Gaussian of the
law's std, the source's at the reference; ||(m_k - x_k) / s_k^2 + grad g||^2 weighs sigma_k (sigma_k^2 + d^2)^(1/2), d
the law's std, where the loss above weighs s_k^2 and the code 1; an MLP stands for the graph network, so that no
symmetry is built in.
"""

from typing import Any

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from dxbench.api import Compute, Method, Model, Need, Problem, RandomStreams, Training
from dxbench_baselines.starts.given_energy import GivenEnergyConfig, path_model
from dxmi.arrays import Points
from dxmi.energies.gradients import gradient_of
from dxmi.energies.langevin import ReplayBuffer
from dxmi.sampling.noise import StreamNoise
from dxmi.sampling.noising import PinnedChain
from dxmi.sampling.rollouts import sample
from dxmi.sampling.trajectory import Trajectory
from dxmi.training.adjoint import adjoint_matching_loss, replayed_rollout
from dxmi.training.optimisers import Learner


class AdjointSamplingConfig(GivenEnergyConfig):
    """Settings of adjoint sampling."""

    sigma_max: PositiveFloat = Field(default=2.0, description="std of the reference's end, in stds of the law")
    iterations: PositiveInt = Field(default=4800, description="steps of the net")
    lr: PositiveFloat = 5e-3
    passes: PositiveInt = Field(default=8, description="steps of the net for each batch of new samples")
    replay: PositiveInt = Field(default=64, description="batches of samples that are kept")
    max_slope: PositiveFloat = Field(
        default=12.0,
        description="largest gradient of the terminal cost, root mean square, in units of 1 / std of the law",
    )


class AdjointSampling(Method):
    """Adjoint sampling: a given energy sampled by a policy regressed on the energy's gradient at kept samples."""

    name = "adjoint_sampling"
    version = 1
    family = "given energy"
    citation = "Havens et al. 2025, arXiv:2504.11713"
    recipes = ".recipes.adjoint_sampling"
    Config = AdjointSamplingConfig
    needs = frozenset({Need.ENERGY, Need.VECTORS})

    def start(
        self, problem: Problem, config: AdjointSamplingConfig, *, compute: Compute, rng: RandomStreams
    ) -> Training:
        return AdjointSamplingTraining(problem, config, compute, rng)


class AdjointSamplingTraining(Training):
    """One step of the net per step; every `passes` of them, a batch of new samples takes the place of the oldest.

    Attributes:
        kept: samples and the gradients of the terminal cost there, [rows, 2, *event].
    """

    def __init__(self, problem: Problem, config: AdjointSamplingConfig, compute: Compute, rng: RandomStreams) -> None:
        assert problem.energy is not None  # the harness grants what `needs` lists
        self.config, self.energy, std = config, problem.energy, problem.data_std
        self.max_slope = config.max_slope / std
        self.chain = PinnedChain.of(config.chain(problem))
        self.policy = config.policy(problem, self.chain, rng).to(compute.device)
        self.learner = Learner(
            self.policy,
            lr=config.lr,
            iterations=config.iterations,
            ema_decay=config.ema_decay,
            max_grad_norm=config.max_grad_norm,
        )
        self.weights = std / self.policy.gain
        self.walk_log_std = 0.5 * self.chain.var.log().float().to(compute.device)
        self.kept = ReplayBuffer(config.replay * config.batch_size, (2, *problem.event_shape)).to(compute.device)
        self.generator = rng.torch("noise", device=compute.device)
        self.noise = StreamNoise(
            batch_size=config.batch_size, event_shape=problem.event_shape, generator=self.generator
        )
        self.taken = 0

    @property
    def total_steps(self) -> int:
        return self.config.iterations

    def step(self) -> dict[str, float | Tensor]:
        if self.taken % self.config.passes == 0:
            samples = sample(self.policy, self.noise)
            self.kept.push(torch.stack([samples, self.slope(samples)], dim=1))
        self.taken += 1
        samples, slope = self.kept.draw(self.config.batch_size, generator=self.generator).unbind(1)
        rollout = replayed_rollout(self.policy, Trajectory(states=self.chain.bridge(samples, self.noise)))
        loss = adjoint_matching_loss(
            rollout,
            self.policy.step_log_stds(),
            adjoint=slope.expand_as(rollout.means),
            start_means=rollout.chains.states[:-1],
            start_log_std=self.walk_log_std,
            temperature=1.0,
            weights=self.weights,
        )
        return {"matching_loss": self.learner.descend(loss.mean() * (len(slope) / rollout.means.numel()))}

    def slope(self, samples: Points) -> Points:
        """grad g, cut to `max_slope`.

        Raises:
            ValueError: if the energy has a gradient that is not finite.
        """
        gradient = gradient_of(self.energy, samples)
        broken = ~torch.isfinite(gradient.flatten(1)).all(dim=1)
        if broken.any():
            raise ValueError(
                f"the energy has no finite gradient at {int(broken.sum()):,} of {len(samples):,} samples, where "
                "adjoint_sampling has nothing to learn from; let the energy go on with a finite slope there"
            )
        slope = gradient - samples / self.chain.sigmas[0].square().to(samples)
        size = slope.flatten(1).square().mean(dim=1).sqrt()
        return slope * (self.max_slope / size).clamp(max=1.0)[:, None]

    def _parts(self) -> dict[str, Any]:
        return {"learner": self.learner, "kept": self.kept}

    def state_dict(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in self._parts().items()} | {"taken": self.taken}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.taken = state["taken"]
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def model(self) -> Model:
        policy = self.learner.average
        assert isinstance(policy, type(self.policy))
        return path_model(policy, self.chain, self.energy)
