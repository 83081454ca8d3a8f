"""`dxbench explain`."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path

from pydantic import JsonValue

from dxbench import paths
from dxbench.api import ResultRecord, Task
from dxbench.boards.aggregate import label_of
from dxbench.boards.compare import Selection, select
from dxbench.boards.explain import Differences, Explanation, explain, made_differently, pair_up
from dxbench.boards.opening import open_records, row_name
from dxbench.cli.common import say
from dxbench.errors import ExitCode, InvalidFile, NothingMeasured, UsageError, unknown
from dxbench.plain import plain
from dxbench.plugins.registry import in_file, load_task, plugins, task_name
from dxbench.records.entries import Entry
from dxbench.records.files import Unreadable, read_record
from dxbench.terminal.console import status

WIDTH = 40
LONG = 9


def explain_command(
    a: str, b: str, *, task: str | None, metrics: Sequence[str] | None, folders: Sequence[Path] | None, as_json: bool
) -> int:
    """Print what differs between A and B, and for every metric a waterfall from A's number to B's.

    Raises:
        UsageError: for a row, file or metric that is not there, or a row without a task.
        InvalidFile: for a file that is no record.
        NothingMeasured: if A and B have no seed or no metric in common.
    """
    recorded = None if task is None else task_name(task)
    first, second = (_selected(name, recorded, folders) for name in (a, b))
    pairs = pair_up(first, second)
    known = dict.fromkeys(name for pair in pairs for record in pair for name in record.scores)
    for name in metrics or []:
        if name not in known:
            raise unknown("metric", name, known, remedy="See `dxbench list metrics`.")
    wanted = metrics or _headline(pairs[0][0], list(known))
    with status("reading") as tell:
        found = explain(
            pairs,
            task=_task_of(pairs[0][0], task),
            home=paths.home(),
            metrics=wanted,
            progress=tell,
        )
    if not found:
        raise NothingMeasured(f"A and B have none of these metrics in common: {', '.join(wanted)}")
    missing = [name for name in wanted if name not in {one.metric for one in found}]
    differences = made_differently(*pairs[0])
    if as_json:
        say(
            {
                "a": first.label,
                "b": second.label,
                "made_differently": differences,
                "not_in_both": missing,
                "metrics": [asdict(one) | {"gap": one.gap} for one in found],
            }
        )
    else:
        print("\n".join(map(plain, _lines(first.label, second.label, differences, found, missing))))
    return int(ExitCode.OK)


def _selected(name: str, task: str | None, folders: Sequence[Path] | None) -> Selection:
    """A row of the records, or the one run of a record file."""
    if name.endswith(".json"):
        if not Path(name).is_file():
            raise UsageError(f"no record file {name}; check the path, or name a row with --task")
        record = read_record(name)
        if isinstance(record, Unreadable):
            raise InvalidFile(f"{record.path}: {record.reason}")
        entry = Entry.of(record, name)
        return Selection(label=f"{label_of(entry)}, seed {entry.seed} ({name})", by_seed={entry.seed: entry})
    if task is None:
        raise UsageError(f"give --task for the row {name!r}, or the path of a record ending in .json")
    with open_records(folders, task=task) as index:
        entries = index.entries(task)
        if not entries:
            raise NothingMeasured(f"no record of task {task!r}; `dxbench run --task {task} ...` makes one")
        return select(entries, row_name(name))


def _task_of(record: ResultRecord, given: str | None) -> Task:
    """The task of a record: installed, or from the file that was given.

    Raises:
        UsageError: if it is neither.
    """
    if given is not None and in_file(given):
        return load_task(given)
    if record.task not in plugins("tasks"):
        raise UsageError(f"task {record.task!r} is not installed; give its file, --task path/to/file.py:Class")
    return load_task(record.task)


def _headline(record: ResultRecord, known: Sequence[str]) -> list[str]:
    return [name for name in record.headline if name in known] or list(known)


def _lines(a: str, b: str, made: Differences, found: Sequence[Explanation], missing: Sequence[str]) -> Iterator[str]:
    yield f"A = {a}"
    yield f"B = {b}"
    if made:
        yield from ("", "made differently")
        yield from _fields(made)
    for one in found:
        yield ""
        yield from _waterfall(one)
    if missing:
        yield from ("", f"not measured by both: {', '.join(missing)}")
    yield from (
        "",
        "A field's share depends on the order in which fields are changed: that of the protocol, as listed.",
    )


def _fields(fields: Differences) -> Iterator[str]:
    width = max(len(field) for field in fields)
    for field, (of_a, of_b) in fields.items():
        yield f"  {field:{width}}  {_value(of_a)} -> {_value(of_b)}"


def _value(value: JsonValue) -> str:
    return "–" if value is None else str(value)


def _waterfall(one: Explanation) -> Iterator[str]:
    """Bars whose printed numbers add up to the printed gap: levels are rounded, and changes taken between them."""
    levels = [one.a, *(step.after for step in one.steps)]
    digits = 6 - max(0, math.ceil(math.log10(max(abs(level) for level in levels) or 1.0)))
    # Decimal's own precision is 28 digits; what is longer is rounded before the point.
    last = Decimal(1).scaleb(-digits if digits < -LONG else -max(digits, 0))
    rounded = [Decimal(level).quantize(last) for level in levels]
    better = "" if one.better == "none" else f", {one.better} is better"
    over = "" if one.pairs == 1 else f", means over {one.pairs} seeds"
    yield f"{one.metric}: B - A = {rounded[-1] - rounded[0]:+}{better}{over}"
    if one.fields:
        yield "  protocols"
        yield from ("  " + line for line in _fields(one.fields))
    names = ["A", *(step.name for step in one.steps), "B"]
    changes = [x - y for x, y in zip(rounded[1:], rounded, strict=False)]
    largest = max((abs(change) for change in changes), default=Decimal(0)) or Decimal(1)
    width = max(map(len, names))
    yield f"  {'A':{width}}  {rounded[0]:>12}"
    for name, change in zip(names[1:-1], changes, strict=True):
        yield f"  {name:{width}}  {change:>+12}  {'█' * math.ceil(WIDTH * abs(change) / largest)}".rstrip()
    yield f"  {'B':{width}}  {rounded[-1]:>12}"
    if one.note:
        yield f"  not told apart: {one.note}"
