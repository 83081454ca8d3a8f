"""What is the hub's own, by its real client against a server of this machine."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Ended
from hub import READER
from places import DataSet

from dxbench.api import ResultRecord
from dxbench.records.files import write_record

pytest_plugins = ("places", "workshop")
Command = Callable[..., Ended]


@pytest.fixture
def own(tmp_path: Path, sound: list[ResultRecord]) -> Path:
    """A folder with one record."""
    write_record(tmp_path / "own", sound[0])
    return tmp_path / "own"


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        (401, "log in by `hf auth login`, or set HF_TOKEN"),
        (403, "log in by `hf auth login`, or set HF_TOKEN"),
        (404, "see that the name is right"),
        (500, "give the command again later"),
    ],
)
def test_a_hub_that_refuses_is_quoted(dxbench: Command, data_set: DataSet, own: Path, status: int, remedy: str) -> None:
    data_set.hub.refuse = status
    for command in ("push", "pull"):
        ended = dxbench(command, data_set.address, "--results", own)
        assert (ended.code, len(ended.err.splitlines())) == (8, 1), ended.err
        assert f"({status} not today); {remedy}" in ended.err


def test_a_data_set_that_is_not_there_or_not_shown_is_made_or_logged_in_to(
    dxbench: Command, data_set: DataSet, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = dxbench("push", "hf://datasets/lab/other", "--results", own)
    assert (ended.code, "`hf repos create lab/other --repo-type dataset`" in ended.err) == (8, True)
    data_set.hub.private = True
    monkeypatch.delenv("HF_TOKEN")
    ended = dxbench("pull", data_set.address, "--results", own)
    assert (ended.code, "`hf auth login`" in ended.err, data_set.hub.files) == (8, True, {})


def test_a_token_that_may_only_read_does_not_push(
    dxbench: Command, data_set: DataSet, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", READER)
    ended = dxbench("push", data_set.address, "--results", own)
    assert (ended.code, data_set.hub.files) == (8, {})
    assert "403 You don't have the rights to push to this repo" in ended.err
    assert READER not in ended.err


def test_a_push_that_comes_second_is_refused(dxbench: Command, data_set: DataSet, own: Path) -> None:
    data_set.hub.meanwhile = True
    ended = dxbench("push", data_set.address, "--results", own)
    assert (ended.code, data_set.hub.files) == (8, {})
    assert "somebody else pushed meanwhile, give the command again" in ended.err


def test_a_branch_that_is_not_there_is_said(dxbench: Command, data_set: DataSet, own: Path) -> None:
    ended = dxbench("push", data_set.address, "--results", own, "--branch", "dev")
    assert (ended.code, "has no branch 'dev'; leave --branch out, or make it by" in ended.err) == (2, True)
    assert dxbench("push", data_set.address, "--results", own, "--branch", "main").code == 0


def test_a_name_that_cannot_be_one_is_said(dxbench: Command, data_set: DataSet, own: Path) -> None:
    ended = dxbench("pull", "hf://datasets/lab/re..sults", "--results", own)
    assert (ended.code, "cannot be the name of a data set" in ended.err) == (2, True)


def test_what_is_no_hub_is_said(dxbench: Command, data_set: DataSet, own: Path) -> None:
    data_set.hub.refuse = 200
    ended = dxbench("pull", data_set.address, "--results", own)
    assert (ended.code, "does not answer as the hub does" in ended.err, len(ended.err.splitlines())) == (8, True, 1)


def test_a_network_that_is_not_there_is_said(
    dxbench: Command, data_set: DataSet, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    ended = dxbench("pull", data_set.address, "--results", own)
    assert (ended.code, "the hub cannot be reached" in ended.err) == (8, True)
    monkeypatch.setenv("HF_ENDPOINT", data_set.hub.url)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    ended = dxbench("pull", data_set.address, "--results", own)
    assert (ended.code, "that HF_HUB_OFFLINE is not set" in ended.err) == (8, True)


def test_offline_the_hub_is_not_asked(
    dxbench: Command, data_set: DataSet, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DXBENCH_OFFLINE", "1")
    for command in ("push", "pull"):
        ended = dxbench(command, data_set.address, "--results", own)
        assert (ended.code, "DXBENCH_OFFLINE says there is none; unset it" in ended.err) == (2, True)
    assert data_set.hub.asked == []


def test_without_its_client_the_extra_is_the_remedy(
    dxbench: Command, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "huggingface_hub" else found(name, *rest)
    )
    ended = dxbench("push", "hf://datasets/lab/results", "--results", own)
    assert (ended.code, "`pip install 'dxmi-bench[hub]'`" in ended.err) == (2, True)


def test_files_that_are_here_are_not_downloaded_again(
    dxbench: Command, data_set: DataSet, own: Path, tmp_path: Path
) -> None:
    dxbench("push", data_set.address, "--results", own)
    dxbench("pull", data_set.address, "--results", tmp_path / "theirs")
    data_set.hub.asked.clear()
    assert dxbench("pull", data_set.address, "--results", tmp_path / "theirs").code == 0
    assert [path for _, path in data_set.hub.asked if "/resolve/" in path] == []
