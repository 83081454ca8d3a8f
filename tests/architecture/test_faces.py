"""Every package has a face: names that stay when modules inside move."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DATA = {"dxbench_baselines.recipes", "dxbench_baselines.suites", "dxmi"}
"""Packages without names of their own."""


def packages() -> list[str]:
    """Packages of the suite by dotted name."""
    found = []
    for root in (ROOT / "dxmi", ROOT / "dxbench", ROOT / "baselines" / "dxbench_baselines"):
        for file in sorted(root.rglob("__init__.py")):
            found.append(".".join(file.parent.relative_to(root.parent).parts))
    return [name for name in found if name not in DATA]


def test_every_package_has_a_face_whose_names_are_there() -> None:
    absent = []
    for name in packages():
        package = import_module(name)
        names = getattr(package, "__all__", [])
        absent += [f"{name}.{one}" for one in names if not hasattr(package, one)] + ([] if names else [name])
    assert len(packages()) > 30
    assert absent == []


def test_a_face_of_the_harness_imports_nothing_before_it_is_asked() -> None:
    lazy = [name for name in packages() if name.startswith("dxbench.") and name not in ("dxbench.readers",)]
    lazy = [name for name in lazy if name not in ("dxbench.conformance", "dxbench.boards.render")]
    code = f"import importlib, sys\nfor name in {lazy!r}: importlib.import_module(name)\nprint('torch' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "False"


def test_no_more_than_six_modules_lie_beside_the_rooms() -> None:
    for package in ("dxmi", "dxbench"):
        assert len(list((ROOT / package).glob("*.py"))) <= 6
