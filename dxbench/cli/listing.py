"""`dxbench list` and `dxbench info`."""

from typing import Any

from rich.console import Console
from rich.table import Table

from dxbench import registry
from dxbench.api import Config
from dxbench.cli.common import say, warn
from dxbench.errors import unknown


def list_command(kind: str, *, as_json: bool) -> None:
    """Names, origins and summaries of one kind."""
    rows = _protocol_rows() if kind == "protocols" else _suite_rows() if kind == "suites" else _plugin_rows(kind)
    if as_json:
        say(rows)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("name", no_wrap=True)
    table.add_column("from" if kind != "protocols" else "fingerprint", no_wrap=True)
    table.add_column("")
    for row in rows:
        table.add_row(row["name"], row["from"], row["summary"])
    Console().print(table)


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
    console = Console()
    for title, facts in found.items():
        console.print(f"[bold]{title}[/bold]")
        if isinstance(facts, str):
            console.print(facts, markup=False)
        else:
            table = Table(box=None, pad_edge=False, show_header=False)
            for key, value in facts.items():
                table.add_row(f"  {key}", str(value))
            console.print(table)
        console.print()


def _facts(name: str) -> dict[str, Any]:
    from dxbench.suites import load_suite, suite_names

    if ".py:" in name or name in registry.plugins("methods"):
        return _method_facts(name)
    if name in registry.plugins("tasks"):
        return _task_facts(name)
    if name in registry.plugins("metrics"):
        metric = registry.load("metrics", name)
        protocol = metric.protocol
        return {
            f"metric {name}": metric.title,
            "protocol": {"fingerprint": protocol.fingerprint, "version": protocol.version, **protocol.fields},
        }
    if name in suite_names():
        suite = load_suite(name)
        rows = {row.label: f"{row.method} [{row.preset}] {row.set or ''}" for row in suite.rows}
        return {f"suite {name}": suite.title, f"rows on {suite.task}, seeds {suite.seeds}": rows}
    known = {*registry.plugins("methods"), *registry.plugins("tasks"), *registry.plugins("metrics"), *suite_names()}
    raise unknown("name", name, known)


def _method_facts(name: str) -> dict[str, Any]:
    import inspect

    from dxbench.configure import DEFAULT_PRESET, config_class, presets, recipes
    from dxbench.registry import load_method

    method = load_method(name)
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
    import inspect

    from dxbench.assets.prepare import look
    from dxbench.registry import load_task

    task = load_task(name)
    return {
        f"task {task.name}, version {task.version}": inspect.getdoc(type(task)) or "",
        "metrics": {m.name: f"{m.title}   [{m.protocol.fingerprint}]" for m in task.metrics},
        "columns of its tables": ", ".join(task.headline),
        f"files (dxbench prepare --task {name})": {
            asset.name: f"{look(asset).state}: {asset.title}" for asset in task.assets
        }
        or "none",
    }
