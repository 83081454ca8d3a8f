"""Boards and `dxbench info` have the equations of the pages."""

from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from conftest import Ended
from tool_files import load_tool

from dxbench.errors import UsageError
from dxbench.plugins.registry import EQUATIONS, Plugin, plugins

ROOT = Path(__file__).resolve().parents[2]
PAGE = """# `one`, `two`

| part | equation | where |
|---|---|---|
| law | p(x ∣ y) = a \\| b | `file.py` |
| `two`: loss | ‖x‖², as [another](another.md) has it | the same |

| method | source |
|---|---|
| `one` | nowhere |

| method | equation of the energy | through |
|---|---|---|
| `one`, `two` | E | torch |
"""


@pytest.fixture(scope="module")
def tool() -> Any:
    return load_tool("equations")


def test_the_file_is_current(tool: Any) -> None:
    assert tool.MADE.read_text(encoding="utf-8") == tool.text(), "python tools/equations.py writes it anew"


def test_every_method_but_real_data_has_equations() -> None:
    assert {name for name, plugin in plugins("methods").items() if not plugin.equations()} == {"data"}


def test_a_page_gives_equations_of_all_or_of_the_methods_that_a_part_names(tool: Any) -> None:
    assert list(tool.of_page(PAGE)) == [
        (["one", "two"], "law", "p(x ∣ y) = a | b"),
        (["two"], "loss", "‖x‖², as another has it"),
        (["one", "two"], "energy", "E"),
    ]


def test_info_shows_them(dxbench: Callable[..., Ended]) -> None:
    assert dxbench("info", "edm", "--json").json["equations"]["Heun"] == "2N − 1 passes (Algorithm 1)"


@pytest.mark.parametrize("text", ["[1]", '{"mine": {"loss": 3}}', "{", '{"mine": "loss"}'])
def test_a_package_whose_file_holds_something_else_is_named(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "package_of_mine"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    plugin = Plugin(
        kind="methods", name="mine", entry=EntryPoint("mine", "package_of_mine.code:Mine", "dxbench.methods")
    )
    assert plugin.equations() == {}
    (package / EQUATIONS).write_text('{"mine": {"loss": "x"}, "other": {}}')
    assert plugin.equations() == {"loss": "x"}
    (package / EQUATIONS).write_text(text)
    with pytest.raises(UsageError, match=r"package_of_mine.equations\.json does not hold equations as method -> part"):
        plugin.equations()
