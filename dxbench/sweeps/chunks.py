"""Cells of a sweep packed into chunks that one process runs, by the time they are expected to take."""

from collections.abc import Mapping, Sequence
from statistics import fmean

LEAST_SECONDS = 600.0
"""Expected time from which on a chunk is full: beside it, starting Python and torch is nothing."""
MOST_CHUNKS = 1000
"""Schedulers limit the tasks of an array; 1,001 is SLURM's own limit where nobody raises it."""
UNKNOWN_SECONDS = 600.0
"""Taken for cells where the time of none is known."""


def pack(
    cells: Sequence[str],
    seconds: Mapping[str, float],
    *,
    least: float = LEAST_SECONDS,
    most: int = MOST_CHUNKS,
) -> list[list[str]]:
    """Consecutive cells packed until each chunk takes `least` seconds or more, in `most` chunks at most.

    Args:
        cells: run ids, in the order of the sweep.
        seconds: expected time by run id; cells that are absent are taken for the mean of those of `cells` that are
            there, or for `UNKNOWN_SECONDS`.
    """
    known = [seconds[cell] for cell in cells if cell in seconds]
    usual = fmean(known) if known else UNKNOWN_SECONDS
    expected = [seconds.get(cell, usual) for cell in cells]
    full = least if len(cells) <= most else max(least, sum(expected) / most)
    found: list[list[str]] = [[]]
    spent = 0.0
    for cell, takes in zip(cells, expected, strict=True):
        if found[-1] and spent >= full and len(found) < most:
            found.append([])
            spent = 0.0
        found[-1].append(cell)
        spent += takes
    return found if cells else []


def selector(numbers: Sequence[int]) -> str:
    """Numbers in ascending order as `dxbench run --cells FILE[...]` takes them: "0:4,7,9:11"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1]:
            runs[-1][1] += 1
        else:
            runs.append([number, number + 1])
    return ",".join(str(first) if last == first + 1 else f"{first}:{last}" for first, last in runs)
