"""dxbench: a benchmark suite for few-step diffusion samplers and energy-based models.

`run` trains and scores, `evaluate` scores samples and models made elsewhere, `add_result` puts them on record, `table`,
`compare` and `load_records` show what is on record, `push` and `pull` move records to and from a repository of results,
`load_model` gives the model of a run; `tasks`, `methods` and `metrics` list what there is. Each is imported when it is
first asked for.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dxbench.python.evaluating import evaluate
    from dxbench.python.exchanging import pull, push
    from dxbench.python.listing import methods, metrics, tasks
    from dxbench.python.loading import load_model
    from dxbench.python.outside import add_result
    from dxbench.python.running import Run, run
    from dxbench.python.scores import Scores
    from dxbench.python.tables import compare, load_records, table

__version__ = "0.2.0"
__all__ = [
    "Run",
    "Scores",
    "add_result",
    "compare",
    "evaluate",
    "load_model",
    "load_records",
    "methods",
    "metrics",
    "pull",
    "push",
    "run",
    "table",
    "tasks",
]

_HOMES = {
    "Run": "python.running",
    "Scores": "python.scores",
    "add_result": "python.outside",
    "compare": "python.tables",
    "evaluate": "python.evaluating",
    "load_model": "python.loading",
    "load_records": "python.tables",
    "methods": "python.listing",
    "pull": "python.exchanging",
    "push": "python.exchanging",
    "run": "python.running",
    "table": "python.tables",
}
_PACKAGES = ("api", "errors", "metrics", "tasks")
"""Found as attributes without an import of their own; those that hold tasks and metrics are called for a list."""


class CallablePackage(ModuleType):
    """A package that is also called: `dxbench.tasks` is where tasks are, and `dxbench.tasks()` lists them."""

    def __call__(self) -> Any:
        return getattr(import_module("dxbench.python.listing"), self.__name__.rpartition(".")[2])()


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return import_module(f"{__name__}.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_PACKAGES})
