"""Suite files: the rows of one table, run and shown together."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from pydantic import Field, ValidationError

from dxbench.api import Frozen, Natural, Settings, refusal
from dxbench.errors import InvalidFile, UsageError, unknown
from dxbench.files.reading import read_regular
from dxbench.plugins import registry
from dxbench.plugins.configure import DEFAULT_PRESET

FILE_LIMIT = 2**20
"""Bytes of a suite; the largest shipped has 3,000."""


class SuiteRow(Frozen):
    """One row: a method with its configuration, and the published row it answers to."""

    label: str
    method: str
    preset: str = DEFAULT_PRESET
    set: Settings = Field(default_factory=dict)
    published: str | None = None
    note: str | None = None


class Suite(Frozen):
    """Rows of one task over the same seeds."""

    name: str
    title: str
    task: str
    seeds: list[Natural]
    rows: list[SuiteRow]


@dataclass(frozen=True)
class _Found:
    name: str
    content: bytes


def _shipped() -> Iterator[_Found]:
    for plugin in registry.plugins("suites").values():
        for file in resources.files(plugin.entry.value).iterdir():
            if file.name.endswith(".toml"):
                yield _Found(file.name.removesuffix(".toml"), file.read_bytes())


def suite_names() -> list[str]:
    """Names of the suites that installed packages ship."""
    return sorted(found.name for found in _shipped())


def load_suite(name: str) -> Suite:
    """A shipped suite by name, or the suite file at a path ending in .toml.

    A suite may name methods and tasks by their files. `dxbench run --suite` imports them, with --dry-run too, so that a
    suite is to be trusted as a program is; to read one, or to show its table, imports nothing.

    Raises:
        UsageError: for an unknown name or a file that is not a suite.
    """
    is_file = name.lower().endswith(".toml")
    shipped = {} if is_file else {found.name: found.content for found in _shipped()}
    if is_file and not Path(name).exists():
        raise UsageError(f"no suite file {name!r}")
    if not is_file and name not in shipped:
        raise unknown("suite", name, shipped)
    try:
        content = read_regular(name, limit=FILE_LIMIT) if is_file else shipped[name]
        return Suite.model_validate(tomllib.loads(content.decode("utf-8-sig")))
    except UnicodeDecodeError as error:
        raise UsageError(f"suite {name!r} is not in UTF-8 ({error}); save it in that encoding") from None
    except ValidationError as error:
        raise UsageError(f"suite {name!r} is not valid: {refusal(error)}") from None
    except (OSError, InvalidFile, ValueError, RecursionError) as error:
        raise UsageError(f"suite {name!r} is not valid: {error}") from None
