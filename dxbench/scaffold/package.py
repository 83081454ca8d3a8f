"""A package with one method or one task, outside the suite."""

import importlib.util
import keyword
import re
import sys
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Literal

from jinja2 import Environment, StrictUndefined

from dxbench import __version__
from dxbench.errors import UsageError
from dxbench.files.writing import whole_folder
from dxbench.plugins import registry

_NAME = re.compile(r"[a-z][a-z0-9_]*")


Kind = Literal["method", "task"]


def new_package(kind: Kind, name: str, folder: Path) -> list[Path]:
    """Write the package of a new method or task into `folder`; returns the files in order.

    Raises:
        UsageError: for a name that is taken or cannot be a module, or a folder with something in it or below a file.
        MachineFault: where there is no room or no permission.
    """
    check_name(kind, name)
    if folder.is_dir() and any(folder.iterdir()):
        raise UsageError(f"{folder} is there already and not empty; choose another with --folder, or remove it")
    values = {
        "name": name,
        "class_name": "".join(part.capitalize() for part in name.split("_")),
        "distribution": f"dxbench-{name.replace('_', '-').strip('-')}",
        "dxbench_version": __version__,
    }
    # The templates are Python, TOML and Markdown, which know none of HTML's escapes; the name is a checked identifier.
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    written = []
    with whole_folder(folder) as place:
        for path, text in _templates(resources.files("dxbench") / "scaffold" / "templates" / kind):
            name = environment.from_string(path).render(values)
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_text(environment.from_string(text).render(values), encoding="utf-8")
            written.append(folder / name)
    return written


def check_name(kind: Kind, name: str) -> None:
    """Raises UsageError unless `name` can be a module of its own and is no method, or task, yet."""
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise UsageError(
            f"a {kind}'s name is a Python module: small letters, digits and underscores, a letter first; got {name!r}"
        )
    installed = registry.plugins("methods" if kind == "method" else "tasks")
    if name in installed:
        origin = installed[name].origin
        raise UsageError(f"a {kind} named {name!r} is installed already (from {origin}); choose another name")
    if name in sys.stdlib_module_names or importlib.util.find_spec(name) is not None:
        raise UsageError(
            f"a Python module named {name!r} is installed already and would be hidden; choose another name"
        )


def _templates(folder: Traversable, prefix: str = "") -> list[tuple[str, str]]:
    """(path, text) of every template below a folder, in order of path."""
    found = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            found += _templates(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".jinja"):
            found.append((prefix + entry.name.removesuffix(".jinja"), entry.read_text(encoding="utf-8")))
    return found
