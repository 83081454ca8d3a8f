"""`dxbench eval A --against B`: any set against any set, by protocols that no task has to list."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Ended
from PIL import Image
from scipy.linalg import sqrtm

from dxbench.features.digits_net import DIGITS_NET, FEATURES
from dxbench.features.protocols import SET_PROTOCOLS, SetProtocol, Sides
from dxbench.features.sets import SampleSet, read_set, score_against
from dxbench.metrics.images.features import FeatureMetric
from dxbench.metrics.images.fidelity import FrechetDistance, Precision
from dxbench.metrics.points.energy_distance import energy_distance
from dxbench.readers import Statistics
from dxbench.tasks.digits import feature_source
from dxbench.tasks.digits_data import digits_splits

Command = Callable[..., Ended]
DIGITS = {name: split.images for name, split in digits_splits().items()}


def bytes_of(images: np.ndarray) -> np.ndarray:
    """Floats [n, 1, 8, 8] in [-1, 1] as bytes [n, 8, 8, 1]."""
    return np.floor(127.5 * (images + 1) + 0.5).astype(np.uint8).transpose(0, 2, 3, 1)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """The validation digits in every format that is read, the test and training digits in one."""
    images = bytes_of(DIGITS["validation"])
    paths = {name: tmp_path / f"{name}.npz" for name in ("floats", "bytes", "test", "train")}
    np.savez(paths["floats"], samples=DIGITS["validation"].astype(np.float32))
    np.savez(paths["bytes"], images)
    np.savez(paths["test"], bytes_of(DIGITS["test"]))
    np.savez(paths["train"], bytes_of(DIGITS["train"]))
    paths |= {"npy": tmp_path / "a.npy", "folder": tmp_path / "pngs", "zip": tmp_path / "a.zip"}
    np.save(paths["npy"], images)
    paths["folder"].mkdir()
    (paths["folder"] / ".hidden.png").write_bytes(b"no image")
    with zipfile.ZipFile(paths["zip"], "w") as archive:
        for i, image in enumerate(images):
            out = io.BytesIO()
            Image.fromarray(image[..., 0]).save(out, "PNG")
            archive.writestr(f"{i:04}.png", out.getvalue())
            if i < 60:
                (paths["folder"] / f"{i:04}.png").write_bytes(out.getvalue())
    (paths["folder"] / ".hidden.png").unlink()
    return paths


def frechet_by_sqrtm(a: np.ndarray, b: np.ndarray) -> float:
    """pytorch-fid's formula."""
    cov = [np.cov(x, rowvar=False) for x in (a, b)]
    root = np.real(sqrtm(cov[0] @ cov[1]))
    return float(((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum() + np.trace(cov[0] + cov[1] - 2 * root))


def test_every_format_gives_the_same_numbers_and_they_are_right(dxbench: Command, files: dict[str, Path]) -> None:
    ended = [
        dxbench("eval", files[name], "--against", files["test"], "--protocol", "fd-digits", "--json").json["scores"]
        for name in ("floats", "bytes", "npy", "zip")
    ]
    assert ended[0] == ended[1] == ended[2] == ended[3]
    assert set(ended[0]) == {
        f"{name}_digits@400" for name in ("fd", "kd", "precision", "recall", "density", "coverage", "vendi")
    }
    validation, test = (feature_source(DIGITS[name]).features(FEATURES) for name in ("validation", "test"))
    assert ended[0]["fd_digits@400"]["value"] == pytest.approx(frechet_by_sqrtm(validation, test), rel=1e-4)
    assert ended[0]["kd_digits@400"]["n"] == 1
    few = dxbench("eval", files["folder"], "--against", files["test"], "--protocol", "fd-digits", "--json").json
    assert "fd_digits@60" in few["scores"]


def test_a_training_set_shows_copies(dxbench: Command, files: dict[str, Path]) -> None:
    def scores(samples: str) -> dict[str, float]:
        found = dxbench(
            *("eval", files[samples], "--against", files["test"], "--train", files["train"], "--n", 300),
            *("--protocol", "fd-digits", "--json"),
        ).json["scores"]
        return {name: estimate["value"] for name, estimate in found.items()}

    unseen, copied = scores("bytes"), scores("train")
    assert copied["authenticity_digits@300"] == 0.0
    assert unseen["authenticity_digits@300"] > 0.4
    assert copied["fld_digits@300"] > 100 > unseen["fld_digits@300"]


def test_several_protocols_share_a_command_and_a_name_stands_once(dxbench: Command, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(300, 2)), rng.normal(size=(200, 2)) + 0.3
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "y.npz", samples=y)
    ended = dxbench("eval", tmp_path / "x.npy", "--against", tmp_path / "y.npz", "--protocol", "points,points")
    assert ended.out.count(f"energy_distance@300  {energy_distance(x, y):.4f}   [") == 1
    found = dxbench("eval", tmp_path / "x.npy", "--against", tmp_path / "y.npz", "--protocol", "points", "--json").json
    assert found["scores"]["energy_distance@300"]["value"] == pytest.approx(energy_distance(x, y), rel=1e-12)
    assert found["scores"]["fd_points@300"]["value"] == pytest.approx(frechet_by_sqrtm(x, y), rel=1e-6)
    (fields,) = (p["fields"] for p in found["protocols"].values() if p["name"] == "energy_distance@300")
    assert fields["quantisation"] == "none"
    assert fields["reference"].startswith("y.npz, 200 samples, sha256 ")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--protocol", "fd-digit"), 2, "Did you mean 'fd-digits'?"),
        ((), 2, "wants a protocol: one or several of adm, adm-fp16, edm, pytorch-fid, clean"),
        (("--protocol", "points"), 2, "bytes.npz holds images or statistics, protocol points is of points"),
        (("--protocol", "fd-digits", "--n", "401"), 2, "--n 401 is more than the 400 samples of bytes.npz"),
        (("--protocol", "adm"), 7, "dxbench prepare --task cifar10"),
        (("--protocol", "fd-resnet56"), 7, "dxbench prepare --task cifar10_subset"),
        (("--protocol", "fd-digits", "--task", "digits"), 2, "give --task, or --against"),
    ],
    ids=["misspelt", "none", "wrong kind", "too many", "no Inception", "no ResNet", "both"],
)
def test_what_cannot_be_done_says_why(
    dxbench: Command,
    files: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    code: int,
    words: str,
) -> None:
    monkeypatch.setenv("DXBENCH_DATA", str(files["test"].parent / "nowhere"))
    ended = dxbench("eval", files["bytes"], "--against", files["test"], *arguments)
    assert ended.code == code
    assert words in ended.err
    assert ended.out == ""


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((4, 3, 8, 8)) + 2, "pixels in [-1, 1], got 2 to 2"),
        (np.zeros(5), "got float64 [5]"),
        (np.zeros((4, 2), dtype=np.int64), "got int64 [4, 2]"),
        (np.full((4, 2), np.nan), "not finite"),
        (np.zeros((0, 2)), "empty"),
    ],
)
def test_arrays_that_are_no_set_are_refused(dxbench: Command, tmp_path: Path, array: np.ndarray, words: str) -> None:
    np.save(tmp_path / "a.npy", array)
    ended = dxbench("eval", tmp_path / "a.npy", "--against", tmp_path / "a.npy", "--protocol", "points")
    assert ended.code == 5
    assert words in ended.err


def fake_adm(sides: Sides) -> tuple[FeatureMetric, ...]:
    """ADM's two kinds of metrics in the digit net's features."""
    features = next(m for m in SET_PROTOCOLS["fd-digits"].metrics(sides)).features
    kwargs = {"evaluator": "x@1", "features": features, "num_samples": sides.num_samples, "reference": sides.reference}
    return FrechetDistance(**kwargs), Precision(**kwargs, num_reference=sides.num_reference)


def test_statistics_are_scored_where_they_can_be_and_their_number_is_asked_for() -> None:
    validation, test = (feature_source(DIGITS[name]).features(FEATURES) for name in ("validation", "test"))

    def statistics(name: str, x: np.ndarray) -> SampleSet:
        return SampleSet(name=name, statistics=Statistics(moments={"features": (x.mean(axis=0), np.cov(x.T))}))

    protocol = SetProtocol(name="x", summary="", extractor=DIGITS_NET, metrics=fake_adm)
    told = score_against(
        [protocol], statistics("a", validation), statistics("b", test), train=None, n=400, progress=lambda text: None
    )
    assert told.scores["fd_digits@400"].value == pytest.approx(frechet_by_sqrtm(validation, test), rel=1e-6)
    assert told.notes == {"precision@400": "only mean and covariance are at hand, no features"}
    assert len(told.warnings) == 2
    with pytest.raises(Exception, match="do not say how many samples they are of; give --n"):
        score_against(
            [protocol], statistics("a", validation), statistics("b", test), train=None, n=None, progress=print
        )


def test_samples_are_drawn_by_a_published_seed_in_their_order(tmp_path: Path) -> None:
    points = np.arange(40.0).reshape(20, 2)
    np.save(tmp_path / "p.npy", points)
    one = read_set(tmp_path / "p.npy").drawn(7)
    assert one.points is not None
    assert (np.diff(one.points[:, 0]) > 0).all()
    assert np.array_equal(one.points, read_set(tmp_path / "p.npy").drawn(7).points)
    assert one.points[-1, 0] > 14  # not the first seven


def test_every_protocol_that_the_page_names_is_listed_with_where(dxbench: Command) -> None:
    rows = dxbench("list", "protocols", "--json").json
    where = {row["name"]: row["where"] for row in rows}
    for name in ("adm", "adm-fp16", "edm", "pytorch-fid", "clean", "fd-resnet56", "fd-digits", "points", "diversity"):
        assert where[name] == ["eval --against"]
    balanced = [row for row in rows if row["name"] == "fid@50k@1" and "task imagenet64_balanced" in row["where"]]
    assert len(balanced) == 1
    assert "labels=balanced" in balanced[0]["summary"]


def test_half_precision_is_a_variant_with_names_and_fingerprints_of_its_own() -> None:
    sides = Sides(dim=0, num_samples=50_000, reference="r", num_reference=10_000, train=None, num_train=0)
    exact, half = ({m.name: m.protocol for m in SET_PROTOCOLS[p].metrics(sides)} for p in ("adm", "adm-fp16"))
    assert set(half) == {"precision_fp16@50k", "recall_fp16@50k"}
    assert "float16" in str(half["recall_fp16@50k"].fields["comparison"])
    assert exact["recall@50k"].fingerprint != half["recall_fp16@50k"].fingerprint
