"""The outcome of a push or a pull, and the comparison of two copies of a run."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dxbench.api import ResultRecord
from dxbench.errors import InvalidFile
from dxbench.plain import counted
from dxbench.records.files import Unreadable

_VERDICT = "submission"
"""The one part of a record that is not of the run: what whoever took it in could check."""


@dataclass(frozen=True, kw_only=True)
class Moved:
    """The outcome of a push or a pull; names are those in the repository.

    Attributes:
        place: the remote, for people.
        revision: the commit that was made; "" where none was.
        records: those that moved, or that would.
        bundles, pictures: likewise.
        left: records that were not asked for, since no run of their configuration has a number: how each ended.
        same: those that were there already.
        problems: what was left where it is, and why.
    """

    place: str
    revision: str = ""
    records: Sequence[str] = ()
    bundles: Sequence[str] = ()
    pictures: Sequence[str] = ()
    same: Sequence[str] = ()
    left: Mapping[str, str] = field(default_factory=dict)
    problems: Sequence[Unreadable] = field(default_factory=list)

    def refuse_problems(self) -> None:
        """Raise InvalidFile, naming everything that was left, if there is anything."""
        if self.problems:
            listing = "\n".join(f"  {problem.path}: {problem.reason}" for problem in self.problems)
            raise InvalidFile(f"left in place: {counted(len(self.problems), 'file')}:\n{listing}")


def endings(left: Mapping[str, str]) -> str:
    """The ends of runs, counted, such as "3 failed, 1 skipped"."""
    return ", ".join(f"{count} {ended.replace('_', ' ')}" for ended, count in Counter(left.values()).items())


def differing(one: ResultRecord, other: ResultRecord) -> list[str]:
    """The fields in which two records of a run differ. What was checked of a submission does not count."""
    a, b = (record.model_dump(mode="json", exclude={_VERDICT}) for record in (one, other))
    return [name for name in a if a[name] != b[name]]


def conflict(fields: Sequence[str], *, remedy: str) -> str:
    """The sentence on a run that is on either side with other content."""
    return f"the same run has other content there ({', '.join(fields)} differ), and nothing is overwritten; {remedy}"
