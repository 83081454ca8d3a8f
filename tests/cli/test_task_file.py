"""The task of the page works to the end, with every command, from a file that no package installs."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import METHODS, Ended

ROOT = Path(__file__).resolve().parents[2]
Command = Callable[..., Ended]
TASK = "ring.py:Ring"
RUN = ("run", "--task", TASK, "--method", "dxmi", "--preset", "quick", "--set", "iterations=20")
ROW = "dxmi:quick[iterations=20]"


@pytest.fixture
def ring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with the file of the page, where the code counts as committed."""
    page = (ROOT / "docs" / "adding-a-task.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert code is not None
    (tmp_path / "ring.py").write_text(code[1])
    monkeypatch.chdir(tmp_path)
    from dxbench.engine import provenance

    clean = provenance.collect(resumed=0).model_copy(update={"git_dirty": False})
    monkeypatch.setattr(
        provenance, "collect", lambda *, resumed, command: clean.model_copy(update={"resumed": resumed})
    )
    return tmp_path


def test_a_task_from_a_file_works_to_the_end(dxbench: Command, ring: Path, home: Path) -> None:
    ran = dxbench(*RUN, "--seed", "0,1")
    assert ran.code == 0, ran.err
    assert "sw2" in ran.out
    reports = re.findall(r"report: (.*)", ran.out)
    assert len(reports) == 2
    assert "Energy and samples" in Path(reports[0]).read_text()
    assert dxbench("run", "-t", TASK, "-m", "ddpm", "--preset", "quick", "--set", "num_steps=4", "-s", "0,1").code == 0
    records = [json.loads(path.read_text()) for path in (home / "results" / "ring" / "dxmi").glob("*.json")]
    assert [record["preset"] for record in records] == ["quick", "quick"]

    for task in (TASK, "ring"):
        assert "dxmi:quick[iterations=20]" in dxbench("table", "-t", task).out
        assert dxbench("compare", ROW, "ddpm:quick[num_steps=4]", "-t", task).code == 0
        assert dxbench("check", "--baseline", home / "results", "--results", ring / "copy", "-t", task).code == 2
    info = dxbench("info", TASK)
    assert info.out.startswith("task ring, version 1\nPoints on a ring in the plane.")
    assert re.search("whose presets serve here\\s+plane", info.out)
    assert "Not installed. 4 records" in dxbench("info", "ring").out
    listed = dxbench("list", "tasks", "--json").json
    assert [row["name"] for row in listed if row["from"] == "records"] == ["ring"]

    np.savez(ring / "samples.npz", samples=np.random.default_rng(0).standard_normal((10_000, 2)))
    scored = dxbench("eval", "samples.npz", "-t", TASK, "--json")
    assert scored.code == 0, scored.err
    assert set(scored.json["scores"]) == {"sw2", "energy_distance"}
    explained = dxbench("explain", ROW, "ddpm:quick[num_steps=4]", "-t", TASK)
    assert explained.code == 0, explained.err
    without = dxbench("explain", ROW, "ddpm:quick[num_steps=4]", "-t", "ring")
    assert without.code == 2
    assert "--task path/to/file.py:Class" in without.err
    built = dxbench("leaderboard", "build")
    assert built.code == 0, built.err
    assert list((ring / "build" / "site").rglob("*ring*"))
    assert dxbench("prepare", "-t", TASK).out == f"{TASK} needs no files\n"
    assert dxbench(*RUN, "--seed", "0,1", "--dry-run").out.count("already measured") == 2


def test_its_records_are_gated_and_submitted(dxbench: Command, ring: Path, home: Path) -> None:
    assert dxbench(*RUN, "--seed", "0,1", "--no-report").code == 0
    packed = dxbench("submit", "-t", TASK, "-m", ROW, "-o", "bundle.zip")
    assert packed.code == 0, packed.out
    refused = dxbench("validate", "bundle.zip")
    assert refused.code == 5
    assert "--task path/to/file.py:Class" in refused.out
    assert "bundle.zip: valid" in dxbench("validate", "bundle.zip", "--task", TASK).out
    assert dxbench("merge", "bundle.zip", "--results", "merged").code == 5
    assert dxbench("merge", "bundle.zip", "--results", "merged", "-t", TASK).code == 0
    gate = dxbench("check", "--baseline", "merged", "-t", TASK, "--json")
    assert {found["task"] for found in gate.json["findings"]} == {"ring"}
    assert gate.code in (0, 6), gate.out
    assert dxbench("validate", "bundle.zip", "--results", "merged", "-t", TASK).code == 5  # known already


def test_a_killed_run_goes_on_and_jobs_find_the_file(dxbench: Command, ring: Path, home: Path) -> None:
    limited = dxbench(*RUN, "--set", "batch_size=100", "--timeout", "0.01s", "--no-report")
    assert limited.code == 3
    went_on = dxbench(*RUN, "--set", "batch_size=100", "--json")
    assert went_on.code == 0, went_on.err
    assert went_on.json[0]["provenance"]["resumed"] == 1
    assert dxbench(*RUN, "--seed", "2,3", "--jobs", 2, "--no-report").code == 0


def test_the_file_is_short_and_sound_and_methods_are_checked_on_it(dxbench: Command, ring: Path) -> None:
    assert len((ring / "ring.py").read_text().splitlines()) <= 40
    checked = dxbench("check-task", TASK, "--json")
    assert checked.code == 0, checked.out
    assert {check["outcome"] for check in checked.json["checks"]} == {"pass"}
    method = dxbench("check-method", "ddpm", "--task", TASK, "--preset", "quick")
    assert method.code == 0, method.out
    assert f"ddpm on {TASK}: " in method.out


def test_every_command_of_the_page_works(dxbench: Command, ring: Path) -> None:
    """As they stand there, in that order."""
    page = (ROOT / "docs" / "adding-a-task.md").read_text(encoding="utf-8")
    commands = re.findall(r"^dxbench .*", page, re.MULTILINE)
    np.savez(ring / "samples.npz", samples=np.random.default_rng(0).standard_normal((10_000, 2)))
    assert [command.split()[1] for command in commands] == ["check-task", "run", "table", "info", "eval"]
    for command in commands:
        ended = dxbench(*command.split()[1:])
        assert ended.code == 0, (command, ended.err)


def test_every_method_that_can_has_a_quick_preset_on_it(dxbench: Command, ring: Path) -> None:
    names = """
    adjoint_matching consistency ddim ddpm ddpo diffclf discriminator_guidance distribution_matching drifting dxmi ect
    edm energy_matching energy_selection eqm fastdpm flow gan_finetune gcd meanflow mmd neon sft_pg sid
    """
    for name in names.split():
        planned = dxbench("run", "-t", TASK, "-m", name, "--preset", "quick", "--dry-run")
        assert planned.code == 0, planned.err
        assert "skipped" not in planned.out


def test_a_suite_of_a_file_takes_a_task_from_a_file(dxbench: Command, ring: Path) -> None:
    (ring / "mine.toml").write_text(
        'name = "mine"\ntitle = "Mine"\ntask = "ring.py:Ring"\nseeds = [0]\n'
        '[[rows]]\nlabel = "DxMI"\nmethod = "dxmi"\npreset = "quick"\nset = { iterations = 20 }\n'
    )
    assert dxbench("run", "--suite", "mine.toml", "--no-report").code == 0
    table = dxbench("table", "--suite", "mine.toml")
    assert table.code == 0, table.err
    assert "DxMI" in table.out
    assert "rows on ring.py:Ring" in dxbench("info", "mine.toml").out


def test_a_task_and_a_method_of_one_file_share_its_classes(dxbench: Command, ring: Path) -> None:
    with (ring / "ring.py").open("a") as file:
        file.write(
            f"\n\nimport sys\nsys.path.insert(0, {str(METHODS.parent)!r})\nimport methods\n"
            "class Knows(methods.Untrained):\n"
            "    name = 'knows'\n"
            "    def start(self, problem, config, *, compute, rng):\n"
            "        assert problem.data._draw is Ring.draw\n"
            "        return super().start(problem, config, compute=compute, rng=rng)\n"
        )
    ended = dxbench("run", "-t", TASK, "-m", "ring.py:Knows", "--no-report")
    assert ended.code == 0, ended.err
    assert "method knows" in dxbench("info", "ring.py:Knows").out
    assert dxbench("submit", "-t", TASK, "-m", "ring.py:Knows", "-o", "knows.zip").code == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("    def draw(", "    def drew("), "lacks draw"),
        (('name, version = "ring", 1', "version = 1"), "lacks name"),
        (('"ring", 1', '"a/b", 1'), "has the name 'a/b'"),
        (('"ring", 1', '"..", 1'), "has the name '..'"),
        (('"ring", 1', '"published", 1'), "has the name 'published'"),
        (
            ('"ring", 1', '"ring", 1; presets_of = "gaussians8"'),
            'say the family of its data in its place, such as `family = "plane"`',
        ),
        (("class Ring(", "class Rang("), "Did you mean 'Rang'?"),
        (("class Ring(PlaneTask)", "class Ring"), "is not a dxbench.api.Task class"),
    ],
)
def test_a_file_that_is_no_task_is_said_to_be_none(
    dxbench: Command, ring: Path, change: tuple[str, str], words: str
) -> None:
    text = (ring / "ring.py").read_text()
    assert change[0] in text
    (ring / "ring.py").write_text(text.replace(*change))
    ended = dxbench(*RUN)
    assert ended.code == 2, ended.err
    assert words in ended.err
    assert not (ring / "b").exists()


def test_without_a_family_there_is_what_serves_on_any_data(dxbench: Command, ring: Path) -> None:
    text = (ring / "ring.py").read_text()
    (ring / "ring.py").write_text(text.replace('"ring", 1', '"ring", 1; family = ""'))
    assert dxbench(*RUN, "--dry-run").code == 0
    refused = dxbench("run", "-t", TASK, "-m", "consistency", "--preset", "ct")
    assert refused.code == 2
    assert "Known: default, quick. See `dxbench info consistency`. Say `family` in the class of the task" in refused.err


def test_a_new_process_finds_the_file_where_it_stands(ring: Path) -> None:
    """As a shell runs it: no state of this process helps."""
    command = [sys.executable, "-m", "dxbench", "info", TASK]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ring)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("task ring, version 1")
