"""Arrays of npz and npy files."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dxbench.archives import check_archive
from dxbench.errors import InvalidFile, MissingData

Moments = tuple[NDArray[np.float64], NDArray[np.float64]]
STATISTICS = {"pool3": ("mu", "sigma"), "spatial": ("mu_s", "sigma_s")}
"""Names of mean and covariance in an npz, by kind of feature: those of TTUR, EDM, pytorch-fid and ADM."""


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Mean [d] and covariance [d, d] by kind of feature, in place of samples."""

    moments: dict[str, Moments]


def read_arrays(
    path: Path, event_shape: tuple[int, ...], *, num_classes: int | None = None
) -> NDArray[Any] | Statistics:
    """Images, points or statistics of an npz or npy file.

    Raises:
        MissingData: if there is no such file.
        InvalidFile: if it cannot be read or holds what does not fit.
    """
    arrays = _load(path)
    is_image = len(event_shape) == 3
    for name in ("arr_0", "samples"):
        if name in arrays:
            if not is_image:
                return _points(path, arrays[name], event_shape)
            images = _images(path, arrays, name, event_shape)
            _check_labels(path, arrays, num_classes)
            return images
    if is_image and {"mu", "sigma"} <= set(arrays):
        return _statistics(path, arrays)
    wanted = "arr_0, samples, or mu and sigma" if is_image else "arr_0 or samples"
    raise InvalidFile(f"{path}: wants an array named {wanted}, has {sorted(arrays)}")


def read_statistics(path: Path) -> Statistics:
    """Statistics of an npz, whatever else it holds; ADM's reference files hold 10,000 images beside them.

    Raises:
        MissingData: if there is no such file.
        InvalidFile: if it cannot be read or holds no statistics.
    """
    arrays = _load(path)
    if not {"mu", "sigma"} <= set(arrays):
        raise InvalidFile(f"{path}: wants arrays named mu and sigma, has {sorted(arrays)}")
    return _statistics(path, arrays)


def read_reference(path: Path, event_shape: tuple[int, ...]) -> tuple[Statistics, NDArray[np.uint8]]:
    """Statistics of a whole data set, and some of its images, from one of ADM's reference files.

    Raises:
        MissingData: if there is no such file.
        InvalidFile: if it cannot be read, or lacks one of the two.
    """
    arrays = _load(path)
    wanted = {"arr_0", *STATISTICS["pool3"], *STATISTICS["spatial"]}
    if not wanted <= set(arrays):
        raise InvalidFile(f"{path}: wants arrays named {sorted(wanted)}, has {sorted(arrays)}")
    return _statistics(path, arrays), _images(path, arrays, "arr_0", event_shape)


def _load(path: Path) -> dict[str, NDArray[Any]]:
    if not path.is_file():
        raise MissingData(f"no file {path}")
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                check_archive(path, archive)
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"arr_0": loaded}
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except (ValueError, OSError, EOFError, MemoryError, zipfile.BadZipFile, NotImplementedError) as error:
        raise InvalidFile(f"{path} is not a readable npz or npy file: {error}") from None


def _points(path: Path, array: NDArray[Any], event_shape: tuple[int, ...]) -> NDArray[np.float64]:
    if not np.issubdtype(array.dtype, np.number) or len(array.shape) < 2 or len(array) == 0:
        raise InvalidFile(f"{path}: wants numbers of shape [n, ...], got {array.dtype} {list(array.shape)}")
    if array.shape[1:] != event_shape:
        shape = ", ".join(map(str, event_shape))
        raise InvalidFile(f"{path}: wants samples of shape [n, {shape}], got {list(array.shape)}")
    _check_finite(path, array)
    return array.astype(np.float64)


def _images(path: Path, arrays: dict[str, NDArray[Any]], name: str, event_shape: tuple[int, ...]) -> NDArray[np.uint8]:
    array = arrays[name]
    channels, height, width = event_shape
    wanted = f"uint8 images [n, {height}, {width}, {channels}] (n, height, width, channels)"
    if np.issubdtype(array.dtype, np.floating):
        _check_finite(path, array)
        raise InvalidFile(
            f"{path}: wants {wanted}, got {array.dtype}; round: floor(127.5 * (x + 1) + 0.5) for x in [-1, 1]"
        )
    if array.dtype != np.uint8 or array.shape[1:] != (height, width, channels) or len(array) == 0:
        raise InvalidFile(f"{path}: wants {wanted}, got {array.dtype} {list(array.shape)}")
    labels = arrays.get("arr_1", np.zeros(len(array), dtype=np.int64))
    if labels.shape != (len(array),) or not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0:
        raise InvalidFile(f"{path}: arr_1 wants {len(array):,} class labels, got {labels.dtype} {list(labels.shape)}")
    return array


def _check_labels(path: Path, arrays: dict[str, NDArray[Any]], num_classes: int | None) -> None:
    if num_classes is not None and "arr_1" in arrays and arrays["arr_1"].max() >= num_classes:
        raise InvalidFile(
            f"{path}: arr_1 has class label {int(arrays['arr_1'].max())}, the task's are 0 .. {num_classes - 1}"
        )


def _statistics(path: Path, arrays: dict[str, NDArray[Any]]) -> Statistics:
    moments: dict[str, Moments] = {}
    for kind, (mean_name, cov_name) in STATISTICS.items():
        if not {mean_name, cov_name} <= set(arrays):
            continue
        mean, cov = arrays[mean_name], arrays[cov_name]
        if mean.ndim != 1 or cov.shape != (len(mean), len(mean)) or not np.issubdtype(cov.dtype, np.floating):
            raise InvalidFile(
                f"{path}: wants {mean_name} [d] and {cov_name} [d, d], got {list(mean.shape)} and {list(cov.shape)}"
            )
        mean, cov = mean.astype(np.float64), cov.astype(np.float64)
        _check_finite(path, np.vstack([mean, cov]))
        if not np.allclose(cov, cov.T, rtol=1e-5, atol=1e-6 * np.abs(cov).max()):
            raise InvalidFile(f"{path}: {cov_name} is not symmetric, so it is no covariance")
        moments[kind] = (mean, (cov + cov.T) / 2)
    return Statistics(moments=moments)


def _check_finite(path: Path, array: NDArray[Any]) -> None:
    bad = int((~np.isfinite(array.reshape(len(array), -1)).all(axis=1)).sum())
    if bad:
        raise InvalidFile(f"{path}: {bad:,} of {len(array):,} samples are not finite")
