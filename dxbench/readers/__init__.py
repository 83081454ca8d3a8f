"""Samples made elsewhere: npz and npy arrays, zip archives and folders of PNG images, statistics of features.

Nothing that is read is executed or unpacked to disk. Archives are looked over before a byte of them is used.
"""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dxbench.files.archives import opened_zip
from dxbench.readers.arrays import (
    NUMBERS,
    Statistics,
    array_headers,
    array_names,
    check_samples,
    load_arrays,
    read_arrays,
    read_reference,
    read_statistics,
)
from dxbench.readers.idx import read_idx
from dxbench.readers.images import first_shape, read_folder, read_zip

__all__ = [
    "NUMBERS",
    "Statistics",
    "array_headers",
    "array_names",
    "first_shape",
    "holds_images",
    "load_arrays",
    "read_idx",
    "read_reference",
    "read_samples",
    "read_statistics",
    "samples_of",
]


def read_samples(
    path: Path, event_shape: tuple[int, ...], *, num_classes: int | None = None, image_bytes: bool = True
) -> NDArray[Any] | Statistics:
    """Samples for a task whose event has `event_shape`.

    An event of three axes, [C, H, W], is an image: uint8 [n, H, W, C] comes from an npz with `arr_0` (ADM's layout),
    an npy, a zip of PNGs (EDM's layout) or a folder of PNGs; or `Statistics` from an npz with `mu` and `sigma`. Other
    events are points, float64 [n, *event], from npz or npy. Class labels beside images (`arr_1`, in ADM's layout) have
    to be those of a task with `num_classes`.

    Args:
        image_bytes: images are scored as bytes; else as float64 [n, C, H, W] in [-1, 1] (`Task.image_bytes`), which
            arrays may hold as well, and bytes v become v / 127.5 - 1.

    Raises:
        MissingData: if there is nothing at `path`.
        InvalidFile: if it cannot be read, or holds what does not fit the task.
    """
    is_image = len(event_shape) == 3
    if is_image and holds_images(path):
        read = read_folder(path, event_shape) if path.is_dir() else read_zip(path, event_shape)
    else:
        read = read_arrays(path, event_shape, num_classes=num_classes, image_bytes=image_bytes)
    return read if isinstance(read, Statistics) else _as_scored(read, image_bytes=image_bytes)


def samples_of(array: NDArray[Any], event_shape: tuple[int, ...], *, image_bytes: bool = True) -> NDArray[Any]:
    """An array in memory as `read_samples` gives it of a file.

    Raises:
        InvalidFile: if it holds what does not fit the task.
    """
    checked = check_samples("the array", array, event_shape, image_bytes=image_bytes)
    return _as_scored(checked, image_bytes=image_bytes)


def _as_scored(read: NDArray[Any], *, image_bytes: bool) -> NDArray[Any]:
    if image_bytes or read.dtype != np.uint8:
        return read
    return read.transpose(0, 3, 1, 2) / 127.5 - 1.0


def holds_images(path: Path) -> bool:
    """True for a folder, or a zip archive that holds no array, as an npz does whatever its own name ends in.

    Raises:
        InvalidFile: for a zip archive that is damaged or made to harm.
    """
    if path.is_dir():
        return True
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    with opened_zip(path) as (_, members):
        return not any(member.filename.lower().endswith(".npy") for member in members)
