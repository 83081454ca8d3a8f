"""Scores of arrays, tensors, functions, models and files, which leave the process as it was."""

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Ended
from ring import ring_class, write_ring
from threadpoolctl import threadpool_info
from torch import nn

import dxbench
from dxbench.errors import InvalidFile, UsageError
from dxbench.threads import VARIABLES

Array = np.ndarray
POINTS = np.random.default_rng(0).standard_normal((10_000, 2))
IMAGES = np.random.default_rng(0).integers(0, 17, size=(300, 8, 8, 1)).astype(np.uint8) * 15


@pytest.fixture
def command(dxbench: Callable[..., Ended]) -> Callable[..., Ended]:
    """The command, beside the package of its name."""
    return dxbench


class Spread(nn.Module):
    """A network that draws: seeds to points, by way of what differs between training and evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.drop, self.frozen = nn.Dropout(0.5), nn.BatchNorm1d(2)
        self.frozen.eval()

    def forward(self, seeds: torch.Tensor) -> torch.Tensor:
        angle = seeds * 2.399963
        return self.drop(self.scale * torch.stack([angle.cos(), angle.sin()], dim=1))


def state() -> dict[str, Any]:
    """What of the process scoring might change."""
    return {
        "torch": torch.get_rng_state().tolist(),
        "numpy": np.random.get_state()[1].tolist(),  # noqa: NPY002
        "python": random.getstate(),
        "threads": torch.get_num_threads(),
        "blas": sorted((one["filepath"], one["num_threads"]) for one in threadpool_info()),
        "variables": {name: os.environ.get(name) for name in VARIABLES},
        "grad": torch.is_grad_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "inference": torch.is_inference_mode_enabled(),
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "precision": torch.get_float32_matmul_precision(),
    }


def test_an_array_a_tensor_and_a_file_have_the_scores_of_the_command(
    command: Callable[..., Ended], tmp_path: Path
) -> None:
    task = write_ring(tmp_path)
    np.savez(tmp_path / "samples.npz", samples=POINTS)
    typed = command("eval", tmp_path / "samples.npz", "--task", task, "--json").json["scores"]
    wanted = {name: estimate["value"] for name, estimate in typed.items()}
    for given in (POINTS, torch.from_numpy(POINTS), POINTS.tolist(), tmp_path / "samples.npz"):
        scores = dxbench.evaluate(given, task)
        assert dict(scores) == wanted
        assert scores.estimates["sw2"].fingerprint == typed["sw2"]["fingerprint"]
        assert scores.n == 10_000
    assert dict(dxbench.evaluate(torch.from_numpy(POINTS).float().requires_grad_(), task)) == pytest.approx(wanted)


def test_against_a_set_is_as_the_command_has_it(command: Callable[..., Ended], tmp_path: Path) -> None:
    np.save(tmp_path / "array", POINTS[:500])
    np.save(tmp_path / "other", POINTS[500:1000])
    typed = command(
        *("eval", tmp_path / "array.npy", "--against", tmp_path / "other.npy", "--protocol", "points", "--json")
    )
    wanted = {name: one["value"] for name, one in typed.json["scores"].items()}
    assert dict(dxbench.evaluate(POINTS[:500], against=POINTS[500:1000], protocol="points")) == wanted
    assert dict(dxbench.evaluate(tmp_path / "array.npy", against=POINTS[500:1000], protocol=["points"])) == wanted


def test_a_network_in_training_is_scored_in_evaluation_mode_and_left_as_it_was(tmp_path: Path) -> None:
    net, task = Spread().train(), ring_class(tmp_path)
    net.frozen.eval()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)  # noqa: NPY002
    before = state()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = dxbench.evaluate(net, task)
        assert torch.is_autocast_enabled("cpu")
    assert state() == before
    assert (net.training, net.drop.training, net.frozen.training) == (True, True, False)
    assert scores["sw2"] < 0.2, "dropout would have put points at the origin"
    assert dict(dxbench.evaluate(net, task)) == dict(scores)
    assert dict(dxbench.evaluate(net, task, seed=1)) != dict(scores)
    assert scores.nfe == 1.0
    with torch.no_grad():
        assert dict(dxbench.evaluate(net, task)) == dict(scores)
        assert not torch.is_grad_enabled()
    assert net.scale.grad is None


def test_modes_of_torch_move_no_number(tmp_path: Path) -> None:
    task, net = ring_class(tmp_path), Spread()
    wanted = dict(dxbench.evaluate(net, task))
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.inference_mode():
            before = state()
            assert dict(dxbench.evaluate(net, task)) == wanted
            assert state() == before
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device("cpu")
        torch.set_float32_matmul_precision("highest")


def test_nothing_is_changed_where_it_fails_either(tmp_path: Path) -> None:
    net, before = Spread().train(), state()
    with pytest.raises(RuntimeError, match="mine"):
        dxbench.evaluate(nn.Sequential(net, Raises()), ring_class(tmp_path))
    assert state() == before
    assert net.training


class Raises(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch.set_num_threads(2)
        torch.rand(3)
        raise RuntimeError("mine")


def test_a_function_draws_and_its_networks_are_not_known(tmp_path: Path) -> None:
    def ring(seeds: torch.Tensor) -> Array:
        angle = seeds.numpy() * 2.399963
        return np.stack([np.cos(angle), np.sin(angle)], axis=1)

    scores = dxbench.evaluate(ring, ring_class(tmp_path))
    assert scores["sw2"] < 0.2
    assert scores.nfe is None
    against = dxbench.evaluate(ring, against=POINTS[:300], protocol="points")
    assert against.n == 300
    assert "fd_points@300" in against
    assert dxbench.evaluate(Spread(), against=POINTS[:300], protocol="points", n=200).n == 200


def test_no_file_is_written_and_features_of_the_reference_are_computed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    from dxbench.features import sources

    extracted = []
    original = sources.ImageSource._extract

    def counted(self: Any, extractor: Any) -> Any:
        extracted.append(self.n)
        return original(self, extractor)

    monkeypatch.setattr(sources.ImageSource, "_extract", counted)
    monkeypatch.setenv("DXBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    real = IMAGES[:250]
    for epoch in range(3):
        samples = np.roll(IMAGES, epoch, axis=1)
        scores = dxbench.evaluate(samples, against=real, protocol="fd-digits")
        floats = torch.from_numpy(samples.transpose(0, 3, 1, 2) / 127.5 - 1)
        assert dict(dxbench.evaluate(floats, against=real, protocol="fd-digits")) == dict(scores)
    assert extracted.count(250) == 1
    assert extracted.count(300) == 3
    assert list(tmp_path.iterdir()) == []


def test_scores_are_read_as_a_mapping_and_shown_in_notebooks(tmp_path: Path) -> None:
    scores = dxbench.evaluate(POINTS, ring_class(tmp_path))
    assert list(scores) == ["sw2", "energy_distance"]
    assert repr(scores).startswith("Scores(sw2=")
    assert "<td>sw2</td>" in scores._repr_html_()
    with pytest.raises(KeyError, match="none of sw2"):
        scores["fid"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (POINTS[:, :1], r"wants samples of shape \[n, 2\]"),
        (np.full((10_000, 2), np.nan), "not finite"),
        (np.full((10_000, 2), 1e30), "coordinates of 10,000 of 10,000 samples are beyond 10,000 standard deviations"),
        ([["a", "b"]], "wants samples as an array"),
        (object(), "wants samples as an array"),
        ([[1.0], [1.0, 2.0]], "cannot make an array of a list"),
    ],
)
def test_what_does_not_fit_is_refused(given: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises((InvalidFile, UsageError), match=words):
        dxbench.evaluate(given, ring_class(tmp_path))


def test_pixels_of_another_range_are_refused(tmp_path: Path) -> None:
    floats = IMAGES.transpose(0, 3, 1, 2) / 255.0
    for number, off in enumerate((floats, 255.0 * floats, 6.0 * floats - 3.0)):
        np.savez(tmp_path / f"{number}.npz", samples=off)
        with pytest.raises(InvalidFile, match=rf"{number}\.npz: images as floats have finite pixels in \[-1, 1\]"):
            dxbench.evaluate(tmp_path / f"{number}.npz", "digits")
    with pytest.raises(InvalidFile, match=r"scale pixels x in \[0, 1\] by 2 x - 1"):
        dxbench.evaluate(floats, "digits")
    with pytest.raises(InvalidFile, match=r"pixels in \[-1, 1\]"):
        dxbench.evaluate(3 * floats, against=IMAGES, protocol="fd-digits")


def test_what_is_asked_has_to_be_one_thing() -> None:
    with pytest.raises(UsageError, match="give a task, or against="):
        dxbench.evaluate(POINTS)
    with pytest.raises(UsageError, match="give a task, or against="):
        dxbench.evaluate(POINTS, "gaussians8", against=POINTS)
    with pytest.raises(UsageError, match="go with against="):
        dxbench.evaluate(POINTS, "gaussians8", protocol="points")
    with pytest.raises(UsageError, match="Did you mean 'points'"):
        dxbench.evaluate(POINTS, against=POINTS, protocol="point")
    with pytest.raises(UsageError, match="Did you mean 'gaussians8'"):
        dxbench.evaluate(POINTS, "gaussian8")
