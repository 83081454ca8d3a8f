"""What a rollout leaves behind."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Transition:
    """Kernel draws k -> k + 1 of a batch; rows may belong to different steps."""

    x: Float[Tensor, " b *event"]
    x_next: Float[Tensor, " b *event"]
    k: Int[Tensor, " b"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Trajectory:
    """States x_0 (noise) ... x_K (samples) of b chains: `states[k]` is x_k."""

    states: Float[Tensor, " steps b *event"]

    @property
    def num_steps(self) -> int:
        return self.states.shape[0] - 1

    @property
    def samples(self) -> Float[Tensor, " b *event"]:
        return self.states[-1]

    def chains(self, rows: slice) -> "Trajectory":
        """Some of the chains."""
        return Trajectory(states=self.states[:, rows])

    def transitions(self, steps: tuple[int, ...]) -> Transition:
        """Transitions of the given steps, stacked step by step into one batch of len(steps) * b rows."""
        index = torch.tensor(steps, device=self.states.device)
        x, x_next = self.states[index], self.states[index + 1]
        return Transition(
            x=x.flatten(0, 1),
            x_next=x_next.flatten(0, 1),
            k=index.repeat_interleave(self.states.shape[1]),
        )
