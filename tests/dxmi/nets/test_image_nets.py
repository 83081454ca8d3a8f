"""The image networks: sizes, what they depend on, memory formats, precisions, compilation."""

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import jaxtyping
import pytest
import torch
from formula_weights import SMALL, by_formula, converted, generator, official_output, small
from torch import Tensor, nn

from dxmi.nets import presets
from dxmi.nets.ddgan import DDGANGenerator
from dxmi.nets.dropout import dropping
from dxmi.nets.embeddings import ADMSinusoid, DDPMSinusoid, FourierFeatures
from dxmi.nets.energy_resnet import EnergyResNet
from dxmi.nets.resampling import BinomialDown, BinomialUp
from dxmi.nets.unet import UNet
from dxmi.nets.unet_config import UNetConfig

COUNTS = {
    "DDPM_CIFAR10": 35_746_307,
    "DDPMPP_CIFAR10": 55_733_891,
    "NCSNPP_CIFAR10": 56_397_827,
    "ADM_IMAGENET64": 295_899_267,
    "ADM_LSUN256": 526_304_771,
}
TINY = replace(
    presets.ADM_IMAGENET64,
    width=8,
    multipliers=(1, 2),
    blocks_per_level=1,
    attention_levels=(1,),
    head_channels=8,
    num_classes=3,
)


def parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def on_meta(config: UNetConfig) -> UNet:
    with torch.device("meta"):
        return UNet(config, generator=generator())


@pytest.mark.parametrize("name", COUNTS)
def test_a_backbone_has_the_official_number_of_parameters(name: str) -> None:
    net = on_meta(getattr(presets, name))
    assert all(p.is_meta for p in net.parameters())
    assert parameters(net) == COUNTS[name]


def test_generator_and_energy_have_the_official_number_of_parameters() -> None:
    with torch.device("meta"):
        assert parameters(DDGANGenerator(presets.DDGAN_CIFAR10, generator=generator())) == 48_432_515
        assert parameters(EnergyResNet(generator=generator())) == 5_134_595


@pytest.mark.parametrize("name", SMALL)
def test_outputs_equal_those_of_the_official_code(name: str) -> None:
    case, wanted = converted(name), official_output(name)
    got = case.net(**case.inputs).flatten()
    got = got[:: 7 if len(got) > 100 else 1]
    # The official sinusoids are float32: at step 700 that is a phase error of some 1e-5.
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-11 if name == "dxmi_value" else 1e-5)
    assert wanted.std() > 1e-5


@pytest.mark.parametrize("name", SMALL)
def test_gradients_reach_every_parameter(name: str) -> None:
    case = converted(name)
    case.net.float()
    inputs = {key: value.float() if value.is_floating_point() else value for key, value in case.inputs.items()}
    x = inputs["x"].requires_grad_()
    case.net(**inputs).square().sum().backward()
    assert x.grad is not None
    still = [key for key, p in case.net.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert not still


@pytest.mark.parametrize("name", SMALL)
def test_each_sample_depends_on_its_own_inputs_and_on_all_of_them(name: str) -> None:
    case = converted(name)
    whole = case.net(**case.inputs)
    for key, value in case.inputs.items():
        changed = {**case.inputs, key: torch.stack([value[0], value[0] + (1 if key == "labels" else 0.5)])}
        if key == "time":
            changed[key] = changed[key].to(value.dtype) if name != "ddgan_cifar10" else torch.tensor([0, 1])
        out = case.net(**changed)
        torch.testing.assert_close(out[0], whole[0], rtol=1e-9, atol=1e-12)
        assert not torch.allclose(out[1], whole[1], rtol=1e-6, atol=0), key


@pytest.mark.parametrize("name", SMALL)
def test_channels_last_gives_what_contiguous_gives(name: str) -> None:
    case = converted(name)
    whole = case.net(**case.inputs)
    net = case.net.to(memory_format=torch.channels_last)
    last = net(**{**case.inputs, "x": case.inputs["x"].to(memory_format=torch.channels_last)})
    torch.testing.assert_close(last, whole, rtol=1e-9, atol=1e-9)
    assert whole.ndim == 2 or last.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", SMALL)
def test_under_bfloat16_autocast_the_output_stays_float32_and_close(name: str) -> None:
    case = converted(name)
    net = case.net.float()
    inputs = {key: value.float() if value.is_floating_point() else value for key, value in case.inputs.items()}
    exact = net(**inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = net(**inputs)
    assert rough.dtype == torch.float32
    assert not torch.equal(rough, exact)  # or autocast did nothing
    assert (rough - exact).detach().std() < 0.03 * max(exact.detach().std().item(), 1.0)


@pytest.mark.parametrize("kind", ["adm", "ddpm", "ddgan", "energy"])
def test_a_network_in_bfloat16_throughout_still_tells_late_steps_apart(kind: str) -> None:
    net, inputs = tiny(kind)
    with torch.no_grad():
        for name, p in net.named_parameters():
            p.copy_(by_formula(name, tuple(p.shape)))
    net.bfloat16()
    inputs = {key: value.bfloat16() if value.is_floating_point() else value for key, value in inputs.items()}
    if "time" not in inputs:
        assert net(**inputs).dtype == torch.bfloat16
        return
    # In bfloat16 the steps 995 and 996 would be one number.
    early, late = (net(**{**inputs, "time": torch.tensor([step, step])}) for step in (995, 996))
    assert early.dtype == torch.bfloat16
    assert not torch.equal(early, late)


def tiny(kind: str) -> tuple[nn.Module, dict[str, Tensor]]:
    """A network of as few operations as its kind allows, and inputs for it."""
    inputs = {"x": by_formula("x", (2, 3, 8, 8)).float(), "time": torch.tensor([0.5, 2.0])}
    few = {"width": 8, "multipliers": (1, 1), "blocks_per_level": 1}
    if kind == "adm":
        return UNet(TINY, generator=generator()), {**inputs, "labels": torch.tensor([0, 2])}
    if kind == "ddpm":
        return UNet(replace(presets.DDPM_CIFAR10, **few), generator=generator()), inputs
    if kind == "ddgan":
        net = DDGANGenerator(replace(presets.DDGAN_CIFAR10, **few), generator=generator(), latent_channels=4)
        return net, {**inputs, "z": by_formula("z", (2, 4)).float()}
    assert kind == "energy"
    return EnergyResNet(generator=generator(), width=8), {"x": inputs["x"]}


@pytest.mark.parametrize("kind", ["adm", "ddpm", "ddgan", "energy"])
def test_the_whole_network_compiles_to_one_graph(kind: str) -> None:
    net, inputs = tiny(kind)
    whole = net(**inputs)
    # The shape checks that tests put into every call cannot be traced.
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        torch.testing.assert_close(torch.compile(net, backend="eager", fullgraph=True)(**inputs), whole)
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


def test_initial_weights_follow_the_generator_and_not_the_global_seed() -> None:
    def weights(seed: int, global_seed: int) -> Tensor:
        torch.manual_seed(global_seed)
        net = UNet(replace(TINY, features=FourierFeatures), generator=generator(seed))
        return torch.cat([value.flatten() for value in net.state_dict().values()])

    assert torch.equal(weights(0, 1), weights(0, 2))
    assert not torch.equal(weights(0, 1), weights(1, 1))


def test_adm_begins_with_branches_that_add_nothing() -> None:
    net = UNet(replace(TINY, num_classes=0), generator=generator())
    x = by_formula("x", (2, 3, 8, 8)).float()
    assert torch.equal(net(x, torch.zeros(2)), torch.zeros_like(x))
    torch.testing.assert_close(net.middle[0](x := by_formula("h", (2, 16, 4, 4)).float(), torch.zeros(2, 32)), x)


def test_dropout_acts_where_it_is_asked_for_only() -> None:
    net = UNet(replace(presets.DDPM_CIFAR10, width=8, multipliers=(1, 2), dropout=0.5), generator=generator())
    x, time = by_formula("x", (2, 3, 8, 8)).float(), torch.zeros(2)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(by_formula("p", tuple(p.shape)))
    plain = net(x, time)
    assert torch.equal(net(x, time), plain)
    with dropping(net, generator()):
        dropped = net(x, time)
    assert not torch.equal(dropped, plain)
    assert torch.equal(net(x, time), plain)


def test_the_energy_sums_over_positions() -> None:
    net = small("dxmi_value").net.double()
    assert isinstance(net, EnergyResNet)
    # Far from the edges a periodic image has the same features in every period.
    tile = by_formula("x", (1, 3, 8, 8))
    values = [net(tile.repeat(1, 1, n, n)).item() for n in (8, 16, 24)]
    inner = [b - a for a, b in pairwise(values)]
    # Features grow with n^2 inside and with n at the edges: the second difference is that of n^2 alone.
    per_tile = (inner[1] - inner[0]) / (24**2 - 2 * 16**2 + 8**2)
    ring = (net(tile.repeat(1, 1, 32, 32)).item() - values[2] - inner[1]) / (32**2 - 2 * 24**2 + 16**2)
    assert abs(per_tile) > 1e-6
    assert per_tile == pytest.approx(ring, rel=1e-6)


def test_binomial_up_is_four_times_the_transpose_of_down() -> None:
    fine, coarse = by_formula("a", (1, 2, 8, 8)), by_formula("b", (1, 2, 4, 4))
    left = (BinomialDown()(fine) * coarse).sum()
    right = (fine * BinomialUp()(coarse)).sum()
    assert left.item() == pytest.approx(right.item() / 4.0, rel=1e-6)
    ones = torch.ones(1, 1, 8, 8)
    for inner in (BinomialDown()(ones)[..., 1:-1, 1:-1], BinomialUp()(ones)[..., 1:-1, 1:-1]):
        torch.testing.assert_close(inner, torch.ones_like(inner))


def test_features_of_time_are_the_published_formulas() -> None:
    time = torch.tensor([0.0, 1.5, 999.0], dtype=torch.float64)
    for row, t in enumerate(time.tolist()):
        for i in range(4):
            slow, slower = t / 10_000 ** (i / 3), t / 10_000 ** (i / 4)
            ddpm, adm = DDPMSinusoid(8, generator())(time)[row], ADMSinusoid(8, generator())(time)[row]
            assert (ddpm[i].item(), ddpm[4 + i].item()) == pytest.approx((math.sin(slow), math.cos(slow)), abs=1e-9)
            assert (adm[i].item(), adm[4 + i].item()) == pytest.approx((math.cos(slower), math.sin(slower)), abs=1e-9)
    fourier = FourierFeatures(4096, generator())
    assert fourier.frequencies.std().item() == pytest.approx(16.0, rel=5 / math.sqrt(2 * 2048))
    torch.testing.assert_close(fourier(time)[:, 0], torch.sin(2 * math.pi * fourier.frequencies[0] * time))


@pytest.mark.parametrize(
    ("shape", "more", "said"),
    [
        ((2, 3, 9, 8), {"labels": torch.tensor([0, 1])}, r"\(2, 3, 9, 8\).*divisible by 2"),
        ((2, 1, 8, 8), {"labels": torch.tensor([0, 1])}, "3 channels"),
        ((2, 3, 8, 8), {}, "one class label per sample"),
        ((2, 3, 8, 8), {"labels": torch.tensor([0, 1]), "style": torch.zeros(2, 4)}, "wants no style"),
        ((2, 3, 8, 8), {"labels": torch.tensor([0, 1]), "augment": torch.zeros(2, 9)}, "augmentation"),
    ],
)
def test_wrong_inputs_are_named(shape: tuple[int, ...], more: dict[str, Tensor], said: str) -> None:
    net = UNet(TINY, generator=generator())
    with pytest.raises(ValueError, match=said):
        net(torch.zeros(shape), torch.zeros(2), **more)


def test_labels_for_an_unconditional_net_and_a_generator_without_style_are_refused() -> None:
    net = UNet(replace(TINY, num_classes=0), generator=generator())
    with pytest.raises(ValueError, match="unconditional"):
        net(torch.zeros(1, 3, 8, 8), torch.zeros(1), labels=torch.tensor([0]))
    with pytest.raises(ValueError, match="style_channels=0"):
        DDGANGenerator(TINY, generator=generator())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"multipliers": ()}, "at least 1"),
        ({"blocks_per_level": 0}, "at least 1"),
        ({"attention_levels": (1, 2)}, r"levels \[2\]; wanted some of 0 .. 1"),
        ({"head_channels": 12}, "heads of 12 channels"),
    ],
)
def test_a_configuration_that_cannot_be_is_named(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(TINY, **change)
