"""The plan of what is to be run: cells of task x method x configuration x seed."""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import JsonValue

from dxbench.api import Precision, ResultRecord, short_hash
from dxbench.errors import UsageError
from dxbench.plugins.configure import config_class, configure
from dxbench.plugins.registry import MethodRef, TaskRef, load_method, load_task
from dxbench.plugins.rows import RowName
from dxbench.records.files import config_id, read_record


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One run to be. Plain values, so that it travels to other processes.

    `task_ref` and `method_ref` are what was typed, a name or `file.py:Class`; in Python also a class or an object.

    Attributes:
        part: "start" for a cell that trains the start which other cells share, and then ends without a record.
        needs: run id of such a cell, which should come first; "" where none is planned.
    """

    task_ref: TaskRef
    method_ref: MethodRef
    task: str
    task_version: int
    method: str
    method_version: int
    preset: str
    overrides: dict[str, JsonValue] = field(default_factory=dict)
    config: dict[str, JsonValue] = field(default_factory=dict)
    seed: int
    precision: Precision = "32"
    part: Literal["run", "start"] = "run"
    needs: str = ""

    @cached_property
    def config_id(self) -> str:
        """Hash of what is measured, whatever the seed."""
        return config_id(
            self.task, self.task_version, self.method, self.method_version, self.config, precision=self.precision
        )

    def __str__(self) -> str:
        """The cell as messages name it."""
        return f"{self.method} on {self.task}, seed {self.seed}"

    @property
    def row(self) -> RowName:
        """The name of the row that the run is of."""
        return RowName(method=self.method, preset=self.preset, overrides=self.overrides, precision=self.precision)

    @property
    def prepare(self) -> str:
        """The command that fetches what this run needs and no more."""
        task = self.task_ref if isinstance(self.task_ref, str) else self.task
        method = self.method_ref if isinstance(self.method_ref, str) else self.method
        row = replace(self.row, method=method, precision="32")
        return f"dxbench prepare --task {shlex.quote(task)} --method {shlex.quote(str(row))}"

    @cached_property
    def run_id(self) -> str:
        return f"{self.config_id}-s{self.seed}" if self.part == "run" else f"start-{self.start_id}"

    @property
    def start_id(self) -> str:
        """Hash of the start that is trained once for all runs which share it; "" where a run shares none."""
        task, method = load_task(self.task_ref), load_method(self.method_ref)
        shared = config_class(method, task, self.preset).model_validate(self.config).shared_start()
        return (
            ""
            if shared is None
            else short_hash([self.task, self.task_version, self.seed, self.precision, shared], digits=10)
        )


def plan_row(task_ref: TaskRef, row: RowName, *, seeds: list[int]) -> list[Cell]:
    """One cell of a row per seed; raises as `plan`."""
    return plan(
        task_ref,
        row.method,
        preset=row.preset,
        overrides=dict(row.overrides),
        seeds=seeds,
        precision=row.precision,
    )


def plan(
    task_ref: TaskRef,
    method_ref: MethodRef,
    *,
    preset: str,
    overrides: dict[str, JsonValue],
    seeds: list[int],
    precision: Precision = "32",
) -> list[Cell]:
    """One cell per seed.

    Raises:
        UsageError: for unknown names, presets and keys, values that do not validate, or seeds given twice.
    """
    if len(set(seeds)) != len(seeds) or not seeds or min(seeds) < 0:
        raise UsageError(f"seeds must be different and not negative, got {seeds}")
    task, method = load_task(task_ref), load_method(method_ref)
    config = configure(method, task, preset, overrides)
    return [
        Cell(
            task_ref=task_ref,
            method_ref=method_ref,
            task=task.name,
            task_version=task.version,
            method=method.name,
            method_version=method.version,
            preset=preset,
            overrides=overrides,
            config=config.model_dump(mode="json"),
            seed=seed,
            precision=precision,
        )
        for seed in seeds
    ]


def measured(cells: Iterable[Cell], results: Path) -> dict[str, ResultRecord]:
    """Records of the cells that a folder has well-ended ones of, by run id."""
    done = {}
    for cell in cells:
        path = results / cell.task / cell.method / f"{cell.run_id}.json"
        record = read_record(path) if path.is_file() else None
        if isinstance(record, ResultRecord) and record.status == "ok" and record.withdrawn is None:
            done[cell.run_id] = record
    return done
