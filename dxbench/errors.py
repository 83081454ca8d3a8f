"""Errors a user can act on, each with the exit code it ends a command with."""

import difflib
from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes that the shell sees."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    RUN_FAILED = 3
    REGRESSION = 4
    INVALID = 5
    NOT_COMPARABLE = 6
    MISSING_DATA = 7
    MACHINE = 8
    INTERRUPTED = 130


class DxbenchError(Exception):
    """Base of all errors meant for the user: the message says what was got, what was wanted and the remedy."""

    exit_code = ExitCode.INTERNAL


class UsageError(DxbenchError):
    """A wrong name, key, value or place."""

    exit_code = ExitCode.USAGE


class Taken(UsageError):
    """Another process is at the same cell."""


class InvalidFile(DxbenchError):
    """A record, checkpoint or bundle that cannot be believed."""

    exit_code = ExitCode.INVALID


class MachineFault(DxbenchError):
    """No room, no permission, no connection: nothing that the work is to blame for."""

    exit_code = ExitCode.MACHINE


class RunFailed(DxbenchError):
    """A run that came to no score; its record says why."""

    exit_code = ExitCode.RUN_FAILED


class NothingMeasured(DxbenchError):
    """No number came out, which is not a pass."""

    exit_code = ExitCode.NOT_COMPARABLE


class MissingData(DxbenchError):
    """Data or weights that have to be fetched first.

    Args:
        missing: what is missing, a phrase each.
        commands: what fetches it; none where a phrase says itself what to do.
    """

    exit_code = ExitCode.MISSING_DATA

    def __init__(self, *missing: str, commands: Sequence[str] = ()) -> None:
        self.missing, self.commands = missing, tuple(commands)
        listing = missing[0] if len(missing) == 1 else f"{len(missing)} files are missing: {'; '.join(missing)}"
        them = "it" if len(missing) == 1 else "them"
        remedy = " and ".join(f"`{command}`" for command in commands)
        super().__init__(f"{listing}; fetch {them} with {remedy}, or set DXBENCH_DATA" if commands else listing)

    def fetched_by(self, command: str) -> "MissingData":
        """The same with one command for all that commands fetch."""
        accept = " --accept-licence" if any("--accept-licence" in one for one in self.commands) else ""
        return MissingData(*self.missing, commands=[command + accept]) if self.commands else self


def require_all(asks: Iterable[Callable[[], object]]) -> None:
    """Ask for several files.

    Raises:
        MissingData: naming all that are missing.
    """
    missing, commands = dict[str, None](), dict[str, None]()
    for ask in asks:
        try:
            ask()
        except MissingData as error:
            missing |= dict.fromkeys(error.missing)
            commands |= dict.fromkeys(error.commands)
    if missing:
        raise MissingData(*missing, commands=list(commands))


class Interrupted(DxbenchError):
    """Stopped from outside with the state saved."""

    exit_code = ExitCode.INTERRUPTED


MANY = 40
"""Names that an error lists; of more it lists the nearest."""


def unknown(kind: str, name: str, known: Iterable[str], *, remedy: str) -> UsageError:
    """`UsageError` for a name that is not there, with the nearest that is.

    Args:
        kind: the user's word for what the name should be of, such as tracker.
        remedy: a sentence with the command that lists the names; "" where the words are few and all are shown.
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=MANY, cutoff=0.6)
    guess = f" Did you mean {near[0]!r}?" if near else ""
    shown = names if len(names) <= MANY else near or names[:MANY]
    more = f" and {len(names) - len(shown)} more" if len(shown) < len(names) else ""
    listing = ", ".join(shown) + more if names else "none"
    return UsageError(f"unknown {kind} {name!r}.{guess} Known: {listing}.{' ' + remedy if remedy else ''}")
