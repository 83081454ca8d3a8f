"""Methods on images of the papers' size: published settings, small networks through the whole path, released files."""

import math
import pickle
import sys
import types
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dxbench_baselines.consistency import Consistency, ConsistencyConfig
from dxbench_baselines.ddim import DDIM, DDIMConfig
from dxbench_baselines.dxmi import DxMI, DxMIConfig
from dxbench_baselines.ect import ECT, ECTConfig
from dxbench_baselines.edm import EDM, EDMConfig
from dxbench_baselines.fastdpm import FastDPM, FastDPMConfig
from dxbench_baselines.gan_finetune import GANFinetune, GANFinetuneConfig
from dxbench_baselines.recipes import consistency as consistency_recipes
from dxbench_baselines.recipes import ect as ect_recipes
from dxbench_baselines.recipes import edm as edm_recipes
from dxbench_baselines.recipes import gan_finetune as gan_recipes
from dxbench_baselines.recipes import sft_pg as sft_recipes
from dxbench_baselines.sft_pg import SFTPG, SFTPGConfig
from dxbench_baselines.starts.backbone import Backbone, Pretraining
from formula_weights import official_state
from torch import Tensor
from torchvision.models.vgg import cfgs, make_layers

from dxbench.api import Compute, Method, Problem
from dxbench.api.streams import RandomStreams
from dxbench.assets import Asset, PretrainedFiles
from dxbench.conformance import check_method
from dxbench.conformance.problems import synthetic_problem
from dxbench.drawing.counting import counted_passes
from dxbench.errors import MissingData
from dxmi.backbones.edm import ADMUNet, EDMUNet
from dxmi.backbones.few_steps import FastDPMSteps, KarrasSteps
from dxmi.backbones.images import DDPMUNet
from dxmi.energies.critics import ConvolutionCritic, ResNetCritic
from dxmi.nets.lpips import LPIPS
from dxmi.sampling.noise import SeededNoise
from dxmi.schedules.chains import LinearChain
from dxmi.schedules.levels import karras_sigmas
from dxmi.training.parallel import OneProcess

CPU = Compute(device="cpu", threads=1)
SHAPE = (3, 8, 8)
TINY: dict[str, Any] = {"width": 16, "multipliers": (1, 2), "blocks_per_level": 1, "attention_levels": (1,)}
PLAN = Pretraining(iterations=2, batch_size=4, lr=1e-3, max_grad_norm=1.0)
TINY_EDM = Backbone(network=EDMUNet(**TINY), pretraining=PLAN)
TINY_VE = replace(TINY_EDM, network=EDMUNet(**TINY, preset="ncsnpp"))
TINY_ADM = Backbone(network=ADMUNet(**TINY, head_channels=8, classes=2, precision="float32"), pretraining=PLAN)
TINY_DDPM = Backbone(network=DDPMUNet(**TINY), pretraining=PLAN)
SHORT: dict[str, Any] = {"flips": True, "iterations": 3, "batch_size": 4, "ema_decay": 0.5}
JUMPS: dict[str, Any] = SHORT | {"clip": True, "optimiser": "radam", "lr": 4e-4, "lr_decay": "none"}
GAME: dict[str, Any] = SHORT | {"critic": ResNetCritic(width=8), "lr_decay": "none", "critic_lr": 1e-4, "r1": 1e-4}
FORMS: list[tuple[type[Method], Any]] = [
    (EDM, EDMConfig(backbone=TINY_EDM, flips=True, nfe=5)),
    (EDM, EDMConfig(backbone=TINY_ADM, flips=True, sampler="dpmpp3m", nfe=4, clip=True)),
    (DDIM, DDIMConfig(backbone=TINY_DDPM, flips=True, num_steps=4)),
    (FastDPM, FastDPMConfig(backbone=TINY_DDPM, flips=True, num_steps=4)),
    (Consistency, ConsistencyConfig(backbone=TINY_VE, distance="pseudo_huber", **JUMPS)),
    (Consistency, ConsistencyConfig(backbone=TINY_ADM, distance="l2", middle_levels=(9,), target_decay=0.95, **JUMPS)),
    (Consistency, ConsistencyConfig(backbone=replace(TINY_ADM, pretraining=replace(PLAN, iterations=0)), distance="l2",
                                    variant="training", num_levels=10, **JUMPS)),
    (ECT, ECTConfig(backbone=TINY_EDM, middle_sigmas=(0.821,), optimiser="radam", lr=1e-4, lr_decay="none", **SHORT)),
    (GANFinetune, GANFinetuneConfig(backbone=TINY_EDM, **GAME)),
    (GANFinetune, GANFinetuneConfig(backbone=TINY_ADM, **GAME)),
    (SFTPG, SFTPGConfig(backbone=TINY_DDPM, sampler=FastDPMSteps(), critic=ConvolutionCritic(width=8), num_steps=3,
                        rollouts="several", critic_steps=2, policy_passes=2, policy_lr=1e-3, **SHORT)),
]  # fmt: skip


def problem_of(config: Any) -> Problem:
    shape = (3, 32, 32) if isinstance(config, SFTPGConfig) else SHAPE
    return synthetic_problem(shape, classes=config.backbone.network.num_classes is not None)


def images(model: Any, classes: int | None, n: int = 4) -> Tensor:
    seeds = torch.arange(n)
    return model.sample(seeds, None if classes is None else seeds % classes).detach()


# --- published settings ---------------------------------------------------------------------------------------


def test_consistency_has_the_published_settings() -> None:
    """Notes of the paper's App. C and of the released commands: lr, batch, mu, N or s1, iterations, average."""
    recipe = consistency_recipes
    rows = {
        name: (c.lr, c.batch_size, c.target_decay, c.num_levels, c.iterations, c.ema_decay, c.distance, c.weight)
        for name in ("cifar10", "cifar10_ct", "imagenet64_train_cd", "imagenet64_train_ct", "lsun_bedroom_train_cd",
                     "lsun_bedroom_train_ct")
        for c in [getattr(recipe, name)()]
    }  # fmt: skip
    slow = 0.9999432189950708
    assert rows == {
        "cifar10": (4e-4, 512, 0.0, 18, 800_000, 0.9999, "lpips", "one"),
        "cifar10_ct": (4e-4, 512, 0.9, 150, 800_000, 0.9999, "lpips", "one"),
        "imagenet64_train_cd": (8e-6, 2048, 0.95, 40, 600_000, slow, "lpips", "one"),
        "imagenet64_train_ct": (8e-6, 2048, 0.95, 200, 800_000, slow, "lpips", "one"),
        "lsun_bedroom_train_cd": (1e-5, 2048, 0.95, 40, 600_000, slow, "lpips", "one"),
        "lsun_bedroom_train_ct": (1e-5, 2048, 0.95, 150, 1_000_000, slow, "lpips", "one"),
    }
    assert Consistency.pretrained(recipe.cifar10()) == ("edm-ve", "vgg16", "lpips")
    assert Consistency.pretrained(recipe.cifar10_ct()) == ("vgg16", "lpips")
    assert recipe.cifar10_ct().first_levels == 2


@pytest.mark.parametrize(
    ("recipe", "weights", "levels", "middle"),
    [
        (consistency_recipes.imagenet64_cd, "cd-lpips", 40, 22),
        (consistency_recipes.imagenet64_ct, "ct", 201, 106),
        (consistency_recipes.lsun_bedroom_cd, "cd-lpips", 40, 17),
        (consistency_recipes.lsun_bedroom_ct, "ct", 151, 67),
    ],
)
def test_released_consistency_models_jump_from_their_authors_levels(
    recipe: Any, weights: str, levels: int, middle: int
) -> None:
    """(80^(1/7) + i/(N-1) (0.002^(1/7) - 80^(1/7)))^7, by hand."""
    config = recipe()
    assert (config.num_levels, config.iterations, config.uses_data()) == (levels, 0, False)
    assert Consistency.pretrained(config) == (weights,)
    two = config.model_copy(update={"middle_levels": (middle,)})
    by_hand = (80 ** (1 / 7) + middle / (levels - 1) * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    assert two.sigmas == pytest.approx((80.0, by_hand))


def test_ect_sft_pg_and_gan_finetuning_have_the_released_settings() -> None:
    ect, sft, gan, gan64 = (recipe() for recipe in (ect_recipes.cifar10, sft_recipes.cifar10, gan_recipes.cifar10,
                                                     gan_recipes.imagenet64))  # fmt: skip
    assert (ect.lr, ect.batch_size, ect.iterations, ect.stages, ect.q) == (1e-4, 128, 200_000, 8, 2.0)
    assert (ect.sigma_mean, ect.sigma_std, ect.sigma_max, ect.ema_decay, ect.flips) == (-1.1, 2.0, 80.0, 0.9999, False)
    assert ect.iterations * ect.batch_size == pytest.approx(25.6e6)
    assert (sft.num_steps, sft.batch_size, sft.critic_steps, sft.policy_passes) == (10, 128, 5, 10)
    assert (sft.policy_lr, sft.critic_lr, sft.value_lr, sft.max_grad_norm) == (1e-6, 1e-4, 1e-4, 0.1)
    assert sft.iterations * sft.policy_passes == 78_000
    for config, batch, lr, critic_lr, million in ((gan, 256, 1e-4, 1e-4, 5), (gan64, 512, 8e-6, 4e-5, 10)):
        assert (config.batch_size, config.lr, config.critic_lr, config.r1) == (batch, lr, critic_lr, 1e-4)
        assert config.iterations * batch == pytest.approx(million * 1e6, rel=1e-3)
        assert config.ema_decay == pytest.approx(0.5 ** (batch / 0.5e6), abs=1e-5)


def test_edm_takes_the_published_passes() -> None:
    passes = [recipe().nfe for recipe in (edm_recipes.cifar10, edm_recipes.imagenet64, edm_recipes.lsun_bedroom)]
    assert passes == [35, 79, 79]
    sampler, levels = edm_recipes.imagenet64().sampling()
    assert sampler.nfe(levels) == 79


# --- small networks through the whole path --------------------------------------------------------------------


forms = pytest.mark.parametrize(
    ("method", "config"), FORMS, ids=[f"{m.name}-{c.backbone.network.kind}-{i}" for i, (m, c) in enumerate(FORMS)]
)


@pytest.mark.slow
@forms
def test_small_ones_pass_the_conformance_kit(method: type[Method], config: Any) -> None:
    results = check_method(method, problem_of(config), config, steps=5)
    assert not [(result.name, result.found) for result in results if result.outcome == "fail"]
    assert {r.name for r in results if r.outcome == "skipped"} <= {"classes", "energy", "value"}


@forms
def test_small_ones_train_their_backbone_then_themselves_and_sample(method: type[Method], config: Any) -> None:
    problem = problem_of(config)
    training = method().start(problem, config, compute=CPU, rng=RandomStreams(method.name, "images", 0))
    assert training.total_steps == config.backbone.pretraining.iterations + getattr(config, "iterations", 0)
    for _ in range(training.total_steps):
        assert all(torch.isfinite(torch.as_tensor(value)) for value in training.step().values())
    model: Any = training.model()
    drawn = images(model, config.backbone.network.num_classes)
    assert drawn.shape == (4, *problem.event_shape)
    assert torch.isfinite(drawn).all()
    if model.start is not None:
        assert not torch.equal(drawn, images(model.start, config.backbone.network.num_classes))


def test_sft_pg_takes_the_passes_of_the_released_loop() -> None:
    config = next(c for m, c in FORMS if m is SFTPG)
    training: Any = SFTPG().start(problem_of(config), config, compute=CPU, rng=RandomStreams("sft_pg", "images", 0))
    before = training.steps.step_log_stds().clone()
    with counted_passes([training.cost.net, training.baseline.net, training.steps.net]) as counter:
        for _ in range(config.backbone.pretraining.iterations + 1):
            training.step()
    # Of the one iteration: 2 rollouts of 3 steps; after each, f at data, samples and for v, and v at 3 steps;
    # 2 minibatches with f, v and the sampler.
    assert counter.rows == 4 * (2 * 3 + 2 * (3 + 3) + 2 * 3)
    assert torch.equal(training.steps.step_log_stds(), before)


def test_consistency_training_by_lpips_asks_for_its_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """The distance's networks are no part of what is trained."""
    monkeypatch.setattr("dxmi.nets.lpips.SIDE", 32)
    config = ConsistencyConfig(backbone=TINY_EDM, distance="lpips", **JUMPS)
    with pytest.raises(ValueError, match="no weights of LPIPS; set distance=l2"):
        Consistency().start(problem_of(config), config, compute=CPU, rng=RandomStreams("a", "b", 0))
    problem = replace(problem_of(config), pretrained=Granted(vgg16=vgg16(), lpips=heads()))
    training: Any = Consistency().start(problem, config, compute=CPU, rng=RandomStreams("a", "b", 0))
    assert isinstance(training.distance, LPIPS)
    assert not list(training.distance.parameters())
    losses = [training.step() for _ in range(config.backbone.pretraining.iterations + 1)]
    assert float(losses[-1]["consistency_loss"]) > 0


class Halves(OneProcess):
    """Two micro-batches."""

    def micro_batches(self, num_rows: int) -> Sequence[slice]:
        return slice(0, num_rows // 2), slice(num_rows // 2, num_rows)


@pytest.mark.parametrize(
    ("method", "config"),
    [(m, c) for m, c in FORMS if m in (Consistency, ECT, GANFinetune) and c.backbone.pretraining.iterations],
    ids=lambda value: getattr(value, "name", ""),
)
def test_micro_batches_train_the_same_weights(method: type[Method], config: Any) -> None:
    drawn = []
    for parallel in (None, Halves()):
        compute = Compute(device="cpu", threads=1, parallel=parallel)
        training = method().start(problem_of(config), config, compute=compute, rng=RandomStreams("a", "b", 0))
        for _ in range(training.total_steps):
            training.step()
        drawn.append(images(training.model(), config.backbone.network.num_classes))
    torch.testing.assert_close(*drawn, rtol=1e-2, atol=1e-2)


# --- released files -------------------------------------------------------------------------------------------


class Granted:
    """Weights from memory."""

    def __init__(self, **states: dict[str, Tensor]) -> None:
        self.states = states

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.states)

    def require(self, name: str) -> None:
        assert name in self.states

    def load(self, name: str) -> dict[str, Tensor]:
        return self.states[name]


def vgg16() -> dict[str, Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return dict(make_layers(cfgs["D"], batch_norm=False).state_dict(prefix="features."))


def heads() -> dict[str, Tensor]:
    channels = (64, 128, 256, 512, 512)
    return {f"lin{level}.model.1.weight": torch.full((1, c, 1, 1), 1.0) for level, c in enumerate(channels)}


def file_of(name: str, path: str) -> Asset:
    return Asset(name=name, title="a small one", kind="weights", path=path, urls=("https://example.org",),
                 licence="none", task="synthetic")  # fmt: skip


def edm_pickle(state: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The file that NVlabs/edm would write of a network with these tensors."""
    module = types.ModuleType("torch_utils.persistence")

    def _reconstruct_persistent_obj(meta: Any) -> None:
        raise AssertionError("the class of the file came to life")

    _reconstruct_persistent_obj.__module__ = module.__name__
    _reconstruct_persistent_obj.__qualname__ = "_reconstruct_persistent_obj"
    module._reconstruct_persistent_obj = _reconstruct_persistent_obj  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch_utils", types.ModuleType("torch_utils"))
    monkeypatch.setitem(sys.modules, "torch_utils.persistence", module)

    class Persistent:
        def __init__(self) -> None:
            self.state: dict[str, Any] = {"_parameters": {}, "_buffers": {}, "_modules": {}}

        def __reduce__(self) -> Any:
            source = "raise SystemExit('the source of the file was run')"
            meta = {"type": "class", "version": 6, "module_src": source, "class_name": "Net", "state": self.state}
            return _reconstruct_persistent_obj, (meta,)

    root = Persistent()
    for key, value in state.items():
        *path, leaf = key.split(".")
        node = root
        for part in path:
            node = node.state["_modules"].setdefault(part, Persistent())
        node.state["_parameters"][leaf] = torch.nn.Parameter(value, requires_grad=False)
    return pickle.dumps({"ema": root, "dataset_kwargs": {"resolution": 16}})


@pytest.fixture
def released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PretrainedFiles:
    """Files of small networks in the forms that their authors release, under DXBENCH_DATA."""
    monkeypatch.setenv("DXBENCH_DATA", str(tmp_path))
    folder = tmp_path / "weights"
    folder.mkdir()
    small = {name: {key: value.float() for key, value in official_state(name).items()}
             for name in ("cm_imagenet64", "cm_lsun256", "edm_ddpmpp", "edm_adm", "fastdpm_cifar10")}  # fmt: skip
    for name in ("cm_imagenet64", "cm_lsun256", "fastdpm_cifar10"):
        torch.save(small[name], folder / f"{name}.pt")
    for name in ("edm_ddpmpp", "edm_adm"):
        (folder / f"{name}.pkl").write_bytes(edm_pickle(small[name], monkeypatch))
    files = {path.stem: file_of(path.stem.replace("_", "-"), f"weights/{path.name}") for path in folder.iterdir()}
    return PretrainedFiles(task="synthetic", files={**files, "absent": file_of("absent", "weights/absent.pt")})


CM: dict[str, Any] = {"width": 128, "multipliers": (1, 1), "blocks_per_level": 1, "attention_levels": (1,),
                      "precision": "float32"}  # fmt: skip
CM64 = Backbone(network=ADMUNet(**CM, classes=5), weights="cm_imagenet64")
CM256 = Backbone(network=ADMUNet(**CM, preset="lsun256", classes=0), weights="cm_lsun256")
SONG = Backbone(network=EDMUNet(width=16, blocks_per_level=2), weights="edm_ddpmpp")
DHARIWAL = Backbone(
    network=EDMUNet(preset="adm", width=32, multipliers=(1, 2, 3), blocks_per_level=2, attention_levels=(1, 2),
                    head_channels=16, classes=5), weights="edm_adm")  # fmt: skip
SIZES = {"cm_imagenet64": 8, "cm_lsun256": 8, "edm_ddpmpp": 16, "edm_adm": 16, "fastdpm_cifar10": 8}


def granted(released: PretrainedFiles, backbone: Any) -> Problem:
    side = SIZES[backbone.weights]
    return replace(synthetic_problem((3, side, side)), num_classes=backbone.network.num_classes, pretrained=released)


def model_of(method: type[Method], config: Any, released: PretrainedFiles) -> Any:
    training = method().start(
        granted(released, config.backbone), config, compute=CPU, rng=RandomStreams(method.name, "released", 0)
    )
    assert training.total_steps == 0
    return training.model()


def preconditioned(backbone: Backbone[Any], *, sigma_min: float = 0.0) -> Any:
    """D or f around the released network, written out (Karras et al., Table 1; Song et al., App. C)."""
    side = SIZES[backbone.weights]
    net = backbone.network.network((3, side, side), torch.Generator().manual_seed(9))
    state = {key: value.float() for key, value in official_state(backbone.weights).items()}
    net.load_state_dict(backbone.network.official((3, side, side))(state))
    clock = 250.0 if isinstance(backbone.network, ADMUNet) else 0.25

    def denoise(x: Tensor, sigma: float, labels: Tensor | None) -> Tensor:
        c_skip = 0.25 / ((sigma - sigma_min) ** 2 + 0.25)
        c_out = (sigma - sigma_min) * 0.5 / (sigma**2 + 0.25) ** 0.5
        time = torch.full((len(x),), sigma).log() * clock
        with torch.no_grad():
            return c_skip * x + c_out * net(x / (sigma**2 + 0.25) ** 0.5, time, labels=labels)

    return denoise


@pytest.mark.parametrize("backbone", [SONG, DHARIWAL, CM64, CM256], ids=lambda backbone: backbone.weights)
@pytest.mark.parametrize("clip", [False, True])
def test_heun_around_a_released_edm_is_the_published_algorithm(
    backbone: Backbone[Any], clip: bool, released: PretrainedFiles
) -> None:
    model = model_of(EDM, EDMConfig(backbone=backbone, init="official", nfe=5, clip=clip), released)
    with counted_passes(model.networks) as counter:
        drawn = images(model, backbone.network.num_classes)
    assert counter.rows == 4 * 5
    side, seeds = SIZES[backbone.weights], torch.arange(4)
    labels = None if backbone.network.num_classes is None else seeds % backbone.network.num_classes
    denoise = preconditioned(backbone)
    sigmas = [*karras_sigmas(3, sigma_min=0.002, sigma_max=80.0, rho=7.0).tolist(), 0.0]
    x = 80.0 * SeededNoise(seeds=seeds, event_shape=(3, side, side)).normal(0)

    def slope(x: Tensor, sigma: float) -> Tensor:
        found = denoise(x, sigma, labels)
        return (x - (found.clamp(-1, 1) if clip else found)) / sigma

    for sigma, after in pairwise(sigmas):
        first = slope(x, sigma)
        euler = x + (after - sigma) * first
        x = euler if after == 0 else x + (after - sigma) * (first + slope(euler, after)) / 2
    torch.testing.assert_close(drawn, x, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("backbone", [CM64, CM256], ids=lambda backbone: backbone.weights)
@pytest.mark.parametrize("middle", [(), (22,)])
def test_a_released_consistency_model_is_sampled_as_its_authors_do(
    backbone: Backbone[ADMUNet], middle: tuple[int, ...], released: PretrainedFiles
) -> None:
    config = ConsistencyConfig(
        backbone=backbone, init="official", iterations=0, clip=True, num_levels=40, middle_levels=middle
    )
    model = model_of(Consistency, config, released)
    assert model.start is None
    drawn = images(model, backbone.network.num_classes)
    seeds = torch.arange(4)
    labels = None if backbone.network.num_classes is None else seeds % backbone.network.num_classes
    noise, f = SeededNoise(seeds=seeds, event_shape=(3, 8, 8)), preconditioned(backbone, sigma_min=0.002)
    x = f(80.0 * noise.normal(0), 80.0, labels).clamp(-1, 1)
    for level in middle:
        sigma = (80 ** (1 / 7) + level / 39 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
        x = f(x + (sigma**2 - 0.002**2) ** 0.5 * noise.normal(1), sigma, labels).clamp(-1, 1)
    torch.testing.assert_close(drawn, x, rtol=1e-3, atol=1e-3)
    if labels is not None:
        other = model.sample(seeds, (labels + 1) % 5)
        assert not torch.allclose(other, drawn, atol=1e-3)


def test_ddim_and_fastdpm_take_the_released_ddpm_at_their_steps(released: PretrainedFiles) -> None:
    network = DDPMUNet(width=128, multipliers=(1, 2), blocks_per_level=1)
    backbone = Backbone(network=network, weights="fastdpm_cifar10")
    net = backbone.network.network((3, 8, 8), torch.Generator().manual_seed(9))
    state = {key: value.float() for key, value in official_state("fastdpm_cifar10").items()}
    net.load_state_dict(backbone.network.official((3, 8, 8))(state))
    noise, chain = SeededNoise(seeds=torch.arange(4), event_shape=(3, 8, 8)), LinearChain()

    def by_hand(t: Tensor, alpha_bar: Tensor, *, kappa: float, last_std: float) -> Tensor:
        """Song et al. 2021, Eq. 12, with sigma = kappa times DDPM's."""
        x = noise.normal(0)
        steps = zip(t.tolist(), alpha_bar.tolist(), [*alpha_bar[1:].tolist(), 1.0], strict=True)
        for k, (step, now, after) in enumerate(steps):
            with torch.no_grad():
                eps = net(x, torch.full((4,), step))
            std = kappa * ((1 - after) / (1 - now)) ** 0.5 * (1 - now / after) ** 0.5
            data = (x - (1 - now) ** 0.5 * eps) / now**0.5
            x = after**0.5 * data + max(1 - after - std**2, 0.0) ** 0.5 * eps
            std = std if after < 1 else last_std
            x = x + std * noise.normal(k + 1)
        return x

    quadratic = torch.tensor([800.0, 355.0, 88.0, 0.0])  # floor((i sqrt(800) / 3)^2)
    whole = images(model_of(DDIM, DDIMConfig(backbone=backbone, init="official", num_steps=4), released), None)
    signal = chain.log_alpha_bar(quadratic).exp()
    torch.testing.assert_close(whole, by_hand(quadratic, signal, kappa=0.0, last_std=0.0), rtol=2e-3, atol=2e-3)
    schedule = chain.var_quadratic(4)
    fractional = chain.step_of(schedule.alpha_bar[:-1].log())
    expected = by_hand(fractional, schedule.alpha_bar[:-1], kappa=1.0, last_std=1e-3)
    fast = images(model_of(FastDPM, FastDPMConfig(backbone=backbone, init="official", num_steps=4), released), None)
    torch.testing.assert_close(fast, expected, rtol=2e-3, atol=2e-3)


def test_a_released_file_that_is_absent_is_named_with_the_command_that_fetches_it(released: PretrainedFiles) -> None:
    config = ConsistencyConfig(backbone=replace(CM64, weights="absent"), init="official", iterations=0)
    (name,) = Consistency.pretrained(config)
    with pytest.raises(MissingData, match=r"absent.pt \(a small one, .*dxbench prepare --task synthetic"):
        released.require(name)


@pytest.mark.parametrize(
    "backbone",
    [replace(CM256, weights="cm_imagenet64"), replace(CM64, weights="cm_lsun256")],
    ids=["labels in the file", "labels missing"],
)
def test_the_file_of_another_network_is_refused(backbone: Backbone[Any], released: PretrainedFiles) -> None:
    with pytest.raises(ValueError, match="not the weights of the consistency models' UNet"):
        model_of(EDM, EDMConfig(backbone=backbone, init="official"), released)


LOG_STDS = {4: [3.0, 1.0, -1.0, -3.0], 10: [-0.1 * k - 0.5 for k in range(10)]}


def save_as_dxmi(released: PretrainedFiles, name: str, layout: str, num_steps: int, **buffers: Tensor) -> Problem:
    """`sampler.pth` as the authors' training leaves it: beside the weights, some in float16, an FID of NumPy."""
    state = {key: value.half() if value.ndim > 1 else value.float() for key, value in official_state(layout).items()}
    state |= {"log_betas": torch.tensor(LOG_STDS[num_steps]), **buffers}
    folder = released.files["absent"].target.parent
    torch.save({"state_dict": state, "fid": np.float64(3.19), "i_iter": 7}, folder / f"{name}.pth")
    files = {**released.files, name: file_of(name, f"weights/{name}.pth")}
    return replace(synthetic_problem((3, 8, 8)), pretrained=PretrainedFiles(task="synthetic", files=files))


def dxmi_model_of(problem: Problem, config: DxMIConfig) -> Any:
    problem = replace(problem, num_classes=config.backbone.network.num_classes)
    training = DxMI().start(problem, config, compute=CPU, rng=RandomStreams("dxmi", "released", 0))
    assert training.total_steps == 0
    return training.model()


@pytest.mark.parametrize("layout", ["cm_imagenet64", "cm_lsun256"])
def test_a_released_sampler_of_dxmi_around_edm_takes_the_released_steps(layout: str, released: PretrainedFiles) -> None:
    """mean = x + (x - D) / sigma (sigma_down - sigma), noise exp(log_betas), of the last step sigma_min = 0.002."""
    problem = save_as_dxmi(released, "dxmi-t4", layout, 4)
    backbone = replace({"cm_imagenet64": CM64, "cm_lsun256": CM256}[layout], weights="dxmi-t4")
    sampler = KarrasSteps(levels="above_zero", rho=4.0)
    config = DxMIConfig(backbone=backbone, sampler=sampler, init="official", num_steps=4, iterations=0)
    assert (config.official_weights(), config.uses_data(), config.selected_on_test()) == (("dxmi-t4",), False, True)
    model, seeds = dxmi_model_of(problem, config), torch.arange(4)
    labels = None if backbone.network.num_classes is None else seeds % backbone.network.num_classes
    with counted_passes(model.networks) as counter:
        drawn = images(model, backbone.network.num_classes)
    assert counter.rows == 4 * 4
    net = backbone.network.network((3, 8, 8), torch.Generator().manual_seed(9))
    state = {key: value.half().float() if value.ndim > 1 else value.float()
             for key, value in official_state(layout).items()}  # fmt: skip
    net.load_state_dict(backbone.network.official((3, 8, 8))(state))
    sigmas = karras_sigmas(5, sigma_min=0.002, sigma_max=80.0, rho=4.0).tolist()
    noise = SeededNoise(seeds=seeds, event_shape=(3, 8, 8))
    x = 80.0 * noise.normal(0)
    for k, (sigma, after) in enumerate(pairwise(sigmas)):
        with torch.no_grad():
            denoised = backbone.network.denoiser(net)(x, torch.full((4,), sigma), *([] if labels is None else [labels]))
        up = (after**2 * (sigma**2 - after**2) / sigma**2) ** 0.5
        std = torch.tensor(LOG_STDS[4][k]).exp() if k < 3 else up
        x = x + (x - denoised) / sigma * ((after**2 - up**2) ** 0.5 - sigma) + std * noise.normal(k + 1)
    torch.testing.assert_close(drawn, x, rtol=1e-3, atol=1e-3)


def test_a_released_sampler_of_dxmi_around_ddpm_has_its_stds_and_may_be_guided(released: PretrainedFiles) -> None:
    problem = save_as_dxmi(released, "dxmi-t10", "fastdpm_cifar10", 10, std=torch.full((10,), 1e-3))
    network = DDPMUNet(width=128, multipliers=(1, 2), blocks_per_level=1)
    backbone = Backbone(network=network, weights="dxmi-t10")
    released_sampler: dict[str, Any] = {
        "backbone": backbone, "sampler": FastDPMSteps(), "init": "official", "num_steps": 10, "iterations": 0,
    }  # fmt: skip
    config = DxMIConfig(**released_sampler)
    model = dxmi_model_of(problem, config)
    stds = [*LOG_STDS[10][:9], math.log(1e-3)]
    assert model.sampler.__self__.policy.step_log_stds().tolist() == pytest.approx(stds, rel=1e-5)
    plain = images(model, None)
    with pytest.raises(ValueError, match="a sampler of 10 steps, got num_steps=4"):
        dxmi_model_of(problem, config.model_copy(update={"num_steps": 4}))

    folder = released.files["absent"].target.parent
    value = {key: value.float() for key, value in official_state("dxmi_value").items()}
    torch.save({"state_dict": value}, folder / "dxmi-t10-value.pth")
    assert isinstance(problem.pretrained, PretrainedFiles)
    files = {**problem.pretrained.files, "dxmi-t10-value": file_of("value", "weights/dxmi-t10-value.pth")}
    problem = replace(problem, pretrained=PretrainedFiles(task="synthetic", files=files))
    guided = DxMIConfig(**released_sampler, guidance=0.5, value="time_independent", critic=ResNetCritic(width=16))
    assert guided.official_weights() == ("dxmi-t10", "dxmi-t10-value")
    model = dxmi_model_of(problem, guided)
    with counted_passes(model.networks) as counter:
        drawn = images(model, None)
    assert counter.rows == 4 * 2 * 10
    assert not torch.allclose(drawn, plain)


def test_a_released_sampler_of_dxmi_begins_from_no_backbone_of_this_project() -> None:
    with pytest.raises(ValueError, match="init=train trains a backbone, not DxMI"):
        DxMIConfig(iterations=0, init="train")
