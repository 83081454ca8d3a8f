"""MVTec-AD's layout of folders, looked over before anything is measured.

    <category>/train/good/000.png
    <category>/test/good/000.png    <category>/test/<defect>/000.png
    <category>/ground_truth/<defect>/000_mask.png

Images of any size, colour or grey; a mask is true where it is not 0 (Bergmann et al. 2019,
doi:10.1109/CVPR.2019.00982).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dxbench.errors import InvalidFile
from dxbench.readers.images import Images, read_png

Masks = NDArray[np.bool_]
GOOD = "good"
NAMED = 5  # files an error lists


@dataclass(frozen=True, kw_only=True)
class TestImage:
    """An image that tests.

    Attributes:
        defect: its folder; "good" has none.
        mask: where its defect is; None for a good image, or where a set has no masks.
    """

    path: Path
    defect: str
    mask: Path | None


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Images of a category."""

    train: int
    good: int
    defective: int


@dataclass(frozen=True, kw_only=True)
class Category:
    """The files of one category, in the order of their paths; `masked` if defects have masks."""

    folder: Path
    masked: bool
    train: tuple[Path, ...]
    test: tuple[TestImage, ...]

    @property
    def anomalous(self) -> NDArray[np.bool_]:
        """Which test images are defective, [m]."""
        return np.array([image.defect != GOOD for image in self.test])

    @property
    def counts(self) -> Counts:
        defective = int(self.anomalous.sum())
        return Counts(train=len(self.train), good=len(self.test) - defective, defective=defective)

    @property
    def digest(self) -> str:
        """sha256 of the names and contents of all images and masks: equal for equal data, wherever they lie."""
        digest = hashlib.sha256(b"masked" if self.masked else b"")
        masks = [image.mask for image in self.test if image.mask is not None]
        for path in (*self.train, *(image.path for image in self.test), *masks):
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            digest.update(f"{path.relative_to(self.folder).as_posix()} {content}\n".encode())
        return digest.hexdigest()


def scan(folder: Path, *, masks: bool) -> Category:
    """The files of the category in a folder; `masks` says whether the set has masks.

    Raises:
        InvalidFile: without images, for a defective image without a mask, or a mask without an image.
    """
    train = _pngs(folder / "train" / GOOD)
    test = []
    for kind in sorted(path for path in (folder / "test").glob("*") if path.is_dir()):
        wants_mask = masks and kind.name != GOOD
        truth = folder / "ground_truth" / kind.name
        test += [
            TestImage(path=path, defect=kind.name, mask=truth / f"{path.stem}_mask.png" if wants_mask else None)
            for path in _pngs(kind)
        ]
    if not train or not test:
        raise InvalidFile(f"{folder}: wants images in train/good and test/<defect>, found {len(train)} and {len(test)}")
    if masks:
        _check_pairs(folder, {image.mask for image in test if image.mask is not None})
    return Category(folder=folder, masked=masks, train=tuple(train), test=tuple(test))


def _pngs(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.png"))


def _check_pairs(folder: Path, wanted: set[Path]) -> None:
    found = set((folder / "ground_truth").glob("*/*.png"))
    for missing, what in (
        (wanted - found, "defective images have no mask"),
        (found - wanted, "masks have no image in test/"),
    ):
        if missing:
            raise InvalidFile(f"{folder}: {len(missing):,} {what}: {_names(folder, sorted(missing))}")


def read_images(folder: Path, paths: Sequence[Path], side: int) -> Images:
    """Images as RGB, resized to side x side (Pillow, bilinear, no crop), uint8 [n, side, side, 3].

    Raises:
        InvalidFile: naming and counting those that are damaged.
    """
    from PIL import Image

    images = np.empty((len(paths), side, side, 3), dtype=np.uint8)
    damaged: list[Path] = []
    for i, path in enumerate(paths):
        try:
            image = read_png(path).convert("RGB")
        except InvalidFile:
            damaged.append(path)
            continue
        images[i] = np.asarray(image.resize((side, side), Image.Resampling.BILINEAR))
    _refuse(folder, damaged, paths, "images are damaged")
    return images


def read_masks(category: Category, side: int) -> Masks:
    """Masks of the test images, resized to side x side (nearest), [m, side, side]; all false for good ones.

    Raises:
        InvalidFile: naming and counting masks that are damaged, of another size than their image, or empty at this
            resolution, so that label and mask disagree.
    """
    from PIL import Image

    masks = np.zeros((len(category.test), side, side), dtype=bool)
    paths = [image.mask for image in category.test if image.mask is not None]
    damaged, sizes, empty = [], [], []
    for i, image in enumerate(category.test):
        if image.mask is None:
            continue
        try:
            mask, size = read_png(image.mask).convert("L"), read_png(image.path).size
        except InvalidFile:
            damaged.append(image.mask)
            continue
        masks[i] = np.asarray(mask.resize((side, side), Image.Resampling.NEAREST)) > 0
        if mask.size != size:
            sizes.append(image.mask)
        elif not masks[i].any():
            empty.append(image.mask)
    _refuse(category.folder, damaged, paths, "masks are damaged, or their images are")
    _refuse(category.folder, sizes, paths, "masks have another size than their images")
    _refuse(category.folder, empty, paths, f"masks are empty at {side} x {side}, though the images count as defective")
    return masks


def _refuse(folder: Path, bad: Sequence[Path], among: Sequence[Path], what: str) -> None:
    if bad:
        raise InvalidFile(
            f"{folder}: {len(bad):,} of {len(among):,} {what}: {_names(folder, bad)}; fetch the category anew"
        )


def _names(folder: Path, paths: Sequence[Path]) -> str:
    shown = ", ".join(path.relative_to(folder).as_posix() for path in paths[:NAMED])
    return shown + (f" and {len(paths) - NAMED} more" if len(paths) > NAMED else "")
