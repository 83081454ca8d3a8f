"""Paper-style tables: rows in blocks that may be compared, ranked within each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import JsonValue

from dxbench.api import Estimate, MetricProtocol
from dxbench.boards.aggregate import (
    RANKING,
    Mark,
    Row,
    Summary,
    matches,
    newest_configuration,
    rows_of,
    summarise,
    unmeasured,
)
from dxbench.boards.published import PublishedRow, Source, read_published
from dxbench.boards.ranking import Places, ranks
from dxbench.errors import NothingMeasured
from dxbench.paths import published as published_folder
from dxbench.plugins.suites import Suite, SuiteRow
from dxbench.records.entries import Entry
from dxbench.records.index import RecordIndex


@dataclass(frozen=True, kw_only=True)
class Block:
    """Rows that may be ranked together: where two have a metric, both measured it by one protocol.

    Rows from outside have blocks of their own, since nobody here counted their passes.

    Attributes:
        ranks: metric -> index of a row -> the places it may have.
        differing: what sets it apart from the first block, in sentences.
    """

    rows: tuple[Row, ...]
    ranks: Mapping[str, Mapping[int, Places]]
    differing: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Table:
    """Blocks of rows, the metrics that are their columns, and what a reader has to know."""

    title: str
    metrics: tuple[str, ...]
    blocks: tuple[Block, ...]
    footnotes: tuple[str, ...] = ()

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows of all blocks."""
        return tuple(row for block in self.blocks for row in block.rows)


@dataclass(frozen=True, kw_only=True)
class Papers:
    """Published rows of one table of ours, each with its source."""

    rows: Sequence[tuple[Source, PublishedRow]] = field(default_factory=list)

    @property
    def footnotes(self) -> list[str]:
        """Notes on where the numbers were read and how they were measured there."""
        sources = {source.key: source for source, _ in self.rows}.values()
        notes = [f"{s.key}: {s.title}, {s.venue}, {s.cited}; published." for s in sources]
        return notes + [f"Published protocol: {text}" for text in dict.fromkeys(row.protocol for _, row in self.rows)]


def published_row(source: Source, row: PublishedRow) -> Row:
    """A row of a paper's table. Its numbers carry no fingerprint of ours and rank with nothing."""
    scores = {
        name: Summary(
            value=score.value,
            std=score.std,
            better="none",
            fingerprint=f"published:{source.key}",
            printed=score.printed,
        )
        for name, score in row.scores.items()
    }
    remarks = (row.disputed,) if row.disputed else ()
    return Row(label=f"{row.label} — {source.key}", kind="published", nfe=row.nfe, scores=scores, remarks=remarks)


def task_table(index: RecordIndex, task: str, *, metrics: Sequence[str] | None = None, published: bool) -> Table:
    """All rows of a task, best first by the first column, then papers' rows, floor last.

    Raises:
        NothingMeasured: if there is neither a record nor a published row.
    """
    entries = index.entries(task)
    papers = Papers(rows=[(s, r) for s, r in read_published(published_folder()) if r.task == task and published])
    if not entries and not papers.rows:
        raise NothingMeasured(f"no record of task {task!r}; `dxbench run --task {task} ...` makes one")
    columns = metrics or _headline(entries)
    rows = [*_best_first(rows_of(entries), columns), *(published_row(*paper) for paper in papers.rows)]
    return _table(task, rows, columns, entries, papers=papers, notes=unmeasured(entries))


def suite_table(index: RecordIndex, suite: Suite, *, metrics: Sequence[str] | None = None, published: bool) -> Table:
    """The rows of a suite in its order, each with its published counterpart behind it, floor last.

    Behind the rows of a suite with the name of its task stand the task's others, best first.

    Raises:
        NothingMeasured: if no row has a record, nor a paper's row where those are asked for.
    """
    entries = index.entries(suite.task)
    known = {row.id: (source, row) for source, row in read_published(published_folder())} if published else {}
    rows: list[Row] = []
    used: list[Entry] = []
    not_run: list[str] = []
    for line in suite.rows:
        found = _entries_of(line, entries)
        used += found
        if found:
            rows += rows_of(found, labels={found[0].config_id: line.label})
        else:
            not_run.append(line.label)
        if line.published in known:
            rows.append(published_row(*known[line.published]))
    papers = Papers(rows=[known[line.published] for line in suite.rows if line.published in known])
    if not used and not papers.rows:
        raise NothingMeasured(
            f"no row of suite {suite.name} has a record; `dxbench run --suite {suite.name}` makes them"
        )
    columns = metrics or _headline(entries)
    if suite.name == suite.task:
        labelled = {entry.path for entry in used}
        others = [entry for entry in entries if entry.path not in labelled]
        rows += _best_first(rows_of(others), columns)
        used += others
    notes = [f"{line.label}: {line.note}" for line in suite.rows if line.note]
    notes += unmeasured(used)
    if not_run:
        notes.append(f"Not run: {'; '.join(not_run)}.")
    return _table(suite.title, rows, columns, used, papers=papers, notes=notes)


def result_beside_published(index: RecordIndex, fresh: Sequence[Entry]) -> Table:
    """Fresh results, the papers' rows for the same configuration, and the floor.

    Papers' numbers of single data sets are left out: no column here is of one.
    """
    task = fresh[0].task
    papers = Papers(
        rows=[
            (source, row)
            for source, row in read_published(published_folder())
            if row.task == task
            and row.part is None
            and any(matches(entry.method, entry.config, row.match) for entry in fresh)
        ]
    )
    floor = _floor(index, task)
    shown = {entry.config_id for entry in fresh}
    entries = [*fresh, *(entry for entry in floor if entry.config_id not in shown)]
    rows = [*rows_of(entries), *(published_row(*paper) for paper in papers.rows)]
    return _table(task, rows, fresh[0].headline, entries, papers=papers)


def samples_beside_others(
    index: RecordIndex,
    task: str,
    *,
    label: str,
    nfe: float | None,
    scores: Mapping[str, Estimate],
    metrics: Sequence[str],
) -> Table:
    """Scores of samples made elsewhere, the best row on record, all papers' rows of the task, and the floor."""
    entries = index.entries(task)
    papers = Papers(rows=[(s, r) for s, r in read_published(published_folder()) if r.task == task])
    columns = [name for name in metrics if name in scores] or list(scores)
    own = Row(
        label=label,
        kind="measured",
        nfe=nfe,
        scores={name: summarise({0: found}) for name, found in scores.items()},
        marks=(Mark.ONE_SEED,),
    )
    ranking = [row for row in rows_of(entries) if row.kind == "measured" and row.ranks]
    best = [row for row in _best_first(ranking, columns) if columns[0] in row.scores][:1]
    floor = _floor(index, task)
    rows = [own, *best, *(published_row(*paper) for paper in papers.rows), *rows_of(floor)]
    return _table(task, rows, columns, entries, papers=papers)


def _floor(index: RecordIndex, task: str) -> list[Entry]:
    """Runs of the floor that stand."""
    return [e for e in index.entries(task) if e.floor and e.scores and e.withdrawn is None]


def _best_first(rows: Sequence[Row], metrics: Sequence[str] | None) -> list[Row]:
    """Rows in the order of the first metric, those without it and then those withdrawn last."""

    def key(row: Row) -> tuple[bool, bool, float]:
        found = row.scores.get(metrics[0]) if metrics else None
        value = 0.0 if found is None else -found.value if found.better == "higher" else found.value
        return row.withdrawn, found is None, value

    return sorted(rows, key=key)


def _entries_of(line: SuiteRow, entries: Sequence[Entry]) -> list[Entry]:
    """Runs of a suite's row: as it names them, and of the newest configuration if its recipe has changed."""
    named = [e for e in entries if (e.method, e.preset, e.overrides) == (line.method, line.preset, line.set)]
    return newest_configuration(named)


def _headline(entries: Sequence[Entry]) -> Sequence[str] | None:
    """The columns that the newest run of the newest version names, then those that only rows from outside have."""
    if not entries:
        return None
    newest = max(entries, key=lambda e: (e.external is None, e.task_version, e.created)).headline
    return [*dict.fromkeys([*newest, *(name for e in entries if e.external is not None for name in e.headline)])]


def _table(
    title: str,
    rows: Sequence[Row],
    metrics: Sequence[str] | None,
    entries: Sequence[Entry],
    *,
    papers: Papers,
    notes: Sequence[str] = (),
) -> Table:
    present = dict.fromkeys(name for row in rows for name in row.scores)
    columns = tuple(name for name in (metrics or present) if name in present)
    # Stable: within each kind the order stays; a suite keeps its papers' rows behind its own.
    ordered = sorted(rows, key=lambda row: row.kind in ("told", "reference"))
    remarks = [f"{row.label}: {remark}." for row in ordered for remark in row.remarks]
    return Table(
        title=title,
        metrics=columns,
        blocks=tuple(_blocks(ordered, columns, entries)),
        footnotes=(*notes, *papers.footnotes, *remarks),
    )


def _blocks(rows: Sequence[Row], metrics: Sequence[str], entries: Sequence[Entry]) -> list[Block]:
    """Rows parted by the protocols they were measured by, and from those from outside.

    Papers' rows go with the first block.
    """
    groups: list[tuple[dict[str, str], list[Row]]] = []
    for row in rows:
        measured = row.scores if row.kind != "published" else {}
        prints = {name: measured[name].fingerprint for name in metrics if name in measured}
        for known, group in groups:
            alike = (row.kind == "external") == (group[0].kind == "external")
            if alike and all(known.get(name, fingerprint) == fingerprint for name, fingerprint in prints.items()):
                known.update(prints)
                group.append(row)
                break
        else:
            groups.append((prints, [row]))
    groups.sort(key=lambda group: (_outside(group[1]), -sum(row.kind in RANKING for row in group[1])))
    first = groups[0][0] if groups else {}
    return [
        Block(
            rows=tuple(group),
            ranks={name: ranks(group, name) for name in metrics},
            differing=(*([OUTSIDE] if _outside(group) else []), *_differing(known, first, entries)),
        )
        for known, group in groups
    ]


OUTSIDE = "From outside: samples that no run of dxbench drew, whose passes are as claimed unless a row says otherwise"
"""Heads a block of such rows."""


def _outside(rows: Sequence[Row]) -> bool:
    return any(row.kind == "external" for row in rows)


def _differing(prints: Mapping[str, str], first: Mapping[str, str], entries: Sequence[Entry]) -> list[str]:
    """A sentence per metric whose protocol is not that of the first block."""
    sentences = []
    for name, fingerprint in prints.items():
        if name in first and first[name] != fingerprint:
            fields = differing_fields(*protocols_of(entries, name, (fingerprint, first[name])))
            parts = "; ".join(f"{key} = {here} (above: {above})" for key, (here, above) in fields.items())
            sentences.append(f"{name} was measured otherwise: {parts or f'protocol {fingerprint}'}")
    return sentences


def protocols_of(entries: Sequence[Entry], metric: str, fingerprints: Sequence[str]) -> list[MetricProtocol | None]:
    """The protocols behind fingerprints of a metric, from the first record that names each."""
    found: list[MetricProtocol | None] = []
    for fingerprint in fingerprints:
        holders = (e for e in entries if metric in e.scores and e.scores[metric].fingerprint == fingerprint)
        holder = next(holders, None)
        found.append(holder.record().protocols.get(fingerprint) if holder else None)
    return found


def differing_fields(
    one: MetricProtocol | None, other: MetricProtocol | None
) -> dict[str, tuple[JsonValue, JsonValue]]:
    """Fields of two protocols that are not equal, version included, as field -> (one's, the other's)."""
    flat: list[dict[str, JsonValue]] = [
        {} if p is None else {"name": p.name, "version": p.version, **p.fields} for p in (one, other)
    ]
    keys = dict.fromkeys([*flat[0], *flat[1]])
    return {key: (flat[0].get(key), flat[1].get(key)) for key in keys if flat[0].get(key) != flat[1].get(key)}
