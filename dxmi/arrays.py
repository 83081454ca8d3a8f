"""Shapes: one leading axis of samples, any event axes behind it."""

from jaxtyping import Float, Int
from torch import Tensor

Points = Float[Tensor, " b *event"]
States = Float[Tensor, " steps b *event"]
PerSample = Float[Tensor, " b"]
PerStep = Float[Tensor, " K"]
StepIndex = Int[Tensor, " b"]
SampleSeeds = Int[Tensor, " b"]
ClassLabels = Int[Tensor, " b"]

__all__ = ["ClassLabels", "PerSample", "PerStep", "Points", "SampleSeeds", "States", "StepIndex", "per_sample"]


def per_sample(values: Tensor, like: Points) -> Tensor:
    """[b] with as many axes of length 1 behind it as `like` has event axes."""
    return values.reshape(-1, *([1] * (like.ndim - 1)))
