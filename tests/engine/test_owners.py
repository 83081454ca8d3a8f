"""Claims in shared folders: the dead are taken over, the living never, and one that lost its claim stops."""

import errno
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from claimants import Claimant, raw, until, without_locks
from conftest import Ended, method

from dxbench.api import ResultRecord
from dxbench.engine import locks, owners
from dxbench.engine.attempt import RunOptions
from dxbench.engine.cell import run_cell
from dxbench.engine.listener import Silent
from dxbench.engine.locks import Claim, Lock, owner_of, take
from dxbench.engine.owners import Owner
from dxbench.engine.plan import Cell, plan
from dxbench.engine.store import Busy, FolderStore
from dxbench.errors import Interrupted, MachineFault, UsageError

SILENCE = 3.0  # seconds, against beats of 0.05


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owners, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(owners, "SILENT_BEATS", SILENCE / 0.05)
    monkeypatch.setattr(locks, "LOOK_SECONDS", 0.05)


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that grants every lock, so that the owner file alone decides."""
    monkeypatch.setattr(locks, "_locked", without_locks)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "shared"
    folder.mkdir()
    return folder / "lock"


@pytest.fixture
def claimant(path: Path) -> Iterator[Callable[..., Claimant]]:
    """Makes processes that are gone when the test is."""
    made: list[Claimant] = []

    def make(**options: Any) -> Claimant:
        made.append(Claimant(path, **options))
        return made[-1]

    yield make
    for one in made:
        one.kill()


def at_once(owner: Owner) -> None:
    raise AssertionError(f"waited for {owner}")


def owner_files(path: Path) -> list[str]:
    return sorted(found.name for found in path.parent.iterdir() if "owner" in found.name)


# --- on one host ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("has_locks", [True, False])
def test_a_killed_owner_is_taken_over_at_once(
    path: Path, claimant: Callable[..., Claimant], has_locks: bool, request: pytest.FixtureRequest
) -> None:
    if not has_locks:
        request.getfixturevalue("no_locks")
    other = claimant(has_locks=has_locks)
    assert other.ask("take")
    assert take(path, waiting=at_once) is None
    other.kill()
    left = owner_of(path)
    assert left is not None
    assert (left.pid, left.standing) == (other.pid, "dead")
    claim = take(path, waiting=at_once)
    assert claim is not None
    assert claim.predecessor is not None
    assert claim.predecessor.pid == other.pid
    assert owner_files(path) == ["lock.owner-2"]
    claim.release()
    assert owner_of(path) is None
    assert owner_files(path) == []
    again = take(path)
    assert again is not None
    assert again.predecessor is None
    again.release()


def test_a_stopped_owner_on_this_host_is_never_taken_over(
    path: Path, claimant: Callable[..., Claimant], no_locks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = claimant(has_locks=False)
    assert other.ask("take")
    other.stop()
    monkeypatch.setattr(owners, "SILENT_BEATS", -1)  # however long it has been silent
    for _ in range(50):
        assert take(path, waiting=at_once) is None
    other.go_on()
    assert other.ask("renew") is None


def test_a_number_that_another_process_has_got_since_is_no_life(path: Path, no_locks: None) -> None:
    before = Owner.of_this_process()
    parent = before.model_copy(update={"pid": os.getppid(), "started": before.started - 1})
    path.with_name("lock.owner-7").write_bytes(parent.text)
    claim = take(path, waiting=at_once)
    assert claim is not None
    assert owner_files(path) == ["lock.owner-8"]
    claim.release()


def test_what_this_process_itself_has_left_is_no_obstacle(path: Path, no_locks: None) -> None:
    path.with_name("lock.owner-1").write_bytes(Owner.of_this_process().text)
    claim = take(path, waiting=at_once)
    assert claim is not None
    assert take(path, waiting=at_once) is None
    claim.release()


def test_who_is_interrupted_leaves_word_and_is_not_waited_for(path: Path, claimant: Callable[..., Claimant]) -> None:
    other = claimant(host="elsewhere")
    assert other.ask("take")
    other.ask("interrupt")
    left = owner_of(path)
    assert left is not None
    assert (left.standing, left.host) == ("interrupted", "elsewhere")
    claim = take(path, waiting=at_once)
    assert claim is not None
    claim.release()


def test_progress_and_job_are_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    claim = take(path)
    assert claim is not None
    claim.note(30, 400)

    def told() -> bool:
        found = owner_of(path)
        return found is not None and (found.step, found.total) == (30, 400)

    until(told)
    assert str(owner_of(path)) == f"host {socket.gethostname()}, process {os.getpid()}, SLURM 4711"
    assert abs(owner_of(path).beaten - time.time()) < 3600  # type: ignore[union-attr]
    claim.release()


# --- on two hosts, whose file system grants both the lock ----------------------------------------------------


def test_a_living_owner_on_another_host_is_not_taken_over(
    path: Path, claimant: Callable[..., Claimant], no_locks: None
) -> None:
    other = claimant(host="elsewhere", has_locks=False)
    assert other.ask("take")
    for _ in range(5):
        assert take(path) is None
    found = owner_of(path)
    assert found is not None
    assert (found.host, found.standing) == ("elsewhere", "running")
    assert other.ask("renew") is None


def test_a_dead_owner_on_another_host_is_taken_over_once_it_is_silent(
    path: Path, claimant: Callable[..., Claimant], no_locks: None
) -> None:
    other = claimant(host="elsewhere", has_locks=False)
    assert other.ask("take")
    other.kill()
    begun, waits = time.monotonic(), 0

    def waiting(owner: Owner) -> None:
        nonlocal waits
        waits += 1
        assert owner.host == "elsewhere"

    claim = take(path, waiting=waiting)
    assert claim is not None
    assert time.monotonic() - begun > SILENCE
    assert waits > 10
    claim.release()


def test_what_an_owner_has_forked_gives_no_sign_of_life_for_it(
    path: Path, claimant: Callable[..., Claimant], no_locks: None
) -> None:
    other = claimant(host="elsewhere", has_locks=False)
    assert other.ask("take")
    forked = other.ask("fork")
    try:
        until(lambda: owner_of(path.with_name("another")) is not None)
        other.kill()
        claim = take(path)
        assert claim is not None
        claim.release()
    finally:
        os.kill(forked, signal.SIGKILL)


@pytest.mark.parametrize("jump", [-1e7, 1e7])
def test_no_clock_that_jumps_makes_the_living_dead_or_the_dead_live(
    path: Path, claimant: Callable[..., Claimant], no_locks: None, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    other = claimant(host="elsewhere", has_locks=False)
    assert other.ask("take")
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + jump)

    def shift(owner: Owner) -> None:
        os.utime(path.with_name("lock.owner-1"), (clock() + jump, clock() + jump))

    shift(Owner.of_this_process())
    for _ in range(5):
        assert take(path, waiting=shift) is None
    other.kill()
    claim = take(path, waiting=shift)
    assert claim is not None
    claim.release()


def test_who_was_taken_for_dead_finds_its_claim_lost_and_harms_nothing(
    path: Path, claimant: Callable[..., Claimant], no_locks: None
) -> None:
    other = claimant(host="elsewhere", has_locks=False)
    assert other.ask("take")
    other.stop()
    claim = take(path)
    assert claim is not None
    other.go_on()
    said = other.ask("renew")
    assert "MachineFault" in said
    assert "another process has taken over" in said
    assert f"process {os.getpid()}" in said
    other.ask("interrupt")
    claim.renew()
    found = owner_of(path)
    assert found is not None
    assert (found.pid, found.state) == (os.getpid(), "running")
    claim.release()
    assert owner_files(path) == []


def test_a_waiting_run_hears_of_the_death_of_the_trainer(
    path: Path, claimant: Callable[..., Claimant], no_locks: None
) -> None:
    other = claimant(host="elsewhere", has_locks=False)
    assert other.ask("part") is None  # its own to train
    store = FolderStore(path.parent)
    until(lambda: _busy(store))
    other.kill()
    assert _busy(store)
    until(lambda: not _busy(store))
    store.slot("part").save({"weight": 1})
    assert owner_files(path) == []


def _busy(store: FolderStore) -> bool:
    try:
        assert store.slot("part").load() is None
    except Busy:
        return True
    return False


@pytest.mark.parametrize(
    "case", ["gone", "unlisted", "queued", "another cluster", "no answer", "same job", "same job begun anew"]
)
def test_slurm_is_asked_for_the_job_of_an_owner_on_another_host(
    path: Path, tmp_path: Path, no_locks: None, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    squeue = {
        "gone": "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1",
        "no answer": "echo 'Unable to contact slurm controller' >&2; exit 1",
        "queued": "echo COMPLETING",
    }.get(case, "true")
    tools = tmp_path / "tools"
    tools.mkdir()
    cluster = "other" if case == "another cluster" else "ours"
    for name, script in {"squeue": squeue, "scontrol": f"echo 'ClusterName             = {cluster}'"}.items():
        (tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    if "same job" in case:
        for name, value in {
            "JOB_ID": "4711",
            "CLUSTER_NAME": "ours",
            "RESTART_COUNT": str(int("anew" in case)),
        }.items():
            monkeypatch.setenv(f"SLURM_{name}", value)
    there = {"restarts": 0, "host": "elsewhere", "scheduler": "SLURM", "job": "4711", "cluster": "ours"}
    path.with_name("lock.owner-1").write_bytes(Owner.of_this_process().model_copy(update=there).text)
    lock = Lock(path)
    claim = lock.take()
    assert (claim is not None) == (case in ("gone", "unlisted", "same job begun anew"))
    assert (lock.doubted is not None) == (claim is None)
    if claim is not None:
        claim.release()


# --- many at once --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("has_locks", [True, False])
@pytest.mark.parametrize("before", ["nobody", "dead", "interrupted"])
def test_of_many_that_want_it_exactly_one_gets_it(
    path: Path, claimant: Callable[..., Claimant], before: str, has_locks: bool
) -> None:
    racers = [claimant(has_locks=has_locks) for _ in range(10)]
    for _ in range(10):
        if before != "nobody":
            first = claimant(has_locks=has_locks)
            assert first.ask("take")
            if before == "interrupted":
                first.ask("interrupt")
            first.kill()
        for racer in racers:
            racer.say("take")
        answers = [racer.hear() for racer in racers]
        assert sorted(answers) == [False] * 9 + [True]
        winner = racers[answers.index(True)]
        assert winner.ask("renew") is None
        assert (winner.ask("predecessor") is None) == (before == "nobody")
        assert len(owner_files(path)) == 1
        winner.ask("release")
        assert owner_files(path) == []


def test_no_owner_file_is_ever_seen_in_part(path: Path, claimant: Callable[..., Claimant]) -> None:
    claimant().say("flutter")
    read, tokens = 0, set[str]()
    deadline = time.monotonic() + 200
    while read < 3000 or len(tokens) < 20:
        assert time.monotonic() < deadline
        for name in os.listdir(path.parent):  # noqa: PTH208
            if name.startswith("lock.owner-"):
                try:
                    content = raw(path.parent / name)
                except FileNotFoundError:
                    continue
                owner = Owner.model_validate(content | {"state": content["state"].strip()})
                tokens.add(owner.token)
                read += 1


@pytest.mark.parametrize("trouble", ["no hard links", "lost answer"])
def test_file_systems_with_ways_of_their_own(path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str) -> None:
    link = os.link

    def troubled(source: Path, target: Path) -> None:
        if trouble == "no hard links":
            raise PermissionError(errno.EPERM, "Operation not permitted", source)
        link(source, target)
        raise FileExistsError(errno.EEXIST, "File exists", source)

    monkeypatch.setattr(os, "link", troubled)
    monkeypatch.setattr(locks, "_locked", without_locks)
    claim = take(path)
    assert claim is not None
    assert take(path) is None
    assert sorted(found.name for found in path.parent.iterdir()) == ["lock", "lock.owner-1"]
    claim.renew()
    claim.release()


# --- what strangers leave ------------------------------------------------------------------------------------


STRANGE: dict[str, Callable[[Path], Any]] = {
    "empty": lambda place: place.touch(),
    "text": lambda place: place.write_text("pid 12"),
    "list": lambda place: place.write_text("[]"),
    "deep": lambda place: place.write_text("[" * 4000),
    "large": lambda place: place.write_bytes(Owner.of_this_process().text + b" " * 10**6),
    "newer": lambda place: place.write_bytes(Owner.of_this_process().text.replace(b'"layout": 1', b'"layout": 2')),
    "state": lambda place: place.write_bytes(Owner.of_this_process().text.replace(b"running    ", b"interrupting")),
    "no process": lambda place: place.write_text(json.dumps(raw_of(pid=-1))),
    "pipe": lambda place: os.mkfifo(place),
    "folder": lambda place: place.mkdir(),
    "endless": lambda place: place.symlink_to("/dev/zero"),
}


def raw_of(**changes: Any) -> dict[str, Any]:
    return json.loads(Owner.of_this_process().text) | changes


@pytest.mark.parametrize("what", STRANGE)
def test_an_owner_file_that_is_none_is_named_and_left(path: Path, what: str) -> None:
    place = path.with_name("lock.owner-3")
    STRANGE[what](place)
    with pytest.raises(UsageError, match=r"lock\.owner-3 should say who is at work here.*Remove it"):
        take(path)
    with pytest.raises(UsageError, match="owner-3"):
        owner_of(path)
    assert os.path.lexists(place)


def test_other_files_beside_it_are_nobody(path: Path) -> None:
    for name in ("lock.owner-", "lock.owner-x", "lock.owner-1.bak", "lock.owner-²", "other.owner-4"):
        path.with_name(name).touch()
    claim = take(path)
    assert claim is not None
    claim.release()


# --- runs ----------------------------------------------------------------------------------------------------


def toy(**overrides: Any) -> Cell:
    (cell,) = plan("gaussians8", method("Toy"), preset="default", overrides=overrides, seeds=[0])
    return cell


@dataclass
class At(Silent):
    """A listener that does something once, at a step."""

    step: int
    do: Callable[[], object]

    def stepped(self, cell: Cell, *, step: int, scalars: Any) -> None:
        if step == self.step:
            self.do()


def folder_of(home: Path, cell: Cell) -> Path:
    return home / "work" / cell.task / cell.method / cell.run_id


def test_a_run_says_how_it_stands_and_leaves_nothing_when_it_has_a_record(home: Path) -> None:
    cell, seen = toy(iterations=20), list[Owner | None]()
    options = RunOptions(home=home, results=home / "results")
    lock = folder_of(home, cell) / "lock"
    record = run_cell(cell, options, listener=At(10, lambda: seen.append(owner_of(lock))))
    assert isinstance(record, ResultRecord)
    (owner,) = seen
    assert owner is not None
    assert (owner.pid, owner.standing) == (os.getpid(), "running")
    assert owner_of(lock) is None


def test_an_interrupted_run_says_so_and_is_gone_on_with(home: Path) -> None:
    cell, asked = toy(iterations=20), list[bool]()
    options = RunOptions(home=home, results=home / "results")
    with pytest.raises(Interrupted):
        run_cell(cell, options, listener=At(10, lambda: asked.append(True)), stop_requested=lambda: bool(asked))
    left = owner_of(folder_of(home, cell) / "lock")
    assert left is not None
    assert (left.standing, left.step, left.total) == ("interrupted", 10, 20)
    record = run_cell(cell, options, listener=Silent())
    assert record is not None
    assert record.provenance.resumed == 1
    assert owner_of(folder_of(home, cell) / "lock") is None


def test_a_run_that_was_taken_for_dead_writes_nothing_more(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owners, "BEAT_SECONDS", 1000.0)  # so that only what is to be written makes it look
    cell = toy(iterations=20)
    options = RunOptions(home=home, results=home / "results", checkpoint_every=1000.0)
    folder = folder_of(home, cell)

    def taken_over() -> None:
        successor = Owner.of_this_process().model_copy(update={"host": "elsewhere"})
        (folder / "lock.owner-2").write_bytes(successor.text)
        (folder / "lock.owner-1").unlink()

    with pytest.raises(MachineFault, match=r"another process has taken over .*host elsewhere"):
        run_cell(cell, options, listener=At(10, taken_over))
    assert not list(home.rglob("results/*/*/*.json"))
    assert not (folder / "checkpoint.safetensors").exists()
    assert owner_files(folder / "lock") == ["lock.owner-2"]


def test_a_second_run_hears_who_is_at_the_cell(dxbench: Callable[..., Ended], home: Path) -> None:
    cell = toy()
    folder = folder_of(home, cell)
    folder.mkdir(parents=True)
    claim = take(folder / "lock")
    assert isinstance(claim, Claim)
    ended = dxbench("run", "--task", "gaussians8", "--no-report", "-m", method("Toy"))
    claim.release()
    assert ended.code == 2
    assert "another process is running toy on gaussians8, seed 0" in ended.err
    assert f"host {socket.gethostname()}, process {os.getpid()}" in ended.err.replace("\n", " ")
