"""Where things lie. Every place can be moved by an environment variable; an empty one is as good as unset."""

import os
from importlib import resources
from pathlib import Path

from dxbench.errors import UsageError

HOME_REMEDY = "Choose another folder for the work of runs with DXBENCH_HOME."
RESULTS_REMEDY = "Choose another folder for records with --results or DXBENCH_RESULTS."


def _place(variable: str, default: Path) -> Path:
    """What a variable names, "~" expanded; the default where it is unset or empty.

    Raises:
        UsageError: if it names the home of a user who is not there.
    """
    given = os.environ.get(variable, "").strip()
    try:
        return Path(given).expanduser() if given else default
    except RuntimeError as error:
        raise UsageError(f"{variable} is {given!r}: {error}") from None


def home() -> Path:
    """Work of runs: checkpoints, samples, reports. DXBENCH_HOME, else ./runs."""
    return _place("DXBENCH_HOME", Path("runs"))


def cache() -> Path:
    """What can be made again: DXBENCH_CACHE, else cache/ under the home. Safe to delete."""
    return _place("DXBENCH_CACHE", home() / "cache")


def results() -> Path:
    """Records of your own runs. DXBENCH_RESULTS, else results/ under the home."""
    return _place("DXBENCH_RESULTS", home() / "results")


def data() -> Path:
    """Data sets and weights that are not shipped; each task's page says in which folder. DXBENCH_DATA, else ./data."""
    return _place("DXBENCH_DATA", Path("data"))


def reference_results() -> Path:
    """The committed reference records: results/ of a checkout, or their copy inside an installed package."""
    checkout = Path(__file__).resolve().parent.parent / "results"
    return checkout if checkout.is_dir() else Path(str(resources.files("dxbench") / "reference_results"))


def published() -> Path:
    """Numbers read in papers, beside the reference records."""
    return reference_results() / "published"
