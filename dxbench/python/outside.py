"""Records of samples that no run of dxbench drew: what is said of them, what is measured, and where it is kept."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from dxbench import paths
from dxbench.api import Evaluation, MethodCard, ResultRecord, Task
from dxbench.api.streams import derive_seed
from dxbench.engine import provenance
from dxbench.engine.undisturbed import undisturbed
from dxbench.errors import InvalidFile, UsageError
from dxbench.features.sources import silent
from dxbench.files.arrays import array_sha256, save_arrays
from dxbench.files.writing import check_writable
from dxbench.plain import counted
from dxbench.plugins.configure import DEFAULT_PRESET
from dxbench.plugins.registry import TaskRef, load_task, plugins
from dxbench.python.evaluating import judged
from dxbench.python.samplers import networks_of, source_of
from dxbench.python.scores import Scores
from dxbench.records.entries import Entry
from dxbench.records.files import config_id, work_folder, write_record
from dxbench.records.index import open_index, task_folders
from dxbench.records.sketches import copied, sketch

VERSION = 1
"""Of the method that a record from outside names, which has no code here that could change."""
CARD = MethodCard(family="from outside", summary="Samples that no run of dxbench drew.")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True, kw_only=True)
class Outside:
    """The claims about samples from outside.

    Attributes:
        name: of the method, as tables show it; no method and no other record may have it.
        nfe: network evaluations per sample, claimed; None where they can be counted.
        seed: of the training or the sampling, which tells repeats apart.
        settings: arguments that a sampler is called with; they make rows of their own, as passes do.

    Raises:
        UsageError: for a name that cannot stand in a table, or passes that are no number from 1 on.
    """

    name: str
    nfe: float | None = None
    seed: int = 0
    settings: Mapping[str, JsonValue] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise UsageError(
                f"--name {self.name!r} wants a word of letters, digits, '_', '.' and '-', 100 at most, such as MyMethod"
            )
        if self.nfe is not None and not 1 <= self.nfe < float("inf"):
            raise UsageError(f"--nfe {self.nfe:g} is no number of passes per sample; a sample takes one at least")
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed} is below 0; seeds count from 0")
        if "nfe" in self.settings:
            raise UsageError("--set nfe=... would hide the passes; give that argument of the sampler another name")

    def first_seed(self, task: Task) -> int:
        """The seed of the first sample that a sampler draws."""
        return derive_seed(self.name, task.name, self.seed, "samples")

    def require_free(self, results: Path) -> None:
        """Refuse a name that is taken, in whatever case of its letters.

        Raises:
            UsageError: if a method is called so, or a record in `results` or among the reference results.
        """
        other = "choose another name"
        for method in plugins("methods"):
            if method.casefold() == self.name.casefold():
                raise UsageError(f"{self.name!r} is the name of the method {method!r}; {other}")
        own = results.resolve()
        for folder in dict.fromkeys([paths.reference_results().resolve(), own]):
            for entry in _named(folder, self.name):
                if folder != own or entry.external is None or entry.method != self.name:
                    raise UsageError(f"{self.name!r} is the name of the row {entry.method!r} of {entry.task}; {other}")

    def require_passes(self, source: Any) -> None:
        """Refuse, before anything is drawn, samples whose passes are neither claimed nor can be counted.

        Args:
            source: as `samplers.source_of` gives it.

        Raises:
            UsageError: saying how to claim them.
        """
        if self.nfe is None and not networks_of(source):
            raise UsageError(f"give --nfe N, the number of network passes that one sample of {self.name} took")

    def record(self, task: Task, found: Evaluation, *, command: str | None) -> ResultRecord:
        """The record of an evaluation.

        Raises:
            InvalidFile: if passes were counted, and are others than those claimed.
        """
        if found.nfe is not None and self.nfe not in (None, found.nfe):
            raise InvalidFile(
                f"--nfe claims {self.nfe:g}, and {counted(found.nfe, 'pass', 'passes')} per sample "
                f"{'was' if found.nfe == 1 else 'were'} counted; leave --nfe out"
            )
        nfe = float(found.nfe or self.nfe or 0.0)
        config: dict[str, JsonValue] = {"nfe": int(nfe) if nfe.is_integer() else nfe, **self.settings}
        samples = found.arrays.get("samples")
        identity = config_id(task.name, task.version, self.name, VERSION, config)
        return ResultRecord(
            run_id=f"{identity}-s{self.seed}",
            task=task.name,
            task_version=task.version,
            method=self.name,
            method_version=VERSION,
            card=CARD,
            preset=DEFAULT_PRESET,
            overrides=config,
            config=config,
            seed=self.seed,
            status="ok",
            nfe=nfe,
            samples_sha256=None if samples is None else array_sha256(samples),
            samples_sketch=[] if samples is None else sketch(samples),
            headline=[name for name in task.headline if name in found.scores or name in found.notes]
            or list(found.scores),
            scores=found.scores,
            notes=found.notes,
            warnings=list(found.warnings),
            protocols=found.protocols,
            provenance=provenance.collect(resumed=0, command=command),
            external="claimed" if found.nfe is None else "counted",
        )


def add_result(
    samples: Any,
    task: TaskRef,
    *,
    name: str,
    nfe: float | None = None,
    seed: int = 0,
    results: str | Path | None = None,
    **settings: JsonValue,
) -> Scores:
    """Score samples from outside and put them on record, to stand in tables, comparisons and the site.

    As `dxbench eval --name --save` does. Such rows rank among themselves alone.

    >>> import dxbench, numpy as np
    >>> samples = np.random.default_rng(0).normal(size=(100_000, 2))
    >>> scores = dxbench.add_result(samples, "gaussians8", name="OneGaussian", nfe=1)
    >>> dxbench.table("gaussians8").loc["OneGaussian[nfe=1] (yours)", "kind"]
    'external'

    Args:
        samples: what `evaluate` takes with a task.
        task: by name, `path/to/file.py:Class`, class or object.
        name: of the method, as tables show it.
        nfe: network evaluations per sample, as claimed; left out for a model whose networks are counted.
        seed: of the training or the sampling, which tells repeats apart; a sampler draws other samples for each.
        results: the folder of the record; default DXBENCH_RESULTS.
        **settings: what the sampler of a file or a folder is called with, beside the seeds.

    Raises:
        UsageError: for a name that is taken, passes neither claimed nor counted, or other samples of that seed.
        InvalidFile: for samples that do not fit the task, or passes that were counted to be others.
        MissingData, NothingMeasured: as `evaluate`.
    """
    said, folder = Outside(name=name, nfe=nfe, seed=seed, settings=settings), Path(results or paths.results())
    said.require_free(folder)
    chosen = load_task(task)
    source = source_of(samples, chosen, settings)
    said.require_passes(source)
    with undisturbed(networks_of(source)):
        found, n = judged(source, chosen, seed=said.first_seed(chosen), progress=silent)
    where = repr(str(samples)) if isinstance(samples, str | Path) else "samples"
    call = {"name": name, "nfe": nfe, "seed": seed, **settings}
    command = f"dxbench.add_result({where}, {chosen.name!r}, {', '.join(f'{k}={v!r}' for k, v in call.items())})"
    record = said.record(chosen, found, command=command)
    keep(record, found, results=folder, home=paths.home())
    return Scores.of(record, n=n)


def keep(record: ResultRecord, found: Evaluation, *, results: Path, home: Path) -> Path:
    """Write a record from outside, and its samples as a run keeps them, so that they can be submitted.

    The same samples scored again replace their record.

    Raises:
        UsageError: if the row has other samples of that seed, or these samples, in whatever order, at another.
    """
    check_writable(results, remedy=paths.RESULTS_REMEDY)
    for entry in _named(results, record.method):
        if entry.run_id.rpartition("-s")[0] == record.run_id.rpartition("-s")[0]:
            _require_own_samples(record, entry)
    if found.arrays:
        check_writable(home, remedy=paths.HOME_REMEDY)
        folder = work_folder(home, task=record.task, method=record.method, run_id=record.run_id)
        save_arrays(folder / "arrays.npz", found.arrays)
    return write_record(results, record)


def _require_own_samples(record: ResultRecord, known: Entry) -> None:
    """Raise UsageError unless seeds and samples of two records of one row go together."""
    theirs = known.record()
    same = theirs.samples_sha256 == record.samples_sha256 and (
        theirs.samples_sha256 is not None or known.scores == record.scores
    )
    # Another order, or a change of a few samples, makes no other training.
    shared = same or copied(theirs.samples_sketch, record.samples_sketch, share=1.0)
    if shared and known.seed != record.seed:
        raise UsageError(f"these are the samples of seed {known.seed} of {record.method}; each seed has its own")
    if not same and known.seed == record.seed:
        raise UsageError(
            f"{record.method} has other samples of seed {record.seed} in {known.path}; remove that file, or say "
            "another --seed"
        )


def _named(results: Path, name: str) -> Iterator[Entry]:
    """Entries of a folder whose method goes by a name, in whatever case."""
    for task in task_folders(results):
        if any(place.name.casefold() == name.casefold() for place in (results / task).iterdir()):
            for entry in open_index([results], task=task).entries(task):
                if entry.method.casefold() == name.casefold():
                    yield entry
