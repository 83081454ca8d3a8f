"""The records of a bundle held against each other, and against the records that are there already."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from dxbench.api import ResultRecord
from dxbench.boards.entries import Entry
from dxbench.boards.index import open_index
from dxbench.submissions.claims import PACK, RUN_AGAIN
from dxbench.submissions.defects import Defect
from dxbench.submissions.manifest import Manifest


def manifest_defects(manifest: Manifest) -> Iterator[Defect]:
    """Runs named twice, and seeds that were left out."""
    counts = Counter(run.run_id for run in manifest.runs)
    for run_id, count in counts.items():
        if count > 1:
            yield Defect(where="manifest.json: runs", problem=f"{run_id} is named {count} times", remedy=PACK)
    seeds = sorted({run.seed for run in manifest.runs})
    if seeds != list(range(len(seeds))):
        yield Defect(
            where="manifest.json: runs",
            problem=f"seeds {', '.join(map(str, seeds))}; wanted 0, 1, 2 and on, none left out, so that none is picked",
            remedy="Run the missing seeds and pack anew.",
        )


def agreement_defects(records: Sequence[ResultRecord]) -> Iterator[Defect]:
    """What one configuration has to have in common, whatever the seed."""
    well = [record for record in records if record.status == "ok"]
    if not well:
        yield Defect(where="bundle", problem="no run ended well, so nothing was measured", remedy=RUN_AGAIN)
    counted = {
        "cost.sampling_flops": [record.cost.sampling_flops for record in well if record.cost],
        "cost.parameters": [record.cost.parameters for record in well if record.cost],
        "nfe": [record.nfe for record in well],
    }
    for field, values in counted.items():
        if len(set(values)) > 1:
            listing = ", ".join(f"seed {r.seed}: {v}" for r, v in zip(well, values, strict=False))
            yield Defect(where=f"records: {field}", problem=f"differs between seeds ({listing})", remedy=RUN_AGAIN)
    yield from _repeated_samples(well)


def _repeated_samples(records: Sequence[ResultRecord]) -> Iterator[Defect]:
    first: dict[str, str] = {}
    for record in records:
        if record.samples_sha256 is None:
            continue
        earlier = first.setdefault(record.samples_sha256, record.run_id)
        if earlier != record.run_id:
            problem = f"the very samples of {earlier}"
            yield Defect(where=f"records/{record.run_id}: samples_sha256", problem=problem, remedy=RUN_AGAIN)


def known_entries(results: Path, task: str) -> list[Entry]:
    """Runs of a task that are there already.

    Raises:
        InvalidFile: if a file among them is no record, so that a duplicate could hide.
    """
    index = open_index([results], task=task)
    index.refuse_problems()
    return index.entries(task)


def known_defects(records: Sequence[ResultRecord], known: Sequence[Entry], results: Path) -> Iterator[Defect]:
    """Runs that are there already, samples of someone else, another NFE or another reading of a metric."""
    runs = {entry.run_id for entry in known}
    samples = {entry.record().samples_sha256: entry.run_id for entry in known}
    counted = {entry.config_id: entry.nfe for entry in known if entry.status == "ok"}
    readings = {e.fingerprint: (e.better, e.unit) for entry in known for e in entry.scores.values()}
    for record in records:
        where = f"records/{record.run_id}"
        if record.run_id in runs:
            remedy = "Remove the older record first if this one is to take its place; git keeps it."
            yield Defect(where=where, problem=f"is in {results} already", remedy=remedy)
        elif record.samples_sha256 is not None and record.samples_sha256 in samples:
            problem = f"the very samples of {samples[record.samples_sha256]} in {results}"
            yield Defect(where=f"{where}: samples_sha256", problem=problem, remedy=RUN_AGAIN)
        yield from _against_known(record, counted, readings, results)


def _against_known(
    record: ResultRecord,
    counted: Mapping[str, float | None],
    readings: Mapping[str, tuple[str, str]],
    results: Path,
) -> Iterator[Defect]:
    config = record.run_id.rpartition("-s")[0]
    if record.status == "ok" and config in counted and counted[config] != record.nfe:
        problem = f"{record.nfe}, other seeds of this configuration in {results} have {counted[config]}"
        yield Defect(where=f"records/{record.run_id}: nfe", problem=problem, remedy=RUN_AGAIN)
    for name, estimate in record.scores.items():
        reading = readings.get(estimate.fingerprint)
        if reading is not None and reading != (estimate.better, estimate.unit):
            problem = f"better = {estimate.better!r}, unit = {estimate.unit!r}; records in {results} have {reading}"
            yield Defect(where=f"records/{record.run_id}: scores.{name}", problem=problem, remedy=RUN_AGAIN)
