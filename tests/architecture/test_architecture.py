"""Rules of the house that no type checker holds."""

import ast
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

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


def offences(paths: list[Path], of: Callable[[Path], set[str]]) -> list[str]:
    """What a rule finds in files, all of it at once."""
    return [f"{path.relative_to(ROOT)}: {offence}" for path in paths for offence in sorted(of(path))]


def lines_with(path: Path, call: str, *, without: str) -> set[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return {line.strip() for line in lines if call in line and without not in line}


def test_the_library_uses_no_global_randomness_files_or_output() -> None:
    banned = {"print", "open", "torch.manual_seed", "torch.seed", "random.random", "np.random.seed"}
    draws = ("torch.randn(", "torch.rand(", "torch.randint(", ".normal_(", ".uniform_(")

    def of(path: Path) -> set[str]:
        return banned.intersection(calls(path)).union(*(lines_with(path, draw, without="generator=") for draw in draws))

    assert offences([path for path in SOURCES if ROOT / "dxmi" in path.parents], of) == []


def test_nothing_is_unpickled_or_evaluated() -> None:
    banned = {"pickle.load", "pickle.loads", "eval", "exec", "yaml.load", "joblib.load"}

    def of(path: Path) -> set[str]:
        return (
            banned.intersection(calls(path))
            | lines_with(path, "torch.load(", without="weights_only=True")
            | lines_with(path, "np.load(", without="allow_pickle=False")
        )

    assert offences(SOURCES, of) == []


def test_a_method_imports_no_sibling_and_only_the_house_method_the_algorithms() -> None:
    def of(path: Path) -> set[str]:
        house = path.name in ("dxmi.py", "dxmi_detection.py", "dxdp.py")
        return {
            name
            for name in imports(path)
            if (name.split(".")[0] == "dxbench_baselines" and not name.startswith("dxbench_baselines.starts."))
            or (name.startswith("dxmi.algorithms") and not house)
            or (name.startswith("dxbench.") and name != "dxbench.api")
        }

    methods = [path for path in SOURCES if path.parent.name in ("dxbench_baselines", "starts")]
    assert len(methods) > 20
    assert offences(methods, of) == []


def test_no_addresses_of_registries_and_no_unfinished_marks() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    marks = ["TO" + "DO", "FIX" + "ME", "py" + "pi.org", "files.python" + "hosted"]
    for name in tracked:
        path = ROOT / name
        if path.suffix in (".py", ".md", ".toml", ".txt", ".yml", "") and path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            assert not [mark for mark in marks if mark in text], name
