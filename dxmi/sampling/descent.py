"""Ways down an energy: Langevin steps whose noise is ramped up, and gradient descent with or without momentum.

All follow x' = -grad V(x) from noise. V has no time; t, which a step of size h moves by h, only says how much noise
there is.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor

from dxmi.arrays import PerSample, Points, per_sample
from dxmi.sampling.noise import Noise

Gradient = Callable[[Points], Points]


@dataclass(frozen=True, kw_only=True)
class Temperature:
    """epsilon(t): 0 before `ramp`, then rising in a line to `highest` at t = 1, where it stays.

    Balcerak et al. 2025, arXiv:2504.10612. With ramp = 1 it is a step.

    Raises:
        ValueError: unless highest > 0 and ramp lies in [0, 1].
    """

    highest: float
    ramp: float

    def __post_init__(self) -> None:
        if self.highest <= 0 or not 0 <= self.ramp <= 1:
            raise ValueError(f"got highest={self.highest}, ramp={self.ramp}; wanted above 0, and from 0 to 1")

    def share(self, t: Tensor) -> Tensor:
        """epsilon(t) / highest, from 0 to 1."""
        return (t >= 1).to(t) if self.ramp == 1 else ((t - self.ramp) / (1 - self.ramp)).clamp(0.0, 1.0)

    def __call__(self, t: Tensor) -> Tensor:
        return self.highest * self.share(t)


class Descent(ABC):
    """A way from noise to samples; draw k + 1 of the noise belongs to step k."""

    @abstractmethod
    def states(self, gradient: Gradient, start: Points, noise: Noise) -> Iterator[Points]:
        """x after every step, `start` first."""

    def __call__(self, gradient: Gradient, start: Points, noise: Noise) -> Points:
        """The end."""
        return deque(self.states(gradient, start, noise), maxlen=1).pop()

    @property
    @abstractmethod
    def gradients(self) -> int:
        """Gradients that one sample takes."""


@dataclass(frozen=True, kw_only=True)
class LangevinDescent(Descent):
    """x <- x - h grad V(x) + sqrt(2 epsilon(t) h) eps, t = k h.

    Attributes:
        step_size: h.
        steps: how many.
        temperature: epsilon.
        begun: t at the start; 1 for chains that have their full noise from the first step.
    """

    step_size: float
    steps: int
    temperature: Temperature
    begun: PerSample | float = 0.0

    def states(self, gradient: Gradient, start: Points, noise: Noise) -> Iterator[Points]:
        x = start
        yield x
        for k in range(self.steps):
            x = self.step(gradient, x, self._std(x, k) * noise.normal(k + 1))
            yield x

    def _std(self, x: Points, k: int) -> Tensor:
        t = x.new_full((len(x),), k * self.step_size) + self.begun
        return per_sample((2 * self.temperature(t) * self.step_size).sqrt(), x)

    def step(self, gradient: Gradient, x: Points, kick: Points) -> Points:
        """One step with this noise, by Euler and Maruyama."""
        return x - self.step_size * gradient(x) + kick

    @property
    def gradients(self) -> int:
        return self.steps


class HeunLangevinDescent(LangevinDescent):
    """The same by Heun's method: order 2 in the drift, two gradients a step."""

    def step(self, gradient: Gradient, x: Points, kick: Points) -> Points:
        first = gradient(x)
        second = gradient(x - self.step_size * first + kick)
        return x - self.step_size * (first + second) / 2 + kick

    @property
    def gradients(self) -> int:
        return 2 * self.steps


@dataclass(frozen=True, kw_only=True)
class GradientDescent(Descent):
    """x_{k+1} = x_k - h grad V(x_k + momentum (x_k - x_{k-1})): Nesterov's, and plain where momentum is 0.

    Wang & Du 2025, arXiv:2510.02300, Section 3.3. It has no noise but the start's.
    """

    step_size: float
    steps: int
    momentum: float = 0.0

    def states(self, gradient: Gradient, start: Points, noise: Noise) -> Iterator[Points]:
        x, before = start, start
        yield x
        for _ in range(self.steps):
            x, before = x - self.step_size * gradient(x + self.momentum * (x - before)), x
            yield x

    @property
    def gradients(self) -> int:
        return self.steps
