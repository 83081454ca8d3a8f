"""The real Inception of 2015: one digest whatever file brings it, and numbers as other packages give them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small import weights_at
from torch.utils.data import Dataset
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric
from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric
from torch_fidelity.utils import get_featuresdict_from_dataset

from dxbench.assets.catalogue import CIFAR10_SUBSET
from dxbench.assets.inception import TRUNK, TRUNK_DIGEST
from dxbench.features.extractor import NetworkExtractor
from dxbench.features.inception import INCEPTION_TENSORFLOW
from dxbench.features.sources import ImageSource
from dxbench.files.weights import digest, read
from dxbench.metrics.images.features import FeatureSet
from dxbench.metrics.images.frechet import array_moments, frechet_distance
from dxbench.metrics.images.kernel import cubic_mmd2
from dxbench.metrics.images.precision_recall import precision, recall
from dxbench.tasks.cifar10 import read_subset

N = 48
"""Images a side; the figures at 1,000 are those of benchmarks/inception_parity.py."""


@pytest.fixture(scope="module")
def official(inception_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file in the layout of the official one: kernels in TensorFlow's order, counters and a classifier, made up."""
    state = {name: tensor for name, tensor in read(inception_weights).items() if name in TRUNK}
    for name, tensor in state.items():
        if tensor.ndim == 4:
            state[name] = tensor.permute(2, 3, 1, 0).contiguous().permute(3, 2, 0, 1)
    norms = [name.removesuffix("weight") for name in TRUNK if name.endswith("bn.weight")]
    state |= {f"{norm}num_batches_tracked": torch.tensor(0) for norm in norms}
    generator = torch.Generator().manual_seed(0)
    state |= {"fc.weight": torch.randn(1008, 2048, generator=generator), "fc.bias": torch.zeros(1008)}
    path = tmp_path_factory.mktemp("official") / "official.pth"
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def with_weights() -> Callable[[Path], NetworkExtractor]:
    return lambda path: replace(INCEPTION_TENSORFLOW, weights=weights_at(path))


def test_the_trunk_has_the_pinned_digest(inception_weights: Path) -> None:
    state = read(inception_weights)
    assert digest({name: state[name] for name in TRUNK}) == TRUNK_DIGEST
    assert all(bool((state[name] == 1).all()) for name in TRUNK if name.endswith("bn.weight"))


def test_the_official_layout_gives_the_same_digest_protocol_and_features(
    inception_weights: Path, official: Path, with_weights: Callable[[Path], NetworkExtractor]
) -> None:
    images = np.random.default_rng(0).integers(0, 256, size=(2, 32, 32, 3), dtype=np.uint8)
    whole, trunk = with_weights(official), with_weights(inception_weights)
    assert whole.fields == trunk.fields
    of_whole, of_trunk = whole.load("cpu")(images), trunk.load("cpu")(images)
    assert np.array_equal(of_whole["pool3"], of_trunk["pool3"])
    assert np.array_equal(of_whole["spatial"], of_trunk["spatial"])
    assert of_whole["logits"].shape == (2, 1008)


class Pixels(Dataset):  # type: ignore[type-arg]
    def __init__(self, images: np.ndarray) -> None:
        self.images = torch.from_numpy(images).permute(0, 3, 1, 2)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.images[index]


@pytest.mark.slow
def test_distances_of_real_images_are_torch_fidelitys(
    official: Path, with_weights: Callable[[Path], NetworkExtractor]
) -> None:
    if CIFAR10_SUBSET.find() is None:
        pytest.skip("no lossless subset of CIFAR-10")
    train = read_subset(CIFAR10_SUBSET.verify())["train"].images
    sets = train[:N], train[N : 2 * N]
    pool3 = FeatureSet(extractor=with_weights(official), kind="pool3")
    a, b = (ImageSource(images).features(pool3) for images in sets)
    net = FeatureExtractorInceptionV3("it", ["2048"], feature_extractor_weights_path=str(official))
    x, y = (get_featuresdict_from_dataset(Pixels(i), net, 16, False, False, False)["2048"] for i in sets)
    np.testing.assert_allclose(a, x.numpy(), atol=1e-4)
    fid = fid_statistics_to_metric(fid_features_to_statistics(x), fid_features_to_statistics(y), False)
    assert frechet_distance(array_moments(a), array_moments(b)) == pytest.approx(float(fid[KEY_METRIC_FID]), rel=1e-4)
    kid = kid_features_to_metric(x, y, kid_subsets=1, kid_subset_size=N, verbose=False)
    assert cubic_mmd2(a, b) == pytest.approx(float(kid[KEY_METRIC_KID_MEAN]), rel=1e-4)
    prc = prc_features_to_metric(x, y, verbose=False)
    assert precision(a, b) == pytest.approx(float(prc[KEY_METRIC_PRECISION]))
    assert recall(a, b) == pytest.approx(float(prc[KEY_METRIC_RECALL]))
