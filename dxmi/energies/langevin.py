"""Langevin chains and the buffer that keeps their ends, for energies trained by MCMC."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from dxmi.arrays import Points, per_sample
from dxmi.energies.gradients import Potential, gradient_of
from dxmi.geometry.spaces import Space

GradientRule = Callable[[Points], Points]


def unchanged(gradient: Points) -> Points:
    """The gradient as it is."""
    return gradient


def clipped(max_norm: float) -> GradientRule:
    """Gradients of larger norm are shortened to it, row by row."""

    def rule(gradient: Points) -> Points:
        norm = gradient.flatten(1).norm(dim=1).clamp(min=torch.finfo(gradient.dtype).tiny)
        return gradient * per_sample((max_norm / norm).clamp(max=1.0), gradient)

    return rule


def normalised(gradient: Points) -> Points:
    """Unit gradients, row by row: every step has one length (MPDR's latent chain)."""
    norm = gradient.flatten(1).norm(dim=1).clamp(min=torch.finfo(gradient.dtype).tiny)
    return gradient * per_sample(1.0 / norm, gradient)


def harmonic(std: float, num_steps: int) -> tuple[float, ...]:
    """Noise that fades: std / (1 + i) at step i (NAE, arXiv:2105.05735)."""
    return tuple(std / (1 + i) for i in range(num_steps))


@dataclass(frozen=True, kw_only=True)
class Langevin:
    """x <- x - step_size rule(grad U(x)) + std_i eps, one step per entry of `stds`, along `space`.

    With step_size = std^2 / (2 T) and small steps the chain's law tends to exp(-U / T). Published energies are trained
    at far larger step_size / std^2, that is at a low temperature; both are free here for that reason.
    """

    step_size: float
    stds: Sequence[float]
    space: Space
    rule: GradientRule = unchanged

    def __call__(self, potential: Potential, start: Points, *, generator: Generator) -> Points:
        """Ends of the chains that begin at `start`, without a gradient."""
        x = start.detach()
        for std in self.stds:
            gradient = gradient_of(potential, x)
            eps = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
            drift = self.rule(self.space.tangent(x, gradient))
            x = self.space.move(x, std * eps - self.step_size * drift)
        return x


class ReplayBuffer(nn.Module):
    """Ends of earlier chains, from which later ones begin (persistent contrastive divergence, Tieleman 2008).

    Attributes:
        kept: [capacity, *event]; the first `size` rows are filled, then the oldest is replaced.
    """

    kept: Tensor
    counts: Tensor

    def __init__(self, capacity: int, event_shape: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("kept", torch.zeros(capacity, *event_shape))
        self.register_buffer("counts", torch.zeros((), dtype=torch.int64))

    @property
    def size(self) -> int:
        return min(int(self.counts), len(self.kept))

    def mix(self, fresh: Points, *, reuse: float, generator: Generator) -> Points:
        """`fresh` with each row replaced, with probability `reuse`, by a kept one; all fresh while nothing is kept."""
        if self.size == 0:
            return fresh
        kept = self.draw(len(fresh), generator=generator)
        old = torch.rand((len(fresh),), generator=generator, device=fresh.device) < reuse
        return torch.where(per_sample(old, fresh), kept, fresh)

    def draw(self, n: int, *, generator: Generator) -> Points:
        """n of the rows that are kept, one of them at least, each as likely as another."""
        return self.kept[torch.randint(self.size, (n,), generator=generator, device=self.kept.device)]

    def push(self, ends: Points) -> None:
        """Keep these; of more than the capacity, the last."""
        ends = ends.detach()[-len(self.kept) :]
        rows = (self.counts + torch.arange(len(ends), device=self.kept.device)) % len(self.kept)
        self.kept[rows] = ends
        self.counts += len(ends)
