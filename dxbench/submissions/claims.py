"""Checks of what a record says, against itself, the task and the method. Pure functions of records."""

from collections.abc import Iterator

from pydantic import JsonValue

from dxbench.api import MetricCard, ResultRecord, Task
from dxbench.errors import UsageError
from dxbench.metrics.cards import card_of
from dxbench.plain import is_plain, plain, shown_number
from dxbench.plugins import registry
from dxbench.plugins.configure import configure
from dxbench.plugins.registry import load_method
from dxbench.records.files import config_id_of
from dxbench.submissions.defects import Defect
from dxbench.submissions.manifest import Manifest, RunEntry

RUN_AGAIN = "Run it again with `dxbench run --again` and pack anew."
SCORE_AGAIN = "Score the samples again with `dxbench eval --name NAME --nfe K --save` and pack anew."
PACK = "Pack the bundle with `dxbench submit`."


def record_defects(record: ResultRecord, entry: RunEntry, manifest: Manifest, task: Task | None) -> list[Defect]:
    """All that is wrong with one record of a bundle; `task` is None where it is not installed."""
    found = [*_identity(record, entry, manifest), *_origin(record), *_evaluations(record, manifest), *_texts(record)]
    if task is not None:
        found += [*_configuration(record, task), *_protocols(record, task), *_completeness(record, task)]
    return found


def _identity(record: ResultRecord, entry: RunEntry, manifest: Manifest) -> Iterator[Defect]:
    for name in ("task", "task_version", "method", "method_version"):
        got, wanted = getattr(record, name), getattr(manifest, name)
        if got != wanted:
            yield _defect(record, name, f"{got!r} in the record, {wanted!r} in the manifest", PACK)
    identity = config_id_of(record)
    if identity != manifest.config_id:
        yield _defect(record, "config", f"has the id {identity}, the manifest says {manifest.config_id}", PACK)
    if record.seed != entry.seed:
        yield _defect(record, "seed", f"{record.seed} in the record, {entry.seed} in the manifest", PACK)
    if record.run_id != entry.run_id or entry.run_id != f"{identity}-s{entry.seed}":
        wanted = f"{identity}-s{record.seed}"
        yield _defect(record, "run_id", f"{entry.run_id!r}; its configuration and seed make {wanted!r}", PACK)


def _origin(record: ResultRecord) -> Iterator[Defect]:
    if record.provenance.git_dirty or (record.provenance.git_dirty is None and record.provenance.git_sha is not None):
        remedy = f"Commit, so that the code can be found again. {RUN_AGAIN}"
        yield _defect(record, "provenance.git_dirty", "measured with uncommitted changes to dxbench", remedy)
    if record.submission is not None:
        yield _defect(record, "submission", "taken in elsewhere already", "Pack the bundle where the run was made.")
    if record.withdrawn is not None:
        yield _defect(record, "withdrawn", f"its numbers are known to be wrong ({record.withdrawn})", RUN_AGAIN)
    if record.reference:
        yield _defect(record, "reference", "a reference row, which only the suite itself adds", "Submit a method.")


def _evaluations(record: ResultRecord, manifest: Manifest) -> Iterator[Defect]:
    """NFE as counted by the run, as declared, and as far as the configuration bounds it."""
    nfe, cost = record.nfe, record.cost
    if record.status != "ok":
        return
    if nfe != manifest.nfe:
        yield _defect(
            record, "nfe", f"counted {shown_number(nfe)}, the manifest declares {shown_number(manifest.nfe)}", PACK
        )
    if (nfe is None) != (record.samples_sha256 is None):
        problem = f"{shown_number(nfe)} with samples {record.samples_sha256}: one without the other"
        yield _defect(record, "nfe", problem, RUN_AGAIN)
    if record.external is not None:
        yield from _outside(record)
        return
    if cost is None:
        yield _defect(record, "cost", "absent from a run that ended well", RUN_AGAIN)
    if nfe is None:
        return
    steps = record.config.get("num_steps")
    if isinstance(steps, int | float) and nfe < steps:
        yield _defect(
            record, "nfe", f"{nfe:g} evaluations for num_steps = {steps}: fewer than one per sampling step", RUN_AGAIN
        )
    if nfe < 1 and (nfe != 0 or cost is None or cost.parameters or cost.sampling_flops):
        flops = cost.sampling_flops if cost else None
        yield _defect(record, "nfe", f"{nfe:g} evaluations, although a sample took {flops} operations", RUN_AGAIN)


def _outside(record: ResultRecord) -> Iterator[Defect]:
    """Claims that samples from outside may not make: costs that nobody saw, other passes, a method's name."""
    passes = record.config.get("nfe")
    if record.nfe is None or record.nfe < 1 or record.nfe != passes:
        said = f"{record.external} {shown_number(record.nfe)}, its configuration says {passes}"
        problem = f"{said}; wanted one number, 1 at least"
        yield _defect(record, "nfe", problem, SCORE_AGAIN)
    if record.cost is not None:
        yield _defect(record, "cost", "of samples from outside, whose costs nobody saw", SCORE_AGAIN)
    if record.method in registry.plugins("methods"):
        problem = f"{record.method!r} is a method here, which did not draw these samples"
        yield _defect(record, "method", problem, SCORE_AGAIN)


def _texts(record: ResultRecord) -> Iterator[Defect]:
    """Texts that a reader would not see as they are: controls, marks that reorder, halves of characters."""
    for where, text in _strings(record.model_dump(mode="json"), ""):
        if not is_plain(text.replace("\n", "")):
            yield _defect(record, plain(where), f"has characters that nobody sees: {plain(text)[:80]}", RUN_AGAIN)
        elif "\n" in text and where not in _LONG:
            yield _defect(record, where, f"has more than one line: {plain(text)[:80]}", RUN_AGAIN)


_LONG = ("card.description", "failure.message")
"""Where a text may have several lines."""


def _strings(value: JsonValue, where: str) -> Iterator[tuple[str, str]]:
    """Every text of a record, keys included, with where it stands."""
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item, where)
    elif isinstance(value, dict):
        for key, item in value.items():
            inner = f"{where}.{key}" if where else key
            yield inner, key
            yield from _strings(item, inner)


def _configuration(record: ResultRecord, task: Task) -> Iterator[Defect]:
    """A method that is installed here has to accept preset and overrides, and to make this very configuration of them.

    What is installed is the reader's own; a name in a bundle loads no file.
    """
    if record.external is not None or record.method not in registry.plugins("methods"):
        yield from _overrides(record)
        return
    method = load_method(record.method)
    if record.method_version != method.version:
        problem = f"version {record.method_version}, {method.name} is at {method.version} here"
        yield _defect(record, "method_version", problem, RUN_AGAIN)
        return
    try:
        made = configure(method, task, record.preset, record.overrides).model_dump(mode="json")
    except UsageError as error:
        yield _defect(record, "config", f"{method.name} does not accept it ({error})", RUN_AGAIN)
        return
    for key in sorted(made.keys() | record.config.keys()):
        got, wanted = record.config.get(key, _ABSENT), made.get(key, _ABSENT)
        if type(got) is not type(wanted) or got != wanted:
            problem = f"{got!r}, where preset {record.preset!r} and the overrides make it {wanted!r}"
            yield _defect(record, f"config.{key}", problem, RUN_AGAIN)


_ABSENT = "no such key"


def _overrides(record: ResultRecord) -> Iterator[Defect]:
    """Tables label rows by their overrides, which have to be what was run."""
    for key, value in record.overrides.items():
        if key not in record.config or not _agree(value, record.config[key]):
            got = record.config.get(key, "no such key")
            yield _defect(record, f"overrides.{key}", f"{value!r}, where the configuration has {got!r}", RUN_AGAIN)


def _agree(override: JsonValue, configured: JsonValue) -> bool:
    return override == configured or str(override) == str(configured)


def _protocols(record: ResultRecord, task: Task) -> Iterator[Defect]:
    """Fingerprints are recomputed from the fields, and have to be those of the task as installed here."""
    for fingerprint, protocol in record.protocols.items():
        if protocol.fingerprint != fingerprint:
            yield _defect(
                record, f"protocols.{fingerprint}", f"its fields have the fingerprint {protocol.fingerprint}", RUN_AGAIN
            )
    current = {metric.name: metric.protocol for metric in task.metrics}
    for name, estimate in record.scores.items():
        where = f"scores.{name}"
        if name not in current:
            yield _defect(record, where, f"{task.name} has no metric of that name", RUN_AGAIN)
        elif estimate.fingerprint != current[name].fingerprint:
            claimed = record.protocols.get(estimate.fingerprint)
            differing = _differing(claimed.fields if claimed else {}, current[name].fields)
            yield _defect(
                record,
                where,
                f"measured by protocol {estimate.fingerprint}, {task.name} measures by {current[name].fingerprint}"
                f"{differing}",
                RUN_AGAIN,
            )
        elif estimate.fingerprint not in record.protocols:
            yield _defect(record, where, f"its protocol {estimate.fingerprint} is not in the record", RUN_AGAIN)
        if (estimate.n > 1) != (estimate.std is not None):
            yield _defect(record, where, f"n = {estimate.n}, std = {estimate.std}: one without the other", RUN_AGAIN)
    cards = {metric.name: card for metric in task.metrics if (card := card_of(metric)) is not None}
    for name in record.scores.keys() & cards.keys():
        yield from _range(record, name, cards[name])


def _range(record: ResultRecord, name: str, card: MetricCard) -> Iterator[Defect]:
    """Values that the metric can have, and the way it is read."""
    estimate, where = record.scores[name], f"scores.{name}"
    for value in (estimate.value, *estimate.parts.values()):
        if (card.low is not None and value < card.low) or (card.high is not None and value > card.high):
            yield _defect(record, where, f"{value:g}, outside of {card.range}", RUN_AGAIN)
    if estimate.better != card.better:
        yield _defect(record, where, f"better = {estimate.better!r}, the metric's is {card.better!r}", RUN_AGAIN)


def _differing(claimed: dict[str, JsonValue], current: dict[str, JsonValue]) -> str:
    names = sorted(name for name in claimed.keys() & current.keys() if claimed[name] != current[name])
    return f" ({', '.join(f'{name}: {claimed[name]!r} against {current[name]!r}' for name in names)})" if names else ""


def _completeness(record: ResultRecord, task: Task) -> Iterator[Defect]:
    """Nothing may be left out: a metric has a score or a note why not."""
    if record.task_version != task.version:
        problem = f"version {record.task_version}, {task.name} is at {task.version} here"
        yield _defect(record, "task_version", problem, RUN_AGAIN)
    if record.headline != list(task.headline):
        yield _defect(record, "headline", f"{record.headline}, {task.name} has {list(task.headline)}", RUN_AGAIN)
    if record.status == "ok":
        silent = [m.name for m in task.metrics if m.name not in record.scores and m.name not in record.notes]
        if silent:
            yield _defect(record, "scores", f"neither score nor note for {', '.join(silent)}", RUN_AGAIN)
    elif record.scores:
        yield _defect(record, "scores", f"there are some although the run ended as {record.status}", RUN_AGAIN)


def _defect(record: ResultRecord, field: str, problem: str, remedy: str) -> Defect:
    return Defect(where=f"records/{record.run_id}: {field}", problem=problem, remedy=remedy)
