"""The page on a board of one's own, and the files for CI that it gives: every command of them is run."""

import hashlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Ended
from tiny_task import keep

from dxbench.api import ResultRecord

pytest_plugins = ("workshop",)
pytestmark = pytest.mark.timeout(900)

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "your-board.md").read_text(encoding="utf-8")
GITHUB = (ROOT / "docs" / "ci" / "board.yml").read_text(encoding="utf-8")
GITLAB = (ROOT / "docs" / "ci" / "board.gitlab-ci.yml").read_text(encoding="utf-8")
Command = Callable[..., Ended]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and a git that knows who works in it."""
    (tmp_path / "gitconfig").write_text("[user]\n name = A Person\n email = person@example.org\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture
def board(
    dxbench: Command, folder: Path, home: Path, sound: list[ResultRecord], arrays: dict[int, Any]
) -> Callable[..., Path]:
    """Make a repository that two runs were pushed to, with further files, as a job finds it: one commit, no branch."""

    def make(**files: str) -> Path:
        for record in sound:
            keep(record, arrays[record.seed], home)
        subprocess.run(["git", "init", "--quiet", "--bare", "board.git"], check=True)
        assert dxbench("push", "board.git").code == 0
        subprocess.run(["git", "clone", "--quiet", "board.git", "work"], check=True)
        for name, text in files.items():
            path = folder / "work" / name.replace("__", "/").replace("_dot_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for arguments in (["add", "--all"], ["commit", "--quiet", "--allow-empty", "-m", "more"], ["push", "--quiet"]):
            subprocess.run(["git", *arguments], cwd="work", check=True)
        address = f"file://{folder / 'board.git'}"
        subprocess.run(["git", "clone", "--quiet", "--depth=1", address, "repository"], check=True)
        subprocess.run(["git", "checkout", "--quiet", "--detach"], cwd="repository", check=True)
        return folder / "repository"

    return make


def test_the_three_commands_of_the_page_make_a_site(
    dxbench: Command, folder: Path, home: Path, sound: list[ResultRecord], arrays: dict[int, Any]
) -> None:
    keep(sound[0], arrays[0], home)
    (block,) = re.findall(r"^```\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert len(block.splitlines()) == 3
    made = re.search(r"`(git init [^`]+)`", PAGE)
    assert made is not None
    subprocess.run([*shlex.split(made[1]), "--quiet"], check=True)
    for line in block.splitlines():
        ended = dxbench(*shlex.split(line)[1:])
        assert ended.code == 0, f"{line}\n{ended.err}"
    assert sound[0].method in (folder / "site" / "index.html").read_text(encoding="utf-8")


def test_every_option_of_the_page_is_one(dxbench: Command) -> None:
    for command in ("push", "pull"):
        told = dxbench(command, "--help").out
        assert all(option in told for option in ("--branch", "--task", "--method", "--results", "--dry-run"))
    assert "--bundle " in dxbench("push", "--help").out
    assert "--bundles" in dxbench("pull", "--help").out


@dataclass(frozen=True)
class Machine:
    """A machine of CI, on which pip and uv are not allowed to fetch anything, and say so."""

    folder: Path

    def run(self, lines: Sequence[str], **variables: str) -> subprocess.CompletedProcess[str]:
        """The lines as CI runs them: one shell, which ends at the first that fails."""
        tools = self.folder / "tools"
        tools.mkdir(exist_ok=True)
        for name in ("pip", "uv"):
            (tools / name).write_text(f'#!/bin/sh\necho "{name} $*" >> "{self.folder}/installed"\n')
            (tools / name).chmod(0o755)
        path = f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        return subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", "\n".join(lines)],
            cwd=self.folder,
            env={**os.environ, "PATH": path, **variables},
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def installed(self) -> list[str]:
        return (self.folder / "installed").read_text().splitlines()


def github() -> tuple[dict[str, str], list[str]]:
    """The variables and the lines of the job that builds."""
    workflow = yaml.safe_load(GITHUB)
    job = workflow["jobs"]["build"]
    return workflow["env"] | job["env"], [line for step in job["steps"] for line in step.get("run", "").splitlines()]


def gitlab(folder: Path) -> tuple[dict[str, str], list[str]]:
    """The variables and the lines that both jobs have."""
    jobs = yaml.safe_load(GITLAB)
    known = {"CI_PROJECT_DIR": str(folder)}
    variables = {name: value.replace("$CI_PROJECT_DIR", str(folder)) for name, value in jobs["variables"].items()}
    return known | variables, [*jobs[".board"]["before_script"], *jobs[".board"]["script"]]


def followed(kind: str, repository: Path) -> tuple[subprocess.CompletedProcess[str], Path, Machine]:
    """The outcome of a job over a checkout, where its site is, and the machine."""
    machine = Machine(repository.parent)
    variables, lines = github() if kind == "github" else gitlab(repository)
    site = repository.parent / "site" if kind == "github" else repository / "public"
    return machine.run(lines, **variables), site, machine


KINDS = pytest.mark.parametrize("kind", ["github", "gitlab"])
HOSTILE = (
    "import pathlib\npathlib.Path('/proc/self/cwd/owned').touch()\npathlib.Path(__file__).with_name('owned').touch()\n"
)


@KINDS
def test_a_job_builds_the_site_and_runs_nothing_of_the_repository(kind: str, board: Callable[..., Path]) -> None:
    names = ("pip", "uv", "dxbench", "torch", "sitecustomize", "conftest", "setup")
    repository = board(**{f"{name}_dot_py": HOSTILE for name in names}, uv_dot_toml="index-url = 'file:///nowhere'\n")
    ended, site, machine = followed(kind, repository)
    assert ended.returncode == 0, ended.stderr
    assert "pulled 2 records from" in ended.stdout
    assert "sound" in (site / "index.html").read_text(encoding="utf-8")
    assert machine.installed == ["pip install --quiet uv", "uv pip install --quiet --system dxmi-bench[hub]"]
    assert not list(repository.parent.rglob("owned"))


@KINDS
def test_a_job_stops_at_a_record_that_is_not_sound(kind: str, board: Callable[..., Path]) -> None:
    ended, site, _ = followed(kind, board(tiny__sound__bad_dot_json="{}"))
    assert (ended.returncode, site.exists()) == (5, False)
    assert "tiny/sound/bad.json: not a dxbench record" in ended.stderr


@KINDS
def test_a_job_stops_at_a_bundle_that_is_not_sound(kind: str, board: Callable[..., Path]) -> None:
    name = f"bundles/tiny/sound/{hashlib.sha256(b'no zip').hexdigest()}"
    ended, site, _ = followed(kind, board(**{f"{name}_dot_zip": "no zip"}))
    assert (ended.returncode, site.exists()) == (5, False)
    assert "no sound bundle of sound on tiny: bundle: not a readable zip file" in ended.stderr


def test_the_jobs_of_github_may_do_no_more_than_they_need() -> None:
    workflow = yaml.safe_load(GITHUB)
    assert set(workflow[True]) == {"push", "pull_request", "workflow_dispatch"}  # YAML 1.1 reads the key `on` as true
    assert workflow["permissions"] == {}
    build, publish = workflow["jobs"]["build"], workflow["jobs"]["publish"]
    assert build["permissions"] == {"contents": "read"}
    assert publish["permissions"] == {"pages": "write", "id-token": "write"}
    assert not any("run" in step for step in publish["steps"])
    assert "pull_request_target" not in GITHUB
    assert "secrets." not in GITHUB
    names = [step.get("uses", step.get("name")) for step in build["steps"]]
    assert names.index("Install") < names.index("actions/checkout@v4")  # no file of the repository is there yet
    (checkout,) = [step for step in build["steps"] if "checkout" in step.get("uses", "")]
    assert checkout["with"] == {"path": workflow["env"]["RECORDS"], "persist-credentials": False}
    (upload,) = [step for step in build["steps"] if "upload" in step.get("uses", "")]
    assert (upload["with"]["path"], upload["if"]) == ("site", publish["if"])


def test_the_jobs_of_gitlab_publish_from_the_default_branch_alone() -> None:
    jobs = yaml.safe_load(GITLAB)
    assert [jobs[name]["extends"] for name in ("check", "pages")] == [".board", ".board"]
    assert jobs["pages"]["rules"] == [{"if": "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH"}]
    assert jobs["pages"]["artifacts"] == {"paths": ["public"]}
    assert "artifacts" not in jobs["check"]
    assert jobs[".board"]["before_script"][0] == 'cd "$(mktemp -d)"'
