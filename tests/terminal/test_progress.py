"""Progress in logs, and the doctor's report."""

import io
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from conftest import Ended

from dxbench.cli.streams import plain_streams
from dxbench.engine import lines
from dxbench.engine.lines import Pace, duration
from dxbench.engine.plan import Cell
from dxbench.terminal.console import console
from dxbench.terminal.progress import Ahead, BarListener, LineListener, listener_for

CELL = Cell(task_ref="t", method_ref="m", task="t", task_version=1, method="m", method_version=1, preset="p", seed=0)


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(lines.time, "monotonic", found)
    monkeypatch.setattr(Pace.__init__, "__kwdefaults__", {"first": 0, "clock": found})
    return found


def test_lines_of_a_log_tell_per_cent_and_time_left(clock: Clock) -> None:
    out = console()
    with out.capture() as printed, LineListener(out) as listener:
        listener.started(CELL, total_steps=1000, first_step=0)
        for step in range(1, 401):
            clock.now += 0.5
            listener.stepped(CELL, step=step, scalars={"loss": 1.0})
    lines = printed.get().splitlines()
    assert lines[1] == "t m seed 0: step 20 of 1,000 (2 %, about 8 min left)  loss 1.000"
    assert lines[-1].startswith("t m seed 0: step 400 of 1,000 (40 %, about 5 min left)")


def test_the_rate_of_a_resumed_run_is_that_of_its_own_steps(clock: Clock) -> None:
    pace = Pace(first=900)
    clock.now += 10
    assert pace.far(920, 1000) == " (92 %, about 40 s left)"
    assert pace.far(5, None) == ""
    assert pace.far(900, 1000) == " (90 %)"


def test_lines_get_rarer_in_a_long_run(clock: Clock) -> None:
    pace, said = Pace(), []
    for _ in range(36_000):
        clock.now += 1
        if pace.due():
            said.append(clock.now - 100)
    gaps = [b - a for a, b in pairwise(said)]
    assert min(gaps) == 10
    assert 1500 < max(gaps) < 2000
    assert 80 < len(said) < 140


@pytest.mark.parametrize(("seconds", "words"), [(5.2, "5 s"), (89, "89 s"), (720, "12 min"), (12_600, "3.5 h")])
def test_durations_as_people_say_them(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_evaluation_speaks_soon_after_a_long_training(clock: Clock) -> None:
    out = console()
    with out.capture() as printed, LineListener(out) as listener:
        listener.started(CELL, total_steps=10, first_step=0)
        clock.now += 36_000
        listener.stepped(CELL, step=10, scalars={})
        listener.phase(CELL, "sampling")
        clock.now += 11
        listener.phase(CELL, "sampling still")
    assert printed.get().splitlines()[-1] == "t m seed 0: sampling still"


def test_doctor_folds_what_loads_into_a_line(dxbench: Callable[..., Ended]) -> None:
    ended = dxbench("doctor")
    assert ended.code == 0, ended.out
    lines = ended.out.splitlines()
    assert len(lines) == 7
    assert re.fullmatch(r"ok  plug-ins: \d+ tasks, \d+ methods, \d+ launchers? load", lines[-1])


# --- several cells ----------------------------------------------------------------------------------------------

MANY = [replace(CELL, seed=seed) for seed in range(4)]


def test_the_line_for_all_weighs_cells_by_what_they_take(clock: Clock) -> None:
    """10 s of 100 are done after a minute: nine times as long is left."""
    ahead = Ahead(
        MANY, seconds={MANY[0].run_id: 10.0, MANY[1].run_id: 20.0, MANY[2].run_id: 40.0, MANY[3].run_id: 30.0}
    )
    assert str(ahead) == "0 of 4 cells"
    ahead.started(MANY[0], total_steps=100, first_step=0)
    clock.now += 30
    ahead.stepped(MANY[0], step=50, total_steps=100)
    assert str(ahead) == "0 of 4 cells, about 10 min left"
    clock.now += 30
    ahead.settled(MANY[0], bad="")
    assert str(ahead) == "1 of 4 cells, about 9 min left"
    ahead.settled(MANY[2], bad="failed")
    assert str(ahead) == "2 of 4 cells, 1 failed, about 5 min left"


def test_steps_of_an_earlier_attempt_tell_nothing_of_the_pace(clock: Clock) -> None:
    ahead = Ahead(MANY[:2], seconds={})
    ahead.started(MANY[0], total_steps=100, first_step=90)
    clock.now += 10
    ahead.stepped(MANY[0], step=95, total_steps=100)
    assert str(ahead) == "0 of 2 cells, about 4 min left"  # 5 % in 10 s, and 105 % to go


def test_logs_tell_of_all_cells_now_and_then(clock: Clock) -> None:
    out = console()
    with out.capture() as printed, LineListener(out, Ahead(MANY, seconds={})) as listener:
        for cell in MANY:
            listener.started(cell, total_steps=10, first_step=0)
            clock.now += 8
            listener.settled(cell, bad="" if cell.seed else "out of memory")
    lines = [line for line in printed.get().splitlines() if " of 4 cells" in line]
    assert lines[0] == "2 of 4 cells, 1 out of memory, about 32 s left"
    assert len(lines) == 2
    assert str(Ahead(MANY[:1], seconds={})) == "", "of one cell there is nothing to add"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_bars_move_on_a_terminal_behind_the_streams_of_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rich's codes reach the terminal; those in a text do not."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    cell = replace(CELL, method="long" * 20 + "\x1b[31m")
    with plain_streams(), listener_for(console(stderr=True), Ahead([cell, *MANY], seconds={})) as listener:
        assert isinstance(listener, BarListener)
        listener.started(cell, total_steps=10, first_step=3)
        listener.stepped(cell, step=4, scalars={"loss": 1.0})
        listener.phase(cell, "measuring what takes long")
        listener._progress.refresh()
        listener.settled(cell, bad="failed")
        listener._progress.refresh()
    shown = terminal.getvalue()
    assert "\x1b[2K" in shown
    assert "\x1b[31mlong" not in shown
    assert "<U+000D>" not in shown
    assert "1 of 5 cells, 1 failed" in shown
    bar = next(line for line in shown.split("\n") if "4/10" in line)
    assert "0:00:00" in bar, "times are not cut where a name is long"
