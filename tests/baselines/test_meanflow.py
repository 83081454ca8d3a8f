"""meanflow: a Gaussian solved by every target in one pass and in two, and what is refused."""

from typing import Any

import pytest
import torch
from dxbench_baselines.meanflow import MeanFlow, MeanFlowConfig
from dxbench_baselines.starts.backbone import prepared
from gaussian_task import errors, small, solve, start
from pydantic import ValidationError
from torch import nn

from dxbench.api import Compute
from dxbench.plugins.configure import configure
from dxbench.plugins.registry import load_method, load_task
from dxmi.backbones.flows import FlowUNet, MeanFlowMLP, MeanFlowUNet
from dxmi.sampling.flows import MeanSteps
from dxmi.training.flows import OptimalCoupling
from dxmi.training.mean_flows import AlphaFlowTarget, DyadicTimes, ImprovedTarget, ShortcutTarget

TRAINED: dict[str, Any] = {"iterations": 600, "lr": 3e-3, "ema_decay": 0.98}


def backbone(**network: Any) -> Any:
    found = small(MeanFlowMLP, **TRAINED)
    return type(found)(network=MeanFlowMLP(hidden=48, depth=2, **network), pretraining=found.pretraining)


@pytest.mark.parametrize(
    "network",
    [
        {},
        {"target": ImprovedTarget()},
        {"target": AlphaFlowTarget()},
        {"target": ShortcutTarget(), "pairs": DyadicTimes(apart=0.5)},
    ],
    ids=["meanflow", "improved", "alpha", "shortcut"],
)
def test_a_gaussian_is_drawn_in_two_steps(network: dict[str, Any]) -> None:
    """Optimal pairs leave so little noise in the targets that a brief training is enough."""
    config = MeanFlowConfig(backbone=backbone(**network, coupling=OptimalCoupling()), num_steps=2)
    mean, covariance = errors(solve(MeanFlow, config))
    assert mean < 0.25
    assert covariance < 0.2


def test_one_step_and_two_share_what_was_trained() -> None:
    assert MeanFlowConfig().shared_start() == MeanFlowConfig(num_steps=2).shared_start()
    other = MeanFlowConfig(backbone=backbone(target=ImprovedTarget()))
    assert other.shared_start() != MeanFlowConfig(backbone=backbone()).shared_start()


def test_a_network_whose_derivative_is_trained_on_is_not_compiled() -> None:
    asked: list[nn.Module] = []

    class Execution:
        def prepare(self, net: nn.Module) -> None:
            asked.append(net)

    compute = Compute(device="cpu", threads=1, execution=Execution())
    settings: dict[str, Any] = {"width": 8, "multipliers": (1,), "blocks_per_level": 1, "attention_levels": ()}
    for network in (FlowUNet(**settings), MeanFlowUNet(**settings)):
        prepared(network, network.network((3, 8, 8), torch.Generator()), compute)
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ({"kind": "flow_mlp"}, "expected tags: 'meanflow_mlp', 'meanflow_unet'"),
        ({"kind": "meanflow_mlp", "target": {"kind": "alpha", "clamp": 0.7}}, "less than 0.5"),
        ({"kind": "meanflow_mlp", "target": {"kind": "other"}}, "expected tags: 'meanflow', 'improved', 'alpha'"),
        ({"kind": "meanflow_mlp", "pairs": {"kind": "sorted", "apart": 1.5}}, "less than or equal to 1"),
    ],
    ids=["velocity", "clamp", "target", "share"],
)
def test_what_there_is_not_is_refused(network: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        MeanFlowConfig.model_validate({"backbone": {"network": network}})


def test_no_steps_are_refused() -> None:
    with pytest.raises(ValidationError, match="greater than 0"):
        MeanFlowConfig(num_steps=0)


def test_official_weights_are_refused() -> None:
    with pytest.raises(ValidationError, match="nobody has released weights of this backbone; set init=train"):
        MeanFlowConfig(init="official")


@pytest.mark.parametrize(
    ("preset", "kind"),
    [("default", "improved"), ("original", "meanflow"), ("alpha", "alpha"), ("shortcut", "shortcut")],
)
def test_a_preset_of_the_plane_has_its_target(preset: str, kind: str) -> None:
    config: Any = configure(load_method("meanflow"), load_task("gaussians8"), preset, {})
    assert config.backbone.network.target.kind == kind


@pytest.mark.parametrize("classes", [0, 3])
def test_small_images_of_a_unet_are_drawn_by_class(classes: int) -> None:
    network = MeanFlowUNet(width=8, multipliers=(1, 2), blocks_per_level=1, attention_levels=(1,), classes=classes)
    field = network.field(network.network((1, 8, 8), torch.Generator().manual_seed(0)))
    labels = (torch.tensor([0, 1, 2]),) if classes else ()
    *_, x = MeanSteps(num_steps=2).states(lambda x, *times: field(x, *times, *labels), torch.randn(3, 1, 8, 8))
    assert x.shape == (3, 1, 8, 8)
    assert x.isfinite().all()


def test_the_same_seed_trains_the_same_field() -> None:
    found = []
    for seed in (0, 0, 1):
        training = start(MeanFlow, MeanFlowConfig(backbone=small(MeanFlowMLP, iterations=5)), seed=seed)
        for _ in range(training.total_steps):
            training.step()
        found.append(training.model().sample(torch.arange(6)))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
