"""Inception score (Salimans et al. 2016, arXiv:1606.03498)."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def inception_scores(logits: NDArray[np.floating], *, splits: int) -> Array:
    """exp(mean KL(p(y|x) || p(y))) of each of `splits` sequential blocks of [n, classes] logits.

    Blocks are taken in the order given, as ADM's evaluator does (5,000 of 50,000); samples sorted by class
    therefore score too low, see `sorted_by_class`.

    Raises:
        ValueError: unless `splits` divides n.
    """
    if splits < 1 or len(logits) == 0 or len(logits) % splits:
        raise ValueError(f"{len(logits)} samples do not divide into {splits} equal blocks")
    from scipy.special import log_softmax

    scores = []
    for block in np.split(logits, splits):
        log_p: Array = log_softmax(block.astype(np.float64), axis=1)
        p = np.exp(log_p)
        # A class that no sample of the block has a share of (p underflowed to 0) adds 0, not 0 * inf.
        log_marginal = np.log(np.maximum(p.mean(axis=0), np.finfo(np.float64).tiny))
        scores.append(np.exp((p * (log_p - log_marginal)).sum(axis=1).mean()))
    return np.array(scores)


def sorted_by_class(logits: NDArray[np.floating]) -> bool:
    """True where neighbours share their predicted class far more often than chance: by 10 standard errors and 10 %."""
    labels = logits.argmax(axis=1)
    shares = np.bincount(labels) / len(labels)
    by_chance = float((shares**2).sum())
    runs = float((labels[1:] == labels[:-1]).mean())
    error = np.sqrt(by_chance * (1 - by_chance) / max(len(labels) - 1, 1))
    return bool(runs > by_chance + max(10 * error, 0.1))
