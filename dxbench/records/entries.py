"""One run as boards see it: what a record says, without its curves."""

from dataclasses import dataclass

from pydantic import JsonValue

from dxbench.api import Estimate, External, Precision, ResultRecord
from dxbench.errors import InvalidFile
from dxbench.records.files import Unreadable, config_id_of, precision_of, read_record

YOURS = "yours"
"""Where entries of `paths.results()` are from."""


def why_unmeasured(record: ResultRecord) -> str:
    """The reasons of a run's metrics that none has a number, each once."""
    return "; ".join(dict.fromkeys(record.notes.values())) or "its record does not say why"


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One run as boards see it; names are those of `ResultRecord`.

    Attributes:
        path: of its record.
        origin: the folder it is from, where rows have to say so: YOURS, or its path.
        dirty: the code had uncommitted changes.
        failure: why the run did not end well, in a line.
        unmeasured: why a run has no score; None where it has one.
        training_flops: of the run and of the trained parts that it found; `training_passes` and `training_seconds`
            likewise. None where they were not counted.
        on_trust: what of a submitted run is believed because its sender says so; empty of a run made here.
        external: as `ResultRecord.external`.
        withdrawn: why its numbers are known to be wrong; None of a run that stands.
    """

    path: str
    run_id: str
    task: str
    task_version: int
    method: str
    method_version: int
    family: str
    reference: bool
    selected_on_test: bool
    preset: str
    overrides: dict[str, JsonValue]
    config: dict[str, JsonValue]
    config_id: str
    precision: Precision
    seed: int
    status: str
    failure: str | None
    unmeasured: str | None
    nfe: float | None
    headline: tuple[str, ...]
    scores: dict[str, Estimate]
    dirty: bool
    created: str
    train_seconds: float | None
    eval_seconds: float | None
    parameters: int | None
    sampling_flops: int | None
    peak_memory_bytes: int | None
    device: str | None
    training_flops: int | None
    training_passes: int | None
    training_seconds: float | None
    on_trust: tuple[str, ...]
    external: External | None
    withdrawn: str | None
    origin: str = ""

    @classmethod
    def of(cls, record: ResultRecord, path: str) -> "Entry":
        """The entry of a record."""
        cost, failure = record.cost, record.failure
        return cls(
            path=path,
            run_id=record.run_id,
            task=record.task,
            task_version=record.task_version,
            method=record.method,
            method_version=record.method_version,
            family=record.card.family,
            reference=record.reference,
            selected_on_test=record.selected_on_test,
            preset=record.preset,
            overrides=record.overrides,
            config=record.config,
            config_id=config_id_of(record),
            precision=precision_of(record),
            seed=record.seed,
            status=record.status,
            failure=None if failure is None else f"{failure.phase}: {failure.type}: {failure.message}",
            unmeasured=None if record.scores else why_unmeasured(record),
            nfe=record.nfe,
            headline=tuple(record.headline),
            scores=record.scores,
            dirty=bool(record.provenance.git_dirty),
            created=record.provenance.created,
            train_seconds=cost.train_seconds if cost else None,
            eval_seconds=cost.eval_seconds if cost else None,
            parameters=cost.parameters if cost else None,
            sampling_flops=cost.sampling_flops if cost else None,
            peak_memory_bytes=cost.peak_memory_bytes if cost else None,
            device=cost.device if cost else None,
            training_flops=cost.training.flops if cost and cost.training else None,
            training_passes=cost.training.passes if cost and cost.training else None,
            training_seconds=cost.training.seconds if cost and cost.training else None,
            on_trust=tuple(record.submission.on_trust) if record.submission else (),
            external=record.external,
            withdrawn=record.withdrawn,
        )

    @property
    def floor(self) -> bool:
        """Draws of the true distribution: a reference for which nothing was trained."""
        return self.reference and not self.training_passes

    def record(self) -> ResultRecord:
        """The whole record, read again.

        Raises:
            InvalidFile: if the file has gone bad since.
        """
        found = read_record(self.path)
        if isinstance(found, Unreadable):
            raise InvalidFile(f"{found.path}: {found.reason}")
        return found
