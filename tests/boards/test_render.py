"""Tables as LaTeX, HTML and Markdown: what they show, and what no name can break."""

import json
import shutil
import statistics
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from test_ranking import measured, table_of

from dxbench.boards.aggregate import Summary
from dxbench.boards.render import render
from dxbench.boards.render.cells import decimals, number, quantity
from dxbench.boards.render.latex import escape
from dxbench.boards.tables import Table

NASTY = "<script>alert(1)</script> & 100% _a^b~ {x} \\input{/etc/passwd} $y$ #1 τ=0.1 naïve 数 | \"q\" 'r'"


@pytest.fixture
def nasty(tmp_path: Path) -> Table:
    """Two blocks, a clear winner, and a name that means something to every format."""
    records = measured("fair", 0.5, n_samples=9) + measured("better", 0.2, n_samples=9)
    named = measured("plain", 0.9, n_samples=5, overrides={"text": NASTY})
    return table_of(tmp_path, records + named)


class Texts(HTMLParser):
    """Tags and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_html_shows_names_as_text_and_runs_nothing(nasty: Table) -> None:
    page = Texts(render(nasty, "html"))
    assert "script" not in page.tags
    assert any(json.dumps(NASTY, ensure_ascii=False) in text for text in page.texts)
    assert page.tags.count("table") == 2
    assert page.tags.count("b") == 1, "a row that ranks alone in its block is not bold"
    assert "default-src 'none'" in render(nasty, "html")


def test_markdown_escapes_and_sets_the_best_in_bold(nasty: Table) -> None:
    text = render(nasty, "md")
    assert "<script>" not in text
    assert "**0.2100 ± 0.0100** ¹" in text
    assert "0.5100 ± 0.0100 ²" in text
    rows = [line for line in text.splitlines() if line.startswith("| plain")]
    assert rows
    assert rows[0].replace("\\|", "").count("|") == 1 + len(("", "NFE", "sw2", "seeds", "passes", "train FLOP", "FLOP"))


def test_latex_escapes_whatever_means_something_to_it() -> None:
    assert escape("50% of a_b & {c}") == r"50\% of a\_b \& \{c\}"
    assert escape("\\input{x}") == r"\textbackslash{}input\{x\}"
    assert escape("naïve 数\n") == "naive ? "
    assert escape("± ↓") == r"$\pm$ $\downarrow$"


def test_latex_marks_ranks(nasty: Table) -> None:
    text = render(nasty, "latex-table")
    assert r"\textbf{0.2100 $\pm$ 0.0100}\textsuperscript{1}" in text
    assert r"0.5100 $\pm$ 0.0100\textsuperscript{2}" in text
    assert text.count(r"\midrule") == 2
    assert r"n\_samples = 5 (above: 9)" in text
    assert r"\documentclass" not in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here; .ci/run installs one")
def test_latex_compiles_as_it_is(nasty: Table, tmp_path: Path) -> None:
    (tmp_path / "table.tex").write_text(render(nasty, "latex"), encoding="utf-8")
    ended = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "table.tex"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stdout[-2000:]
    assert (tmp_path / "table.pdf").stat().st_size > 1000
    assert b"Overfull" not in ended.stdout


def of_seeds(*values: float) -> Summary:
    return Summary(
        value=statistics.fmean(values),
        std=statistics.stdev(values),
        better="lower",
        fingerprint="f",
        by_seed=dict(enumerate(values)),
    )


def test_counts_have_no_decimals_and_measured_numbers_keep_theirs() -> None:
    counts = [of_seeds(402.0, 402.0), of_seeds(460_800.0, 460_801.0), of_seeds(0.0, 0.0)]
    assert [number(count, decimals(counts)) for count in counts] == ["402 ± 0", "460800 ± 1", "0 ± 0"]
    assert decimals([of_seeds(0.0, 0.0), of_seeds(1.0, 1.0)]) == 4
    assert decimals([of_seeds(3.0, 4.5)]) == 2
    assert number(of_seeds(0.0, 0.0), decimals([of_seeds(0.0, 0.0)])) == "0 ± 0"


@pytest.mark.parametrize(
    ("value", "text"), [(None, ""), (0.0, "0"), (12.0, "12"), (184_000, "184k"), (6.96e6, "6.96M"), (2.5e12, "2.5T")]
)
def test_quantities_have_three_digits(value: float | None, text: str) -> None:
    assert quantity(value) == text
