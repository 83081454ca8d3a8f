"""Start pages lead to a number in at most three commands: each is followed in an empty folder."""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Ended
from workshop import Workshop

pytest_plugins = ("workshop",)
pytestmark = pytest.mark.timeout(1200)  # a page takes half a minute of an idle core

ROOT = Path(__file__).resolve().parents[2]
START = ROOT / "docs" / "start"
PAGES = sorted(path.stem for path in START.glob("*.md"))
NUMBER = re.compile(r"\d\.\d{2}")
WHOLE_TABLE = "dxbench run --suite dxmi-table1 --jobs 2"
"""What takes half an hour; it is planned alone."""
Command = Callable[..., Ended]


def commands(page: str) -> list[str]:
    """Commands of a page, in its order."""
    return [line for language, block in blocks(page) if not language for line in block.splitlines()]


def blocks(page: str) -> list[tuple[str, str]]:
    """Language and text of every block of code."""
    text = (START / f"{page}.md").read_text(encoding="utf-8")
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def write_files(page: str, folder: Path) -> list[Path]:
    """Save the page's code under the name in its first line."""
    named = [block.removeprefix("# ").split("\n", 1) for language, block in blocks(page) if language == "python"]
    for name, code in named:
        (folder / name).write_text(code)
    return [folder / name for name, _ in named]


def python(file: Path) -> str:
    """What a script prints."""
    ended = subprocess.run(
        [sys.executable, file.name], cwd=file.parent, capture_output=True, text=True, check=False, timeout=900
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def follow(page: str, dxbench: Command) -> list[str]:
    """What each command of a page prints, in the working folder."""
    said = []
    for line in commands(page):
        name, *arguments = shlex.split(line)
        if name == "python":
            said.append(python(Path.cwd() / arguments[0]))
            continue
        assert name == "dxbench"
        ended = dxbench(*arguments, *(["--dry-run"] if line == WHOLE_TABLE else []))
        assert ended.code == 0, f"{line}\n{ended.err}"
        said.append(ended.out)
    return said


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.mark.parametrize("page", PAGES)
def test_a_start_page_has_at_most_three_commands(page: str) -> None:
    assert 1 <= len(commands(page)) <= 3


def test_every_start_page_is_in_the_readme_and_in_the_navigation() -> None:
    for file in ("README.md", "mkdocs.yml"):
        text = (ROOT / file).read_text(encoding="utf-8")
        assert [page for page in PAGES if f"start/{page}.md" not in text] == []


def test_the_first_command_of_the_readme_gives_numbers_and_a_report(dxbench: Command, folder: Path) -> None:
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("## A first number", 1)[1]
    block = re.search(r"^```\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    assert block is not None
    (line,) = block[1].splitlines()
    assert ":quick" in line, "the default takes more than a minute"
    name, *arguments = shlex.split(line)
    ended = dxbench(*arguments)
    assert (name, ended.code) == ("dxbench", 0), ended.err
    assert NUMBER.search(ended.out)
    assert Path(ended.out.split("report: ")[1].strip()).is_file()


def test_samples_are_scored_by_a_task_and_against_a_set(dxbench: Command, folder: Path) -> None:
    (draw,) = write_files("samples", folder)
    python(draw)
    by_task, against = follow("samples", dxbench)
    assert "sw2" in by_task
    assert "energy_distance@5k" in against
    assert NUMBER.search(by_task)
    assert NUMBER.search(against)


def test_a_sampler_is_scored_and_has_a_row(dxbench: Command, folder: Path) -> None:
    write_files("sampler", folder)
    scored, _, table = follow("sampler", dxbench)
    assert re.match(r"\d\.\d+ at 1\.0 network passes per sample", scored)
    assert "my_sampler" in table


def test_an_energy_is_scored_and_a_detector_has_a_row(dxbench: Command, folder: Path) -> None:
    write_files("energy", folder)
    scored, _, table = follow("energy", dxbench)
    auc, kl = map(float, scored.split())
    assert (auc > 0.85, kl < 0.2) == (True, True)
    assert "radius" in table


def test_features_are_compared_and_ranked_by_detectors(dxbench: Command, folder: Path) -> None:
    (task,) = write_files("features", folder)
    python(task)
    compared, _, table = follow("features", dxbench)
    assert "energy_distance@1k" in compared
    assert all(name in table for name in ("mahalanobis", "knn", "pca"))
    assert NUMBER.search(table)


def test_the_papers_table_and_its_claims_are_on_record(dxbench: Command, folder: Path) -> None:
    table, claims, planned = follow("paper-table", dxbench)
    assert "DxMI 2024" in table
    assert "within noise" in claims
    assert "50 cells" in planned


def test_a_submission_is_validated_and_merged(
    dxbench: Command, folder: Path, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop.build().rename(folder / "bundle.zip")
    lines = [line.replace("gaussians8", "tiny") for line in commands("review")]
    validated, _, table = [dxbench(*shlex.split(line)[1:]) for line in lines]
    assert (validated.code, "valid" in validated.out) == (0, True), validated.err
    assert (table.code, bool(NUMBER.search(table.out))) == (0, True), table.err


def test_the_cluster_page_is_right_where_this_machine_is_the_cluster(dxbench: Command, folder: Path) -> None:
    run, status, table = (shlex.split(line.replace("slurm", "local"))[1:] for line in commands("cluster"))
    assert dxbench(*run, "--no-report").code == 0
    assert "4" in dxbench(*status).out
    assert "ddim:quick" in dxbench(*table).out
