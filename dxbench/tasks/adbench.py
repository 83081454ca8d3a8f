"""Reading ADBench's data sets (Han et al. 2022, arXiv:2206.09426): one npz each, X [n, d] and y 0 normal, 1 anomaly."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dxbench.errors import InvalidFile

HOME = "https://github.com/Minqi824/ADBench"


def read_set(path: Path) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """X and which rows are anomalous; nothing in the file is executed.

    Raises:
        InvalidFile: if the file is no such set, or its labels are not 0 and 1.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            x, y = stored["X"], stored["y"]
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise InvalidFile(f"{path} is not a set of ADBench (X and y in an npz): {error}") from None
    if x.ndim != 2 or y.shape != (len(x),) or not np.isin(y, (0, 1)).all():
        raise InvalidFile(f"{path}: wants X [n, d] and y [n] of 0 and 1, got X {x.shape} and y {y.shape}")
    return x, y.astype(bool)
