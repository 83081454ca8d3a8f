"""docs/your-samples.md, followed to the letter."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from conftest import Ended

from dxbench.engine import provenance

pytest_plugins = ("made_up_diffusers",)

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "your-samples.md").read_text(encoding="utf-8")
SECTIONS = {text.split("\n", 1)[0]: text for text in PAGE.split("\n## ")[1:]}
CODE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def commands(section: str) -> list[str]:
    """The commands of a section."""
    blocks = re.findall(r"\n\n```\n(.*?)```", SECTIONS[section], re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line and line.split()[0] in ("dxbench", "pip")]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A reader's folder, and a dxbench that was installed as a package."""
    monkeypatch.chdir(tmp_path)
    installed = provenance.collect(resumed=0).model_copy(update={"git_sha": None, "git_dirty": None})
    monkeypatch.setattr(
        provenance, "_of_process", lambda: installed.model_dump(exclude={"command", "created", "resumed"})
    )
    np.savez("samples.npz", samples=2 * np.random.default_rng(0).normal(size=(100_000, 2)))
    Path("my_sampler.py").write_text("\n\n".join(CODE))
    return tmp_path


@pytest.mark.parametrize("section", ["I have samples", "I have a sampler in PyTorch", "I have a diffusers folder"])
def test_no_start_takes_more_than_three_commands(section: str) -> None:
    assert 2 <= len(commands(section)) <= 3


@pytest.mark.slow
@pytest.mark.parametrize("section", ["I have samples", "I have a sampler in PyTorch"])
def test_the_commands_lead_to_a_row(dxbench: Callable[..., Ended], here: Path, section: str) -> None:
    for command in commands(section):
        ended = dxbench(*shlex.split(command)[1:])
        assert ended.code == 0, ended.err
    blocks = dxbench("table", "--task", "gaussians8", "-f", "json").json["blocks"]
    outside = [row for block in blocks for row in block["rows"] if row["kind"] == "external"]
    rows = {row["selector"].removesuffix("@yours"): row["nfe"] for row in outside}
    assert rows == (
        {"MyMethod[nfe=4]": 4.0}
        if section == "I have samples"
        else {"Ring[nfe=1]": 1.0, "CountedRing[nfe=1]": 1.0, "Ring[nfe=1,radius=2.5]": 1.0}
    )


def test_a_diffusers_folder_is_scored_on_digits_as_the_page_says_of_cifar10(
    dxbench: Callable[..., Ended], here: Path, diffusers: ModuleType, folder: Path
) -> None:
    install, command = commands("I have a diffusers folder")
    assert install == "pip install 'dxmi-bench[diffusers]'"
    folder.rename(here / "my_pipeline")
    ended = dxbench(*shlex.split(command.replace("cifar10", "digits"))[1:], "--json")
    assert ended.code == 0, ended.err
    assert (ended.json["nfe"], ended.json["passes"]) == (10.0, "counted")


@pytest.mark.slow
def test_a_row_gets_into_the_open_board_by_the_methods_class(dxbench: Callable[..., Ended], here: Path) -> None:
    (command,) = commands("Into the results of others, and into the open board")
    ended = dxbench(*shlex.split(command.replace("0-4", "0"))[1:], "--no-report", "--json")
    assert ended.code == 0, ended.err
    (record,) = ended.json
    assert (record["method"], record["nfe"], record.get("external")) == ("ring_of_mine", 1.0, None)
