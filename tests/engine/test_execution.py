"""Networks that are compiled: when, with what numbers, and how such a run is picked up again."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import Ended, method
from torch import nn

from dxbench.api import ResultRecord
from dxbench.engine.attempt import RunOptions
from dxbench.engine.cell import run_cell
from dxbench.engine.execution import WORTH_COMPILING, Compilation, Compiling
from dxbench.engine.listener import SILENT
from dxbench.engine.plan import plan
from dxbench.errors import Interrupted


def compilation(asked: Compiling, said: list[str]) -> Compilation:
    return Compilation(asked, device="cpu", tell=said.append, warn=said.append)


def test_a_long_training_of_a_prepared_network_is_compiled_and_no_other() -> None:
    worth = WORTH_COMPILING["cpu"]
    for asked, short, long in (("auto", False, True), ("always", True, True), ("never", False, False)):
        chosen = compilation(asked, [])
        assert not chosen.pays(worth), "there is nothing to compile"
        chosen.prepare(nn.Linear(1, 1))
        assert (chosen.pays(worth / 2), chosen.pays(worth)) == (short, long)


def test_where_torch_cannot_compile_networks_stay_as_they_are_and_the_run_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*given: object, **options: object) -> None:
        raise RuntimeError("no C++ compiler here")

    said: list[str] = []
    chosen, net = compilation("always", said), nn.Linear(1, 1)
    chosen.prepare(net)
    monkeypatch.setattr(torch, "compile", broken)
    chosen.begin()
    assert not chosen.compiled
    assert net._compiled_call_impl is None
    assert "no C++ compiler here" in said[-1]


def test_short_runs_are_not_compiled(dxbench: Callable[..., Ended], home: Path) -> None:
    ended = dxbench("run", "-t", "gaussians8", "-m", method("Prepared"), "--no-report", "--json")
    assert ended.json[0]["cost"]["compiled"] is False


def carried_out(home: Path, compiling: Compiling, *, stop_after: int | None = None) -> ResultRecord | None:
    """A run of six steps; None where it was stopped, with its state saved, after some."""
    (cell,) = plan("gaussians8", method("Prepared"), preset="default", overrides={"iterations": 6}, seeds=[0])
    options = RunOptions(home=home, results=home / "results", compiling=compiling)
    asked = 0

    def stop_requested() -> bool:
        nonlocal asked
        asked += 1
        return stop_after is not None and asked >= stop_after

    try:
        return run_cell(cell, options, listener=SILENT, stop_requested=stop_requested)
    except Interrupted:
        return None


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_compiled_run_is_resumed_compiled_and_ends_bit_equal_to_one_that_was_not_stopped(tmp_path: Path) -> None:
    whole = carried_out(tmp_path / "whole", "always")
    assert carried_out(tmp_path / "parted", "always", stop_after=3) is None
    parted = carried_out(tmp_path / "parted", "never")  # it goes on as it began
    written = carried_out(tmp_path / "written", "never")
    assert whole is not None
    assert parted is not None
    assert written is not None
    assert whole.cost is not None
    assert parted.cost is not None
    assert written.cost is not None
    assert (whole.cost.compiled, parted.cost.compiled, written.cost.compiled) == (True, True, False)
    assert parted.provenance.resumed == 1
    assert parted.curves == whole.curves
    assert parted.scores == whole.scores
    assert parted.samples_sha256 == whole.samples_sha256
    # The same training but for rounding, and the same operations counted.
    assert whole.curves["loss"].value == pytest.approx(written.curves["loss"].value, rel=1e-4)
    assert whole.cost.train is not None
    assert written.cost.train is not None
    assert whole.cost.train.flops == written.cost.train.flops > 0
