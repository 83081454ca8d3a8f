"""One sample out of several candidates, chosen by an energy or by values.

A sample's candidates come from its own seed, so that none depends on the batch that it is drawn in.
"""

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from dxmi.arrays import ClassLabels, PerSample, PerStep, Points, SampleSeeds, States, StepIndex
from dxmi.models.policy import PolicySampler
from dxmi.protocols import GuidingValue
from dxmi.sampling.noise import candidate_seeds
from dxmi.sampling.policies import GaussianPolicy
from dxmi.training.costs import StepCost


@runtime_checkable
class SeededSampler(Protocol):
    """Samples of seeds, and of class labels where there are any."""

    @property
    def networks(self) -> tuple[nn.Module, ...]: ...

    def trajectory(self, seeds: SampleSeeds, labels: ClassLabels | None = None) -> States: ...


@dataclass(frozen=True, kw_only=True)
class Objective:
    """V_{k+1}(x_{k+1}) + cost, which a policy step of DxMI minimises, at a temperature (arXiv:2407.00626, Eq. 11).

    Attributes:
        velocity: the s_k^2 of the cost, [K].
        temperature: tau / D, that of the energy.
    """

    value: GuidingValue
    cost: StepCost
    velocity: PerStep
    temperature: float


@dataclass(frozen=True, kw_only=True)
class BestOf:
    """The candidate of lowest energy. Its law leans towards the modes of the energy, the more the more there are."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    kind: Literal["best_of"] = "best_of"
    candidates: PositiveInt = 2

    def applied(self, sampler: PolicySampler, objective: Objective) -> "BestSampler":
        """The sampler with this choice at the end of its chains."""
        return BestSampler(sampler=sampler, value=objective.value, candidates=self.candidates)


@dataclass(frozen=True, kw_only=True)
class Resampling:
    """Several candidates of each step, of which one goes on (`ResampledPolicy`)."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    kind: Literal["resampling"] = "resampling"
    candidates: PositiveInt = 2

    def applied(self, sampler: PolicySampler, objective: Objective) -> PolicySampler:
        """The sampler with this choice at each of its steps."""
        policy = ResampledPolicy(sampler.policy, objective, candidates=self.candidates)
        return replace(sampler, policy=policy, beside=objective.value.networks)


AnySelection = Annotated[BestOf | Resampling, Field(discriminator="kind")]


@dataclass(frozen=True, kw_only=True, eq=False)
class BestSampler:
    """The chain whose end has the lowest energy, among some of a seed's own."""

    sampler: SeededSampler
    value: GuidingValue
    candidates: int

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The networks that one sample evaluates, those of the energy among them."""
        return (*self.sampler.networks, *self.value.networks)

    def sample(self, seeds: SampleSeeds, labels: ClassLabels | None = None) -> Points:
        """Samples of seeds, and of class labels where there are any."""
        return self.trajectory(seeds, labels)[-1]

    def trajectory(self, seeds: SampleSeeds, labels: ClassLabels | None = None) -> States:
        """All states of the chosen chains, noise first."""
        n = self.candidates
        of_each = () if labels is None else (labels.repeat_interleave(n),)
        states = self.sampler.trajectory(candidate_seeds(seeds, n).flatten(), *of_each)
        with torch.no_grad():
            best = self.value.energy(states[-1]).unflatten(0, (-1, n)).argmin(dim=1)
        return states[:, best + n * torch.arange(len(seeds), device=best.device)]


class ResampledPolicy(GaussianPolicy):
    """n draws of a Gaussian policy at each step, of which one is kept in proportion to pi* / pi.

    pi*(x_{k+1} | x_k), proportional to exp(-(V_{k+1}(x_{k+1}) + cost) / temperature), is what minimises the objective
    of a policy step among all laws; the policy pi is nearest to it among Gaussians. Sampling importance resampling
    (Rubin 1988) is exact for many draws, and for any number where pi = pi*, since all weights are then equal. The
    policy is evaluated once for all n, the value at each. A draw of noise is that of n events and, behind them,
    n numbers that decide.
    """

    def __init__(self, policy: GaussianPolicy, objective: Objective, *, candidates: int) -> None:
        steps = policy.num_steps
        super().__init__(
            policy.net,
            event_shape=policy.event_shape,
            scale=policy.scale,
            gain=policy.gain,
            std=torch.ones(steps),
            trainable_std=[True] * steps,
            start_std=policy.start_std,
        )
        self.learned_log_std, self.start_log_std = policy.learned_log_std, policy.start_log_std
        self.std_is_trainable = policy.std_is_trainable
        self.objective, self.candidates = objective, candidates

    @property
    def noise_shape(self) -> tuple[int, ...]:
        return (self.candidates * (torch.Size(self.event_shape).numel() + 1),)

    def start(self, eps: Tensor) -> Points:
        return super().start(self._split(eps)[0][:, 0])

    def draw(self, x: Points, k: StepIndex, eps: Tensor, given: Tensor | None = None) -> Points:
        noise, decision = self._split(eps)
        n, flat = self.candidates, noise.flatten(0, 1)
        mean, std = self.mean(x, k, given), self.log_std(k).exp()
        x_next = mean[:, None] + std.reshape(-1, *[1] * mean.ndim) * noise
        weights = self.log_weights(
            x.repeat_interleave(n, dim=0), x_next.flatten(0, 1), k.repeat_interleave(n), flat
        ).unflatten(0, (-1, n))
        # The largest of log weights with Gumbel noise is each with its share (Gumbel 1954).
        chosen = (weights - (-torch.special.log_ndtr(decision)).log()).argmax(dim=1)
        return x_next[torch.arange(len(x), device=x.device), chosen]

    def log_weights(self, x: Points, x_next: Points, k: StepIndex, eps: Points) -> PerSample:
        """log pi* / pi of draws by the noise eps, up to a number that the candidates of a step share."""
        objective, log_std = self.objective, self.log_std(k)
        cost = objective.cost(x, x_next, k, log_std, objective.velocity[k])
        goal = objective.value.value(x_next, k + 1) + cost
        return 0.5 * eps.flatten(1).square().sum(dim=1) - goal / objective.temperature

    def _split(self, eps: Tensor) -> tuple[Float[Tensor, "b n *event"], Float[Tensor, "b n"]]:
        events = eps[:, : -self.candidates].unflatten(1, (self.candidates, *self.event_shape))
        return events, eps[:, -self.candidates :]
