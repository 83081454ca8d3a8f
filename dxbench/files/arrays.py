"""Arrays on disk, and the hash by which they are known."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dxbench.files.writing import atomic_file

if TYPE_CHECKING:
    import numpy as np


def save_arrays(path: Path, arrays: "Mapping[str, np.ndarray]") -> None:
    """A compressed npz, through `atomic_file`."""
    import numpy as np

    with atomic_file(path) as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def array_sha256(array: "np.ndarray") -> str:
    """Hash dtype, shape and the bytes in C order, so that equal hashes mean equal arrays."""
    digest = hashlib.sha256(f"{array.dtype.str} {list(array.shape)} ".encode())
    digest.update(array.tobytes())
    return digest.hexdigest()
