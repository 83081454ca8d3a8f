"""Where things lie when nobody says: in a checkout as ever, elsewhere in the user's own folders."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Ended

from dxbench import paths

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder outside of any checkout, and nothing said by variables."""
    folder = tmp_path / "away"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("DXBENCH_HOME", "DXBENCH_DATA", "DXBENCH_CACHE", "DXBENCH_RESULTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


@pytest.mark.skipif(sys.platform != "linux", reason="XDG variables are Linux's")
def test_elsewhere_they_are_the_users_own_folders(away: Path, tmp_path: Path) -> None:
    assert paths.home() == tmp_path / "share" / "dxbench"
    assert paths.results() == paths.home() / "results"
    assert paths.cache() == paths.home() / "cache"
    assert paths.data() == tmp_path / "cache" / "dxbench" / "data"
    assert list(away.iterdir()) == []


def test_in_a_checkout_they_are_its_folders_from_wherever_one_stands(
    away: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert (paths.home(), paths.data()) == (Path("runs"), Path("data"))
    assert (paths.results(), paths.cache()) == (Path("runs/results"), Path("runs/cache"))
    monkeypatch.chdir(ROOT / "docs")
    assert paths.home().resolve() == ROOT / "runs"
    assert paths.data().resolve() == ROOT / "data"
    assert paths.checkout() == ROOT


def test_another_checkout_counts_as_one(away: Path) -> None:
    (away / "dxbench").mkdir()
    (away / "dxbench" / "paths.py").touch()
    assert paths.checkout() is None
    (away / "pyproject.toml").touch()
    assert paths.checkout() == away
    assert paths.home() == Path("runs")


@pytest.mark.parametrize("name", ["work", "results", "trained"])
def test_runs_of_before_are_found_and_said(away: Path, name: str, dxbench: Callable[..., Ended]) -> None:
    (away / "runs").mkdir()
    assert paths.home() != Path("runs"), "anybody has a folder of that name"
    (away / "runs" / name).mkdir()
    assert paths.home() == Path("runs")
    said = paths.chosen_by("DXBENCH_HOME")
    assert said == "found in the working folder; DXBENCH_HOME moves it"
    (folders,) = (check for check in dxbench("doctor", "--json").json if check["name"] == "folders")
    assert f"work in {away / 'runs'} ({said})" in folders["found"]


def test_data_of_before_are_found_and_said(away: Path, dxbench: Callable[..., Ended]) -> None:
    (away / "data" / "mine").mkdir(parents=True)
    assert paths.data() != Path("data"), "anybody has a folder of that name"
    (away / "data" / "weights").mkdir()
    assert paths.data() == Path("data")
    listed = dxbench("prepare", "-t", "cifar10", "--list").out
    assert f"files under {away / 'data'} (found in the working folder; DXBENCH_DATA moves it)" in listed


def test_variables_go_before_all(away: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (away / "runs" / "work").mkdir(parents=True)
    monkeypatch.setenv("DXBENCH_HOME", str(away / "elsewhere"))
    assert paths.home() == away / "elsewhere"
    assert paths.chosen_by("DXBENCH_HOME") == "DXBENCH_HOME"
    assert paths.chosen_by("DXBENCH_DATA") == "DXBENCH_DATA moves it"
    monkeypatch.chdir(ROOT)
    assert paths.chosen_by("DXBENCH_DATA") == "of the checkout"


def test_a_working_folder_that_is_gone_is_no_checkout(away: Path, tmp_path: Path) -> None:
    code = (
        f"import os, sys; sys.path.insert(0, {str(ROOT)!r}); from dxbench import paths; os.rmdir({str(away)!r}); "
        "print(paths.checkout(), paths.home())"
    )
    environment = {name: value for name, value in os.environ.items() if name != "DXBENCH_HOME"}
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=away, env=environment)
    assert ended.stdout.split() == ["None", str(tmp_path / "share" / "dxbench")], ended.stderr
