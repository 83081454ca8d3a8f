"""Writes what assistants read of the project: `python tools/assistants.py`, which `make board` runs.

These are `llms.txt`, an index of the pages in the form of llmstxt.org, and the lists of commands, tasks and methods in
`dxbench/agents.md`.
"""

import re
import sys
import tomllib
from pathlib import Path

from dxbench.cli.app import app, leaderboard, new_app, records
from dxbench.plugins import registry

ROOT = Path(__file__).resolve().parents[1]
GUIDE = "dxbench/agents.md"
BLOCK = re.compile(r"(<!-- (\w+): .*? -->\n).*?(<!-- end of \2 -->)", re.DOTALL)


def commands() -> list[str]:
    """Every command with its first sentence, groups after the single ones."""
    groups = {"": app, "leaderboard ": leaderboard, "records ": records, "new ": new_app}
    found = [
        (group, command.name or command.callback.__name__, command.callback.__doc__ or "")
        for group, of in groups.items()
        for command in of.registered_commands
        if command.callback
    ]
    return [f"* `dxbench {group}{name}`: {_first_sentence(text)}" for group, name, text in found]


def plugins(kind: registry.Kind) -> list[str]:
    """Every task, or method, that this project has, with the first line on it."""
    own = {name: one for name, one in registry.plugins(kind).items() if one.origin == registry.OWN_DISTRIBUTION}
    return [f"* `{name}`: {plugin.summary()}" for name, plugin in sorted(own.items())]


def guide() -> str:
    """The guide with its lists as they are today."""
    lists = {"commands": commands(), "tasks": plugins("tasks"), "methods": plugins("methods")}
    text = (ROOT / GUIDE).read_text(encoding="utf-8")
    return BLOCK.sub(lambda found: "\n".join([found[1].strip(), *lists[found[2]], found[3]]), text)


def index() -> str:
    """The text of llms.txt: what the project is, the guide, and every page by its title."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pages = {path: _title(path) for path in sorted((ROOT / "docs").rglob("*.md"))}
    folders = {
        "By what you have": ROOT / "docs" / "start",
        "Pages": ROOT / "docs",
        "Tasks": ROOT / "docs" / "tasks",
        "Methods": ROOT / "docs" / "methods",
    }
    lines = ["# dxbench", "", f"> {project['description']}", ""]
    lines += ["## Start here", "", f"- [dxbench for assistants]({GUIDE}): what to run, what to read, what not to do"]
    lines += ["- [README](README.md): what it is for, and its two commands"]
    for name, folder in folders.items():
        lines += ["", f"## {name}", ""]
        lines += [f"- [{title}]({path.relative_to(ROOT)})" for path, title in pages.items() if path.parent == folder]
    optional = ("CONTRIBUTING.md", "NOTATION.md", "CHANGELOG.md")
    lines += ["", "## Optional", "", *(f"- [{_title(ROOT / name)}]({name})" for name in optional)]
    return "\n".join(lines) + "\n"


def _title(page: Path) -> str:
    return next(line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("# "))[2:]


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[.?])\s", " ".join(text.split()), maxsplit=1)[0]


def main() -> int:
    """Write both."""
    (ROOT / GUIDE).write_text(guide(), encoding="utf-8")
    (ROOT / "llms.txt").write_text(index(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
