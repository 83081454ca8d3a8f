"""`dxbench claims`."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from shutil import get_terminal_size
from textwrap import fill
from typing import Any, Literal

from dxbench import paths
from dxbench.boards.claims import Claim, Verdict, claims, in_part
from dxbench.boards.opening import open_records
from dxbench.boards.published import PublishedRow, Source, read_published
from dxbench.boards.render.cells import number
from dxbench.boards.render.text import ELSEWHERE, markdown_text
from dxbench.cli.common import say
from dxbench.errors import ExitCode, UsageError, unknown
from dxbench.plain import plain

Format = Literal["text", "md"]


def claims_command(
    *,
    paper: str | None,
    task: str | None,
    format: Format,
    folders: Sequence[Path] | None,
    published: Path | None,
    as_json: bool,
) -> int:
    """Print a verdict per published cell; exit 6 where no cell could be judged.

    Raises:
        UsageError: for a paper or task that no published row is of.
        InvalidFile: for published rows without a source, or a record that is none.
    """
    if published is not None and not published.is_dir():
        raise UsageError(f"no folder {published}; give a folder of published rows, or leave the option out")
    rows = _chosen(read_published(published or paths.published()), paper, task)
    with open_records(folders, task=task) as index:
        found = claims(index, rows)
        if as_json:
            say([_plain(one) for one in found])
        else:
            print("\n".join(_lines(found, format)))
    judged = any(one.verdict.judged for one in found)
    return int(ExitCode.OK if judged else ExitCode.NOT_COMPARABLE)


def _chosen(
    rows: Sequence[tuple[Source, PublishedRow]], paper: str | None, task: str | None
) -> list[tuple[Source, PublishedRow]]:
    papers, tasks = {source.key for source, _ in rows}, {row.task for _, row in rows}
    if paper is not None and paper not in papers:
        raise unknown("paper", paper, papers, remedy="See `dxbench claims`.")
    if task is not None and task not in tasks:
        raise unknown("task", task, tasks, remedy="No published row is of it; see `dxbench claims`.")
    return [(source, row) for source, row in rows if paper in (None, source.key) and task in (None, row.task)]


def _plain(claim: Claim) -> dict[str, Any]:
    return asdict(claim) | {"source": claim.source.model_dump(), "published": claim.published.model_dump()}


def _lines(found: Sequence[Claim], format: Format) -> Iterator[str]:
    """A section per table of a paper: its judged cells as a table, and by name those that were not run."""
    from tabulate import tabulate

    width = get_terminal_size(ELSEWHERE).columns

    def broken(line: str) -> str:
        return line if format == "md" else fill(line, width, subsequent_indent="  ")

    counts = Counter(one.verdict for one in found)
    yield ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict])
    if note := in_part(found):
        yield broken(note)
    for (key, table, task), group in groupby(found, key=lambda one: (one.source.key, one.table, one.task)):
        cells = list(group)
        source = cells[0].source
        heading = f"{key}, {table}: {task} ({source.cited})"
        yield f"\n### {_cell(heading, format)}\n" if format == "md" else f"\n{_cell(heading, format)}"
        if shown := [one for one in cells if one.verdict != Verdict.NOT_RUN]:
            body = [[_cell(text, format) for text in _columns(one)] for one in shown]
            headers = ["cell", "metric", "paper", "ours", "seeds", "verdict", "why"]
            style = "pipe" if format == "md" else "simple"
            narrow = None if format == "md" else _widths(width)
            yield tabulate(body, headers=headers, tablefmt=style, disable_numparse=True, maxcolwidths=narrow)
            yield from [""] if format == "md" else []
        bullet = "- " if format == "md" else ""
        for reason, rest in _by_reason([one for one in cells if one.verdict == Verdict.NOT_RUN]).items():
            yield broken(f"{bullet}not run ({_cell(reason, format)}): {_cell('; '.join(rest), format)}")
        for note in dict.fromkeys(_notes(cells)):
            yield broken(f"{bullet}{_cell(note, format)}")


def _widths(width: int) -> list[int | None]:
    """Widths of the columns of a terminal, broken where they would be wider."""
    if width < 120:
        return [18, 9, 8, 8, 5, 10, max(10, width - 78)]
    return [26, 14, None, None, None, 14, width - 105 if width > 130 else 24]


def _columns(one: Claim) -> list[str]:
    ours, seeds = "", ""
    if one.ours is not None:
        ours = number(one.ours)
        seeds = str(one.ours.seeds)
    marks = "".join(f" [{mark}]" for mark in one.marks)
    disputed = " (disputed)" if one.disputed else ""
    return [
        one.label,
        one.metric,
        one.published.printed,
        ours,
        seeds,
        one.verdict + disputed,
        one.reason + marks,
    ]


def _by_reason(cells: Sequence[Claim]) -> dict[str, list[str]]:
    """Labels of rows with their metrics, by why they were not run."""
    found: dict[str, list[str]] = {}
    for (label, reason), group in groupby(cells, key=lambda one: (one.label, one.reason)):
        found.setdefault(reason, []).append(f"{label} ({', '.join(one.metric for one in group)})")
    return found


def _notes(cells: Sequence[Claim]) -> Iterator[str]:
    for one in cells:
        if one.assumed and one.ours is not None:
            yield f"{one.metric}: the paper leaves open, and we assume: {one.assumed}."
        if one.disputed:
            yield f"disputed: {one.label}: {one.disputed}."


def _cell(text: str, format: Format) -> str:
    return markdown_text(text) if format == "md" else plain(text)
