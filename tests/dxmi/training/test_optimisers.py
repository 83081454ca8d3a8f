import math

import pytest
import torch
from torch import nn

from dxmi.training.optimisers import ema, make_optimizer


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
