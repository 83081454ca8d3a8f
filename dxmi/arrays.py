"""Shape aliases. One leading axis of samples, any event axes behind it."""

from jaxtyping import Float, Int
from torch import Tensor

Points = Float[Tensor, " b *event"]
PerSample = Float[Tensor, " b"]
PerStep = Float[Tensor, " K"]
StepIndex = Int[Tensor, " b"]
SampleSeeds = Int[Tensor, " b"]
ClassLabels = Int[Tensor, " b"]

__all__ = ["ClassLabels", "PerSample", "PerStep", "Points", "SampleSeeds", "StepIndex"]
