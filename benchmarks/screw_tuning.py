"""Settings on `screw` without a look at its test images: `python -m benchmarks.screw_tuning METHOD [FIELD=JSON ...]`.

240 of the 320 training images train; the other 80 are the normal ones to rank, and the same 80 with a defect made: a
piece of the screw pasted elsewhere, a scratch, a dent. Every `--every` steps it prints image AUROC by the largest
energy and by the mean of the ten largest, and AUROC of cells, each a mean over the three kinds; and the mean energies
of unseen normal images and of defective cells over that of training images.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from dxbench.api import Compute, Model
from dxbench.api.streams import RandomStreams
from dxbench.drawing.draw import energy_maps
from dxbench.engine.process import prepare_process
from dxbench.metrics.detection import auroc
from dxbench.plugins.configure import configure
from dxbench.plugins.registry import load_method
from dxbench.readers.mvtec import read_images, scan
from dxbench.tasks.detection import TEST_BATCH, PatchSet, problem_of
from dxbench.tasks.screw import EXTRACTOR, NAME, Screw

SIDE = 512
HELD_OUT = 80
CHANGED = 15  # grey levels by which a pixel has to differ to count as defective
SHARE = 0.02  # of a cell's pixels that have to
Array = NDArray[Any]


def silhouette(image: Array) -> NDArray[np.bool_]:
    """The largest dark region, by Otsu's threshold."""
    share = np.bincount(image.ravel(), minlength=256) / image.size
    below, mean = share.cumsum(), (share * np.arange(256)).cumsum()
    between = (mean[-1] * below - mean) ** 2 / np.maximum(below * (1 - below), 1e-9)
    labels, count = ndimage.label(ndimage.binary_closing(image < between.argmax(), iterations=2))  # type: ignore[misc]
    sizes = ndimage.sum(np.ones_like(labels), labels, range(1, count + 1))
    return labels == 1 + int(np.argmax(sizes))


def inner(region: NDArray[np.bool_], margin: int) -> NDArray[np.bool_]:
    """The part of a region that lies at least so many pixels from its edge."""
    return np.asarray(ndimage.binary_erosion(region, iterations=margin), dtype=bool)


def somewhere(within: NDArray[np.bool_], rng: np.random.Generator) -> tuple[int, int]:
    rows, columns = np.nonzero(within)
    i = rng.integers(len(rows))
    return int(rows[i]), int(columns[i])


def pasted(image: Array, screw: NDArray[np.bool_], rng: np.random.Generator) -> Array:
    """A piece of the screw, turned or mirrored and of another brightness, over another place of it."""
    size = rng.integers(22, 56, size=2)
    inside = inner(screw, 6)
    (y, x), (v, u) = (np.clip(np.array(somewhere(inside, rng)) - size // 2, 0, SIDE - size) for _ in range(2))
    h, w = size
    piece = image[y : y + h, x : x + w] * rng.uniform(0.8, 1.25)
    piece = np.rot90(piece, 2) if rng.random() < 0.5 else piece[:, ::-1]
    rows, columns = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j]
    weight = np.clip(4 * (1 - np.maximum(abs(rows), abs(columns))), 0, 1)
    found = image.astype(float)
    found[v : v + h, u : u + w] += weight * (piece - found[v : v + h, u : u + w])
    return found


def scratched(image: Array, screw: NDArray[np.bool_], rng: np.random.Generator) -> Array:
    """A curved line on the screw, lighter or darker than it."""
    (y, x), length = somewhere(inner(screw, 4), rng), rng.uniform(30, 80)
    along = np.linspace(-length / 2, length / 2, 400)
    angle = rng.uniform(0, 2 * np.pi) + 0.03 * rng.normal() * along
    line = np.zeros(image.shape)
    place = np.clip([y + np.sin(angle) * along, x + np.cos(angle) * along], 0, SIDE - 1).round().astype(int)
    line[place[0], place[1]] = 1
    line = ndimage.gaussian_filter(line, rng.uniform(1.5, 3))
    return image + screw * np.clip(1.3 * line / line.max(), 0, 1) * rng.choice([-1, 1]) * rng.uniform(30, 80)


def dented(image: Array, screw: NDArray[np.bool_], rng: np.random.Generator) -> Array:
    """The edge of the screw pushed aside."""
    y, x = somewhere(screw & ~inner(screw, 5), rng)
    radius, angle = rng.uniform(20, 44), rng.uniform(0, 2 * np.pi)
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(float)
    far = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) * 1.28 / radius**2) * rng.uniform(0.25, 0.55) * radius
    return ndimage.map_coordinates(
        image.astype(float), [rows + np.sin(angle) * far, columns + np.cos(angle) * far], order=1, mode="nearest"
    )


DEFECTS: dict[str, Callable[[Array, NDArray[np.bool_], np.random.Generator], Array]] = {
    "pasted": pasted, "scratched": scratched, "dented": dented,
}  # fmt: skip


class Split:
    """Features of images that train, of held-out ones, and of those with a defect, and the cells that it changed."""

    def __init__(self) -> None:
        from PIL import Image

        category = scan(Screw().home() / NAME)
        order = np.random.default_rng(0).permutation(len(category.train))
        extract = EXTRACTOR.load("cpu")

        def features(images: Array) -> Array:
            small = [
                Image.fromarray(image).resize((EXTRACTOR.side, EXTRACTOR.side), Image.Resampling.BILINEAR)
                for image in images
            ]
            batches = np.array_split(np.stack([np.asarray(image) for image in small]), len(small) // 8)
            return np.concatenate([extract(batch).astype(np.float16) for batch in batches]).astype(np.float32)

        grey = read_images(Path(), category.train, SIDE)[..., 0]
        held_out, colour = grey[order[-HELD_OUT:]], lambda images: np.repeat(images[..., None], 3, axis=-1)
        self.train, self.normal = features(colour(grey[order[:-HELD_OUT]])), features(colour(held_out))
        self.defective, self.cells = {}, {}
        for i, (name, change) in enumerate(DEFECTS.items()):
            rng = np.random.default_rng([1, i])
            changed = np.stack([change(image, silhouette(image), rng) for image in held_out]).clip(0, 255)
            self.defective[name] = features(colour(changed.astype(np.uint8)))
            marked = torch.from_numpy(np.abs(changed - held_out) > CHANGED).float()
            self.cells[name] = torch.nn.functional.adaptive_avg_pool2d(marked, EXTRACTOR.cells).numpy() > SHARE

    def scores(self, model: Model) -> dict[str, float]:
        """AUROCs in percent and ratios of energies; see the module."""

        def energies(grids: Array) -> Array:
            return energy_maps(model, grids, device="cpu", batch_size=TEST_BATCH)

        normal, trained = energies(self.normal), energies(self.train[:40]).mean()
        found = {name: energies(grids) for name, grids in self.defective.items()}

        def image_auroc(top: int) -> float:
            score = lambda maps: np.sort(maps.reshape(len(maps), -1))[:, -top:].mean(axis=1)  # noqa: E731
            return 100 * float(np.mean([auroc(score(normal), score(maps)) for maps in found.values()]))

        cells = [(maps[~self.cells[name]], maps[self.cells[name]]) for name, maps in found.items()]
        return {
            "max": image_auroc(1),
            "top10": image_auroc(10),
            "cells": 100 * float(np.mean([auroc(*pair) for pair in cells])),
            "unseen": float(normal.mean() / trained),
            "defects": float(np.mean([pair[1].mean() for pair in cells]) / trained),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("method")
    parser.add_argument("settings", nargs="*")
    parser.add_argument("--seed", type=int, default=10)
    parser.add_argument("--every", type=int, default=0)
    arguments = parser.parse_args()
    compute, method = Compute(device="cpu", threads=1), load_method(arguments.method)
    prepare_process(compute)
    split = Split()
    points = torch.from_numpy(split.train.reshape(-1, split.train.shape[-1]))
    problem = problem_of(NAME, PatchSet(points=points, grid=split.train.shape[1:3]))
    overrides = {key: json.loads(value) for key, _, value in (one.partition("=") for one in arguments.settings)}
    config = configure(method, Screw(), "default", overrides)
    training = method().start(problem, config, compute=compute, rng=RandomStreams("screw tuning", arguments.seed))
    for step in range(1, training.total_steps + 1):
        scalars = training.step()
        if step == training.total_steps or (arguments.every and step % arguments.every == 0):
            kept = {key: float(value) for key, value in scalars.items() if key.startswith("energy")}
            print(step, {key: round(value, 3) for key, value in (split.scores(training.model()) | kept).items()})
    if training.total_steps == 0:
        print({key: round(value, 3) for key, value in split.scores(training.model()).items()})


if __name__ == "__main__":
    main()
