"""`dxbench list` and `dxbench info`."""

import inspect
from typing import Any

from rich.text import Text

from dxbench import paths, registry
from dxbench.api import Config, Method, Task
from dxbench.cli.common import recorded_tasks, say, warn
from dxbench.cli.terminal import console, grid
from dxbench.errors import UsageError, unknown


def list_command(kind: str, *, as_json: bool) -> None:
    """Names, origins and summaries of one kind."""
    rows = _protocol_rows() if kind == "protocols" else _suite_rows() if kind == "suites" else _plugin_rows(kind)
    if kind == "tasks":
        rows += _tasks_of_records(rows)
    if as_json:
        say(rows)
        return
    table = grid()
    table.add_column("name", no_wrap=True)
    table.add_column("from" if kind != "protocols" else "fingerprint", no_wrap=True)
    table.add_column("")
    for row in rows:
        table.add_row(row["name"], row["from"], row["summary"])
    console().print(table)


def _tasks_of_records(installed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Tasks that are not installed, such as those from a file, and have records of yours."""
    names = recorded_tasks([paths.results()]) - {row["name"] for row in installed}
    summary = f"not installed; it has records in {paths.results()}"
    return [{"name": name, "from": "records", "summary": summary, "usable": False} for name in sorted(names)]


def _plugin_rows(kind: Any) -> list[dict[str, Any]]:
    rows = []
    for name, plugin in sorted(registry.plugins(kind).items()):
        problem = plugin.problem()
        if problem is not None:
            warn(problem)
        summary = plugin.summary() if problem is None else f"(unusable) {problem}"
        rows.append({"name": name, "from": plugin.origin, "summary": summary, "usable": problem is None})
    return rows


def _suite_rows() -> list[dict[str, Any]]:
    from dxbench.suites import load_suite, suite_names

    suites = [load_suite(name) for name in suite_names()]
    return [{"name": suite.name, "from": suite.task, "summary": suite.title} for suite in suites]


def _protocol_rows() -> list[dict[str, Any]]:
    """Protocols of every metric that can be loaded."""
    rows = []
    for name, plugin in sorted(registry.plugins("metrics").items()):
        if plugin.problem() is None:
            protocol = plugin.load().protocol
            fields = ", ".join(f"{key}={value}" for key, value in protocol.fields.items())
            rows.append({"name": f"{name}@{protocol.version}", "from": protocol.fingerprint, "summary": fields})
    return rows


def info_command(name: str, *, as_json: bool) -> None:
    """Everything known under a name, whatever it is the name of."""
    found = _facts(name)
    if as_json:
        say(found)
        return
    out = console()
    for title, facts in found.items():
        out.print(Text(title, style="bold"))
        if isinstance(facts, str):
            out.print(facts)
        else:
            table = grid(header=False)
            for key, value in facts.items():
                table.add_row(f"  {key}", str(value))
            out.print(table)
        out.print()


def _facts(name: str) -> dict[str, Any]:
    from dxbench.suites import load_suite, suite_names

    if registry.in_file(name):
        return _file_facts(name)
    if name in registry.plugins("methods"):
        return _method_facts(registry.load_method(name))
    if name in registry.plugins("tasks"):
        return _task_facts(name)
    if name in registry.plugins("metrics"):
        metric = registry.load("metrics", name)
        protocol = metric.protocol
        return {
            f"metric {name}": metric.title,
            "protocol": {"fingerprint": protocol.fingerprint, "version": protocol.version, **protocol.fields},
        }
    if name in registry.plugins("launchers"):
        return {f"launcher {name}": inspect.getdoc(registry.load("launchers", name)) or ""}
    if name in suite_names() or name.endswith(".toml"):
        suite = load_suite(name)
        rows = {row.label: f"{row.method} [{row.preset}] {row.set or ''}" for row in suite.rows}
        return {f"suite {suite.name}": suite.title, f"rows on {suite.task}, seeds {suite.seeds}": rows}
    recorded = recorded_tasks([paths.results()])
    if name in recorded:
        return _recorded_facts(name)
    kinds = ("methods", "tasks", "metrics", "launchers")
    known = {*(known for kind in kinds for known in registry.plugins(kind)), *suite_names(), *recorded}
    raise unknown("name", name, known)


def _file_facts(name: str) -> dict[str, Any]:
    """Of a task or method in a file."""
    loaded = registry.load_file(name)
    if isinstance(loaded, type) and issubclass(loaded, Task):
        return _task_facts(name)
    if isinstance(loaded, type) and issubclass(loaded, Method):
        return _method_facts(registry.load_method(name))
    raise UsageError(f"{name!r} is neither a dxbench.api.Task class nor a Method class, got {loaded!r}")


def _recorded_facts(name: str) -> dict[str, Any]:
    """Of a task that is not installed, what its records tell."""
    from dxbench.boards.index import open_index

    entries = open_index([paths.results()], task=name).entries(name)
    facts = {
        "versions": ", ".join(sorted({str(entry.task_version) for entry in entries})),
        "methods": ", ".join(sorted({entry.method for entry in entries})),
        "metrics": ", ".join(sorted({metric for entry in entries for metric in entry.scores})),
    }
    what = f"Not installed. {len(entries)} records in {paths.results()}; `dxbench table --task {name}` shows them."
    return {f"task {name}": what, "of its records": facts}


def _method_facts(method: type[Method]) -> dict[str, Any]:
    from dxbench.configure import DEFAULT_PRESET, config_class, presets, recipes

    tasks = sorted({task for task, _ in recipes(method)})
    kinds = {method.Config: "configuration (--set key=value)"}
    for task in tasks:
        kinds.setdefault(config_class(method, task, DEFAULT_PRESET), f"configuration on {task}")
    return {
        f"method {method.name}, version {method.version}": inspect.getdoc(method) or "",
        "source": inspect.getdoc(inspect.getmodule(method)) or "",
        "needs": ", ".join(sorted(need.value for need in method.needs)) or "nothing",
        "presets": {task: ", ".join(presets(method, task)) for task in tasks} or "default",
        **{title: _defaults(kind) for kind, title in kinds.items()},
    }


def _defaults(kind: type[Config]) -> dict[str, str]:
    """Default and description of every field."""
    return {
        key: f"{field.default!r}" + (f"   {field.description}" if field.description else "")
        for key, field in kind.model_fields.items()
    }


def _task_facts(name: str) -> dict[str, Any]:
    from dxbench.assets.prepare import look
    from dxbench.registry import load_task

    task = load_task(name)
    return {
        f"task {task.name}, version {task.version}": inspect.getdoc(type(task)) or "",
        "metrics": {m.name: f"{m.title}   [{m.protocol.fingerprint}]" for m in task.metrics},
        "columns of its tables": ", ".join(task.headline),
        **({"presets": f"those of {task.presets_of}"} if task.presets_of else {}),
        f"files (dxbench prepare --task {name})": {
            asset.name: f"{look(asset).state}: {asset.title}, {asset.amount}" for asset in task.assets
        }
        or "none",
    }
