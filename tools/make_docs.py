"""Writes the source of the site of documentation: `python tools/make_docs.py FOLDER`, then mkdocs, as `make docs`.

Every method and task has a page: the one written by hand in `docs/`, or a new one, with its facts and its rows on the
boards behind. Every public package has a page of its names. The README is the first page, and files of the repository
that pages lead to, such as NOTATION.md, are pages too. Formulas become MathML, which browsers draw by themselves, so
that nothing is loaded from elsewhere.
"""

import importlib
import inspect
import json
import os
import re
import shutil
import sys
import tomllib
from collections.abc import Collection, Iterator
from dataclasses import replace
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

from latex2mathml.converter import convert

from dxbench.api import Task
from dxbench.boards.aggregate import Row
from dxbench.boards.export import exported
from dxbench.boards.render.text import brief_markdown, markdown_text
from dxbench.boards.tables import Table
from dxbench.cli.listing import facts_of, metric_rows
from dxbench.paths import reference_results
from dxbench.plugins import registry
from dxbench.plugins.suites import load_suite, suite_names
from dxbench.records.index import open_index

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
HARNESS = (
    "python",
    "api",
    "errors",
    "metrics",
    "features",
    "conformance",
    "exchange",
    "launchers",
    "boards",
    "readers",
)
"""Rooms of `dxbench` that others build on; of `dxmi` all are public."""
FILES = {
    "README.md": "index.md",
    "NOTATION.md": "NOTATION.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "benchmarks/README.md": "benchmarks/README.md",
    "leaderboards": "leaderboards/index.md",
}
"""Pages of the site that lie outside docs/, by their place in the repository."""
BEST_ROWS = 5
"""Rows of a board on the page of its task."""
METRICS = 3
"""Columns of a board on the page of a method or a task."""
CODE_OR_FORMULA = re.compile(
    r"^```.*?^```$|`[^`\n]+`|\$\$(?P<block>.+?)\$\$|(?<![\w$])\$(?P<inline>[^\s$](?:[^$\n]*[^\s$])?)\$(?![\w$])",
    re.DOTALL | re.MULTILINE,
)
CODE_OR_LINK = re.compile(r"^```.*?^```$|`[^`\n]+`|(!?)\[([^\]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)", re.DOTALL | re.MULTILINE)
Made = tuple[str, str, str]
"""Title in the navigation, place in the site, and text of a page."""


def main(folder: Path) -> None:
    """Write the source of the site: pages as the builder takes them, and its configuration with the navigation."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(DOCS, folder / "docs", ignore=shutil.ignore_patterns("*.md", "ci"))
    for picture in (ROOT / "leaderboards").glob("*.png"):
        (folder / "docs" / "leaderboards").mkdir(exist_ok=True)
        shutil.copy(picture, folder / "docs" / "leaderboards")
    texts = {path.relative_to(DOCS).as_posix(): path.read_text(encoding="utf-8") for path in DOCS.rglob("*.md")}
    texts["index.md"] = (ROOT / "README.md").read_text(encoding="utf-8")
    texts |= {place: text for made in pages().values() for _, place, text in made}
    for place, text in texts.items():
        path = folder / "docs" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(formulas(led(text, place, texts)), encoding="utf-8")
    configuration = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for section, made in pages().items():
        entries = "".join(f"\n      - {json.dumps(title)}: {place}" for title, place, _ in made)
        configuration = configuration.replace(f"- {section}: []", f"- {section}:{entries or ' []'}")
    (folder / "mkdocs.yml").write_text(f"{configuration}repo_url: {json.dumps(address())}\n", encoding="utf-8")


def address() -> str:
    """The public address of the repository, which pyproject.toml has where there is one."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project.get("urls", {}).get("Source", "")


def led(text: str, place: str, texts: Collection[str]) -> str:
    """A page with links that are right in the repository led to where their files are in the site."""
    places = {there: source for source, there in FILES.items()}
    origin = places.get(place, place if place.startswith("leaderboards/") else f"docs/{place}")
    folder = origin if place == FILES["leaderboards"] else os.path.dirname(origin)  # noqa: PTH120

    def link(found: re.Match[str]) -> str:
        picture, shown, target, anchor = found.groups()
        if target is None or re.match(r"[a-z]+:", target):
            return found[0]
        source = os.path.normpath(os.path.join(folder, target))  # noqa: PTH118
        there = FILES.get(source, source.removeprefix("docs/"))
        if there in texts or there.endswith((".png", ".ipynb")):
            return f"{picture}[{shown}]({os.path.relpath(there, os.path.dirname(place) or '.')}{anchor or ''})"  # noqa: PTH120
        return f"[{shown}]({address()}/blob/HEAD/{source})" if address() else shown

    return CODE_OR_LINK.sub(link, text)


def formulas(text: str) -> str:
    """A page with its formulas as MathML."""

    def drawn(found: re.Match[str]) -> str:
        if found["block"]:
            return f"<div>{convert(found['block'].strip(), display='block')}</div>"
        return convert(found["inline"]) if found["inline"] else found[0]

    return CODE_OR_FORMULA.sub(drawn, text)


@cache
def pages() -> dict[str, list[Made]]:
    """All pages that are made, by section of the navigation."""
    return {
        "Methods": list(plugin_pages("methods")),
        "Tasks": list(plugin_pages("tasks")),
        "API": list(api_pages()),
        "Notebooks": [notebook_page(path) for path in sorted((DOCS / "notebooks").glob("*.ipynb"))],
        "Project": list(project_pages()),
    }


@cache
def boards() -> dict[str, Table]:
    """The tables of the committed records, by file."""
    return dict(exported(open_index([reference_results()])))


def plugin_pages(kind: registry.Kind) -> Iterator[Made]:
    """A list of the methods or tasks, and a page of each; pages written by hand for several stand among them."""
    known = registry.plugins(kind)
    listed = "\n".join(f"| [`{name}`]({name}.md) | {plugin.summary()} |" for name, plugin in sorted(known.items()))
    also = f"\n\n{metric_list()}" if kind == "tasks" else ""
    yield kind.capitalize(), f"{kind}/index.md", f"# {kind.capitalize()}\n\n| | |\n|:--|:--|\n{listed}{also}\n"
    written = {path.stem: path.read_text(encoding="utf-8") for path in sorted((DOCS / kind).glob("*.md"))}
    of_several = {stem: re.findall(r"`([^`]+)`", text.split("\n", 1)[0]) for stem, text in written.items()}
    for name in sorted({*known, *written}):
        if name not in known:
            yield name.replace("_", " "), f"{kind}/{name}.md", written[name]
            continue
        near = [stem for stem, names in of_several.items() if any(fnmatch(name, one) for one in names)]
        opening = written.get(name) or f"# `{name}`\n\n{known[name].summary()}\n" + "".join(
            f"\nWritten up in [{stem.replace('_', ' ')}]({stem}.md).\n" for stem in near
        )
        tail = method_facts(name) if kind == "methods" else task_facts(registry.load_task(name))
        yield name, f"{kind}/{name}.md", f"{opening}\n{tail}"


def method_facts(name: str) -> str:
    """The page of a method from its card, recipes and records."""
    facts = facts_of(name)
    parts = [f"## Facts of `{name}`", f"Version {registry.load_method(name).version}; needs {facts['needs']}."]
    for task, table in boards().items():
        rows = [row for row in table.rows if row.method == name and row.kind == "measured"]
        if rows and task in registry.plugins("tasks"):
            parts += [f"On [`{task}`](../leaderboards/{task}.md):", grid(table, rows)]
    parts += ["Presets:", pairs("task", "presets", facts["presets"])] if isinstance(facts["presets"], dict) else []
    for title, fields in facts.items():
        if title.startswith("configuration"):
            parts += [f"{title[0].upper()}{title[1:]}:", pairs("key", "default and meaning", fields)]
    return "\n\n".join([*parts, "Source, as the file states it:", quoted(facts["source"])]) + "\n"


def task_facts(task: Task) -> str:
    """The page of a task from its protocol and the records on it."""
    family = f"; data of the family `{task.family}`" if task.family else ""
    parts = [f"## Facts of `{task.name}`", f"Version {task.version}{family}."]
    if (table := boards().get(task.name)) is not None:
        best = sorted(table.blocks[0].rows, key=lambda row: quality(row, table))[:BEST_ROWS]
        shown = [*best, *(row for row in table.blocks[0].rows if row.kind == "reference" and row not in best)]
        parts += [f"First rows of [the board](../leaderboards/{task.name}.md):", grid(table, shown)]
    suites = [suite for name in suite_names() if (suite := load_suite(name)).task == task.name]
    if suites:
        parts += ["Suites:", pairs("command", "rows", {f"dxbench run --suite {s.name}": s.title for s in suites})]
    metrics = {f"`{m.name}`": f"{m.title} | `{m.protocol.fingerprint}`" for m in task.metrics}
    parts += [
        "Metrics, those of its tables first:",
        "| metric | what it is | protocol |\n|:--|:--|:--|\n" + "\n".join(f"| {k} | {v} |" for k, v in metrics.items()),
    ]
    if task.assets:
        files = {asset.name: f"{asset.title}, {asset.amount}" for asset in task.assets}
        parts += [f"Files, which `dxbench prepare --task {task.name}` fetches:", pairs("file", "what it is", files)]
    return "\n\n".join(parts) + "\n"


def quality(row: Row, table: Table) -> float:
    """Lower is better, by the first column; rows that do not rank come last."""
    found = row.scores.get(table.metrics[0])
    if found is None or not row.ranks:
        return float("inf")
    return -found.value if found.better == "higher" else found.value


def grid(table: Table, rows: list[Row]) -> str:
    """Rows with their passes and the first metrics."""
    return brief_markdown(replace(table, metrics=table.metrics[:METRICS]), rows)


def pairs(key: str, value: str, facts: dict[str, str]) -> str:
    """A table of two columns."""
    lines = [f"| `{name}` | {markdown_text(str(text)).replace('   ', ': ', 1)} |" for name, text in facts.items()]
    return "\n".join([f"| {key} | {value} |", "|:--|:--|", *lines])


def quoted(text: str) -> str:
    """A docstring as a block of its own."""
    return "\n".join(f"> {line}".rstrip() for line in text.splitlines())


def metric_list() -> str:
    """Every metric that a task scores by."""
    lines = [
        f"| `{row['name']}` | {markdown_text(row['summary'])} | {row.get('unit') or ''} | {row.get('better') or ''} |"
        for row in metric_rows()
    ]
    return "\n".join(["## Metrics", "", "| metric | what it is | unit | |", "|:--|:--|:--|:--|", *lines])


def api_pages() -> Iterator[Made]:
    """A page of names for every public package and module."""
    rooms = [f"dxbench.{name}" for name in HARNESS]
    rooms += sorted(
        f"dxmi.{path.stem}" for path in (ROOT / "dxmi").iterdir() if path.is_dir() or path.suffix == ".py"
        if not path.stem.startswith("_")
    )  # fmt: skip
    lines, made = [], []
    for room in rooms:
        title = "dxbench" if room == "dxbench.python" else room
        module = importlib.import_module(room)
        about = (inspect.getdoc(importlib.import_module(title)) or "").split("\n\n")[0].replace("\n", " ")
        names = sorted(getattr(module, "__all__", None) or public(module))
        text = f"# {title}\n\n{about}\n\n" + "\n\n".join(f"::: {room}.{name}" for name in names) + "\n"
        made.append((title, f"api/{title}.md", text))
        lines.append(f"| [`{title}`]({title}.md) | {about} |")
    yield "API", "api/index.md", "# API\n\n| | |\n|:--|:--|\n" + "\n".join(lines) + "\n"
    yield from made


def public(module: object) -> list[str]:
    """Names that a module without `__all__` defines itself."""
    return [
        name
        for name, found in vars(module).items()
        if not name.startswith("_") and getattr(found, "__module__", None) == vars(module)["__name__"]
    ]


def project_pages() -> Iterator[Made]:
    """Boards, and the files of the repository that pages lead to."""
    tables = sorted((ROOT / "leaderboards").glob("*.md"))
    listed = "\n".join(
        f"| [{path.stem}]({path.name}) | {markdown_text(boards()[path.stem].title)} |" for path in tables
    )
    yield "Boards", "leaderboards/index.md", f"# Boards\n\n| | |\n|:--|:--|\n{listed}\n"
    for path in tables:
        title, rest = path.read_text(encoding="utf-8").split("\n", 1)
        yield path.stem, f"leaderboards/{path.name}", f"# {title.strip('*')}\n{rest}"
    for title in ("NOTATION", "CHANGELOG", "CONTRIBUTING"):
        yield title.capitalize(), f"{title}.md", (ROOT / f"{title}.md").read_text(encoding="utf-8")
    yield "Benchmarks", "benchmarks/README.md", (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")


def notebook_page(path: Path) -> Made:
    """A notebook as a page, without outputs."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    blocks = ["".join(cell["source"]) for cell in cells]
    texts = [
        f"```python\n{block}\n```" if cell["cell_type"] == "code" else block
        for cell, block in zip(cells, blocks, strict=True)
    ]
    texts.insert(1, f"[Download this notebook]({path.name}); `pip install jupyterlab` opens it.")
    return path.stem, f"notebooks/{path.stem}.md", "\n\n".join(texts) + "\n"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
