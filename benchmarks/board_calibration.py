"""Measure how often boards and the regression gate say what is not so, and how often they see what is: docs/boards.md.

    python benchmarks/board_calibration.py > calibration.md      # forty minutes on one core; --draws 100 for a look

Everything goes through the code that boards and the gate run: `ranks`, `compare` and `check`, on made-up scores.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dxbench.api import Estimate, ResultRecord
from dxbench.boards.aggregate import Row, summarise
from dxbench.boards.check import check
from dxbench.boards.compare import Selection, compare
from dxbench.boards.gate import Verdict
from dxbench.boards.ranking import ranks
from dxbench.records.entries import Entry

Array = NDArray[np.float64]
Law = Callable[[np.random.Generator, int, int], Array]

SEEDS, ROWS = (3, 5, 10), (2, 5, 10)
MEAN, SPREAD = 1.0, 0.1
GATE_ROWS, GATE_METRICS = 10, 5


def _unequal(rng: np.random.Generator, rows: int) -> Array:
    """Scales of rows, a factor of ten between the ends."""
    return np.exp(rng.uniform(np.log(0.3), np.log(3), size=(rows, 1)))


def _skewed(rng: np.random.Generator, rows: int, seeds: int) -> Array:
    """Lognormal numbers around 0 whose logarithm has std 1: skewness 6.2."""
    return np.exp(rng.normal(size=(rows, seeds))) - np.exp(0.5)


LAWS: dict[str, Law] = {
    "normal, equal spreads": lambda rng, k, n: MEAN + SPREAD * rng.normal(size=(k, n)),
    "normal, unequal spreads": lambda rng, k, n: MEAN + SPREAD * _unequal(rng, k) * rng.normal(size=(k, n)),
    "t with 3 degrees of freedom": lambda rng, k, n: MEAN + SPREAD * rng.standard_t(3, size=(k, n)),
    "correlated over seeds (0.5)": lambda rng, k, n: (
        MEAN + SPREAD * (0.5**0.5 * rng.normal(size=n) + 0.5**0.5 * rng.normal(size=(k, n)))
    ),
    "lognormal, equal medians, unequal spreads": lambda rng, k, n: np.exp(
        0.3 * _unequal(rng, k) * rng.normal(size=(k, n))
    ),
    "shifted lognormal (skewness 6), equal means, unequal spreads": lambda rng, k, n: (
        MEAN + SPREAD * _unequal(rng, k) * _skewed(rng, k, n)
    ),
}


def board(values: Array) -> list[Row]:
    """Rows of one metric, lower better, from values [row, seed]."""
    rows = []
    for index, line in enumerate(values.tolist()):
        estimates = {s: Estimate(value=v, better="lower", fingerprint="f" * 16) for s, v in enumerate(line)}
        rows.append(Row(label=str(index), kind="measured", scores={"m": summarise(estimates)}))
    return rows


def false_separations(rng: np.random.Generator, draws: int) -> Iterator[list[str]]:
    """P(any two of equal rows are told apart), by law and seeds, one column per number of rows."""
    for name, law in LAWS.items():
        for seeds in SEEDS:
            shares = []
            for rows in ROWS:
                places = (ranks(board(law(rng, rows, seeds)), "m").values() for _ in range(draws))
                shares.append(np.mean([any(one.last < rows for one in found) for found in places]))
            yield [name, str(seeds), *(f"{share:.3f}" for share in shares)]


def leader_power(rng: np.random.Generator, draws: int) -> Iterator[list[str]]:
    """One row d spreads better than nine equal ones: P(it alone is bold) and the share of the nine told apart."""
    for seeds in SEEDS:
        for ahead in (2, 3, 5, 8):
            beaten = []
            for _ in range(draws):
                values = LAWS["normal, equal spreads"](rng, 10, seeds)
                values[0] -= ahead * SPREAD
                beaten.append(10 - ranks(board(values + 1), "m")[0].last)
            yield [str(seeds), str(ahead), f"{np.mean(np.equal(beaten, 9)):.3f}", f"{np.mean(beaten) / 9:.3f}"]


def lost_best(rng: np.random.Generator, draws: int) -> Iterator[list[str]]:
    """Five equal best rows before five that are d spreads worse: P(one of the best is called worse)."""
    for seeds in SEEDS:
        for behind in (0.5, 1, 2, 4):
            lost = 0
            for _ in range(draws):
                values = LAWS["normal, equal spreads"](rng, 10, seeds)
                values[5:] += behind * SPREAD
                places = ranks(board(values), "m")
                lost += any(not places[i].best for i in range(5))
            yield [str(seeds), str(behind), f"{lost / draws:.3f}"]


# --- the gate and compare, on entries --------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Simulated(Entry):
    """A run without a file."""

    def record(self) -> ResultRecord:
        """A record without curves: nothing says that two runs drew the same random numbers."""
        return ResultRecord.model_construct(curves={})


def entry(method: str, seed: int, values: Array) -> Simulated:
    """A finished run with one score per value."""
    names = [f"metric{i}" for i in range(len(values))]
    return Simulated(
        path="",
        run_id=f"{method}-{seed}",
        task="simulated",
        task_version=1,
        method=method,
        method_version=1,
        family="",
        reference=False,
        selected_on_test=False,
        preset="default",
        overrides={},
        config={},
        config_id=method,
        precision="32",
        seed=seed,
        status="ok",
        failure=None,
        nfe=5.0,
        headline=tuple(names),
        scores={
            name: Estimate(value=float(value), better="lower", fingerprint="f" * 16)
            for name, value in zip(names, values, strict=True)
        },
        dirty=False,
        created="",
        train_seconds=None,
        eval_seconds=None,
        parameters=None,
        sampling_flops=None,
        peak_memory_bytes=None,
        device=None,
    )


class Simulation:
    """An index of one task, from values [row, metric, seed]."""

    tasks = ("simulated",)

    def __init__(self, values: Array) -> None:
        self._entries = [entry(f"m{r}", s, row[:, s]) for r, row in enumerate(values) for s in range(row.shape[1])]

    def entries(self, task: str) -> list[Simulated]:
        """All of them."""
        return self._entries if task in self.tasks else []


@dataclass(frozen=True, kw_only=True)
class Change:
    """A change for the worse: so many spreads, in so many metrics of so many rows."""

    name: str
    worse: float = 0.0
    rows: int = 0
    metrics: int = 0
    correlation: float = 0.0
    skewed: bool = False


CHANGES = (
    Change(name="nothing"),
    Change(name="nothing; metrics correlated (0.7)", correlation=0.7),
    Change(name="nothing; lognormal, skewness 6", skewed=True),
    Change(name="2 sd in one number", worse=2, rows=1, metrics=1),
    Change(name="4 sd in one number", worse=4, rows=1, metrics=1),
    Change(name="2 sd in all five numbers of a row", worse=2, rows=1, metrics=5),
    Change(name="2 sd in all five numbers of a row; correlated (0.7)", worse=2, rows=1, metrics=5, correlation=0.7),
    Change(name="4 sd in all five numbers of a row", worse=4, rows=1, metrics=5),
    Change(name="2 sd in all numbers of all rows", worse=2, rows=10, metrics=5),
)


def noise(rng: np.random.Generator, seeds: int, change: Change) -> Array:
    """Scores [row, metric, seed] of one side."""
    shape = (GATE_ROWS, GATE_METRICS, seeds)
    if change.skewed:
        return MEAN + SPREAD * (np.exp(rng.normal(size=shape)) - np.exp(0.5))
    shared = rng.normal(size=(GATE_ROWS, 1, seeds))
    return MEAN + SPREAD * (change.correlation**0.5 * shared + (1 - change.correlation) ** 0.5 * rng.normal(size=shape))


def gate_failures(rng: np.random.Generator, draws: int) -> Iterator[list[str]]:
    """P(the gate fails) by change, one column per number of seeds on either side."""
    for change in CHANGES:
        shares = []
        for seeds in SEEDS:
            failed = 0
            for _ in range(draws):
                then, now = noise(rng, seeds, change), noise(rng, seeds, change)
                now[: change.rows, : change.metrics] += change.worse * SPREAD
                found = check(Simulation(then), Simulation(now), alpha=0.05, rel_tol=1e-6)  # type: ignore[arg-type]
                failed += Verdict.REGRESSION in found.counts
            shares.append(f"{failed / draws:.3f}")
        yield [change.name, *shares]


def comparisons(rng: np.random.Generator, draws: int) -> Iterator[list[str]]:
    """P(compare calls any of five metrics better or worse), and P(an interval does not hold the truth)."""
    for seeds in SEEDS:
        for apart in (0, 2, 4):
            called = missed = 0
            for _ in range(draws):
                values = noise(rng, seeds, CHANGES[0])[:2]
                values[1, 0] += apart * SPREAD
                a, b = (
                    Selection(label=name, by_seed={s: entry(name, s, side[:, s]) for s in range(seeds)})
                    for name, side in zip("ab", values, strict=True)
                )
                found = compare(a, b)
                called += any(one.verdict != "not separable" for one in found)
                truths = [-apart * SPREAD, 0.0, 0.0, 0.0, 0.0]
                intervals = [one.difference for one in found if one.difference is not None]
                missed += any(not i.low <= t <= i.high for i, t in zip(intervals, truths, strict=True))
            yield [str(seeds), str(apart), f"{called / draws:.3f}", f"{missed / draws:.3f}"]


def _markdown(title: str, head: list[str], rows: Iterator[list[str]]) -> None:
    print(f"\n{title}\n\n| {' | '.join(head)} |\n|{':--|' * len(head)}", flush=True)
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


def main() -> None:
    """Print all tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1000, help="boards or checks per cell")
    draws = parser.parse_args().draws
    rng = np.random.default_rng(0)
    by_rows, by_seeds = [f"{rows} rows" for rows in ROWS], [f"{seeds} seeds" for seeds in SEEDS]
    print(f"{draws} draws per cell: a share of 0.05 has a standard error of {(0.05 * 0.95 / draws) ** 0.5:.4f}.")
    _markdown(
        "P(any two of equal rows of a column are told apart):",
        ["law of the seeds", "seeds", *by_rows],
        false_separations(rng, draws),
    )
    _markdown(
        "One row better than nine equal ones:",
        ["seeds", "sd ahead", "P(it alone is bold)", "share of the nine told apart"],
        leader_power(rng, draws),
    )
    _markdown(
        "Five equal best rows before five equal worse ones:",
        ["seeds", "sd behind", "P(one of the best is called worse)"],
        lost_best(rng, draws),
    )
    _markdown(
        "P(`check` fails), ten rows of five metrics and NFE, as many seeds then as now:",
        ["what became worse", *by_seeds],
        gate_failures(rng, draws),
    )
    _markdown(
        "`compare`, five metrics, one of them apart:",
        ["seeds", "sd apart", "P(any called better or worse)", "P(any interval misses the truth)"],
        comparisons(rng, draws),
    )


if __name__ == "__main__":
    main()
