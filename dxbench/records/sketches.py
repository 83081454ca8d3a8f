"""A few words on a set of samples by which its like is known again, in whatever order."""

import hashlib
from collections.abc import Collection, Iterable

import numpy as np

SIZE = 64


def row_keys(samples: np.ndarray) -> list[str]:
    """Twelve hex digits for each sample, [n, *event]; floats are rounded to float16 first, so that a trace of noise
    hides little."""
    if samples.dtype.kind == "f":
        with np.errstate(over="ignore"):
            samples = samples.astype(np.float16) + np.float16(0)  # -0 is 0
    rows = np.ascontiguousarray(samples.reshape(len(samples), -1))
    return [hashlib.blake2b(row.data, digest_size=6).hexdigest() for row in rows]


def sketch(samples: np.ndarray) -> list[str]:
    """The `SIZE` least keys of samples, [n, *event]: a uniformly random part of them, the same for each order.

    Bottom-k sketch (Broder 1997, "On the resemblance and containment of documents").
    """
    return sorted(set(row_keys(samples)))[:SIZE]


def copied(known: Iterable[str], shown: Collection[str], *, share: float) -> bool:
    """Whether at least half of what a `share` of the samples should hold of a known sketch is among the keys shown.

    Honest samples of a plane meet by chance, in a few of a hundred keys after rounding; of images they do not.
    """
    known = set(known)
    hits = len(known.intersection(shown))
    return hits >= 3 and hits >= 0.5 * share * len(known)
