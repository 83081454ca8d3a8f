"""The records of a bundle held against each other, and against the records that are there already."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dxbench.api import ResultRecord
from dxbench.plain import shown_number
from dxbench.records.index import open_index
from dxbench.submissions.claims import PACK, RUN_AGAIN, SCORE_AGAIN
from dxbench.submissions.defects import Defect
from dxbench.submissions.manifest import MANIFEST, Manifest


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
    first: dict[str, str] = {}
    for run in manifest.runs:
        shared = {first[block] for block in (run.samples.blocks if run.samples else []) if block in first}
        for other in sorted(shared - {run.run_id}):
            problem = f"{run.run_id} and {other} have samples in common"
            yield Defect(where=f"{MANIFEST}: runs", problem=problem, remedy=RUN_AGAIN)
        first |= dict.fromkeys(run.samples.blocks if run.samples else [], run.run_id)


def agreement_defects(records: Sequence[ResultRecord]) -> Iterator[Defect]:
    """Check that one configuration has in common what it must, whatever the seed."""
    well = [record for record in records if record.status == "ok"]
    if not well:
        yield Defect(where="bundle", problem="no run ended well, so nothing was measured", remedy=RUN_AGAIN)
    counted = {
        "cost.sampling_flops": [record.cost.sampling_flops for record in well if record.cost],
        "cost.parameters": [record.cost.parameters for record in well if record.cost],
        "nfe": [record.nfe for record in well],
        "external": [record.external for record in well],
    }
    for field, values in counted.items():
        if len(set(values)) > 1:
            listing = ", ".join(f"seed {r.seed}: {v}" for r, v in zip(well, values, strict=False))
            yield Defect(where=f"records: {field}", problem=f"differs between seeds ({listing})", remedy=RUN_AGAIN)


@dataclass(frozen=True)
class Known:
    """The knowledge of a task in the records that are there already.

    Attributes:
        methods: those that have run.
        nfe: by configuration.
        sketches: of samples, by run.
        hashes: the run of each hash of samples.
        readings: how a metric is read, and of how many measurements, by fingerprint of its protocol.
    """

    results: Path
    runs: frozenset[str]
    methods: frozenset[str]
    nfe: Mapping[str, float | None]
    sketches: Mapping[str, list[str]]
    hashes: Mapping[str, str]
    readings: Mapping[str, tuple[str, str, int]]

    @classmethod
    def of(cls, results: Path, task: str) -> "Known":
        """Read from a folder.

        Raises:
            InvalidFile: if a file among its records is no record, so that a duplicate could hide.
        """
        index = open_index([results], task=task)
        index.refuse_problems()
        entries = index.entries(task)
        records = [entry.record() for entry in entries]
        return cls(
            results=results,
            runs=frozenset(entry.run_id for entry in entries),
            methods=frozenset(entry.method for entry in entries if entry.external is None),
            nfe={entry.config_id: entry.nfe for entry in entries if entry.status == "ok"},
            sketches={record.run_id: record.samples_sketch for record in records},
            hashes={record.samples_sha256: record.run_id for record in records if record.samples_sha256 is not None},
            readings={e.fingerprint: (e.better, e.unit, e.n) for entry in entries for e in entry.scores.values()},
        )


def known_defects(records: Sequence[ResultRecord], known: Known) -> Iterator[Defect]:
    """Runs that are there already, samples of someone else, another NFE or another reading of a metric."""
    for record in records:
        where = f"records/{record.run_id}"
        if record.run_id in known.runs:
            remedy = "Remove the older record first if this one is to take its place; git keeps it."
            yield Defect(where=where, problem=f"is in {known.results} already", remedy=remedy)
        elif (known_run := known.hashes.get(record.samples_sha256 or "")) is not None:
            problem = f"the very samples of {known_run} in {known.results}"
            yield Defect(where=f"{where}: samples_sha256", problem=problem, remedy=RUN_AGAIN)
        if record.external is not None and record.method in known.methods:
            problem = f"{record.method!r} is a method that has records in {known.results}"
            yield Defect(where=f"{where}: method", problem=problem, remedy=SCORE_AGAIN)
        yield from _against_known(record, known)


def _against_known(record: ResultRecord, known: Known) -> Iterator[Defect]:
    where, config = f"records/{record.run_id}", record.run_id.rpartition("-s")[0]
    if record.status == "ok" and config in known.nfe and known.nfe[config] != record.nfe:
        other = shown_number(known.nfe[config])
        problem = f"{shown_number(record.nfe)}, other seeds of this configuration in {known.results} have {other}"
        yield Defect(where=f"{where}: nfe", problem=problem, remedy=RUN_AGAIN)
    for name, estimate in record.scores.items():
        reading, own = known.readings.get(estimate.fingerprint), (estimate.better, estimate.unit, estimate.n)
        if reading is not None and reading != own:
            problem = f"better, unit, n = {own}; records in {known.results} have {reading}"
            yield Defect(where=f"{where}: scores.{name}", problem=problem, remedy=RUN_AGAIN)
