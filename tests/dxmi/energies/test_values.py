import pytest
import torch
from torch import Tensor, nn

from dxmi.energies.values import SeparateEnergy, SharedValue, TimeIndependentValue
from dxmi.nets.mlp import StepMLP, Unconditional
from dxmi.protocols import Energy, Value

STEPS, DIM = 3, 2


def net(levels: int, seed: int = 0) -> StepMLP:
    generator = torch.Generator().manual_seed(seed)
    return StepMLP(dim_in=DIM, dim_out=1, num_levels=levels, hidden=16, depth=2, generator=generator)


VALUES = {
    "shared": lambda: SharedValue(net(STEPS + 1), num_steps=STEPS),
    "time independent": lambda: TimeIndependentValue(Unconditional(net(1))),
    "separate": lambda: SeparateEnergy(Unconditional(net(1, seed=1)), net(STEPS, seed=2), num_steps=STEPS),
}
every_value = pytest.mark.parametrize("build", VALUES.values(), ids=VALUES.keys())


def points(n: int = 12) -> Tensor:
    return torch.randn(n, DIM, generator=torch.Generator().manual_seed(7))


@every_value
def test_the_last_value_is_the_energy(build):
    value, x = build(), points()
    assert isinstance(value, Value)
    assert isinstance(value, Energy)
    torch.testing.assert_close(value.value(x, torch.full((12,), STEPS)), value.energy(x), rtol=0, atol=0)
    assert value.energy(x).shape == (12,)
    assert value.energy(x).std() > 0


@every_value
def test_rows_of_different_steps_are_each_valued_at_their_own(build):
    value, x, k = build(), points(), torch.arange(12) % (STEPS + 1)
    mixed = value.value(x, k)
    for step in range(STEPS + 1):
        alone = value.value(x, torch.full((12,), step))
        torch.testing.assert_close(mixed[k == step], alone[k == step])


@pytest.mark.parametrize("name", ["shared", "separate"])
def test_values_of_different_steps_differ(name):
    value, x = VALUES[name](), points()
    levels = torch.stack([value.value(x, torch.full((12,), step)) for step in range(STEPS + 1)])
    assert (levels.diff(dim=0).abs().amax(dim=1) > 1e-4).all()


def test_a_time_independent_value_is_the_energy_at_every_step():
    value, x = VALUES["time independent"](), points()
    for step in range(STEPS + 1):
        assert torch.equal(value.value(x, torch.full((12,), step)), value.energy(x))


def test_a_separate_energy_takes_gradients_of_the_last_step_and_the_value_net_those_before():
    def touched(module: nn.Module) -> bool:
        return any(p.grad is not None and bool((p.grad != 0).any()) for p in module.parameters())

    before, last = VALUES["separate"](), VALUES["separate"]()
    before.value(points(), torch.arange(12) % STEPS).sum().backward()
    last.value(points(), torch.full((12,), STEPS)).sum().backward()
    assert (touched(before.energy_net), touched(before.value_net)) == (False, True)
    assert (touched(last.energy_net), touched(last.value_net)) == (True, False)
