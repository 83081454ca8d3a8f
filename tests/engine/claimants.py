"""Processes that claim things, here or on a host of another name, and do as a test tells them."""

import ctypes
import json
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from dxbench.engine import locks, owners
from dxbench.engine.locks import Claim, take
from dxbench.engine.store import Busy, FolderStore
from dxbench.errors import DxbenchError

CLONE_NEWUTS = 0x04000000


class Claimant:
    """One process, forked: the kernel knows it by its number, and it can be killed and stopped.

    Args:
        host: gives it a host name of its own.
        locks: False for one that sees a file system which grants every lock.
    """

    def __init__(self, path: Path, *, host: str = "", has_locks: bool = True) -> None:
        context = multiprocessing.get_context("fork")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_live, args=(theirs, path, host, has_locks), daemon=True)
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def say(self, word: str) -> None:
        self._ours.send(word)

    def hear(self) -> Any:
        assert self._ours.poll(120), "no answer"
        return self._ours.recv()

    def ask(self, word: str) -> Any:
        self.say(word)
        return self.hear()

    def stop(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)
        until(lambda: Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        self._process.kill()
        self._process.join()


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def without_locks(path: Path) -> int:
    """What `locks._locked` gives where a file system grants the lock of one process to the next as well."""
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)


def move_to(host: str) -> None:
    """To a host of that name as the kernel has it, or, where that is not permitted, as dxbench sees it."""
    if ctypes.CDLL(None).unshare(CLONE_NEWUTS) == 0:
        socket.sethostname(host)
    else:
        _, boot, pids = owners.here()
        owners.here = lambda: (host, boot, pids)


def _live(connection: Connection, path: Path, host: str, has_locks: bool) -> None:
    if host:
        move_to(host)
    if not has_locks:
        locks._locked = without_locks
    claim: Claim | None = None
    store = FolderStore(path.parent)
    while True:
        answer: Any = None
        try:
            match connection.recv():
                case "take":
                    claim = take(path)
                    answer = claim is not None
                case "predecessor" if claim:
                    answer = claim.predecessor and claim.predecessor.pid
                case "renew" if claim:
                    claim.renew()
                case "interrupt" if claim:
                    claim.release(interrupted=True)
                case "release" if claim:
                    claim.release()
                case "part":
                    answer = store.slot("part").load()
                case "fork":
                    answer = _forked(path.with_name("another"))
                case "flutter":
                    _flutter(path)
                case word:
                    raise AssertionError(word)
        except (DxbenchError, Busy) as error:
            answer = f"{type(error).__name__}: {error}"
        connection.send(answer)


def _forked(path: Path) -> int:
    """The number of a process that has got all of this one's memory, and claims something of its own."""
    if (pid := os.fork()) == 0:
        take(path)
        while True:
            time.sleep(1)
    return pid


def _flutter(path: Path) -> None:
    """Claim, beat and release as fast as can be."""
    while True:
        claim = take(path)
        assert claim is not None
        for step in range(20):
            claim.note(step**9, 10**14)
            claim.beat()
        claim.release(interrupted=step % 2 == 0)


def raw(path: Path) -> dict[str, Any]:
    return json.loads(path.read_bytes())
