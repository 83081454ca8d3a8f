"""EfficientNet-b4's features against UniAD's way to make them, with random weights."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from dxbench.assets import file_digest
from dxbench.errors import InvalidFile
from dxbench.features.efficientnet import CHANNELS, STRIDES, EfficientNetB4, network

timm = pytest.importorskip("timm")


@dataclass(frozen=True)
class File:
    path: Path

    def require(self) -> Path:
        return self.path

    def verify(self) -> Path:
        return self.path


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole classifier with random weights, as timm distributes it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = timm.create_model("tf_efficientnet_b4", pretrained=False).state_dict()
    path = tmp_path_factory.mktemp("weights") / "tf_efficientnet_b4.pth"
    torch.save(state, path)
    return path


def head(path: Path) -> str:
    return file_digest(path).removeprefix("sha256:")[:8]


def test_features_are_four_stages_at_stride_16_in_uniads_order(weights: Path):
    images = np.random.default_rng(0).integers(0, 256, size=(1, 224, 224, 3), dtype=np.uint8)
    extractor = EfficientNetB4(weights=File(weights), sha256_head=head(weights))
    features = extractor.load("cpu")(images)
    assert features.shape == (1, *extractor.shape) == (1, 14, 14, 272)
    whole = timm.create_model("tf_efficientnet_b4", pretrained=False, features_only=True, out_indices=(0, 1, 2, 3))
    whole.load_state_dict(torch.load(weights, weights_only=True), strict=False)
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    pixels = (pixels - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor([0.229, 0.224, 0.225]).view(
        3, 1, 1
    )
    with torch.no_grad():
        stages = whole.eval()(pixels)
    start = 0
    for stage, stride, channels in zip(stages, STRIDES, CHANNELS, strict=True):
        assert stage.shape == (1, channels, 224 // stride, 224 // stride)
        wanted = torch.nn.UpsamplingBilinear2d(scale_factor=stride / 16)(stage)
        got = torch.from_numpy(features[..., start : start + channels]).permute(0, 3, 1, 2)
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)
        start += channels


def test_the_global_generator_is_left_alone(weights: Path):
    before = torch.get_rng_state()
    network(torch.load(weights, weights_only=True))
    assert torch.equal(before, torch.get_rng_state())


def test_weights_of_another_hash_or_network_are_refused(weights: Path):
    with pytest.raises(InvalidFile, match="begins with 00000000"):
        EfficientNetB4(weights=File(weights), sha256_head="00000000").load("cpu")
    state = torch.load(weights, weights_only=True)
    with pytest.raises(InvalidFile, match=r"they lack blocks.4.0"):
        network({key: value for key, value in state.items() if not key.startswith("blocks.4.0")})
    with pytest.raises(InvalidFile, match="have beside its own layer1"):
        network(state | {"layer1.weight": torch.zeros(3)})
    with pytest.raises(InvalidFile, match=r"have in other shapes conv_stem.weight"):
        network(state | {"conv_stem.weight": torch.zeros(3)})
