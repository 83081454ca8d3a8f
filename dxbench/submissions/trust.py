"""Claims of a bundle that nobody here can check."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dxbench.api import ResultRecord
from dxbench.plugins import registry
from dxbench.submissions.evidence import Rechecked


@dataclass(frozen=True, kw_only=True)
class OnTrust:
    """One thing that is believed because the sender says so.

    Attributes:
        what: a metric, or a phrase for anything else.
        why: why it could not be checked.
    """

    what: str
    why: str


def on_trust(records: Sequence[ResultRecord], rechecked: Sequence[Rechecked], *, known_nfe: bool) -> Iterator[OnTrust]:
    """The claims that the records of one configuration leave to trust.

    Args:
        known_nfe: records that are there already have other seeds of the configuration.
    """
    if records and all(record.external is not None for record in records):
        yield OnTrust(what="NFE", why="as the sender says; no run of dxbench drew these samples")
        yield OnTrust(what="training", why="that the samples come from what their name says, trained as it should be")
    else:
        yield from _of_runs(records, known_nfe=known_nfe)
    if any(record.provenance.git_sha is None for record in records):
        yield OnTrust(what="code", why="not from a checkout, so that no commit names it")
    exact = {one.metric for one in rechecked if one.exact}
    bounded = {one.metric for one in rechecked} - exact
    for name in sorted({name for record in records for name in record.scores} - exact):
        within = f"within what a part of the samples allows: {_ranges(rechecked, name)}"
        yield OnTrust(what=name, why=within if name in bounded else "the samples shown do not give it")
    for name, note in sorted({name: note for record in records for name, note in record.notes.items()}.items()):
        yield OnTrust(what=name, why=f"not measured: {note}")


def _of_runs(records: Sequence[ResultRecord], *, known_nfe: bool) -> Iterator[OnTrust]:
    yield OnTrust(what="training", why="that the samples come from this method, trained as its configuration says")
    if any(record.nfe is not None for record in records) and not known_nfe:
        yield OnTrust(what="NFE", why="as counted by the sender; no other run of this configuration is known")
    if any(record.method not in registry.plugins("methods") for record in records):
        yield OnTrust(what="configuration", why="the method is not installed here, which would check it")
    yield OnTrust(what="costs", why="seconds, operations, parameters and memory, as counted by the sender")


def _ranges(rechecked: Sequence[Rechecked], metric: str) -> str:
    return ", ".join(one.range for one in rechecked if one.metric == metric)
