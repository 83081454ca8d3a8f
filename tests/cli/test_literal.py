"""What is printed is what is meant: brackets, colons and braces of anybody's come out as they are."""

import ast
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from conftest import METHODS, Ended

from dxbench.cli.app import app
from dxbench.plugins.rows import RowName

ROOT = Path(__file__).resolve().parents[2]
Command = Callable[..., Ended]
# Markup, an unbalanced end of markup, emoji, a hash that begins with a letter, a path of a class, a format field.
HOSTILE = "[bold]b[/bold] [/] :smile: [abc12] [red] x.py:ring: {0} method[key=value]"


def commands(command: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command and group by what is typed for it."""
    command = command or typer.main.get_command(app)
    yield path, command
    for name, one in getattr(command, "commands", {}).items():
        yield from commands(one, (*path, name))


def squeezed(text: str) -> str:
    """Without white space, which help lays out anew."""
    return re.sub(r"\s+", "", text)


EVERY = dict(commands())


@pytest.mark.parametrize("path", EVERY, ids=" ".join)
def test_every_help_page_shows_every_text_as_it_is_written(dxbench: Command, path: tuple[str, ...]) -> None:
    command = EVERY[path]
    ended = dxbench(*path, "--help")
    assert ended.code == 0
    shown = squeezed(ended.out)
    texts = [command.help, command.epilog, *(getattr(param, "help", None) for param in command.params)]
    texts += [one.short_help for one in getattr(command, "commands", {}).values()]
    written = [text.replace("\b", "") for text in texts if text]
    assert written
    for text in written:
        assert squeezed(text) in shown, text


EXAMPLES = sorted(
    {line.strip() for command in EVERY.values() for line in (command.epilog or "").splitlines() if "  dxbench" in line}
)
LOOKS = ("list", "info", "table", "compare", "claims", "explain", "prepare")


def test_there_are_examples_of_every_command() -> None:
    shown = {tuple(part for part in shlex.split(line)[1:3] if part.isidentifier() or "-" in part) for line in EXAMPLES}
    leaves = {path for path, command in EVERY.items() if not hasattr(command, "commands")}
    assert {path[0] for path in leaves} == {words[0] for words in shown}


@pytest.mark.parametrize("line", EXAMPLES)
def test_every_example_is_printed_whole_and_can_be_typed(
    dxbench: Command, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All are parsed; those that look at committed records, or can be tried without running, are run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_method.py").write_text(METHODS.read_text() + "\n\nMyMethod = Untrained\n")
    words = shlex.split(line)[1:]
    path = next(words[:n] for n in (2, 1) if tuple(words[:n]) in EVERY)
    command = EVERY[tuple(path)]
    assert line in dxbench(*path, "--help").out
    command.make_context(" ".join(path), words[len(path) :])
    (tmp_path / "mine.toml").write_text('[[sweep]]\ntask = "gaussians8"\nmethod = "ddim"\n')
    if path == ["run"] and "--launcher" not in words:  # others than the local one ask what is installed here
        assert dxbench(*words, "--dry-run").code == 0
    if path[0] in LOOKS and ".json" not in line and "@yours" not in line:  # which there are none of here
        extra = ["--list"] if path == ["prepare"] and "--list" not in words else []
        ended = dxbench(*words, *extra)
        assert ended.code == 0, ended.err


@pytest.fixture
def hostile(tmp_path: Path) -> str:
    """Reference to a method whose every text is hostile."""
    file = tmp_path / "hostile.py"
    file.write_text(
        f'"""Module. {HOSTILE}"""\n'
        f"import sys\nsys.path.insert(0, {str(METHODS.parent)!r})\n"
        "import methods\nfrom pydantic import Field\nfrom dxbench.api import Config\n"
        f"WORDS = {HOSTILE!r}\n"
        "class Settings(Config):\n"
        "    where: str = Field(default=WORDS, description=WORDS)\n"
        "class Hostile(methods.Untrained):\n"
        f'    """Class. {HOSTILE}"""\n'
        "    name = '[red]evil:smile:'\n"
        "    Config = Settings\n"
        "class Failing(Hostile):\n"
        "    name = '[red]failing:smile:'\n"
        "    def start(self, problem, config, *, compute, rng):\n"
        "        raise RuntimeError(WORDS)\n"
    )
    return f"{file}:Hostile"


def test_texts_of_methods_come_out_as_they_are(dxbench: Command, hostile: str) -> None:
    told = dxbench("info", hostile)
    assert told.code == 0, told.err
    assert told.out.count(HOSTILE) >= 4  # class, module, default and description
    ran = dxbench("run", "-t", "gaussians8", "-m", hostile, "--no-report", "--set", f"where={HOSTILE}")
    assert ran.code == 0, ran.err
    assert f"[red]evil:smile: where={HOSTILE}" in ran.err
    label = str(RowName(method="[red]evil:smile:", overrides={"where": HOSTILE}))
    assert label == f'[red]evil:smile:[where="{HOSTILE}"]'
    assert label in dxbench("table", "-t", "gaussians8", "-f", "csv").out.replace('""', '"')
    parts = label.split()
    told = dxbench("table", "-t", "gaussians8").out
    assert all(part in told for part in parts)  # a long label is broken between words
    dry = dxbench("run", "-t", "gaussians8", "-m", hostile, "--set", f"where={HOSTILE}", "--dry-run")
    assert label in dry.out


def test_failures_and_errors_come_out_as_they_are(dxbench: Command, hostile: str) -> None:
    failed = dxbench("run", "-t", "gaussians8", "-m", hostile.replace("Hostile", "Failing"), "--no-report")
    assert failed.code == 3
    assert f"failed (setup: RuntimeError: {HOSTILE} (hostile.py, line " in failed.err
    checked = dxbench("check-method", hostile.replace("Hostile", "Failing"))
    assert "got: name is '[red]failing:smile:'" in checked.out
    wrong = dxbench("run", "-t", HOSTILE, "-m", "dxmi")
    assert wrong.code == 2
    assert HOSTILE.rpartition(":")[0] in wrong.err  # the file of what reads as a task in a file
    assert HOSTILE.rpartition(":")[2] in wrong.err


def test_live_progress_comes_out_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """On a terminal as in a log."""
    from rich.console import Console

    from dxbench.engine.plan import Cell
    from dxbench.terminal.console import console
    from dxbench.terminal.progress import BarListener, LineListener

    cell = Cell(
        task_ref="t", method_ref="m", task="t", task_version=1, method=HOSTILE, method_version=1, preset="p", seed=0
    )
    for kind in (BarListener, LineListener):
        out: Console = console(soft_wrap=True)
        out.width = 400
        with out.capture() as printed, kind(out) as listener:
            listener.started(cell, total_steps=10, first_step=3)
            listener.stepped(cell, step=4, scalars={HOSTILE: 1.0})
            listener.phase(cell, HOSTILE)
            listener.warned(cell, HOSTILE)
            listener.interrupted(cell)
        assert printed.get().count(HOSTILE) >= 4


def test_only_one_module_makes_consoles() -> None:
    """Whatever prints with rich takes its console, bars and columns from where markup is off."""
    makers = {"Console", "Progress", "TextColumn", "Text.from_markup", "Table.grid", "Table", "rich.print", "escape"}
    for path in (ROOT / "dxbench" / "cli").glob("*.py"):
        if path.name != "terminal.py":
            tree = ast.parse(path.read_text(encoding="utf-8"))
            called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
            assert not called & makers, path.name
            assert "markup" not in {word.arg for word in ast.walk(tree) if isinstance(word, ast.keyword)}, path.name
