"""The documentation's site: a page for everything that can be named, and nothing loaded from elsewhere."""

import importlib
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from dxbench.plugins import registry

ROOT = Path(__file__).resolve().parents[2]
BESIDE = "the documentation's packages; pip install 'dxmi-bench[docs]'"
PAGES_KB = 400
"""Of the largest page, without pictures."""


@pytest.fixture(scope="module")
def tool() -> dict[str, Any]:
    """The names of tools/make_docs.py."""
    pytest.importorskip("latex2mathml", reason=BESIDE)
    return runpy.run_path(str(ROOT / "tools" / "make_docs.py"))


@pytest.fixture(scope="module")
def source(tool: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source of the site."""
    folder = tmp_path_factory.mktemp("docs") / "source"
    tool["main"](folder)
    return folder / "docs"


def test_every_method_and_task_has_a_page_with_its_facts(source: Path) -> None:
    for kind in ("methods", "tasks"):
        assert registry.plugins(kind)
        for name in registry.plugins(kind):
            page = (source / kind / f"{name}.md").read_text(encoding="utf-8")
            assert f"## Facts of `{name}`" in page
            assert page.startswith("# ")
    digits = (source / "tasks" / "digits.md").read_text(encoding="utf-8")
    assert "| EDM, Heun " in digits  # of the board
    assert "Writers are mixed" in digits  # written by hand
    assert "[detectors](detectors.md)" in (source / "methods" / "knn.md").read_text(encoding="utf-8")


def test_every_public_name_of_the_library_is_in_the_reference(source: Path) -> None:
    rooms = [path.stem for path in (source / "api").glob("dxmi.*.md")]
    assert len(rooms) > 10
    for path in (source / "api").glob("*.md"):
        if path.stem not in ("index", "dxbench"):
            names = getattr(importlib.import_module(path.stem), "__all__", [])
            text = path.read_text(encoding="utf-8")
            assert [name for name in names if f"::: {path.stem}.{name}\n" not in f"{text}\n"] == []


def test_every_page_is_in_the_navigation(source: Path) -> None:
    navigation = (source.parent / "mkdocs.yml").read_text(encoding="utf-8")
    pages = [path.relative_to(source).as_posix() for path in source.rglob("*.md")]
    assert len(pages) > 120
    assert [page for page in pages if not re.search(rf"[ \"]{re.escape(page)}\n", navigation)] == []


@pytest.mark.parametrize(
    ("place", "link", "led"),
    [
        ("methods/dxmi.md", "[n](../../NOTATION.md#units)", "[n](../NOTATION.md#units)"),
        ("findings.md", "[b](../leaderboards)", "[b](leaderboards/index.md)"),
        ("index.md", "![p](docs/few_steps.png)", "![p](few_steps.png)"),
        ("CHANGELOG.md", "[g](docs/gpu.md)", "[g](gpu.md)"),
        ("how-dxmi-works.md", "[code](../dxmi/losses.py)", "code"),  # no page of the site, and no address to lead to
        ("gpu.md", "`[n](../NOTATION.md)`", "`[n](../NOTATION.md)`"),  # code
        ("gpu.md", "[n](https://arxiv.org)", "[n](https://arxiv.org)"),
    ],
)
def test_links_lead_to_where_files_are_in_the_site(tool: dict[str, Any], place: str, link: str, led: str) -> None:
    texts = {"NOTATION.md", "leaderboards/index.md", "gpu.md", "methods/dxmi.md"}
    assert tool["led"](link, place, texts) == led


def test_formulas_become_mathml_and_shell_variables_stay(tool: dict[str, Any]) -> None:
    formulas: Callable[[str], str] = tool["formulas"]
    assert re.fullmatch(
        r"of <math [^>]*display=\"inline\".*<msub>.*</math>, `\$HOME/a` and \$5", formulas("of $x_k$, `$HOME/a` and $5")
    )
    assert 'display="block"' in formulas("$$\nE = 1\n$$")
    assert formulas("```\necho $A $B\n```") == "```\necho $A $B\n```"


class Loads(HTMLParser):
    """What a page loads by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        wanted = known.get("href") if tag == "link" else known.get("src")
        self.found += [wanted] if wanted else []


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_loads_nothing_from_elsewhere(source: Path, tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason=BESIDE)
    configuration = source.parent / "mkdocs.yml"
    text = configuration.read_text(encoding="utf-8").replace(
        "paths: [../..]", f"paths: ['{ROOT}', '{ROOT / 'baselines'}']"
    )
    configuration.write_text(text, encoding="utf-8")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", configuration]
    variables = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    ended = subprocess.run(
        [*build, "--site-dir", tmp_path / "site"], env=variables, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, (
        ended.stderr
    )  # a warning is an error, and --quiet would keep warnings from being counted
    for page in (tmp_path / "site").rglob("*.html"):
        loads = Loads()
        loads.feed(page.read_text(encoding="utf-8"))
        assert [place for place in loads.found if re.match(r"(https?:)?//", place)] == [], page
        assert page.stat().st_size < PAGES_KB * 1000, page
    styles = "".join(path.read_text(encoding="utf-8") for path in (tmp_path / "site").rglob("*.css"))
    assert re.findall(r"url\(['\"]?(?:https?:)?//[^)]*", styles) == []
    assert "white-space: pre-wrap" in styles  # commands are not cut off
    assert 'href="site.css"' in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    heun = (tmp_path / "site" / "api" / "dxmi.sampling.html").read_text(encoding="utf-8")
    assert 'id="dxmi.sampling.Heun"' in heun

    (source / "gpu.md").write_text("# A GPU\n\n[nowhere](nowhere.md)\n", encoding="utf-8")
    broken = subprocess.run(
        [*build, "--site-dir", tmp_path / "broken"], env=variables, capture_output=True, text=True, check=False
    )
    assert broken.returncode != 0
    assert "nowhere.md" in broken.stderr + broken.stdout


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: str(page.relative_to(ROOT)))
def test_no_line_begins_with_maths_that_would_become_a_paragraph_of_its_own(page: Path) -> None:
    assert re.findall(r"^\$[^$].*", page.read_text(encoding="utf-8"), re.MULTILINE) == []


def test_names_of_code_in_the_maths_are_there() -> None:
    text = (ROOT / "docs" / "how-dxmi-works.md").read_text(encoding="utf-8")
    named = re.findall(r"`(dxmi/[\w/]+\.py)(?:: (\w+))?`", text)
    assert len(named) == 6
    for path, name in named:
        assert re.search(rf"^(def|class) {name}\b" if name else ".", (ROOT / path).read_text(), re.MULTILINE), name
