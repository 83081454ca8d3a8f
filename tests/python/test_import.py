"""`import dxbench` costs next to nothing, and every name of its face is there when it is asked for."""

import subprocess
import sys
from importlib import import_module

import pytest

import dxbench

HEAVY = ("torch", "numpy", "pandas", "scipy", "matplotlib", "pydantic", "rich", "typer")
TIMED = """
import time
begun = time.perf_counter()
import dxbench
seconds = time.perf_counter() - begun
import sys
print(seconds, [name for name in %r if name in sys.modules])
"""


def test_importing_is_quick_and_loads_nothing_heavy() -> None:
    seconds = []
    for _ in range(3):  # another process may take the time of one
        code = TIMED % (HEAVY,)
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        took, _, loaded = ended.stdout.strip().partition(" ")
        assert loaded == "[]"
        seconds.append(float(took))
    assert min(seconds) < 0.1


def test_listing_tasks_and_methods_loads_no_torch() -> None:
    code = (
        "import dxbench, sys; assert len(dxbench.tasks()) > 5 < len(dxbench.methods()); print('torch' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "False"


@pytest.mark.parametrize("name", dxbench.__all__)
def test_every_name_is_there_and_says_what_it_is(name: str) -> None:
    assert callable(getattr(dxbench, name))
    assert (getattr(dxbench, name).__doc__ or "").strip()
    assert name in dir(dxbench)


def test_a_name_that_is_not_there_is_none() -> None:
    with pytest.raises(AttributeError, match="no attribute 'tabel'"):
        dxbench.tabel  # noqa: B018
    assert dxbench.errors.UsageError is import_module("dxbench.errors").UsageError


def test_packages_of_tasks_and_metrics_list_them_also_once_their_modules_are_loaded() -> None:
    import dxbench.metrics.points.sliced
    import dxbench.tasks.gaussians8

    assert dxbench.tasks.gaussians8.Gaussians8.name == "gaussians8"
    tasks, methods, metrics = dxbench.tasks(), dxbench.methods(), dxbench.metrics()
    assert tasks.loc["gaussians8", "summary"].startswith("Eight Gaussians")
    assert methods.loc["dxmi", "package"] == "dxmi-bench"
    assert metrics.loc["sw2", "better"] == "lower"
    assert "gaussians8" in metrics.loc["energy_auc", "tasks"]
    assert all(frame.index.is_unique and frame.index.is_monotonic_increasing for frame in (tasks, methods, metrics))
