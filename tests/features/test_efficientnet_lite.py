"""EfficientNet-lite's features against timm's networks: with random weights, and with the real ones where they are."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from dxbench.assets.catalogue import EFFICIENTNET_LITE0, EFFICIENTNET_LITE2
from dxbench.errors import InvalidFile, MissingData
from dxbench.features.efficientnet import one_grid
from dxbench.features.efficientnet_lite import EfficientNetLite, Same, trunk
from dxbench.files import weights

timm = pytest.importorskip("timm")

FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
OTHER = {
    "_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2", "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}  # fmt: skip
AROUND = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}


@dataclass(frozen=True)
class File:
    path: Path
    sha256: str = "0" * 64

    def require(self) -> Path:
        return self.path

    def verify(self) -> Path:
        return self.path


def whole(version: int) -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(version)
        return timm.create_model(f"tf_efficientnet_lite{version}", pretrained=False).eval()


def names(net: torch.nn.Module) -> dict[str, str]:
    """The package's name of each of timm's tensors."""
    places = [(i, j) for i, stage in enumerate(net.blocks) for j in range(len(stage))]  # type: ignore[arg-type]
    found = {}
    for n, (i, j) in enumerate(places):
        for theirs, timms in (FIRST if i == 0 else OTHER).items():
            found[f"blocks.{i}.{j}.{timms}"] = f"_blocks.{n}.{theirs}"
    found |= {timms: theirs for theirs, timms in AROUND.items()}
    return {key: f"{found[module]}.{last}" for key in net.state_dict() for module, _, last in [key.rpartition(".")]}


def stages(version: int, state: dict[str, torch.Tensor], images: np.ndarray) -> list[torch.Tensor]:
    """What timm's network makes of images, with weights under the package's names."""
    net = whole(version)
    net.load_state_dict({timms: state[theirs] for timms, theirs in names(net).items()})
    features = timm.create_model(f"tf_efficientnet_lite{version}", features_only=True, out_indices=(0, 1, 2, 3)).eval()
    features.load_state_dict({key: net.state_dict()[key] for key in features.state_dict()})
    with torch.no_grad():
        return features((torch.from_numpy(images).permute(0, 3, 1, 2).float() - 127) / 128)


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    """Random weights of lite0's classifier, with running moments that are not their defaults."""
    net = whole(0)
    generator = torch.Generator().manual_seed(1)
    theirs = names(net)
    found = {theirs[key]: value.clone() for key, value in net.state_dict().items()}
    for key, value in found.items():
        if re.search(r"_bn\d\.(running_var|weight)$", key):
            value.uniform_(0.5, 1.5, generator=generator)
        elif re.search(r"_bn\d\.(running_mean|bias)$", key):
            value.normal_(std=0.1, generator=generator)
    return found


def test_features_are_timms_four_stages_on_one_grid(state: dict[str, torch.Tensor]):
    images = np.random.default_rng(0).integers(0, 256, size=(2, 224, 224, 3), dtype=np.uint8)
    extractor = EfficientNetLite(version=0, weights=File(Path("none")), side=224, cells=14)
    got = extractor.extractor(state, "cpu")(images)
    assert got.shape == (2, *extractor.shape) == (2, 14, 14, 192)
    wanted = one_grid(stages(0, state, images), 14).permute(0, 2, 3, 1).numpy()
    assert np.linalg.norm(got - wanted) <= 1e-5 * np.linalg.norm(wanted)


@pytest.mark.parametrize(("version", "asset", "channels"), [(0, EFFICIENTNET_LITE0, 192), (2, EFFICIENTNET_LITE2, 208)])
def test_the_real_weights_give_timms_features(version: int, asset: object, channels: int):
    try:
        state = weights.read(asset.verify())  # type: ignore[attr-defined]
    except MissingData as missing:
        pytest.skip(str(missing))
    images = np.random.default_rng(0).integers(0, 256, size=(1, 224, 224, 3), dtype=np.uint8)
    extractor = EfficientNetLite(version=version, weights=asset, side=224, cells=14)  # type: ignore[arg-type]
    got = extractor.load("cpu")(images)
    wanted = one_grid(stages(version, state, images), 14).permute(0, 2, 3, 1).numpy()
    assert got.shape == (1, 14, 14, channels)
    assert np.linalg.norm(got - wanted) <= 1e-5 * np.linalg.norm(wanted)


@pytest.mark.parametrize("size", [7, 8, 13])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 2)])
def test_padding_is_tensorflows(size: int, kernel: int, stride: int):
    from timm.layers.conv2d_same import Conv2dSame

    ours, theirs = Same(2, 3, kernel, stride), Conv2dSame(2, 3, kernel, stride, bias=False)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(1, 2, size, size, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ours(x), theirs(x))


def test_weights_of_another_network_are_refused(state: dict[str, torch.Tensor]):
    with pytest.raises(InvalidFile, match="not those of EfficientNet-lite2"):
        trunk(state, 2)
    with pytest.raises(InvalidFile, match=r"blocks\.3\.conv1\.weight"):
        trunk({key: value for key, value in state.items() if key != "_blocks.3._depthwise_conv.weight"}, 0)


def test_the_global_generator_is_left_alone(state: dict[str, torch.Tensor]):
    before = torch.get_rng_state()
    trunk(state, 0)
    assert torch.equal(before, torch.get_rng_state())
