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
    """One row: a method with its configuration, and the published row it answers to.

    Attributes:
        seeds: of this row, where they are others than the suite's.
    """

    label: str
    method: str
    preset: str = DEFAULT_PRESET
    set: Settings = Field(default_factory=dict)
    seeds: list[Natural] | None = None
    published: str | None = None
    note: str | None = None


class Suite(Frozen):
    """Rows of one task over the same training seeds, but for those that say their own.

    A suite with the name of its task gives the task's table labels and an order.
    """

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


def load_suite(name: str, *, within: tuple[str, ...] = ()) -> Suite:
    """A shipped suite by name, or the suite file at a path ending in .toml.

    A suite may name methods and tasks by their files. `dxbench run --suite` imports them, with --dry-run too, so that a
    suite is to be trusted as a program is; to read one, or to show its table, imports nothing.

    Args:
        within: the suites that include this one; `include = "NAME"` in a suite is for the rows of another before its
            own, and for its seeds where it has none.

    Raises:
        UsageError: for an unknown name, a file that is not a suite, or one that includes itself.
    """
    if name in within:
        raise UsageError(f"suite {name!r} includes itself by way of {', '.join((*within, name))}")
    is_file = name.lower().endswith(".toml")
    shipped = {} if is_file else {found.name: found.content for found in _shipped()}
    if is_file and not Path(name).exists():
        raise UsageError(f"no suite file {name!r}; check the path, or see `dxbench list suites`")
    if not is_file and name not in shipped:
        raise unknown("suite", name, shipped, remedy="See `dxbench list suites`.")
    try:
        content = read_regular(name, limit=FILE_LIMIT) if is_file else shipped[name]
        settings = tomllib.loads(content.decode("utf-8-sig"))
        included = settings.pop("include", None)
        if included is None:
            return Suite.model_validate(settings)
        other = load_suite(str(included), within=(*within, name))
        suite = Suite.model_validate({"seeds": other.seeds, "rows": [], **settings})
        return suite.model_copy(update={"rows": [*other.rows, *suite.rows]})
    except UnicodeDecodeError as error:
        raise UsageError(f"suite {name!r} is not in UTF-8 ({error}); save it in that encoding") from None
    except ValidationError as error:
        raise UsageError(f"suite {name!r} is not valid: {refusal(error)}") from None
    except (OSError, InvalidFile, ValueError, RecursionError) as error:
        raise UsageError(f"suite {name!r} is not valid: {error}") from None
