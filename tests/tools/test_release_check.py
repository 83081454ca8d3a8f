"""`make release-check`, part by part on made-up archives, and on the wheel of this checkout."""

import email
import shutil
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from tool_files import load_tool

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tool() -> Any:
    return load_tool("release_check")


# --- version, changelog, citation ----------------------------------------------------------------------------


def test_this_checkout_agrees_with_itself_on_its_version(tool: Any) -> None:
    assert list(tool.version_problems(ROOT)) == []


@pytest.mark.parametrize(
    ("file", "before", "after", "complaint"),
    [
        ("dxbench/__init__.py", '"{}"', '"{}.dev1"', "wants MAJOR.MINOR.PATCH"),
        ("CHANGELOG.md", "## {} (", "## Unreleased (", "the top section of CHANGELOG.md is '## Unreleased ("),
        ("CITATION.cff", "version: {}", "version: 0.0.9", "CITATION.cff has version 0.0.9"),
        ("CITATION.cff", "date-released: 2", "date-released: 1", "CHANGELOG.md says 2"),
        ("docs/migrating.md", "to {}\n", "to nowhere\n", "docs/migrating.md has no heading"),
    ],
)
def test_a_version_that_one_file_says_otherwise_is_a_problem(
    tool: Any, tmp_path: Path, file: str, before: str, after: str, complaint: str
) -> None:
    version = tool.version_of(ROOT)
    for name in ("dxbench/__init__.py", "CHANGELOG.md", "CITATION.cff", "docs/migrating.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    text = (tmp_path / file).read_text(encoding="utf-8")
    assert before.format(version) in text
    (tmp_path / file).write_text(text.replace(before.format(version), after.format(version)), encoding="utf-8")
    assert any(complaint in problem for problem in tool.version_problems(tmp_path))


# --- what is in the archives ---------------------------------------------------------------------------------


METADATA = """Metadata-Version: 2.4
Name: dxmi-bench
Version: 1.2.3
Summary: A benchmark
License-Expression: MIT
License-File: LICENSE
Classifier: Typing :: Typed
Keywords: benchmark
Requires-Python: >=3.11
Requires-Dist: numpy>=1
Description-Content-Type: text/markdown

# dxbench
"""
LICENCE = "dxmi_bench-1.2.3.dist-info/licenses/LICENSE"


def test_sound_metadata_are_no_problem(tool: Any) -> None:
    assert list(tool.metadata_problems(email.message_from_string(METADATA), [LICENCE], version="1.2.3")) == []


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("Version: 1.2.3", "Version: 1.2.2", "Version is '1.2.2'"),
        ("License-Expression: MIT", "License: MIT", "License-Expression is None"),
        ("Summary: A benchmark\n", "", "Summary is empty"),
        ("Classifier: Typing :: Typed\n", "", "Classifier is empty"),
        ("License-File: LICENSE", "License-File: COPYING", "COPYING is not in the wheel"),
        ("numpy>=1", "numpy @ https://example.org/numpy.whl", "names an address"),
        ("# dxbench\n", "", "the description is not README.md"),
    ],
)
def test_what_metadata_lack_is_named(tool: Any, before: str, after: str, complaint: str) -> None:
    metadata = email.message_from_string(METADATA.replace(before, after))
    (problem,) = tool.metadata_problems(metadata, [LICENCE], version="1.2.3")
    assert complaint in problem


def test_an_entry_point_without_its_module_is_named(tool: Any) -> None:
    text = "[dxbench.tasks]\nhere = pack.here:Here\nroom = pack.room:Room\ngone = pack.gone:Gone\n"
    (problem,) = tool.entry_point_problems(text, ["pack/here.py", "pack/room/__init__.py"])
    assert "gone = pack.gone:Gone" in problem


def test_a_file_of_unknown_origin_is_not_released(tool: Any) -> None:
    entry = {"files": ["pictures/*.png"], "what": "pictures", "licence": "MIT"}
    held = ["pictures/a.png", "dxbench/paths.py", "Makefile"]
    assert list(tool.licence_problems(held, {"shipped": [entry]})) == []
    (unknown,) = tool.licence_problems([*held, "dxbench/stranger.bin"], {"shipped": [entry]})
    assert "dxbench/stranger.bin" in unknown
    (terms,) = tool.licence_problems(held, {"shipped": [entry | {"licence": "CC-BY-NC-4.0"}]})
    assert "'CC-BY-NC-4.0'" in terms
    (stale,) = tool.licence_problems(held, {"shipped": [entry | {"files": ["pictures/*.png", "*.gif"]}]})
    assert "no shipped file is called *.gif" in stale


def test_the_notice_accounts_for_all_that_this_checkout_ships(tool: Any) -> None:
    from hatchling.builders.sdist import SdistBuilder
    from hatchling.builders.wheel import WheelBuilder

    wheel = [file.distribution_path for file in WheelBuilder(str(ROOT)).recurse_included_files()]
    sdist = [file.distribution_path for file in SdistBuilder(str(ROOT)).recurse_included_files()]
    names = [tool.at_home(name) for name in wheel] + sdist
    assert {"results/published/dxmi.json", "dxbench/features/digits_net.safetensors"} <= set(names)
    notice = tomllib.loads((ROOT / "NOTICE.toml").read_text(encoding="utf-8"))
    assert all(entry["what"] and entry["source"] for entry in notice["shipped"])
    assert list(tool.licence_problems(names, notice)) == []


def test_a_wheel_that_is_too_large_is_refused(tool: Any) -> None:
    assert list(tool.size_problems(5_999_999)) == []
    assert "6,000,000 bytes, wants fewer" in next(tool.size_problems(6_000_000))


# --- the whole -----------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_wheel_of_this_checkout_installs_and_runs_outside_of_it(tool: Any, tmp_path: Path) -> None:
    if not tool.uv().is_file():
        pytest.skip(f"no uv beside {sys.executable}; `make test` installs it")
    version = tool.version_of(ROOT)
    sdist, wheel = tool.built(tmp_path / "dist")
    assert {name: found for name, found in tool.archive_checks(sdist, wheel, version=version) if found} == {}
    try:
        python = tool.installed(wheel, tmp_path / "environment", offline=True)
    except tool.CannotInstall as error:
        pytest.skip(f"uv's cache lacks what the wheel depends on: {str(error)[-300:]}")
    place = tmp_path / "newcomer"
    place.mkdir()
    assert list(tool.newcomer_problems(python, place, version=version)) == []
