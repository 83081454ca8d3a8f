"""Find which files are images, and read one whole: one rule for samples, categories and training images.

* An image is told by its ending, in capitals or not. What operating systems and notebooks leave behind (`.DS_Store`,
  `._0.png`, `__MACOSX`, `Thumbs.db`, `.ipynb_checkpoints`) is none, whatever its ending.
* What is left out is said, with names and number. An image of a format that is not taken is refused, not left out.
* Links are followed. One that leads nowhere or back to a folder above it is refused by name.
* Pixels are those stored: an orientation among an image's metadata, a gamma or a colour profile changes none.
"""

import io
import logging
import os
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from dxbench.errors import InvalidFile
from dxbench.files.faults import refusing_damage
from dxbench.files.reading import read_regular
from dxbench.plain import plain

if TYPE_CHECKING:
    from PIL import Image

log = logging.getLogger(__name__)

PNG = (".png",)
PHOTOS = (".jpeg", ".jpg", ".png", ".webp")
LOSSY = (".avif", ".heic", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".jxl", ".webp")
IMAGES = (*LOSSY, ".bmp", ".gif", ".pgm", ".png", ".ppm", ".tif", ".tiff")
FORMATS = {".png": "PNG", ".jpeg": "JPEG", ".jpg": "JPEG", ".webp": "WEBP"}
LEFTOVERS = ("__macosx", "thumbs.db", "desktop.ini")
MAX_IMAGE_BYTES = 64 << 20
MAX_PIXELS = 1 << 26
"""8,192 x 8,192; what is larger is no image that a task here is about, and is not unpacked."""
NAMED = 5  # files a message lists
PNG_DEPTH = 24  # offset of the bits per channel: signature, length and name of IHDR, width, height


def named(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(map(plain, names[:NAMED])) + more


def choose_images(where: object, names: Sequence[str], endings: Collection[str]) -> list[int]:
    """Indices of the images among names relative to `where`, in the order of their paths.

    Raises:
        InvalidFile: naming and counting images of formats other than `endings`.
    """
    chosen: list[int] = []
    foreign: list[str] = []
    left_out: list[str] = []
    for i, name in enumerate(names):
        path = PurePosixPath(name)
        ending = path.suffix.lower()
        if _is_leftover(path) or name.endswith("/") or ending not in IMAGES:
            left_out.append(name)
        elif ending in endings:
            chosen.append(i)
        else:
            foreign.append(name)
    if foreign:
        wanted = f"wants {', '.join(endings)}" if endings else "wants images in the folders alone"
        lossy = [name for name in foreign if PurePosixPath(name).suffix.lower() in LOSSY]
        why = f"; {lossy[0]} is a lossy format, whose artefacts move every metric" if endings and lossy else ""
        raise InvalidFile(
            f"{where}: {len(foreign):,} of {len(names):,} files are images that do not belong here: {named(foreign)}; "
            f"{wanted}{why}"
        )
    if left_out:
        log.warning(
            "%s: left out %s of %s files, no images: %s",
            where,
            f"{len(left_out):,}",
            f"{len(names):,}",
            named(sorted(left_out)),
        )
    return sorted(chosen, key=lambda i: PurePosixPath(names[i]).parts)


def image_files(folder: Path, endings: Collection[str], *, deep: bool = True) -> list[Path]:
    """The images of a folder, and of all folders below it unless `deep` is off, in the order of their paths.

    Raises:
        InvalidFile: as `choose_images`, or naming a folder that cannot be read, or a link that leads nowhere or back.
    """
    names = list(_walk(folder, deep=deep)) if folder.is_dir() else []
    found = [folder / names[i] for i in choose_images(folder, names, endings)]
    for path in found:
        if path.is_symlink() and not path.is_file():
            raise InvalidFile(f"{path} is a link to no file")
    return found


def subfolders(folder: Path) -> list[Path]:
    """The folders in a folder, leftovers left out, in the order of their names.

    Raises:
        InvalidFile: naming images that lie beside them, or as `image_files`.
    """
    names = list(_walk(folder, deep=False)) if folder.is_dir() else []
    kept = [name for name in names if name.endswith("/") and not _is_leftover(PurePosixPath(name))]
    choose_images(folder, [name for name in names if name not in set(kept)], ())
    return sorted(folder / name for name in kept)


def _is_leftover(path: PurePosixPath) -> bool:
    return any(part.startswith(".") or part.lower() in LEFTOVERS for part in path.parts)


def _walk(folder: Path, *, deep: bool, prefix: str = "", above: tuple[str, ...] = ()) -> Iterator[str]:
    """Names of files below a folder; a folder that is not entered is a name that ends in "/"."""
    real = os.path.realpath(folder)
    if real in above:
        raise InvalidFile(f"{folder} is a link that leads back to a folder above it")
    try:
        with os.scandir(folder) as entries:
            found = list(entries)
    except OSError as error:
        raise InvalidFile(f"the folder {folder} cannot be read: {error.strerror}") from None
    for entry in found:
        name = f"{prefix}{entry.name}"
        is_folder = os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()  # noqa: PTH112 - a loop is no error
        if not is_folder:
            yield name
        elif deep and not _is_leftover(PurePosixPath(entry.name)):
            yield from _walk(Path(entry.path), deep=True, prefix=f"{name}/", above=(*above, real))
        else:
            yield f"{name}/"


def read_image(path: Path, endings: Collection[str]) -> "Image.Image":
    """One image of any size, in RGB; grey of 16 bits is scaled to 8 (v / 257, rounded).

    Raises:
        InvalidFile: as `load_image`.
    """
    import numpy as np
    from PIL import Image

    image = load_image(path, endings)
    if image.mode.startswith("I"):
        image = Image.fromarray(np.round(np.asarray(image, dtype=np.float64) / 257).astype(np.uint8))
    return image.convert("RGB")


def load_image(path: Path, endings: Collection[str]) -> "Image.Image":
    """One image of any size and mode as it is stored, its checksums compared.

    Raises:
        InvalidFile: if it is damaged, empty, of another format, moving, or colour of 16 bits.
    """
    content = image_content(path)
    with opened(str(path), content, endings) as image:
        if png_depth(content) == 16 and not image.mode.startswith("I"):
            raise InvalidFile(f"{path} has colours of 16 bits, which would be cut off; save it with 8 bits a channel")
        return image.copy()


def image_content(path: Path) -> bytes:
    """The bytes of an image file.

    Raises:
        InvalidFile: if it is no regular file, or larger than any image.
    """
    with refusing_damage(f"{path} is damaged"):
        return read_regular(path, limit=MAX_IMAGE_BYTES)


@contextmanager
def opened(what: str, content: bytes, endings: Collection[str]) -> "Iterator[Image.Image]":
    """An image whose header is read and whose checksums hold, of at most MAX_PIXELS; `what` names it in errors.

    Raises:
        InvalidFile: if it is damaged, of another format, or moving; also where the body of the `with` meets damage.
    """
    from PIL import Image, UnidentifiedImageError

    formats = sorted({FORMATS[ending] for ending in endings})
    with refusing_damage(f"{what} is damaged"):
        try:
            with warnings.catch_warnings():  # the limit is ours, below that of Pillow's warning
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                image = Image.open(io.BytesIO(content), formats=formats)
        except UnidentifiedImageError:
            kind = "empty" if not content else f"no image of format {' or '.join(formats)}"
            raise InvalidFile(f"{what} is damaged: it is {kind}") from None
        with image:
            if image.width * image.height > MAX_PIXELS:
                raise InvalidFile(f"{what} has {image.width * image.height:,} pixels, at most {MAX_PIXELS:,} are read")
            # MPO is a JPEG with previews, as cameras write.
            if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
                raise InvalidFile(f"{what} has {getattr(image, 'n_frames', 1)} pictures, wants one")
            yield image
            if image.format == "PNG":
                # Pixels decode without a look at the checksums, and a verified image has to be opened anew.
                with Image.open(io.BytesIO(content), formats=["PNG"]) as again:
                    again.verify()


def png_depth(content: bytes) -> int | None:
    """Bits per channel as stored, which Pillow hides; None for another format."""
    return content[PNG_DEPTH] if content.startswith(b"\x89PNG") and len(content) > PNG_DEPTH else None
