"""Reading ADBench's data sets (Han et al. 2022, arXiv:2206.09426): one npz each, X [n, d] and y 0 normal, 1 anomaly."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dxbench.errors import InvalidFile
from dxbench.readers import NUMBERS, array_names, load_arrays

MIN_NORMAL = 2
HOME = "https://github.com/Minqi824/ADBench"


def read_set(path: Path) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """X and which rows are anomalous; nothing in the file is executed.

    Raises:
        InvalidFile: if the file is no such set, its labels are not 0 and 1, or its values not finite.
    """
    arrays = load_arrays(path, ("X", "y"))
    if set(arrays) != {"X", "y"}:
        raise InvalidFile(f"{path} is not a set of ADBench: wants arrays named X and y, has {array_names(path)}")
    x, y = arrays["X"], arrays["y"]
    if x.ndim != 2 or x.dtype.kind not in NUMBERS or y.shape != (len(x),) or not np.isin(y, (0, 1)).all():
        raise InvalidFile(
            f"{path}: wants numbers X [n, d] and y [n] of 0 and 1, "
            f"got X {x.dtype} {list(x.shape)} and y {y.dtype} {list(y.shape)}"
        )
    if bad := int((~np.isfinite(x).all(axis=1)).sum()):
        raise InvalidFile(f"{path}: {bad:,} of {len(x):,} rows of X are not finite")
    anomalous = y.astype(bool)
    if (~anomalous).sum() < MIN_NORMAL:
        raise InvalidFile(f"{path}: {(~anomalous).sum()} normal rows, wants {MIN_NORMAL} at least, half of which train")
    return x, anomalous
