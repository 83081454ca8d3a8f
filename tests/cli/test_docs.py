"""The pages do what they say."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Ended

from dxbench.plugins.configure import configure
from dxbench.plugins.registry import load_method, load_task

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FOLLOWED_ELSEWHERE = [  # to the letter, by tests/submissions and tests/docs
    ROOT / "docs" / "submitting.md",
    ROOT / "docs" / "your-board.md",
    *(ROOT / "docs" / "start").glob("*.md"),
]
AT_A_GLANCE = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
LINES = sorted(
    {
        line.split("#")[0].strip().strip("`")
        for page in PAGES
        if page not in FOLLOWED_ELSEWHERE
        for line in page.read_text(encoding="utf-8").replace("\\\n", "").splitlines()
        if line.startswith("dxbench ")
    }
    | {line for line in re.findall(r"`(dxbench [^`]+)`", AT_A_GLANCE) if len(line.split()) > 2}
)
RUNS = [line for line in LINES if line.startswith("dxbench run")]
LOOKS = [
    line
    for line in LINES
    if line.split()[1] in ("list", "info", "table", "compare", "explain", "claims")
    and ".json" not in line
    and ".py:" not in line  # followed by tests/cli/test_task_file.py
]


def test_the_method_of_the_page_runs_as_the_page_says(
    dxbench: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "adding-a-method.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert code is not None
    assert len([line for line in code[1].splitlines() if line.strip()]) <= 40
    (tmp_path / "few_step_flow.py").write_text(code[1])
    monkeypatch.chdir(tmp_path)
    ended = dxbench("run", "--task", "gaussians8", "--method", "few_step_flow.py:FewStepFlow", "--json")
    assert ended.code == 0, ended.err
    (record,) = ended.json
    assert record["nfe"] == 4
    assert record["scores"]["sw2"]["value"] < 0.5  # a Gaussian with the ring's moments: 0.5
    assert record["scores"]["mode_share_min"]["value"] > 0.05
    ended = dxbench("check-method", "few_step_flow.py:FewStepFlow", "--task", "gaussians8")
    assert ended.code == 0, ended.out


def test_presets_of_the_page_serve_on_tasks_that_they_do_not_name(
    dxbench: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "adding-a-method.md").read_text(encoding="utf-8")
    code, presets = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    said = code.replace("    name, version, Config =", "    recipes = __name__\n    name, version, Config =")
    (tmp_path / "few_step_flow.py").write_text(f"{said}\n\n{presets}")
    monkeypatch.chdir(tmp_path)
    method = load_method("few_step_flow.py:FewStepFlow")
    found = {
        (task, preset): configure(method, load_task(task), preset, {}).model_dump()["num_steps"]
        for task in ("gaussians8", "digits")
        for preset in ("default", "quick")
    }
    assert found == {
        ("gaussians8", "default"): 8,
        ("gaussians8", "quick"): 2,
        ("digits", "default"): 4,
        ("digits", "quick"): 2,
    }
    presets_of = dxbench("info", "few_step_flow.py:FewStepFlow", "--json").json["presets"]
    assert (presets_of["gaussians8"], presets_of["digits"]) == ("default, quick (of any)",) * 2
    planned = dxbench("run", "--method", "few_step_flow.py:FewStepFlow:quick", "--task", "digits", "--dry-run")
    assert planned.code == 0, planned.err
    assert "few_step_flow:quick" in planned.out


def test_the_metric_of_the_page_is_measured_as_the_page_says(
    dxbench: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "adding-a-metric.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "radius.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    truth = load_task("gaussians8").problem(oracle=True).oracle.sample(torch.arange(100_000))
    np.savez("samples.npz", samples=truth.numpy())
    score, check, run = re.findall(r"^dxbench .*", page, re.MULTILINE)
    ended = dxbench(*score.split()[1:], "--json")
    assert ended.code == 0, ended.err
    estimate = ended.json["scores"]["mean_radius"]
    assert (estimate["n"], estimate["better"]) == (5, "none")
    assert abs(estimate["value"] - 2.85) < 0.01
    assert "sw2" in ended.json["scores"]
    assert "Mean distance of samples from the origin" in str(dxbench("info", "radius.py:RADIUS", "--json").json)
    assert check.split()[1:] == ["check-task", "radius.py:MyGaussians"]  # a minute: tests/conformance runs gaussians8
    ran = dxbench(*run.split()[1:], "--set", 'backbone={"pretraining": {"iterations": 10}}', "--no-report", "--json")
    assert ran.code == 0, ran.err
    assert "mean_radius" in ran.json[0]["scores"]
    assert "mean_radius" in ran.json[0]["headline"]

    for reference, words in (
        ("radius.py:MeanRadius", "is a class, and an object of it is wanted"),
        ("radius.py:np", "lacks name, title, protocol, measure"),
        ("radius.py:RADIOS", "Did you mean 'RADIUS'?"),
        ("sw2", "takes path/to/file.py:NAME"),
    ):
        refused = dxbench("eval", "samples.npz", "-t", "gaussians8", "--metric", reference)
        assert (refused.code, words in refused.err) == (2, True), refused.err
    twice = dxbench("eval", "samples.npz", "-t", "radius.py:MyGaussians", "--metric", "radius.py:RADIUS")
    assert "as one of my_gaussians's; give it another name" in twice.err
    against = dxbench("eval", "samples.npz", "--against", "samples.npz", "--metric", "radius.py:RADIUS")
    assert (against.code, "--metric goes with --task" in against.err) == (2, True)


@pytest.mark.parametrize("line", RUNS)
def test_every_run_command_on_the_pages_can_be_planned(dxbench: Callable[..., Ended], line: str) -> None:
    arguments = shlex.split(line)[1:]
    if any(".py:" in argument or argument.endswith(".toml") for argument in arguments):
        pytest.skip("a file of the reader's")
    if "--launcher" in arguments:
        pytest.skip("asks for a scheduler; followed by tests/launchers")
    assert dxbench(*arguments, "--dry-run").code == 0


@pytest.mark.parametrize("line", LOOKS)
def test_every_other_command_on_the_pages_works_on_the_committed_records(
    dxbench: Callable[..., Ended], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = shlex.split(line)[1:]
    ended = dxbench(*arguments)
    assert ended.code == 0, ended.err
    written = tmp_path / arguments[arguments.index("-o") + 1] if "-o" in arguments else None
    assert ended.out or (written is not None and written.stat().st_size)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
