"""Rules of the house that no type checker holds."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(p for room in ("dxmi", "dxbench", "baselines") for p in (ROOT / room).rglob("*.py"))


def calls(path: Path) -> list[str]:
    """Dotted names of everything called in a file."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            found.append(ast.unparse(node.func))
    return found


def imports(path: Path) -> set[str]:
    """Modules a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def test_the_arrows_between_packages_hold() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    ended = subprocess.run([str(lint)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout


@pytest.mark.parametrize("path", [p for p in SOURCES if "dxmi" in p.relative_to(ROOT).parts[0]], ids=str)
def test_the_library_uses_no_global_randomness_files_or_output(path: Path) -> None:
    used = calls(path)
    banned = {"print", "open", "torch.manual_seed", "torch.seed", "random.random", "np.random.seed"}
    assert not banned & set(used)
    text = path.read_text(encoding="utf-8")
    for draw in ("torch.randn(", "torch.rand(", "torch.randint(", ".normal_(", ".uniform_("):
        for line in (line for line in text.splitlines() if draw in line):
            assert "generator=" in line, f"{path.name}: {line.strip()}"


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_nothing_is_unpickled_or_evaluated(path: Path) -> None:
    banned = {"pickle.load", "pickle.loads", "eval", "exec", "yaml.load", "joblib.load"}
    assert not banned & set(calls(path))
    for line in path.read_text(encoding="utf-8").splitlines():
        if "torch.load(" in line:
            assert "weights_only=True" in line
        if "np.load(" in line:
            assert "allow_pickle=False" in line


@pytest.mark.parametrize("path", [p for p in SOURCES if p.parent.name in ("dxbench_baselines", "starts")], ids=str)
def test_a_method_imports_no_sibling_and_only_the_house_method_the_algorithms(path: Path) -> None:
    used = imports(path)
    siblings = {name for name in used if name.split(".")[0] == "dxbench_baselines"}
    assert not {name for name in siblings if not name.startswith("dxbench_baselines.starts.")}
    if path.name not in ("dxmi.py", "dxmi_detection.py"):
        assert not {name for name in used if name.startswith("dxmi.algorithms")}
    assert not {name for name in used if name.startswith("dxbench.") and name != "dxbench.api"}


def test_no_addresses_of_registries_and_no_unfinished_marks() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    marks = ["TO" + "DO", "FIX" + "ME", "py" + "pi.org", "files.python" + "hosted"]
    for name in tracked:
        path = ROOT / name
        if path.suffix in (".py", ".md", ".toml", ".txt", ".yml", "") and path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            assert not [mark for mark in marks if mark in text], name
