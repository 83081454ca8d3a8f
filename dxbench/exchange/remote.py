"""The little that a repository of results has to do: list its files, hand some over, take new ones in one commit."""

import hashlib
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dxbench.errors import MachineFault

Progress = Callable[[str], None]
"""Takes a line on what is under way."""


class RemoteRefused(MachineFault):
    """A remote that cannot be reached, or does not let us; the message has its reason and the remedy."""


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file as the listing of a remote has it.

    Attributes:
        size: in bytes.
        digest: of the content: "git:" with the id of git's object, or "sha256:".
        regular: False for a link and the like, which is never read.
    """

    size: int
    digest: str
    regular: bool = True

    def holds(self, content: bytes) -> bool:
        """True where the file has this content."""
        kind, _, wanted = self.digest.partition(":")
        if kind == "git":  # an object is hashed with its header, by SHA-1 or, in newer repositories, by SHA-256
            content = b"blob %d\0" % len(content) + content
        hashed = hashlib.sha1 if len(wanted) == 40 else hashlib.sha256
        return self.regular and hashed(content).hexdigest() == wanted


class Snapshot(Protocol):
    """A remote at one moment."""

    @property
    def place(self) -> str:
        """The remote, for people: its address without a password, and the branch."""
        ...

    @property
    def absent(self) -> str:
        """A sentence on why there is nothing, as where a branch has yet to be begun; "" where there is something."""
        ...

    @property
    def files(self) -> Mapping[str, RemoteFile]:
        """All files by their path in the repository, its parts joined by "/"."""
        ...

    def fetch(self, names: Collection[str], folder: Path, *, progress: Progress) -> None:
        """Put files into a folder, under their own names.

        Raises:
            RemoteRefused: if the remote does not give them.
        """
        ...

    def add(self, files: Mapping[str, bytes | Path], message: str, *, progress: Progress) -> str:
        """Add files in one commit, and return its id.

        Raises:
            RemoteRefused: if the remote does not take it, or somebody else has changed it since the snapshot.
        """
        ...


class Remote(Protocol):
    """A place for results outside of this machine's folders."""

    def open(self, *, progress: Progress) -> AbstractContextManager[Snapshot]:
        """The remote as it is now.

        Raises:
            UsageError: if what it needs is not installed, or it needs a network and DXBENCH_OFFLINE is set.
            RemoteRefused: if it cannot be reached or does not let us read.
        """
        ...
