"""The committed feature nets are what their script makes."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dxbench.assets.catalogue import FASHION_MNIST
from dxbench.features.digits_net import DIGITS_NET
from dxbench.features.fashion_net import FASHION_NET

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "train_feature_net.py"
needs_fashion = pytest.mark.skipif(
    any(asset.find() is None for asset in FASHION_MNIST),
    reason="needs Fashion-MNIST: `dxbench prepare --task fashion_mnist`, or Debian's dataset-fashion-mnist",
)


@pytest.fixture
def tool():
    spec = importlib.util.spec_from_file_location("train_feature_net", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_training_repeats_whatever_the_global_seed(tool):
    lesson = replace(tool.LESSONS["digits"], iterations=5)
    weights = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        weights.append(torch.cat([p.detach().flatten() for p in tool.train(lesson).parameters()]))
    assert torch.equal(*weights)


def test_the_committed_net_knows_digits_it_has_not_seen(tool):
    splits = tool.digits()
    assert tool.accuracy(DIGITS_NET.network, splits["validation"]) == pytest.approx(0.9925)
    assert tool.accuracy(DIGITS_NET.network, splits["test"]) == pytest.approx(0.9925)


@needs_fashion
def test_the_committed_net_knows_clothes_it_has_not_seen(tool):
    splits = tool.fashion()
    assert tool.accuracy(FASHION_NET.network, splits["validation"]) == pytest.approx(0.9064, abs=3e-4)
    assert tool.accuracy(FASHION_NET.network, splits["test"]) == pytest.approx(0.9027, abs=3e-4)


def test_augmentation_moves_an_image_by_at_most_a_pixel(tool):
    image = torch.full((1, 1, 8, 8), -1.0)
    image[0, 0, 3, 3] = 1.0
    moved = tool.augmented(image.expand(500, -1, -1, -1), torch.Generator().manual_seed(0))
    places = {divmod(int(i), 8) for i in moved.flatten(1).argmax(dim=1)}
    assert places == {(i, j) for i in (2, 3, 4) for j in (2, 3, 4)}
    assert moved.std(dim=0)[0, 0, 0] == pytest.approx(0.1, rel=0.2)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("subject", ["digits", pytest.param("fashion", marks=needs_fashion)])
def test_the_script_makes_a_net_that_agrees_with_the_committed_one(tool, tmp_path, monkeypatch, subject):
    out = tmp_path / "net.safetensors"
    monkeypatch.setattr("sys.argv", ["train_feature_net.py", subject, "--out", str(out)])
    tool.main()
    lesson = tool.LESSONS[subject]
    made = lesson.net.build()
    made.load_state_dict(load_file(out))
    images, _ = lesson.splits()["test"]
    with torch.no_grad():
        agreement = made(images).argmax(1) == lesson.net.network(images).argmax(1)
    # To the bit on one machine; elsewhere sums of other order grow apart over thousands of iterations.
    assert agreement.float().mean() > (0.98 if subject == "digits" else 0.93)


def test_damaged_weights_are_refused():
    with pytest.raises(RuntimeError, match="reinstall"):
        _ = replace(DIGITS_NET, sha256="0" * 64).network
