"""Records known to be wrong: they stay, are shown struck out with the reason, and count nowhere."""

from pathlib import Path

from dxbench.api import ResultRecord
from dxbench.errors import UsageError
from dxbench.plain import is_plain
from dxbench.records.files import write_record
from dxbench.records.index import RecordIndex, entries_named


def withdraw(index: RecordIndex, results: Path, name: str, reason: str | None) -> list[ResultRecord]:
    """Mark a run, or all runs of a configuration, as withdrawn for a reason; None takes that back.

    Returns the records that were written, none where all say so already.

    Raises:
        UsageError: if there is no such run, nothing to take back, or no reason in a line that a reader sees.
    """
    if reason is not None and not (reason.strip() and is_plain(reason)):
        raise UsageError(f"--reason takes a line of text that a reader can see, got {reason!r}")
    changed = [entry.record() for entry in entries_named(index, name) if entry.withdrawn != reason]
    if reason is None and not changed:
        raise UsageError(f"{name} is not withdrawn, so that there is nothing to take back")
    written = [record.model_copy(update={"withdrawn": reason}) for record in changed]
    for record in written:
        write_record(results, record)
    return written
