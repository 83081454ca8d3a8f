"""`dxbench eval` on images and statistics made elsewhere."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Ended
from PIL import Image
from small import small_extractor

from dxbench.features.quantisation import quantise
from dxbench.features.sources import ImageSource
from dxbench.metrics.images.features import FeatureSet

TASK = f"{Path(__file__).with_name('small_task.py')}:SmallImages"
IMAGES = np.random.default_rng(0).integers(0, 256, size=(60, 8, 8, 1), dtype=np.uint8)
Command = Callable[..., Ended]


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "data" / "weights"
    folder.mkdir(parents=True)
    monkeypatch.setenv("DXBENCH_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("DXBENCH_CACHE", str(tmp_path / "cache"))
    small_extractor(folder)
    return folder


def write_all(folder: Path) -> list[Path]:
    """The same images in every format that is read."""
    np.savez(folder / "samples.npz", IMAGES)
    (folder / "pngs").mkdir()
    with zipfile.ZipFile(folder / "samples.zip", "w") as archive:
        for i, image in enumerate(IMAGES):
            out = io.BytesIO()
            Image.fromarray(image[..., 0]).save(out, "PNG")
            (folder / "pngs" / f"{i:04d}.png").write_bytes(out.getvalue())
            archive.writestr(f"00000/img{i:08d}.png", out.getvalue())
    return [folder / "samples.npz", folder / "samples.zip", folder / "pngs"]


def test_every_format_gives_the_same_numbers(dxbench: Command, weights: Path, tmp_path: Path) -> None:
    scored = [dxbench("eval", path, "-t", TASK, "--json").json for path in write_all(tmp_path)]
    assert scored[0] == scored[1] == scored[2]
    assert set(scored[0]["scores"]) == {"fd_small@60", "kd_small@60", "precision@60", "recall@60"}
    (protocol,) = (p for p in scored[0]["protocols"].values() if p["name"] == "fd_small@60")
    assert protocol["fields"]["n_samples"] == 60
    assert protocol["fields"]["quantisation"] == "round to uint8"
    assert len(list((tmp_path / "cache").rglob("*.safetensors"))) == 1


def test_statistics_want_their_number_told(dxbench: Command, weights: Path, tmp_path: Path) -> None:
    moments = ImageSource(IMAGES).moments(FeatureSet(extractor=small_extractor(weights), kind="pooled"))
    np.savez(tmp_path / "stats.npz", mu=moments.mean, sigma=moments.cov)
    np.savez(tmp_path / "samples.npz", IMAGES)
    told = dxbench("eval", tmp_path / "stats.npz", "-t", TASK, "--n", 60, "--json")
    assert "taken for small, of 60 images" in told.err
    wanted = dxbench("eval", tmp_path / "samples.npz", "-t", TASK, "--json").json["scores"]["fd_small@60"]["value"]
    assert told.json["scores"]["fd_small@60"]["value"] == pytest.approx(wanted)
    untold = dxbench("eval", tmp_path / "stats.npz", "-t", TASK)
    assert untold.code == 6
    assert "the statistics do not say how many they are of" in untold.err


def test_a_task_of_points_is_not_scored_by_statistics(dxbench: Command, tmp_path: Path) -> None:
    np.savez(tmp_path / "stats.npz", mu=np.zeros(2), sigma=np.eye(2))
    ended = dxbench("eval", tmp_path / "stats.npz", "-t", "gaussians8")
    assert ended.code == 5
    assert "wants an array named arr_0 or samples" in ended.err


def test_absent_weights_end_with_7_and_no_number(
    dxbench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DXBENCH_DATA", str(tmp_path / "nowhere"))
    np.savez(tmp_path / "samples.npz", IMAGES)
    ended = dxbench("eval", tmp_path / "samples.npz", "-t", TASK)
    assert ended.code == 7
    assert "dxbench prepare --task small_images" in ended.err
    assert ended.out == ""


@pytest.mark.parametrize(
    ("images", "code", "words"),
    [
        (IMAGES[:59], 6, "needs exactly 60 samples, got 59"),
        (np.repeat(IMAGES, 3, axis=3), 5, "wants uint8 images [n, 8, 8, 1]"),
        (IMAGES / 127.5 - 1, 5, "got float64; round"),
    ],
    ids=["too few", "colour", "floats"],
)
def test_what_cannot_be_scored_says_why(
    dxbench: Command, weights: Path, tmp_path: Path, images: np.ndarray, code: int, words: str
) -> None:
    np.savez(tmp_path / "samples.npz", images)
    ended = dxbench("eval", tmp_path / "samples.npz", "-t", TASK)
    assert ended.code == code
    assert words in ended.err


def test_truncated_samples_are_scored_with_a_warning(dxbench: Command, weights: Path, tmp_path: Path) -> None:
    bright = np.random.default_rng(0).uniform(0.9, 1.0, size=(60, 1, 8, 8))
    cut_off = (127.5 * (bright + 1)).astype(np.uint8).transpose(0, 2, 3, 1)
    for images, warned in ((quantise(bright), False), (cut_off, True)):
        np.savez(tmp_path / "samples.npz", images)
        ended = dxbench("eval", tmp_path / "samples.npz", "-t", TASK, "--json")
        assert "fd_small@60" in ended.json["scores"]
        assert ("look truncated, not rounded" in ended.err) is warned
        assert bool(ended.json["warnings"]) is warned
