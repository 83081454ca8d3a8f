"""Progress in logs, and the doctor's report."""

import re
from collections.abc import Callable
from itertools import pairwise

import pytest
from conftest import Ended

from dxbench.engine import lines
from dxbench.engine.lines import Pace, duration
from dxbench.engine.plan import Cell
from dxbench.terminal.console import console
from dxbench.terminal.progress import LineListener

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
