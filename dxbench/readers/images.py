"""PNG images of a folder or of a zip archive."""

import io
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dxbench.archives import check_archive
from dxbench.errors import InvalidFile

if TYPE_CHECKING:
    from PIL import Image

Images = NDArray[np.uint8]
LOSSY = (".jpg", ".jpeg", ".webp")
MODES = {1: "L", 3: "RGB"}
MAX_IMAGE_BYTES = 64 << 20


def read_folder(path: Path, event_shape: tuple[int, ...]) -> Images:
    """All PNGs under a folder, in the order of their paths, uint8 [n, H, W, C].

    Raises:
        InvalidFile: naming the first image that is damaged or does not fit.
    """
    files = sorted(file for file in path.rglob("*") if file.is_file())
    names = [str(file.relative_to(path)) for file in files]
    chosen = _choose(path, names)
    return _stack(path, ((names[i], files[i].read_bytes()) for i in chosen), len(chosen), event_shape)


def read_zip(path: Path, event_shape: tuple[int, ...]) -> Images:
    """All PNGs of a zip archive, in the order of their names, uint8 [n, H, W, C]; EDM's data sets are such.

    Raises:
        InvalidFile: naming the first image that is damaged or does not fit.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = check_archive(path, archive)
            chosen = _choose(path, [member.filename for member in members])
            large = [members[i] for i in chosen if members[i].file_size > MAX_IMAGE_BYTES]
            if large:
                raise InvalidFile(f"{path}: {large[0].filename} claims {large[0].file_size:,} bytes")
            images = ((members[i].filename, archive.read(members[i])) for i in chosen)
            return _stack(path, images, len(chosen), event_shape)
    except (OSError, EOFError, zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError) as error:
        raise InvalidFile(f"{path} is not a readable zip archive: {error}") from None


def _choose(path: Path, names: Sequence[str]) -> list[int]:
    """Indices of the PNGs; other files are passed over, images that have lost detail are refused."""
    lossy = [name for name in names if name.lower().endswith(LOSSY)]
    if lossy:
        raise InvalidFile(f"{path}: {lossy[0]} is a lossy format, whose artefacts move every metric; wants PNG")
    chosen = [i for i, name in enumerate(names) if name.lower().endswith(".png")]
    if not chosen:
        raise InvalidFile(f"{path} holds no PNG images")
    return chosen


def _stack(path: Path, images: Iterator[tuple[str, bytes]], n: int, event_shape: tuple[int, ...]) -> Images:
    channels, height, width = event_shape
    stacked = np.empty((n, height, width, channels), dtype=np.uint8)
    for i, (name, content) in enumerate(images):
        stacked[i] = _decode(f"{path}: {name}", content, event_shape)
    return stacked


def _decode(what: str, content: bytes, event_shape: tuple[int, ...]) -> Images:
    from PIL import Image

    channels, height, width = event_shape
    with refusing_damage(what):
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            # Known from the header: nothing is unpacked of an image that does not fit.
            if image.size != (width, height):
                raise InvalidFile(f"{what} is {image.size[0]} x {image.size[1]}, wants {width} x {height}")
            if image.mode != MODES.get(channels):
                raise InvalidFile(
                    f"{what} has mode {image.mode}, wants 8-bit {MODES.get(channels)} ({channels} channels)"
                )
            # Checksums are read here alone; pixels decode without them, and a verified image has to be opened anew.
            image.verify()
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            return np.asarray(image).reshape(height, width, channels)


def read_png(path: Path) -> "Image.Image":
    """One PNG of any size and mode, its checksums compared.

    Raises:
        InvalidFile: if it is damaged, empty or another format.
    """
    from PIL import Image

    with refusing_damage(str(path)):
        content = io.BytesIO(path.read_bytes())
        with Image.open(content, formats=["PNG"]) as image:
            image.verify()
        image = Image.open(content, formats=["PNG"])
        image.load()
        return image


@contextmanager
def refusing_damage(what: str) -> Iterator[None]:
    """Turns what Pillow raises for damaged files into InvalidFile."""
    from PIL import Image

    try:
        yield
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise InvalidFile(f"{what} is damaged: {error}") from None
