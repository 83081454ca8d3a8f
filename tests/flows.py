"""A Gaussian whose denoiser and probability flow are known in closed form."""

import torch
from torch import Tensor

MEAN, STD = torch.tensor([1.5, -0.5, 2.0], dtype=torch.float64), 0.4


def denoise(x: Tensor, sigma: Tensor) -> Tensor:
    """E[data | x] of data N(MEAN, STD^2 I)."""
    keep = STD**2 / (STD**2 + sigma.square())
    return MEAN + keep[:, None] * (x - MEAN)


def flow(x: Tensor, sigma: float | Tensor, after: float | Tensor) -> Tensor:
    """Where the probability flow carries x from one noise level to another: distances scale like the total std."""
    sigma, after = torch.as_tensor(sigma), torch.as_tensor(after)
    scale = ((STD**2 + after**2) / (STD**2 + sigma**2)).sqrt()
    return MEAN + (scale[:, None] if scale.ndim else scale) * (x - MEAN)
