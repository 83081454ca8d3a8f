"""Sweeps of the policy: which transitions meet which optimiser step, and that the answer is the same."""

import pytest
import torch
from torch import Tensor, nn

from dxmi.algorithms.dxmi import DxMIUpdate
from dxmi.algorithms.sweeps import PolicySweep, ShuffledSteps, StepGroups, batched_sweep, sequential_sweep
from dxmi.sampling.noise import StreamNoise
from dxmi.sampling.policies import GaussianPolicy
from dxmi.training.costs import RunningCost, VelocityVariance
from dxmi.training.optimisers import OptimizedModule

STEPS, BATCH, CLASSES = 4, 6, 3


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Labelled(nn.Module):
    """A step towards the centre of the class."""

    def __init__(self) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.tensor([[1.0, -1.0], [0.5, 2.0], [-2.0, 0.0]], dtype=torch.float64))
        self.pull = nn.Parameter(torch.tensor([0.2, 0.4, 0.6, 0.8], dtype=torch.float64))

    def forward(self, x: Tensor, k: Tensor, labels: Tensor) -> Tensor:
        return self.pull[k][:, None] * (self.centres[labels] - x)


class Bowl(nn.Module):
    """V_k(x) = (k + 1) w ||x||^2."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.3, dtype=torch.float64))

    def value(self, x: Tensor, k: Tensor) -> Tensor:
        return (k + 1) * self.weight * x.square().sum(dim=1)

    def energy(self, x: Tensor) -> Tensor:
        return self.value(x, torch.full((len(x),), STEPS))


def stream(rows: int, seed: int) -> StreamNoise:
    return StreamNoise(batch_size=rows, event_shape=(2,), generator=generator(seed), dtype=torch.float64)


def policy_gradients(sweep: PolicySweep, labels: Tensor) -> list[dict[str, Tensor]]:
    """The policy's gradient at each of its optimiser steps in one update in which nothing moves."""
    policy = GaussianPolicy.from_scratch(
        Labelled(), event_shape=(2,), std=torch.tensor([0.8, 0.4, 0.3, 0.2]), trainable_std=[True] * STEPS
    ).double()
    optimiser = torch.optim.SGD(policy.parameters(), lr=0.0)
    found: list[dict[str, Tensor]] = []
    optimiser.register_step_pre_hook(
        lambda *_: found.append({name: p.grad.clone() for name, p in policy.named_parameters() if p.grad is not None})
    )
    value = Bowl()
    update = DxMIUpdate(
        policy=OptimizedModule(module=policy, optimizer=optimiser),
        value=OptimizedModule(module=value, optimizer=torch.optim.SGD(value.parameters(), lr=0.0)),
        policy_cost=RunningCost(tau_entropy=0.3, tau_velocity=0.2, num_steps=STEPS),
        value_cost=RunningCost(tau_entropy=0.0, tau_velocity=0.0, num_steps=STEPS),
        gamma=1.0,
        velocity=VelocityVariance(torch.ones(STEPS, dtype=torch.float64), decay=1.0),
        sweep=sequential_sweep(STEPS),
        policy_sweep=sweep,
    )
    update(stream(BATCH, 7).normal(0), stream(BATCH, 1), stream(STEPS * BATCH, 2), labels=labels)
    return found


def test_whole_steps_come_in_groups_of_all_chains() -> None:
    (together,) = batched_sweep(STEPS, 1).steps(3, generator())
    assert together.tolist() == [[1] * 3, [2] * 3, [3] * 3]
    one_by_one = [part.tolist() for part in sequential_sweep(STEPS).steps(2, generator())]
    assert one_by_one == [[[3, 3]], [[2, 2]], [[1, 1]], [[0, 0]]]
    assert isinstance(batched_sweep(2), StepGroups)
    assert isinstance(batched_sweep(2), PolicySweep)


def test_shuffled_minibatches_walk_over_every_transition_once() -> None:
    sweep = ShuffledSteps(num_steps=STEPS, minibatches=STEPS)
    minibatches = list(sweep.steps(BATCH, generator()))
    assert [tuple(part.shape) for part in minibatches] == [(1, BATCH)] * STEPS
    assert torch.cat(minibatches).sort(dim=0).values.tolist() == [[k] * BATCH for k in range(STEPS)]
    assert isinstance(sweep, PolicySweep)


def test_shuffled_minibatches_leave_out_the_steps_before_the_first() -> None:
    minibatches = list(ShuffledSteps(num_steps=STEPS, minibatches=2, first=STEPS - 2).steps(BATCH, generator()))
    assert torch.cat(minibatches).sort(dim=0).values.tolist() == [[k] * BATCH for k in (STEPS - 2, STEPS - 1)]
    with pytest.raises(ValueError, match="got 3 minibatches for 2 steps"):
        ShuffledSteps(num_steps=STEPS, minibatches=3, first=STEPS - 2)


def test_one_shuffled_minibatch_takes_each_step_of_a_chain_alike() -> None:
    (steps,) = ShuffledSteps(num_steps=STEPS, minibatches=1).steps(40_000, generator())
    share = torch.bincount(steps.flatten(), minlength=STEPS) / 40_000
    assert (share - 1 / STEPS).abs().max() < 5 * (0.25 * 0.75 / 40_000) ** 0.5
    (again,) = ShuffledSteps(num_steps=STEPS, minibatches=1).steps(40_000, generator())
    (other,) = ShuffledSteps(num_steps=STEPS, minibatches=1).steps(40_000, generator(1))
    assert torch.equal(steps, again)
    assert not torch.equal(steps, other)


@pytest.mark.parametrize("sweep", [sequential_sweep(STEPS), ShuffledSteps(num_steps=STEPS, minibatches=STEPS)], ids=str)
def test_minibatches_of_a_policy_that_stands_still_sum_to_the_batched_gradient(sweep: PolicySweep) -> None:
    labels = torch.tensor([0, 2, 1, 2, 2, 0])
    (batched,) = policy_gradients(batched_sweep(STEPS), labels)
    parts = policy_gradients(sweep, labels)
    assert len(parts) == STEPS
    for name, expected in batched.items():
        torch.testing.assert_close(sum(part[name] for part in parts), expected)


def test_policy_steps_see_the_label_of_each_row() -> None:
    """Of one shuffled minibatch: only the centres of classes that are there have a gradient."""
    (gradient,) = policy_gradients(ShuffledSteps(num_steps=STEPS, minibatches=1), torch.tensor([0, 2, 0, 2, 2, 0]))
    moved = gradient["net.centres"].abs().sum(dim=1)
    assert moved[1] == 0
    assert (moved[[0, 2]] > 0).all()


@pytest.mark.parametrize("minibatches", [0, STEPS + 1])
def test_more_minibatches_than_steps_are_refused(minibatches: int) -> None:
    with pytest.raises(ValueError, match="wanted 1 to that many"):
        ShuffledSteps(num_steps=STEPS, minibatches=minibatches)
