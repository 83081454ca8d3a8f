"""Methods: configuration, training, and the machine that they run on."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from pydantic import ConfigDict, JsonValue

from dxbench.api.streams import RandomStreams

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.amp import GradScaler

from dxbench.api.models import Model
from dxbench.api.problems import Problem
from dxbench.api.values import Frozen


class Config(Frozen):
    """Base of a method's configuration. Every field needs a default or a recipe that sets it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)

    def needs(self) -> "frozenset[Need]":
        """Needs of the method in this configuration, beside its own `needs`."""
        return frozenset()

    def official_weights(self) -> tuple[str, ...]:
        """Names of the official weights (`Problem.pretrained`) that training begins from."""
        return ()

    def uses_data(self) -> bool:
        """True if the training data are used; False where official weights are sampled as they are."""
        return True

    def shared_start(self) -> JsonValue:
        """All that the trained start of a run depends on beside its task and seed; None where no other run shares it.

        Runs that say the same find in `Compute.store` what one of them has trained. A sweep trains it once, before
        them.
        """
        return None

    def selected_on_test(self) -> bool:
        """True if a choice behind these weights, such as of a checkpoint, looked at what the final score uses."""
        return False


class Need(StrEnum):
    """Conditions of a method; an unmet need ends the run as `skipped`, with the reason."""

    TRAINING_DATA = "training data"
    FINITE_DATA = "a finite training set"
    VECTORS = "data that are plain vectors, not images"
    SMALL_EVENTS = "vectors, or images of at most 1,024 values"
    IMAGES = "images"
    PATCHES = "patches of images"
    ORACLE = "the true distribution"
    ENERGY = "a given energy to call"
    TRUE_SCORE = "the scores of the true distribution under noise"
    CUDA = "a CUDA device"


class Slot(Protocol):
    """A place for one trained part."""

    def load(self) -> dict[str, Any] | None:
        """Return the part that was saved there, or None."""
        ...

    def save(self, state: dict[str, Any]) -> None: ...


class Store(Protocol):
    """Trained parts kept between the runs of one task, such as a backbone that several methods begin from."""

    def slot(self, content: "JsonValue") -> Slot:
        """The place for what `content` describes: all that the part depends on."""
        ...


class Parallel(Protocol):
    """The spread of a batch's rows over processes and micro-batches, and the precision of networks.

    A batch size is that of the whole batch. Every process draws the random numbers of the whole batch from the same
    streams, works on its own rows, and sums gradients and logged means over processes, so that training is the same
    however it is spread, but for the order of sums. `dxmi.training` does this for losses that are means over rows.
    """

    def rows(self, batch_size: int) -> slice:
        """This process's rows of a batch."""
        ...

    def micro_batches(self, num_rows: int) -> Sequence[slice]:
        """This process's rows, counted from its first, cut into those that go through networks together."""
        ...

    def sum(self, tensors: "Sequence[Tensor]") -> None:
        """Replaces each tensor by its sum over processes. All processes call it in the same order."""
        ...

    def autocast(self) -> AbstractContextManager[object]:
        """The precision of networks, around their forward passes."""
        ...

    def scaler(self) -> "GradScaler":
        """A new scale of losses, for one optimiser: in float16 small gradients would vanish. Passes through else."""
        ...


class Execution(Protocol):
    """The way a machine executes networks; it changes what they give by rounding alone."""

    def prepare(self, net: "nn.Module") -> None:
        """Take a network that is about to be trained for one that may be compiled, in place, before its first step.

        Its parameters keep their names and values, and copies of it are not compiled. A network whose gradient is
        differentiated again is not to be handed over.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Compute:
    """The machine that a run computes on.

    Attributes:
        device: the torch device.
        threads: CPU threads.
        store: where trained parts are kept, if anywhere.
        parallel: how batches are spread; None where all rows go through in one pass of this process, in float32. Given
            to methods that say `parallel = True`.
        execution: how networks are executed; None for as they are written.
    """

    device: str
    threads: int
    store: Store | None = None
    parallel: Parallel | None = None
    execution: Execution | None = None

    def prepare(self, net: "nn.Module") -> None:
        """Let a network of images that is about to be trained be compiled where this pays (`Execution`)."""
        if self.execution is not None:
            self.execution.prepare(net)


class Training(ABC):
    """A method at work. The harness owns the loop: progress, logs, checkpoints, limits and resume."""

    @property
    @abstractmethod
    def total_steps(self) -> int: ...

    @abstractmethod
    def step(self) -> "Mapping[str, float | Tensor]":
        """One step; returns scalars to log. A scalar that is not finite ends the run as failed."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Nested dicts and lists of tensors and plain values: all that the next step depends on, save the
        streams of `rng`, which the harness keeps."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None: ...

    @abstractmethod
    def model(self) -> Model: ...


class NoTraining(Training):
    """Training of a method that trains nothing."""

    def __init__(self, model: Model) -> None:
        self._model = model

    @property
    def total_steps(self) -> int:
        return 0

    def step(self) -> "Mapping[str, float | Tensor]":
        raise RuntimeError("nothing to train")

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        assert not state

    def model(self) -> Model:
        return self._model


class Method(ABC):
    """A way to get a model for a problem. One class in one file is a method.

    Attributes:
        name: as typed after --method.
        version: raised whenever its numbers move.
        reference: True for reference rows (floor, ideal), which do not rank.
        family: what boards filter by, such as "diffusion", "energy-based", "consistency", "adversarial", "reference".
        citation: where it comes from, as authors, year and identifier.
        selected_on_test: True if a choice of its training looks at what the final score uses; such rows do not rank.
        Config: its frozen configuration.
        needs: what it cannot run without.
        recipes: the module that has its presets as `RECIPES`, from (task or family of data, preset) to a function that
            returns a configuration; a name that begins with a dot is relative to the method's package, `__name__` is
            the method's own module. It is imported when a preset is asked for. "" for a method with its default alone.
        parallel: True if its training spreads batches as `Compute.parallel` says. Others run in one process, all rows
            at once, in float32.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    reference: ClassVar[bool] = False
    family: ClassVar[str] = "other"
    citation: ClassVar[str] = ""
    selected_on_test: ClassVar[bool] = False
    Config: ClassVar[type[Config]]
    needs: ClassVar[frozenset[Need]] = frozenset({Need.TRAINING_DATA})
    recipes: ClassVar[str] = ""
    parallel: ClassVar[bool] = False

    @classmethod
    def pretrained(cls, config: Any) -> tuple[str, ...]:
        """Names of the official weights (`Problem.pretrained`) that a configuration begins from: those that it says.

        Where one is absent the run ends as `skipped`, before anything is trained, and says how to fetch it.
        """
        return config.official_weights()

    @classmethod
    def migrate_config(cls, config: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """A configuration that an earlier version recorded, in today's form; today's stays as it is.

        `dxbench records migrate` asks it, and makes the overrides of a record from what it gives.
        """
        return dict(config)

    @abstractmethod
    def start(self, problem: Problem, config: Any, *, compute: Compute, rng: RandomStreams) -> Training:
        """Set up training. All randomness comes from named streams of `rng`."""
