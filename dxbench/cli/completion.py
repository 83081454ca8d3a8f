"""Words that the shell completes: names of tasks, methods, presets and suites, of which nothing is imported.

The registry itself is imported when a word is asked for, so that commands start as quickly without it.
"""

import ast
import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from dxbench.plugins.registry import Kind, Plugin


def tasks(incomplete: str) -> list[str]:
    """Names of installed tasks; after a comma, of a further one."""
    return _listed(incomplete, _plugins("tasks"))


def methods(incomplete: str) -> list[str]:
    """Names of installed methods; after a comma, of a further one."""
    return _listed(incomplete, _plugins("methods"))


def trackers(incomplete: str) -> list[str]:
    """Names of installed trackers."""
    return _begun(incomplete, _plugins("trackers"))


def suites(incomplete: str) -> list[str]:
    """Names of installed suites."""
    from dxbench.plugins.suites import suite_names

    return _begun(incomplete, suite_names())


def names(incomplete: str) -> list[str]:
    """Names of tasks, methods, launchers, trackers and suites, as `dxbench info` takes them."""
    plugins = _begun(
        incomplete, {*_plugins("tasks"), *_plugins("methods"), *_plugins("launchers"), *_plugins("trackers")}
    )
    return sorted({*plugins, *suites(incomplete)})


def presets(context: typer.Context, incomplete: str) -> list[str]:
    """Presets of the method that has been typed so far; without one, those that every method has."""
    from dxbench.plugins.configure import DEFAULT_PRESET, QUICK_PRESET

    typed = context.params.get("method") or context.params.get("name") or ""
    return _begun(incomplete, {DEFAULT_PRESET, QUICK_PRESET} | _recipe_names(str(typed)))


def _plugins(kind: "Kind") -> "dict[str, Plugin]":
    from dxbench.plugins import registry

    return registry.plugins(kind)


def _begun(incomplete: str, words: Iterable[str]) -> list[str]:
    return sorted(word for word in words if word.startswith(incomplete))


def _listed(incomplete: str, words: Iterable[str]) -> list[str]:
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{word}" for word in _begun(last, words)]


def _recipe_names(method: str) -> set[str]:
    """Presets that the source of a method's recipes has as keys (place, preset)."""
    plugin = _plugins("methods").get(method)
    source = None if plugin is None else _source(plugin.entry.module)
    if plugin is None or source is None:
        return set()
    (said, *_) = [
        node.value.value
        for cls in source.body
        if isinstance(cls, ast.ClassDef) and cls.name == plugin.entry.attr
        for node in cls.body
        if isinstance(node, ast.Assign)
        and any(isinstance(target, ast.Name) and target.id == "recipes" for target in node.targets)
        and isinstance(node.value, ast.Constant)
    ] or [""]
    found = _source(importlib.util.resolve_name(str(said), plugin.entry.module.rpartition(".")[0])) if said else None
    keys = (key for node in ast.walk(found) if isinstance(node, ast.Dict) for key in node.keys) if found else ()
    return {
        str(key.elts[1].value)
        for key in keys
        if isinstance(key, ast.Tuple) and len(key.elts) == 2 and isinstance(key.elts[1], ast.Constant)
    }


def _source(module: str) -> ast.Module | None:
    """The source of a module, which is not imported; None where there is none."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
