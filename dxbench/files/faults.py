"""Faults of the machine, such as a full disk, told from damage of a file."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

from dxbench.errors import DxbenchError, InvalidFile, MachineFault

MACHINE = {
    errno.ENOSPC: "no space is left there",
    errno.EDQUOT: "the quota there is used up",
    errno.EFBIG: "the file is larger than is allowed there",
    errno.EACCES: "permission is denied",
    errno.EPERM: "permission is denied",
    errno.EROFS: "the file system is read-only",
    errno.EIO: "the disk reports an error",
    errno.EREMOTEIO: "the disk reports an error",
    errno.ESTALE: "the network file system has lost it",
    errno.ENOTCONN: "the network file system is gone",
    errno.EHOSTDOWN: "the network file system is gone",
    errno.ETIMEDOUT: "the network does not answer",
    errno.ENOLCK: "the file system has no locks",
    errno.EMFILE: "too many files are open",
    errno.ENFILE: "too many files are open on this machine",
    errno.EAGAIN: "the machine has no more processes to give",
    errno.EPIPE: "whoever was to read it is gone",
    errno.ECONNRESET: "the connection is lost",
}
"""What a machine may refuse through no fault of the work, by error number."""


# Libraries report what a disk refused without the number, or as an error of their own.
_NUMBER = re.compile(r"\((?:os error|errno) (\d+)\)|\[[Ee]rrno (\d+)\]")


_FULL = re.compile(r"No space left on device|inline_container\S* \. unexpected pos|^\d+ requested and \d+ written$")


_QUOTA = re.compile(r"Disk quota exceeded")


def machine_fault(
    error: BaseException, *, remedy: str = "Mend that, and give the same command again"
) -> MachineFault | None:
    """The sentence for users about an error that the machine is to blame for; None for any other.

    Errors of libraries count by their text, and those that were raised from another by that one.
    """
    if isinstance(error, MachineFault):
        return error
    number = _error_number(error)
    if number not in MACHINE:
        return None if error.__cause__ is None else machine_fault(error.__cause__, remedy=remedy)
    if isinstance(error, OSError) and error.errno is not None:
        where = error.filename or "the system says"
    else:
        where = str(error).splitlines()[0]
    return MachineFault(f"{where}: {MACHINE[number]}. {remedy}")


def _error_number(error: BaseException) -> int | None:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    text = str(error)
    if _FULL.search(text):
        return errno.ENOSPC
    if _QUOTA.search(text):
        return errno.EDQUOT
    found = _NUMBER.search(text)
    return int(found[1] or found[2]) if found else None


READER_SECONDS = 10.0
"""How long a named pipe that is written to waits for its reader."""


@contextmanager
def refusing_damage(says: str) -> Iterator[None]:
    """Turns whatever a parser raises for a file that is damaged, or made to harm, into an error that begins so.

    Parsers of others have no list of what they raise. Our own errors, and what the machine is to blame for, pass.

    Raises:
        InvalidFile: with the parser's reason.
    """
    try:
        yield
    except DxbenchError:
        raise
    except Exception as error:
        if machine_fault(error):
            raise
        raise InvalidFile(f"{says}: {str(error) or type(error).__name__}") from None
