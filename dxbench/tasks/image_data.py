"""Images of data sets: CIFAR-10's archive, packed arrays, and folders; as training data in [-1, 1]."""

import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dxbench.api import Model
from dxbench.assets.imagefolder import ImageFolder, labels_file
from dxbench.errors import InvalidFile, MissingData
from dxbench.files.archives import opened_tar
from dxbench.files.faults import refusing_damage
from dxbench.files.unpickling import read_batch

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]

DATA_STD = 0.5
"""Of one coordinate of natural images in [-1, 1], as EDM takes it (arXiv:2206.00364, Table 1)."""
CIFAR10_CLASSES = 10
CIFAR10_MEMBERS = {
    "train": tuple(f"cifar-10-batches-py/data_batch_{i}" for i in range(1, 6)),
    "test": ("cifar-10-batches-py/test_batch",),
}


def to_floats(images: Images) -> NDArray[np.float32]:
    """uint8 [n, H, W, C] to float32 [n, C, H, W] in [-1, 1]."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)).astype(np.float32) / 127.5 - 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledImages:
    """Images [n, H, W, C] with their classes [n]."""

    images: Images
    labels: Labels

    def __len__(self) -> int:
        return len(self.images)

    def part(self, rows: slice) -> "LabelledImages":
        """Some of them, copied, so that whoever holds a part does not reach the others."""
        return LabelledImages(images=self.images[rows].copy(), labels=self.labels[rows].copy())


def check_labels(labels: NDArray[Any], *, n: int, num_classes: int, where: object) -> Labels:
    """Class labels as int64 [n].

    Raises:
        InvalidFile: if they are others than n whole numbers in 0 .. num_classes - 1.
    """
    if labels.shape != (n,) or not np.issubdtype(labels.dtype, np.integer):
        raise InvalidFile(f"{where}: wants {n:,} class labels, got {labels.dtype} {list(labels.shape)}")
    outside = labels[(labels < 0) | (labels >= num_classes)]
    if len(outside):
        raise InvalidFile(
            f"{where}: {len(outside):,} of {n:,} class labels are out of range, the first {int(outside[0])}; "
            f"wants 0 .. {num_classes - 1}"
        )
    return labels.astype(np.int64)


@cache
def read_cifar10(path: Path) -> dict[str, LabelledImages]:
    """Training and test split of the official archive for Python; nothing in it is executed or unpacked to disk.

    Raises:
        InvalidFile: if it is damaged or another archive.
    """
    with opened_tar(path) as (archive, found):
        members = {member.name: member for member in found}
        return {
            split: _join([_cifar_batch(path, archive, members, name) for name in names])
            for split, names in CIFAR10_MEMBERS.items()
        }


def _cifar_batch(
    path: Path, archive: tarfile.TarFile, members: Mapping[str, tarfile.TarInfo], name: str
) -> LabelledImages:
    file = archive.extractfile(members[name]) if name in members else None
    if file is None:
        raise InvalidFile(f"{path} has no {name}; wants the official archive for Python")
    where = f"{path}: {name}"
    try:
        batch = read_batch(file)
    except InvalidFile as error:
        raise InvalidFile(f"{where}: {error}") from None
    data = batch.get("data")
    if not isinstance(data, np.ndarray) or data.ndim != 2 or data.shape[1] != 3 * 32 * 32:
        raise InvalidFile(f"{where}: wants uint8 data [n, 3072]")
    labels = check_labels(np.asarray(batch.get("labels")), n=len(data), num_classes=CIFAR10_CLASSES, where=where)
    return LabelledImages(images=data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels=labels)


def _join(parts: list[LabelledImages]) -> LabelledImages:
    images = np.ascontiguousarray(np.concatenate([part.images for part in parts]))
    return LabelledImages(images=images, labels=np.concatenate([part.labels for part in parts]))


def read_packed(path: Path, *, size: int, num_classes: int) -> LabelledImages:
    """Images that `dxbench prepare` packed, mapped into memory, with their classes.

    Raises:
        InvalidFile: if they are damaged or others.
    """
    where = labels_file(path)
    if not where.is_file():
        raise MissingData(f"no {where.name} beside {path}; remove {path.name} and run `dxbench prepare` again")
    with refusing_damage(f"{path}, or its labels, are cut short or no npy file; make them anew"):
        images, labels = np.load(path, mmap_mode="r", allow_pickle=False), np.load(where, allow_pickle=False)
    if images.dtype != np.uint8 or images.shape[1:] != (size, size, 3) or len(images) == 0:
        raise InvalidFile(f"{path}: wants uint8 [n, {size}, {size}, 3], got {images.dtype} {list(images.shape)}")
    return LabelledImages(
        images=images, labels=check_labels(labels, n=len(images), num_classes=num_classes, where=where)
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageData:
    """Training data: images drawn with replacement, not flipped; a method augments them itself.

    They are read when first asked for, so that a method which trains on none needs none.
    """

    read: Callable[[], LabelledImages]

    @cached_property
    def _all(self) -> LabelledImages:
        return self.read()

    def batch(self, n: int, *, rng: np.random.Generator) -> Tensor:
        return self.labelled_batch(n, rng=rng)[0]

    def labelled_batch(self, n: int, *, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        chosen = rng.integers(len(self._all), size=n)
        return torch.from_numpy(to_floats(self._all.images[chosen])), torch.from_numpy(self._all.labels[chosen])


@dataclass(frozen=True, kw_only=True, eq=False)
class FolderData:
    """Training data: the files of a folder, drawn with replacement, decoded and cropped as they are drawn."""

    folder: Callable[[], ImageFolder]

    @cached_property
    def _folder(self) -> ImageFolder:
        return self.folder()

    def batch(self, n: int, *, rng: np.random.Generator) -> Tensor:
        chosen = rng.integers(len(self._folder.files), size=n)
        return torch.from_numpy(to_floats(np.stack([self._folder.read(int(i)) for i in chosen])))


def real_images(images: Images) -> Model:
    """The truth as a model: images that are real, in turn from one that the seed names."""

    def sampler(seeds: Tensor) -> Tensor:
        return torch.from_numpy(to_floats(images[(seeds % len(images)).cpu().numpy()]))

    return Model(sampler=sampler)
