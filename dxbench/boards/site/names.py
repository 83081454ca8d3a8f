"""Names and places of pages and of their parts. Names come from records; no name can leave its folder."""

import re
from functools import lru_cache
from hashlib import sha256

from pydantic import JsonValue

from dxbench.api import short_hash
from dxbench.boards.aggregate import Row

_PLAIN = re.compile(r"[a-z0-9][a-z0-9._-]{0,59}")
_HASHED = re.compile(r".*-[0-9a-f]{12}")


@lru_cache(maxsize=4096)
def slug(name: str) -> str:
    """A file name for any text: itself where it is plain, else what is plain in it and a hash of all of it.

    Different texts get different file names, on file systems that fold case too.
    """
    if _PLAIN.fullmatch(name) and not _HASHED.fullmatch(name) and name[-1] != ".":
        return name
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower())[:40].strip("-")
    return f"{plain or 'name'}-{sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"


def task_page(task: str) -> str:
    return f"tasks/{slug(task)}.html"


def method_page(method: str) -> str:
    return f"methods/{slug(method)}.html"


def run_folder(task: str, method: str) -> str:
    return f"runs/{slug(task)}/{slug(method)}"


def run_page(task: str, method: str, run_id: str, *, origin: str) -> str:
    return f"{run_folder(task, method)}/{slug(run_id)}{_from(origin)}.html"


FAMILIES = (
    "energy-based",
    "diffusion",
    "consistency",
    "adversarial",
    "detector",
    "score distillation",
    "kernel matching",
    "flow maps",
    "given energy",
)
"""Families that have a colour of their own; all others share one."""


def tone(family: str | None) -> str:
    """The class that gives a row or a point the colour of its family."""
    if family in (None, "reference"):
        return "plain"
    return f"f{FAMILIES.index(family) if family in FAMILIES else len(FAMILIES)}"


def tile_path(page: str, tile: str) -> str:
    """The path of a picture of a run, beside its page."""
    return f"{page.removesuffix('.html')}-{tile}.png"


def row_anchor(row: Row) -> str:
    """The anchor of a row within the page of its task; a paper's row has no configuration and goes by what it says."""
    if row.config_id is not None:
        return f"r-{row.config_id}{_from(row.origin)}"
    scores: dict[str, JsonValue] = {name: [summary.value, summary.std] for name, summary in row.scores.items()}
    return f"p-{short_hash([row.label, row.nfe, scores], digits=10)}"


def config_anchor(task: str, config_id: str, *, origin: str) -> str:
    """The anchor of a configuration's runs of one folder within the page of its method."""
    return f"{slug(task)}-{config_id}{_from(origin)}"


def _from(origin: str) -> str:
    """The suffix that parts the same run of several folders; no slug holds an "@"."""
    return f"@{slug(origin)}" if origin else ""
