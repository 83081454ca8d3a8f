"""The committed feature net is what its script makes."""

import importlib.util
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dxbench.features import digits_net
from dxbench.tasks.digits_data import digits_splits

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "train_digits_net.py"


@pytest.fixture
def tool():
    spec = importlib.util.spec_from_file_location("train_digits_net", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_training_repeats_whatever_the_global_seed(tool, monkeypatch):
    monkeypatch.setattr(tool, "ITERATIONS", 5)
    weights = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        weights.append(torch.cat([p.detach().flatten() for p in tool.train().parameters()]))
    assert torch.equal(*weights)


def test_the_committed_net_knows_digits_it_has_not_seen(tool):
    assert tool.accuracy(digits_net.digits_net(), "validation") == pytest.approx(0.9925)
    assert tool.accuracy(digits_net.digits_net(), "test") == pytest.approx(0.9925)


def test_augmentation_moves_an_image_by_at_most_a_pixel(tool):
    image = torch.full((1, 1, 8, 8), -1.0)
    image[0, 0, 3, 3] = 1.0
    moved = tool.augmented(image.expand(500, -1, -1, -1), torch.Generator().manual_seed(0))
    places = {divmod(int(i), 8) for i in moved.flatten(1).argmax(dim=1)}
    assert places == {(i, j) for i in (2, 3, 4) for j in (2, 3, 4)}
    assert moved.std(dim=0)[0, 0, 0] == pytest.approx(0.1, rel=0.2)


@pytest.mark.slow
def test_the_script_makes_a_net_that_agrees_with_the_committed_one(tool, tmp_path, monkeypatch):
    out = tmp_path / "net.safetensors"
    monkeypatch.setattr("sys.argv", ["train_digits_net.py", "--out", str(out)])
    tool.main()
    made = digits_net.DigitsNet()
    made.load_state_dict(load_file(out))
    images = torch.from_numpy(digits_splits()["test"].images).float()
    with torch.no_grad():
        agreement = made(images).argmax(1) == digits_net.digits_net()(images).argmax(1)
    # To the bit on one machine; elsewhere sums of other order grow apart over 2,000 iterations.
    assert agreement.float().mean() > 0.98


def test_damaged_weights_are_refused(monkeypatch):
    monkeypatch.setattr(digits_net, "SHA256", "0" * 64)
    with pytest.raises(RuntimeError, match="reinstall"):
        digits_net.digits_net.__wrapped__()
