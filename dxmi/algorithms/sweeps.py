"""Choose which transitions of a rollout share one optimiser step, and in which order."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Int
from torch import Generator, Tensor


@runtime_checkable
class PolicySweep(Protocol):
    """The choice of transitions that the policy learns from."""

    def steps(self, chains: int, generator: Generator) -> Iterable[Int[Tensor, " s b"]]:
        """Choose for each optimiser step s sampling steps of each of the chains (`Trajectory.at`)."""
        ...


class StepGroups(tuple[tuple[int, ...], ...]):
    """Whole steps, of all chains: each group holds consecutive ones. A sweep of values and of the policy."""

    def steps(self, chains: int, generator: Generator) -> Iterable[Int[Tensor, " s b"]]:
        for group in self:
            yield torch.tensor(group, device=generator.device)[:, None].expand(-1, chains)


def batched_sweep(num_steps: int, first: int = 0) -> StepGroups:
    """Steps first .. K - 1 in one forward pass and one optimiser step."""
    return StepGroups([tuple(range(first, num_steps))])


def sequential_sweep(num_steps: int, first: int = 0) -> StepGroups:
    """One optimiser step per step, k = K - 1 first, as Algorithm 1 is written and the released code runs it."""
    return StepGroups([(k,) for k in reversed(range(first, num_steps))])


@dataclass(frozen=True, kw_only=True)
class ShuffledSteps:
    """Minibatches of one transition per chain, each chain at a random step: the "random x_t" of Algorithm 2.

    A chain's steps come in random order without repetition: `minibatches` = K walks over all transitions, 1 takes one
    in K. (Released code: 1 on CIFAR-10, `n_generator`, and K on ImageNet and LSUN, of the rows of all chains shuffled
    together. Here each chain gives one row to a minibatch, so that a batch can be cut by chains; a row is as likely to
    be any transition.)

    Attributes:
        first: the step that the transitions begin at.

    Raises:
        ValueError: unless 1 <= minibatches <= num_steps - first.
    """

    num_steps: int
    minibatches: int
    first: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.minibatches <= self.num_steps - self.first:
            raise ValueError(
                f"got {self.minibatches} minibatches for {self.num_steps - self.first} steps; wanted 1 to that many"
            )

    def steps(self, chains: int, generator: Generator) -> Iterable[Int[Tensor, " s b"]]:
        shape = (self.num_steps - self.first, chains)
        order = torch.rand(shape, generator=generator, device=generator.device).argsort(dim=0) + self.first
        yield from order[: self.minibatches, None]
