"""What assistants read is as the project is today, and names what exists."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Ended
from tool_files import load_tool

ROOT = Path(__file__).resolve().parents[2]
REMEDY = "python tools/assistants.py writes it anew"


@pytest.fixture(scope="module")
def tool() -> Any:
    return load_tool("assistants")


def test_generated_parts_are_current(tool: Any) -> None:
    assert (ROOT / "dxbench" / "agents.md").read_text(encoding="utf-8") == tool.guide(), REMEDY
    assert (ROOT / "llms.txt").read_text(encoding="utf-8") == tool.index(), REMEDY


def test_the_index_leads_to_pages_that_exist(tool: Any) -> None:
    links = re.findall(r"\]\(([^)]+)\)", tool.index())
    assert {"dxbench/agents.md", "docs/adding-a-method.md", "docs/tasks/gaussians8.md"} <= set(links)
    assert all((ROOT / link).is_file() for link in links)


def test_the_guide_is_found_by_name_and_names_commands_that_exist(tool: Any, dxbench: Callable[..., Ended]) -> None:
    ended = dxbench("info", "agents")
    assert ended.code == 0
    assert "# dxbench for assistants" in ended.out
    known = {re.split(r"[ :`]", line.removeprefix("* `dxbench "))[0] for line in tool.commands()}
    named = set(re.findall(r"`dxbench ([a-z-]+)", ended.out))
    assert {"doctor", "run", "eval", "submit"} <= named
    assert named <= known
