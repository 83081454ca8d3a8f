"""What is to be run: cells of task x method x configuration x seed."""

import shlex
from dataclasses import dataclass, field

from pydantic import JsonValue

from dxbench.api import Precision
from dxbench.errors import UsageError
from dxbench.plugins.configure import DEFAULT_PRESET, assignments, configure, preset_task
from dxbench.plugins.registry import load_method, load_task
from dxbench.records.files import config_id


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One run to be. Plain values, so that it travels to other processes.

    `task_ref` and `method_ref` are what was typed, a name or `file.py:Class`.
    """

    task_ref: str
    method_ref: str
    task: str
    task_version: int
    method: str
    method_version: int
    preset: str
    overrides: dict[str, JsonValue] = field(default_factory=dict)
    config: dict[str, JsonValue] = field(default_factory=dict)
    seed: int
    precision: Precision = "32"

    @property
    def config_id(self) -> str:
        """Hash of what is measured, whatever the seed."""
        return config_id(
            self.task, self.task_version, self.method, self.method_version, self.config, precision=self.precision
        )

    @property
    def prepare(self) -> str:
        """The command that fetches what this run needs and no more."""
        parts = ["dxbench prepare --task", shlex.quote(self.task_ref), "--method", shlex.quote(self.method_ref)]
        parts += [] if self.preset == DEFAULT_PRESET else ["--preset", self.preset]
        parts += [f"--set {shlex.quote(text)}" for text in assignments(self.overrides)]
        return " ".join(parts)

    @property
    def run_id(self) -> str:
        return f"{self.config_id}-s{self.seed}"


def plan(
    task_ref: str,
    method_ref: str,
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
    config = configure(method, preset_task(task), preset, overrides)
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
