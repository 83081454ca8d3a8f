"""Examples in docstrings and on the pages run, and give what they say."""

import doctest
import re
from pathlib import Path

import numpy as np
import pytest

import dxbench
from dxbench.python import listing

ROOT = Path(__file__).resolve().parents[2]
CODE = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize("name", dxbench.__all__)
def test_the_example_of_a_function_gives_what_it_says(name: str) -> None:
    found = getattr(listing if name in ("tasks", "metrics") else dxbench, name)
    tests = [test for test in doctest.DocTestFinder(recurse=False).find(found, name) if test.examples]
    assert len(tests) == (0 if isinstance(found, type) else 1), "every function of the face has an example"
    for test in tests:
        result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test)
        assert result.failed == 0


def test_the_page_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = CODE.findall((ROOT / "docs" / "python.md").read_text(encoding="utf-8"))
    assert len(blocks) == 5
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), names)
    assert names["board"].loc["dxmi", "sw2"] < 0.06  # type: ignore[attr-defined]


def test_the_lines_of_the_readme_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = [block for block in CODE.findall((ROOT / "README.md").read_text(encoding="utf-8")) if "dxbench." in block]
    assert len(blocks) == 1
    lines = [line.replace('dxmi")', 'dxmi", preset="quick", iterations=20)') for line in blocks[0].splitlines()]
    exec(compile("\n".join(lines), "README.md", "exec"), {"samples": np.zeros((100_000, 2))})
