"""A few words on a set of samples by which its like is known again, in whatever order."""

import hashlib
from collections.abc import Collection, Iterable, Iterator

import numpy as np

SIZE = 64


def _digests(samples: np.ndarray) -> Iterator[bytes]:
    """Six bytes for each sample; floats are rounded to float16 first, so that a trace of noise hides little."""
    if samples.dtype.kind == "f":
        with np.errstate(over="ignore"):
            samples = samples.astype(np.float16) + np.float16(0)  # -0 is 0
    rows = samples.reshape(len(samples), -1)
    text, size, blake2b = rows.tobytes(), rows.itemsize * rows.shape[1], hashlib.blake2b
    return (blake2b(text[at : at + size], digest_size=6).digest() for at in range(0, len(text), size))


def row_keys(samples: np.ndarray) -> list[str]:
    """Twelve hex digits for each sample, [n, *event], as those of a sketch are."""
    return [digest.hex() for digest in _digests(samples)]


def sketch(samples: np.ndarray) -> list[str]:
    """The `SIZE` least keys of samples, [n, *event]: a uniformly random part of them, the same for each order.

    Bottom-k sketch (Broder 1997, "On the resemblance and containment of documents").
    """
    return [digest.hex() for digest in sorted(set(_digests(samples)))[:SIZE]]


def copied(known: Iterable[str], shown: Collection[str], *, share: float) -> bool:
    """True where the keys shown hold at least half of what a `share` of the samples should hold of a known sketch.

    Honest samples of a plane meet by chance, in a few of a hundred keys after rounding; of images they do not.
    """
    known = set(known)
    hits = len(known.intersection(shown))
    return hits >= 3 and hits >= 0.5 * share * len(known)
