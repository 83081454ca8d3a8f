"""Build a frozen configuration from preset and overrides."""

import importlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import reduce
from operator import getitem
from typing import Any

from pydantic import JsonValue, ValidationError

from dxbench.api import Config, Detector, Method, PatchDetector, Task
from dxbench.api.values import reason
from dxbench.errors import UsageError, unknown

DEFAULT_PRESET, QUICK_PRESET = "default", "quick"
ANY = "any"
"""The place of recipes that serve on data of every family."""
FAMILY_REMEDY = (
    "Say `family` in the class of the task (plane, small_images, images, vectors, patches or boltzmann) for more."
)
SEE_METHOD = "See `dxbench info {}`."
Recipes = Mapping[tuple[str, str], Callable[[], Config]]


class UnknownPreset(UsageError):
    """A preset that a method does not have for a task."""


def recipes(method: type[Method]) -> Recipes:
    """The recipes of a method: (place, preset) -> function returning its configuration.

    A place is a task by name, a family of data (`Task.family`), or ANY.

    Raises:
        UsageError: if the module that the method names has none, or fails to import.
    """
    if not method.recipes:
        return {}
    package = method.__module__.rpartition(".")[0]
    try:
        found = importlib.import_module(method.recipes, package or None)
    except Exception as error:
        raise UsageError(
            f"the recipes of {method.name}, {method.recipes!r}, fail to import: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(getattr(found, "RECIPES", None), Mapping):
        raise UsageError(
            f"{found.__name__}, where {method.name} has its recipes, lacks RECIPES: a mapping from (task or family of "
            "data, preset) to functions that return a configuration"
        )
    return found.RECIPES


def places(task: Task) -> list[str]:
    """Places of presets for a task, in order: the task, its family, the families that one is in, ANY."""
    parts = task.family.split("/") if task.family else []
    return [task.name, *("/".join(parts[:n]) for n in range(len(parts), 0, -1)), ANY]


def presets(method: type[Method], task: Task) -> dict[str, str]:
    """Presets of a method for a task, each with the place that it is from; "" is the method's own configuration.

    Always with the default, which is `quick` as well where there is nothing to shorten: reference rows do not
    train, and detectors fit in one go.
    """
    at_once = method.reference or issubclass(method, Detector | PatchDetector)
    found = dict.fromkeys((DEFAULT_PRESET, QUICK_PRESET) if at_once else (DEFAULT_PRESET,), "")
    for place in reversed(places(task)):
        found |= {preset: place for of, preset in recipes(method) if of == place}
    return dict(sorted(found.items()))


def _recipe(method: type[Method], task: Task, preset: str) -> Callable[[], Config] | None:
    """The recipe of a preset; None where it is the method's own configuration.

    Raises:
        UnknownPreset: if there is no such preset.
    """
    available = presets(method, task)
    if preset not in available:
        remedies = [SEE_METHOD.format(method.name)] + ([] if task.family else [FAMILY_REMEDY])
        of = f"preset of {method.name} for {task.name}"
        raise UnknownPreset(str(unknown(of, preset, available, remedy=" ".join(remedies))))
    named = preset if available[preset] else DEFAULT_PRESET
    place = available[named]
    return recipes(method)[place, named] if place else None


def parse_assignments(assignments: list[str]) -> dict[str, JsonValue]:
    """`key=value` texts to a dict; values are read as JSON where they are JSON, else as text.

    A dot leads into nested settings: `sampler.std=0.2` is `sampler={"std": 0.2}`.

    Raises:
        UsageError: for a text without "=", a key with an empty part or a key given twice.
    """
    overrides: dict[str, JsonValue] = {}
    for text in assignments:
        key, separator, value = text.partition("=")
        path = _path(key)
        if not separator or not all(path):
            raise UsageError(f"--set takes key=value, got {text!r}")
        try:
            read = json.loads(value)
        except json.JSONDecodeError:
            read = {"True": True, "False": False, "None": None}.get(value, value)
        for part in reversed(path):
            read = {part: read}
        overrides = together(overrides, read, twice=lambda key: f"--set {key} is given twice")
    return overrides


def _path(key: str) -> list[str]:
    """The parts of a key as typed, one of a key in quotes."""
    if key.startswith('"'):
        with suppress(json.JSONDecodeError):
            return [json.loads(key)]
    return key.split(".")


def together(
    one: Mapping[str, JsonValue], other: Mapping[str, JsonValue], *, twice: Callable[[str], str]
) -> dict[str, JsonValue]:
    """Overrides of two places as one.

    Args:
        twice: what to say of a key that both set.

    Raises:
        UsageError: if both set a key.
    """
    joined: dict[str, Any] = {}
    for path, value in (*_leaves(one), *_leaves(other)):
        place = joined
        for part in path[:-1]:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise UsageError(twice(".".join(path)))
        if path[-1] in place:
            raise UsageError(twice(".".join(path)))
        place[path[-1]] = value
    return joined


def assignments(overrides: Mapping[str, JsonValue]) -> list[str]:
    """The `key=value` texts that `parse_assignments` reads as these overrides."""
    return [f"{_key_as_typed(path)}={_as_typed(value)}" for path, value in _leaves(overrides)]


def _leaves(overrides: Mapping[str, JsonValue], *within: str) -> Iterator[tuple[tuple[str, ...], JsonValue]]:
    """Paths of keys, each with a value that has no keys of its own to set one by one."""
    for key, value in overrides.items():
        if isinstance(value, dict) and value and all(map(str.isidentifier, (key, *value))):
            yield from _leaves(value, *within, key)
        else:
            yield (*within, key), value


def _key_as_typed(path: tuple[str, ...]) -> str:
    """A path with dots between its keys; a key that would be read as another is in quotes."""
    text = ".".join(path)
    return text if _path(text) == list(path) else json.dumps(text, ensure_ascii=False)


def _as_typed(value: JsonValue) -> str:
    """A text as it is, unless it would be read as something else."""
    if isinstance(value, str) and parse_assignments([f"key={value}"])["key"] == value:
        return value
    return json.dumps(value)


def merged(base: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The base with the overrides on top, inside nested settings too, but for those of another `kind`."""
    nested = {
        key: merged(base[key], value)
        for key, value in overrides.items()
        if isinstance(value, Mapping)
        and isinstance(base.get(key), Mapping)
        and value.get("kind") in (None, base[key].get("kind"))
    }
    return {**base, **overrides, **nested}


def config_class(method: type[Method], task: Task, preset: str) -> type[Config]:
    """The class of a preset's configuration.

    Raises:
        UsageError: for an unknown preset.
    """
    recipe = _recipe(method, task, preset)
    return type(recipe()) if recipe else method.Config


def configure(method: type[Method], task: Task, preset: str, overrides: Mapping[str, JsonValue]) -> Config:
    """The configuration of a method for a task.

    Raises:
        UsageError: for an unknown preset, an unknown key or a value that does not validate.
    """
    recipe = _recipe(method, task, preset)
    begun = recipe() if recipe else method.Config.model_construct()
    kind, base = type(begun), begun.model_dump()
    for key in overrides:
        if key not in kind.model_fields:
            raise unknown(f"key of {method.name}", key, kind.model_fields, remedy=SEE_METHOD.format(method.name))
    given = merged(base, overrides)
    try:
        config = kind.model_validate(given)
    except ValidationError as error:
        raise _refused(method, error, base=base, given=given) from None
    for path, value in _leaves(overrides):
        # pydantic takes true for 1.
        if isinstance(value, bool) and not isinstance(reduce(getitem, path, config.model_dump()), bool):
            raise UsageError(f"{method.name}: {_key_as_typed(path)}: Input should be a number, got {json.dumps(value)}")
    return config


def _refused(method: type[Method], error: ValidationError, *, base: Mapping[str, Any], given: Any) -> UsageError:
    """Word the refusal of a configuration that does not validate: the key as it is typed, the reason and the value."""
    first = error.errors()[0]
    path, known = [], base
    for part in first["loc"]:
        if isinstance(given, Mapping) and part not in given and part == given.get("kind"):
            continue  # pydantic names the kind of an alternative, which is no key
        path.append(str(part))
        given = given.get(part) if isinstance(given, Mapping) else None
    key = ".".join(path) or "configuration"
    if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        for part in path[:-1]:
            known = known.get(part, {})
        found = unknown("key", path[-1], known, remedy=SEE_METHOD.format(method.name))
        return UsageError(f"{method.name}: {key}: {found}")
    shown = f", got {first['input']!r}" if path and first["type"] != "missing" else ""
    return UsageError(f"{method.name}: {key}: {reason(first)}{shown}")
