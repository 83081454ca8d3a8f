"""Scoring the kept samples of a run again: by another protocol than before, or by metrics that it left out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dxbench.api import AdjustableMetric, Metric, MetricProtocol, NotApplicable, ResultRecord
from dxbench.boards.tables import differing_fields
from dxbench.errors import DxbenchError, UsageError
from dxbench.files.arrays import array_sha256
from dxbench.metrics.later import Later
from dxbench.metrics.scoring import score
from dxbench.plugins.registry import load_task
from dxbench.readers import load_arrays
from dxbench.records.files import work_folder
from dxbench.threads import fix_threads


class KeptSamples:
    """Samples of runs under a home, those of the last run asked for at hand."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._last: tuple[ResultRecord, np.ndarray] | None = None

    def of(self, record: ResultRecord) -> np.ndarray:
        """The samples that a run was scored by.

        Raises:
            NotApplicable: if they are not kept, or are not those any more.
        """
        if self._last is None or self._last[0] is not record:
            folder = work_folder(self._home, task=record.task, method=record.method, run_id=record.run_id)
            self._last = (record, _read(folder / "arrays.npz", record))
        return self._last[1]


def _read(path: Path, record: ResultRecord) -> np.ndarray:
    try:
        samples = load_arrays(path, ["samples"])["samples"]
    except (DxbenchError, OSError, KeyError) as error:
        raise NotApplicable(f"no samples of {record.run_id} are kept in {path} ({type(error).__name__})") from None
    if record.samples_sha256 not in (None, array_sha256(samples)):
        raise NotApplicable(f"the samples kept of {record.run_id} are not those that were scored")
    return samples


def with_left_out(record: ResultRecord, kept: KeptSamples, *, progress: Callable[[str], None]) -> ResultRecord:
    """The record with the metrics that its run left out (`dxbench.metrics.later`), measured of its kept samples.

    The record itself where it lacks none of them.

    Raises:
        UsageError: if the task is of another version here, has no such metric, or the samples are not kept.
        MissingData: if weights or data of the metrics are absent, with the command that fetches them.
    """
    task = load_task(record.task)
    if task.version != record.task_version:
        raise UsageError(
            f"{record.run_id} is of version {record.task_version} of {record.task}, and {task.version} is installed; "
            "run it again"
        )
    every = [metric.metric for metric in task.metrics if isinstance(metric, Later)]
    if not every:
        raise UsageError(f"{record.task} has no metric that runs leave out, so nothing is left to score")
    lacking = [metric for metric in every if metric.name not in record.scores]
    if not lacking:
        return record
    fix_threads(task.threads)
    try:
        inputs = task.inputs_of(kept.of(record))
    except NotApplicable as reason:
        raise UsageError(f"{reason}; run it again") from None
    scores, notes, protocols = score(lacking, inputs, progress=progress)
    remaining = {name: note for name, note in record.notes.items() if name not in scores}
    return record.model_copy(
        update={
            "scores": record.scores | scores,
            "notes": remaining | notes,
            "protocols": record.protocols | protocols,
        }
    )


@dataclass(frozen=True, kw_only=True)
class Way:
    """The change from one protocol to another.

    Attributes:
        metrics: one more than names; the first has the first protocol, the last the other save for `fixed`.
        names: the fields changed at each step.
        fixed: fields that no metric of ours can change, with the reason.
    """

    metrics: tuple[Metric, ...]
    names: tuple[str, ...]
    fixed: Mapping[str, str]

    def reversed(self) -> "Way":
        """The same way back."""
        return Way(metrics=self.metrics[::-1], names=self.names[::-1], fixed=self.fixed)


def change_fields(metric: Metric, start: MetricProtocol, goal: MetricProtocol, order: Sequence[str]) -> Way:
    """Metrics that lead from `start` to `goal`, one field at a time in the given order.

    Fields that hang on one choice of the metric, such as the two sizes of a distance of equal sets, change together.

    Raises:
        NotApplicable: if the metric cannot be given the protocol to start from.
    """
    current = with_protocol(metric, start)
    metrics, names, fixed = [current], [], {}
    if start.version != goal.version:
        fixed["version"] = "the code of another version is not here"
    for field in order:
        if current.protocol.fields.get(field) == goal.fields.get(field):
            continue
        try:
            following = _towards(current, field, goal)
        except NotApplicable as reason:
            fixed[field] = str(reason)
            continue
        names.append(", ".join(differing_fields(current.protocol, following.protocol)))
        metrics.append(following)
        current = following
    return Way(metrics=tuple(metrics), names=tuple(names), fixed=fixed)


def _towards(metric: Metric, field: str, goal: MetricProtocol) -> Metric:
    """The metric with a field as in `goal`; no field may move anywhere else."""
    if not isinstance(metric, AdjustableMetric):
        raise NotApplicable(f"{metric.name} cannot be given another protocol")
    if field not in goal.fields:
        raise NotApplicable("a field of one side only")
    following = metric.with_field(field, goal.fields[field])
    moved = differing_fields(metric.protocol, following.protocol)
    astray = [name for name, (_, value) in moved.items() if goal.fields.get(name) != value]
    if astray:
        raise NotApplicable(f"{', '.join(astray)} would change with it")
    return following


def with_protocol(metric: Metric, wanted: MetricProtocol) -> Metric:
    """The metric with exactly this protocol, equal to the fingerprint.

    Raises:
        NotApplicable: if its choices cannot give it.
    """
    for field, value in wanted.fields.items():
        if metric.protocol.fields.get(field) != value and isinstance(metric, AdjustableMetric):
            metric = metric.with_field(field, value)
    if metric.protocol.fingerprint != wanted.fingerprint:
        fields = ", ".join(differing_fields(metric.protocol, wanted)) or "a number's type"
        raise NotApplicable(f"the protocol on record cannot be rebuilt ({fields})")
    return metric
