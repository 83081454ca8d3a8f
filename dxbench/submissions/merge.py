"""A valid bundle's records among the results, all of them or none."""

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from filelock import FileLock

from dxbench import paths
from dxbench.api import MeasuredAgain, ResultRecord, Submission, Task
from dxbench.assets.asset import file_digest
from dxbench.errors import InvalidFile
from dxbench.files.writing import check_writable, write_text_atomically
from dxbench.records.files import record_path, stored_text
from dxbench.records.parts import write_parts
from dxbench.submissions.validate import Report, validate

LOCK = ".merge.lock"
"""A file in a folder of records that is held while records from elsewhere are added."""


def merge(
    bundle: Path, results: Path, *, task: Task | None = None, progress: Callable[[str], None]
) -> tuple[Report, list[Path]]:
    """Validate, then write the records into `results`; an invalid bundle leaves it as it was.

    Raises:
        MissingData: if there is no such bundle.
        UsageError: if `results` cannot be written.
        InvalidFile: if a record appeared in `results` meanwhile.
    """
    check_writable(results, remedy=paths.RESULTS_REMEDY)
    with FileLock(results / LOCK):  # two merges at a time would both find no duplicate
        report = validate(bundle, results=results, task=task, progress=progress)
        return report, place(
            taken_in(report, file_digest(bundle).removeprefix("sha256:")), results
        ) if report.valid else []


def taken_in(report: Report, bundle_sha256: str) -> list[ResultRecord]:
    """The records of a valid bundle with what validation found."""
    trusted = {one.what: one.why for one in report.on_trust}
    return [
        record.model_copy(
            update={
                "submission": Submission(
                    bundle_sha256=bundle_sha256,
                    measured={
                        one.metric: MeasuredAgain(value=one.measured, low=one.low, high=one.high, exact=one.exact)
                        for one in report.rechecked
                        if one.run_id == record.run_id
                    },
                    on_trust=trusted,
                )
            }
        )
        for record in report.records
    ]


def place(records: list[ResultRecord], results: Path) -> list[Path]:
    """Write new records and what they name; should one not go, those before it are taken back."""
    placed: list[Path] = []
    with TemporaryDirectory(dir=results, prefix=".merge-") as folder:
        try:
            for record in records:
                draft = Path(folder) / f"{record.run_id}.json"
                write_parts(results, record)
                write_text_atomically(draft, stored_text(record))
                path = record_path(results, record)
                path.parent.mkdir(parents=True, exist_ok=True)
                os.link(draft, path)  # unlike a rename, never over a file that is there
                placed.append(path)
        except BaseException as error:
            for path in placed:
                path.unlink()
            if isinstance(error, FileExistsError):
                raise InvalidFile(f"{error.filename2 or error.filename} is there already; nothing was merged") from None
            raise
    return placed
