"""What a stranger writes is shown and does nothing: in a terminal, a spreadsheet, a page, a paper."""

import csv
import io
import logging
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Ended

from dxbench.boards.aggregate import Row, Summary
from dxbench.boards.render import render
from dxbench.boards.tables import Block, Table
from dxbench.cli.streams import plain_streams
from dxbench.plain import counted, flowing, is_plain, plain, plain_lines, plain_markup
from dxbench.terminal.console import console

Command = Callable[..., Ended]
ODD = [
    "\x1b[31m",
    "\x07",
    "\r",
    "\x9b",
    "\u202e",
    "\u061c",
    "\u2067",
    "\u200b",
    "\xad",
    "\u2028",
    "\ufeff",
    "\ufffe",
    "\U000e0041",
]


def test_a_count_agrees_with_its_noun():
    assert [counted(n, "record") for n in (0, 1, 2_000)] == ["0 records", "1 record", "2,000 records"]
    assert [counted(n, "pass", "passes") for n in (1.0, 2.5)] == ["1 pass", "2.5 passes"]


@pytest.mark.parametrize("odd", [*ODD, "\ud800", "\x00"])
def test_what_cannot_be_seen_is_spelled_out(odd: str):
    text = f"a{odd}\nb"
    assert not is_plain(odd)
    assert is_plain(plain(text))
    assert plain_lines(text) == f"a{plain(odd)}\nb"
    assert "&lt;U+" in plain_markup(text)
    assert is_plain("Müller ± 0.5 ↓ – “日本語” é 👍")


def table(label: str, metric: str = "sw2", note: str = "") -> Table:
    """Two rows by one metric."""
    rows = tuple(
        Row(label=text, kind="measured", scores={metric: Summary(value=-0.5, std=0.1, better="lower", fingerprint="f")})
        for text in (label, "plain")
    )
    return Table(
        title=label, metrics=(metric,), blocks=(Block(rows=rows, ranks={metric: {}}),), footnotes=(note or label,)
    )


@pytest.mark.parametrize("format", ["text", "md", "latex", "latex-table", "html", "csv"])
@pytest.mark.parametrize("odd", ODD)
def test_no_table_holds_what_cannot_be_seen(format: str, odd: str):
    for shown in (table(f"a{odd}b"), table("a", metric=f"m{odd}")):
        assert is_plain(render(shown, format).replace("\n", ""))  # type: ignore[arg-type]


def test_a_spreadsheet_computes_nothing():
    for label in ("=cmd|' /C calc'!A0", "+1", "-1+2", "@SUM(1)", "\t=1", " =1", "\uff1d1", "a;=1"):
        lines = list(csv.reader(io.StringIO(render(table(label), "csv"))))
        cell = lines[1][1]
        assert not any(part.lstrip()[0] in "=+-@\uff1d" for part in cell.split(";")), cell
        assert lines[1][4] == "-0.5"  # a number stays one


def test_a_paper_runs_nothing():
    text = render(table("\uff3cinput\uff5b/etc/passwd\uff5d \\input{x} ^^5cinput"), "latex")
    assert not re.search(r"\\input", text.replace("textbackslash{}input", ""))
    assert "\\\\\n[" not in render(table("[5pt] and *"), "latex")


def test_a_table_of_markdown_keeps_its_cells_and_leads_nowhere():
    text = render(table("a\\|b|c\n| d <img> ![x](http://evil.example)", metric="m|<b>"), "md")
    rows = [line for line in text.split("\n") if line.startswith("|")]
    assert len({len(re.findall(r"(?:\\.|[^\\|])*\|", line)) for line in rows}) == 1
    assert "](" not in text
    assert "<" not in text


def test_streams_show_what_anything_prints(capfd: pytest.CaptureFixture[str], dxbench: Command, tmp_path: Path):
    with plain_streams():
        print("a\x1b[31m\u202e\tb", flush=True)  # noqa: T201
        console(stderr=True).print("b\x1b]0;x\x07")
        logging.lastResort.stream.write("c\x9b\n")  # type: ignore[union-attr]
    ended = capfd.readouterr()
    assert ended.out == "a<U+001B>[31m<U+202E>    b\n"
    assert ended.err.splitlines() == ["b<U+001B>]0;x", "c<U+009B>"]
    (tmp_path / "gaussians8" / "m").mkdir(parents=True)
    (tmp_path / "gaussians8" / "m" / "a\n\x1b[31mdxbench: fine.json").write_text("{")
    said = dxbench("table", "-t", "gaussians8", "--results", tmp_path).err
    assert is_plain(said.replace("\n", ""))
    assert not re.search(r"\n(<U\+001B>\[31m)?dxbench: fine", said)


def test_paragraphs_of_a_docstring_flow_and_its_lists_stay() -> None:
    text = "A first\nline.\n\n* one\n  goes on\n* two\n\n    code\n    more\n\nThe\nend."
    assert flowing(text) == "A first line.\n\n* one\n  goes on\n* two\n\n    code\n    more\n\nThe end."
