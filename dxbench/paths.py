"""Where things lie. Every place can be moved by an environment variable."""

import os
from importlib import resources
from pathlib import Path


def home() -> Path:
    """Work of runs: checkpoints, samples, reports. DXBENCH_HOME, else ./runs."""
    return Path(os.environ.get("DXBENCH_HOME", "runs"))


def cache() -> Path:
    """What can be made again: DXBENCH_CACHE, else cache/ under the home. Safe to delete."""
    given = os.environ.get("DXBENCH_CACHE")
    return Path(given) if given else home() / "cache"


def results() -> Path:
    """Records of your own runs. DXBENCH_RESULTS, else results/ under the home."""
    given = os.environ.get("DXBENCH_RESULTS")
    return Path(given) if given else home() / "results"


def data() -> Path:
    """Data sets and weights that are not shipped; each task's page says in which folder. DXBENCH_DATA, else ./data."""
    return Path(os.environ.get("DXBENCH_DATA", "data"))


def reference_results() -> Path:
    """The committed reference records: results/ of a checkout, or their copy inside an installed package."""
    checkout = Path(__file__).resolve().parent.parent / "results"
    return checkout if checkout.is_dir() else Path(str(resources.files("dxbench") / "reference_results"))


def published() -> Path:
    """Numbers read in papers, beside the reference records."""
    return reference_results() / "published"
