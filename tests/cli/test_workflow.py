"""The shipped workflow does what it says, as far as that shows outside of GitHub."""

import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from conftest import Ended

from dxbench.api import ResultRecord
from dxbench.records.files import read_record, write_record
from dxbench.records.index import open_index

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def gate() -> Any:
    """The job of docs/ci/dxbench.yml."""
    workflow = yaml.safe_load((ROOT / "docs" / "ci" / "dxbench.yml").read_text(encoding="utf-8"))
    # YAML 1.1 reads the key `on` as true.
    assert set(workflow[True]) == {"pull_request", "push"}
    assert workflow["permissions"] == {}
    return workflow["jobs"]["gate"]


def commands(gate: Any) -> list[list[str]]:
    """Arguments of every dxbench line, redirections left out."""
    lines = [line.strip() for step in gate["steps"] for line in step.get("run", "").splitlines()]
    return [shlex.split(line.split(" > ")[0])[1:] for line in lines if line.startswith("dxbench ")]


def test_the_job_that_runs_foreign_code_can_only_read(gate: Any) -> None:
    assert gate["permissions"] == {"contents": "read"}
    text = (ROOT / "docs" / "ci" / "dxbench.yml").read_text(encoding="utf-8")
    assert "pull_request_target" not in text
    assert "secrets." not in text
    (checkout,) = [step for step in gate["steps"] if "checkout" in step.get("uses", "")]
    assert checkout["with"]["persist-credentials"] is False


def test_every_dxbench_line_is_a_command_and_every_run_can_be_planned(gate: Any, dxbench: Callable[..., Ended]) -> None:
    lines = commands(gate)
    assert [line[0] for line in lines] == ["doctor", "run", "run", "check"]
    for line in lines:
        assert dxbench(line[0], "--help").code == 0
        if line[0] == "run":
            ended = dxbench(*line, "--dry-run")
            assert ended.code == 0, ended.err
            assert "5 of 5 cells to run" in ended.out


def test_the_gate_passes_the_baselines_own_records_and_uploads_what_it_writes(
    gate: Any, dxbench: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    Path("results").symlink_to(ROOT / "results")
    for part in ("gaussians8", "protocols", "cards"):
        shutil.copytree(ROOT / "results" / part, f"runs/results/{part}")
    (line,) = [line for line in commands(gate) if line[0] == "check"]
    ended = dxbench(*line)
    assert ended.code == 0, ended.err
    rows = {(one["row"], one["verdict"]) for one in ended.json["findings"]}
    assert {("dxmi:quick", "unchanged"), ("ddpm:quick", "unchanged")} <= rows
    uploaded = next(step["with"]["path"] for step in gate["steps"] if "upload-artifact" in step.get("uses", ""))
    report = line[line.index("--junit") + 1]
    assert report in uploaded
    assert ElementTree.parse(report).find(".//failure") is None
    assert "dxbench check" in (tmp_path / "summary.md").read_text()


def test_the_gate_stops_a_sampler_that_is_half_as_good(
    gate: Any, dxbench: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("results").symlink_to(ROOT / "results")
    for path in (ROOT / "results" / "gaussians8" / "dxmi").glob("*.json"):
        record = read_record(path)
        assert isinstance(record, ResultRecord)
        if record.preset == "quick":
            worse = record.scores["sw2"].model_copy(update={"value": 1.5 * record.scores["sw2"].value})
            scores = record.scores | {"sw2": worse}
            write_record(Path("runs/results"), record.model_copy(update={"scores": scores}))
    (line,) = [line for line in commands(gate) if line[0] == "check"]
    ended = dxbench(*line)
    assert ended.code == 4, ended.err
    regressed = [one["metric"] for one in ended.json["findings"] if one["verdict"] == "regression"]
    assert regressed == ["sw2", "row"]
    failures = ElementTree.parse(line[line.index("--junit") + 1]).findall(".//testcase[failure]")
    assert [case.get("name") for case in failures] == ["sw2", "row"]


def test_every_row_that_the_workflow_runs_has_a_baseline_with_a_noise_model(gate: Any) -> None:
    entries = open_index([ROOT / "results"]).entries("gaussians8")
    for line in commands(gate):
        if line[0] == "run":
            method, preset = line[line.index("--method") + 1], line[line.index("--preset") + 1]
            found = [e for e in entries if (e.method, e.preset, e.status) == (method, preset, "ok")]
            assert len({e.seed for e in found}) == 5
            assert not any(e.dirty for e in found)
