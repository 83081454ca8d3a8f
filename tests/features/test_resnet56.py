import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small import weights_at

from dxbench.errors import InvalidFile
from dxbench.features.extractor import fold_batch_norms
from dxbench.features.protocols import fd_resnet56
from dxbench.features.resnet56 import RESNET56, ResNet56
from dxbench.features.sources import ImageSource
from dxbench.metrics.images.features import FeatureSet
from dxbench.metrics.images.frechet import frechet_distance

DATA = Path(os.environ.get("DXBENCH_DATA", ""))
SUBSET, WEIGHTS = DATA / "cifar10" / "lossless_subset.npz", DATA / RESNET56.weights.path
needs_data = pytest.mark.skipif(
    not (SUBSET.is_file() and WEIGHTS.is_file()), reason="needs cifar10 and resnet56 under DXBENCH_DATA"
)


@needs_data
def test_classifies_the_lossless_test_images_as_published() -> None:
    with np.load(SUBSET, allow_pickle=False) as subset:
        images, labels = subset["test_images"][:200], subset["test_labels"][:200]
    predicted = RESNET56.load("cpu")(images)["logits"].argmax(axis=1)
    assert (predicted == labels).mean() > 0.89


@needs_data
def test_real_halves_are_near_and_negatives_far() -> None:
    images = np.load(SUBSET, allow_pickle=False)["test_images"][:300]
    pooled = FeatureSet(extractor=RESNET56, kind="pooled")
    a, b, negative = (ImageSource(x).moments(pooled) for x in (images[:150], images[150:], 255 - images[150:]))
    assert frechet_distance(a, negative) > 3 * frechet_distance(a, b) > 0


@pytest.fixture(scope="module")
def random_net() -> ResNet56:
    """The network with seeded weights and norms that do something."""
    shapes: dict[str, torch.Tensor] = {}

    class Shapes(ResNet56):
        def load_state_dict(self, *args: object, **kwargs: object) -> None:
            shapes.update(self.state_dict())

    Shapes({})
    generator = torch.Generator().manual_seed(0)
    state = {
        name: torch.rand(tensor.shape, generator=generator) * 0.2 + (0.5 if "var" in name else -0.1)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in shapes.items()
    }
    return ResNet56(state).eval()


def test_has_the_size_of_the_paper(random_net: ResNet56) -> None:
    """0.85 M parameters: He et al. 2015, Table 6."""
    assert sum(p.numel() for p in random_net.parameters()) == 853_018


def test_folded_norms_leave_the_function(random_net: ResNet56) -> None:
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 255
    with torch.no_grad():
        before = random_net(images)["pooled"]
        fold_batch_norms(random_net)
        after = random_net(images)["pooled"]
    assert not [m for m in random_net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4 * float(before.abs().max()))


def test_weights_with_other_keys_are_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": {"module.conv9.weight": torch.zeros(1)}}, tmp_path / "other.th")
    weights = weights_at(tmp_path / "other.th")
    with pytest.raises(InvalidFile, match=r'does not fit resnet56-cifar10.*Missing key.*"conv1.weight", "bn1.weight"'):
        replace(RESNET56, weights=weights).load("cpu")


def test_its_distance_is_named_after_it() -> None:
    names = [metric.name for metric in fd_resnet56(reference="cifar10 train", num_reference=100, num_samples=5000)]
    assert names == ["fd_resnet56@5k", "kd_resnet56@5k", "precision_resnet56@5k", "recall_resnet56@5k"]
