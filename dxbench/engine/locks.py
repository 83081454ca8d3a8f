"""Claims of processes on things in shared folders, such as a cell or a part to train: a dead owner is taken over.

Beside the file that is locked lies the owner's, `<name>.owner-<number>`. The lock alone (flock) is right on one host,
and where it is refused somebody lives; network file systems may grant it twice, and then the owner file decides:

* Files of owners are numbered, and the highest number is the owner's. A successor makes the next one, which a file
  system lets one of several do. Nobody ever writes to the file or the name of another.
* An owner beats: it counts in its file. One on this host is judged by the kernel, whatever its beats; one on another by
  SLURM, where that knows its job to be gone, else by its beats, which who waits for it counts in its own time. No two
  clocks are compared, and none that can be set is read.
* An owner that was held up for so long that it was taken for dead finds its file gone: `Claim.check` ends it.
"""

import errno
import fcntl
import os
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from dxbench.engine import owners
from dxbench.engine.owners import Owner, read_owner
from dxbench.errors import MachineFault, UsageError
from dxbench.files.faults import machine_fault
from dxbench.files.writing import create_whole, sweep_temporaries

LOOK_SECONDS = 1.0
"""Between looks at an owner whose life is in doubt. A longer pause, as of a host that slept, counts as two at most."""
_TRIES = 5
# Of flock where a file system has none.
_NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL)


def take(path: Path, *, waiting: Callable[[Owner], None] = lambda owner: None) -> "Claim | None":
    """Claim what `path` stands for; None where another process that lives has it, which `owner_of` names.

    Of an owner on another host it may take a minute to tell that it is dead.

    Args:
        waiting: called about once a second meanwhile; may raise to give up.

    Raises:
        UsageError: for a folder or a link in its place, or an owner file that is none.
        MachineFault: where the machine does not let it be made.
    """
    lock = Lock(path)
    while (claim := lock.take()) is None and lock.doubted is not None:
        waiting(lock.doubted)
        time.sleep(LOOK_SECONDS)
    return claim


def owner_of(path: Path) -> Owner | None:
    """The owner who has claimed what `path` stands for, or did not come to an end; raises as `read_owner`."""
    return next((owner for number in reversed(_numbers(path)) if (owner := read_owner(_file(path, number)))), None)


class Lock:
    """A thing to be claimed, seen by one process that may try for long.

    Attributes:
        doubted: after a try, the owner on another host of which it is not known yet whether it lives.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.doubted: Owner | None = None
        self._seen: tuple[str, int] | None = None
        self._silent = self._looked = 0.0

    def take(self) -> "Claim | None":
        """Try once, without waiting; raises as `take`."""
        self.doubted = None
        descriptor = None
        try:
            if (descriptor := _locked(self.path)) is None:
                return None
            if (claim := self._claim(descriptor)) is not None:
                descriptor = None
            return claim
        except OSError as error:
            error.filename = error.filename or str(self.path)
            raise machine_fault(error) or UsageError(
                f"{self.path} cannot be locked ({error.strerror}); remove it"
            ) from None
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def _claim(self, descriptor: int) -> "Claim | None":
        sweep_temporaries(self.path.parent, f"{self.path.name}.owner-*")
        for _ in range(_TRIES):
            made: int | None = None
            before = _numbers(self.path)
            last = before[-1] if before else 0
            predecessor = read_owner(_file(self.path, last)) if last else None
            if last and predecessor is None:  # gone since
                continue
            if predecessor is not None and not self._over(predecessor):
                return None
            owner, place = Owner.of_this_process(), _file(self.path, last + 1)
            with suppress(FileNotFoundError):  # swept by another, where there are no locks
                made = create_whole(place, owner.text)
            if made is None:
                continue
            alone = False
            try:
                if alone := self._alone(before, predecessor, last + 1):
                    for number in before:
                        _file(self.path, number).unlink(missing_ok=True)
                    return Claim(self.path, place, owner, predecessor, descriptors=(made, descriptor))
            finally:
                if not alone:
                    os.close(made)
                    place.unlink(missing_ok=True)
            time.sleep(random.uniform(0.0, 0.1))
        return None

    def _alone(self, before: list[int], predecessor: Owner | None, mine: int) -> bool:
        """True if nothing has happened but that this file was made, since numbers begin anew once all are done."""
        others = [number for number in _numbers(self.path) if number != mine]
        if not others or predecessor is None:
            return not others
        still = read_owner(_file(self.path, before[-1]))
        return others == before and still is not None and still.token == predecessor.token

    def _over(self, owner: Owner) -> bool:
        """True if an owner has given up or is dead; notes what is seen of one that is not known to be."""
        if (lives := owner.lives) is not None:
            return not (lives and (owner.pid != os.getpid() or owner.token in _HEART.tokens))
        now, seen, before = time.monotonic(), (owner.token, owner.beat), self._seen
        known = before is not None and before[0] == owner.token
        if not known and owner.job_is_gone():
            return True
        self._silent = self._silent + min(now - self._looked, 2 * LOOK_SECONDS) if seen == before else 0.0
        self._seen, self._looked = seen, now
        self.doubted = None if known and seen != before else owner
        return self._silent > owners.SILENT_BEATS * owners.BEAT_SECONDS


class Claim:
    """A hold of this process on something, with signs of life until it is released.

    Attributes:
        predecessor: who had it before and died, or was interrupted; None where nobody did.
    """

    def __init__(
        self, path: Path, place: Path, owner: Owner, predecessor: Owner | None, *, descriptors: tuple[int, int]
    ) -> None:
        self._path, self._place, self._owner = path, place, owner
        self.predecessor = predecessor
        self._file, self._lock = descriptors
        self._lost = self._released = False
        self._done = (0, 0)
        self._guard = threading.Lock()
        _HEART.add(self)

    @property
    def token(self) -> str:
        return self._owner.token

    def note(self, step: int, total: int) -> None:
        """Note how far the work has come, to be told with the next beat."""
        self._done = (step, total)

    def check(self) -> None:
        """See that the claim is not lost, as of the last beat.

        Raises:
            MachineFault: if another process has taken it over.
        """
        if self._lost:
            try:
                successor = owner_of(self._path)
            except (UsageError, MachineFault):
                successor = None
            raise MachineFault(
                f"{self._path.parent}: another process has taken over what this one was at"
                f"{f' ({successor})' if successor else ''}, since no sign of life from here had reached it for long; "
                "this one stops and writes no more"
            )

    def renew(self) -> None:
        """A beat, and `check`: before something is written that others read."""
        self.beat()
        self.check()

    def beat(self) -> None:
        """Give a sign of life, and see whether the file is still there."""
        with self._guard:
            if self._released or self._lost:
                return
            step, total = self._done
            self._owner = self._owner.model_copy(update={"beat": self._owner.beat + 1, "step": step, "total": total})
            self._write()
            try:
                found = read_owner(self._place)
                self._lost = found is None or found.token != self.token
            except UsageError:
                self._lost = True
            except MachineFault:  # no news of anybody else
                pass

    def release(self, *, interrupted: bool = False) -> None:
        """Give it up, and leave word of it if the work was interrupted."""
        _HEART.remove(self)
        with self._guard:
            if self._released:
                return
            self._released = True
            with suppress(OSError, UsageError, MachineFault):
                found = read_owner(self._place)
                if found is not None and found.token == self.token:
                    if interrupted:
                        self._owner = self._owner.model_copy(update={"state": "interrupted"})
                        self._write()
                    else:
                        self._place.unlink(missing_ok=True)
            os.close(self._file)
            os.close(self._lock)

    def _write(self) -> None:
        """Write in place and in one piece: nothing has to be free on the disk, and a successor's file is another."""
        content = self._owner.text
        with suppress(OSError):
            os.pwrite(self._file, self._owner.moving, len(content) - len(self._owner.moving))
            os.fsync(self._file)


class _Heart:
    """A thread of this process that beats for all its claims."""

    def __init__(self) -> None:
        self.forget()
        os.register_at_fork(after_in_child=self.forget)

    def forget(self) -> None:
        """A process that was forked has no claims, and its parent's thread is not in it."""
        self._claims: dict[str, Claim] = {}
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def tokens(self) -> set[str]:
        with self._guard:
            return set(self._claims)

    def add(self, claim: Claim) -> None:
        with self._guard:
            self._claims[claim.token] = claim
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="dxbench-heart", daemon=True)
                self._thread.start()

    def remove(self, claim: Claim) -> None:
        with self._guard:
            self._claims.pop(claim.token, None)

    def _run(self) -> None:
        while True:
            time.sleep(owners.BEAT_SECONDS)
            with self._guard:
                claims = list(self._claims.values())
            for claim in claims:
                with suppress(Exception):  # a beat that fails is one that is missed
                    claim.beat()


_HEART = _Heart()


def _locked(path: Path) -> int | None:
    """A descriptor that holds the system's lock, or of a file system that has no locks; None where it is refused."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return descriptor
        os.close(descriptor)
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return None
        raise
    return descriptor


def _file(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.owner-{number}")


def _numbers(path: Path) -> list[int]:
    """The numbers of the owner files that are there, ascending."""
    prefix = f"{path.name}.owner-"
    with suppress(FileNotFoundError):
        names = os.listdir(path.parent)  # noqa: PTH208 (a folder of parts may hold many)
        rests = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
        return sorted(int(rest) for rest in rests if rest.isascii() and rest.isdecimal() and len(rest) < 16)
    return []
