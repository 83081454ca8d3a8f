"""Findings of a regression gate."""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from dxbench.api import Direction
from dxbench.errors import ExitCode

NoiseModel = Literal["paired", "Welch", "prediction", "exact"]


class Verdict(StrEnum):
    """The gate's verdict on one number."""

    REGRESSION = "regression"
    NOT_COMPARABLE = "not comparable"
    NOT_MEASURED = "not measured"
    NO_NOISE_MODEL = "no noise model"
    NO_BASELINE = "no baseline"
    IMPROVED = "improved"
    UNCHANGED = "unchanged"

    @property
    def judged(self) -> bool:
        """True where a number was held against its baseline."""
        return self in (Verdict.REGRESSION, Verdict.IMPROVED, Verdict.UNCHANGED)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One metric of one row.

    Attributes:
        metric: a metric's name, "nfe", "row" for all metrics together, or "run" for what concerns whole runs.
        baseline: mean over its seeds; `candidate` likewise.
        seeds: of the baseline and of the candidate.
        noise: which test judged, None where none could.
        change: candidate - baseline, over the seeds the test used; of a row in standard deviations, up is worse.
        p_value: one-sided, of a change in the direction found, adjusted over all tests of the check
            (Benjamini-Hochberg).
        detectable: the smallest change for the worse that would have been significant whatever the other tests say.
        reason: why there is no verdict, or what broke.
    """

    task: str
    row: str
    metric: str
    verdict: Verdict
    baseline: float | None = None
    candidate: float | None = None
    seeds: tuple[int, int] = (0, 0)
    better: Direction = "none"
    noise: NoiseModel | None = None
    change: float | None = None
    p_value: float | None = None
    detectable: float | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class CostChange:
    """The cost of a run, then and now; shown and never judged, since machines differ."""

    task: str
    row: str
    cost: str
    baseline: float
    candidate: float


@dataclass(frozen=True, kw_only=True)
class Gate:
    """All findings of one check.

    Attributes:
        costs: those that differ.
        notes: what a reader has to know: changed configurations, uncommitted code.
        absent: rows of the baseline that were not run.
    """

    alpha: float
    rel_tol: float
    findings: tuple[Finding, ...]
    costs: tuple[CostChange, ...] = ()
    notes: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[Verdict, int]:
        """Number of findings by verdict, the gravest first."""
        found = Counter(one.verdict for one in self.findings)
        return {verdict: found[verdict] for verdict in Verdict if found[verdict]}

    @property
    def exit_code(self) -> ExitCode:
        """4 for a regression; 6 where nothing was judged, or a number that has a baseline could not be."""
        counts = self.counts
        if Verdict.REGRESSION in counts:
            return ExitCode.REGRESSION
        lost = Verdict.NOT_COMPARABLE in counts or Verdict.NOT_MEASURED in counts
        return ExitCode.NOT_COMPARABLE if lost or not any(v.judged for v in counts) else ExitCode.OK
