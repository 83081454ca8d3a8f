"""MVTec-AD's screws at half their size, which are 50 MB in place of a part of 5 GB."""

from collections.abc import Callable
from pathlib import Path

from dxbench.errors import InvalidFile
from dxbench.files.images import PNG, image_files, load_image
from dxbench.files.writing import whole_folder

SIDE = 1024
"""Of the official images, in pixels."""


def halve_category(source: Path, target: Path, progress: Callable[[int, int | None], None]) -> None:
    """A category of MVTec-AD at half its size, whole or not at all.

    Images by Pillow's Lanczos; a mask's pixel is white where two of its four at least were.

    Raises:
        InvalidFile: for an image that is damaged or not 1,024 x 1,024.
    """
    from PIL import Image

    files = image_files(source, PNG)
    with whole_folder(target) as folder:
        for i, path in enumerate(files):
            image = load_image(path, PNG).convert("L")
            if image.size != (SIDE, SIDE):
                raise InvalidFile(f"{path} is {image.size[0]} x {image.size[1]}, wants MVTec-AD's own {SIDE} x {SIDE}")
            is_mask = "ground_truth" in path.relative_to(source).parts
            half = image.resize((SIDE // 2, SIDE // 2), Image.Resampling.BOX if is_mask else Image.Resampling.LANCZOS)
            if is_mask:
                half = half.point([255 * (level >= 128) for level in range(256)])
            kept = folder / path.relative_to(source)
            kept.parent.mkdir(parents=True, exist_ok=True)
            half.save(kept)
            progress(i + 1, len(files))
