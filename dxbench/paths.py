"""Places of files. Every place can be moved by an environment variable; an empty one is as good as unset."""

import os
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path

from dxbench.errors import UsageError

HOME_REMEDY = "Choose another folder for the work of runs with DXBENCH_HOME."
BESIDE_TASKS = frozenset({"bundles", "cards", "pictures", "protocols", "published"})
"""Folders of a folder of records beside those of tasks."""
RESULTS_REMEDY = "Choose another folder for records with --results or DXBENCH_RESULTS."


def _place(variable: str, default: Callable[[], Path]) -> Path:
    """The path that a variable names, "~" expanded; the default where it is unset or empty.

    Raises:
        UsageError: if it names the home of a user who is not there.
    """
    given = os.environ.get(variable, "").strip()
    try:
        return Path(given).expanduser() if given else default()
    except RuntimeError as error:
        raise UsageError(f"{variable} is {given!r}: {error}") from None


def home() -> Path:
    """Work of runs: checkpoints, samples, reports. DXBENCH_HOME, else `default_home`."""
    return _place("DXBENCH_HOME", default_home)


def cache() -> Path:
    """The folder of what can be made again: DXBENCH_CACHE, else cache/ under the home. Safe to delete."""
    return _place("DXBENCH_CACHE", lambda: home() / "cache")


def results() -> Path:
    """Records of your own runs. DXBENCH_RESULTS, else results/ under the home."""
    return _place("DXBENCH_RESULTS", lambda: home() / "results")


def data() -> Path:
    """Data sets and weights that are not shipped; each task's page says in which folder. DXBENCH_DATA, else
    `default_data`."""
    return _place("DXBENCH_DATA", default_data)


# --- where nobody says ---------------------------------------------------------------------------------------

_OF_RUNS = ("work", "results", "trained", "cache", "hashes")
"""Folders under a home, by which one is known."""
_OF_DATA = (
    "weights",
    "references",
    "cifar10",
    "imagenet",
    "imagenet64",
    "lsun_bedroom",
    "mvtec_ad",
    "adbench",
    "mnist",
)
"""Folders under a place of data, by which one is known."""


def default_home() -> Path:
    """The runs/ of a checkout that one works in; elsewhere a runs/ of ours in the working folder, where earlier
    versions put it, or else the user's folder of data."""
    if (root := checkout()) is not None:
        return _from_here(root / "runs")
    if _holds(Path("runs"), _OF_RUNS):
        return Path("runs")
    import platformdirs

    return platformdirs.user_data_path("dxbench", appauthor=False)


def default_data() -> Path:
    """The data/ of a checkout that one works in; elsewhere a data/ with something of ours in the working folder, or
    else the user's folder of caches."""
    if (root := checkout()) is not None:
        return _from_here(root / "data")
    if _holds(Path("data"), _OF_DATA):
        return Path("data")
    import platformdirs

    return platformdirs.user_cache_path("dxbench", appauthor=False) / "data"


def checkout() -> Path | None:
    """The root of the source tree of dxbench, this or another, that the working folder lies in; None elsewhere."""
    try:
        here = Path.cwd()
    except FileNotFoundError:  # removed meanwhile
        return None
    roots = (root for root in (here, *here.parents) if (root / "dxbench" / "paths.py").is_file())
    return next((root for root in roots if (root / "pyproject.toml").is_file()), None)


def chosen_by(variable: str) -> str:
    """The chooser of a place, for people: the variable, the checkout, a folder of before, or the default."""
    if os.environ.get(variable, "").strip():
        return variable
    if checkout() is not None:
        return "of the checkout"
    old, known = (Path("runs"), _OF_RUNS) if variable == "DXBENCH_HOME" else (Path("data"), _OF_DATA)
    return f"found in the working folder; {variable} moves it" if _holds(old, known) else f"{variable} moves it"


def _holds(folder: Path, known: Sequence[str]) -> bool:
    return any((folder / name).is_dir() for name in known)


def _from_here(path: Path) -> Path:
    return Path(os.path.relpath(path))


def reference_results() -> Path:
    """The committed reference records: results/ of a checkout, or their copy inside an installed package."""
    checkout = Path(__file__).resolve().parent.parent / "results"
    return checkout if checkout.is_dir() else Path(str(resources.files("dxbench") / "reference_results"))


def published() -> Path:
    """Numbers read in papers, beside the reference records."""
    return reference_results() / "published"
