"""Backbones of the image starts: official networks, schedules and stds, weights in, training where there are none."""

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from dxbench_baselines.starts.backbone import Backbone, Official, Pretraining, converted, pretrained
from dxbench_baselines.starts.data import HorizontalFlips
from dxbench_baselines.starts.presets import EDM_ADM, EDM_LSUN256, EDM_VE
from formula_weights import generator, official_state
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from dxbench.api import Compute
from dxbench.api.streams import RandomStreams
from dxbench.conformance.problems import synthetic_problem
from dxmi.backbones.edm import ADMUNet, EDMUNet
from dxmi.backbones.few_steps import DDGANSteps, FastDPMSteps, FewSteps, KarrasSteps
from dxmi.backbones.images import DDGANUNet, DDPMUNet
from dxmi.backbones.small import Network
from dxmi.nets.ddgan import DDGANGenerator
from dxmi.nets.unet import UNet
from dxmi.sampling.denoisers import EDMDenoiser, VPDenoiser
from dxmi.sampling.noise import SeededNoise
from dxmi.sampling.policies import LatentPolicy
from dxmi.sampling.rollouts import sample
from dxmi.sampling.samplers import Ancestral, euler_ancestral
from dxmi.schedules.chains import LinearChain
from dxmi.schedules.levels import NoiseLevels

SHAPE = (3, 8, 8)
TINY: dict[str, Any] = {
    "width": 16,
    "multipliers": (1, 2),
    "blocks_per_level": 1,
    "attention_levels": (1,),
}
SHORT = Pretraining(iterations=3, batch_size=4, lr=2e-4, ema_decay=0.9999, max_grad_norm=1.0)
TINY_DDPM = DDPMUNet(**TINY)
TINY_DDGAN = DDGANUNet(**TINY, style_channels=8, latent_channels=5, mapping_depth=2)
TINY_ADM = ADMUNet(**TINY, head_channels=8, classes=2, precision="float32")
TINY_EDM = EDMUNet(**TINY, preset="ncsnpp")
FOUR = KarrasSteps(levels="above_zero", rho=4.0)
OFFICIAL: list[tuple[Network, FewSteps, tuple[int, int, int], int, int]] = [
    (DDPMUNet(), FastDPMSteps(), (3, 32, 32), 10, 35_746_307),
    (DDGANUNet(), DDGANSteps(), (3, 32, 32), 4, 48_432_515),
    (ADMUNet(), KarrasSteps(), (3, 64, 64), 10, 295_899_267),
    (ADMUNet(), FOUR, (3, 64, 64), 4, 295_899_267),
    (EDM_LSUN256.network, FOUR, (3, 256, 256), 4, 526_304_771),
    (EDMUNet(), KarrasSteps(), (3, 32, 32), 4, 55_733_891),
    (EDM_VE.network, KarrasSteps(), (3, 32, 32), 4, 56_397_827),
    (EDM_ADM.network, KarrasSteps(), (3, 64, 64), 4, 295_899_267),
]


def kind(backbone: Network) -> str:
    return f"{type(backbone).__name__}-{backbone.num_classes}"


def on_meta(backbone: Network, shape: tuple[int, ...]) -> nn.Module:
    with torch.device("meta"):
        return backbone.network(shape, torch.Generator("cpu"))


def begun(network: Network, *, plan: Pretraining = SHORT, streams: RandomStreams | None = None) -> Any:
    problem = synthetic_problem(SHAPE, classes=network.num_classes is not None)
    streams = streams or RandomStreams("backbone", 0)
    backbone = Backbone(network=network, pretraining=plan)
    return pretrained(backbone, problem, Compute(device="cpu", threads=1), streams, flips=True).training


# --- the published settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("backbone", "sampler", "shape", "num_steps", "parameters"), OFFICIAL, ids=lambda value: str(value)[:24]
)
def test_the_defaults_are_the_official_networks(
    backbone: Network, sampler: FewSteps, shape: tuple[int, ...], num_steps: int, parameters: int
) -> None:
    net = on_meta(backbone, shape)
    assert sum(p.numel() for p in net.parameters()) == parameters
    assert {key: value.shape for key, value in net.state_dict().items()} == backbone.official(shape).shapes
    assert backbone.num_classes == (1000 if parameters == 295_899_267 else None)
    sampler.check(backbone, num_steps)


def test_ten_steps_of_ddpm_are_fastdpms_fractional_ones_and_end_with_a_fixed_std_of_a_thousandth() -> None:
    policy = FastDPMSteps().policy(DDPMUNet(), nn.Linear(1, 1), event_shape=SHAPE, num_steps=10)
    steps = [616.734, 493.982, 394.076, 308.868, 234.858, 170.301, 114.363, 66.865, 28.293, 1.5e-4]
    torch.testing.assert_close(policy.net.steps, torch.tensor(steps), rtol=1e-5, atol=2e-4)
    assert policy.step_log_stds().exp()[-1].item() == pytest.approx(1e-3)
    assert policy.std_is_trainable.tolist() == [True] * 9 + [False]
    eta = torch.tensor([1e-4, 0.011025, 0.04, 0.087025, 0.1521, 0.235225, 0.3364, 0.455625, 0.5929, 0.748225])
    torch.testing.assert_close(policy.scale, (1 - eta).rsqrt().flip(0), rtol=1e-4, atol=0)


def test_steps_of_ddgan_count_down_and_its_last_std_stays() -> None:
    policy = DDGANSteps().policy(DDGANUNet(), nn.Linear(1, 1), event_shape=SHAPE, num_steps=4)
    assert isinstance(policy, LatentPolicy)
    assert policy.net.steps.tolist() == [3, 2, 1, 0]
    assert policy.noise_shape == (192 + 100,)
    assert policy.std_is_trainable.tolist() == [True] * 3 + [False]


@pytest.mark.parametrize(("levels", "rho", "last"), [("to_zero", 7.0, 1e-4), ("above_zero", 4.0, 0.002)])
def test_levels_of_edm_begin_at_80_and_end_as_the_released_configurations_do(
    levels: Any, rho: float, last: float
) -> None:
    policy = KarrasSteps(levels=levels, rho=rho).policy(ADMUNet(), nn.Linear(1, 1), event_shape=SHAPE, num_steps=4)
    assert policy.start_std == 80.0
    assert policy.net.steps[0].item() == pytest.approx(80.0)
    assert policy.step_log_stds().exp()[-1].item() == pytest.approx(last, rel=1e-3)
    assert policy.std_is_trainable.tolist() == [True] * 3 + [False]


@pytest.mark.parametrize(
    ("sampler", "network", "num_steps"),
    [(FastDPMSteps(), DDPMUNet(), 1), (DDGANSteps(), DDGANUNet(), 5), (KarrasSteps(), DDPMUNet(), 4)],
)
def test_a_network_or_a_number_of_steps_without_a_sampler_is_refused(
    sampler: FewSteps, network: Network, num_steps: int
) -> None:
    with pytest.raises(ValueError, match=r"steps|KarrasSteps sample a EDMFamily or EDMMLP, got a DDPMUNet"):
        sampler.check(network, num_steps)


# --- official weights -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "backbone", "shape"),
    [
        ("fastdpm_cifar10", DDPMUNet(width=128, multipliers=(1, 2), blocks_per_level=1), (3, 8, 8)),
        ("cm_imagenet64", ADMUNet(width=128, multipliers=(1, 1), blocks_per_level=1, attention_levels=(1,), classes=5,
                                  precision="float32"), (3, 8, 8)),
        ("ddgan_cifar10", DDGANUNet(width=16, multipliers=(1, 2, 2), style_channels=24, latent_channels=10),
         (3, 16, 16)),
        ("edm_ddpmpp", EDMUNet(width=16, blocks_per_level=2), (3, 16, 16)),
        ("edm_ncsnpp", EDMUNet(preset="ncsnpp", width=16, blocks_per_level=2), (3, 16, 16)),
        ("edm_adm", EDMUNet(preset="adm", width=32, multipliers=(1, 2, 3), blocks_per_level=2, attention_levels=(1, 2),
                            head_channels=16, classes=5), (3, 16, 16)),
    ],
)  # fmt: skip
def test_a_released_file_becomes_the_start_and_the_net_that_is_trained_on(
    name: str, backbone: Network, shape: tuple[int, ...]
) -> None:
    problem = replace(synthetic_problem(shape), num_classes=backbone.num_classes)
    official = {key: value.float() for key, value in official_state(name).items()}
    compute = Compute(device="cpu", threads=1)
    start = converted(backbone, official, problem, compute, flips=True).training
    assert isinstance(start, Official)
    assert start.iterations == 0
    assert start.finished
    expected = backbone.official(shape)(official)
    for net in (start.net, start.average):
        assert all(torch.equal(value, expected[key]) for key, value in net.state_dict().items())
    assert next(start.net.parameters()) is not next(start.average.parameters())
    with pytest.raises(ValueError, match="not the weights"):
        converted(backbone, {"a": torch.zeros(1)}, problem, compute, flips=True)


def test_a_task_with_other_classes_than_the_network_is_told_is_refused() -> None:
    problem = synthetic_problem(SHAPE)
    with pytest.raises(ValueError, match="on 2 classes and the task has none"):
        pretrained(Backbone(network=TINY_ADM), problem, Compute(device="cpu", threads=1), RandomStreams("a", 0))


# --- samplers around real networks ----------------------------------------------------------------------------


def drawn(shape: tuple[int, ...]) -> SeededNoise:
    return SeededNoise(seeds=torch.tensor([1, 2**60]), event_shape=shape)


def shaken(backbone: Network) -> Any:
    """A network none of whose parts is 0."""
    net = backbone.network(SHAPE, generator())
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return net


def test_the_start_of_ddpm_samples_as_fastdpm_does() -> None:
    net, chain = shaken(TINY_DDPM), LinearChain()
    policy = FastDPMSteps().policy(TINY_DDPM, net, event_shape=SHAPE, num_steps=10)
    sampler, levels = Ancestral(kappa=1.0, last_std=1e-3), chain.var_quadratic(10).noise_levels
    with torch.no_grad():
        expected = sampler(VPDenoiser(net, chain), levels, drawn(SHAPE))
    torch.testing.assert_close(sample(policy, drawn(SHAPE)), expected, rtol=1e-3, atol=1e-3)


def test_the_start_of_edm_samples_as_euler_ancestral_does_and_tells_the_network_1000_times_the_time() -> None:
    net, labels = shaken(TINY_ADM), torch.tensor([1, 0])
    policy = KarrasSteps(last_std=1e-8).policy(TINY_ADM, net, event_shape=SHAPE, num_steps=5)

    class Bare(nn.Module):
        def forward(self, x: Tensor, time: Tensor) -> Tensor:
            return net(x, 1000.0 * time, labels=labels)

    with torch.no_grad():
        expected = euler_ancestral()(EDMDenoiser(Bare()), NoiseLevels.karras(5), drawn(SHAPE))
    torch.testing.assert_close(sample(policy, drawn(SHAPE), labels=labels), expected, rtol=1e-3, atol=1e-3)


def test_bfloat16_is_inside_the_network_alone() -> None:
    net, labels = shaken(TINY_ADM), torch.tensor([1, 0])
    x, k = drawn(SHAPE).normal(0), torch.tensor([0, 3])
    exact = KarrasSteps().policy(TINY_ADM, net, event_shape=SHAPE, num_steps=5).mean(x, k, labels)
    rounding = replace(TINY_ADM, precision="bfloat16")
    rough = KarrasSteps().policy(rounding, shaken(rounding), event_shape=SHAPE, num_steps=5).mean(x, k, labels)
    assert rough.dtype == torch.float32
    assert not torch.equal(exact, rough)
    torch.testing.assert_close(exact, rough, rtol=0.1, atol=0.1)


# --- training -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "backbone", [TINY_DDPM, TINY_DDGAN, TINY_ADM, replace(TINY_ADM, classes=0), TINY_EDM], ids=kind
)
def test_a_backbone_without_weights_is_trained_and_learns(backbone: Network) -> None:
    work = begun(backbone, plan=Pretraining(iterations=15, batch_size=8, lr=2e-3, ema_decay=0.5, max_grad_norm=1.0))
    losses = []
    while not work.finished:
        losses.append(float(work.step()))
    assert len(losses) == 15
    assert np.mean(losses[-5:]) < np.mean(losses[:5])


@pytest.mark.parametrize("backbone", [TINY_DDPM, TINY_DDGAN, TINY_ADM], ids=kind)
def test_training_resumes_to_the_bit(backbone: Network) -> None:
    def weights(work: Any) -> Tensor:
        return torch.cat([p.detach().flatten() for p in work.average.parameters()])

    streams = RandomStreams("x", "y", 0)
    whole = begun(backbone)
    for _ in range(3):
        whole.step()
    first = begun(backbone, streams=streams)
    first.step()
    state, kept = copy.deepcopy(first.state_dict()), streams.state_dict()
    first.step()
    first.step()
    streams.load_state_dict(kept)
    second = begun(backbone, streams=streams)
    second.load_state_dict(state)
    second.step()
    second.step()
    assert torch.equal(weights(first), weights(second))
    assert not torch.equal(weights(first), weights(whole))  # another seed


# --- data and configuration -----------------------------------------------------------------------------------


class Ramp:
    """Images that rise from left to right."""

    def batch(self, n: int, *, rng: np.random.Generator) -> Tensor:
        return torch.arange(4.0).expand(n, 3, 2, 4)


def test_half_of_the_images_are_mirrored_left_to_right() -> None:
    images = HorizontalFlips(Ramp()).batch(4000, rng=np.random.default_rng(0))
    mirrored = images[:, 0, 0, 0] == 3
    assert torch.equal(images[mirrored][0], torch.arange(3.0, -1, -1).expand(3, 2, 4))
    assert torch.equal(images[~mirrored][0], torch.arange(4.0).expand(3, 2, 4))
    assert abs(mirrored.float().mean() - 0.5) < 5 * 0.5 / 4000**0.5


def test_a_typo_in_a_backbone_is_refused() -> None:
    with pytest.raises(ValidationError, match="widht"):
        TypeAdapter(DDPMUNet).validate_python({"widht": 32})


def test_networks_are_what_they_say() -> None:
    assert isinstance(on_meta(TINY_DDPM, SHAPE), UNet)
    assert isinstance(on_meta(TINY_DDGAN, SHAPE), DDGANGenerator)


@pytest.mark.parametrize(("levels", "rho", "steps"), [("above_zero", 4.0, 4), ("to_zero", 7.0, 10)])
def test_a_denoiser_in_float16_is_off_by_an_eighth_of_what_bfloat16_costs(levels: Any, rho: float, steps: int) -> None:
    """11 bits of a number against 8, at DxMI's levels, around a random ADM whose branches do not end in zeros."""
    backbone = ADMUNet(
        width=32, multipliers=(1, 2), blocks_per_level=1, attention_levels=(1,), head_channels=16, classes=2,
        precision="float32",
    )  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    net = backbone.network((3, 16, 16), generator)
    for p in net.parameters():
        if not p.any():
            torch.nn.init.normal_(p, std=0.1 if p.ndim == 1 else p[0].numel() ** -0.5, generator=generator)
    policy = KarrasSteps(levels=levels, rho=rho).policy(backbone, net, event_shape=(3, 16, 16), num_steps=steps)
    sigmas = policy.net.steps.float()
    data, noise = torch.randn(2, steps, 3, 16, 16, generator=generator)
    given = 0.5 * data + sigmas[:, None, None, None] * noise, sigmas, torch.arange(steps) % 2
    denoiser = backbone.denoiser(net)
    with torch.no_grad():
        exact = denoiser(*given)
        error = {}
        for dtype in (torch.bfloat16, torch.float16):
            with torch.autocast("cpu", dtype=dtype):
                error[dtype] = (denoiser(*given) - exact).square().mean().sqrt().item()
    assert 0 < error[torch.float16] < 0.2 * error[torch.bfloat16]
    assert error[torch.float16] < 1e-3 < error[torch.bfloat16]
