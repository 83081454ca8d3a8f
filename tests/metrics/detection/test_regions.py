"""AUPRO and pixel AUROC against brute force, scikit-learn and anomalib's published cases."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from dxbench.metrics.detection.regions import RankedPixels, connected_regions


def flood_fill(mask: np.ndarray) -> list[list[tuple[int, int]]]:
    """8-connected regions of one mask by hand."""
    left = {(int(i), int(j)) for i, j in np.argwhere(mask)}
    regions = []
    while left:
        stack = [left.pop()]
        region = []
        while stack:
            i, j = stack.pop()
            region.append((i, j))
            near = {(i + a, j + b) for a in (-1, 0, 1) for b in (-1, 0, 1)} & left
            left -= near
            stack += near
        regions.append(region)
    return regions


def brute_force_aupro(maps: np.ndarray, masks: np.ndarray, limit: float) -> float:
    """The definition: a point of the curve per distinct score, trapezoids, a straight cut at the limit."""
    regions = [
        np.array([image[at] for at in region])
        for image, mask in zip(maps, masks, strict=True)
        for region in flood_fill(mask)
    ]
    normal = maps[~masks]
    fpr, pro = [0.0], [0.0]
    for threshold in np.unique(maps)[::-1]:
        fpr.append(float(np.mean(normal >= threshold)))
        pro.append(float(np.mean([np.mean(region >= threshold) for region in regions])))
    area = 0.0
    for a, b, p, q in zip(fpr, fpr[1:], pro, pro[1:], strict=False):
        if b <= limit:
            area += (b - a) * (p + q) / 2
        elif a < limit:
            at_limit = p + (q - p) * (limit - a) / (b - a)
            area += (limit - a) * (p + at_limit) / 2
    return area / limit


def maps_and_masks(seed: int, levels: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Small maps with random blobs; `levels` rounds the scores to that many values, so that most are ties."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((4, 12, 15), bool)
    for mask in masks[:3]:
        for _ in range(3):
            i, j = rng.integers(0, 9), rng.integers(0, 11)
            mask[i : i + rng.integers(1, 4), j : j + rng.integers(1, 4)] = True
    maps = rng.normal(size=masks.shape) + 0.8 * masks
    if levels is not None:
        maps = np.round(maps * levels / 6)
    return maps, masks


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("levels", [None, 30, 3])
@pytest.mark.parametrize("limit", [0.05, 0.3, 1.0])
def test_aupro_and_pixel_auroc_equal_their_definitions_ties_included(seed: int, levels: int | None, limit: float):
    maps, masks = maps_and_masks(seed, levels)
    ranked = RankedPixels.of(maps, masks)
    assert ranked.aupro(limit) == pytest.approx(brute_force_aupro(maps, masks, limit), abs=1e-9)
    assert ranked.auroc == pytest.approx(roc_auc_score(masks.ravel(), maps.ravel()), abs=1e-9)


def test_anomalibs_published_cases_of_aupro():
    """By value, from anomalib's tests (Apache-2.0): rising scores, whole columns as defects, limit 1/3, AUPRO 1/6."""
    maps = (np.arange(2800) / 2800).reshape(1, 400, 7)
    one, three = np.zeros((1, 400, 7), bool), np.zeros((1, 400, 7), bool)
    one[..., 3] = True
    three[..., [1, 3, 5]] = True
    for masks, stacked in ((one, maps), (three, maps), (np.concatenate([one, three]), np.concatenate([maps, maps]))):
        assert RankedPixels.of(stacked, masks).aupro(1 / 3) == pytest.approx(1 / 6, abs=1e-3)


def test_regions_touch_at_corners_and_never_across_images():
    masks = np.zeros((2, 4, 4), bool)
    masks[0, 0, 0] = masks[0, 1, 1] = True  # one region, by the corner
    masks[0, 3, 3] = True
    masks[1, 3, 3] = True  # same place in the next image: another region
    region, sizes = connected_regions(masks)
    assert sizes.tolist() == [2, 1, 1]
    assert region.tolist() == [0, 0, 1, 2]


def test_small_defects_count_as_much_as_large_ones():
    masks = np.zeros((1, 20, 20), bool)
    masks[0, :10, :10] = True
    masks[0, 15, 15] = True
    maps = masks.astype(float)
    maps[0, 15, 15] = -1.0  # the large defect is found, the single pixel missed
    ranked = RankedPixels.of(maps, masks)
    np.testing.assert_allclose(ranked.region_aupro(0.3), [1.0, 0.0])
    assert ranked.aupro() == pytest.approx(0.5)


def test_perfect_chance_and_constant_maps():
    rng = np.random.default_rng(0)
    masks = rng.random((3, 64, 64)) < 0.1
    assert RankedPixels.of(masks.astype(float), masks).aupro() == pytest.approx(1.0)
    constant = RankedPixels.of(np.zeros(masks.shape), masks)
    assert constant.auroc == 0.5
    assert constant.aupro() == pytest.approx(0.15)
    assert RankedPixels.of(rng.normal(size=masks.shape), masks).aupro() == pytest.approx(0.15, abs=0.02)


def test_any_increasing_function_of_the_maps_gives_the_same():
    maps, masks = maps_and_masks(1, None)
    a, b = RankedPixels.of(maps, masks), RankedPixels.of(np.exp(3 * maps), masks)
    assert a.aupro() == b.aupro()
    assert a.auroc == b.auroc


def test_bad_maps_are_refused():
    maps, masks = maps_and_masks(0, None)
    with pytest.raises(ValueError, match="one shape"):
        RankedPixels.of(maps[:2], masks)
    with pytest.raises(ValueError, match="no defect pixel"):
        RankedPixels.of(maps, np.zeros_like(masks))
    with pytest.raises(ValueError, match="not finite"):
        RankedPixels.of(np.where(masks, np.nan, maps), masks)
    with pytest.raises(ValueError, match="share"):
        RankedPixels.of(maps, masks).aupro(0.0)


@pytest.mark.parametrize("levels", [None, 3])
def test_the_areas_under_the_curves_are_the_scores(levels: int | None):
    ranked = RankedPixels.of(*maps_and_masks(2, levels))
    rates = np.linspace(0, 1, 20_001)
    roc, pro = ranked.curves(rates)
    assert np.trapezoid(roc, rates) == pytest.approx(ranked.auroc, abs=1e-4)
    inside = rates <= 0.3
    assert np.trapezoid(pro[inside], rates[inside]) / 0.3 == pytest.approx(ranked.aupro(0.3), abs=5e-4)


def test_pixel_average_precision_and_f1_equal_scikit_learn():
    maps, masks = maps_and_masks(3, 30)
    ranked = RankedPixels.of(maps, masks)
    y, s = masks.ravel(), maps.ravel()
    assert ranked.detections.average_precision == pytest.approx(average_precision_score(y, s), abs=1e-12)
    precision, recall, _ = precision_recall_curve(y, s)
    best = np.max(2 * precision * recall / (precision + recall + 1e-300))
    assert ranked.detections.f1_max == pytest.approx(best, abs=1e-12)


def anomalib_aupimo(maps: np.ndarray, masks: np.ndarray, low: float, high: float, thresholds: np.ndarray) -> np.ndarray:
    """anomalib's formula on a grid: recall of each image by the shared rate of good images, trapezoids in log rate."""
    good = maps[~masks.any(axis=(1, 2))].ravel()
    rates = np.array([np.mean(good >= t) for t in thresholds])
    inside = (rates >= low) & (rates <= high)
    areas = []
    for image, mask in zip(maps, masks, strict=True):
        if mask.any():
            recall = np.array([np.mean(image[mask] >= t) for t in thresholds])
            areas.append(np.trapezoid(recall[inside], np.log(rates[inside])) / np.log(high / low))
    return np.array(areas)


def test_aupimo_is_anomalibs_up_to_its_grid() -> None:
    """Rates of 0.01 to 0.1 here, so that the grid of thresholds need not be of millions of pixels."""
    rng = np.random.default_rng(0)
    masks = np.zeros((9, 60, 60), bool)
    masks[4, 5:30, 5:30] = masks[6, 10:20, 40:55] = masks[8, :3, :3] = True
    maps = rng.normal(size=masks.shape) + masks * rng.uniform(0.5, 3.0, size=(9, 1, 1))
    good = np.sort(maps[~masks.any(axis=(1, 2))].ravel())[::-1]
    thresholds = good[: len(good) // 5 : 4]
    got = RankedPixels.of(maps, masks).image_aupimo((0.01, 0.1))
    assert got == pytest.approx(anomalib_aupimo(maps, masks, 0.01, 0.1, thresholds), abs=0.003)
    assert np.ptp(got) > 0.1


def test_aupimo_by_hand() -> None:
    """100 good pixels; a defect of two pixels, one above all of them, the other below the 2 highest: rate 0.02."""
    maps = np.stack([np.arange(100.0).reshape(10, 10), np.full((10, 10), -1.0), np.full((10, 10), -1.0)])
    masks = np.zeros((3, 10, 10), bool)
    masks[2, 0, :2] = True
    maps[2, 0, 0], maps[2, 0, 1] = 1000.0, 97.5
    maps[1] = maps[0]
    (got,) = RankedPixels.of(maps, masks).image_aupimo((0.005, 0.1))
    assert got == pytest.approx((1.0 + np.log(0.1 / 0.02) / np.log(0.1 / 0.005)) / 2)


def test_aupimo_looks_at_the_good_images_alone_and_wants_some() -> None:
    maps, masks = maps_and_masks(0, None)
    before = RankedPixels.of(maps, masks).image_aupimo((0.01, 0.1))
    defective = masks.any(axis=(1, 2))
    maps[(~masks) & defective[:, None, None]] += 100.0
    assert RankedPixels.of(maps, masks).image_aupimo((0.01, 0.1)) == pytest.approx(before)
    with pytest.raises(ValueError, match="less than one of 180 pixels without a defect"):
        RankedPixels.of(maps, masks).image_aupimo()
    with pytest.raises(ValueError, match="of 0 pixels"):
        RankedPixels.of(maps[defective], masks[defective]).image_aupimo((0.01, 0.1))
