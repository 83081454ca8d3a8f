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
from types import FunctionType, ModuleType
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from dxbench.api import Method, MethodCard, Metric, Task, refusal, short_hash
from dxbench.errors import UsageError, unknown
from dxbench.files.code import MODULE, told
from dxbench.paths import BESIDE_TASKS

Kind = Literal["tasks", "methods", "launchers", "trackers", "suites"]
OWN_DISTRIBUTION = "dxmi-bench"
EQUATIONS = "equations.json"
"""File of a package that has the equations of its methods: method -> part -> plain text."""
TaskRef = str | Task | type[Task]
"""A task as a user names it: by name, by `path/to/file.py:Class`, by its class, or itself."""
MethodRef = str | Method | type[Method]
"""A method likewise."""
GONE = {
    "recipes": 'in the class of the method say `recipes = "my_package.recipes"`, see docs/adding-a-method.md',
    "metrics": "list the metric in `metrics` of a task, see docs/adding-a-metric.md",
}
"""Groups of entry points that earlier versions read, and what to do in their place."""


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
        """The reason why the plug-in cannot be used, or None. Ours are only looked at, others are imported."""
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
        else:
            text = None
        return (text or ast.get_docstring(tree) or "").split("\n", 1)[0]

    def equations(self) -> dict[str, str]:
        """Equations of a method by part, plain text, as its package has them in `EQUATIONS`; none where it has none.

        Raises:
            UsageError: if the file holds something else.
        """
        package = importlib.util.find_spec(self.entry.module.partition(".")[0])
        for folder in (package and package.submodule_search_locations) or ():
            path = Path(folder) / EQUATIONS
            if path.is_file():
                try:
                    return TypeAdapter(dict[str, dict[str, str]]).validate_json(path.read_bytes()).get(self.name, {})
                except ValidationError as error:
                    raise UsageError(
                        f"{path} does not hold equations as method -> part -> text: {refusal(error)}. "
                        f"Mend or uninstall {self.origin}."
                    ) from error
        return {}


@cache
def _in_gone_groups() -> dict[tuple[str, str], list[str]]:
    """Names that other packages list in the groups of `GONE`: (distribution, group) -> names."""
    found: dict[tuple[str, str], list[str]] = {}
    for kind in GONE:
        for entry in entry_points(group=f"dxbench.{kind}"):
            origin = entry.dist.name if entry.dist else "unknown"
            if origin != OWN_DISTRIBUTION:
                found.setdefault((origin, kind), []).append(entry.name)
    return found


def outdated(kind: str | None = None, name: str | None = None) -> list[str]:
    """Packages that list names in groups of entry points that are read no more, with what to do in their place.

    Of one group or one name, where these are given.
    """
    return [
        f"{origin} lists {', '.join(sorted(names))} in the entry points `dxbench.{group}`, which are read no more: "
        f"{GONE[group]}"
        for (origin, group), names in sorted(_in_gone_groups().items())
        if kind in (None, group) and (name is None or name in names)
    ]


@cache
def plugins(kind: Kind) -> dict[str, Plugin]:
    """Plug-ins of a kind by name. Of two with one name the suite's own wins, so that none is shadowed."""
    found: dict[str, Plugin] = {}
    for entry in sorted(entry_points(group=f"dxbench.{kind}"), key=lambda e: (e.name, e.value)):
        plugin = Plugin(kind=kind, name=entry.name, entry=entry)
        if entry.name not in found or plugin.origin == OWN_DISTRIBUTION:
            found[entry.name] = plugin
    return found


def in_file(name: str) -> bool:
    """True where a name is `path/to/file.py:Class`."""
    return ".py:" in name


def load(kind: Kind, name: str) -> Any:
    """The object of that name; `path/to/file.py:Class` loads a file.

    Raises:
        UsageError: for an unknown name (with the nearest known one) or a plug-in that fails to import.
    """
    if in_file(name):
        return load_file(name)
    known = plugins(kind)
    if name not in known:
        if name.endswith(".py"):
            raise UsageError(f"{name} is code: write the name of its class behind it, {name}:NAME")
        raise unknown(kind[:-1], name, known, remedy=f"See `dxbench list {kind}`.")
    return known[name].load()


def load_task(name: TaskRef) -> Task:
    """The task of that name, of that class, or itself.

    Raises:
        UsageError: if it is unknown or no Task.
    """
    if isinstance(name, Task):
        return name
    loaded = load("tasks", name) if isinstance(name, str) else name
    if not (isinstance(loaded, type) and issubclass(loaded, Task)):
        raise UsageError(f"task {name!r} is not a dxbench.api.Task class, got {described(loaded)}")
    _check_whole("task", str(name), loaded, ("name", "version", "headline"))
    if hasattr(loaded, "presets_of"):
        raise UsageError(
            f"task {name!r} says `presets_of`, which is read no more: say the family of its data in its place, such as "
            '`family = "plane"`, see docs/adding-a-task.md'
        )
    return loaded()


def load_metric(reference: str | Metric, task: Task) -> Metric:
    """The metric of `path/to/file.py:NAME`, or itself, to be measured beside those of a task.

    Raises:
        UsageError: if there is none, it is no metric, or has the name of one of the task's.
    """
    if isinstance(reference, str) and not in_file(reference):
        raise UsageError(f"--metric takes path/to/file.py:NAME, got {reference!r}; {task.name} measures its own anyway")
    found = load_file(reference) if isinstance(reference, str) else reference
    lacking = [word for word in ("name", "title", "protocol", "measure") if not hasattr(found, word)]
    if lacking or isinstance(found, type):
        what = f"lacks {', '.join(lacking)}" if lacking else "is a class, and an object of it is wanted"
        raise UsageError(f"metric {reference!r} {what}; docs/adding-a-metric.md shows one")
    if found.name in {metric.name for metric in task.metrics}:
        raise UsageError(f"metric {reference!r} is called {found.name!r} as one of {task.name}'s; give it another name")
    return found


def load_metrics() -> dict[str, dict[str, Metric]]:
    """Metrics by name, each as every installed task has it, by the task's name; imports all tasks.

    A name may stand for several protocols, such as an FID against different references.
    """
    found: dict[str, dict[str, Metric]] = {}
    for name, plugin in sorted(plugins("tasks").items()):
        if plugin.problem() is None:
            for metric in load_task(name).metrics:
                found.setdefault(metric.name, {})[name] = metric
    return dict(sorted(found.items()))


def task_name(name: TaskRef) -> str:
    """The name that a task's records go by: what its class says, or the name itself, be it installed or not."""
    return name if isinstance(name, str) and not in_file(name) else load_task(name).name


def shadowed(ref: TaskRef) -> str | None:
    """A warning where a task from elsewhere has the name of an installed one; None where it has not."""
    task = load_task(ref)
    installed = plugins("tasks").get(task.name)
    if (isinstance(ref, str) and not in_file(ref)) or installed is None or installed.load() is type(task):
        return None
    who = ref if isinstance(ref, str) else type(task).__qualname__
    return (
        f"{who} calls itself {task.name}, as an installed task does: its records stand among that task's; give it "
        "another name"
    )


def load_method(name: MethodRef) -> type[Method]:
    """The method class of that name, or itself; of an instance its class.

    Raises:
        UsageError: if it is unknown or no Method.
    """
    loaded = load("methods", name) if isinstance(name, str) else type(name) if isinstance(name, Method) else name
    if not (isinstance(loaded, type) and issubclass(loaded, Method)):
        raise UsageError(f"method {name!r} is not a dxbench.api.Method class, got {described(loaded)}")
    _check_whole("method", str(name), loaded, ("name", "version", "Config"))
    if not loaded.recipes:
        for told in outdated("recipes", str(name)):
            raise UsageError(told)
    return loaded


def _check_whole(kind: str, name: str, cls: type[Task] | type[Method], attributes: tuple[str, ...]) -> None:
    """Refuse a class that lacks something, or whose name is none that a folder can have."""
    lacking = [word for word in attributes if not hasattr(cls, word)] + sorted(cls.__abstractmethods__)
    if lacking:
        raise UsageError(f"{kind} {name!r} lacks {', '.join(lacking)}; `dxbench.api.{kind.title()}` says what they are")
    if (
        not isinstance(cls.name, str)
        or cls.name in ("", *BESIDE_TASKS)
        or cls.name[0] == "."
        or set("/\\\0") & set(cls.name)
    ):
        raise UsageError(
            f"{kind} {name!r} has the name {cls.name!r}; its records go to a folder of that name, so it wants a word "
            f"without slashes that does not begin with a dot ({', '.join(sorted(BESIDE_TASKS))} are taken)"
        )


def described(found: object) -> str:
    """Describe what was found in place of a class, without its address."""
    return f"the {type(found).__name__} {getattr(found, '__qualname__', '')}".rstrip()


def method_card(method: type[Method]) -> MethodCard:
    """The text that boards print of a method: its documentation and that of its file, which a notebook is not."""
    own = inspect.cleandoc(method.__doc__ or "")
    module = sys.modules.get(method.__module__)
    file = inspect.getdoc(module) if module is not None and module.__name__ != "__main__" else ""
    return MethodCard(
        family=method.family, summary=own.split("\n", 1)[0], description=file or own, citation=method.citation
    )


def load_file(reference: str) -> Any:
    """Load the object that `path/to/file.py:name` names. A file that has not changed is executed once.

    Raises:
        UsageError: if there is no such file, it fails to import, or has nothing of that name.
    """
    path_text, _, attribute = reference.rpartition(":")
    path = Path(path_text).resolve()
    if not path.is_file():
        raise UsageError(f"no file {path_text!r} to load {attribute!r} from")
    try:
        module = _module_of(path, path.stat().st_mtime_ns)
    except Exception as error:
        raise UsageError(f"{path_text} fails to import: {told(error)}") from error
    if attribute not in vars(module):
        own = [name for name, value in vars(module).items() if _is_own(name, value, module)]
        raise unknown(f"name in {path_text}", attribute, own, remedy="Write one of these behind the colon.")
    return vars(module)[attribute]


def _is_own(name: str, value: object, module: ModuleType) -> bool:
    """A public name that a file gives to something: to what it defines, or to an instance of anything."""
    if name.startswith("_") or isinstance(value, ModuleType):
        return False
    defined = isinstance(value, type | FunctionType)
    return getattr(value, "__module__", None) == module.__name__ if defined else True


@cache
def _module_of(path: Path, changed: int) -> ModuleType:
    """The module of a file as it was last changed; a task and a method of one file share it."""
    name = f"{MODULE}{path.stem}_{short_hash(str(path))}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
