"""Pictures of images: what is drawn where."""

import numpy as np
import pytest

from dxbench.pictures.images import image_pictures, mosaic


def test_a_mosaic_has_every_image_in_its_place_and_nothing_between():
    images = np.arange(5.0)[:, None, None, None] / 10 * np.ones((5, 1, 2, 3))
    canvas = mosaic(images, columns=2)
    assert canvas.shape == (3 * 3 - 1, 2 * 4 - 1)
    for i in range(5):
        top, left = (i // 2) * 3, (i % 2) * 4
        assert (canvas[top : top + 2, left : left + 3] == i / 10).all()
    gaps = np.ones_like(canvas, dtype=bool)
    for i in range(5):
        gaps[(i // 2) * 3 : (i // 2) * 3 + 2, (i % 2) * 4 : (i % 2) * 4 + 3] = False
    assert np.isnan(canvas[gaps]).all()


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "samples": rng.uniform(-1, 1, (4000, 1, 8, 8)),
        "start_samples": rng.uniform(-1, 1, (100, 1, 8, 8)),
        "test": rng.uniform(-1, 1, (100, 1, 8, 8)),
        "chain": rng.standard_normal((51, 16, 1, 8, 8)),
        "energy of test digits": rng.standard_normal(400),
        "energy of samples": rng.standard_normal(1000) + 3,
    }


def test_a_report_has_grids_strips_and_energies_with_captions(arrays):
    pictures = image_pictures(arrays)
    assert [picture.title for picture in pictures] == ["Samples", "Denoising", "Energies"]
    assert all(len(picture.caption) > 20 for picture in pictures)
    grids, strips, energies = (picture.figure for picture in pictures)
    assert [axes.get_title() for axes in grids.axes] == ["samples", "start: before fine-tuning", "test images"]
    np.testing.assert_array_equal(grids.axes[0].images[0].get_array(), mosaic(arrays["samples"][:100], columns=10))
    # Fifty steps are too many rows: eleven of them are shown, noise and sample among them.
    labels = [label.get_text() for label in strips.axes[0].get_yticklabels()]
    assert labels == [f"k = {k}" for k in range(0, 51, 5)]
    assert strips.axes[0].images[0].get_array().shape == (11 * 9 - 1, 16 * 9 - 1)
    assert [text.get_text() for text in energies.axes[0].get_legend().get_texts()] == ["test digits", "samples"]


def test_what_a_model_lacks_is_left_out(arrays):
    pictures = image_pictures({"test": arrays["test"]})
    assert [picture.title for picture in pictures] == ["Samples"]
    assert [axes.get_title() for axes in pictures[0].figure.axes] == ["test images"]


def test_a_constant_energy_can_be_drawn():
    pictures = image_pictures({"test": np.zeros((100, 1, 8, 8)), "energy of samples": np.zeros(10)})
    assert [picture.title for picture in pictures] == ["Samples", "Energies"]
