"""Cells on this machine: one after the other, several at a time, with processes that are killed and disks that fail."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Ended, method
from small_disk import small_disk

from dxbench.api import ResultRecord
from dxbench.engine import RunOptions, run_cell
from dxbench.engine.listener import SILENT, Silent
from dxbench.engine.plan import Cell, plan
from dxbench.errors import MachineFault, Taken, UsageError
from dxbench.launchers import crew
from dxbench.launchers.contract import Launch, LaunchSettings, Outcome
from dxbench.launchers.crew import Crew
from dxbench.launchers.local import LocalLauncher, _in_crews
from dxbench.launchers.queue import CellQueue
from dxbench.records.files import read_record
from dxbench.sweeps import Sweep

HERE = Path(__file__).parent
QUICK = f"{HERE.parent / 'attack' / 'quick.py'}:Quick"


def cells_of(name: str, seeds: int, **overrides: Any) -> list[Cell]:
    method_ref = method(name) if name == "Toy" else f"{HERE / 'rough.py'}:{name}"
    return plan(QUICK, method_ref, preset="default", overrides=overrides, seeds=list(range(seeds)))


class Warnings(Silent):
    """What was warned of."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def warned(self, cell: Cell, text: str) -> None:
        self.texts.append(text)


def launch_of(cells: Sequence[Cell], home: Path, **settings: Any) -> Launch:
    return Launch(
        sweep=Sweep.planned(home, cells),
        waiting=cells,
        seconds={},
        options=RunOptions(home=home, results=home / "results", device="cpu"),
        settings=LaunchSettings(**settings),
        listener=Warnings(),
        stop_requested=lambda: False,
    )


def numbers(record: ResultRecord | None) -> tuple[object, ...]:
    """What must be the same of a run, however it was launched."""
    assert record is not None
    return record.run_id, record.status, record.scores, record.curves, record.nfe, record.samples_sha256


def notes(folder: Path) -> list[str]:
    return (folder / "notes").read_text().splitlines()


# --- processes that stay ------------------------------------------------------------------------------------------


def test_a_cell_has_its_numbers_whatever_its_process_ran_before(tmp_path: Path) -> None:
    rude, toys = cells_of("Rude", 2, place=str(tmp_path)), cells_of("Toy", 4)
    outcomes = list(LocalLauncher().run(launch_of([*rude, *toys], tmp_path / "together", jobs=2)))
    assert len(outcomes) == 6
    assert len(set(notes(tmp_path))) == 2, "each process ran a rude one first"
    found = {outcome.cell.run_id: outcome.record for outcome in outcomes}
    assert {found[cell.run_id].status for cell in rude} == {"failed"}  # type: ignore[union-attr]
    alone = RunOptions(home=tmp_path / "alone", results=tmp_path / "alone" / "results")
    for cell in toys:
        assert numbers(found[cell.run_id]) == numbers(run_cell(cell, alone, listener=SILENT))


def test_memory_is_that_of_the_cell_and_not_of_those_before_it(tmp_path: Path) -> None:
    cells = [*cells_of("Large", 1), *cells_of("Toy", 1)]
    crew = Crew(launch_of(cells, tmp_path).options)
    large, toy = _in_crews(launch_of(cells, tmp_path), CellQueue(cells, retries=0), [crew])
    peaks = [o.record.cost.peak_memory_bytes for o in (large, toy) if o.record is not None and o.record.cost]
    assert peaks[0] - peaks[1] > 300e6, peaks


def test_processes_stay_and_see_the_device_that_is_theirs(tmp_path: Path) -> None:
    cells = cells_of("Seer", 6, place=str(tmp_path))
    crews = [Crew(launch_of(cells, tmp_path).options, gpu=gpu) for gpu in ("3", "5")]
    assert len(list(_in_crews(launch_of(cells, tmp_path), CellQueue(cells, retries=0), crews))) == 6
    assert len(notes(tmp_path)) == 6
    seen = {line.split()[1] for line in notes(tmp_path)}
    assert len(set(notes(tmp_path))) == 2
    assert seen == {"3", "5"}


@pytest.mark.parametrize(("deaths", "ends"), [(2, "ok"), (3, "dead")])
def test_a_cell_that_dies_is_tried_again_and_the_others_go_on(tmp_path: Path, deaths: int, ends: str) -> None:
    """Of two retries, and of three deaths of whichever cell."""
    (mortal,) = cells_of("Mortal", 1, deaths=deaths, place=str(tmp_path))
    launch = launch_of([mortal, *cells_of("Toy", 3)], tmp_path / "home", jobs=2)
    outcomes = {outcome.cell.run_id: outcome for outcome in LocalLauncher().run(launch)}
    assert sum(o.record is not None and o.record.status == "ok" for o in outcomes.values()) == 3 + (ends == "ok")
    assert isinstance(launch.listener, Warnings)
    assert [text for text in launch.listener.texts if "died (exit code -9)" in text] == launch.listener.texts
    assert len(launch.listener.texts) == 2
    mine = outcomes[mortal.run_id]
    if ends == "ok":
        calm = replace(launch.options, home=tmp_path / "calm", results=tmp_path / "calm")
        (tmp_path / "notes").write_text("died\n" * deaths)
        assert numbers(mine.record) == numbers(run_cell(mortal, calm, listener=SILENT))
    else:
        assert isinstance(mine.error, MachineFault)
        assert "mortal on quick8, seed 0 died (exit code -9): killed by the system" in str(mine.error)
        assert len(notes(tmp_path)) == 3


# --- the queue ------------------------------------------------------------------------------------------------


def test_a_start_comes_before_those_that_need_it_and_a_taken_cell_last() -> None:
    start, *rest = cells_of("Toy", 5)
    start = replace(start, part="start")
    needy = [replace(cell, needs=start.run_id) for cell in rest[:2]]
    queue = CellQueue([start, *needy, *rest[2:]], retries=1)
    assert queue.next() == start
    assert [queue.next(), queue.next()] == rest[2:]
    assert queue.next() is None
    assert not queue.empty
    assert queue.settle(Outcome(cell=rest[2], error=Taken("elsewhere"))) is None
    assert queue.settle(Outcome(cell=start, error=MachineFault("it may be trained by the others"))) is not None
    assert [queue.next(), queue.next()] == needy
    assert queue.again(needy[0])
    assert queue.next() == needy[0]
    assert not queue.again(needy[0])
    queue.settle(Outcome(cell=needy[0], error=MachineFault("dead")))
    queue.settle(Outcome(cell=needy[1]))
    assert queue.next() is None, "the last of the others is under way"
    queue.settle(Outcome(cell=rest[3]))
    assert queue.next() == rest[2]
    assert queue.settle(Outcome(cell=rest[2], error=Taken("still"))) is not None
    assert queue.empty


@pytest.mark.parametrize(
    ("settings", "devices", "words"),
    [({"jobs": 2}, 2, "--jobs and --devices do not go together"), ({"detach": True}, 1, "such as slurm")],
)
def test_what_does_not_go_together_is_refused(
    tmp_path: Path, settings: dict[str, Any], devices: int, words: str
) -> None:
    launch = launch_of(cells_of("Toy", 1), tmp_path, **settings)
    spread = replace(launch.options.spread, devices=devices)
    with pytest.raises(UsageError, match=words):
        LocalLauncher().check(replace(launch, options=replace(launch.options, spread=spread)))


# --- logs -----------------------------------------------------------------------------------------------------


def test_each_run_has_a_log_that_goes_on_in_later_attempts(dxbench: Callable[..., Ended], home: Path) -> None:
    run = ("run", "-t", QUICK, "-m", method("Toy"), "--no-report", "--seed", "0,1")
    assert dxbench(*run, "--jobs", 2).code == 0
    assert dxbench(*run, "--again").code == 0
    logs = sorted(home.glob("work/quick8/toy/*/log.txt"))
    assert len(logs) == 2
    for log in logs:
        lines = log.read_text().splitlines()
        assert [line.split(": ")[1][:2] for line in lines] == ["40", "ok", "40", "ok"]
        assert all(line[10] == "T" and line[19:25] == "+00:00" for line in lines)


# --- whole commands, broken -------------------------------------------------------------------------------------


class Command:
    """A sweep of toys as a user starts it."""

    def __init__(self, home: Path, *arguments: object) -> None:
        path = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
        run = ("run", "-t", QUICK, "-m", method("Toy"), "--no-report", "--checkpoint-every", "0", *arguments)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dxbench", *map(str, run)],
            env={**os.environ, "DXBENCH_HOME": str(home), "PYTHONPATH": path},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self) -> tuple[int, str]:
        _, err = self.process.communicate(timeout=200)
        assert "Traceback" not in err, err
        return self.process.returncode, err

    def workers(self) -> list[int]:
        """Its processes that carry out cells."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(c) for c in children if b"spawn_main" in Path(f"/proc/{c}/cmdline").read_bytes()]


@pytest.fixture
def start() -> Iterator[Callable[..., Command]]:
    commands: list[Command] = []

    def begin(home: Path, *arguments: object) -> Command:
        commands.append(Command(home, *arguments))
        return commands[-1]

    yield begin
    for command in commands:
        command.process.kill()
        command.process.communicate()


def until(condition: Callable[[], object], *, what: str, seconds: float = 150.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.02)


def records(home: Path) -> dict[str, ResultRecord]:
    found = [read_record(path) for path in home.glob("results/*/*/[!.]*.json")]
    return {record.run_id: record for record in found if isinstance(record, ResultRecord)}


SIX = ("--seed", "0-5", "--jobs", 2, "--set", "pause=0.05")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[object, ...]]:
    home = tmp_path_factory.mktemp("undisturbed")
    command = Command(home, *SIX)
    assert command.end()[0] == 0
    return {key: numbers(record) for key, record in records(home).items()}


def same(home: Path, undisturbed: dict[str, tuple[object, ...]]) -> bool:
    return {key: numbers(record) for key, record in records(home).items()} == undisturbed


@pytest.mark.slow
def test_a_killed_launcher_leaves_nobody_and_the_same_command_ends_the_sweep(
    tmp_path: Path, start: Callable[..., Command], undisturbed: dict[str, tuple[object, ...]]
) -> None:
    command = start(tmp_path, *SIX)
    until(lambda: records(tmp_path), what="a first record")
    workers = command.workers()
    assert len(workers) == 2
    os.kill(command.process.pid, signal.SIGKILL)
    until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers), what="the end of the workers")
    assert len(records(tmp_path)) < 6
    assert start(tmp_path, *SIX).end()[0] == 0
    assert same(tmp_path, undisturbed)


@pytest.mark.slow
def test_a_killed_worker_is_replaced(
    tmp_path: Path, start: Callable[..., Command], undisturbed: dict[str, tuple[object, ...]]
) -> None:
    command = start(tmp_path, *SIX)
    until(lambda: list(tmp_path.rglob("checkpoint.safetensors")), what="a checkpoint")
    until(lambda: len(command.workers()) == 2, what="two workers")
    os.kill(command.workers()[0], signal.SIGKILL)
    code, err = command.end()
    assert code == 0, err
    assert err.count("died (exit code -9)") <= 1  # none where it had nothing to do just then
    assert same(tmp_path, undisturbed)


@pytest.mark.slow
def test_two_launchers_on_one_sweep_run_no_cell_twice_and_both_end(
    tmp_path: Path, start: Callable[..., Command], undisturbed: dict[str, tuple[object, ...]]
) -> None:
    both = [start(tmp_path, *SIX), start(tmp_path, *SIX)]
    ends = [command.end() for command in both]
    assert {code for code, _ in ends} <= {0, 2}
    for code, err in ends:
        assert (code == 2) == ("another process is running" in err)
    assert same(tmp_path, undisturbed)
    logs = [log.read_text() for log in tmp_path.rglob("log.txt")]
    assert [log.count(": 40 steps") for log in logs] == [1] * 6
    assert not any("resumed" in log for log in logs)


@pytest.mark.attack
def test_results_that_turn_read_only_in_mid_sweep_are_named_and_the_rest_goes_on_later(
    tmp_path: Path, start: Callable[..., Command], undisturbed: dict[str, tuple[object, ...]]
) -> None:
    with small_disk(tmp_path / "results", "size=20m") as disk:
        command = start(tmp_path, *SIX)
        until(lambda: records(tmp_path), what="a first record")
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        code, err = command.end()
        assert code == 8, err
        assert str(disk) in err
        left = len(records(tmp_path))
        assert 0 < left < 6
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        assert start(tmp_path, *SIX).end()[0] == 0
        assert same(tmp_path, undisturbed)


@pytest.mark.attack
@pytest.mark.parametrize("size", ["600k", "1400k", "2400k"])
def test_a_disk_that_is_full_in_mid_sweep_is_named_and_with_room_the_sweep_ends(
    tmp_path: Path, start: Callable[..., Command], undisturbed: dict[str, tuple[object, ...]], size: str
) -> None:
    with small_disk(tmp_path / "disk", f"size={size}") as home:
        code, err = start(home, *SIX).end()
        assert code == 8, err
        assert "no space is left" in err or "No space left" in err
        assert len(records(home)) < 6
        subprocess.run(["mount", "-o", "remount,size=40m", home], check=True)
        assert start(home, *SIX).end()[0] == 0
        assert same(home, undisturbed)


@pytest.mark.parametrize("gone", [BrokenPipeError, ConnectionResetError, EOFError])
def test_a_member_whose_parent_has_left_ends_without_a_word(monkeypatch: pytest.MonkeyPatch, gone: type) -> None:
    class Pipe:
        def poll(self, seconds: float) -> bool:
            return True

        def recv(self) -> str:
            return "cell"

        def send(self, message: object) -> None:
            raise gone

    codes: list[int] = []
    monkeypatch.setattr(crew.process, "end_with_parent", lambda: None)
    monkeypatch.setattr(crew, "Carrier", lambda *_, **__: lambda cell, stop_requested: "outcome")
    monkeypatch.setattr(crew.atexit, "_run_exitfuncs", lambda: None)
    monkeypatch.setattr(crew.os, "_exit", codes.append)
    crew._serve(Pipe(), None, None, None)  # type: ignore[arg-type]
    assert codes == [0]
