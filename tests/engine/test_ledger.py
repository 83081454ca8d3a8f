"""Counted training: by hand for small networks, on some steps or on all, resumed or not, with parts that were found."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Ended
from torch import nn

from dxbench.api import ResultRecord, TrainingCost
from dxbench.engine.ledger import WINDOWS, Ledger, TrainingMeter
from dxbench.records.files import read_record

BATCH = 8


def step(net: nn.Module, batch: int = BATCH) -> None:
    """A gradient step on a batch of rows of three numbers."""
    loss = net(torch.ones(batch, 3)).square().mean()
    torch.autograd.grad(loss, list(net.parameters()))


# x [b, 3] W [3, 5] V [5, 2]: forward 2 b (15 + 10); backward twice that, but for the gradient with respect to x.
FLOPS = 2 * BATCH * (15 + 10) + 2 * BATCH * (15 + 2 * 10)


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))


@pytest.mark.parametrize("total", [1, 5, WINDOWS, WINDOWS + 1, 1000])
def test_equal_steps_are_counted_exactly_however_many_are_looked_at(total: int) -> None:
    meter, model = TrainingMeter(total), net()
    for k in range(total):
        with meter.step(k):
            step(model)
    assert meter.flops == total * FLOPS
    assert meter.passes == total * BATCH


def test_at_most_one_step_of_each_window_is_looked_at() -> None:
    meter, looked = TrainingMeter(6400), 0
    for k in range(6400):
        before = meter.passes
        with meter.step(k):
            if k % 100 == 50:
                step(net())
        looked += meter.passes != before
    assert looked == WINDOWS


def test_a_second_phase_that_costs_more_is_seen_to_a_window() -> None:
    meter, model = TrainingMeter(1000), net()
    for k in range(1000):
        with meter.step(k):
            step(model, BATCH if k < 330 else 10 * BATCH)
    truth = 330 * FLOPS + 670 * 10 * FLOPS
    assert meter.flops == pytest.approx(truth, rel=0.02)


def test_a_network_inside_another_is_no_pass_of_its_own() -> None:
    meter = TrainingMeter(1)
    with meter.step(0):
        nn.Sequential(net(), nn.Linear(2, 1))(torch.ones(4, 3))
    assert meter.passes == 4


def test_counting_changes_no_number() -> None:
    def trained(counted: bool) -> torch.Tensor:
        torch.manual_seed(0)
        model = net()
        optimiser = torch.optim.Adam(model.parameters())
        meter = TrainingMeter(20 if counted else 10**9)
        for k in range(20):
            with meter.step(k):
                model(torch.randn(16, 3)).square().mean().backward()
            optimiser.step()
            optimiser.zero_grad()
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    assert torch.equal(trained(True), trained(False))


def test_what_a_failed_step_leaves_behind_does_not_count_on() -> None:
    meter = TrainingMeter(2)
    with pytest.raises(ValueError, match="broken"), meter.step(0):
        raise ValueError("broken")
    before = meter.passes
    net()(torch.ones(4, 3))
    assert meter.passes == before == 0


def test_a_resumed_run_counts_as_an_uninterrupted_one_and_its_own_part_is_not_found() -> None:
    cost = TrainingCost(seconds=3.0, flops=10, passes=4)
    first = Ledger()
    first.meter = TrainingMeter(10)
    first.found("teacher", cost)
    for k in range(4):
        with first.meter.step(k):
            step(net())
    second = Ledger()
    second.meter = TrainingMeter(10)
    second.found("own part, met again", cost)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    for k in range(4, 10):
        with second.meter.step(k):
            step(net())
    assert second.spent().flops == 10 * FLOPS
    assert second.stored() == cost


# --- whole runs ------------------------------------------------------------------------------------------------


def record(home: Path, method: str, seed: int = 0) -> ResultRecord:
    (path,) = (home / "results").glob(f"*/{method}/*-s{seed}.json")
    found = read_record(path)
    assert isinstance(found, ResultRecord)
    return found


def test_a_found_backbone_costs_what_it_cost_the_run_that_trained_it(dxbench: Callable[..., Ended], home: Path) -> None:
    backbone = '{"network": {"hidden": 16, "depth": 1}, "pretraining": {"iterations": 40, "batch_size": 16}}'
    small = ["--set", f"backbone={backbone}"]
    run: list[Any] = ["run", "--task", "gaussians8", "--no-report"]
    assert dxbench(*run, "-m", "fastdpm", *small).code == 0
    assert dxbench(*run, "-m", "ddim", *small).code == 0
    trained, found = record(home, "fastdpm").cost, record(home, "ddim").cost
    assert trained is not None
    assert found is not None
    assert trained.train is not None
    assert found.stored is not None
    assert trained.train.flops > 0
    assert trained.stored == TrainingCost(seconds=0.0, flops=0, passes=0)
    assert (found.stored.flops, found.stored.passes) == (trained.train.flops, trained.train.passes)
    assert trained.train.passes >= 40 * 16
    assert trained.training is not None
    assert found.training is not None
    assert found.training.flops == trained.training.flops
    assert 0 < found.stored.seconds <= trained.train.seconds


def test_what_fits_outside_of_torch_is_not_counted(dxbench: Callable[..., Ended], home: Path) -> None:
    assert dxbench("run", "--task", "holdout_digit", "-m", "knn", "--no-report").code == 0
    cost = record(home, "knn").cost
    assert cost is not None
    assert cost.train is None
    assert cost.training is None
