"""`make gpu` in small, on a CPU."""

import importlib.util
import json
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from dxbench.api import ResultRecord
from dxbench.paths import reference_results
from dxbench.records.files import read_record

ROOT = Path(__file__).resolve().parents[2]


def run(out: Path, *options: str) -> tuple[int, str, dict[str, Any]]:
    """Exit status, what was said and the summary."""
    command = [sys.executable, "tools/gpu", "--device", "cpu", "--out", str(out), *options]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode in (0, 1), ended.stderr
    return ended.returncode, ended.stdout, json.loads((out / "summary.json").read_text())


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> Any:
    spec = importlib.util.spec_from_file_location("gpu_main", ROOT / "tools" / "gpu" / "__main__.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "gpu_main", module)  # where dataclasses look their annotations up
    spec.loader.exec_module(module)
    return module


def test_weights_are_packed_into_files_that_may_travel_each_tensor_once(tool: Any) -> None:
    tensors = {f"layer {i}": torch.zeros(1000 * (1 + i % 7)) for i in range(40)}
    parts = tool.packed(tensors, 50_000)
    assert sorted(name for part in parts for name in part) == sorted(tensors)
    assert all(sum(tensor.nbytes for tensor in part.values()) < 50_000 for part in parts)
    assert len(parts) <= 1 + sum(tensor.nbytes + 200 for tensor in tensors.values()) // 45_000


def test_a_step_that_fails_is_told_and_the_next_go_on(
    tool: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(place: object) -> None:
        raise RuntimeError("a broken step")

    def fine(place: object) -> Any:
        return tool.Result(status="ok", seconds=1.0, text="a number")

    def command(*steps: str) -> int:
        words = ["gpu", "--device", "cpu", "--budget", "60", "--out", str(tmp_path), "--steps", ",".join(steps)]
        monkeypatch.setattr(sys, "argv", words)
        return tool.main()

    monkeypatch.setattr(tool, "STEPS", {"checks": broken, "features": fine})
    assert command("checks", "features") == 1
    steps = json.loads((tmp_path / "summary.json").read_text())["steps"]
    assert {name: step["status"] for name, step in steps.items()} == {"checks": "failed", "features": "ok"}
    assert "a broken step" in steps["checks"]["text"]
    assert "a broken step" in (tmp_path / "summary.md").read_text()
    # The same command tries again what failed, and nothing else.
    monkeypatch.setattr(tool, "STEPS", {"checks": fine, "features": broken})
    assert command("checks", "features") == 0


def test_a_step_has_its_share_while_others_wait_and_all_that_is_left_where_none_does(
    tool: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[float] = []

    def slow(place: Any) -> Any:
        found.append(place.left(0.12))
        return tool.Result(status="stopped", seconds=1.0)

    def fine(place: Any) -> Any:
        return tool.Result(status="ok", seconds=1.0)

    words = ["gpu", "--device", "cpu", "--budget", "1000", "--out", str(tmp_path), "--steps", "checks,features"]
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.setattr(tool, "STEPS", {"checks": slow, "features": fine})
    assert tool.main() == 0
    assert tool.main() == 0
    shared, alone = found
    assert 60 < shared <= 120
    assert 900 < alone <= 970, "nothing else waits, so that a slow machine gets it done at the next call"


def test_a_used_up_budget_leaves_the_rest_to_the_next_call(tmp_path: Path) -> None:
    code, said, summary = run(tmp_path, "--budget", "0", "--steps", "checks,start")
    assert code == 0
    assert {name: step["status"] for name, step in summary["steps"].items()} == dict.fromkeys(
        ("checks", "start"), "stopped"
    )
    assert "stopped" in said


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_start_and_dxmi_from_it_are_trained_scored_and_packed_however_often_they_are_stopped(
    tmp_path: Path,
) -> None:
    for _ in range(6):
        code, _, summary = run(tmp_path, "--budget", "150", "--steps", "checks,start,dxmi")
        assert code == 0, summary
        if all(step["status"] == "ok" for step in summary["steps"].values()):
            break
    assert {name: step["status"] for name, step in summary["steps"].items()} == dict.fromkeys(
        ("checks", "start", "dxmi"), "ok"
    )
    assert "one-process group: gloo" in summary["steps"]["checks"]["text"]
    assert summary["provenance"]["packages"]["torch"] == version("torch")
    for shared in ("protocols", "cards"):  # what the repository has already is not in the archive
        shutil.copytree(reference_results() / shared, tmp_path / "unpacked" / "results" / shared)
    with zipfile.ZipFile(tmp_path / "results.zip") as archive:
        archive.extractall(tmp_path / "unpacked")
    records = {}
    for path in (tmp_path / "unpacked" / "results" / "digits").glob("*/*.json"):
        record = read_record(path)
        assert isinstance(record, ResultRecord)
        records[record.method] = record
    assert {method: record.status for method, record in records.items()} == {"ddpm": "ok", "dxmi": "ok"}
    cost = records["dxmi"].cost
    assert cost is not None
    assert cost.stored is not None
    assert cost.stored.flops > 0, "DxMI has not begun from the start that was trained before"
    for name, method in (("start", "ddpm"), ("dxmi", "dxmi")):
        (path,) = tmp_path.glob(f"{name}-*.safetensors")
        with safe_open(path, framework="pt") as file:
            assert file.metadata()["run_id"] == records[method].run_id
            owners = {key.partition(".")[0] for key in list(file.keys())}
            assert owners == ({"0", "energy"} if name == "dxmi" else {"0"})
    assert sum(path.is_file() for path in tmp_path.iterdir()) <= 8
    code, said, _ = run(tmp_path, "--budget", "150", "--steps", "checks,start,dxmi")
    assert code == 0
    assert said.count("done before") == 3
