"""Boards and records as DataFrames."""

import warnings
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from pandas import DataFrame, Index

from dxbench.boards.asking import asked_for, compare_rows
from dxbench.boards.opening import check_folders
from dxbench.boards.render import data
from dxbench.plugins.registry import TaskRef, task_name
from dxbench.records.entries import Entry
from dxbench.records.index import RecordIndex, open_index

Folders = Sequence[str | Path] | str | Path | None
_OF_RUNS = [field.name for field in fields(Entry) if field.name not in ("scores", "headline", "config")]


def table(
    task: TaskRef | None = None,
    *,
    suite: str | None = None,
    metrics: Sequence[str] | None = None,
    published: bool = False,
    results: Folders = None,
) -> DataFrame:
    """Mean and std over training seeds, best first, ranked within blocks that may be compared, floor last.

    As `dxbench table` shows it: a line per row, and per metric its mean, `_std`, `_first_place` and `_last_place`.
    Title and footnotes are in `attrs`.

    >>> import dxbench
    >>> board = dxbench.table("gaussians8")
    >>> round(float(board.loc["dxmi", "sw2"]), 4)
    0.0478

    Args:
        task: by name, `path/to/file.py:Class`, class or object.
        suite: in place of a task, the rows of a suite in its order.
        metrics: columns; default the task's headline.
        published: with the numbers of papers beside them.
        results: folders of records; default the reference results, then your own.

    Raises:
        UsageError: unless it is a task or a suite; for a wrong name, with the nearest.
        NothingMeasured: if there is nothing to show.
    """
    asked = asked_for(task, suite)
    found = asked.table(_opened(results, asked.task), metrics=metrics, published=published)
    frame = DataFrame(data.lines(found), columns=Index(data.columns(found))).set_index("label")
    frame.attrs.update(title=found.title, footnotes=list(found.footnotes))
    return frame


def compare(a: str, b: str, task: TaskRef, *, alpha: float = 0.05, results: Folders = None) -> DataFrame:
    """Test whether row `a` is better than row `b`, by Welch's t tests over training seeds, a line per metric.

    `difference` is the mean of a minus that of b, `low` and `high` its interval; `p_value` is adjusted over the
    metrics (Bonferroni). Both labels are in `attrs`.

    >>> import dxbench
    >>> dxbench.compare("dxmi", "ddpm[num_steps=10]", "gaussians8").loc["sw2", "verdict"]
    'better'

    Args:
        a: a row as `dxbench compare` takes it, `method:preset[key=value,...]` or a config id, with `@yours` behind it
            for your own runs.
        b: the row it is compared with.
        task: by name, `path/to/file.py:Class`, class or object.
        alpha: family-wise error over the metrics.
        results: folders of records; default the reference results, then your own.

    Raises:
        UsageError: for a row or a task that is not there, with the nearest.
        NothingMeasured: without a record of the task.
    """
    name = task_name(task)
    found = compare_rows(_opened(results, name), a, b, task=name, alpha=alpha)
    lines = [
        {
            "metric": one.metric,
            "verdict": one.verdict,
            "better": one.better,
            "difference": one.difference.point if one.difference else None,
            "low": one.difference.low if one.difference else None,
            "high": one.difference.high if one.difference else None,
            "p_value": one.p_value,
            "seeds_a": one.seeds[0],
            "seeds_b": one.seeds[1],
            "differing": one.differing,
        }
        for one in found.metrics
    ]
    frame = DataFrame(lines).set_index("metric") if lines else DataFrame()
    frame.attrs.update(a=found.a, b=found.b, alpha=found.alpha)
    return frame


def load_records(task: TaskRef | None = None, *, results: Folders = None) -> DataFrame:
    """All runs on record, a line each: what was run, how it ended, what it cost, and a column per metric.

    `path` is that of the record, which `load_model` takes. Files that are no records are warned of.

    >>> import dxbench
    >>> runs = dxbench.load_records("gaussians8")
    >>> runs[runs.method == "data"].sw2.round(3).tolist()
    [0.039, 0.046, 0.041, 0.035, 0.041]

    Args:
        task: only those of a task, by name, `path/to/file.py:Class`, class or object.
        results: folders of records; default the reference results, then your own.

    Raises:
        UsageError: for a folder that is not there, or a task that neither is installed nor has a record.
    """
    name = None if task is None else task_name(task)
    index = _opened(results, name)
    tasks = index.tasks if name is None else [name]
    return DataFrame(
        [
            {key: getattr(entry, key) for key in _OF_RUNS}
            | {metric: estimate.value for metric, estimate in entry.scores.items()}
            for one in tasks
            for entry in index.entries(one)
        ]
    )


def _opened(results: Folders, task: str | None) -> RecordIndex:
    given = [results] if isinstance(results, str | Path) else results
    chosen = check_folders([Path(folder) for folder in given] if given else None, task=task)
    index = open_index(chosen, task=task)
    for problem in index.problems:
        warnings.warn(f"{problem.path}: {problem.reason}", stacklevel=3)
    return index
