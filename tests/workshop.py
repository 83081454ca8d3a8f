"""Fixtures: a sound bundle, and ways to build one that is not. Test modules name this one in `pytest_plugins`."""

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_task import PLUGIN, draw, keep, measured

from dxbench.api import ResultRecord
from dxbench.plugins import registry
from dxbench.submissions.manifest import Manifest
from dxbench.submissions.pack import make_manifest, write_bundle
from dxbench.submissions.validate import Report, validate

SEEDS = (0, 1)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny task is installed."""
    monkeypatch.setitem(registry.plugins("tasks"), "tiny", PLUGIN)


@pytest.fixture(scope="session")
def arrays() -> dict[int, np.ndarray]:
    return {seed: draw(seed) for seed in SEEDS}


@pytest.fixture(scope="session")
def sound(arrays: dict[int, np.ndarray]) -> list[ResultRecord]:
    """Honest records, one per seed."""
    return [measured(seed, arrays[seed]) for seed in SEEDS]


@dataclass
class Workshop:
    """Builds bundles, honest or not, with every hash as a forger would set it."""

    folder: Path
    records: list[ResultRecord]
    samples: dict[str, np.ndarray | None]

    def build(
        self,
        *,
        records: list[ResultRecord] | None = None,
        samples: dict[str, np.ndarray | None] | None = None,
        manifest: Callable[[Manifest], Manifest] = lambda manifest: manifest,
        shown: dict[str, np.ndarray | None] | None = None,
        wanted: int | None = None,
    ) -> Path:
        """`samples` are committed to, `shown` are put into the bundle."""
        records = self.records if records is None else records
        samples = self.samples if samples is None else samples
        path = self.folder / "bundle.zip"
        with path.open("wb") as file:
            contents = manifest(make_manifest(records, samples))
            write_bundle(file, contents, records, samples if shown is None else shown, wanted=wanted)
        return path

    def changed(self, **fields: Any) -> list[ResultRecord]:
        """The records with the first one's fields changed."""
        return [self.records[0].model_copy(update=fields), *self.records[1:]]

    def rezip(self, path: Path, change: Callable[[dict[str, bytes]], dict[str, bytes]]) -> Path:
        """The bundle with its members changed by hand."""
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in change(members).items():
                archive.writestr(name, data)
        return path

    def validate(self, path: Path) -> Report:
        return validate(path, results=self.folder / "known", progress=lambda text: None)


@pytest.fixture
def workshop(tiny: None, tmp_path: Path, sound: list[ResultRecord], arrays: dict[int, np.ndarray]) -> Workshop:
    return Workshop(tmp_path, sound, {record.run_id: arrays[record.seed] for record in sound})


@pytest.fixture
def kept(tiny: None, home: Path, sound: list[ResultRecord], arrays: dict[int, np.ndarray]) -> Path:
    """A home with the sound runs in it."""
    for record in sound:
        keep(record, arrays[record.seed], home)
    return home


def npy(array: np.ndarray, *, allow_pickle: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=allow_pickle)
    return buffer.getvalue()
