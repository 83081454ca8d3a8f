"""DxMI and its starts on images: the paper's recipes as they are, and small ones through the whole path."""

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from dxbench_baselines.ddpm import DDPM, DDPMConfig
from dxbench_baselines.dxmi import DxMI, DxMIConfig
from dxbench_baselines.recipes import ddpm as ddpm_recipes
from dxbench_baselines.recipes import dxmi as recipes
from torch import Tensor

from dxbench.api import (
    Compute,
    Problem,
)
from dxbench.api.streams import RandomStreams
from dxbench.conformance import check_method
from dxbench.conformance.problems import synthetic_problem
from dxbench.drawing.counting import counted_passes
from dxmi.algorithms.sweeps import ShuffledSteps
from dxmi.energies.critics import ResNetCritic
from dxmi.training.costs import sigmoid_time_cost

SHAPE = (3, 8, 8)
CPU = Compute(device="cpu", threads=1)
PAPER = {
    "cifar10": recipes.cifar10,
    "cifar10-ddgan": recipes.cifar10_ddgan,
    "imagenet64": recipes.imagenet64,
    "imagenet64-t4": recipes.imagenet64_t4,
    "lsun_bedroom": recipes.lsun_bedroom,
}
START = {
    "cifar10": ddpm_recipes.cifar10_fastdpm,
    "cifar10-ddgan": ddpm_recipes.cifar10_ddgan,
    "imagenet64": ddpm_recipes.imagenet64,
    "imagenet64-t4": ddpm_recipes.imagenet64_t4,
    "lsun_bedroom": ddpm_recipes.lsun_bedroom_t4,
}
settings = pytest.mark.parametrize("setting", PAPER)


def tiny(setting: str, **changes: Any) -> DxMIConfig:
    """The paper's recipe around small networks that are trained first, for a few iterations."""
    paper = PAPER[setting]()
    small: dict[str, Any] = {"width": 16, "multipliers": (1, 2), "blocks_per_level": 1, "attention_levels": (1,)}
    network, plan = paper.backbone.network, paper.backbone.pretraining
    if network.kind == "adm_unet":
        small |= {"head_channels": 8, "classes": 2 if network.num_classes else 0, "precision": "float32"}
    if network.kind == "ddgan_unet":
        small |= {"style_channels": 8, "latent_channels": 4, "mapping_depth": 2}
    backbone = replace(
        paper.backbone, network=replace(network, **small), pretraining=replace(plan, iterations=2, batch_size=4)
    )
    new = {"backbone": backbone, "init": "train", "iterations": 3, "batch_size": 4, "critic": ResNetCritic(width=8),
           "policy_lr": 1e-3, "value_lr": 1e-3}  # fmt: skip
    return paper.model_copy(update=new | changes)


def problem_of(config: DxMIConfig | DDPMConfig) -> Problem:
    return synthetic_problem(SHAPE, classes=config.backbone.network.num_classes is not None)


def begun(config: DxMIConfig, streams: RandomStreams | None = None) -> Any:
    rng = streams or RandomStreams("dxmi", "images", 0)
    return DxMI().start(problem_of(config), config, compute=CPU, rng=rng)


def trained(config: DxMIConfig) -> Any:
    training = begun(config)
    for _ in range(training.total_steps):
        training.step()
    return training.model()


def images(model: Any, config: DxMIConfig | DDPMConfig) -> Tensor:
    seeds, classes = torch.arange(4), config.backbone.network.num_classes
    with torch.no_grad():
        return model.sample(seeds, None if classes is None else seeds % classes)


# --- the recipes as they are ----------------------------------------------------------------------------------


def test_the_recipes_have_the_papers_hyper_parameters() -> None:
    """Notes of the paper's App. B and C.2 and of the released configurations, one row per setting."""
    rows = {
        setting: (
            config.num_steps, config.batch_size, config.policy_optimiser, config.policy_lr, config.value_lr,
            config.policy_lr * config.std_lr_ratio, config.tau, config.tau_velocity, config.iterations,
            config.policy_max_grad_norm, config.td_max_grad_norm, config.policy_minibatches, config.skip_last,
        )
        for setting, config in ((name, recipe()) for name, recipe in PAPER.items())
    }  # fmt: skip
    expected = {
        "cifar10": (10, 128, "adam", 1e-7, 1e-5, 1e-5, 0.1, 0.01, 200 * 390, 0.1, None, 1, 0),
        "cifar10-ddgan": (4, 128, "adam", 1e-7, 1e-5, 1e-5, 0.1, 0.01, 100 * 390, 0.1, None, 1, 0),
        "imagenet64": (10, 128, "radam", 1e-8, 1e-5, 1e-6, 0.01, 0.01, 10_000, None, 0.1, 10, 3),
        "imagenet64-t4": (4, 128, "radam", 1e-8, 1e-5, 1e-6, 0.1, 0.01, 100_000, None, 0.1, 4, 0),
        "lsun_bedroom": (4, 128, "radam", 1e-8, 1e-5, 1e-6, 0.1, 0.01, 100_000, None, 0.1, 4, 0),
    }
    for setting, row in rows.items():
        assert row == pytest.approx(expected[setting]), setting


@settings
def test_what_all_settings_have_in_common(setting: str) -> None:
    config = PAPER[setting]()
    assert (config.gamma, config.avr_decay, config.value_cost, config.sweep) == (1.0, 0.99, "sigmoid", "sequential")
    assert (config.flips, config.lr_decay, config.init, config.guidance) == (True, "none", "official", 0.0)
    assert DxMI.pretrained(config) == (config.backbone.weights,)
    assert DxMI.pretrained(config.model_copy(update={"init": "train"})) == ()
    later = type(config).model_validate(config.model_dump() | {"policy_from": 1, "policy_minibatches": 1})
    assert later.policy_sweep() == ShuffledSteps(num_steps=config.num_steps, minibatches=1, first=1)
    assert config.policy_sweep() == ShuffledSteps(num_steps=config.num_steps, minibatches=config.policy_minibatches)
    assert not DxMI.selected_on_test
    assert DxMIConfig.model_validate(config.model_dump(mode="json")) == config


@settings
def test_the_start_of_a_setting_is_a_recipe_of_ddpm_with_the_same_backbone(setting: str) -> None:
    config, start = PAPER[setting](), START[setting]()
    assert (start.backbone, start.sampler, start.num_steps) == (config.backbone, config.sampler, config.num_steps)


def test_the_energy_is_the_papers_network_of_five_million_parameters() -> None:
    critic = recipes.cifar10().critic
    with torch.device("meta"):
        net = critic.net((3, 32, 32), num_levels=None, data_std=1.0, generator=torch.Generator("cpu"))
    assert sum(p.numel() for p in net.parameters()) == 5_134_595


def test_the_sigmoid_time_cost_is_the_papers() -> None:
    """S(-t + T/2) - S(-t - 1 + T/2); it adds up to 0.987 over ten steps and to 0.762 over four."""
    for steps, total in ((10, 0.987), (4, 0.762)):
        cost = sigmoid_time_cost(steps).per_step
        assert cost.sum().item() == pytest.approx(total, abs=5e-4)
        first = 1 / (1 + torch.tensor(-steps / 2).exp()) - 1 / (1 + torch.tensor(1 - steps / 2).exp())
        assert cost[0].item() == pytest.approx(first.item(), rel=1e-5)


@pytest.mark.parametrize(
    "changes", [{"num_steps": 5}, {"policy_minibatches": 5}, {"policy_from": 9}, {"skip_last": 99}]
)
def test_settings_that_cannot_be_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="steps"):
        DxMIConfig.model_validate(recipes.cifar10_ddgan().model_dump() | changes)


# --- small ones, through the whole path -----------------------------------------------------------------------


@settings
def test_a_setting_trains_its_backbone_then_dxmi_and_samples(setting: str) -> None:
    config = tiny(setting)
    model = trained(config)
    drawn = images(model, config)
    assert drawn.shape == (4, *SHAPE)
    assert torch.isfinite(drawn).all()
    assert model.start is not None
    assert model.energy is not None
    assert model.energy(drawn).shape == (4,)
    assert not torch.allclose(drawn, images(model.start, config))
    conditional = config.backbone.network.num_classes is not None
    assert (model.num_classes is not None) == conditional
    assert model.trajectory_sampler is not None


@settings
def test_the_start_kept_with_a_run_is_the_one_that_ddpm_scores(setting: str) -> None:
    config = tiny(setting)
    alone = START[setting]().model_copy(update={"backbone": config.backbone, "init": "train"})
    training = DDPM().start(problem_of(alone), alone, compute=CPU, rng=RandomStreams("ddpm", "images", 0))
    for _ in range(training.total_steps):
        training.step()
    assert torch.equal(images(trained(config).start, config), images(training.model(), alone))


@pytest.mark.parametrize(
    ("setting", "stop"),
    [("cifar10", 1), ("cifar10-ddgan", 3), ("imagenet64", 3), ("imagenet64-t4", 1), ("lsun_bedroom", 4)],
)
def test_a_setting_resumes_to_the_bit(setting: str, stop: int) -> None:
    """From a checkpoint inside the backbone's two iterations, or inside DxMI's three."""
    config = tiny(setting)
    expected = images(trained(config), config)
    streams = RandomStreams("dxmi", "images", 0)
    first = begun(config, streams)
    for _ in range(stop):
        first.step()
    state, kept = copy.deepcopy(first.state_dict()), streams.state_dict()
    again = RandomStreams("dxmi", "images", 0)
    second = begun(config, again)
    again.load_state_dict(kept)
    second.load_state_dict(state)
    for _ in range(second.total_steps - stop):
        second.step()
    assert torch.equal(images(second.model(), config), expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "changes"),
    [
        ("cifar10", {"tau": 0.0, "tau_velocity": 0.0}),
        ("cifar10", {"value_cost": "none", "num_steps": 4}),
        ("cifar10-ddgan", {"value_cost": "linear"}),
        # RAdam's first steps are as long as the gradient, and a fresh network hardly tells classes apart by them.
        ("imagenet64-t4", {"guidance": 0.5, "policy_optimiser": "adam", "ema_decay": 0.0}),
        ("lsun_bedroom", {"guidance": 0.5, "tau": 0.0, "tau_velocity": 0.0}),
    ],
    ids=str,
)
def test_ablations_pass_the_conformance_kit(setting: str, changes: dict[str, Any]) -> None:
    config = tiny(setting, **changes)
    results = check_method(DxMI, problem_of(config), config, steps=5)
    assert not [(result.name, result.found) for result in results if result.outcome == "fail"]
    assert {r.name for r in results if r.outcome == "skipped"} <= {"classes"}


def test_dropout_changes_the_policys_gradient_and_nothing_before_it() -> None:
    def after_one(dropout: float) -> tuple[dict[str, float], Tensor]:
        config = tiny("cifar10", dropout=dropout)
        # A fresh UNet's blocks end in zeros, behind which nothing of a mask is seen.
        plan = replace(config.backbone.pretraining, ema_decay=0.0, lr=1e-2)
        config = config.model_copy(update={"backbone": replace(config.backbone, pretraining=plan)})
        training = begun(config)
        for _ in range(config.backbone.pretraining.iterations):
            training.step()
        scalars = {name: float(value) for name, value in training.step().items()}
        return scalars, torch.cat([p.detach().flatten() for p in training.policy.net.parameters()])

    (without, still), (with_, moved) = after_one(0.0), after_one(0.3)
    for name in ("energy_data", "energy_samples", "value_loss"):
        assert with_[name] == without[name]
    assert with_["policy_value"] != without["policy_value"]
    assert not torch.equal(moved, still)


@pytest.mark.parametrize("labels", ["batch", "uniform"])
def test_chains_have_the_classes_of_the_batch_or_any(labels: str) -> None:
    config = tiny("imagenet64", labels=labels, batch_size=64, num_steps=2, policy_minibatches=1, skip_last=0)
    training = begun(config)
    for _ in range(config.backbone.pretraining.iterations):
        training.step()
    seen: dict[str, Tensor] = {}
    step, batch = training.learner.step, training.begun.data.source.labelled_batch

    def labelled(n: int, *, rng: Any) -> tuple[Tensor, Tensor]:
        images, seen["data"] = batch(n, rng=rng)
        return images, seen["data"]

    object.__setattr__(training.begun.data.source, "labelled_batch", labelled)
    training.learner.step = lambda *args, labels: seen.update(chains=labels) or step(*args, labels=labels)
    training.step()
    assert torch.equal(seen["chains"], seen["data"]) == (labels == "batch")


def test_value_guidance_counts_the_value_nets_gradient_at_every_step() -> None:
    config = tiny("cifar10-ddgan", guidance=0.5)
    model = begun(config).model()
    with counted_passes(model.networks) as counter:
        images(model, config)
    assert (counter.rows / 4, counter.total / 4) == (8, 12)


def test_weights_that_are_not_there_are_named_before_anything_is_trained() -> None:
    config = recipes.imagenet64()
    assert DxMI.pretrained(config) == DDPM.pretrained(ddpm_recipes.imagenet64()) == ("edm",)
    assert DDPM.pretrained(ddpm_recipes.digits()) == ()
