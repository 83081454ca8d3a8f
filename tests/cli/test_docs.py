"""The pages do what they say."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Ended

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FOLLOWED_ELSEWHERE = ROOT / "docs" / "submitting.md"  # to the letter, by tests/submissions
LINES = sorted(
    {
        line.split("#")[0].strip().strip("`")
        for page in PAGES
        if page != FOLLOWED_ELSEWHERE
        for line in page.read_text(encoding="utf-8").splitlines()
        if line.startswith("dxbench ")
    }
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
    (tmp_path / "gaussian.py").write_text(code[1])
    monkeypatch.chdir(tmp_path)
    ended = dxbench("run", "--task", "gaussians8", "--method", "gaussian.py:Gaussian", "--json")
    assert ended.code == 0, ended.err
    (record,) = ended.json
    # A Gaussian with the ring's moments: far from the truth, near what its variance allows.
    assert 0.3 < record["scores"]["sw2"]["value"] < 0.7
    assert len([line for line in code[1].splitlines() if line.strip()]) < 60


@pytest.mark.parametrize("line", RUNS)
def test_every_run_command_on_the_pages_can_be_planned(dxbench: Callable[..., Ended], line: str) -> None:
    arguments = shlex.split(line)[1:]
    if any(".py:" in argument for argument in arguments):
        pytest.skip("a file of the reader's")
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
