"""LPIPS against torchvision's VGG-16; critic and value of SFT-PG."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.vgg import cfgs, make_layers

from dxmi.nets.critics import ConvCritic, StepValue
from dxmi.nets.lpips import LPIPS, STAGES


@pytest.fixture(scope="module")
def weights() -> tuple[nn.Sequential, dict[str, Tensor], dict[str, Tensor]]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        features = make_layers(cfgs["D"], batch_norm=False).eval()
        heads = {f"lin{i}.model.1.weight": torch.rand(1, cout, 1, 1) for i, (cout, _) in enumerate(STAGES)}
    return features, dict(features.state_dict(prefix="features.")), heads


def pair() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(2, 3, 32, 32, generator=generator) * 2 - 1, torch.rand(2, 3, 32, 32, generator=generator) * 2 - 1


def test_lpips_is_the_sum_over_stages_of_weighted_differences_of_unit_features(
    weights: tuple[nn.Sequential, dict[str, Tensor], dict[str, Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through torchvision's own layers, its maxima replaced by means, one image at a time."""
    monkeypatch.setattr("dxmi.nets.lpips.SIDE", 48)
    features, vgg16, heads = weights
    a, b = pair()
    with torch.no_grad():
        found = LPIPS(vgg16, heads)(a, b)
        for i in range(2):
            maps: list[list[Tensor]] = [[], []]
            for image, kept in zip((a[i], b[i]), maps, strict=True):
                mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
                x = F.interpolate(image[None], size=(48, 48), mode="bilinear", align_corners=False)
                x = (x / 2 + 0.5 - mean[:, None, None]) / std[:, None, None]
                for place, layer in enumerate(features):
                    if isinstance(layer, nn.MaxPool2d):
                        kept.append(x)
                        x = F.avg_pool2d(x, 2)
                    else:
                        x = layer(x.clone())
                        assert place < 30
            expected = sum(
                (heads[f"lin{level}.model.1.weight"][0] * (u / u.norm(dim=1) - v / v.norm(dim=1))[0].square())
                .sum(dim=0)
                .mean()
                for level, (u, v) in enumerate(zip(*maps, strict=True))
            )
            torch.testing.assert_close(found[i], expected, rtol=1e-4, atol=1e-5)


def test_lpips_is_zero_at_home_symmetric_and_has_a_gradient(
    weights: tuple[nn.Sequential, dict[str, Tensor], dict[str, Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dxmi.nets.lpips.SIDE", 32)
    distance, (a, b) = LPIPS(*weights[1:]), pair()
    assert distance(a, a).tolist() == [0.0, 0.0]
    torch.testing.assert_close(distance(a, b), distance(b, a))
    a.requires_grad_(True)
    (gradient,) = torch.autograd.grad(distance(a, b).sum(), a)
    assert torch.isfinite(gradient).all()
    assert gradient.abs().sum() > 0


def test_lpips_enlarges_small_images_to_224_and_leaves_large_ones(
    weights: tuple[nn.Sequential, dict[str, Tensor], dict[str, Tensor]],
) -> None:
    distance = LPIPS(*weights[1:])
    assert distance._prepared(torch.zeros(1, 3, 64, 64)).shape == (1, 3, 224, 224)
    assert distance._prepared(torch.zeros(1, 3, 256, 256)).shape == (1, 3, 256, 256)


def test_files_of_something_else_are_refused(
    weights: tuple[nn.Sequential, dict[str, Tensor], dict[str, Tensor]],
) -> None:
    with pytest.raises(ValueError, match=r"features\.0\.weight wants shape \(64, 3, 3, 3\), got no such tensor"):
        LPIPS({}, weights[2])
    with pytest.raises(ValueError, match=r"lin0\.model\.1\.weight wants shape"):
        LPIPS(weights[1], {"lin0.model.1.weight": torch.zeros(1, 2, 1, 1)})


def test_critic_and_value_of_sft_pg_have_the_released_sizes_and_are_drawn_from_their_generator() -> None:
    shape = (3, 32, 32)
    drawn = []
    for _ in range(2):
        torch.rand(1)  # the global generator has no part
        generator = torch.Generator().manual_seed(3)
        critic = ConvCritic(shape, generator=generator)
        drawn.append((critic, StepValue(shape, num_levels=10, generator=generator)))
    (critic, value), (again, too) = drawn
    assert sum(p.numel() for p in critic.parameters()) == 2_636_673
    assert sum(p.numel() for p in value.parameters()) == 4_482_049
    for ours, theirs in ((critic, again), (value, too)):
        assert all(torch.equal(p, q) for p, q in zip(ours.parameters(), theirs.parameters(), strict=True))
    assert critic.head.weight.var().item() == pytest.approx(2 / (512 * 16), rel=0.1)
    x = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    assert critic(x).shape == (2, 1)
    first, second = (value(x, torch.full((2,), k)) for k in (0, 9))
    assert not torch.allclose(first, second)


@pytest.mark.parametrize(("side", "last"), [(64, 4), (32, 4), (28, 3), (16, 2), (8, 1)])
def test_the_last_convolution_of_the_critic_of_sft_pg_fits_what_is_left_of_small_images(side: int, last: int) -> None:
    critic = ConvCritic((1, side, side), generator=torch.Generator().manual_seed(0), width=4)
    assert critic.head.kernel_size == (last, last)
    x = torch.randn(3, 1, side, side, generator=torch.Generator().manual_seed(1)).requires_grad_(True)
    scores = critic(x)
    assert scores.shape == (3, 1)
    (gradient,) = torch.autograd.grad(scores.sum(), x)
    assert (gradient.abs().sum(dim=(1, 2, 3)) > 0).all()


def test_the_critic_of_sft_pg_refuses_images_that_cannot_be_halved_three_times() -> None:
    with pytest.raises(ValueError, match="sides from 8 on"):
        ConvCritic((3, 7, 7), generator=torch.Generator())
