"""A git remote.

Files are read from git's objects and written by `git fast-import`: nothing is ever checked out, so that no link, hook,
filter or attribute of the repository has an effect on this machine.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from dxbench.assets.prepare import asked_offline
from dxbench.errors import UsageError
from dxbench.exchange.remote import Progress, RemoteFile, RemoteRefused
from dxbench.plain import plain

_CHUNK = 1 << 20
_PASSWORD = re.compile(r"(?:(?<=http://)|(?<=https://))[^/\s]+@")
_NOISE = (
    "Cloning into",
    "hint:",
    "warning:",
    "Please make sure",
    "and the repository exists",
    "To ",
    "Done",
    "error: failed",
)
_ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_NAMESPACE")
"""Variables that name a repository, which a hook of git sets and which is not the one that is meant here."""
_REASON = 400
"""Characters of what git says."""


@dataclass(frozen=True)
class GitRemote:
    """A repository that `git` knows how to reach.

    Attributes:
        url: any URL or path that `git clone` takes.
        branch: by default the one that the remote itself has as its default.
    """

    url: str
    branch: str | None = None

    @contextmanager
    def open(self, *, progress: Progress) -> "Iterator[GitSnapshot]":
        """The branch as it is now, in a bare copy that goes away again.

        Raises:
            UsageError: if git is not installed, or the remote is not on this machine and DXBENCH_OFFLINE is set.
            RemoteRefused: if git cannot read the remote.
        """
        if shutil.which("git") is None:
            raise UsageError(
                "a git remote needs the command git, which is not installed; install git, such as by apt-get"
            )
        if asked_offline() and not self._is_here():
            raise UsageError(
                f"{self.name} needs a network, and DXBENCH_OFFLINE says there is none; unset it, or name a path"
            )
        with TemporaryDirectory(prefix="dxbench-git-") as folder:
            progress(f"reading {self.name}")
            yield self._cloned(_Git(Path(folder)))

    @property
    def name(self) -> str:
        """The address without a password."""
        return plain(_PASSWORD.sub("", self.url))

    def _is_here(self) -> bool:
        return self.url.startswith("file://") or os.path.exists(self.url)  # noqa: PTH110 (never raises)

    @property
    def _url(self) -> str:
        """The address as git needs it in another folder."""
        return os.path.abspath(self.url) if os.path.exists(self.url) else self.url  # noqa: PTH100, PTH110

    def _cloned(self, git: "_Git") -> "GitSnapshot":
        if self.branch is not None and not git.tell("check-ref-format", "--branch", self.branch):
            raise UsageError(f"--branch {self.branch!r} is no name that git gives a branch")
        remedy = f"see that `git ls-remote {self.name}` works in this shell"
        how = ("--bare", "--quiet", "--depth=1", "--no-tags", "--no-local")
        git.ask("clone", *how, "--", self._url, ".", remedy=remedy)
        # No branch where the remote is at a commit alone.
        branch = self.branch or git.tell("symbolic-ref", "--short", "HEAD")
        heads = [line.partition("refs/heads/")[2] for line in git.ask("ls-remote", "--heads", "origin").splitlines()]
        if self.branch in heads:
            git.ask("fetch", "--quiet", "--depth=1", "origin", f"+refs/heads/{branch}:refs/heads/{branch}")
        tip = git.tell("rev-parse", "--verify", "--quiet", f"refs/heads/{branch}" if branch else "HEAD")
        absent = "" if tip else self._nothing(branch, heads)
        where = f"{self.name} (branch {plain(branch)})" if branch else self.name
        files = _listed(git, tip) if tip else {}
        return GitSnapshot(place=where, absent=absent, files=files, branch=branch, _git=git)

    def _nothing(self, branch: str, heads: Sequence[str]) -> str:
        """The sentence on a branch that is not there."""
        if not heads:
            return f"{self.name} is empty; `dxbench push` puts records there"
        return (
            f"{self.name} has no branch {branch!r}; name one of its branches with --branch: {plain(', '.join(heads))}"
        )


@dataclass(frozen=True, kw_only=True)
class GitSnapshot:
    """The tip of a branch; attributes as `Snapshot` has them."""

    place: str
    absent: str
    files: Mapping[str, RemoteFile]
    branch: str
    _git: "_Git" = field(repr=False)

    def fetch(self, names: Collection[str], folder: Path, *, progress: Progress) -> None:
        """Take files out of the copy, as `Snapshot.fetch` says."""
        with self._git.running("cat-file", "--batch") as (to_git, from_git):
            for number, name in enumerate(names, 1):
                progress(f"reading file {number} of {len(names)}")
                to_git.write(self.files[name].digest.removeprefix("git:").encode() + b"\n")
                to_git.flush()
                _, _, size = from_git.readline().split()
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("wb") as file:
                    _copy(from_git, file, int(size))
                from_git.read(1)  # the end of the line

    def add(self, files: Mapping[str, bytes | Path], message: str, *, progress: Progress) -> str:
        """Commit and push files, as `Snapshot.add` says."""
        if not self.branch:
            raise UsageError(f"{self.place} is at no branch that could be pushed to; name one with --branch")
        who = "`git config --global user.name NAME` and `git config --global user.email EMAIL`"
        committer = self._git.ask("var", "GIT_COMMITTER_IDENT", remedy=f"tell git who you are by {who}")
        ref = f"refs/heads/{self.branch}"
        progress("writing a commit")
        with self._git.running("fast-import", "--quiet", "--done") as (to_git, _):
            said = message.encode()
            to_git.write(f"commit {ref}\ncommitter {committer}\ndata {len(said)}\n".encode() + said + b"\n")
            if not self.absent:
                to_git.write(f"from {ref}^0\n".encode())
            for name, content in files.items():
                size = len(content) if isinstance(content, bytes) else content.stat().st_size
                to_git.write(f"M 100644 inline {name}\ndata {size}\n".encode())
                if isinstance(content, bytes):
                    to_git.write(content)
                else:
                    with content.open("rb") as file:
                        _copy(file, to_git, size)
                to_git.write(b"\n")
            to_git.write(b"done\n")
        progress(f"pushing to {self.place}")
        remedy = (
            "if somebody else pushed meanwhile, give the command again; if it does not let you, ask who keeps it, or "
            "push to another branch with --branch"
        )
        self._git.ask("push", "--quiet", "--porcelain", "origin", f"{ref}:{ref}", remedy=remedy)
        return self._git.ask("rev-parse", ref)


def _listed(git: "_Git", tip: str) -> dict[str, RemoteFile]:
    found = {}
    for line in git.ask("ls-tree", "-r", "-l", "-z", tip).split("\0")[:-1]:
        facts, _, name = line.partition("\t")
        mode, kind, object_id, size = facts.split()
        regular = kind == "blob" and mode in ("100644", "100755")
        found[name] = RemoteFile(size=int(size) if regular else 0, digest=f"git:{object_id}", regular=regular)
    return found


def _copy(source: IO[bytes], target: IO[bytes], size: int) -> None:
    while size:
        piece = source.read(min(size, _CHUNK))
        if not piece:
            raise RemoteRefused("git ended in the middle of a file; give the command again")
        target.write(piece)
        size -= len(piece)


@dataclass(frozen=True)
class _Git:
    """Git on a bare repository that is our own, without prompts and in English."""

    folder: Path

    @property
    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
        return kept | {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}

    def tell(self, *arguments: str) -> str:
        """Give what git prints, or "" where it fails, as of a name that is not there."""
        ended = self._run(*arguments)
        return ended.stdout.strip() if ended.returncode == 0 else ""

    def ask(self, *arguments: str, remedy: str = "give the command again") -> str:
        """Give what git prints.

        Raises:
            RemoteRefused: if it fails, with its reason.
        """
        ended = self._run(*arguments)
        if ended.returncode:
            raise RemoteRefused(f"git {arguments[0]} failed ({_reason(ended.stderr + ended.stdout)}); {remedy}")
        return ended.stdout.rstrip("\n")

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["git", *arguments],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            check=False,
        )

    @contextmanager
    def running(self, *arguments: str) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
        """Git with its input and output, until it ends.

        Raises:
            RemoteRefused: if it fails, with its reason.
        """
        with (
            (self.folder / "stderr").open("w+b") as errors,
            subprocess.Popen(
                ["git", *arguments],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            ) as process,
        ):
            assert process.stdin is not None
            assert process.stdout is not None
            broken = None
            try:
                yield process.stdin, process.stdout
                process.stdin.close()
            except BrokenPipeError as error:
                broken = error
            if process.wait() or broken:
                errors.seek(0)
                said = errors.read().decode(errors="replace")
                raise RemoteRefused(f"git {arguments[0]} failed ({_reason(said)}); give the command again")


def _reason(said: str) -> str:
    lines = [line.strip() for line in _PASSWORD.sub("", said).splitlines()]
    kept = [line for line in lines if line and not line.startswith(_NOISE)]
    return plain("; ".join(kept))[:_REASON] or "it says nothing"
