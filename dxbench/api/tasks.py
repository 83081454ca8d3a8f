"""Tasks: data, split, protocol and metrics, with a version."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

from dxbench.errors import require_all

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

    from dxbench.assets import Asset
from dxbench.api.measuring import Estimate, EvaluationInputs, Metric, MetricProtocol, NotApplicable
from dxbench.api.models import Model
from dxbench.api.problems import Problem, ProblemSet


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The outcome of scoring a model.

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


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A small picture without words, of one or several frames.

    Attributes:
        name: what it shows, such as "samples"; part of a file's name.
        width, height: of a frame, in pixels.
        png: the frames, one below the other.
    """

    name: str
    caption: str
    frames: int
    width: int
    height: int
    png: bytes


class Task(ABC):
    """Fixes data, split, protocol and metrics. A version is raised whenever its numbers move.

    Attributes:
        threads: CPU threads of a run; fixed per task so that numbers do not depend on the core count.
        auto_device: what `--device auto` takes where it exists.
        headline: the metrics of its tables, in order.
        assets: files that are not shipped, all that `dxbench prepare` fetches for it.
        family: the family of data whose presets serve here, where a method has none for the task itself: "plane",
            "small_images", "images", "vectors", "patches" or "boltzmann", or one within one of these such as
            "images/cifar10", for tasks that are alike. "" for none.
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
    family: ClassVar[str] = ""
    problem_is_quick: ClassVar[bool] = True
    image_bytes: ClassVar[bool] = True
    num_samples: ClassVar[int] = 0
    challenge_blocks: ClassVar[int | None] = None

    @property
    @abstractmethod
    def metrics(self) -> Sequence[Metric]: ...

    @abstractmethod
    def problem(self, *, oracle: bool) -> Problem | ProblemSet:
        """Return all that methods see. Raises MissingData, with the remedy, where files are absent."""

    def needed(self, *, training: bool, weights: Sequence[str]) -> "Sequence[Asset]":
        """Select the assets of a run that trains on the data, or does not, and begins from these official weights."""
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

    def inputs_of(self, samples: "np.ndarray") -> EvaluationInputs:
        """Return what metrics see of samples alone, [n, *event], to score those of a run again.

        Raises NotApplicable for a task whose kept samples are not all that was scored.
        """
        raise NotApplicable(f"task {self.name} does not score kept samples again")

    @abstractmethod
    def pictures(self, arrays: "Mapping[str, np.ndarray]") -> Sequence[Picture]:
        """Figures for the report from the arrays of an Evaluation."""

    def tiles(self, arrays: "Mapping[str, np.ndarray]") -> Sequence[Tile]:
        """Small pictures for the site, from the arrays of an Evaluation; none by default.

        A tile of one name shows the same of every model, so that pages can set models side by side.
        """
        return ()
