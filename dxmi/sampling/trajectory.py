"""Records of rollouts."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from dxmi.arrays import ClassLabels


@dataclass(frozen=True, kw_only=True, slots=True)
class Transition:
    """Kernel draws k -> k + 1 of a batch; rows may belong to different steps."""

    x: Float[Tensor, " b *event"]
    x_next: Float[Tensor, " b *event"]
    k: Int[Tensor, " b"]
    labels: ClassLabels | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Trajectory:
    """States x_0 (noise) ... x_K (samples) of b chains: `states[k]` is x_k; `labels` are their classes, if any."""

    states: Float[Tensor, " steps b *event"]
    labels: ClassLabels | None = None

    @property
    def num_steps(self) -> int:
        return self.states.shape[0] - 1

    @property
    def samples(self) -> Float[Tensor, " b *event"]:
        return self.states[-1]

    def chains(self, rows: slice) -> "Trajectory":
        """Some of the chains."""
        labels = None if self.labels is None else self.labels[rows]
        return Trajectory(states=self.states[:, rows], labels=labels)

    def transitions(self, steps: tuple[int, ...]) -> Transition:
        """Transitions of the given steps, stacked step by step into one batch of len(steps) * b rows."""
        index = torch.tensor(steps, device=self.states.device)
        return self.at(index[:, None].expand(-1, self.states.shape[1]))

    def at(self, steps: Int[Tensor, " s b"]) -> Transition:
        """Transitions at s steps of each chain, row by row: steps[:, i] are those of chain i."""
        chain = torch.arange(steps.shape[1], device=self.states.device).expand_as(steps)
        return Transition(
            x=self.states[steps, chain].flatten(0, 1),
            x_next=self.states[steps + 1, chain].flatten(0, 1),
            k=steps.flatten(),
            labels=None if self.labels is None else self.labels[chain].flatten(),
        )
