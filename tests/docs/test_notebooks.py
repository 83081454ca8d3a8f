"""Notebooks run from top to bottom, show what they say, and are committed without outputs."""

import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
RUNNER = ROOT / "tools" / "run_notebooks.py"
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
SHOWN = {"anomaly-maps": 1, "dxmi-on-your-own-data": 2, "evaluate-while-training": 1}
"""Pictures of each."""


def cells(notebook: Path) -> list[dict[str, Any]]:
    return json.loads(notebook.read_text(encoding="utf-8"))["cells"]


def test_there_are_three_small_notebooks_without_outputs() -> None:
    assert [path.stem for path in NOTEBOOKS] == sorted(SHOWN)
    for path in NOTEBOOKS:
        code = [cell for cell in cells(path) if cell["cell_type"] == "code"]
        assert [cell for cell in code if cell["outputs"] or cell["execution_count"]] == []
        assert path.stat().st_size < 16_000


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_shows_its_pictures(notebook: Path, tmp_path: Path) -> None:
    pytest.importorskip("nbclient", reason="executes notebooks; pip install 'dxmi-bench[docs]'")
    command = [sys.executable, str(RUNNER), "--out", str(tmp_path / "executed"), str(notebook)]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    outputs = [out for cell in cells(tmp_path / "executed" / notebook.name) for out in cell.get("outputs", [])]
    assert sum("image/png" in out.get("data", {}) for out in outputs) == SHOWN[notebook.stem]
    assert [out for out in outputs if out["output_type"] == "error"] == []


def test_without_its_extra_a_notebook_is_refused_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "nbclient", None)
    monkeypatch.setattr(sys, "argv", [str(RUNNER), str(NOTEBOOKS[0])])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(RUNNER), run_name="__main__")
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "is not installed" in line
    assert "pip install 'dxmi-bench[docs]'" in line


def test_a_cell_that_fails_is_named(tmp_path: Path) -> None:
    pytest.importorskip("nbclient", reason="executes notebooks; pip install 'dxmi-bench[docs]'")
    content = json.loads(NOTEBOOKS[0].read_text(encoding="utf-8"))
    failing = dict(next(cell for cell in content["cells"] if cell["cell_type"] == "code"), source="1 / 0")
    (tmp_path / "failing.ipynb").write_text(json.dumps(content | {"cells": [failing]}))
    command = [sys.executable, str(RUNNER), str(tmp_path / "failing.ipynb")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 3
    assert "ZeroDivisionError" in ended.stderr
