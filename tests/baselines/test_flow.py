"""flow: a Gaussian solved by every configuration, and what is refused."""

from typing import Any

import pytest
import torch
from dxbench_baselines.flow import Flow, FlowConfig
from gaussian_task import GaussianData, errors, small, solve, start
from pydantic import ValidationError

from dxbench.api import Compute, Problem
from dxbench.api.streams import RandomStreams
from dxbench.plugins.configure import configure
from dxbench.plugins.registry import load_method, load_task
from dxmi.backbones.flows import FlowMLP
from dxmi.training.flows import LogitNormalTimes, OptimalCoupling

TRAINED: dict[str, Any] = {"iterations": 600, "lr": 3e-3, "ema_decay": 0.98}


def backbone(**network: Any) -> Any:
    found = small(FlowMLP, **TRAINED)
    return type(found)(network=FlowMLP(hidden=48, depth=2, **network), pretraining=found.pretraining)


@pytest.mark.parametrize(
    "config",
    [
        FlowConfig(backbone=backbone(), nfe=16),
        FlowConfig(backbone=backbone(), nfe=24, sampler="euler"),
        FlowConfig(backbone=backbone(times=LogitNormalTimes()), nfe=16),
        FlowConfig(backbone=backbone(coupling=OptimalCoupling()), nfe=8),
    ],
    ids=["heun", "euler", "logit-normal", "optimal transport"],
)
def test_a_gaussian_is_drawn(config: FlowConfig) -> None:
    mean, covariance = errors(solve(Flow, config))
    assert mean < 0.1
    assert covariance < 0.1


def test_samplers_share_what_was_trained() -> None:
    fewer, other = FlowConfig(nfe=4), FlowConfig(sampler="euler", nfe=7)
    assert FlowConfig().shared_start() == fewer.shared_start() == other.shared_start()
    assert FlowConfig(backbone=backbone(coupling=OptimalCoupling())).shared_start() != fewer.shared_start()


def test_heun_asks_for_an_even_number_of_passes() -> None:
    with pytest.raises(ValidationError, match="takes two passes a step, got nfe=35; use 36, or sampler=euler"):
        FlowConfig(nfe=35)
    assert FlowConfig(nfe=35, sampler="euler").steps().nfe == 35
    assert FlowConfig(nfe=36).steps().nfe == 36


@pytest.mark.parametrize(
    "network",
    [{"kind": "edm_mlp"}, {"kind": "flow_mlp", "coupling": {"kind": "nearest"}}],
    ids=["denoiser", "coupling"],
)
def test_another_network_or_coupling_is_refused(network: dict[str, Any]) -> None:
    with pytest.raises(
        ValidationError, match=r"expected tags: ('flow_mlp', 'flow_unet'|'independent', 'optimal_transport')"
    ):
        FlowConfig.model_validate({"backbone": {"network": network}})


def test_official_weights_are_refused() -> None:
    with pytest.raises(ValidationError, match="nobody has released weights of this backbone; set init=train"):
        FlowConfig(init="official")


def test_classes_of_a_task_are_refused_by_a_network_without() -> None:
    problem = Problem(task="classes", event_shape=(2,), data=GaussianData(), data_std=1.0, num_classes=3)
    with pytest.raises(ValueError, match="conditioned on no classes and the task has 3"):
        Flow().start(problem, FlowConfig(), compute=Compute(device="cpu", threads=1), rng=RandomStreams("flow", 0))


def test_a_training_that_is_no_longer_finite_is_refused_at_its_end() -> None:
    training: Any = start(Flow, FlowConfig(backbone=small(FlowMLP, iterations=1, lr=1e30)))
    for parameter in training.begun.net.parameters():
        torch.nn.init.constant_(parameter, float("nan"))
    with pytest.raises(ValueError, match="is nan standard deviations from x at sigma near 0"):
        training.step()


def test_a_vector_recipe_is_refused_on_images_of_the_papers_size_only() -> None:
    method = load_method("flow")
    for task in ("cifar10", "fashion_mnist", "imagenet64"):
        config: Any = configure(method, load_task(task), "default", {})
        assert config.backbone.network.kind == "flow_unet"
