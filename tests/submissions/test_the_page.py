"""docs/submitting.md, followed to the letter in an empty folder by someone who has installed the project."""

import json
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "submitting.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines() if line]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables of a throw-away virtual environment with this project installed as a wheel, without a network.

    It borrows the libraries of the environment that runs the tests.
    """
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    site = next(folder.glob("lib/python*/site-packages"))
    borrowed = sysconfig.get_path("purelib")
    (site / "borrowed.pth").write_text(f"import site; site.addsitedir({borrowed!r})\n")
    variables = {
        name: value for name, value in os.environ.items() if not name.startswith(("DXBENCH_", "PYTEST_", "COV_"))
    } | {
        "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "VIRTUAL_ENV": str(folder),
        "PIP_NO_INDEX": "1",
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip's way to say: do not isolate
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "OMP_NUM_THREADS": "1",
    }
    install = ["pip", "install", "--quiet", "--force-reinstall", str(ROOT)]
    run(" ".join(install), folder, variables)
    # The commands of borrowed packages are not on the path of the new environment.
    (folder / "bin" / "pytest").write_text(
        f"#!{folder / 'bin' / 'python'}\nimport pytest\nraise SystemExit(pytest.main())\n"
    )
    (folder / "bin" / "pytest").chmod(0o755)
    return variables


def run(command: str, folder: Path, variables: dict[str, str]) -> str:
    ended = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=variables, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, f"{command}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_page_leads_from_nothing_to_merged_records(environment: dict[str, str], tmp_path: Path) -> None:
    said = {command: run(command, tmp_path, environment) for command in COMMANDS}
    assert [command.split()[:2] for command in COMMANDS] == [
        ["dxbench", "new"],
        ["pip", "install"],
        ["dxbench", "check-method"],
        ["pytest", "my_method"],
        ["dxbench", "run"],
        ["dxbench", "table"],
        ["dxbench", "submit"],
        ["dxbench", "validate"],
        ["dxbench", "merge"],
        ["dxbench", "table"],
    ]
    outputs = list(said.values())
    assert "0 failed" in outputs[2]
    assert "4 passed" in outputs[3]
    assert "written: bundle.zip" in outputs[6]
    assert "bundle.zip: valid" in outputs[7]
    merged = sorted((tmp_path / "results" / "gaussians8" / "my_method").glob("*.json"))
    assert [json.loads(path.read_text())["seed"] for path in merged] == [0, 1]
    record = json.loads(merged[0].read_text())
    # The method of the template really learns: an untrained sampler scores 1.5.
    assert record["scores"]["sw2"]["value"] < 0.4
    assert record["nfe"] == 8.0
    assert record["provenance"]["git_sha"] is None
    assert "my_method" in outputs[9]
    where = run("python -c 'import dxbench; print(dxbench.__file__)'", tmp_path, environment)
    assert environment["VIRTUAL_ENV"] in where
