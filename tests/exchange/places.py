"""Remotes of tests: a bare repository of git and a hub that answers on this machine, and how to look into them."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest
from hub import NAME, WRITER, Hub, serving


def git(*arguments: object, within: Path, given: bytes = b"") -> str:
    """The output of git."""
    ended = subprocess.run(["git", *map(str, arguments)], cwd=within, input=given, capture_output=True, check=True)
    return ended.stdout.decode().strip()


class Place(Protocol):
    """A remote that a test can look into, and put things into that dxbench would not.

    Attributes:
        address: as `dxbench push` takes it.
    """

    address: str

    @property
    def files(self) -> dict[str, bytes]: ...

    @property
    def messages(self) -> list[str]: ...

    def put(self, files: Mapping[str, bytes]) -> None: ...


@dataclass
class Repository:
    """A bare repository with the branch main."""

    path: Path

    @property
    def address(self) -> str:
        return str(self.path)

    @property
    def files(self) -> dict[str, bytes]:
        names = git("ls-tree", "-r", "--name-only", "-z", "main", within=self.path).split("\0")[:-1]
        show = ("git", "cat-file", "blob")
        return {name: subprocess.check_output([*show, f"main:{name}"], cwd=self.path) for name in names}

    @property
    def messages(self) -> list[str]:
        """The messages of the commits, the latest first."""
        if not git("branch", within=self.path):
            return []
        return git("log", "--format=%s", "main", within=self.path).splitlines()

    def put(self, files: Mapping[str, bytes], *, mode: str = "100644", branch: str = "main") -> None:
        """Commit files, of any mode."""
        known = git("branch", "--list", branch, within=self.path)
        stream = f"commit refs/heads/{branch}\ncommitter A <a@example.org> 0 +0000\ndata 0\n".encode()
        stream += f"from refs/heads/{branch}^0\n".encode() if known else b""
        for name, content in files.items():
            quoted = name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
            stream += f'M {mode} inline "{quoted}"\ndata {len(content)}\n'.encode() + content + b"\n"
        git("fast-import", "--quiet", within=self.path, given=stream)


@dataclass
class DataSet:
    """The data set of a hub."""

    hub: Hub
    address: str = f"hf://datasets/{NAME}"

    @property
    def files(self) -> dict[str, bytes]:
        return self.hub.files

    @property
    def messages(self) -> list[str]:
        """The messages of the commits to it, the latest first; the earliest is the hub's own."""
        return self.hub.commits[:0:-1]

    def put(self, files: Mapping[str, bytes]) -> None:
        self.hub.files |= files
        self.hub.commits.append("of somebody else")


@pytest.fixture
def identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Git as it is set up for a made-up person, and the file that says so."""
    config = tmp_path / "gitconfig"
    config.write_text("[user]\n name = A Person\n email = person@example.org\n[init]\n defaultBranch = main\n")
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    return config


@pytest.fixture
def repository(identity: Path, tmp_path: Path) -> Repository:
    """An empty bare repository."""
    git("init", "--quiet", "--bare", tmp_path / "board.git", within=tmp_path)
    return Repository(tmp_path / "board.git")


@pytest.fixture
def data_set(monkeypatch: pytest.MonkeyPatch) -> Iterator[DataSet]:
    """An empty data set, and a token that may write."""
    with serving(Hub()) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_TOKEN", WRITER)
        # The store that the hub has of late for large files is no plain HTTP; it takes them the older way, too.
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        yield DataSet(hub)


@pytest.fixture(params=["repository", "data_set"])
def place(request: pytest.FixtureRequest) -> Place:
    """Either kind of remote."""
    return request.getfixturevalue(request.param)
