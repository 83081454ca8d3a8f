"""Feature likelihood divergence (Jiralerspong et al. 2023, arXiv:2302.04440)."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Features = NDArray[np.floating]

LEARNING_RATE, STEPS, SHRINK = 0.5, 50, 0.9
LOG_VARIANCES = (-40.0, 20.0)
FITTED = (
    "a Gaussian of its own variance around each centre and one around the mean, fitted to the training features by "
    f"{STEPS} steps of Adam at {LEARNING_RATE}; without the latter, evaluated on the test features; float64"
)
"""The fit in a protocol's words."""


def feature_likelihood_divergence(
    generated: Features, train: Features, test: Features, *, rng: np.random.Generator
) -> float:
    """100 (l(generated) - l(half of train)), l the mean over test features of -log p / d, in nats.

    p is the mixture of Gaussians around the centres named, whose variances are fitted to `train` (for the baseline,
    to its other half), so that centres that are copies of training features get no width and explain no test feature.
    0 is as good as training features, higher is worse. As FLD in marcojira/fld, features being standardised by the
    test set; there the fit is in float32 and in batches of 10,000, and the half is drawn by the global generator.

    Args:
        generated: [n, d]; no more than half of `train` are taken for the baseline.
        rng: draws the half.

    Raises:
        ValueError: if a coordinate of the test features does not vary, or there are fewer than two training features.
    """
    mean, std = test.mean(axis=0, dtype=np.float64), test.std(axis=0, dtype=np.float64, ddof=1)
    if not (std > 0).all() or len(train) < 2:
        raise ValueError("wants test features that vary in every coordinate, and at least two training features")
    x, fitted_to, test_x = (torch.from_numpy((part - mean) / std) for part in (generated, train, test))
    shuffled = fitted_to[torch.from_numpy(rng.permutation(len(train)))]
    size = min(len(generated), len(train) // 2)
    own = _nats_per_dimension(test_x, x, fit_log_variances(x, fitted_to))
    baseline = _nats_per_dimension(test_x, shuffled[:size], fit_log_variances(shuffled[:size], shuffled[size:]))
    return 100.0 * (own - baseline)


def fit_log_variances(centres: Tensor, x: Tensor) -> Tensor:
    """Log variances [m] of the Gaussians around centres [m, d] that make x [n, d] likely.

    A Gaussian around the mean of x, of free variance and weight 1, takes the points that no centre is near.
    """
    distances = torch.cdist(x, centres) ** 2
    from_mean = SHRINK**2 * ((x - x.mean(dim=0)) ** 2).sum(dim=1, keepdim=True)
    log_variances = ((distances.min(dim=0).values + 1e-3) / x.shape[1]).log().requires_grad_()
    around_mean = torch.zeros(1, dtype=x.dtype, requires_grad=True)
    optimiser = torch.optim.Adam([log_variances, around_mean], lr=LEARNING_RATE)
    for _ in range(STEPS):
        optimiser.zero_grad()
        of_centres = _log_densities(distances, log_variances, x.shape[1]) - np.log(len(centres))
        of_mean = _log_densities(from_mean, around_mean, x.shape[1])
        (-torch.cat([of_centres, of_mean], dim=1).logsumexp(dim=1).mean() / x.shape[1]).backward()
        optimiser.step()
        with torch.no_grad():
            log_variances.clamp_(*LOG_VARIANCES)
    return log_variances.detach()


def _log_densities(squared_distances: Tensor, log_variances: Tensor, dim: int) -> Tensor:
    """log N(x_i; c_j, exp(log_variances_j) 1) from the squared distances [n, m]."""
    return -0.5 * (squared_distances / log_variances.exp() + dim * (log_variances + np.log(2 * np.pi)))


def _nats_per_dimension(x: Tensor, centres: Tensor, log_variances: Tensor) -> float:
    """-log p / d of x [n, d] under the mixture, its mean."""
    of_centres = _log_densities(torch.cdist(x, centres) ** 2, log_variances, x.shape[1]) - np.log(len(centres))
    return float(-of_centres.logsumexp(dim=1).mean() / x.shape[1])
