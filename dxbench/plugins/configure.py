"""From preset and overrides to a frozen configuration."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import JsonValue, ValidationError

from dxbench.api import Config, Method, Task
from dxbench.errors import UsageError, unknown
from dxbench.plugins import registry

DEFAULT_PRESET = "default"
Recipes = Mapping[tuple[str, str], Callable[[], Config]]


def recipes(method: type[Method]) -> Recipes:
    """The recipes registered for a method: (task, preset) -> function returning its configuration."""
    plugin = registry.plugins("recipes").get(method.name)
    return plugin.load() if plugin else {}


def preset_task(task: Task) -> str:
    """The task by whose name presets are found: the task itself, or the one that it takes them from.

    Raises:
        UsageError: if that is no installed task.
    """
    if task.presets_of is None:
        return task.name
    if task.presets_of not in registry.plugins("tasks"):
        raise unknown(f"task, as `presets_of` of {task.name},", task.presets_of, registry.plugins("tasks"))
    return task.presets_of


def presets(method: type[Method], task: str) -> list[str]:
    """Preset names of a method for a task; always with the default."""
    return sorted({DEFAULT_PRESET} | {preset for t, preset in recipes(method) if t == task})


def parse_assignments(assignments: list[str]) -> dict[str, JsonValue]:
    """`key=value` texts to a dict; values are read as JSON where they are JSON, else as text.

    Raises:
        UsageError: for a text without "=" or a key given twice.
    """
    overrides: dict[str, JsonValue] = {}
    for text in assignments:
        key, separator, value = text.partition("=")
        if not separator or not key:
            raise UsageError(f"--set takes key=value, got {text!r}")
        if key in overrides:
            raise UsageError(f"--set {key} is given twice")
        try:
            overrides[key] = json.loads(value)
        except json.JSONDecodeError:
            overrides[key] = {"True": True, "False": False, "None": None}.get(value, value)
    return overrides


def assignments(overrides: Mapping[str, JsonValue]) -> list[str]:
    """The `key=value` texts that `parse_assignments` reads as these overrides."""
    return [f"{key}={_as_typed(value)}" for key, value in overrides.items()]


def _as_typed(value: JsonValue) -> str:
    """A text as it is, unless it would be read as something else."""
    if isinstance(value, str) and parse_assignments([f"key={value}"])["key"] == value:
        return value
    return json.dumps(value)


def _merged(base: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The base with the overrides on top, inside nested settings too."""
    nested = {
        key: _merged(base[key], value)
        for key, value in overrides.items()
        if isinstance(value, Mapping) and isinstance(base.get(key), Mapping)
    }
    return {**base, **overrides, **nested}


def config_class(method: type[Method], task: str, preset: str) -> type[Config]:
    """The class of the recipe's configuration; the method's own where there is no recipe."""
    recipe = recipes(method).get((task, preset))
    return type(recipe()) if recipe else method.Config


def configure(method: type[Method], task: str, preset: str, overrides: Mapping[str, JsonValue]) -> Config:
    """The configuration of a method for a task.

    Raises:
        UsageError: for an unknown preset, an unknown key or a value that does not validate.
    """
    available = presets(method, task)
    if preset not in available:
        remedy = "" if task in registry.plugins("tasks") else "`presets_of` of a task names one whose presets it takes."
        raise unknown(f"preset of {method.name} for {task}", preset, available, remedy=remedy)
    kind = config_class(method, task, preset)
    for key in overrides:
        if key not in kind.model_fields:
            raise unknown(f"key of {method.name}", key, kind.model_fields)
    recipe = recipes(method).get((task, preset))
    try:
        base = recipe().model_dump() if recipe else {}
        return kind.model_validate(_merged(base, overrides))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "configuration"
        given = "" if not first["loc"] else f", got {first['input']!r}"
        raise UsageError(f"{method.name}: {key}: {first['msg']}{given}") from None
