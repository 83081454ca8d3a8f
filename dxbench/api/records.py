"""Records: the result of one run, whatever its end."""

from collections.abc import Sequence
from math import fsum
from typing import Literal, Self

from pydantic import Field, model_validator

from dxbench.api.measuring import Estimate, MetricProtocol
from dxbench.api.values import Frozen, Natural, NonNegative, Positive, Precision, Settings, Status, short_hash

RECORD_SCHEMA_VERSION = 3

CURVE_POINTS = 40
"""Points of a curve in a record: as many as anything draws."""


class Curve(Frozen):
    """A logged scalar: means over equal windows of steps, each at the last step of its window."""

    step: list[Natural]
    value: list[float]

    @model_validator(mode="after")
    def _as_many(self) -> Self:
        if len(self.step) != len(self.value):
            raise ValueError(f"{len(self.step)} steps and {len(self.value)} values")
        return self

    def thinned(self) -> "Curve":
        """The same in at most `CURVE_POINTS` windows, each of equally many neighbouring ones.

        The last window is of those that are left. Windows count alike, however many of their steps were logged: that
        is not on record.
        """
        size = -(-len(self.step) // CURVE_POINTS)
        if size < 2:
            return self
        starts = range(0, len(self.step), size)
        return Curve(
            step=[self.step[start : start + size][-1] for start in starts],
            value=[_mean(self.value[start : start + size]) for start in starts],
        )

    def short(self) -> "Curve":
        """The same to seven significant digits, which is what a float32 holds: the rest is an eighth of all records."""
        return Curve(step=self.step, value=[float(f"{value:.7g}") for value in self.value])


def _mean(values: Sequence[float]) -> float:
    """The mean of finite values, whose sum may be none."""
    return fsum(value / len(values) for value in values)


class TrainingCost(Frozen):
    """Cost of some training.

    Attributes:
        seconds: of wall clock, on the machine it ran on.
        flops: floating-point operations of matrix products and convolutions, forward and backward.
        passes: rows that went forward through a network.
    """

    seconds: NonNegative
    flops: Natural
    passes: Natural


class Cost(Frozen):
    """Cost of a run. Seconds are of the whole run, resumed parts included; memory is the first process's.

    Attributes:
        train: what the run's own steps took, counted on 64 of them; None for records from before it was counted, and
            for methods that fit outside of torch.
        stored: what the trained parts took that the run found in the store, such as a teacher; None as `train`.
        devices: processes with a device each.
        accumulate: micro-batches that a device took one after the other.
        precision: of networks in training and sampling; "bf16" and "fp16" are by autocast, with weights and losses in
            float32.
        compiled: networks of images were compiled by torch, which moves numbers by rounding.
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
    compiled: bool = False

    @property
    def training(self) -> TrainingCost | None:
        """Cost of the run and of the parts it found: all that it takes to come from data to the model."""
        if self.train is None or self.stored is None:
            return None
        return TrainingCost(
            seconds=self.train.seconds + self.stored.seconds,
            flops=self.train.flops + self.stored.flops,
            passes=self.train.passes + self.stored.passes,
        )


class Failure(Frozen):
    """The reason why a run did not end well."""

    phase: Literal["setup", "train", "evaluate"]
    step: Natural | None = None
    type: str
    message: str


class Provenance(Frozen):
    """Origin of a number."""

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
    """Facts of a method that boards print, so that they need not load it.

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

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits over its content."""
        return short_hash(self.model_dump(mode="json"), digits=16)


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


External = Literal["claimed", "counted"]
"""How the passes of samples from outside are known."""


class RunFacts(Frozen):
    """All that a record says of its run itself. A default may change only with the schema: files leave them out.

    Attributes:
        selected_on_test: a choice of the training looked at what the final score uses.
        samples_sha256: of the samples that were scored, as `records.array_sha256` takes it; None without samples.
        samples_sketch: of them, as `records.sketches` takes it; none without samples and from before it was taken.
        submission: of a run from elsewhere; None of one that was made where the record lies.
        external: of samples that no run of dxbench drew, whether their passes are claimed by who made them or were
            counted on the networks that a sampler names; None of a run. Such a record ranks apart.
        withdrawn: why its numbers are known to be wrong; None of a record that stands.
    """

    schema_version: Literal[3] = RECORD_SCHEMA_VERSION
    run_id: str
    task: str
    task_version: Natural
    method: str
    method_version: Natural
    reference: bool = False
    selected_on_test: bool = False
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
    curves: dict[str, Curve] = Field(default_factory=dict)
    cost: Cost | None = None
    provenance: Provenance
    submission: Submission | None = None
    external: External | None = None
    withdrawn: str | None = None


class ResultRecord(RunFacts):
    """One run, whatever its end, with what its method and its metrics are.

    Attributes:
        card: of the method.
        protocols: of the scores, by fingerprint.
    """

    card: MethodCard = MethodCard()
    protocols: dict[str, MetricProtocol] = Field(default_factory=dict)
