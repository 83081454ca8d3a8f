"""Samples made elsewhere: npz and npy arrays, zip archives and folders of PNG images, statistics of features.

Nothing that is read is executed or unpacked to disk. Archives are looked over before a byte of them is used.
"""

import zipfile
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from dxbench.readers.arrays import Statistics, read_arrays, read_reference, read_statistics
from dxbench.readers.images import read_folder, read_zip

__all__ = ["Statistics", "read_reference", "read_samples", "read_statistics"]


def read_samples(
    path: Path, event_shape: tuple[int, ...], *, num_classes: int | None = None
) -> NDArray[Any] | Statistics:
    """Samples for a task whose event has `event_shape`.

    An event of three axes, [C, H, W], is an image: uint8 [n, H, W, C] comes from an npz with `arr_0` (ADM's layout),
    an npy, a zip of PNGs (EDM's layout) or a folder of PNGs; or `Statistics` from an npz with `mu` and `sigma`. Other
    events are points, float64 [n, *event], from npz or npy. Class labels beside images (`arr_1`, in ADM's layout) have
    to be those of a task with `num_classes`.

    Raises:
        MissingData: if there is nothing at `path`.
        InvalidFile: if it cannot be read, or holds what does not fit the task.
    """
    if path.is_dir() and len(event_shape) == 3:
        return read_folder(path, event_shape)
    if len(event_shape) == 3 and path.suffix != ".npz" and zipfile.is_zipfile(path):
        return read_zip(path, event_shape)
    return read_arrays(path, event_shape, num_classes=num_classes)
