"""`dxbench new`: what it writes runs as it stands, and names that cannot work are refused."""

import ast
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Ended

from dxbench.conformance import check_method, check_on_task, check_task, synthetic_problem
from dxbench.plugins.registry import load_method, load_task, method_card


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_package_is_complete_and_names_itself_throughout(dxbench: Callable[..., Ended]) -> None:
    ended = dxbench("new", "method", "two_words")
    assert ended.code == 0
    files = {str(path.relative_to("two_words")) for path in Path("two_words").rglob("*") if path.is_file()}
    assert files == {"pyproject.toml", "README.md", ".gitignore", "src/two_words.py", "tests/test_two_words.py"}
    assert all(str(path) in ended.out for path in Path("two_words").rglob("*.py"))
    assert "dxbench check-method two_words" in ended.out
    project = tomllib.loads(Path("two_words/pyproject.toml").read_text())
    assert project["project"]["entry-points"]["dxbench.methods"] == {"two_words": "two_words:TwoWords"}
    assert project["project"]["name"] == "dxbench-two-words"
    assert "{" + "{" not in "".join(path.read_text() for path in Path("two_words").rglob("*") if path.is_file())


def test_the_method_is_short_and_keeps_the_contract_on_points_and_on_images(dxbench: Callable[..., Ended]) -> None:
    assert dxbench("new", "method", "fresh_method").code == 0
    path = Path("fresh_method/src/fresh_method.py")
    method = load_method(f"{path}:FreshMethod")
    assert method.name == "fresh_method"
    assert method_card(method).citation
    problem = synthetic_problem((3, 4, 4))
    for results in (check_on_task(method, "gaussians8"), check_method(method, problem, method.Config())):
        assert not [(result.name, result.found) for result in results if result.outcome == "fail"]
    lines = [line for line in path.read_text().splitlines() if line.strip() and not line.strip().startswith(("#", '"'))]
    assert len(lines) < 70
    ast.parse(Path("fresh_method/tests/test_fresh_method.py").read_text())


def test_the_folder_can_be_chosen_and_is_never_written_over(dxbench: Callable[..., Ended]) -> None:
    machine = dxbench("new", "method", "mine", "--folder", "code/mine", "--json")
    assert machine.code == 0
    assert machine.json["folder"] == "code/mine"
    assert all(Path(name).is_file() for name in machine.json["files"])
    before = Path("code/mine/README.md").read_text()
    again = dxbench("new", "method", "mine", "--folder", "code/mine")
    assert again.code == 2
    assert "is there already and not empty" in again.err
    assert Path("code/mine/README.md").read_text() == before


def test_the_package_of_a_task_is_complete_short_and_keeps_the_contract(dxbench: Callable[..., Ended]) -> None:
    ended = dxbench("new", "task", "two_moons")
    assert ended.code == 0
    files = {str(path.relative_to("two_moons")) for path in Path("two_moons").rglob("*") if path.is_file()}
    assert files == {"pyproject.toml", "README.md", ".gitignore", "src/two_moons.py", "tests/test_two_moons.py"}
    assert "dxbench check-task two_moons" in ended.out
    project = tomllib.loads(Path("two_moons/pyproject.toml").read_text())
    assert project["project"]["entry-points"] == {"dxbench.tasks": {"two_moons": "two_moons:TwoMoons"}}
    assert "{" + "{" not in "".join(path.read_text() for path in Path("two_moons").rglob("*") if path.is_file())
    path = Path("two_moons/src/two_moons.py")
    assert len([line for line in path.read_text().splitlines() if line.strip()]) <= 40
    task = load_task(f"{path}:TwoMoons")
    assert (task.name, task.family) == ("two_moons", "plane")
    assert {result.outcome for result in check_task(type(task))} == {"pass"}
    ast.parse(Path("two_moons/tests/test_two_moons.py").read_text())


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("My-Method", "small letters, digits and underscores"),
        ("2fast", "small letters"),
        ("../evil", "small letters"),
        ("class", "small letters"),
        ("", "small letters"),
        ("dxmi", "a method named 'dxmi' is installed already"),
        ("ddpm", "a method named 'ddpm' is installed already"),
        ("random", "a Python module named 'random'"),
        ("torch", "a Python module named 'torch'"),
        ("dxbench", "a Python module named 'dxbench'"),
    ],
)
def test_names_that_cannot_work_are_refused_before_anything_is_written(
    dxbench: Callable[..., Ended], here: Path, name: str, problem: str
) -> None:
    before = set(here.rglob("*"))
    ended = dxbench("new", "method", name)
    assert ended.code == 2
    assert problem in ended.err
    assert set(here.rglob("*")) == before


def test_the_name_of_a_task_that_is_installed_is_refused(dxbench: Callable[..., Ended], here: Path) -> None:
    ended = dxbench("new", "task", "gaussians8")
    assert (ended.code, "a task named 'gaussians8' is installed already" in ended.err) == (2, True)
    assert "a task's name is a Python module" in dxbench("new", "task", "2fast").err
    assert not list(here.iterdir())
