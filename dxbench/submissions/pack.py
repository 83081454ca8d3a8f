"""Records and their samples to a bundle."""

import os
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

import numpy as np

from dxbench.api import ResultRecord, Task
from dxbench.errors import InvalidFile, MissingData, UsageError
from dxbench.files.arrays import array_sha256
from dxbench.files.writing import make_folder
from dxbench.records.files import config_id_of, record_text, work_folder
from dxbench.submissions.archive import npy_bytes
from dxbench.submissions.challenge import BLOCK, block_hashes, chosen_blocks
from dxbench.submissions.manifest import (
    MANIFEST,
    Manifest,
    RunEntry,
    SampleCommitment,
    record_member,
    samples_member,
    sha256,
)
from dxbench.submissions.validate import Report, validate

_EPOCH = (1980, 1, 1, 0, 0, 0)  # one bundle per content, whenever it is packed


def pack(
    records: Sequence[ResultRecord],
    out: Path,
    *,
    task: Task,
    home: Path,
    results: Path,
    progress: Callable[[str], None],
) -> Report:
    """Write the bundle of one configuration's records to `out`, if it passes validation against `results`.

    Raises:
        UsageError: if `out` is there already, be it a link that leads nowhere, or cannot be.
        MissingData: if the samples of a run are gone.
        InvalidFile: if the samples of a run are not those its record names.
    """
    if os.path.lexists(out):
        raise UsageError(f"{out} is there already; remove it or choose another place with --out")
    arrays = {record.run_id: _kept_samples(record, home) for record in records}
    manifest = make_manifest(records, arrays)
    make_folder(out.parent)
    with TemporaryDirectory(dir=out.parent, prefix=".dxbench-submit-") as folder:
        draft = Path(folder) / out.name
        with draft.open("wb") as file:
            write_bundle(file, manifest, records, arrays, wanted=task.challenge_blocks)
        report = validate(draft, results=results, task=task, progress=progress)
        if report.valid:
            draft.replace(out)
    return report


def make_manifest(records: Sequence[ResultRecord], arrays: dict[str, np.ndarray | None]) -> Manifest:
    """The table of contents of records of one configuration, in order of seeds, and their [n, *event] samples."""
    first = records[0]
    runs = [
        RunEntry(
            run_id=record.run_id,
            seed=record.seed,
            record_sha256=sha256(record_text(record).encode()),
            samples=_commitment(arrays[record.run_id]),
        )
        for record in sorted(records, key=lambda record: record.seed)
    ]
    return Manifest(
        task=first.task,
        task_version=first.task_version,
        method=first.method,
        method_version=first.method_version,
        config_id=config_id_of(first),
        nfe=next((record.nfe for record in records if record.nfe is not None), None),
        runs=runs,
    )


def write_bundle(
    file: BinaryIO,
    manifest: Manifest,
    records: Sequence[ResultRecord],
    arrays: dict[str, np.ndarray | None],
    *,
    wanted: int | None,
) -> None:
    """Manifest, records, and of the samples the blocks that the manifest's hash asks for."""
    text = manifest.text()
    with zipfile.ZipFile(file, "w") as archive:
        _add(archive, MANIFEST, text)
        for record in records:
            _add(archive, record_member(record.run_id), record_text(record).encode())
            samples = arrays[record.run_id]
            if samples is not None:
                total = -(-len(samples) // BLOCK)
                blocks = chosen_blocks(sha256(text), record.run_id, total=total, wanted=wanted)
                shown = np.concatenate([samples[block * BLOCK : (block + 1) * BLOCK] for block in blocks])
                _add(archive, samples_member(record.run_id), npy_bytes(shown))


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    info = zipfile.ZipInfo(name, date_time=_EPOCH)
    info.external_attr = 0o644 << 16
    archive.writestr(info, data, compress_type=zipfile.ZIP_DEFLATED)


def _commitment(samples: np.ndarray | None) -> SampleCommitment | None:
    if samples is None:
        return None
    return SampleCommitment.model_validate(
        {
            "count": len(samples),
            "dtype": samples.dtype.str,
            "event_shape": list(samples.shape[1:]),
            "array_sha256": array_sha256(samples),
            "blocks": block_hashes(samples),
        }
    )


def _kept_samples(record: ResultRecord, home: Path) -> np.ndarray | None:
    """The samples beside a run, for a record that names some."""
    if record.samples_sha256 is None:
        return None
    path = work_folder(home, task=record.task, method=record.method, run_id=record.run_id) / "arrays.npz"
    again = "run it once more with `dxbench run --again`"
    if not path.is_file():
        raise MissingData(f"the samples of {record.run_id} are not in {path}; set DXBENCH_HOME, or {again}")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            samples = arrays["samples"]
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise InvalidFile(f"{path} is damaged ({error}); {again}") from None
    if array_sha256(samples) != record.samples_sha256:
        raise InvalidFile(f"the samples in {path} are not those of the record {record.run_id}; {again}")
    return samples
