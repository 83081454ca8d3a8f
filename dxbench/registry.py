"""Plug-ins by name, from entry points or from `path/to/file.py:Class`.

Names and summaries are read without importing, so that listing stays quick; a plug-in from another
distribution is imported when listed, because only that tells whether it works.
"""

import ast
import importlib
import importlib.util
import inspect
import sys
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal

from dxbench.api import Method, MethodCard, Task
from dxbench.errors import UsageError, unknown

Kind = Literal["tasks", "methods", "metrics", "launchers", "recipes", "suites"]
OWN_DISTRIBUTION = "dxbench"


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """One entry point."""

    kind: Kind
    name: str
    entry: EntryPoint

    @property
    def origin(self) -> str:
        return self.entry.dist.name if self.entry.dist else "unknown"

    def load(self) -> Any:
        """The object the entry point names.

        Raises:
            UsageError: if it fails to import, with the reason.
        """
        try:
            return self.entry.load()
        except Exception as error:
            raise UsageError(
                f"{self.kind[:-1]} {self.name!r} ({self.entry.value}, from {self.origin}) fails to import: "
                f"{type(error).__name__}: {error}. Mend or uninstall {self.origin}."
            ) from error

    def problem(self) -> str | None:
        """Why the plug-in cannot be used, or None. Ours are only looked at, others are imported."""
        if self.origin != OWN_DISTRIBUTION:
            try:
                self.load()
            except UsageError as error:
                return str(error)
            return None
        try:
            found = importlib.util.find_spec(self.entry.module)
        except ImportError as error:
            return str(error)
        return None if found else f"module {self.entry.module} is missing"

    def summary(self) -> str:
        """First line of the docstring behind the entry point, read from the source; "" where there is none."""
        spec = importlib.util.find_spec(self.entry.module)
        if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
            return ""
        tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
        for node in tree.body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == self.entry.attr:
                text = ast.get_docstring(node)
                break
            if isinstance(node, ast.Assign) and any(getattr(t, "id", None) == self.entry.attr for t in node.targets):
                text = _docstring_of_call(tree, node.value)
                break
        else:
            text = None
        return (text or ast.get_docstring(tree) or "").split("\n", 1)[0]


def _docstring_of_call(tree: ast.Module, value: ast.expr) -> str | None:
    """For `NAME = Class(...)`: the docstring of Class, where the same module defines or imports it."""
    if not isinstance(value, ast.Call) or not isinstance(value.func, ast.Name):
        return None
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == value.func.id:
            return ast.get_docstring(node)
        if isinstance(node, ast.ImportFrom) and node.module and value.func.id in {a.name for a in node.names}:
            spec = importlib.util.find_spec(node.module)
            if spec and spec.origin:
                imported = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
                return _docstring_of_call(
                    ast.Module(body=[n for n in imported.body if isinstance(n, ast.ClassDef)], type_ignores=[]), value
                )
    return None


@cache
def plugins(kind: Kind) -> dict[str, Plugin]:
    """Plug-ins of a kind by name. Of two with one name the suite's own wins, so that none is shadowed."""
    found: dict[str, Plugin] = {}
    for entry in sorted(entry_points(group=f"dxbench.{kind}"), key=lambda e: (e.name, e.value)):
        plugin = Plugin(kind=kind, name=entry.name, entry=entry)
        if entry.name not in found or plugin.origin == OWN_DISTRIBUTION:
            found[entry.name] = plugin
    return found


def load(kind: Kind, name: str) -> Any:
    """The object of that name; `path/to/file.py:Class` loads a file.

    Raises:
        UsageError: for an unknown name (with the nearest known one) or a plug-in that fails to import.
    """
    if ".py:" in name:
        return _load_file(kind, name)
    known = plugins(kind)
    if name not in known:
        raise unknown(kind[:-1], name, known, remedy=f"See `dxbench list {kind}`.")
    return known[name].load()


def load_task(name: str) -> Task:
    """The task of that name.

    Raises:
        UsageError: if it is unknown or no Task.
    """
    loaded = load("tasks", name)
    if not (isinstance(loaded, type) and issubclass(loaded, Task)):
        raise UsageError(f"task {name!r} is not a dxbench.api.Task, got {_described(loaded)}")
    return loaded()


def load_method(name: str) -> type[Method]:
    """The method class of that name.

    Raises:
        UsageError: if it is unknown or no Method.
    """
    loaded = load("methods", name)
    if not (isinstance(loaded, type) and issubclass(loaded, Method)):
        raise UsageError(f"method {name!r} is not a dxbench.api.Method class, got {_described(loaded)}")
    return loaded


def _described(found: object) -> str:
    """What was found in place of a class, without its address."""
    return f"the {type(found).__name__} {getattr(found, '__qualname__', '')}".rstrip()


def method_card(method: type[Method]) -> MethodCard:
    """What boards print of a method: its own documentation, that of its file included."""
    own = inspect.cleandoc(method.__doc__ or "")
    file = inspect.getdoc(sys.modules[method.__module__]) or ""
    return MethodCard(
        family=method.family, summary=own.split("\n", 1)[0], description=file or own, citation=method.citation
    )


def _load_file(kind: Kind, reference: str) -> Any:
    path_text, _, attribute = reference.rpartition(":")
    path = Path(path_text).resolve()
    if not path.is_file():
        raise UsageError(f"no file {path_text!r} to load a {kind[:-1]} from")
    module_name = f"dxbench_file_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(f"{path_text} fails to import: {type(error).__name__}: {error}") from error
    if attribute not in vars(module):
        classes = [name for name, value in vars(module).items() if isinstance(value, type)]
        raise unknown(f"name in {path_text}", attribute, classes)
    return vars(module)[attribute]
