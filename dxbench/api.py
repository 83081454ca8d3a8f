"""The nouns of the suite. Everything a task, method, metric or launcher from elsewhere has to know.

Importing this module imports neither torch nor numpy: listing and tables have to be quick.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol, Self, runtime_checkable

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, model_validator

from dxbench.errors import require_all
from dxbench.streams import RandomStreams

if TYPE_CHECKING:
    import numpy as np
    import torch
    from matplotlib.figure import Figure
    from torch import Tensor
    from torch.amp import GradScaler

    from dxbench.assets import Asset

RECORD_SCHEMA_VERSION = 2

Direction = Literal["lower", "higher", "none"]
Precision = Literal["32", "bf16", "fp16"]
Status = Literal["ok", "partial", "failed", "timeout", "out_of_memory", "skipped"]


class Frozen(BaseModel):
    """Immutable, with unknown keys refused and numbers finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Config(Frozen):
    """Base of a method's configuration. Every field needs a default or a recipe that sets it.

    Attributes:
        needs: what the method cannot run without in this configuration, beside its own `needs`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)

    needs: ClassVar["frozenset[Need]"] = frozenset()

    def official_weights(self) -> tuple[str, ...]:
        """Names of the official weights (`Problem.pretrained`) that training begins from."""
        return ()

    def uses_data(self) -> bool:
        """Whether the training data are used; False where official weights are sampled as they are."""
        return True

    def selected_on_test(self) -> bool:
        """Whether a choice behind these weights, such as of a checkpoint, looked at what the final score uses."""
        return False


def canonical_json(value: JsonValue) -> str:
    """One text per value: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def short_hash(value: JsonValue, *, digits: int = 12) -> str:
    """First hex digits of the sha256 of `canonical_json(value)`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:digits]


def _finite(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    canonical_json(value)  # a ValueError for NaN, for an infinity and for integers that are too long to print
    return value


Settings = Annotated[dict[str, JsonValue], AfterValidator(_finite)]
"""Named values of any form whose numbers are finite; `allow_inf_nan` does not reach into `JsonValue`."""
Natural = Annotated[int, Field(ge=0, le=10**30)]
"""A count or a seed. The bound, more than any machine counts, keeps it within a float."""
Positive = Annotated[int, Field(ge=1, le=10**30)]
NonNegative = Annotated[float, Field(ge=0)]


# --- measuring -----------------------------------------------------------------------------------------------


class MetricProtocol(Frozen):
    """Every choice that changes a metric's value. Numbers may be ranked together only if these are equal."""

    name: str
    version: Natural
    fields: Settings

    @property
    def fingerprint(self) -> str:
        return short_hash(self.model_dump(mode="json"), digits=16)


class Estimate(Frozen):
    """One measured number.

    Attributes:
        value: the mean over `n` measurements of one trained model.
        std: standard deviation (ddof 1) over them; None where n = 1.
        better: which way is good; "none" for a number that is no merit, such as a share with a target.
        fingerprint: of the protocol it was measured by.
        parts: the numbers that `value` is the unweighted mean of, by name of category or data set.
    """

    value: float
    std: NonNegative | None = None
    n: Positive = 1
    unit: str = ""
    better: Direction
    fingerprint: str
    parts: dict[str, float] = Field(default_factory=dict)

    @property
    def standard_error(self) -> float | None:
        return None if self.std is None else self.std / self.n**0.5


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What metrics see of one model: its draws, its energy, and the task's reference.

    Attributes:
        samples: [n, *event] draws, or None for a model that cannot sample.
        energy: E(x) of [b, *event] points as float64 [b], low = likely; None for a model without one.
        temperature: p is proportional to exp(-E / temperature); None where the energy has no scale.
        nfe: counted network evaluations per sample; None without samples.
        reference: the task's truth; a metric states which of its attributes it reads.
        start_samples: draws of the model that training began from, or None where there is no such model.
        scores: what the task itself made of the energy at its test points, once for all metrics; their form is
            the task's. None where the task makes nothing of it.
    """

    samples: "np.ndarray | None"
    energy: "Callable[[np.ndarray], np.ndarray] | None"
    temperature: float | None
    nfe: float | None
    reference: Any
    start_samples: "np.ndarray | None" = None
    scores: Any = None

    def of_start(self) -> "Evidence":
        """The same of the model that training began from; raises NotApplicable where there is none."""
        if self.start_samples is None:
            raise NotApplicable("the model was not fine-tuned from another")
        return replace(self, samples=self.start_samples, start_samples=None, energy=None)


class NotApplicable(Exception):
    """Raised by a metric that has nothing to measure here; the message becomes the record's note."""


class Metric(Protocol):
    """One number with its protocol. Metrics are plain objects; a task lists those it scores by."""

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def protocol(self) -> MetricProtocol: ...

    def measure(self, evidence: Evidence) -> Estimate:
        """Raises NotApplicable where the evidence lacks what it needs."""
        ...


class MetricCard(Frozen):
    """What a reader has to know of a metric before its number says anything.

    Attributes:
        summary: what is measured, in a sentence.
        unit: "" for a number without one, such as a share or a distance between features.
        low: the least value possible; None where there is none.
        high: the largest value possible; None where there is none.
        better: as `Estimate.better`.
        source: who defined it, and where.
    """

    summary: str = Field(min_length=1)
    unit: str
    low: float | None
    high: float | None
    better: Direction
    source: str = Field(min_length=1)

    @property
    def range(self) -> str:
        """As an interval."""
        left = "(−∞" if self.low is None else f"[{self.low:g}"
        right = "∞)" if self.high is None else f"{self.high:g}]"
        return f"{left}, {right}"


@runtime_checkable
class DescribedMetric(Metric, Protocol):
    """A metric that says what it measures; one that does not is listed by its title."""

    @property
    def card(self) -> MetricCard: ...


@runtime_checkable
class AdjustableMetric(Metric, Protocol):
    """A metric that samples can be scored by again with its protocol changed."""

    def with_field(self, field: str, value: JsonValue) -> "AdjustableMetric":
        """The metric with one field of its protocol changed; fields that hang on the same choice change with it.

        Raises NotApplicable if no choice of the metric gives the field this value.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Recheck:
    """A metric measured again on a uniformly random part of the samples.

    Attributes:
        value: what the part gives.
        low: least value that all samples may honestly have.
        high: largest such value; None where a few samples that the part misses may carry any weight.
    """

    value: float
    low: float
    high: float | None


@runtime_checkable
class Recheckable(Protocol):
    """A metric of samples that a part of them can confirm or refute."""

    @property
    def name(self) -> str: ...

    def recheck(self, evidence: Evidence) -> Recheck:
        """`evidence.samples` is the part. Raises NotApplicable where it is too small."""
        ...


# --- methods -------------------------------------------------------------------------------------------------


class Need(StrEnum):
    """What a method cannot do without; an unmet need ends the run as `skipped`, with the reason."""

    TRAINING_DATA = "training data"
    FINITE_DATA = "a finite training set"
    VECTORS = "events that are vectors"
    SMALL_IMAGES = "images of at most 1,024 values"
    IMAGES = "images"
    PATCHES = "patches of images"
    ORACLE = "the true distribution"
    CUDA = "a CUDA device"


class Slot(Protocol):
    """A place for one trained part."""

    def load(self) -> dict[str, Any] | None:
        """What was saved there, or None."""
        ...

    def save(self, state: dict[str, Any]) -> None: ...


class Store(Protocol):
    """Trained parts kept between the runs of one task, such as a backbone that several methods begin from."""

    def slot(self, content: "JsonValue") -> Slot:
        """The place for what `content` describes: all that the part depends on."""
        ...


class Parallel(Protocol):
    """How the rows of a batch are spread over processes and micro-batches, and the precision of networks.

    A batch size is that of the whole batch. Every process draws the random numbers of the whole batch from the same
    streams, works on its own rows, and sums gradients and logged means over processes, so that training is the same
    however it is spread, but for the order of sums. `dxmi.optimisers` does this for losses that are means over rows.
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


@dataclass(frozen=True, kw_only=True)
class Compute:
    """Where a run computes.

    Attributes:
        device: the torch device.
        threads: CPU threads.
        store: where trained parts are kept, if anywhere.
        parallel: how batches are spread; None where all rows go through in one pass of this process, in float32. Given
            to methods that say `parallel = True`.
    """

    device: str
    threads: int
    store: Store | None = None
    parallel: Parallel | None = None


class DataSource(Protocol):
    """Training data of a task."""

    def batch(self, n: int, *, rng: "np.random.Generator") -> "Tensor":
        """[n, *event] float32 on the CPU; the only source of randomness is `rng`."""
        ...


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
        data: training data; `LabelledData` where there are classes.
        data_std: standard deviation of one coordinate of the data, a fact tasks publish.
        num_classes: a model draws samples of a class (`ConditionalSampler`); None where it draws without.
        pretrained: official weights to begin from; None where the task grants none.
        oracle: the truth as a model, handed only to reference rows (`Need.ORACLE`).
    """

    task: str
    event_shape: tuple[int, ...]
    data: DataSource
    data_std: float
    num_classes: int | None = None
    pretrained: Pretrained | None = None
    oracle: "Model | None" = None


@dataclass(frozen=True, kw_only=True)
class ProblemSet:
    """Problems of one task that know nothing of each other: one model is trained for each, by name."""

    parts: Mapping[str, Problem]

    def __post_init__(self) -> None:
        assert self.parts, "a task without a problem"


class Model(Protocol):
    """What training leaves: networks, and any of `Sampler` (`ConditionalSampler` where the task has classes),
    `EnergyModel`, `ValueModel` beside it."""

    @property
    def networks(self) -> "Sequence[torch.nn.Module]":
        """The networks that sampling or scoring evaluates; the harness counts their forward passes."""
        ...


@runtime_checkable
class Sampler(Protocol):
    """A model that draws samples."""

    def sample(self, seeds: "Tensor") -> "Tensor":
        """int64 seeds [b] to samples [b, *event] on any device. Sample i depends on seeds[i] alone."""
        ...


@runtime_checkable
class ConditionalSampler(Protocol):
    """A model that draws samples of a class."""

    @property
    def num_classes(self) -> int: ...

    def sample_classes(self, seeds: "Tensor", labels: "Tensor") -> "Tensor":
        """int64 seeds [b] and classes [b], 0 .. num_classes - 1, to samples [b, *event] on any device.

        Sample i depends on seeds[i] and labels[i] alone.
        """
        ...


@runtime_checkable
class EnergyModel(Protocol):
    """A model with an energy."""

    @property
    def temperature(self) -> float | None: ...

    def energy(self, x: "Tensor") -> "Tensor":
        """[b, *event] to [b]; low = likely, p proportional to exp(-E / temperature)."""
        ...


@runtime_checkable
class MapModel(Protocol):
    """A model whose energy of a patch depends on where the patch lies, or on the other patches of its image."""

    def energy_map(self, grids: "Tensor") -> "Tensor":
        """Images as grids of patches [b, h, w, d] to energies [b, h, w]; larger is more anomalous."""
        ...


@runtime_checkable
class PartwiseModel(Protocol):
    """The models of a `ProblemSet`, each by the name of its problem."""

    @property
    def parts(self) -> Mapping[str, Model]: ...


@runtime_checkable
class ValueModel(Protocol):
    """A model with a value function per sampling step, drawn in reports."""

    @property
    def num_steps(self) -> int: ...

    def value(self, x: "Tensor", k: int) -> "Tensor":
        """V_k of [b, *event] points as [b]; k = num_steps is the energy."""
        ...


@runtime_checkable
class ChainModel(Protocol):
    """A model that shows how a sample comes about, drawn in reports."""

    def chain(self, seeds: "Tensor") -> "Tensor":
        """States from noise to samples, [K + 1, b, *event]; the last is `sample(seeds)`."""
        ...


@runtime_checkable
class ConditionalChainModel(Protocol):
    """`ChainModel` of a model that draws samples of a class."""

    def chain_classes(self, seeds: "Tensor", labels: "Tensor") -> "Tensor":
        """States from noise to samples, [K + 1, b, *event]; the last is `sample_classes(seeds, labels)`."""
        ...


@runtime_checkable
class FineTunedModel(Protocol):
    """A model that was trained on from another, which tasks score by the same protocol."""

    @property
    def start(self) -> "Sampler | ConditionalSampler":
        """The model before."""
        ...


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
        reference: True for rows that are a yardstick (floor, ideal) and do not rank.
        family: what boards filter by, such as "diffusion", "energy-based", "consistency", "adversarial", "yardstick".
        citation: where it comes from, as authors, year and identifier.
        selected_on_test: True if a choice of its training looks at what the final score uses; such rows do not rank.
        Config: its frozen configuration.
        needs: what it cannot run without.
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
    parallel: ClassVar[bool] = False

    @classmethod
    def pretrained(cls, config: Any) -> tuple[str, ...]:
        """Names of the official weights (`Problem.pretrained`) that a configuration begins from: those that it says.

        Where one is absent the run ends as `skipped`, before anything is trained, and says how to fetch it.
        """
        return config.official_weights()

    @abstractmethod
    def start(self, problem: Problem, config: Any, *, compute: Compute, rng: RandomStreams) -> Training:
        """Set up training. All randomness comes from named streams of `rng`."""


class ArrayEnergy:
    """A function of rows as an energy: the model of a detector that is no network."""

    networks = ()
    temperature = None

    def __init__(self, energy_of_rows: "Callable[[np.ndarray], np.ndarray]") -> None:
        self._energy_of_rows = energy_of_rows

    def energy(self, x: "Tensor") -> "Tensor":
        import torch

        return torch.from_numpy(self._energy_of_rows(x.flatten(1).double().cpu().numpy()))


class Detector(Method):
    """A method that fits a function of rows to the training set and trains no further: one `fit` is a detector."""

    family = "detector"
    needs = frozenset({Need.TRAINING_DATA, Need.FINITE_DATA})

    @abstractmethod
    def fit(self, rows: "np.ndarray", config: Any, *, seed: int) -> "Callable[[np.ndarray], np.ndarray]":
        """From training rows [n, D] float64 to the energy of rows, [m, D] to [m]; larger is more anomalous.

        `seed` is for fits that draw; below 2^32.
        """

    def start(self, problem: Problem, config: Any, *, compute: Compute, rng: RandomStreams) -> Training:
        assert isinstance(problem.data, FiniteData)  # the harness grants what `needs` lists
        rows = problem.data.points.flatten(1).double().numpy()
        return NoTraining(ArrayEnergy(self.fit(rows, config, seed=rng.seed("fit") % 2**32)))


class ArrayMaps:
    """A function of grids of patches as energies: the model of a patch detector that is no network."""

    networks = ()

    def __init__(self, energies_of_grids: "Callable[[np.ndarray], np.ndarray]") -> None:
        self._energies_of_grids = energies_of_grids

    def energy_map(self, grids: "Tensor") -> "Tensor":
        import torch

        return torch.from_numpy(self._energies_of_grids(grids.double().cpu().numpy()))


class PatchDetector(Method):
    """A `Detector` that looks at where patches lie, or at several of an image at once: one `fit` is all of it.

    One that looks at each patch alone is a `Detector`: tasks with patches give it all of them as rows.
    """

    family = "detector"
    needs = frozenset({Need.TRAINING_DATA, Need.FINITE_DATA, Need.PATCHES})

    @abstractmethod
    def fit(self, grids: "np.ndarray", config: Any, *, seed: int) -> "Callable[[np.ndarray], np.ndarray]":
        """From training images [n, h, w, d] float32 to the energies of images, [m, h, w, d] float64 to [m, h, w].

        `seed` is for fits that draw; below 2^32.
        """

    def start(self, problem: Problem, config: Any, *, compute: Compute, rng: RandomStreams) -> Training:
        assert isinstance(problem.data, PatchData)  # the harness grants what `needs` lists
        grids = problem.data.points.unflatten(0, (-1, *problem.data.grid)).numpy()
        return NoTraining(ArrayMaps(self.fit(grids, config, seed=rng.seed("fit") % 2**32)))


# --- tasks ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What scoring a model gave.

    Attributes:
        scores: by metric name.
        notes: metric name -> why there is no number.
        protocols: by fingerprint.
        arrays: kept beside the run for pictures and re-scoring.
        nfe: counted network evaluations per sample; None for a model that does not sample.
        warnings: what a reader of the scores should know of the samples, such as truncated pixels.
        missing: parts of the task whose data are absent; the record of such a run is `partial`.
    """

    scores: dict[str, Estimate]
    notes: dict[str, str]
    protocols: dict[str, MetricProtocol]
    arrays: "dict[str, np.ndarray]" = field(default_factory=dict)
    nfe: float | None = None
    warnings: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


class Picture(Protocol):
    """A captioned figure of a report."""

    @property
    def title(self) -> str: ...

    @property
    def caption(self) -> str: ...

    @property
    def figure(self) -> "Figure": ...


class Task(ABC):
    """Fixes data, split, protocol and metrics. A version is raised whenever its numbers move.

    Attributes:
        threads: CPU threads of a run; fixed per task so that numbers do not depend on the core count.
        auto_device: what `--device auto` takes where it exists.
        headline: the metrics of its tables, in order.
        assets: files that are not shipped, all that `dxbench prepare` fetches for it.
        presets_of: the task whose presets methods take here as well, for one that is like it.
        problem_is_quick: False where `problem` may take minutes, so that looking ahead (`--dry-run`) does not ask it.
        image_bytes: images made elsewhere are scored as bytes [n, H, W, C]; else as floats [n, C, H, W] in [-1, 1].
        num_samples: how many samples each run of it is scored on; 0 where that is not one number.
        challenge_blocks: how many blocks of 100 samples a submission shows (`dxbench.submissions.challenge`); None for
            all of them, so that its claims are computed again. Fewer are for samples too large to be sent.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    threads: ClassVar[int] = 1
    auto_device: ClassVar[Literal["cpu", "cuda"]] = "cuda"
    headline: ClassVar[tuple[str, ...]]
    assets: "ClassVar[Sequence[Asset]]" = ()
    presets_of: ClassVar[str | None] = None
    problem_is_quick: ClassVar[bool] = True
    image_bytes: ClassVar[bool] = True
    num_samples: ClassVar[int] = 0
    challenge_blocks: ClassVar[int | None] = None

    @property
    @abstractmethod
    def metrics(self) -> Sequence[Metric]: ...

    @abstractmethod
    def problem(self, *, oracle: bool) -> Problem | ProblemSet:
        """What methods see. Raises MissingData, with the remedy, where files are absent."""

    def needed(self, *, training: bool, weights: Sequence[str]) -> "Sequence[Asset]":
        """Of `assets`, those of a run that trains on the data, or does not, and begins from these official weights."""
        return self.assets

    def require(self, *, training: bool) -> None:
        """Ask for what scoring needs and, if the method trains on them, for the training data.

        Asked before a run begins, so that nobody trains for a score that cannot be taken. Raises MissingData, naming
        every file that is absent, with the `dxbench prepare` command. What to make of an archive that is there in part,
        the task itself decides.
        """
        require_all(asset.require for asset in self.needed(training=training, weights=()) if not asset.in_part)

    @abstractmethod
    def evaluate(self, model: Model, *, seed: int, device: str, progress: Callable[[str], None]) -> Evaluation:
        """Score a model. Sample i has seed `seed` + i; `progress` is told what is under way."""

    @abstractmethod
    def evaluate_samples(self, samples: "np.ndarray", *, progress: Callable[[str], None]) -> Evaluation:
        """Score samples made elsewhere, [n, *event]; images as uint8 [n, H, W, C] where `image_bytes`.

        Raises NothingMeasured in a task that scores energies only.
        """

    def evaluate_statistics(
        self,
        statistics: "Mapping[str, tuple[np.ndarray, np.ndarray]]",
        *,
        n: int | None,
        progress: Callable[[str], None],
    ) -> Evaluation:
        """Score mean [d] and covariance [d, d] of features, by kind of feature, of `n` samples made elsewhere."""
        raise NotApplicable(f"{self.name} is scored by samples, statistics of features do not suffice")

    def evidence(self, samples: "np.ndarray") -> Evidence:
        """What metrics see of samples alone, [n, *event], to score those of a run again.

        Raises NotApplicable for a task whose kept samples are not all that was scored.
        """
        raise NotApplicable(f"task {self.name} does not score kept samples again")

    @abstractmethod
    def pictures(self, arrays: "Mapping[str, np.ndarray]") -> Sequence[Picture]:
        """Figures for the report from the arrays of an Evaluation."""


# --- results -------------------------------------------------------------------------------------------------


class Curve(Frozen):
    """A logged scalar: means over equal windows of steps."""

    step: list[Natural]
    value: list[float]

    @model_validator(mode="after")
    def _as_many(self) -> Self:
        if len(self.step) != len(self.value):
            raise ValueError(f"{len(self.step)} steps and {len(self.value)} values")
        return self


class TrainingCost(Frozen):
    """What some training took.

    Attributes:
        seconds: of wall clock, on the machine it ran on.
        flops: floating-point operations of matrix products and convolutions, forward and backward.
        passes: rows that went forward through a network.
    """

    seconds: NonNegative
    flops: Natural
    passes: Natural


class Cost(Frozen):
    """What a run took. Seconds are of the whole run, resumed parts included; memory is the first process's.

    Attributes:
        train: what the run's own steps took, counted on 64 of them; None for records from before it was counted, and
            for methods that fit outside of torch.
        stored: what the trained parts took that the run found in the store, such as a teacher; None as `train`.
        devices: processes with a device each.
        accumulate: micro-batches that a device took one after the other.
        precision: of networks in training and sampling; "bf16" and "fp16" are by autocast, with weights and losses in
            float32.
    """

    train_seconds: NonNegative
    eval_seconds: NonNegative
    train: TrainingCost | None = None
    stored: TrainingCost | None = None
    steps: Natural
    peak_memory_bytes: Natural
    parameters: Natural | None = None
    sampling_flops: Natural | None = None
    device: str
    threads: Natural
    devices: Positive = 1
    accumulate: Positive = 1
    precision: Precision = "32"

    @property
    def training(self) -> TrainingCost | None:
        """Of the run and of the parts it found: what it takes to come from data to the model."""
        if self.train is None or self.stored is None:
            return None
        return TrainingCost(
            seconds=self.train.seconds + self.stored.seconds,
            flops=self.train.flops + self.stored.flops,
            passes=self.train.passes + self.stored.passes,
        )


class Failure(Frozen):
    """Why a run did not end well."""

    phase: Literal["setup", "train", "evaluate"]
    step: Natural | None = None
    type: str
    message: str


class Provenance(Frozen):
    """Where a number comes from."""

    dxbench_version: str
    git_sha: str | None
    git_dirty: bool | None
    command: str
    created: str
    python: str
    packages: dict[str, str]
    platform: str
    processor: str
    cores: Natural
    accelerator: str | None
    resumed: Natural


class MethodCard(Frozen):
    """What boards print of a method, so that they need not load it.

    Attributes:
        family: what boards filter by.
        summary: a line.
        description: the method's own documentation, plain text.
        citation: authors, year and identifier.
    """

    family: str = "other"
    summary: str = ""
    description: str = ""
    citation: str = ""


class MeasuredAgain(Frozen):
    """A score computed anew, by whom a run was submitted to, from samples that it showed.

    Attributes:
        exact: from all samples; else from a part, and the score may lie between `low` and `high`.
    """

    value: float
    low: float
    high: float | None
    exact: bool


class Submission(Frozen):
    """The verdict on a run from elsewhere, of when it was taken in.

    Attributes:
        bundle_sha256: of the bundle that it came in.
        measured: by metric.
        on_trust: what is believed because the sender says so -> why it could not be checked.
    """

    bundle_sha256: str
    measured: dict[str, MeasuredAgain]
    on_trust: dict[str, str]


class ResultRecord(Frozen):
    """One run, whatever its end.

    Attributes:
        selected_on_test: a choice of the training looked at what the final score uses.
        samples_sha256: of the samples that were scored, as `records.array_sha256` takes it; None without samples.
        samples_sketch: of them, as `dxbench.sketches` takes it; none without samples and from before it was taken.
        submission: of a run from elsewhere; None of one that was made where the record lies.
    """

    schema_version: Literal[2] = RECORD_SCHEMA_VERSION
    run_id: str
    task: str
    task_version: Natural
    method: str
    method_version: Natural
    reference: bool = False
    selected_on_test: bool = False
    card: MethodCard = MethodCard()
    preset: str
    overrides: Settings = Field(default_factory=dict)
    config: Settings
    seed: Natural
    status: Status
    failure: Failure | None = None
    nfe: NonNegative | None = None
    samples_sha256: str | None = None
    samples_sketch: list[str] = Field(default_factory=list)
    headline: list[str] = Field(default_factory=list)
    scores: dict[str, Estimate] = Field(default_factory=dict)
    notes: dict[str, str] = Field(default_factory=dict)
    warnings: list[str] = Field(default_factory=list)
    protocols: dict[str, MetricProtocol] = Field(default_factory=dict)
    curves: dict[str, Curve] = Field(default_factory=dict)
    cost: Cost | None = None
    provenance: Provenance
    submission: Submission | None = None
