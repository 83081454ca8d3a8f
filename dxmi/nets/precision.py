"""The precision of a network's inside."""

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch
from torch import Tensor

Precision = Literal["float32", "bfloat16"]
PRECISIONS: dict[Precision, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def in_precision(precision: torch.dtype, x: Tensor) -> AbstractContextManager[object]:
    """Autocast to a precision below float32, unless autocast is on around it, which rules then."""
    if precision == torch.float32 or torch.is_autocast_enabled(x.device.type):
        return nullcontext()
    # From a cache a weight cast without a graph, in a target or a rollout, would be taken where a graph is wanted.
    return torch.autocast(x.device.type, dtype=precision, cache_enabled=False)
