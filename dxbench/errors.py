"""Errors a user can act on, each with the exit code it ends a command with."""

import difflib
from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """What the shell sees."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    RUN_FAILED = 3
    REGRESSION = 4
    INVALID = 5
    NOT_COMPARABLE = 6
    MISSING_DATA = 7
    INTERRUPTED = 130


class DxbenchError(Exception):
    """Base of all errors meant for the user: the message says what was got, what was wanted and the remedy."""

    exit_code = ExitCode.INTERNAL


class UsageError(DxbenchError):
    """A wrong name, key, value or place."""

    exit_code = ExitCode.USAGE


class InvalidFile(DxbenchError):
    """A record, checkpoint or bundle that cannot be believed."""

    exit_code = ExitCode.INVALID


class NothingMeasured(DxbenchError):
    """No number came out, which is not a pass."""

    exit_code = ExitCode.NOT_COMPARABLE


class MissingData(DxbenchError):
    """Data or weights that have to be fetched first."""

    exit_code = ExitCode.MISSING_DATA


class Interrupted(DxbenchError):
    """Stopped from outside with the state saved."""

    exit_code = ExitCode.INTERRUPTED


def unknown(kind: str, name: str, known: Iterable[str], *, remedy: str = "") -> UsageError:
    """`UsageError` for a name that is not there, with the nearest that is."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    guess = f" Did you mean {near[0]!r}?" if near else ""
    listing = ", ".join(names) if names else "none"
    return UsageError(f"unknown {kind} {name!r}.{guess} Known: {listing}.{' ' + remedy if remedy else ''}")
