"""The feature pass against torch-fidelity's own, on seeded random weights: the real file is not needed for that."""

import io
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from cleanfid.resize import build_resizer
from safetensors.torch import save_file
from small import weights_at
from torch.utils.data import Dataset
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x
from torch_fidelity.utils import get_featuresdict_from_dataset

from dxbench.api import Evaluation
from dxbench.assets.inception import TRUNK
from dxbench.errors import InvalidFile, MissingData
from dxbench.features import protocols
from dxbench.features.extractor import KnownTensors, NetworkExtractor
from dxbench.features.inception import INCEPTION_CLEAN, INCEPTION_TENSORFLOW, INCEPTION_TORCH
from dxbench.features.protocols import SET_PROTOCOLS, Sides
from dxbench.features.resizing import pil_bicubic, tensorflow1, torch_bilinear
from dxbench.features.sets import SampleSet, score_against
from dxbench.files.weights import digest
from dxbench.metrics.images.features import FeatureMetric, FeatureSet
from dxbench.metrics.images.fidelity import FrechetDistance, InceptionScore
from dxbench.metrics.images.frechet import array_moments, frechet_distance

IMAGES = np.random.default_rng(0).integers(0, 256, size=(3, 32, 32, 3), dtype=np.uint8)


class Unloaded(FeatureExtractorInceptionV3):
    """torch-fidelity's network with the weights it is born with."""

    def load_state_dict(self, *args: object, **kwargs: object) -> None:
        pass


@cache
def theirs() -> FeatureExtractorInceptionV3:
    """torch-fidelity's extractor with seeded weights: activations of order one, norms that do something."""
    empty = io.BytesIO()
    torch.save({}, empty)
    empty.seek(0)
    net = Unloaded("random", ["2048", "logits_unbiased"], feature_extractor_weights_path=empty)
    generator = torch.Generator().manual_seed(0)
    for module in net.modules():
        if isinstance(module, torch.nn.Conv2d):
            std = (2.0 / module.weight[0].numel()) ** 0.5
            module.weight.copy_(std * torch.randn(module.weight.shape, generator=generator))
        if isinstance(module, torch.nn.BatchNorm2d):
            for tensor, low, high in (
                (module.weight, 0.8, 1.2),
                (module.bias, -0.2, 0.2),
                (module.running_mean, -0.2, 0.2),
                (module.running_var, 0.6, 1.4),
            ):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)
    return net


def trunk_of(net: FeatureExtractorInceptionV3) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in net.state_dict().items() if name in TRUNK}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(theirs().state_dict(), path)
    return path


@pytest.fixture(scope="module")
def random_weights(weights: Path) -> Callable[[NetworkExtractor], NetworkExtractor]:
    """An extractor with the random weights in place of the 2015 ones."""
    file = weights_at(weights)

    def with_weights(extractor: NetworkExtractor) -> NetworkExtractor:
        return replace(extractor, weights=file, tensors=KnownTensors(names=TRUNK, digest=digest(trunk_of(theirs()))))

    return with_weights


@pytest.fixture(scope="module")
def ours(random_weights: Callable[[NetworkExtractor], NetworkExtractor]) -> dict[str, np.ndarray]:
    return random_weights(INCEPTION_TENSORFLOW).load("cpu")(IMAGES)


class Images(Dataset):  # type: ignore[type-arg]
    def __len__(self) -> int:
        return len(IMAGES)

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.from_numpy(IMAGES[index]).permute(2, 0, 1)


def trunk(x: torch.Tensor) -> np.ndarray:
    """Pooled features of torch-fidelity's blocks on pixels prepared elsewhere; its own resize is left out."""
    net = theirs()
    with torch.no_grad():
        for name, block in net.named_children():
            if name != "fc":
                x = block(x)
    return x.flatten(1).numpy()


def test_features_and_logits_equal_torch_fidelitys_own_call(ours: dict[str, np.ndarray]) -> None:
    their = get_featuresdict_from_dataset(Images(), theirs(), 2, cuda=False, save_cpu_ram=True, verbose=False)
    assert 0.1 < np.abs(ours["pool3"]).mean() < 10
    np.testing.assert_allclose(ours["pool3"], their["2048"].numpy(), atol=1e-4)
    np.testing.assert_allclose(ours["logits"], their["logits_unbiased"].numpy(), atol=1e-4)


def test_spatial_features_are_seven_channels_of_mixed_6_conv_channels_last(ours: dict[str, np.ndarray]) -> None:
    kept: list[torch.Tensor] = []
    handle = theirs().Mixed_6d.branch1x1.register_forward_hook(lambda m, a, out: kept.append(out.clone()))
    with torch.no_grad():
        theirs()(torch.from_numpy(IMAGES).permute(0, 3, 1, 2))
    handle.remove()
    assert ours["spatial"].shape == (3, 2023)
    wanted = kept[0][:, :7].permute(0, 2, 3, 1).reshape(3, 2023)
    np.testing.assert_allclose(ours["spatial"], wanted.numpy(), atol=1e-4)
    assert (ours["spatial"] >= 0).all()


def test_clean_protocol_is_clean_fids_resizer_and_the_same_network(
    random_weights: Callable[[NetworkExtractor], NetworkExtractor],
) -> None:
    resize = build_resizer("clean")
    pixels = torch.from_numpy(np.stack([resize(image) for image in IMAGES[:1]])).permute(0, 3, 1, 2)
    got = random_weights(INCEPTION_CLEAN).load("cpu")(IMAGES[:1])["pool3"]
    np.testing.assert_allclose(got, trunk((pixels - 128) / 128), atol=1e-4)


def test_pytorch_fid_protocol_scales_before_and_after_its_resize(
    random_weights: Callable[[NetworkExtractor], NetworkExtractor], ours: dict[str, np.ndarray]
) -> None:
    """Its input is [0, 1], resized, then 2 x - 1."""
    pixels = torch.from_numpy(IMAGES[:1]).permute(0, 3, 1, 2).float() / 255
    pixels = torch.nn.functional.interpolate(pixels, size=(299, 299), mode="bilinear", align_corners=False)
    got = random_weights(INCEPTION_TORCH).load("cpu")(IMAGES[:1])["pool3"]
    np.testing.assert_allclose(got, trunk(2 * pixels - 1), atol=1e-4)
    assert np.abs(got - ours["pool3"][:1]).max() > 0.01


@pytest.mark.parametrize("size", [(8, 8), (32, 32), (64, 48), (299, 299), (320, 256)])
def test_tensorflow_resize_equals_torch_fidelitys(size: tuple[int, int]) -> None:
    x = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0)) * 255
    wanted = interpolate_bilinear_2d_like_tensorflow1x(x, size=(299, 299), align_corners=False)
    torch.testing.assert_close(tensorflow1(x), wanted, atol=1e-4, rtol=0)


def test_pil_resize_is_bit_equal_to_clean_fids() -> None:
    wanted = build_resizer("clean")(IMAGES[0])
    got = pil_bicubic(torch.from_numpy(IMAGES[:1]).permute(0, 3, 1, 2))[0].permute(1, 2, 0)
    assert np.array_equal(got.numpy(), wanted)


def test_the_resizes_differ_where_the_name_says_they_do() -> None:
    x = torch.from_numpy(IMAGES[:1]).permute(0, 3, 1, 2).float()
    resized = [resize(x) for resize in (tensorflow1, torch_bilinear, pil_bicubic)]
    assert all((a - b).abs().mean() > 1 for i, a in enumerate(resized) for b in resized[:i])


def test_weights_of_another_hash_are_refused(weights: Path) -> None:
    file = replace(INCEPTION_TENSORFLOW.weights, path=str(weights), also=())
    with pytest.raises(InvalidFile, match="wanted sha256 6726825d"):
        replace(INCEPTION_TENSORFLOW, weights=file).load("cpu")


def test_tensors_of_another_network_are_refused(weights: Path) -> None:
    with pytest.raises(InvalidFile, match=r"random\.pth holds other tensors than are wanted: their digest is"):
        replace(INCEPTION_TENSORFLOW, weights=weights_at(weights)).load("cpu")


def test_a_file_without_one_tensor_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "short.safetensors"
    save_file({name: t for name, t in trunk_of(theirs()).items() if name != "Mixed_7c.branch_pool.bn.weight"}, path)
    with pytest.raises(InvalidFile, match=r"lacks 1 of 470 tensors.*Mixed_7c\.branch_pool\.bn\.weight"):
        replace(INCEPTION_TENSORFLOW, weights=weights_at(path)).load("cpu")


def test_without_a_classifier_inception_scores_say_so_and_the_rest_is_measured(
    random_weights: Callable[[NetworkExtractor], NetworkExtractor], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And once the classifier is there, features that were kept without it are completed."""
    monkeypatch.setenv("DXBENCH_CACHE", str(tmp_path))
    path = tmp_path / "trunk.safetensors"
    save_file(trunk_of(theirs()), path)
    whole = random_weights(INCEPTION_TENSORFLOW)
    without = replace(whole, weights=weights_at(path))
    a, b = (SampleSet(name=name, images=IMAGES + np.uint8(i)) for i, name in enumerate("ab"))

    def scored(extractor: NetworkExtractor) -> Evaluation:
        def metrics(sides: Sides) -> tuple[FeatureMetric, ...]:
            pool3, logits = (FeatureSet(extractor=extractor, kind=kind) for kind in ("pool3", "logits"))
            return (
                FrechetDistance(evaluator="adm@1", features=pool3, num_samples=3, reference=sides.reference),
                InceptionScore(evaluator="adm@1", features=logits, num_samples=3, splits=1),
            )

        two = replace(SET_PROTOCOLS["adm"], extractor=extractor, metrics=metrics)
        return score_against([two], a, b, train=None, n=None, progress=lambda text: None)

    found = scored(without)
    assert set(found.scores) == {"fid@3"}
    assert "inception-2015-trunk lacks" in found.notes["inception_score@3"]
    assert "pt_inception-2015-12-05-6726825d.pth" in found.notes["inception_score@3"]
    again = scored(whole)
    assert again.scores["inception_score@3"].value >= 1
    assert again.scores["fid@3"] == found.scores["fid@3"], "number and protocol are those of the trunk"


@pytest.mark.parametrize("extractor", [INCEPTION_TENSORFLOW, INCEPTION_TORCH, INCEPTION_CLEAN])
def test_absent_weights_name_the_command_that_fetches_them(
    extractor: NetworkExtractor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DXBENCH_DATA", str(tmp_path))
    with pytest.raises(MissingData, match=r"no pt_inception-2015.*dxbench prepare --task cifar10"):
        extractor.load("cpu")


def test_two_sets_are_scored_by_every_protocol_of_the_inception(
    random_weights: Callable[[NetworkExtractor], NetworkExtractor], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each FID is the formula on the features that its own way to prepare pixels gives, and the three differ."""
    monkeypatch.setenv("DXBENCH_CACHE", str(tmp_path))
    ways = {"": INCEPTION_TENSORFLOW, "_pytorch": INCEPTION_TORCH, "_clean": INCEPTION_CLEAN}
    loaded = {suffix: random_weights(extractor) for suffix, extractor in ways.items()}
    for name, extractor in zip(("TENSORFLOW", "TORCH", "CLEAN"), loaded.values(), strict=True):
        monkeypatch.setattr(protocols, f"INCEPTION_{name}", extractor)
    rng = np.random.default_rng(1)
    a, b = (rng.integers(0, high, size=(10, 32, 32, 3), dtype=np.uint8) for high in (256, 200))
    found = score_against(
        [SET_PROTOCOLS[name] for name in ("adm", "adm-fp16", "edm", "pytorch-fid", "clean")],
        SampleSet(name="a", images=a),
        SampleSet(name="b", images=b),
        train=None,
        n=None,
        progress=lambda text: None,
    )
    assert set(found.scores) == {
        *(f"{name}@10" for name in ("fid", "sfid", "inception_score", "precision", "recall", "fid_edm")),
        *(f"{name}@10" for name in ("precision_fp16", "recall_fp16", "fid_pytorch", "fid_clean", "kid_clean")),
    }
    for suffix, extractor in loaded.items():
        extract = extractor.load("cpu")
        moments = [array_moments(extract(images)["pool3"]) for images in (a, b)]
        wanted = frechet_distance(*moments)
        assert found.scores[f"fid{suffix}@10"].value == pytest.approx(wanted, rel=1e-4)
    values = [found.scores[f"fid{suffix}@10"].value for suffix in ways]
    assert len({round(value, 3) for value in values}) == 3
    assert found.scores["fid_edm@10"].value == found.scores["fid@10"].value
