"""Shared fixtures: a private home for runs, and the command line in this process."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from jaxtyping import install_import_hook

# Every call into the library is checked against the shapes in its signature, in tests only.
install_import_hook("dxmi", "beartype.beartype")

from dxbench.cli import main  # noqa: E402

# Tests run side by side and on small tensors; threads only get in each other's way.
torch.set_num_threads(1)

SLOW_SECONDS = 1800
"""Limit of a slow or an attacking test, which on a loaded machine takes several times what it takes alone."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("slow") or item.get_closest_marker("attack"):
            item.add_marker(pytest.mark.timeout(SLOW_SECONDS), append=True)


METHODS = Path(__file__).parent / "methods.py"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runs and records of a test go to its own folder, and no cache of other packages is looked into."""
    folder = tmp_path / "home"
    monkeypatch.setenv("DXBENCH_HOME", str(folder))
    monkeypatch.delenv("DXBENCH_RESULTS", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    return folder


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def dxbench(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Runs a dxbench command in this process."""

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["dxbench", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        return Ended(int(ended.value.code or 0), out, err)

    return run


def method(name: str) -> str:
    """Reference to a method of tests/methods.py."""
    return f"{METHODS}:{name}"
