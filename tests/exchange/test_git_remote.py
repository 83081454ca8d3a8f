"""What is git's own: branches, refusals, and what a hostile or an unlucky setting does."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Ended
from hub import Hub, serving
from places import Repository, git

from dxbench.api import ResultRecord
from dxbench.exchange import GitRemote, RemoteRefused, remote_of
from dxbench.records.files import config_id_of, write_record
from dxbench.records.index import open_index

pytest_plugins = ("places", "workshop")
Command = Callable[..., Ended]


@pytest.fixture
def own(tmp_path: Path, sound: list[ResultRecord]) -> Path:
    """A folder with one record."""
    write_record(tmp_path / "own", sound[0])
    return tmp_path / "own"


@pytest.fixture
def address() -> Iterator[Hub]:
    """A server that is no git remote and refuses as it is told."""
    with serving(Hub()) as hub:
        yield hub


def test_a_clone_is_a_folder_of_records(dxbench: Command, repository: Repository, own: Path, tmp_path: Path) -> None:
    dxbench("push", repository.address, "--results", own)
    git("clone", "--quiet", repository.path, "clone", within=tmp_path)
    (tmp_path / "clone" / "README.md").write_text("A board.")
    built = dxbench("leaderboard", "build", "--results", tmp_path / "clone", "--out", tmp_path / "site", "--json")
    assert (built.code, built.json["runs"]) == (0, 1), built.err
    # As a job has it that has checked out a commit and no branch.
    git("checkout", "--quiet", "--detach", within=tmp_path / "clone")
    git("commit", "--quiet", "--allow-empty", "--message=merged", within=tmp_path / "clone")
    pulled = dxbench("pull", tmp_path / "clone", "--results", tmp_path / "theirs")
    assert (pulled.code, "pulled 1 record from" in pulled.out) == (0, True), pulled.err
    refused = dxbench("push", tmp_path / "clone", "--results", own)
    assert (refused.code, "pushed nothing" in refused.out) == (0, True)
    write_record(own, one_more(own))
    refused = dxbench("push", tmp_path / "clone", "--results", own)
    assert (refused.code, "name one with --branch" in refused.err) == (2, True)


def one_more(own: Path) -> ResultRecord:
    """The run of a further seed."""
    (entry,) = open_index([own]).entries("tiny")
    record = entry.record()
    return record.model_copy(update={"seed": 7, "run_id": f"{config_id_of(record)}-s7"})


def test_a_branch_is_begun_and_read(dxbench: Command, repository: Repository, own: Path, tmp_path: Path) -> None:
    repository.put({"code.py": b"raise SystemExit"})
    pushed = dxbench("push", repository.address, "--results", own, "--branch", "results")
    assert (pushed.code, "(branch results)" in pushed.out) == (0, True), pushed.err
    assert git("log", "--format=%an %s", "results", within=repository.path) == "A Person Add 1 record of tiny"
    assert "code.py" not in git("ls-tree", "--name-only", "results", within=repository.path)
    write_record(own, one_more(own))
    assert dxbench("push", repository.address, "--results", own, "--branch", "results").code == 0
    pulled = dxbench("pull", repository.address, "--results", tmp_path / "theirs", "--branch", "results", "--json")
    assert (pulled.code, len(pulled.json["records"])) == (0, 2)
    wrong = dxbench("pull", repository.address, "--results", tmp_path / "theirs", "--branch", "resluts")
    assert (
        wrong.code,
        "has no branch 'resluts'; name one of its branches with --branch: main, results" in wrong.err,
    ) == (2, True)
    wrong = dxbench("push", repository.address, "--results", own, "--branch", "a b\nc")
    assert (wrong.code, "is no name that git gives a branch" in wrong.err) == (2, True)


def test_an_empty_repository_has_nothing_to_pull(dxbench: Command, repository: Repository, tmp_path: Path) -> None:
    ended = dxbench("pull", repository.address, "--results", tmp_path / "theirs")
    assert (ended.code, "is empty; `dxbench push` puts records there" in ended.err) == (2, True)


def test_a_default_branch_that_is_not_there_is_not_taken_for_an_empty_repository(
    dxbench: Command, repository: Repository, tmp_path: Path
) -> None:
    git("symbolic-ref", "HEAD", "refs/heads/trunk", within=repository.path)
    repository.put({"a": b"1"})
    ended = dxbench("pull", repository.address, "--results", tmp_path / "theirs")
    assert (ended.code, "has no branch 'trunk'; name one of its branches with --branch: main" in ended.err) == (2, True)


def test_a_push_that_comes_second_is_refused(repository: Repository) -> None:
    repository.put({"a": b"1"})
    with GitRemote(repository.address).open(progress=str) as late:
        repository.put({"b": b"2"})
        with pytest.raises(RemoteRefused, match=r"rejected.*if somebody else pushed meanwhile, give the command again"):
            late.add({"c": b"3"}, "Too late", progress=str)
    assert repository.files == {"a": b"1", "b": b"2"}


def test_a_remote_that_rejects_says_why(dxbench: Command, repository: Repository, own: Path) -> None:
    hook = repository.path / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'the branch is protected' >&2\nexit 1\n")
    hook.chmod(0o755)
    ended = dxbench("push", repository.address, "--results", own)
    assert (ended.code, repository.messages) == (8, [])
    assert "the branch is protected" in ended.err
    assert "ask who keeps it, or push to another branch with --branch" in ended.err


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_server_that_refuses_is_quoted(
    dxbench: Command, address: Hub, identity: Path, own: Path, status: int
) -> None:
    address.refuse = status
    url = address.url.replace("://", "://me:secret@") + "/lab/results.git"
    for command in ("push", "pull"):
        ended = dxbench(command, url, "--results", own)
        assert (ended.code, len(ended.err.splitlines())) == (8, 1)
        assert "see that `git ls-remote http://127.0.0.1:" in ended.err
        assert "secr" not in ended.err
        assert any(word in ended.err for word in (str(status), "not found", "Authentication failed"))


def test_a_network_that_is_not_there_is_said(dxbench: Command, identity: Path, own: Path) -> None:
    ended = dxbench("pull", "http://127.0.0.1:9/lab/results.git", "--results", own)
    assert (ended.code, "Failed to connect" in ended.err, "`git ls-remote" in ended.err) == (8, True, True)


def test_offline_a_path_is_read_and_an_address_is_not_asked(
    dxbench: Command, repository: Repository, address: Hub, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DXBENCH_OFFLINE", "1")
    assert dxbench("push", repository.address, "--results", own).code == 0
    assert dxbench("pull", f"file://{repository.path}", "--results", tmp_path / "theirs").code == 0
    for url in (f"{address.url}/lab/results.git", "git@example.org:lab/results.git"):
        for command in ("push", "pull"):
            ended = dxbench(command, url, "--results", own)
            assert (ended.code, "DXBENCH_OFFLINE says there is none; unset it, or name a path" in ended.err) == (
                2,
                True,
            )
    assert address.asked == []


def test_without_git_its_installation_is_the_remedy(
    dxbench: Command, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    ended = dxbench("push", "board.git", "--results", own)
    assert (ended.code, "the command git, which is not installed; install git" in ended.err) == (2, True)


def test_a_person_whom_git_does_not_know_is_asked_for(
    dxbench: Command, repository: Repository, own: Path, identity: Path
) -> None:
    identity.write_text("[user]\n useConfigOnly = true\n")
    ended = dxbench("push", repository.address, "--results", own)
    assert (ended.code, "`git config --global user.name NAME`" in ended.err) == (8, True)


def test_a_path_that_is_no_repository_is_said(dxbench: Command, identity: Path, own: Path) -> None:
    for path in ("no-such-place", own):
        ended = dxbench("pull", path, "--results", own)
        assert (ended.code, "works in this shell" in ended.err, len(ended.err.splitlines())) == (8, True, 1)


def test_what_git_would_take_for_an_option_is_no_address(dxbench: Command, own: Path) -> None:
    assert dxbench("pull", "a" * 5000, "--results", own).code == 8  # too long for a path
    for address in ("--upload-pack=touch owned", "", "a\nb", "hf://models/a/b", "hf://datasets/a"):
        ended = dxbench("pull", "--results", own, "--", address)
        assert (ended.code, "is no " in ended.err) == (2, True), ended.err
    with (
        pytest.raises(RemoteRefused, match="transport 'ext' not allowed"),
        remote_of("ext::sh -c true").open(progress=str),
    ):
        pass


def test_the_repository_that_a_hook_works_in_is_left_alone(
    dxbench: Command, repository: Repository, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git("init", "--quiet", "other", within=tmp_path)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    assert dxbench("push", repository.address, "--results", own).code == 0
    for name in ("GIT_DIR", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name)
    assert repository.messages == ["Add 1 record of tiny"]
    assert git("branch", "--all", within=tmp_path / "other") == ""
    assert not (tmp_path / "index").exists()
