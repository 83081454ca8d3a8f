"""Problems: all that a method may see of a task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

from dxbench.api.models import Model
from dxbench.errors import UsageError


class DataSource(Protocol):
    """Training data of a task."""

    def batch(self, n: int, *, rng: "np.random.Generator") -> "Tensor":
        """[n, *event] float32 on the CPU; the only source of randomness is `rng`."""
        ...


class NoData:
    """The training data of a task that gives an energy to call, and none: a `DataSource` that refuses."""

    def batch(self, n: int, *, rng: "np.random.Generator") -> "Tensor":
        """Raises UsageError, with the remedy, in a method that takes data for granted."""
        raise UsageError(
            "the task gives an energy to call and no training data; list Need.TRAINING_DATA in the method's `needs`, "
            "so that it is skipped here, or call `problem.energy`"
        )


@runtime_checkable
class FiniteData(DataSource, Protocol):
    """Training data that are a set of points (`Need.FINITE_DATA`)."""

    @property
    def points(self) -> "Tensor":
        """All of them, [n, *event] float32 on the CPU."""
        ...


@runtime_checkable
class PatchData(FiniteData, Protocol):
    """Training points that are patches of images (`Need.PATCHES`): image after image, in each row by row."""

    @property
    def grid(self) -> tuple[int, int]:
        """Rows h and columns w of an image's patches; `points` [n h w, d] viewed as [n, h, w, d] are n images."""
        ...


@runtime_checkable
class LabelledData(DataSource, Protocol):
    """Training data of a task with classes (`Problem.num_classes`)."""

    def labelled_batch(self, n: int, *, rng: "np.random.Generator") -> "tuple[Tensor, Tensor]":
        """Points as of `batch`, and their classes, int64 [n] in 0 .. num_classes - 1, on the CPU."""
        ...


class Pretrained(Protocol):
    """Official weights that a task lets methods begin from, each under a name of the task's, such as "ddpm"."""

    @property
    def names(self) -> Sequence[str]: ...

    def require(self, name: str) -> None:
        """Ask for a file without reading it.

        Raises:
            UsageError: if the task grants no weights of that name.
            MissingData: if the file is absent, with the `dxbench prepare` command that fetches it.
        """
        ...

    def load(self, name: str) -> "Mapping[str, Tensor]":
        """The file's tensors on the CPU, by the names its authors gave them; nothing in it is executed.

        Raises:
            UsageError, MissingData: as `require`.
            InvalidFile: if its hash is another, it is cut short, or asks for anything but tensors.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Problem:
    """All that a method may see of a task. Images are events (C, H, W) in [-1, 1].

    Attributes:
        data: training data; `LabelledData` where there are classes, `NoData` where an energy is given in their place.
        data_std: standard deviation of one coordinate of the data, a fact tasks publish; of a given energy, that of its
            law at temperature 1.
        num_classes: a model draws samples of a class (`Model.num_classes`); None where it draws without.
        pretrained: official weights to begin from; None where the task grants none.
        oracle: the truth as a model, handed only to reference rows (`Need.ORACLE`).
        energy: a given energy to sample from (`Need.ENERGY`), points [b, *event] to [b] in nats, without parameters,
            differentiable by torch; p is proportional to exp(-E). The harness counts the points that it is called at,
            and those whose gradient is taken. A model that calls it to draw samples lists it among its `networks`.
    """

    task: str
    event_shape: tuple[int, ...]
    data: DataSource
    data_std: float
    num_classes: int | None = None
    pretrained: Pretrained | None = None
    oracle: "Model | None" = None
    energy: "nn.Module | None" = None


@dataclass(frozen=True, kw_only=True)
class ProblemSet:
    """Problems of one task that know nothing of each other: one model is trained for each, by name."""

    parts: Mapping[str, Problem]

    def __post_init__(self) -> None:
        assert self.parts, "a task without a problem"
