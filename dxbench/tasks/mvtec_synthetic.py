"""A small set in MVTec-AD's folders whose right answer is known: the whole pixel pipeline, without a download.

A patch of 4 x 4 pixels in 3 colours is a direction in R^48. Those of a good image of category c follow the angular
central Gaussian law (Tyler 1987, doi:10.1093/biomet/74.3.579) of a covariance of low rank plus noise,

    u = y / |y|,  y ~ N(0, L_c),  L_c = B_c B_c^T / r + s^2 I / d,    p(u) ∝ (u^T L_c^{-1} u)^{-d/2},

B_c being r cosine waves of the category's own. A defect is a rectangle of patches with more noise. Patches are drawn
as pixels of 8 bits, images and masks are written as PNG files and read back like MVTec-AD's.

What is known: the model of one category's density and the likelihood ratio rank patches alike, both by
t = |B_c^T u|^2, whose odds are a multiple of an F-distributed number; so the AUROC of patches that no detector of one
category can exceed is an integral of two F densities. Reference row `data` has the true density.
"""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import scipy
from numpy.typing import NDArray

from dxbench import paths
from dxbench.api import Problem, ProblemSet, array_energy, short_hash
from dxbench.api.streams import derive_seed
from dxbench.features.patches import PixelPatches
from dxbench.metrics.detection.maps import PatchScoring
from dxbench.metrics.detection.robust import Turn, WorstCase
from dxbench.tasks.localisation import metrics_of, recipe_of
from dxbench.tasks.mvtec_folder import FolderTask

NAME, VERSION = "mvtec_synthetic", 1
CATEGORIES = ("bands", "checks", "weave")
DEFECTS = {"faint": 0.5, "strong": 2.0}
"""Noise s^2 of defective patches, by the kind of defect."""
GRID, PATCH, RANK = 14, 4, 8
DIM = 3 * PATCH**2
NOISE = 0.15
LENGTH = 170.0  # of a patch in grey levels; coordinates above 0.75, which would be cut off, hardly occur
TRAIN, GOOD, PER_DEFECT = 16, 8, 6

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class PatchLaw:
    """The angular central Gaussian of covariance B B^T / r + noise I / d, with orthonormal columns B [d, r]."""

    basis: Array
    noise: float

    @property
    def variances(self) -> tuple[float, float]:
        """Variances of y along the basis and orthogonal to it."""
        d, r = self.basis.shape
        return 1 / r + self.noise / d, self.noise / d

    def draw(self, n: int, rng: np.random.Generator) -> Array:
        """Unit vectors [n, d]."""
        d, r = self.basis.shape
        y = rng.normal(size=(n, r)) @ self.basis.T / r**0.5 + rng.normal(size=(n, d)) * (self.noise / d) ** 0.5
        return y / np.linalg.norm(y, axis=1, keepdims=True)

    def log_density(self, u: Array) -> Array:
        """Up to a constant that is the same for equal noise and rank: -d/2 log(u^T L^{-1} u), [n]."""
        inside, outside = self.variances
        t = np.square(u @ self.basis).sum(axis=1)
        whole = np.square(u).sum(axis=1)
        return -0.5 * u.shape[1] * np.log(t / inside + (whole - t) / outside)


def laws() -> dict[str, PatchLaw]:
    """The law of each category's good patches: cosine waves that no other category has."""
    waves = np.stack([_wave(i) for i in range(DIM)], axis=1)
    order = np.random.default_rng(derive_seed(NAME, VERSION, "waves")).permutation(np.arange(3, DIM))
    return {
        name: PatchLaw(basis=waves[:, order[RANK * i : RANK * (i + 1)]], noise=NOISE)
        for i, name in enumerate(CATEGORIES)
    }


def _wave(index: int) -> Array:
    """Element of the orthonormal cosine basis of patches [PATCH, PATCH, 3], as a vector."""
    coefficients = np.zeros(DIM)
    coefficients[index] = 1.0
    return np.asarray(scipy.fft.idctn(coefficients.reshape(PATCH, PATCH, 3), norm="ortho")).ravel()


def write_set(folder: Path, *draw: str) -> None:
    """Images and masks of all categories below a folder, the same for everybody; with a name, those of another draw."""
    for name, law in laws().items():
        rng = np.random.default_rng(derive_seed(NAME, VERSION, name, *draw))
        home = folder / name
        for split, n in (("train", TRAIN), ("test", GOOD)):
            for i in range(n):
                _write(home / split / "good" / f"{i:03}.png", _render(law.draw(GRID**2, rng)))
        for kind, noise in DEFECTS.items():
            for i in range(PER_DEFECT):
                where = _rectangles(rng)
                rows = law.draw(GRID**2, rng)
                rows[where.ravel()] = PatchLaw(basis=law.basis, noise=noise).draw(int(where.sum()), rng)
                _write(home / "test" / kind / f"{i:03}.png", _render(rows))
                mask = np.kron(where, np.full((PATCH, PATCH), 255)).astype(np.uint8)
                _write(home / "ground_truth" / kind / f"{i:03}_mask.png", mask)


def _rectangles(rng: np.random.Generator) -> NDArray[np.bool_]:
    """The defective patches, [GRID, GRID]: one or two rectangles of 2 to 4 patches a side."""
    where = np.zeros((GRID, GRID), dtype=bool)
    for _ in range(rng.integers(1, 3)):
        h, w = rng.integers(2, 5, size=2)
        i, j = rng.integers(GRID - h), rng.integers(GRID - w)
        where[i : i + h, j : j + w] = True
    return where


def _render(rows: Array) -> NDArray[np.uint8]:
    """Unit vectors of patches [GRID^2, d] as an image [side, side, 3]."""
    cells = (127.5 + LENGTH * rows).round().clip(0, 255).astype(np.uint8)
    cells = cells.reshape(GRID, GRID, PATCH, PATCH, 3).transpose(0, 2, 1, 3, 4)
    return cells.reshape(GRID * PATCH, GRID * PATCH, 3)


def _write(path: Path, pixels: NDArray[np.uint8]) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def home() -> Path:
    """The set's folder in the cache, written there if it is not; whole or not at all."""
    content = {"version": VERSION, "noise": NOISE, "defects": DEFECTS, "length": LENGTH, "rank": RANK, "patch": PATCH,
               "grid": GRID, "counts": [TRAIN, GOOD, PER_DEFECT], "categories": list(CATEGORIES)}  # fmt: skip
    target = paths.cache() / f"{NAME}-{short_hash(content)}"
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".writing-") as folder:
            write_set(Path(folder) / "set")
            try:
                (Path(folder) / "set").replace(target)
            except OSError:  # another run was quicker
                if not target.is_dir():
                    raise
    return target


def true_energy(u: Array) -> Array:
    """Minus the log density of good patches of all categories in equal shares, up to a constant, [n]."""
    return -np.logaddexp.reduce([law.log_density(u) for law in laws().values()], axis=0)


EXTRACTOR = PixelPatches(patch=PATCH, side=GRID * PATCH)
SCORING = PatchScoring(resolution=EXTRACTOR.side, align_corners=False, pool=None)
VIEWS = {
    "uniad": PatchScoring(resolution=EXTRACTOR.side, align_corners=True, pool=PATCH),
    "patches": PatchScoring(resolution=GRID, align_corners=False, pool=None),
}
WORST_CASE = WorstCase(threats=(Turn(dim=RANK),), steps=25)


class MVTecSynthetic(FolderTask):
    """Synthetic patches in MVTec-AD's folders, with masks: one model for three categories, the ideal is known."""

    name, version = NAME, VERSION
    unified = True
    groups = CATEGORIES
    extractor = EXTRACTOR
    scoring, views = SCORING, VIEWS
    headline = ("image_auroc", "pixel_auroc", "aupro", "pixel_auroc_patches", "image_robust_auroc")
    worst_case = WORST_CASE
    scored_by = metrics_of(
        reference=f"{NAME}@{VERSION}, {recipe_of(EXTRACTOR)}", scoring=SCORING, views=VIEWS, worst_case=WORST_CASE
    )

    def home(self) -> Path:
        return home()

    def problem(self, *, oracle: bool) -> Problem | ProblemSet:
        problem = super().problem(oracle=oracle)
        assert isinstance(problem, Problem)
        return replace(problem, oracle=array_energy(true_energy)) if oracle else problem


PIXEL_AUROC, AUPRO, PIXEL_AP, PIXEL_F1_MAX, AUPRO_5, AUPIMO = MVTecSynthetic.scored_by[4:10]
IMAGE_AUROC_UNIAD, PIXEL_AUROC_UNIAD, PIXEL_AUROC_PATCHES = MVTecSynthetic.scored_by[10:13]
