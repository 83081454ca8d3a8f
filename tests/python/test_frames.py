"""Boards and records as DataFrames say what the commands say."""

import io
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from conftest import Ended

import dxbench
from dxbench.errors import NothingMeasured, UsageError

Command = Callable[..., Ended]


@pytest.fixture
def command(dxbench: Callable[..., Ended]) -> Callable[..., Ended]:
    """The command, beside the package of its name."""
    return dxbench


@pytest.mark.parametrize("asked", [{"task": "gaussians8"}, {"suite": "dxmi-table1", "published": True}])
def test_a_table_is_that_of_the_command(command: Command, asked: dict[str, object]) -> None:
    words = [word for key, value in asked.items() for word in ([f"--{key}"] if value is True else [f"--{key}", value])]
    typed = pd.read_csv(io.StringIO(command("table", *words, "-f", "csv").out)).set_index("label")
    frame = dxbench.table(**asked)  # type: ignore[arg-type]
    assert list(frame.columns) == list(typed.columns)
    numbers = [name for name in frame.columns if name not in ("kind", "marks", "remarks")]
    pd.testing.assert_frame_equal(
        frame[numbers].astype(float).reset_index(drop=True), typed[numbers].astype(float).reset_index(drop=True)
    )
    assert frame.attrs["title"]
    assert any("DxMI 2024" in note for note in frame.attrs["footnotes"]) == ("published" in asked)


def test_a_comparison_is_that_of_the_command(command: Command) -> None:
    typed = command("compare", "dxmi", "ddpm[num_steps=10]", "-t", "gaussians8", "--json").json
    frame = dxbench.compare("dxmi", "ddpm[num_steps=10]", "gaussians8")
    assert list(frame.index) == [one["metric"] for one in typed["metrics"]]
    assert frame.attrs["a"] == typed["a"]
    for one in typed["metrics"]:
        found = frame.loc[one["metric"]]
        assert found.verdict == one["verdict"]
        assert found.p_value == one["p_value"]
        assert (found.difference, found.low, found.high) == tuple(
            one["difference"][k] for k in ("point", "low", "high")
        )
    alike = dxbench.compare("dxmi", "dxmi", "gaussians8")
    assert set(alike.verdict) == {"not separable"}


def test_records_are_all_there(tmp_path: Path) -> None:
    frame = dxbench.load_records("gaussians8")
    assert len(frame) == len(list(Path(frame.path[0]).parents[1].rglob("*-s*.json")))
    assert {"method", "preset", "seed", "status", "sw2", "config_id", "path"} <= set(frame.columns)
    board = dxbench.table("gaussians8")
    row = frame[(frame.method == "data") & (frame.status == "ok")]
    assert row.sw2.mean() == pytest.approx(board.loc["data", "sw2"])
    with pytest.raises(UsageError, match="no folder"):
        dxbench.load_records(results=tmp_path / "nowhere")
    assert dxbench.load_records(results=[tmp_path]).empty


def test_what_cannot_be_read_is_warned_of(tmp_path: Path) -> None:
    folder = tmp_path / "gaussians8" / "dxmi"
    folder.mkdir(parents=True)
    (folder / "x.json").write_text("{")
    with pytest.warns(UserWarning, match=r"x\.json: not readable"):
        assert dxbench.load_records("gaussians8", results=tmp_path).empty
    with pytest.warns(UserWarning, match=r"x\.json"), pytest.raises(NothingMeasured, match="no record"):
        dxbench.table("gaussians8", results=tmp_path)


def test_wrong_names_are_refused_with_a_guess() -> None:
    with pytest.raises(UsageError, match="Did you mean 'gaussians8'"):
        dxbench.table("gaussian8")
    with pytest.raises(UsageError, match="one of them"):
        dxbench.table()
    with pytest.raises(UsageError, match="Did you mean 'sw2'"):
        dxbench.table("gaussians8", metrics=["sw3"])
    with pytest.raises(UsageError, match="unknown row 'dxmy'"):
        dxbench.compare("dxmy", "data", "gaussians8")
    with pytest.raises(UsageError, match="alpha"):
        dxbench.compare("dxmi", "data", "gaussians8", alpha=2)
