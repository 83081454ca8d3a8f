"""Training images as files: a folder per class, or one folder; cropped and shrunk the way ADM's data loader does."""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from dxbench.errors import InvalidFile, MissingData
from dxbench.files.images import PHOTOS, image_files, read_image

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Images = NDArray[np.uint8]
    Labels = NDArray[np.int64]

IMAGENET_SIZE, IMAGENET_CLASSES = 64, 1000
CHECKED_EVERY = 1000


def centre_crop(content: Path, size: int) -> "Images":
    """An image file as uint8 [size, size, 3]: halved by boxes while twice too large, bicubic, centre cut out.

    As ADM (arXiv:2105.05233) prepares ImageNet and LSUN, so that training images are those of its references.

    Raises:
        InvalidFile: as `read_image`, or if the image is smaller than `size`.
    """
    import numpy as np
    from PIL import Image

    image = read_image(content, PHOTOS)
    if min(image.size) < size:
        raise InvalidFile(f"{content} is {image.size[0]} x {image.size[1]}, wants {size} x {size} at least")
    while min(image.size) >= 2 * size:
        image = image.resize((image.size[0] // 2, image.size[1] // 2), resample=Image.Resampling.BOX)
    scale = size / min(image.size)
    image = image.resize((round(image.size[0] * scale), round(image.size[1] * scale)), Image.Resampling.BICUBIC)
    array = np.asarray(image)
    top, left = (array.shape[0] - size) // 2, (array.shape[1] - size) // 2
    return array[top : top + size, left : left + size]


@dataclass(frozen=True, kw_only=True)
class ImageFolder:
    """The images under a folder, in the order of their paths.

    Attributes:
        size: they are brought to size x size when read.
    """

    folder: Path
    size: int

    @cached_property
    def files(self) -> list[Path]:
        """Raises MissingData if there is no image, InvalidFile as `image_files`."""
        found = image_files(self.folder, PHOTOS)
        if not found:
            raise MissingData(f"no images ({', '.join(PHOTOS)}) under {self.folder}")
        return found

    @cached_property
    def classes(self) -> list[str]:
        """Names of the folders that images lie in, sorted: class c is the c-th. For ImageNet as torchvision counts."""
        return sorted({file.relative_to(self.folder).parts[0] for file in self.files})

    @cached_property
    def labels(self) -> "Labels":
        """The class of each image, [n]."""
        import numpy as np

        index = {name: i for i, name in enumerate(self.classes)}
        return np.array([index[file.relative_to(self.folder).parts[0]] for file in self.files], dtype=np.int64)

    def read(self, i: int) -> "Images":
        return centre_crop(self.files[i], self.size)


def labels_file(images: Path) -> Path:
    """The file with the classes of packed images."""
    return images.with_name(f"{images.stem}_labels.npy")


def pack_class_folders(source: Path, target: Path, progress: Callable[[int, int | None], None]) -> None:
    """ImageNet's class folders to uint8 [n, 64, 64, 3] and int64 [n] in npy files, which are read without loading them.

    Raises:
        InvalidFile: for other than 1,000 classes, or a damaged image; nothing is left behind.
        OSError: if the disk is full; nothing is left behind.
    """
    folder = ImageFolder(folder=source, size=IMAGENET_SIZE)
    if len(folder.classes) != IMAGENET_CLASSES:
        raise InvalidFile(
            f"{source} holds {len(folder.classes):,} class folders, wants {IMAGENET_CLASSES:,} (n01440764, ...); "
            "unpack the tar of each class into a folder of its name"
        )
    pack(folder, target, progress)


def pack(folder: ImageFolder, target: Path, progress: Callable[[int, int | None], None]) -> None:
    """The images of a folder and their classes as npy files at `target` and `labels_file(target)`."""
    import numpy as np

    n, size = len(folder.files), folder.size
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    try:
        packed = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=(n, size, size, 3))
        with part.open("r+b") as file:  # a full disk is an error here, and a crash where a sparse map is written to
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, part.stat().st_size)
        for i in range(n):
            packed[i] = folder.read(i)
            if (i + 1) % CHECKED_EVERY == 0 or i + 1 == n:
                progress(i + 1, n)
        packed.flush()
        np.save(labels_file(target), folder.labels)
        part.replace(target)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise OSError(error.errno, f"no space left for {n:,} images at {target}") from None
        raise
    finally:
        part.unlink(missing_ok=True)
