"""Runs to rows: mean and std over training seeds, and what keeps a row from ranking."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Literal

from pydantic import JsonValue

from dxbench.api import Direction, Estimate
from dxbench.boards.stats import bounded, mean, rounded_moments
from dxbench.plain import counted
from dxbench.plugins.rows import RowName
from dxbench.records.entries import YOURS, Entry

Kind = Literal["measured", "external", "reference", "told", "published"]
RANKING: Sequence[Kind] = ("measured", "external")
"""Kinds that rank, each among its own."""


class Mark(StrEnum):
    """The reason why a row does not rank."""

    PARTIAL = "partial"
    DIRTY = "dirty"
    SELECTED = "selected_on_test"
    ONE_SEED = "one seed"
    SUPERSEDED = "superseded"
    WITHDRAWN = "withdrawn"

    @property
    def meaning(self) -> str:
        """The sentence that a table's legend prints."""
        return {
            Mark.PARTIAL: "a seed did not end well, was withdrawn, or left a metric out",
            Mark.DIRTY: "measured with uncommitted changes",
            Mark.SELECTED: "a choice of the training looked at what the score uses",
            Mark.ONE_SEED: "no spread to test against",
            Mark.SUPERSEDED: "an older version or recipe of a row above",
            Mark.WITHDRAWN: "known to be wrong",
        }[self]


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A metric over training seeds.

    Attributes:
        std: over seeds, ddof 1; None for a single seed.
        by_seed: the value of each training seed; empty for a paper's number.
        printed: a paper's number as it stands there; None for ours.
    """

    value: float
    std: float | None
    better: Direction
    unit: str = ""
    fingerprint: str
    by_seed: Mapping[int, float] = field(default_factory=dict)
    printed: str | None = None

    @property
    def seeds(self) -> int:
        return len(self.by_seed)


@dataclass(frozen=True, kw_only=True)
class RowCost:
    """Means over seeds of what a row took; None where it is not known.

    Attributes:
        flops: of one sample.
        memory: peak, in bytes.
        training_flops: of the whole training, found parts such as a teacher included; `training_passes`: rows that went
            forward through a network; `training_seconds`:
            of wall clock, whatever the machine and its load.
    """

    training_flops: float | None = None
    training_passes: float | None = None
    training_seconds: float | None = None
    flops: float | None = None
    parameters: float | None = None
    memory: float | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a table.

    Attributes:
        kind: "measured" by us, "external" of samples that others drew, "reference" of draws of the true distribution,
            "told" of a method that knows that distribution, which no other may, or "published" by a paper.
        selector: what to type for it; see `compare.select`.
        origin: where its records are from, if the label has to say so.
        marks: why it does not rank.
        remarks: what a reader has to know in sentences: failed seeds, disputes, what is on trust.
    """

    label: str
    kind: Kind
    method: str | None = None
    family: str | None = None
    selector: str | None = None
    config_id: str | None = None
    origin: str = ""
    seeds: int = 0
    nfe: float | None = None
    scores: dict[str, Summary] = field(default_factory=dict)
    cost: RowCost = RowCost()
    marks: tuple[Mark, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def ranks(self) -> bool:
        return self.kind in RANKING and not self.marks

    @property
    def withdrawn(self) -> bool:
        """All runs behind it are known to be wrong."""
        return Mark.WITHDRAWN in self.marks

    @property
    def shown_marks(self) -> tuple[Mark, ...]:
        """The marks that a reader is to know; a row that could not rank anyway says only that it is withdrawn."""
        return tuple(mark for mark in self.marks if self.kind in RANKING or mark == Mark.WITHDRAWN)


def newest_configuration(entries: Sequence[Entry]) -> list[Entry]:
    """Keep, of runs that go by one name, those of the newest version and recipe; the others are of the past.

    What is withdrawn makes nothing else old.
    """
    if not entries:
        return []
    newest = max(entries, key=lambda e: (e.withdrawn is None, e.task_version, e.method_version, e.created)).config_id
    return [entry for entry in entries if entry.config_id == newest]


def label_of(entry: Entry) -> str:
    """The name of a run's row, without the folder that it is from."""
    return str(replace(name_of(entry), origin=""))


def name_of(entry: Entry) -> RowName:
    """The name of a run's row, as it is typed."""
    return RowName(
        method=entry.method,
        preset=entry.preset,
        overrides=entry.overrides,
        precision=entry.precision,
        origin=entry.origin,
    )


def summarise(by_seed: Mapping[int, Estimate]) -> Summary:
    """Mean and std over the seeds' estimates, which share one fingerprint."""
    values = [estimate.value for estimate in by_seed.values()]
    first = next(iter(by_seed.values()))
    found = rounded_moments(values) if len(values) > 1 else None
    return Summary(
        value=found.mean if found else values[0],
        std=found.std if found else None,
        better=first.better,
        unit=first.unit,
        fingerprint=first.fingerprint,
        by_seed={seed: estimate.value for seed, estimate in by_seed.items()},
    )


def rows_of(entries: Iterable[Entry], *, labels: Mapping[str, str] | None = None) -> list[Row]:
    """One row per configuration and origin that has a number, in order of first appearance.

    Seeds that failed or were withdrawn stay visible as marks and remarks of their row, which is of the others; where
    all are withdrawn, the row is of them. What has no number at all is told by `unmeasured`.
    """
    groups: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    named: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        groups[entry.config_id, entry.origin].append(entry)
        named[label_of(entry)].append(entry)
    current = {newest_configuration(group)[0].config_id for group in named.values()}
    return [
        _row(group, label=(labels or {}).get(key) or label_of(group[0]), superseded=key not in current)
        for (key, _), group in groups.items()
        if any(entry.scores for entry in group)
    ]


def unmeasured(entries: Iterable[Entry]) -> list[str]:
    """Configurations without any number, and why, in a sentence each."""
    groups: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        groups[entry.config_id, entry.origin].append(entry)
    found = []
    for group in groups.values():
        if not any(entry.scores for entry in group):
            ends = Counter(entry.status.replace("_", " ") for entry in group)
            reasons = dict.fromkeys(why for entry in group if (why := entry.failure or entry.unmeasured))
            told = ", ".join(f"{count} {status}" for status, count in ends.items())
            found.append(f"No number of {located(label_of(group[0]), group[0].origin)} ({told}): {'; '.join(reasons)}")
    return found


def located(label: str, origin: str) -> str:
    """A label that says which folder its runs are from, where that is not the first."""
    return f"{label} ({origin if origin == YOURS else f'from {origin}'})" if origin else label


def _row(group: Sequence[Entry], *, label: str, superseded: bool) -> Row:
    standing = [entry for entry in group if entry.withdrawn is None] or group
    scores, remarks = _scores(standing)
    remarks += _withdrawals(group)
    for status in sorted({entry.status for entry in group} - {"ok"}):
        count = sum(entry.status == status for entry in group)
        remarks.append(f"{count} of {counted(len(group), 'seed')} {status.replace('_', ' ')}")
    if trusted := dict.fromkeys(what for entry in group for what in entry.on_trust):
        remarks.append(f"submitted from elsewhere; on trust are {', '.join(trusted)}")
    if found := sorted({entry.external for entry in group if entry.external is not None}):
        remarks.append(f"from outside; passes are {' or '.join(found)}")
    first = group[0]
    return Row(
        label=located(label, first.origin),
        kind=_kind(first),
        method=first.method,
        family=first.family,
        selector=str(name_of(first)),
        config_id=first.config_id,
        origin=first.origin,
        seeds=max((summary.seeds for summary in scores.values()), default=0),
        nfe=_mean([entry.nfe for entry in standing]),
        scores=scores,
        cost=_cost([entry for entry in standing if entry.status == "ok"]),
        marks=tuple(_marks(group, standing, superseded)),
        remarks=tuple(remarks),
    )


def _kind(entry: Entry) -> Kind:
    if entry.reference:
        return "reference" if entry.floor else "told"
    return "measured" if entry.external is None else "external"


def _withdrawals(group: Sequence[Entry]) -> list[str]:
    """A remark for each reason that runs were withdrawn for."""
    seeds: dict[str, list[int]] = defaultdict(list)
    for entry in group:
        if entry.withdrawn is not None:
            seeds[entry.withdrawn].append(entry.seed)
    return [
        f"withdrawn, seed{'s' if len(found) > 1 else ''} {', '.join(map(str, sorted(found)))}: {reason.rstrip('.')}"
        for reason, found in seeds.items()
    ]


def _scores(group: Sequence[Entry]) -> tuple[dict[str, Summary], list[str]]:
    """Summaries by metric, and a remark for each that its seeds measured differently."""
    by_metric: dict[str, dict[int, Estimate]] = defaultdict(dict)
    for entry in group:
        for name, estimate in entry.scores.items():
            by_metric[name][entry.seed] = estimate
    scores, remarks = {}, []
    for name, by_seed in by_metric.items():
        if len({estimate.fingerprint for estimate in by_seed.values()}) > 1:
            remarks.append(f"{name}: seeds measured by different protocols, not averaged")
        else:
            scores[name] = summarise(dict(sorted(by_seed.items())))
    return scores, remarks


def _marks(group: Sequence[Entry], standing: Sequence[Entry], superseded: bool) -> list[Mark]:
    ok = [entry for entry in standing if entry.status == "ok"]
    withdrawn = standing[0].withdrawn is not None
    uneven = len({frozenset(entry.scores) for entry in ok}) > 1
    found = {
        Mark.WITHDRAWN: withdrawn,
        Mark.PARTIAL: not withdrawn and (len(ok) < len(group) or uneven),
        Mark.DIRTY: any(entry.dirty for entry in standing),
        Mark.SELECTED: any(entry.selected_on_test for entry in standing),
        Mark.ONE_SEED: len(standing) == 1,
        Mark.SUPERSEDED: superseded,
    }
    return [mark for mark, holds in found.items() if holds]


def _cost(ok: Sequence[Entry]) -> RowCost:
    return RowCost(
        training_flops=_mean([entry.training_flops for entry in ok]),
        training_passes=_mean([entry.training_passes for entry in ok]),
        training_seconds=_mean([entry.training_seconds for entry in ok]),
        flops=_mean([entry.sampling_flops for entry in ok]),
        parameters=_mean([entry.parameters for entry in ok]),
        memory=_mean([entry.peak_memory_bytes for entry in ok]),
    )


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return mean(known) if known else None


def known_seconds(entries: Iterable[Entry]) -> dict[str, float]:
    """Mean seconds of finished runs by configuration."""
    seconds: dict[str, list[float]] = defaultdict(list)
    for entry in entries:
        if entry.status == "ok" and entry.train_seconds is not None and entry.eval_seconds is not None:
            seconds[entry.config_id].append(bounded(entry.train_seconds + entry.eval_seconds))
    return {key: mean(values) for key, values in seconds.items()}


def matches(method: str, config: Mapping[str, JsonValue], match: Mapping[str, JsonValue] | None) -> bool:
    """True where a published row's `match` describes this method and configuration."""
    if match is None or match.get("method") != method:
        return False
    wanted = match.get("config", {})
    return isinstance(wanted, dict) and _within(wanted, config)


def _within(wanted: Mapping[str, JsonValue], config: Mapping[str, JsonValue]) -> bool:
    """True if a configuration has these settings, parts of parts included."""

    def agrees(value: JsonValue, found: JsonValue) -> bool:
        if isinstance(value, Mapping) and isinstance(found, Mapping):
            return _within(value, found)
        return value == found

    return all(agrees(value, config.get(key)) for key, value in wanted.items())
