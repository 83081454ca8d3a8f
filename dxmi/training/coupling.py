"""Couplings of noise and data within a batch, for interpolants that go straight from one to the other."""

import torch
from torch import Tensor

from dxmi.arrays import Points


def optimal_pairs(noise: Points, data: Points) -> Tensor:
    """Pair by least summed squared distance: for each row of `data` the index of its row of `noise`, int64 [b].

    Minibatch optimal transport (Pooladian et al. 2023, arXiv:2304.14772; Tong et al. 2024, arXiv:2302.00482), by exact
    assignment on the CPU in O(b^3). Both are [b, *event].

    Raises:
        ValueError: if a number is not finite.
    """
    from scipy.optimize import linear_sum_assignment  # slow to import, and few methods pair

    cost = torch.cdist(data.flatten(1).double(), noise.flatten(1).double()).square()
    if not bool(cost.isfinite().all()):
        raise ValueError("noise or data has numbers that are not finite, and no pairing; look for NaN in the data")
    _, columns = linear_sum_assignment(cost.cpu().numpy())
    return torch.from_numpy(columns).to(data.device)
