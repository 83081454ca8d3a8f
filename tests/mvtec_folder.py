"""Writes small categories in MVTec-AD's layout."""

from pathlib import Path

import numpy as np

SIDE = 32


def write_png(path: Path, pixels: np.ndarray) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write_category(
    folder: Path,
    *,
    train: int = 3,
    good: int = 2,
    per_defect: int = 2,
    defects: tuple[str, ...] = ("broken", "scratch"),
) -> Path:
    """Grey noise; a bright rectangle is the defect. The same files for the same arguments."""
    rng = np.random.default_rng(0)

    def picture() -> np.ndarray:
        return rng.integers(80, 120, size=(SIDE, SIDE, 3), dtype=np.uint8)

    for split, count in (("train", train), ("test", good)):
        for i in range(count):
            write_png(folder / split / "good" / f"{i:03}.png", picture())
    for defect in defects:
        for i in range(per_defect):
            pixels, mask = picture(), np.zeros((SIDE, SIDE), np.uint8)
            mask[8:16, 4:20] = 255
            pixels[mask > 0] = 250
            write_png(folder / "test" / defect / f"{i:03}.png", pixels)
            write_png(folder / "ground_truth" / defect / f"{i:03}_mask.png", mask)
    return folder
