"""Do the numbers of papers hold? Every published cell against our own runs of what it describes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from dxbench.boards.aggregate import Mark, Row, Summary, matches, rows_of, unmeasured
from dxbench.boards.published import PublishedRow, PublishedScore, Source
from dxbench.boards.stats import Interval, bounded, mean_interval, prediction_t
from dxbench.records.entries import Entry
from dxbench.records.index import RecordIndex

LEVEL = 0.95


class Verdict(StrEnum):
    """The verdict of our runs on a printed number; the first that holds, as docs/claims.md defines them."""

    REPRODUCED = "reproduced"
    WITHIN_NOISE = "within noise"
    BETTER = "better"
    OFF = "off"
    OTHER_SETTING = "different setting"
    NOT_COMPARABLE = "not comparable"
    NOT_RUN = "not run"

    @property
    def judged(self) -> bool:
        """True where our number says anything of the printed one."""
        return self not in (Verdict.OTHER_SETTING, Verdict.NOT_COMPARABLE, Verdict.NOT_RUN)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One printed number, and one configuration of ours that it describes where there is any.

    Attributes:
        cell: id of the published row.
        published: the number as printed.
        disputed: why the printed number itself is doubtful.
        reason: what decided the verdict.
        assumed: how our protocol reads what the paper leaves open.
        unstated: what of its setting the paper does not name; "" where it names all.
        row: label of our row; `selector` is what to type for it.
        ours: our number over training seeds; its interval is of the mean.
        marks: what is to be held against our row.
    """

    source: Source
    cell: str
    table: str
    task: str
    label: str
    metric: str
    nfe: float | None
    protocol: str
    published: PublishedScore
    disputed: str | None
    verdict: Verdict
    reason: str
    assumed: str = ""
    unstated: str = ""
    row: str | None = None
    selector: str | None = None
    ours: Summary | None = None
    interval: Interval | None = None
    marks: tuple[Mark, ...] = ()


def claims(index: RecordIndex, published: Sequence[tuple[Source, PublishedRow]]) -> list[Claim]:
    """A claim per published cell and configuration of ours that it describes, in the order published."""
    entries = {task: index.entries(task) for task in {row.task for _, row in published}}
    return [claim for source, row in published for claim in _claims_of(source, row, entries[row.task])]


def in_part(found: Sequence[Claim]) -> str:
    """A note beside the counts where papers do not name all of a setting; "" where they do."""
    open_ones = [claim for claim in found if claim.unstated]
    agreeing = sum(claim.verdict.judged for claim in open_ones)
    apart = sum(claim.verdict == Verdict.OTHER_SETTING for claim in open_ones)
    if not agreeing:
        return ""
    return (
        f"In {agreeing + apart} of these cells the paper does not name its whole setting: {agreeing} agree and "
        f"{apart} do not. A difference there may come from the setting: these counts are no rate of success."
    )


def _claims_of(source: Source, row: PublishedRow, entries: Sequence[Entry]) -> Iterator[Claim]:
    described = [_of_part(row.part, entry) for entry in entries if _describes(row, entry)]
    current = [r for r in rows_of(described) if Mark.SUPERSEDED not in r.marks]
    ours = [r for r in current if not r.withdrawn]
    absent = [*unmeasured(described), *(f"{r.label}: {'; '.join(r.remarks)}" for r in current if r.withdrawn)]
    for metric in row.scores:
        for candidate in ours or [None]:
            yield _claim(source, row, metric, candidate, absent=" ".join(absent))


def _of_part(part: str | None, entry: Entry) -> Entry:
    """The run with the numbers of one category or data set in place of their means."""
    if part is None:
        return entry
    scores = {
        name: estimate.model_copy(update={"value": estimate.parts[part], "parts": {}})
        for name, estimate in entry.scores.items()
        if part in estimate.parts
    }
    return replace(entry, scores=scores)


def _describes(row: PublishedRow, entry: Entry) -> bool:
    """True where the row's `match` is of this run; a match that names no preset takes any."""
    return matches(entry.method, entry.config, row.match) and (row.match or {}).get("preset") in (None, entry.preset)


def _claim(source: Source, row: PublishedRow, metric: str, candidate: Row | None, *, absent: str) -> Claim:
    """`absent` says which runs of ours have no number, and why."""
    summary = candidate.scores.get(metric) if candidate else None
    equivalent = row.equivalents.get(metric)
    interval = None
    if candidate is None:
        verdict, reason = Verdict.NOT_RUN, absent or _why_not_run(row)
    elif summary is None:
        verdict, reason = (
            Verdict.NOT_RUN,
            f"our runs have no {metric}: {'; '.join(candidate.remarks) or 'not measured'}",
        )
    elif equivalent is None or equivalent.fingerprint != summary.fingerprint:
        verdict, reason = Verdict.NOT_COMPARABLE, f"our protocol is another; the paper's: {row.protocol}"
    else:
        interval = mean_interval(list(summary.by_seed.values()), level=LEVEL) if summary.seeds > 1 else None
        verdict, reason = judge(row.scores[metric], summary, unstated=row.unstated)
    return Claim(
        source=source,
        cell=row.id,
        table=row.table,
        task=row.task,
        label=row.label,
        metric=metric,
        nfe=row.nfe,
        protocol=row.protocol,
        published=row.scores[metric],
        disputed=row.disputed,
        verdict=verdict,
        reason=reason,
        assumed=equivalent.assumed if equivalent else "",
        unstated=row.unstated,
        row=candidate.label if candidate else None,
        selector=candidate.selector if candidate else None,
        ours=summary,
        interval=interval,
        marks=candidate.marks if candidate else (),
    )


def _why_not_run(row: PublishedRow) -> str:
    return "no method of ours is what the row describes" if row.match is None else "no run of ours on record"


def judge(printed: PublishedScore, ours: Summary, *, unstated: str = "") -> tuple[Verdict, str]:
    """The verdict on a printed number measured by our protocol too, and what decided it.

    Args:
        unstated: what of the setting the paper does not name; then a number apart is of a different setting.
    """
    gap = bounded(ours.value - printed.value)
    apart = f"ours is {abs(gap):.2g} {'lower' if gap < 0 else 'higher'}"
    if printed.std is not None and abs(gap) <= printed.std:
        return Verdict.REPRODUCED, f"{apart}, within the printed ± {printed.std:g}"
    if printed.std == 0 and abs(gap) <= printed.rounding:
        return Verdict.REPRODUCED, "equal in all printed decimals"
    values = list(ours.by_seed.values())
    if len(values) < 2:
        return Verdict.NOT_COMPARABLE, "one training seed of ours tells nothing of the spread"
    interval = mean_interval(values, level=LEVEL)
    if interval.low <= printed.value <= interval.high:
        return Verdict.REPRODUCED, f"within our {LEVEL:.0%} interval, {interval.low:.4g} to {interval.high:.4g}"
    further = prediction_t(printed.value, values)
    reach = further.detectable(1 - LEVEL)
    if abs(further.effect) <= reach:
        wide = ", as much as the number itself, so that this says little" if reach >= abs(printed.value) else ""
        return Verdict.WITHIN_NOISE, f"{apart}; trainings of ours differ by up to {reach:.2g}{wide}"
    beyond = f"{apart}; trainings of ours differ by up to {reach:.2g}"
    if unstated:
        return Verdict.OTHER_SETTING, f"{beyond}; the paper does not name {unstated}"
    better = ours.better != "none" and (gap < 0) == (ours.better == "lower")
    return (Verdict.BETTER if better else Verdict.OFF), beyond
