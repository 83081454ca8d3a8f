"""Pictures of images: what is drawn where."""

import numpy as np
import pytest

from dxbench.pictures.images import image_galleries, image_pictures, mosaic
from dxbench.pictures.plane import plane_galleries


def test_a_mosaic_has_every_image_in_its_place_and_white_between():
    images = np.arange(5.0)[:, None, None, None] / 10 * np.ones((5, 1, 2, 3))
    canvas = mosaic(images, columns=2)
    assert canvas.shape == (3 * 3 - 1, 2 * 4 - 1)
    for i in range(5):
        top, left = (i // 2) * 3, (i % 2) * 4
        assert (canvas[top : top + 2, left : left + 3] == i / 10).all()
    gaps = np.ones_like(canvas, dtype=bool)
    for i in range(5):
        gaps[(i // 2) * 3 : (i // 2) * 3 + 2, (i % 2) * 4 : (i % 2) * 4 + 3] = False
    assert (canvas[gaps] == 1.0).all()


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


def test_a_gallery_has_a_line_of_equal_seeds_per_model_beneath_the_test_images(arrays):
    few = {"samples": arrays["samples"][::-1], "chain": arrays["chain"][:5]}
    no_samples = {"test": arrays["test"]}
    samples, chains = image_galleries({"many steps": arrays, "few steps": few, "energy alone": no_samples})
    labels = [label.get_text() for label in samples.figure.axes[0].get_yticklabels()]
    assert labels == ["test images", "many steps", "few steps"]
    lines = np.concatenate([arrays["test"][:16], arrays["samples"][:16], arrays["samples"][::-1][:16]])
    np.testing.assert_array_equal(samples.figure.axes[0].images[0].get_array(), mosaic(lines, columns=16))
    shown = chains.figure.axes[0].images[0].get_array()
    assert [label.get_text() for label in chains.figure.axes[0].get_yticklabels()] == ["many steps", "few steps"]
    last = slice(10 * 9, 10 * 9 + 8)
    np.testing.assert_allclose(shown[:8, last], arrays["chain"][-1, 0, 0])
    np.testing.assert_allclose(shown[9:17, last], arrays["chain"][4, 0, 0])
    assert (shown[9:17, 9:17] == 1.0).all()  # four steps leave white between


def test_a_gallery_of_nothing_that_samples_is_empty(arrays):
    assert image_galleries({"energy alone": {"test": arrays["test"]}}) == []


def test_states_of_a_chain_are_shown_at_the_spread_of_its_sample(arrays):
    chain = arrays["chain"][:3] * np.array([80.0, 8.0, 1.0]).reshape(3, 1, 1, 1, 1)
    _, chains = image_galleries({"wide": {"samples": arrays["samples"], "chain": chain}})
    shown = chains.figure.axes[0].images[0].get_array()
    assert shown[:8, :8].std() == pytest.approx(chain[-1, 0].std(), rel=1e-6)


def test_planes_are_set_side_by_side_with_the_data_first():
    rng = np.random.default_rng(0)
    rows = {
        name: {"samples": rng.normal(size=(50, 2)), "test": rng.normal(size=(50, 2)), "energy": rng.normal(size=(8, 8))}
        for name in ("one", "two")
    } | {"energy alone": {"energy": np.zeros((8, 8))}}
    samples, energies = plane_galleries(rows, box=(-4, 4))
    titles = [[axes.get_title() for axes in found.figure.axes] for found in (samples, energies)]
    assert titles == [["data", "one", "two"], ["one", "two", "energy alone"]]
    np.testing.assert_array_equal(samples.figure.axes[1].collections[0].get_offsets(), rows["one"]["samples"])
