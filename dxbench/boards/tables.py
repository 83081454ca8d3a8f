"""Paper-style tables."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from dxbench.api import ResultRecord
from dxbench.boards.aggregate import Row, Summary, config_id_of, matches, newest_configuration, rows_of
from dxbench.boards.published import PublishedRow, Source, read_published
from dxbench.errors import NothingMeasured
from dxbench.paths import published as published_folder
from dxbench.records import iter_records
from dxbench.suites import Suite, SuiteRow

Format = Literal["text", "md", "csv", "json"]
Warner = Callable[[str], None]
ARROWS = {"lower": " ↓", "higher": " ↑", "none": ""}


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows in order, the metrics that are its columns, and what a reader has to know."""

    title: str
    metrics: tuple[str, ...]
    rows: tuple[Row, ...]
    footnotes: tuple[str, ...] = ()


def published_row(source: Source, row: PublishedRow) -> Row:
    """A row of a paper's table. Its numbers carry no fingerprint of ours and rank with nothing."""
    scores = {
        name: Summary(value=score.value, std=score.std, seeds=1, better="none", fingerprint=f"published:{source.key}")
        for name, score in row.scores.items()
    }
    remarks = (row.disputed,) if row.disputed else ()
    return Row(label=f"{row.label} — {source.key}", kind="published", nfe=row.nfe, scores=scores, remarks=remarks)


def task_table(
    task: str,
    folders: Sequence[Path],
    *,
    metrics: Sequence[str] | None,
    published: bool,
    warn: Warner,
) -> Table:
    """All rows of a task, floor last.

    Raises:
        NothingMeasured: if there is neither a record nor a published row.
    """
    records = readable(folders, task=task, warn=warn)
    rows = rows_of(records)
    papers = [(s, r) for s, r in read_published(published_folder()) if r.task == task] if published else []
    if not rows and not papers:
        places = ", ".join(str(folder) for folder in folders)
        raise NothingMeasured(f"no record of task {task!r} in {places}; `dxbench run --task {task} ...` makes one")
    measured = [row for row in rows if row.kind == "measured"]
    body = measured + [published_row(s, r) for s, r in papers] + [row for row in rows if row.kind == "reference"]
    return _table(task, body, metrics or _headline(records), papers=papers)


def suite_table(
    suite: Suite,
    folders: Sequence[Path],
    *,
    metrics: Sequence[str] | None,
    published: bool,
    warn: Warner,
) -> Table:
    """The rows of a suite in its order, each with its published counterpart behind it, floor last.

    Raises:
        NothingMeasured: if no row has a record.
    """
    records = readable(folders, task=suite.task, warn=warn)
    papers = {r.id: (s, r) for s, r in read_published(published_folder())} if published else {}
    body: list[Row] = []
    for line in suite.rows:
        found = _records_of(line, records)
        if found:
            body += rows_of(found, labels={config_id_of(found[0]): line.label})
        else:
            body.append(Row(label=line.label, kind="measured", remarks=("not run",)))
        if line.published in papers:
            body.append(published_row(*papers[line.published]))
    if not any(row.scores for row in body if row.kind != "published"):
        raise NothingMeasured(
            f"no row of suite {suite.name} has a record; `dxbench run --suite {suite.name}` makes them"
        )
    used = [papers[line.published] for line in suite.rows if line.published in papers]
    floor = [row for row in body if row.kind == "reference"]
    body = [row for row in body if row.kind != "reference"] + floor
    headline = metrics or _headline(records)
    return _table(
        suite.title, body, headline, papers=used, notes=[f"{r.label}: {r.note}" for r in suite.rows if r.note]
    )


def _records_of(line: SuiteRow, records: Sequence[ResultRecord]) -> list[ResultRecord]:
    """Records of a suite's row: as it names them, and of the newest configuration if its recipe has changed."""
    named = [r for r in records if (r.method, r.preset, r.overrides) == (line.method, line.preset, line.set)]
    return newest_configuration(named)


def _headline(records: Sequence[ResultRecord]) -> Sequence[str] | None:
    return max(records, key=lambda r: r.task_version).headline if records else None


def result_beside_published(records: Sequence[ResultRecord], folders: Sequence[Path]) -> Table:
    """Fresh results, the papers' rows for the same configuration, and the floor."""
    first = records[0]
    papers = [
        (source, row)
        for source, row in read_published(published_folder())
        if row.task == first.task and any(matches(r.method, r.config, row.match) for r in records)
    ]
    everything = [r for r in iter_records(folders, task=first.task) if isinstance(r, ResultRecord)]
    floor = [row for row in rows_of(r for r in everything if r.reference) if row.scores]
    fresh = rows_of(records)
    shown = {row.config_id for row in fresh}
    rows = fresh + [published_row(s, r) for s, r in papers] + [row for row in floor if row.config_id not in shown]
    return _table(first.task, rows, first.headline, papers=papers)


def readable(folders: Sequence[Path], *, task: str, warn: Warner) -> list[ResultRecord]:
    """Records of a task; files that are none are warned of and skipped."""
    records = []
    for found in iter_records(folders, task=task):
        if isinstance(found, ResultRecord):
            records.append(found)
        else:
            warn(f"{found.path} skipped: {found.reason}")
    return records


def _table(
    title: str,
    rows: Sequence[Row],
    metrics: Sequence[str] | None,
    *,
    papers: Sequence[tuple[Source, PublishedRow]],
    notes: Sequence[str] = (),
) -> Table:
    present = dict.fromkeys(name for row in rows for name in row.scores)
    columns = tuple(name for name in (metrics or present) if name in present)
    notes = list(notes)
    for source in {source.key: source for source, _ in papers}.values():
        notes.append(f"{source.key}: {source.title}, {source.venue}, arXiv:{source.arxiv}{source.version}; published.")
    for protocol in dict.fromkeys(row.protocol for _, row in papers):
        notes.append(f"Published protocol: {protocol}")
    for row in rows:
        notes += [f"{row.label}: {remark}." for remark in row.remarks]
    if any(s.seeds > 1 for row in rows if row.kind != "published" for s in row.scores.values()):
        notes.append("± of our rows is the std over training seeds.")
    return Table(title=title, metrics=columns, rows=tuple(rows), footnotes=tuple(notes))


def render(table: Table, format: Format) -> str:
    """A table as text of the given format."""
    return {"text": _text, "md": _markdown, "csv": _csv, "json": _json}[format](table)


def number(summary: Summary) -> str:
    """Mean ± std, with as many digits as four decimals give."""
    spread = "" if summary.std is None else f" ± {summary.std:.4f}"
    return f"{summary.value:.4f}{spread}"


def _header(table: Table) -> list[str]:
    better = {name: s.better for row in table.rows for name, s in row.scores.items() if s.better != "none"}
    return ["", "NFE", *(f"{name}{ARROWS[better.get(name, 'none')]}" for name in table.metrics), "seeds", "train s"]


def _cells(row: Row, metrics: Iterable[str]) -> list[str]:
    mark = {"published": "† ", "reference": "= "}.get(row.kind, "")
    seeds = max((s.seeds for s in row.scores.values()), default=0) if row.kind != "published" else 0
    return [
        f"{mark}{row.label}",
        "" if row.nfe is None else f"{row.nfe:g}",
        *(number(row.scores[name]) if name in row.scores else "–" for name in metrics),
        str(seeds) if seeds else "",
        "" if row.seconds is None else f"{row.seconds:.0f}",
    ]


def _text(table: Table) -> str:
    from tabulate import tabulate

    body = [_cells(row, table.metrics) for row in table.rows]
    align = ["left", "right", *["right"] * len(table.metrics), "right", "right"]
    text = tabulate(body, headers=_header(table), colalign=align, disable_numparse=True)
    legend = _legend(table.rows)
    return "\n".join([table.title, "", text, *([""] if legend or table.footnotes else []), *legend, *table.footnotes])


def by_metric(table: Table) -> str:
    """A table of few rows as text, turned: a line per metric, so that it fits a terminal."""
    from tabulate import tabulate

    columns = [_cells(row, table.metrics) for row in table.rows]
    names = [table.title, *_header(table)[1:]]
    lines = [list(line) for line in zip(names, *columns, strict=True)]
    heads = [label.replace(" — ", "\n").replace(", ", ",\n") for label in lines[0]]
    align = ["left", *["right"] * len(columns)]
    text = tabulate(lines[1:], headers=heads, colalign=align, disable_numparse=True)
    return "\n".join([text, "", *_legend(table.rows), *table.footnotes])


def _markdown(table: Table) -> str:
    from tabulate import tabulate

    body = [[cell.replace("|", "\\|") for cell in _cells(row, table.metrics)] for row in table.rows]
    align = ["left", "right", *["right"] * len(table.metrics), "right", "right"]
    text = tabulate(body, headers=_header(table), tablefmt="pipe", colalign=align, disable_numparse=True)
    return "\n".join(
        [f"**{table.title}**", "", text, "", *(f"- {n}" for n in [*_legend(table.rows), *table.footnotes])]
    )


def _legend(rows: Iterable[Row]) -> list[str]:
    kinds = {row.kind for row in rows}
    legend = []
    if "published" in kinds:
        legend.append("† published by a paper, not measured here; ± is as printed there.")
    if "reference" in kinds:
        legend.append("= yardstick: fresh draws of the truth, what a perfect model would score.")
    return legend


def _csv(table: Table) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    columns = [c for name in table.metrics for c in (name, f"{name}_std")]
    writer.writerow(["label", "kind", "nfe", *columns, "seeds", "train_seconds", "remarks"])
    for row in table.rows:
        scores = [x for name in table.metrics for x in _pair(row.scores, name)]
        seeds = max((s.seeds for s in row.scores.values()), default=0)
        writer.writerow([row.label, row.kind, row.nfe, *scores, seeds, row.seconds, "; ".join(row.remarks)])
    return out.getvalue().rstrip("\n")


def _pair(scores: Mapping[str, Summary], name: str) -> tuple[float | None, float | None]:
    return (scores[name].value, scores[name].std) if name in scores else (None, None)


def _json(table: Table) -> str:
    rows = [
        {
            "label": row.label,
            "kind": row.kind,
            "config_id": row.config_id,
            "nfe": row.nfe,
            "train_seconds": row.seconds,
            "scores": {name: asdict(row.scores[name]) for name in table.metrics if name in row.scores},
            "remarks": list(row.remarks),
        }
        for row in table.rows
    ]
    return json.dumps({"title": table.title, "rows": rows, "footnotes": list(table.footnotes)}, indent=1)
