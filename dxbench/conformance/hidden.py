"""Search what a method could reach of a task's truth: a walk over all that a `Problem` leads to."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from inspect import ismethod
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import torch

from dxbench.api import EvaluationInputs, NoData, Problem, Task
from dxbench.conformance.subject import Broken, Subject

_PLAIN = (str, bytes, int, float, complex, bool, type(None), type, ModuleType, torch.dtype, torch.device, np.dtype)


def reachable(root: object) -> Iterator[tuple[str, Any]]:
    """Every object that attributes, items, closures, defaults and bound objects lead to from `root`, with its path.

    Not by way of types, modules and the globals of functions: what is importable, code in this process can import.
    """
    seen: set[int] = set()
    waiting: list[tuple[str, Any]] = [("problem", root)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, _PLAIN) or id(value) in seen:
            continue
        seen.add(id(value))
        yield path, value
        waiting += [(f"{path}{step}", inner) for step, inner in _inside(value)]


def _inside(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, torch.Tensor):
        return
    if isinstance(value, np.ndarray):
        if value.base is not None:
            yield ".base", value.base
        return
    if isinstance(value, Mapping):
        yield from ((f"[{key!r}]", item) for key, item in value.items())
    elif isinstance(value, list | tuple | set | frozenset):
        yield from ((f"[{number}]", item) for number, item in enumerate(value))
    elif isinstance(value, partial):
        yield from (("(…)", item) for item in (value.func, *value.args, *value.keywords.values()))
    elif ismethod(value):
        yield ".__self__", value.__self__
    elif isinstance(value, FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or () if _filled(cell)]
        yield from (("(closure)", item) for item in [*cells, *(value.__defaults__ or ())])
        yield from (("(default)", item) for item in (value.__kwdefaults__ or {}).values())
        return
    for name in _names(value):
        try:
            yield f".{name}", object.__getattribute__(value, name)
        except AttributeError:
            continue


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:  # empty so far
        return False


def _names(value: Any) -> list[str]:
    """Attributes that an object holds, in its dictionary or in slots."""
    slots = [name for kind in type(value).__mro__ for name in _slots(kind)]
    return [*getattr(value, "__dict__", {}), *slots]


def _slots(kind: type) -> list[str]:
    found = vars(kind).get("__slots__", ())
    return [found] if isinstance(found, str) else [name for name in found if name not in ("__dict__", "__weakref__")]


def revealed(problem: Problem) -> list[str]:
    """Places where a problem leads to what methods must not see: task, metric, what metrics are given, density, or more
    than it shows of an array. The oracle, which only reference rows are given, is left out.
    """
    shown = {name: value for name, value in vars(problem).items() if name != "oracle"}
    return [
        f"{path.replace('problem[', '[', 1)} is {what}" for path, value in reachable(shown) if (what := _truth(value))
    ]


def _truth(value: Any) -> str:
    if isinstance(value, Task):
        return "the task itself"
    if isinstance(value, EvaluationInputs) or (
        callable(getattr(value, "measure", None)) and hasattr(value, "protocol")
    ):
        return "what scores are taken with"
    if callable(getattr(value, "log_prob", None)):
        return "a density"
    if isinstance(value, np.ndarray) and isinstance(value.base, np.ndarray) and value.base.size > value.size:
        return f"{list(value.shape)} of an array {list(value.base.shape)}, all of which can be reached"
    if isinstance(value, torch.Tensor) and value.untyped_storage().nbytes() > value.numel() * value.element_size():
        whole = value.untyped_storage().nbytes() // value.element_size()
        return f"{value.numel():,} numbers of {whole:,}, all of which can be reached"
    return ""


def check_hidden(subject: Subject) -> None:
    """The problem leads to no truth, before and after data are drawn."""
    require_hidden([subject.problem])


def require_hidden(problems: Sequence[Problem]) -> None:
    """Raises Broken if a problem leads to a truth, before or after data are drawn."""
    found = [text for problem in problems for text in revealed(problem)]
    for problem in problems:
        if not isinstance(problem.data, NoData):
            problem.data.batch(2, rng=np.random.default_rng(0))
        found += revealed(problem)
    if found:
        raise Broken("; ".join(dict.fromkeys(found)))
