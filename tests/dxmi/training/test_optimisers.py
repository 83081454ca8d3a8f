import copy
import math

import pytest
import torch
from torch import nn

from dxmi.training.optimisers import Learner, ema, make_optimizer


def parameter(value: float) -> nn.Parameter:
    return nn.Parameter(torch.tensor([value]))


def test_learning_rates_fall_from_their_own_start_to_zero_along_half_a_cosine():
    groups = [{"params": [parameter(1.0)], "lr": 0.1}, {"params": [parameter(1.0)], "lr": 0.002}]
    optimiser, decay = make_optimizer(groups, 10)
    for i in range(11):
        factor = 0.5 * (1 + math.cos(math.pi * i / 10))
        assert [group["lr"] for group in optimiser.param_groups] == pytest.approx([0.1 * factor, 0.002 * factor])
        optimiser.step()
        decay.step()


def test_adam_reaches_the_minimum():
    x = parameter(3.0)
    optimiser, decay = make_optimizer([{"params": [x], "lr": 0.1}], 300)
    for _ in range(300):
        optimiser.zero_grad()
        (x - 1.0).square().sum().backward()
        optimiser.step()
        decay.step()
    assert x.item() == pytest.approx(1.0, abs=1e-3)


def test_ema_copies_first_and_averages_after():
    module = nn.Linear(1, 1, bias=False)
    average = ema(module, 0.9)
    expected = None
    for value in (2.0, 5.0, -1.0, 4.0):
        with torch.no_grad():
            module.weight.fill_(value)
        average.update_parameters(module)
        expected = value if expected is None else 0.9 * expected + 0.1 * value
        assert average.module.weight.item() == pytest.approx(expected, rel=1e-6)
    assert module.weight.item() == 4.0


@pytest.mark.parametrize("weight_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("gradient_format", [torch.contiguous_format, torch.channels_last])
def test_adam_moves_each_weight_by_its_own_gradient_however_both_lie_in_memory(weight_format, gradient_format):
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(4, 6, 3, 3, generator=generator)
    fused = nn.Parameter(start.clone(memory_format=weight_format))
    plain = nn.Parameter(start.clone())
    ours, _ = make_optimizer([{"params": [fused], "lr": 0.1}], 10)
    reference = torch.optim.Adam([plain], lr=0.1, fused=False, foreach=False)
    for _ in range(3):
        gradient = torch.randn(4, 6, 3, 3, generator=generator)
        fused.grad, plain.grad = gradient.clone(memory_format=gradient_format), gradient.clone()
        ours.step()
        reference.step()
    torch.testing.assert_close(fused, plain)


def test_a_channels_last_network_read_from_a_checkpoint_trains_on_as_it_would_have():
    def learner() -> Learner:
        torch.manual_seed(0)
        layer = nn.Conv2d(6, 4, 3).to(memory_format=torch.channels_last)
        return Learner(layer, lr=0.1, iterations=10, ema_decay=0.5)

    def train(learner: Learner, steps: range) -> None:
        for step in steps:
            x = torch.randn(2, 6, 5, 5, generator=torch.Generator().manual_seed(step))
            learner.descend(learner.module(x).square().mean())

    def stored(value):
        """As checkpoints hold it: rows of numbers, in the order of the shape."""
        if isinstance(value, dict):
            return {key: stored(item) for key, item in value.items()}
        return value.detach().clone().contiguous() if isinstance(value, torch.Tensor) else value

    whole, first, second = learner(), learner(), learner()
    train(whole, range(6))
    train(first, range(3))
    second.load_state_dict(stored(first.state_dict()))
    train(second, range(3, 6))
    torch.testing.assert_close(second.module.state_dict(), whole.module.state_dict())


def test_hooks_around_a_step_run_once_whichever_optimisers_were_made_before():
    torch.optim.Adam([parameter(1.0)])  # torch wraps the `step` of a class when the first of its kind is made
    x = parameter(3.0)
    optimiser, _ = make_optimizer([{"params": [x], "lr": 0.1}], 10)
    calls: list[str] = []
    optimiser.register_step_pre_hook(lambda *_: calls.append("before"))
    optimiser.register_step_post_hook(lambda *_: calls.append("after"))
    x.square().sum().backward()
    optimiser.step()
    assert calls == ["before", "after"]


def test_a_copy_of_adam_still_looks_how_gradients_lie_in_memory():
    start = torch.randn(4, 6, 3, 3, generator=torch.Generator().manual_seed(0))
    weight, plain = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    ours, _ = make_optimizer([{"params": [weight], "lr": 0.1}], 10)
    reference = torch.optim.Adam([plain], lr=0.1, fused=False, foreach=False)
    copied = copy.deepcopy(ours)
    (moved,) = copied.param_groups[0]["params"]
    moved.grad, plain.grad = start.clone(memory_format=torch.channels_last), start.clone()
    copied.step()
    reference.step()
    torch.testing.assert_close(moved, plain)
