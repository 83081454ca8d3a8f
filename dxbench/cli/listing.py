"""`dxbench list` and `dxbench info`."""

import inspect
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Any

from rich.text import Text

from dxbench import paths
from dxbench.api import Config, Method, Metric, MetricCard, MetricProtocol, Task, canonical_json
from dxbench.boards.opening import recorded_tasks
from dxbench.cli.common import say, warn
from dxbench.errors import UsageError, unknown
from dxbench.metrics.cards import card_of, stem_of
from dxbench.plain import counted, flowing
from dxbench.plugins import registry
from dxbench.plugins.rows import RowName
from dxbench.terminal.console import console, grid

AGENTS = "agents"
"""The name under which `dxbench info` has the guide for assistants."""


def list_command(kind: str, *, as_json: bool) -> None:
    """Names, origins and summaries of one kind."""
    for text in registry.outdated():
        warn(text)
    special = {"protocols": _protocol_rows, "suites": _suite_rows, "metrics": metric_rows}
    rows = special[kind]() if kind in special else _plugin_rows(kind)
    if kind == "tasks":
        rows += _tasks_of_records(rows)
    if as_json:
        say(rows)
        return
    table = grid()
    table.add_column("name", no_wrap=True)
    table.add_column(
        {"protocols": "reached by, or fingerprint", "metrics": "tasks"}.get(kind, "from"), no_wrap=kind != "metrics"
    )
    table.add_column("")
    for row in rows:
        sense = ", ".join(row[key] for key in ("unit", "range", "better") if row.get(key, "none") not in ("", "none"))
        table.add_row(row["name"], row["from"], f"{row['summary']} ({sense})" if sense else row["summary"])
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
    from dxbench.plugins.suites import load_suite, suite_names

    suites = [load_suite(name) for name in suite_names()]
    return [{"name": suite.name, "from": suite.task, "summary": suite.title} for suite in suites]


def metric_rows() -> list[dict[str, Any]]:
    """Every metric that an installed task scores by, by name, with what it says of itself."""
    return [
        {"name": name, "from": ", ".join(of_tasks), **_card_facts(card_of(metric), title=metric.title)}
        for name, of_tasks in registry.load_metrics().items()
        for metric in [next(iter(of_tasks.values()))]
    ]


def _card_facts(card: MetricCard | None, *, title: str) -> dict[str, str]:
    """Sentence, unit, range, direction and source; the title, and "" four times, for a metric that does not say."""
    if card is None:
        return {"summary": title, "unit": "", "range": "", "better": "", "source": ""}
    better = "no merit" if card.better == "none" else f"{card.better} is better"
    return {
        "summary": card.summary,
        "unit": card.unit or "none",
        "range": card.range,
        "better": better,
        "source": card.source,
    }


def _protocol_rows() -> list[dict[str, Any]]:
    """Protocols for two sets, then those of the metrics of all tasks, with where each is reached."""
    from dxbench.features.protocols import SET_PROTOCOLS

    rows = [
        {"name": protocol.name, "from": "eval --against", "where": ["eval --against"], "summary": protocol.summary}
        for protocol in SET_PROTOCOLS.values()
    ]
    found: dict[str, tuple[Metric, list[str]]] = {}
    for of_tasks in registry.load_metrics().values():
        for task, metric in of_tasks.items():
            found.setdefault(metric.protocol.fingerprint, (metric, []))[1].append(f"task {task}")
    for fingerprint, (metric, where) in sorted(found.items(), key=lambda item: (item[1][0].name, item[1][1])):
        protocol = metric.protocol
        fields = ", ".join(f"{key}={value}" for key, value in protocol.fields.items())
        rows.append(
            {
                "name": f"{protocol.name}@{protocol.version}",
                "from": fingerprint,
                "where": where,
                "summary": f"{', '.join(where)}: {fields}",
            }
        )
    return rows


def info_command(name: str, *, as_json: bool) -> None:
    """Everything known under a name, whatever it is the name of."""
    found = facts_of(name)
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


def facts_of(name: str) -> dict[str, Any]:
    """Everything known under a name, by title.

    Raises:
        UsageError: if nothing is, with the nearest known one.
    """
    from dxbench.plugins.suites import suite_names

    if name == AGENTS:
        return {"": (resources.files("dxbench") / "agents.md").read_text(encoding="utf-8")}
    if name.partition("[")[0].partition(":")[0] in registry.plugins("methods") and set(name) & set(":["):
        return _row_facts(RowName.parse(name))
    if registry.in_file(name):
        return _file_facts(name)
    if name in registry.plugins("methods"):
        return _method_facts(registry.load_method(name), registry.plugins("methods")[name].equations())
    if name in registry.plugins("tasks"):
        return _task_facts(name) | (_suite_facts(name) if name in suite_names() else {})
    for kind in ("launchers", "trackers"):
        if name in registry.plugins(kind):
            return {f"{kind[:-1]} {name}": inspect.getdoc(registry.load(kind, name)) or ""}
    if name in suite_names() or name.endswith(".toml"):
        return _suite_facts(name)
    recorded = recorded_tasks([paths.results()])
    if name in recorded:
        return _recorded_facts(name)
    metrics = registry.load_metrics()  # last, since it imports every task
    if name in metrics:
        return _metric_facts(name, metrics)
    family = {known: row for known, row in metrics.items() if stem_of(known) == name}
    if family:
        rows = {row["name"]: row["summary"] for row in metric_rows()}
        return {f"metrics {name}@N": {known: rows[known] for known in family}}
    plugins = {known for kind in ("methods", "tasks", "launchers", "trackers") for known in registry.plugins(kind)}
    names = {*plugins, *metrics, *map(stem_of, metrics), *suite_names(), *recorded}
    raise unknown("name", name, names, remedy="See `dxbench list tasks`, or methods, metrics, suites and so on.")


def _suite_facts(name: str) -> dict[str, Any]:
    from dxbench.plugins.suites import load_suite

    suite = load_suite(name)
    rows = {row.label: str(RowName(method=row.method, preset=row.preset, overrides=row.set)) for row in suite.rows}
    return {f"suite {suite.name}": suite.title, f"rows on {suite.task}, seeds {suite.seeds}": rows}


def _file_facts(name: str) -> dict[str, Any]:
    """Facts of a task, method or metric in a file."""
    loaded = registry.load_file(name)
    if isinstance(loaded, type) and issubclass(loaded, Task):
        return _task_facts(name)
    if isinstance(loaded, type) and issubclass(loaded, Method):
        return _method_facts(registry.load_method(name), {})
    if not isinstance(loaded, type) and hasattr(loaded, "protocol") and hasattr(loaded, "measure"):
        return _metric_facts(loaded.name, {loaded.name: {"your own samples": loaded}})
    got = registry.described(loaded)
    raise UsageError(f"{name!r} is neither a dxbench.api.Task class nor a Method class nor a metric, got {got}")


def _metric_facts(name: str, metrics: Mapping[str, Mapping[str, Metric]]) -> dict[str, Any]:
    """Facts of a metric, with its protocol for every task that scores by it."""
    metric = next(iter(metrics[name].values()))
    facts = _card_facts(card_of(metric), title=metric.title)
    siblings = [known for known in metrics if stem_of(known) == stem_of(name)]
    protocols: dict[str, tuple[MetricProtocol, list[str]]] = {}
    for task, one in metrics[name].items():
        protocols.setdefault(one.protocol.fingerprint, (one.protocol, []))[1].append(task)
    return {
        f"metric {name}: {metric.title}": facts.pop("summary"),
        "what its number is": {key: value or "not said" for key, value in facts.items()},
        **{
            f"protocol on {', '.join(tasks)}": {"fingerprint": fingerprint, "version": one.version, **one.fields}
            for fingerprint, (one, tasks) in protocols.items()
        },
        **({"family": ", ".join(siblings)} if len(siblings) > 1 else {}),
    }


def _recorded_facts(name: str) -> dict[str, Any]:
    """Facts of a task that is not installed, as its records tell them."""
    from dxbench.records.index import open_index

    entries = open_index([paths.results()], task=name).entries(name)
    facts = {
        "versions": ", ".join(sorted({str(entry.task_version) for entry in entries})),
        "methods": ", ".join(sorted({entry.method for entry in entries})),
        "metrics": ", ".join(sorted({metric for entry in entries for metric in entry.scores})),
    }
    kept = f"{counted(len(entries), 'record')} in {paths.results()}"
    what = f"Not installed. {kept}; `dxbench table --task {name}` shows them."
    return {f"task {name}": what, "of its records": facts}


def _method_facts(method: type[Method], equations: Mapping[str, str]) -> dict[str, Any]:
    from dxbench.plugins.configure import DEFAULT_PRESET, config_class

    named = [name for name, plugin in sorted(registry.plugins("tasks").items()) if plugin.problem() is None]
    tasks = {task.name: task for task in map(registry.load_task, named)}
    of_tasks, cannot = _presets(method, tasks.values())
    kinds = {method.Config: "configuration (--set key=value)"}
    for name, task in tasks.items():
        kinds.setdefault(config_class(method, task, DEFAULT_PRESET), f"configuration on {name}")
    return {
        f"method {method.name}, version {method.version}": flowing(inspect.getdoc(method) or ""),
        "source": flowing(inspect.getdoc(inspect.getmodule(method)) or ""),
        **({"equations": dict(equations)} if equations else {}),
        "needs": ", ".join(sorted(need.value for need in method.needs)) or "nothing",
        "presets": {name: _listed(name, found) for name, found in of_tasks.items() if any(found.values())} or "default",
        **({"where it cannot run": cannot} if cannot else {}),
        **{title: _defaults(kind) for kind, title in kinds.items()},
    }


def _presets(method: type[Method], tasks: Iterable[Task]) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """Presets that can run, by task, each with its place; and by reason those that cannot, in a line."""
    from dxbench.engine.parts import ruled_out
    from dxbench.plugins.configure import configure, presets

    can: dict[str, dict[str, str]] = {}
    cannot: dict[str, list[str]] = {}
    for task in tasks:
        found = presets(method, task)
        unmet = {
            preset: ruled_out(method.needs | configure(method, task, preset, {}).needs(), task) for preset in found
        }
        if runs := {preset: place for preset, place in found.items() if not unmet[preset]}:
            can[task.name] = runs
        for need in dict.fromkeys(needs[0] for needs in unmet.values() if needs):
            named = [preset for preset, needs in unmet.items() if needs and needs[0] == need]
            which = "" if len(named) == len(found) else f" ({', '.join(named)})"
            cannot.setdefault(f"needs {need.value}", []).append(f"{task.name}{which}")
    return can, {reason: ", ".join(places) for reason, places in cannot.items()}


def _row_facts(row: RowName) -> dict[str, Any]:
    """Facts of a row: its configuration on every task that has its preset."""
    from dxbench.plugins.configure import configure, presets

    method = registry.load_method(row.method)
    named = [name for name, plugin in sorted(registry.plugins("tasks").items()) if plugin.problem() is None]
    found: dict[str, tuple[dict[str, Any], list[str]]] = {}
    for task in map(registry.load_task, named):
        if row.preset in presets(method, task):
            settings = configure(method, task, row.preset, row.overrides).model_dump(mode="json")
            found.setdefault(canonical_json(settings), (settings, []))[1].append(task.name)
    if not found:
        known = {preset for task in map(registry.load_task, named) for preset in presets(method, task)}
        raise unknown(f"preset of {row.method}", row.preset, known, remedy=f"See `dxbench info {row.method}`.")
    configurations = {f"configuration on {', '.join(tasks)}": settings for settings, tasks in found.values()}
    return {f"row {row}": inspect.getdoc(method) or "", **configurations}


def _listed(task: str, presets: Mapping[str, str]) -> str:
    """Presets in a line, those of a family of data said to be so."""
    return ", ".join(f"{name} (of {place})" if place not in ("", task) else name for name, place in presets.items())


def _defaults(kind: type[Config]) -> dict[str, str]:
    """Default and description of every field."""
    return {
        key: f"{field.default!r}" + (f"   {field.description}" if field.description else "")
        for key, field in kind.model_fields.items()
    }


def _task_facts(name: str) -> dict[str, Any]:
    from dxbench.assets.prepare import look
    from dxbench.plugins.registry import load_task

    task = load_task(name)
    return {
        f"task {task.name}, version {task.version}": inspect.getdoc(type(task)) or "",
        "metrics": {m.name: f"{m.title}   [{m.protocol.fingerprint}]" for m in task.metrics},
        "columns of its tables": ", ".join(task.headline),
        "family of data, whose presets serve here": task.family or "none: only presets for any data do",
        f"files (dxbench prepare --task {name})": {
            asset.name: f"{look(asset).state}: {asset.title}, {asset.amount}" for asset in task.assets
        }
        or "none",
    }
