"""Commit to all samples first, then learn which of them to show.

The manifest holds the sha256 of every block of samples. Which blocks a bundle has to show follows from the sha256 of
that manifest, so they are known only when nothing can be changed any more. Most tasks have all of them shown; a part is
for samples too large to be sent, and whoever packs again and again until the choice suits them gains little: a lie has
to hold on one of the parts.
"""

import hashlib
from typing import TYPE_CHECKING

from dxbench.files.arrays import array_sha256

if TYPE_CHECKING:
    import numpy as np

BLOCK = 100


def block_sizes(count: int) -> list[int]:
    """Samples in each block: `BLOCK`, the last one what is left."""
    return [min(BLOCK, count - start) for start in range(0, count, BLOCK)]


def block_hashes(samples: "np.ndarray") -> list[str]:
    """sha256 of every block of samples, [n, *event]."""
    return [array_sha256(samples[start : start + BLOCK]) for start in range(0, len(samples), BLOCK)]


def chosen_blocks(manifest_sha256: str, run_id: str, *, total: int, wanted: int | None) -> list[int]:
    """Choose the blocks of `total` to show, ascending: all, or those `wanted` whose keyed hashes are least."""

    def rank(block: int) -> str:
        return hashlib.sha256(f"{manifest_sha256}/{run_id}/{block}".encode()).hexdigest()

    return sorted(sorted(range(total), key=rank)[:wanted])
