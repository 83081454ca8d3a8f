"""Maps and image scores from energies of patches, against formulas written out."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from dxbench.metrics.detection.maps import PatchScoring

RNG = np.random.default_rng(0)
ENERGIES = RNG.normal(size=(5, 3, 4)) * 100 + 1e6


def bilinear(image: np.ndarray, side: int, *, align_corners: bool) -> np.ndarray:
    """By its definition, pixel by pixel."""
    h, w = image.shape
    out = np.empty((side, side))
    for i in range(side):
        for j in range(side):
            at = []
            for k, size in ((i, h), (j, w)):
                x = k * (size - 1) / (side - 1) if align_corners else (k + 0.5) * size / side - 0.5
                x = min(max(x, 0.0), size - 1.0)
                low = min(int(x), size - 2)
                at.append((low, x - low))
            (a, p), (b, q) = at
            corners = image[a : a + 2, b : b + 2]
            out[i, j] = np.array([1 - p, p]) @ corners @ np.array([1 - q, q])
    return out


@pytest.mark.parametrize("align_corners", [False, True])
def test_maps_are_bilinear_in_float64(align_corners: bool):
    scoring = PatchScoring(resolution=11, align_corners=align_corners, pool=None)
    wanted = np.stack([bilinear(image, 11, align_corners=align_corners) for image in ENERGIES])
    np.testing.assert_allclose(scoring.maps(ENERGIES), wanted, rtol=1e-12)


def test_the_mean_of_the_largest_energies_is_a_score_too():
    flat = np.sort(ENERGIES.reshape(5, -1), axis=1)
    top = PatchScoring(resolution=11, align_corners=False, pool=None, top=3)
    np.testing.assert_allclose(top.images(ENERGIES), flat[:, -3:].mean(axis=1), rtol=1e-14)
    assert top.image_score == "mean of the 3 largest over patches of the energy"


def test_an_images_score_is_its_largest_energy_or_the_largest_mean_of_the_map():
    anomalous = np.array([False, True, False, True, False])
    raw = PatchScoring(resolution=11, align_corners=False, pool=None)
    np.testing.assert_array_equal(
        raw.group(ENERGIES, anomalous=anomalous, masks=None).scores, ENERGIES.max(axis=(1, 2))
    )
    pooled = PatchScoring(resolution=11, align_corners=True, pool=4)
    maps = pooled.maps(ENERGIES)
    wanted = [max(m[i : i + 4, j : j + 4].mean() for i in range(8) for j in range(8)) for m in maps]
    np.testing.assert_allclose(pooled.group(ENERGIES, anomalous=anomalous, masks=None).scores, wanted, rtol=1e-12)


def test_pixels_are_ranked_at_the_maps_resolution():
    masks = np.zeros((5, 22, 22), bool)
    masks[1, 4:9, 7:12] = masks[3, :2, :2] = True
    group = PatchScoring(resolution=11, align_corners=False, pool=None).group(
        ENERGIES, anomalous=masks.any(axis=(1, 2)), masks=masks
    )
    maps = PatchScoring(resolution=11, align_corners=False, pool=None).maps(ENERGIES)
    assert group.pixels is not None
    truth = masks[:, 1::2, 1::2]
    assert group.pixels.auroc == pytest.approx(roc_auc_score(truth.ravel(), maps.ravel()), abs=1e-12)


def test_without_masks_or_defects_no_pixel_is_ranked():
    scoring = PatchScoring(resolution=11, align_corners=False, pool=None)
    normal = np.zeros(5, bool)
    assert scoring.group(ENERGIES, anomalous=normal, masks=None).pixels is None
    assert scoring.group(ENERGIES, anomalous=normal, masks=np.zeros((5, 11, 11), bool)).pixels is None


def test_a_large_offset_makes_no_ties():
    """In float32 all of these energies would be one number."""
    energies = 1e9 + np.linspace(0, 1, 9).reshape(1, 3, 3)
    assert len(np.unique(PatchScoring(resolution=3, align_corners=False, pool=None).maps(energies))) == 9


def test_ways_to_score_differ_in_their_protocols():
    ways = [PatchScoring(resolution=r, align_corners=a, pool=p)
            for r in (56, 224) for a in (False, True) for p in (None, 16)]  # fmt: skip
    assert len({(way.map_recipe, way.image_score) for way in ways}) == 8
