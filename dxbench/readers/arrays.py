"""Arrays of npz and npy files."""

import math
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from dxbench.errors import InvalidFile, MissingData
from dxbench.files.archives import check_archive
from dxbench.files.faults import refusing_damage

Moments = tuple[NDArray[np.float64], NDArray[np.float64]]
STATISTICS = {"pool3": ("mu", "sigma"), "spatial": ("mu_s", "sigma_s")}
"""Names of mean and covariance in an npz, by kind of feature: those of TTUR, EDM, pytorch-fid and ADM."""
NUMBERS = "iuf"
"""Kinds of NumPy types that are real numbers: no booleans, complex numbers, dates, texts or records."""
LARGEST = 1e140
"""Of a coordinate: sums of squares of as many as memory holds stay finite in float64."""


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Mean [d] and covariance [d, d] by kind of feature, in place of samples."""

    moments: dict[str, Moments]


def read_arrays(
    path: Path, event_shape: tuple[int, ...], *, num_classes: int | None = None, image_bytes: bool = True
) -> NDArray[Any] | Statistics:
    """Images, points or statistics of an npz or npy file.

    Raises:
        MissingData: if there is no such file.
        InvalidFile: if it cannot be read or holds what does not fit.
    """
    arrays = load_arrays(path, ("arr_0", "samples", "arr_1", *STATISTICS["pool3"], *STATISTICS["spatial"]))
    is_image = len(event_shape) == 3
    named = [name for name in ("arr_0", "samples") if name in arrays]
    if len(named) > 1:
        raise InvalidFile(f"{path}: holds both arr_0 and samples, and only one of them can be the samples")
    if named:
        array = arrays[named[0]]
        if not is_image or (not image_bytes and array.dtype != np.uint8):
            return _points(path, array, event_shape)
        images = _images(path, arrays, named[0], event_shape)
        _check_labels(path, arrays, num_classes)
        return images
    if is_image and {"mu", "sigma"} <= set(arrays):
        return _statistics(path, arrays)
    wanted = "arr_0, samples, or mu and sigma" if is_image else "arr_0 or samples"
    raise InvalidFile(f"{path}: wants an array named {wanted}, has {array_names(path)}")


def read_statistics(path: Path) -> Statistics:
    """Statistics of an npz, whatever else it holds; ADM's reference files hold 10,000 images beside them.

    Raises:
        MissingData: if there is no such file.
        InvalidFile: if it cannot be read or holds no statistics.
    """
    arrays = load_arrays(path, (*STATISTICS["pool3"], *STATISTICS["spatial"]))
    if not {"mu", "sigma"} <= set(arrays):
        raise InvalidFile(f"{path}: wants arrays named mu and sigma, has {array_names(path)}")
    return _statistics(path, arrays)


def read_reference(path: Path, event_shape: tuple[int, ...]) -> tuple[Statistics, NDArray[np.uint8]]:
    """Statistics of a whole data set, and some of its images, from one of ADM's reference files.

    Raises:
        MissingData: if there is no such file.
        InvalidFile: if it cannot be read, or lacks one of the two.
    """
    wanted = ("arr_0", *STATISTICS["pool3"], *STATISTICS["spatial"])
    arrays = load_arrays(path, wanted)
    if set(arrays) != set(wanted):
        raise InvalidFile(f"{path}: wants arrays named {sorted(wanted)}, has {array_names(path)}")
    return _statistics(path, arrays), _images(path, arrays, "arr_0", event_shape)


def load_arrays(path: Path, names: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
    """Those of the named arrays that an npz holds, or all; an npy's array is `arr_0`. Nothing in the file is executed.

    An array takes no more memory than the file has for it, and an archive's come to no more than is in proportion to it
    (`dxbench.files.archives`).

    Raises:
        MissingData: if there is no such file.
        InvalidFile: if one of them cannot be read.
    """
    with _opened(path) as stored:
        return {name: stored.read(name) for name in stored.names if names is None or name in names}


def array_names(path: Path) -> list[str]:
    """The names of the arrays of a file, for errors."""
    with _opened(path) as stored:
        return sorted(stored.names)


def array_headers(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Shape and dtype of every array of an npz or npy file by name, as their headers have them.

    Raises:
        MissingData: if there is no such file.
        InvalidFile: if it cannot be read.
    """
    with _opened(path) as stored:
        return {name: stored.header(name) for name in stored.names}


class _Stored(Protocol):
    """Arrays of a file."""

    @property
    def names(self) -> Collection[str]: ...

    def header(self, name: str) -> tuple[tuple[int, ...], np.dtype]: ...

    def read(self, name: str) -> NDArray[Any]: ...


class _Npy:
    def __init__(self, file: IO[bytes], size: int) -> None:
        self.names = ("arr_0",)
        self._file, self._size = file, size
        self.header("arr_0")  # any file that is no zip archive comes here

    def header(self, name: str) -> tuple[tuple[int, ...], np.dtype]:
        return _header(self._file, self._size)

    def read(self, name: str) -> NDArray[Any]:
        return _array(self._file, self._size)


class _Npz:
    def __init__(self, archive: zipfile.ZipFile, members: Collection[zipfile.ZipInfo]) -> None:
        self._archive = archive
        self._members = {member.filename.removesuffix(".npy"): member for member in members}
        self.names = self._members.keys()

    def header(self, name: str) -> tuple[tuple[int, ...], np.dtype]:
        member = self._members[name]
        with self._archive.open(member) as file:
            return _header(file, member.file_size)

    def read(self, name: str) -> NDArray[Any]:
        member = self._members[name]
        with self._archive.open(member) as file:
            return _array(file, member.file_size)


def _header(file: IO[bytes], size: int) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and dtype of an array that has `size` bytes, header included."""
    file.seek(0)
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version} of the format is for names of fields, which no numbers have")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(file)
    claimed = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or claimed > size - file.tell():
        raise ValueError(f"its header speaks of {claimed:,} bytes, and {size - file.tell():,} are there")
    return shape, dtype


def _array(file: IO[bytes], size: int) -> NDArray[Any]:
    _, dtype = _header(file, size)
    if dtype.hasobject:
        raise ValueError("it holds pickled objects, which are never read")
    file.seek(0)
    return npy.read_array(file, allow_pickle=False)


@contextmanager
def _opened(path: Path) -> Iterator[_Stored]:
    if path.is_dir():
        raise InvalidFile(f"{path} is a folder, wants an npz or npy file")
    if not path.is_file():
        raise MissingData(f"no file {path}")
    with refusing_damage(f"{path} is not a readable npz or npy file"):
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                yield _Npz(archive, check_archive(path, archive))
        else:
            with path.open("rb") as file:
                yield _Npy(file, path.stat().st_size)


def check_samples(
    where: str | Path, array: NDArray[Any], event_shape: tuple[int, ...], *, image_bytes: bool
) -> NDArray[Any]:
    """An array as samples for a task whose event has `event_shape`: uint8 images, or float64 points.

    Raises:
        InvalidFile: if it holds what does not fit.
    """
    if len(event_shape) == 3 and (image_bytes or array.dtype == np.uint8):
        return _images(where, {"arr_0": array}, "arr_0", event_shape)
    return _points(where, array, event_shape)


def _points(path: str | Path, array: NDArray[Any], event_shape: tuple[int, ...]) -> NDArray[np.float64]:
    shape = ", ".join(map(str, event_shape))
    if array.dtype.kind not in NUMBERS or array.ndim < 2 or len(array) == 0:
        raise InvalidFile(f"{path}: wants real numbers of shape [n, {shape}], got {array.dtype} {list(array.shape)}")
    if array.shape[1:] != event_shape:
        raise InvalidFile(f"{path}: wants samples of shape [n, {shape}], got {list(array.shape)}")
    _check_finite(path, array)
    with np.errstate(over="ignore"):  # of long doubles
        points = array.astype(np.float64)
    if (largest := np.abs(points).max()) > LARGEST:
        raise InvalidFile(f"{path}: samples reach {largest:.3g}, and float64 cannot hold sums of their squares")
    return points


def _images(
    path: str | Path, arrays: dict[str, NDArray[Any]], name: str, event_shape: tuple[int, ...]
) -> NDArray[np.uint8]:
    array = arrays[name]
    channels, height, width = event_shape
    wanted = f"uint8 images [n, {height}, {width}, {channels}] (n, height, width, channels)"
    if array.dtype.kind == "f" and array.ndim > 1 and array.size:
        _check_finite(path, array)
        raise InvalidFile(
            f"{path}: wants {wanted}, got {array.dtype}; round: floor(127.5 * (x + 1) + 0.5) for x in [-1, 1]"
        )
    if array.dtype != np.uint8 or array.shape[1:] != (height, width, channels) or len(array) == 0:
        raise InvalidFile(f"{path}: wants {wanted}, got {array.dtype} {list(array.shape)}")
    labels = arrays.get("arr_1", np.zeros(len(array), dtype=np.int64))
    if labels.shape != (len(array),) or labels.dtype.kind not in "iu" or labels.min() < 0:
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
        fits = mean.ndim == 1 and len(mean) > 0 and cov.shape == (len(mean), len(mean))
        if not fits or mean.dtype.kind not in NUMBERS or cov.dtype.kind not in NUMBERS:
            raise InvalidFile(
                f"{path}: wants {mean_name} [d] and {cov_name} [d, d], real numbers, "
                f"got {mean.dtype} {list(mean.shape)} and {cov.dtype} {list(cov.shape)}"
            )
        mean, cov = mean.astype(np.float64), cov.astype(np.float64)
        if not (np.isfinite(mean).all() and np.isfinite(cov).all()):
            raise InvalidFile(f"{path}: {mean_name} or {cov_name} holds numbers that are not finite")
        scale = np.abs(cov).max()
        if not np.allclose(cov, cov.T, rtol=1e-5, atol=1e-6 * scale):
            raise InvalidFile(f"{path}: {cov_name} is not symmetric, so it is no covariance")
        variances = cov.diagonal() + 1e-6 * scale
        if (variances < 0).any() or (cov**2 > 1.001 * np.outer(variances, variances)).any():
            raise InvalidFile(f"{path}: {cov_name} has variances below 0 or correlations above 1, so is no covariance")
        moments[kind] = (mean, (cov + cov.T) / 2)
    return Statistics(moments=moments)


def _check_finite(path: str | Path, array: NDArray[Any]) -> None:
    bad = int((~np.isfinite(array.reshape(len(array), -1)).all(axis=1)).sum())
    if bad:
        raise InvalidFile(f"{path}: {bad:,} of {len(array):,} samples are not finite")
