"""The real screws, and the filters they are seen with."""

import numpy as np
import pytest

from dxbench.errors import InvalidFile, MissingData
from dxbench.features.filters import ORIENTATIONS, LogGaborEnergies, log_gabor_bank
from dxbench.tasks.screw import EXTRACTOR, Screw


def gratings(side: int, wavelength: float, degrees: float) -> np.ndarray:
    i, j = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    angle = np.radians(degrees)
    wave = np.cos(2 * np.pi * (j * np.cos(angle) + i * np.sin(angle)) / wavelength)
    return (127.5 + 100 * np.repeat(wave[None, ..., None], 3, axis=3)).astype(np.uint8)


def test_filters_answer_to_their_wavelength_and_orientation():
    bank = log_gabor_bank(64)
    for k, wavelength in enumerate((4, 8, 16)):
        spectrum = np.fft.fft2(gratings(64, wavelength, 0)[0, ..., 0] - 127.0)
        power = [[np.abs(np.fft.ifft2(spectrum * f)).mean() for f in scale] for scale in bank]
        assert np.unravel_index(np.argmax(power), (4, ORIENTATIONS)) == (k, 0)
    assert (bank[:, :, 0, 0] == 0).all()  # brightness is another feature


def test_features_keep_when_the_image_turns_and_change_with_its_grain():
    extract = LogGaborEnergies(side=64, cell=16).load("cpu")
    first, turned, coarser = (
        extract(gratings(64, wavelength, degrees)).mean(axis=(0, 1, 2))
        for wavelength, degrees in ((8, 0), (8, 90), (16, 0))
    )
    np.testing.assert_allclose(turned, first, atol=0.02)
    assert np.abs(coarser - first).max() > 0.1


def test_shapes_are_as_promised():
    extractor = LogGaborEnergies(side=64, cell=16)
    assert extractor.load("cpu")(np.zeros((2, 64, 64, 3), np.uint8)).shape == (2, *extractor.shape)


def test_a_folder_that_is_absent_or_lacks_images(tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DXBENCH_DATA", str(tmp_path))
    with pytest.raises(MissingData, match="prepare --task mvtec_ad"):
        Screw().problem(oracle=False)
    from mvtec_folder import write_category

    write_category(tmp_path / "mvtec_ad" / "screw")
    with pytest.raises(InvalidFile, match=r"wants Counts\(train=320, good=41, defective=119\), found Counts\(train=3"):
        Screw().problem(oracle=False)


def test_pixels_that_no_threat_has_changed_give_the_features_that_were_read(tmp_path):
    from mvtec_folder import write_category

    from dxbench.readers.mvtec import read_images, scan
    from dxbench.tasks.localisation import PatchGroup

    write_category(tmp_path / "screw")
    category, task = scan(tmp_path / "screw", masks=False), Screw()
    images = read_images(tmp_path / "screw", [image.path for image in category.test], EXTRACTOR.side)
    features = EXTRACTOR.load("cpu")(images).astype(np.float16)
    group = PatchGroup(
        train=features, test=features, anomalous=category.anomalous, masks=None, digest="",
        shown=lambda rows: images[list(rows)],
    )  # fmt: skip
    rows = np.arange(2)
    found = task.grids_of(task.threatened(group, rows), device="cpu")
    np.testing.assert_array_equal(found, features[rows].astype(np.float32))


@pytest.mark.slow
def test_the_real_screws_are_read():
    try:
        group = Screw().loaded["screw"]
    except MissingData as error:
        pytest.skip(str(error))
    assert group.train.shape == (320, 16, 16, 22)
    assert group.test.shape == (160, 16, 16, 22)
    assert group.anomalous.sum() == 119
