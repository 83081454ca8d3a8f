"""PNG images of a folder or of a zip archive."""

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dxbench.errors import InvalidFile
from dxbench.files.archives import opened_zip, read_member
from dxbench.files.images import MAX_IMAGE_BYTES, PNG, choose_images, image_content, image_files, opened, png_depth

Images = NDArray[np.uint8]
MODES = {1: "L", 3: "RGB"}


def read_folder(path: Path, event_shape: tuple[int, ...]) -> Images:
    """All PNGs under a folder, in the order of their paths, uint8 [n, H, W, C].

    Raises:
        InvalidFile: naming the first image that is damaged or does not fit.
    """
    files = image_files(path, PNG)
    images = ((str(file.relative_to(path)), image_content(file)) for file in files)
    return _stack(path, images, len(files), event_shape)


def read_zip(path: Path, event_shape: tuple[int, ...]) -> Images:
    """All PNGs of a zip archive, in the order of their paths, uint8 [n, H, W, C]; EDM's data sets are such.

    Raises:
        InvalidFile: naming the first image that is damaged or does not fit.
    """
    with opened_zip(path) as (archive, members):
        chosen = _chosen(path, members)
        images = ((member.filename, read_member(archive, member)) for member in chosen)
        return _stack(path, images, len(chosen), event_shape)


def _chosen(path: Path, members: Sequence[zipfile.ZipInfo]) -> list[zipfile.ZipInfo]:
    chosen = [members[i] for i in choose_images(path, [member.filename for member in members], PNG)]
    large = [member for member in chosen if member.file_size > MAX_IMAGE_BYTES]
    if large:
        raise InvalidFile(f"{path}: {large[0].filename} claims {large[0].file_size:,} bytes")
    return chosen


def first_shape(path: Path) -> tuple[int, int, int]:
    """[C, H, W] of the first PNG of a folder or zip archive, which a reader then asks of every other.

    Raises:
        InvalidFile: if there is none, or it is damaged.
    """
    if path.is_dir():
        content = next((image_content(file) for file in image_files(path, PNG)[:1]), None)
    else:
        with opened_zip(path) as (archive, members):
            content = next((read_member(archive, member) for member in _chosen(path, members)[:1]), None)
    if content is None:
        raise InvalidFile(f"{path} holds no PNG images")
    with opened(f"{path}: the first image", content, PNG) as image:
        return (1 if image.mode == "L" else 3, image.height, image.width)


def _stack(path: Path, images: Iterator[tuple[str, bytes]], n: int, event_shape: tuple[int, ...]) -> Images:
    if n == 0:
        raise InvalidFile(f"{path} holds no PNG images")
    channels, height, width = event_shape
    stacked = np.empty((n, height, width, channels), dtype=np.uint8)
    for i, (name, content) in enumerate(images):
        stacked[i] = _decode(f"{path}: {name}", content, event_shape)
    return stacked


def _decode(what: str, content: bytes, event_shape: tuple[int, ...]) -> Images:
    channels, height, width = event_shape
    wanted = MODES.get(channels)
    with opened(what, content, PNG) as image:
        # Known from the header: nothing is unpacked of an image that does not fit.
        if image.size != (width, height):
            raise InvalidFile(f"{what} is {image.size[0]} x {image.size[1]}, wants {width} x {height}")
        if image.mode != wanted or png_depth(content) != 8:
            bits = f"mode {image.mode}" if image.mode != wanted else f"{png_depth(content)} bits a channel"
            raise InvalidFile(f"{what} has {bits}, wants 8-bit {wanted} ({channels} channels)")
        return np.asarray(image).reshape(height, width, channels)
