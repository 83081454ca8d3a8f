"""MVTec-AD's layout of folders, looked over before anything is measured.

    <category>/train/good/000.png
    <category>/test/good/000.png    <category>/test/<defect>/000.png
    <category>/ground_truth/<defect>/000_mask.png

PNGs of any size, colour or grey; a mask is true where it is not 0 (Bergmann et al. 2019, doi:10.1109/CVPR.2019.00982).
Names are compared without regard to capitals.
"""

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dxbench.errors import InvalidFile
from dxbench.files.images import PNG, image_files, load_image, named, read_image, subfolders
from dxbench.readers.images import Images

if TYPE_CHECKING:
    from PIL import Image

Masks = NDArray[np.bool_]
GOOD = "good"
READING = 2
"""Raised whenever the same files are read as other pixels or masks; features that are kept are found by it."""


@dataclass(frozen=True, kw_only=True)
class TestImage:
    """An image that tests.

    Attributes:
        defect: its folder; "good" has none.
        mask: where its defect is; None for a good image.
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
    """The files of one category, in the order of their paths."""

    folder: Path
    train: tuple[Path, ...]
    test: tuple[TestImage, ...]

    @property
    def anomalous(self) -> NDArray[np.bool_]:
        """The test images that are defective, [m]."""
        return self.defects != GOOD

    @property
    def defects(self) -> NDArray[np.str_]:
        """The folder of each test image, [m]."""
        return np.array([image.defect for image in self.test])

    @property
    def counts(self) -> Counts:
        defective = int(self.anomalous.sum())
        return Counts(train=len(self.train), good=len(self.test) - defective, defective=defective)

    @property
    def digest(self) -> str:
        """sha256 of the names and contents of all images and masks: equal for equal data, wherever they lie."""
        digest = hashlib.sha256(b"masked")
        masks = [image.mask for image in self.test if image.mask is not None]
        for path in (*self.train, *(image.path for image in self.test), *masks):
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            digest.update(f"{path.relative_to(self.folder).as_posix()} {content}\n".encode())
        return digest.hexdigest()


def scan(folder: Path) -> Category:
    """The files of the category in a folder.

    Raises:
        InvalidFile: without images, for a defective image without a mask, or a mask without an image.
    """
    below = {_key(path.name): path for path in subfolders(folder)}
    train = _images(_folders(below.get("train")).get(GOOD))
    truth = _folders(below.get("ground_truth"))
    found = {(kind, _key(path.name)): path for kind in truth for path in _images(truth[kind])}
    test, missing = [], []
    for kind, place in _folders(below.get("test")).items():
        for path in _images(place):
            mask = None
            if kind != GOOD:
                mask = found.pop((kind, _key(f"{path.stem}_mask.png")), None)
                missing += [] if mask else [folder / "ground_truth" / place.name / f"{path.stem}_mask.png"]
            test.append(TestImage(path=path, defect=GOOD if kind == GOOD else place.name, mask=mask))
    if not train or not test:
        raise InvalidFile(f"{folder}: wants images in train/good and test/<defect>, found {len(train)} and {len(test)}")
    for paths, what in (
        (missing, "defective images have no mask"),
        (list(found.values()), "masks have no image in test/"),
    ):
        if paths:
            raise InvalidFile(f"{folder}: {len(paths):,} {what}: {_names(folder, sorted(paths))}")
    return Category(folder=folder, train=tuple(train), test=tuple(test))


def _key(name: str) -> str:
    """A name as it is compared: capitals, and how an accent is written, differ between file systems."""
    return unicodedata.normalize("NFC", name).casefold()


def _folders(folder: Path | None) -> dict[str, Path]:
    """The folders in a folder, by `_key`."""
    return _by_key(subfolders(folder)) if folder else {}


def _images(folder: Path | None) -> list[Path]:
    return list(_by_key(image_files(folder, PNG, deep=False)).values()) if folder else []


def _by_key(paths: Iterable[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in paths:
        if (other := found.setdefault(_key(path.name), path)) is not path:
            raise InvalidFile(f"{other} and {path} differ in capitals or accents alone; rename one")
    return found


def read_images(folder: Path, paths: Sequence[Path], side: int) -> Images:
    """Images as RGB, resized to side x side (Pillow, bilinear, no crop), uint8 [n, side, side, 3].

    Raises:
        InvalidFile: naming and counting those that are damaged, or as `read_image`.
    """
    from PIL import Image

    images = np.empty((len(paths), side, side, 3), dtype=np.uint8)
    unread: dict[Path, InvalidFile] = {}
    for i, path in enumerate(paths):
        try:
            image = read_image(path, PNG)
        except InvalidFile as error:
            unread[path] = error
            continue
        images[i] = np.asarray(image.resize((side, side), Image.Resampling.BILINEAR))
    _refuse_unread(folder, unread, paths, "images")
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
    unread: dict[Path, InvalidFile] = {}
    sizes, empty = [], []
    for i, image in enumerate(category.test):
        if image.mask is None:
            continue
        try:
            mask, size = _marked(load_image(image.mask, PNG)), load_image(image.path, PNG).size
        except InvalidFile as error:
            unread[image.mask] = error
            continue
        masks[i] = np.asarray(mask.resize((side, side), Image.Resampling.NEAREST)) > 0
        if mask.size != size:
            sizes.append(image.mask)
        elif not masks[i].any():
            empty.append(image.mask)
    _refuse_unread(category.folder, unread, paths, "masks, or their images,")
    _refuse(category.folder, sizes, paths, "masks have another size than their images")
    _refuse(category.folder, empty, paths, f"masks are empty at {side} x {side}, though the images count as defective")
    return masks


def _marked(mask: "Image.Image") -> "Image.Image":
    """Pixels where a mask of any mode is not 0, as one bit: coloured, or opaque where the colour is all one."""
    from PIL import Image

    if mask.mode.startswith("I"):  # 16 bits, which no conversion keeps
        return Image.fromarray(np.asarray(mask) != 0)
    pixels = np.asarray(mask.convert("RGBA" if mask.has_transparency_data else "RGB"))
    coloured = (pixels[..., :3] != 0).any(axis=-1)
    opaque = pixels[..., 3] != 0 if pixels.shape[-1] == 4 else np.ones_like(coloured)
    if opaque.all() or not opaque.any():
        return Image.fromarray(coloured)
    one_colour = (pixels[..., :3] == pixels[0, 0, :3]).all()
    return Image.fromarray(opaque if one_colour else coloured & opaque)


def _refuse_unread(folder: Path, bad: Mapping[Path, InvalidFile], among: Sequence[Path], what: str) -> None:
    if bad:
        _refuse(folder, list(bad), among, f"{what} cannot be read ({next(iter(bad.values()))})")


def _refuse(folder: Path, bad: Sequence[Path], among: Sequence[Path], what: str) -> None:
    if bad:
        raise InvalidFile(
            f"{folder}: {len(bad):,} of {len(among):,} {what}: {_names(folder, bad)}; fetch the category anew"
        )


def _names(folder: Path, paths: Sequence[Path]) -> str:
    return named([path.relative_to(folder).as_posix() for path in paths])
