"""energy_matching and eqm: couplings, descents and losses against closed forms, and what is refused."""

import math
from dataclasses import replace
from itertools import permutations

import pytest
import torch
from dxbench_baselines.energy_matching import (
    EnergyMatching,
    EnergyMatchingConfig,
    EnergyMatchingTraining,
    contrast_loss,
)
from dxbench_baselines.eqm import EqM, EqMConfig, EqMTraining
from gaussian_task import COVARIANCE, MEAN, errors, samples, start
from pydantic import ValidationError
from torch import Tensor

from dxbench.api import Compute, Need, Problem
from dxbench.api.streams import RandomStreams
from dxbench.conformance.devices import MetaStreams
from dxbench.conformance.problems import TwoBlobs
from dxbench.drawing.draw import draw_samples
from dxbench.plugins.configure import configure
from dxbench.plugins.registry import load_method, load_task
from dxmi.energies.gradients import gradient_matching_loss, gradient_of
from dxmi.energies.potentials import InnerProduct, SmoothMLP, UNetTransformer
from dxmi.sampling.descent import (
    Descent,
    GradientDescent,
    HeunLangevinDescent,
    LangevinDescent,
    Temperature,
)
from dxmi.sampling.noise import StreamNoise
from dxmi.training.coupling import optimal_pairs

SMALL = {"potential": SmoothMLP(hidden=32, depth=2, octaves=0), "batch_size": 64}
TINY_UNET = UNetTransformer(
    width=8, multipliers=(1, 2), blocks_per_level=1, attention_levels=(1,), head_channels=None, channels=16, layers=1
)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def noise(size: int = 1, dim: int = 2) -> StreamNoise:
    return StreamNoise(batch_size=size, event_shape=(dim,), generator=generator(), dtype=torch.float64)


def last(descent: Descent, stiffness: float, start: Tensor, draws: StreamNoise | None = None) -> Tensor:
    """The end of a way down stiffness |x|^2 / 2."""
    return list(descent.states(lambda x: stiffness * x, start, draws or noise(len(start), start.shape[1])))[-1]


def test_pairs_are_those_of_least_squared_distance() -> None:
    z, x = torch.randn(6, 2, 3, generator=generator()), torch.randn(6, 2, 3, generator=generator()) + 1
    x = x[torch.tensor([3, 1, 5, 0, 2, 4])] * 2
    costs = {order: float((z[list(order)] - x).square().sum()) for order in permutations(range(6))}
    assert tuple(optimal_pairs(z, x).tolist()) == min(costs, key=costs.__getitem__)


def test_points_that_cannot_be_paired_are_refused() -> None:
    with pytest.raises(ValueError, match="not finite, and no pairing; look for NaN in the data"):
        optimal_pairs(torch.zeros(3, 2), torch.full((3, 2), torch.nan))


def test_the_temperature_is_ramped_up_to_its_highest() -> None:
    t = torch.tensor([0.0, 0.8, 0.9, 1.0, 3.0])
    torch.testing.assert_close(Temperature(highest=0.2, ramp=0.8)(t), torch.tensor([0.0, 0.0, 0.1, 0.2, 0.2]))
    torch.testing.assert_close(Temperature(highest=0.2, ramp=1.0)(t), torch.tensor([0.0, 0.0, 0.0, 0.2, 0.2]))
    for wrong in ({"highest": 0.0, "ramp": 0.5}, {"highest": 1.0, "ramp": 1.5}):
        with pytest.raises(ValueError, match="wanted above 0, and from 0 to 1"):
            Temperature(**wrong)


@pytest.mark.parametrize(("kind", "order"), [(LangevinDescent, 1), (HeunLangevinDescent, 2)])
def test_a_descent_without_noise_has_its_order(kind: type[LangevinDescent], order: int) -> None:
    """x' = -x from 1 over a time of 1 ends at exp(-1), and noise that begins later takes no part."""
    found = []
    for steps in (20, 40):
        way = kind(step_size=1 / steps, steps=steps, temperature=Temperature(highest=1.0, ramp=1.0))
        assert way.gradients == order * steps
        found.append(abs(last(way, 1.0, torch.ones(1, 1, dtype=torch.float64)).item() - math.exp(-1)))
    assert math.log2(found[0] / found[1]) == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize(
    ("kind", "a", "b"), [(LangevinDescent, 0.9, 1.0), (HeunLangevinDescent, 0.905, 0.95)], ids=["euler", "heun"]
)
def test_full_noise_leads_to_the_boltzmann_law(kind: type[LangevinDescent], a: float, b: float) -> None:
    """The target is x^2 / 2 at temperature 1/2; with steps h of 0.1, x <- a x + b kick, a kick of variance h."""
    way = kind(step_size=0.1, steps=100, temperature=Temperature(highest=0.5, ramp=0.0), begun=1.0)
    x = last(way, 1.0, torch.zeros(20_000, 2, dtype=torch.float64), noise(20_000))
    variance = 0.1 * b**2 / (1 - a**2)
    assert x.var().item() == pytest.approx(variance, abs=5 * variance * math.sqrt(2 / 40_000))
    assert variance == pytest.approx(0.5, abs=0.03)


def test_chains_may_have_begun_at_their_own_times() -> None:
    way = LangevinDescent(
        step_size=0.1, steps=5, temperature=Temperature(highest=0.5, ramp=0.8), begun=torch.tensor([1.0, 0.0])
    )
    hot, cold = last(way, 1.0, torch.ones(2, 2, dtype=torch.float64))
    torch.testing.assert_close(cold, torch.full((2,), 0.9**5, dtype=torch.float64))
    assert not torch.allclose(hot, cold)


def test_nesterovs_descent_looks_ahead_by_its_last_step() -> None:
    """Closed form of the first steps on 2 x^2; without momentum each step is a factor of 1 - 4 h."""
    start = torch.ones(1, 1, dtype=torch.float64)
    plain = GradientDescent(step_size=0.1, steps=3)
    assert last(plain, 4.0, start).item() == pytest.approx(0.6**3)
    ahead = list(GradientDescent(step_size=0.1, steps=2, momentum=0.5).states(lambda x: 4 * x, start, noise()))
    assert ahead[1].item() == pytest.approx(0.6)
    assert ahead[2].item() == pytest.approx(0.6 - 0.4 * (0.6 + 0.5 * (0.6 - 1)))
    assert plain.gradients == 3


@pytest.mark.parametrize(
    ("layout", "shape"),
    [
        (SmoothMLP(hidden=6, depth=2, octaves=1), (2,)),
        (InnerProduct(hidden=6, depth=1), (1, 2, 2)),
        (TINY_UNET, (1, 8, 8)),
    ],
    ids=["mlp", "inner product", "unet"],
)
def test_the_gradient_of_matching_is_that_of_finite_differences(layout: SmoothMLP, shape: tuple[int, ...]) -> None:
    """The loss has a gradient in it, attention included, so that its own is one of second order."""
    net = layout.net(shape, data_std=1.0, generator=generator()).double()
    with torch.no_grad():  # branches that begin at 0 would hide what lies behind them
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator(), dtype=torch.float64))
    x, target = (torch.randn(3, *shape, generator=generator(), dtype=torch.float64) for _ in range(2))

    def loss() -> Tensor:
        return gradient_matching_loss(lambda x: net(x).squeeze(1), x, target).mean()

    parameters = list(net.parameters())
    directions = [torch.randn(p.shape, generator=generator(), dtype=torch.float64) for p in parameters]
    slopes = torch.autograd.grad(loss(), parameters, allow_unused=True)
    found = sum(float((s * d).sum()) for s, d in zip(slopes, directions, strict=True) if s is not None)
    ends = []
    for sign in (1, -2):
        with torch.no_grad():
            for parameter, direction in zip(parameters, directions, strict=True):
                parameter.add_(sign * 1e-6 * direction)
        ends.append(loss().item())
    assert found == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-4)


def test_a_gradient_can_be_taken_where_gradients_are_off() -> None:
    with torch.no_grad():
        found = gradient_of(lambda x: x.square().sum(dim=1), torch.tensor([[1.0, -2.0]]))
    torch.testing.assert_close(found, torch.tensor([[2.0, -4.0]]))
    assert not found.requires_grad


def test_the_contrast_is_minus_the_likelihoods_gradient_times_the_temperature() -> None:
    """The closed form is that of V = a x^2 / 2 at temperature T against data N(0, s^2).

    d/da (a s^2 / 2 - T / 2 ln a) = s^2 / 2 - T / (2 a).
    """
    temperature, s = 0.3, 0.8
    a = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    data = s * torch.randn(400_000, generator=generator(), dtype=torch.float64)
    chains = (temperature / 0.7) ** 0.5 * torch.randn(400_000, generator=generator(), dtype=torch.float64)
    (found,) = torch.autograd.grad(contrast_loss(a * data.square() / 2, a * chains.square() / 2, trim=0.0), a)
    assert found.item() == pytest.approx(s**2 / 2 - temperature / 1.4, abs=0.003)


def test_the_chains_of_highest_energy_are_left_out() -> None:
    negative = torch.tensor([5.0, 1.0, 3.0, 100.0])
    assert contrast_loss(torch.zeros(2), negative, trim=0.25).item() == -3.0


def test_the_flow_fades_where_the_noise_rises_in_the_second_stage() -> None:
    training = start(EnergyMatching, EnergyMatchingConfig(**SMALL, iterations=2, contrast_iterations=2, tau=0.5))
    assert isinstance(training, EnergyMatchingTraining)
    t = torch.tensor([0.2, 0.5, 0.75, 1.0])
    torch.testing.assert_close(training.weight(t), torch.ones(4))
    for _ in range(3):
        scalars = training.step()
    assert set(scalars) == {"flow_loss", "energy_gap"}
    torch.testing.assert_close(training.weight(t), torch.tensor([1.0, 1.0, 0.5, 0.0]))


def test_the_contrast_is_not_pushed_below_its_floor() -> None:
    """The step with the gap at its floor is that of the flow alone."""
    moved = []
    for contrast in (1e-6, 1e6):
        training = start(
            EnergyMatching,
            EnergyMatchingConfig(**SMALL, iterations=1, contrast_iterations=1, contrast=contrast, contrast_floor=1e-9),
        )
        assert isinstance(training, EnergyMatchingTraining)
        training.negatives = lambda data: data + 100.0  # type: ignore[method-assign]
        training.energy = lambda x, net=training.net: net(x).squeeze(1) + x.square().sum(dim=1)  # type: ignore
        for _ in range(2):
            training.step()
        moved.append(torch.cat([p.detach().flatten() for p in training.net.parameters()]))
    torch.testing.assert_close(*moved)


def test_energy_matching_samples_a_gaussian_and_knows_its_energy() -> None:
    config = EnergyMatchingConfig(
        **SMALL, iterations=400, contrast_iterations=500, chain_steps=20, sampling_steps=30, step_size=0.1, tau=0.5,
        epsilon_max=0.3, contrast=4.0, lr=3e-3, ema_decay=0.98, contrast_ema_decay=0.98,
    )  # fmt: skip
    training = start(EnergyMatching, config)
    for _ in range(training.total_steps):
        training.step()
    mean, covariance = errors(samples(training, 4000))
    assert mean < 0.15
    assert covariance < 0.12
    model, x = training.model(), torch.distributions.MultivariateNormal(MEAN, COVARIANCE)
    points = x.sample((2000,))
    assert model.energy is not None
    assert model.temperature == 0.3
    energies = torch.stack([model.energy(points).detach() / 0.3, -x.log_prob(points)])
    assert float(energies.corrcoef()[0, 1]) > 0.9


def test_eqms_target_falls_to_zero_at_the_data() -> None:
    training = start(EqM, EqMConfig(**SMALL))
    assert isinstance(training, EqMTraining)
    t = torch.tensor([0.0, 0.8, 0.9, 1.0])
    torch.testing.assert_close(training.slope(t), torch.tensor([4.0, 4.0, 2.0, 0.0]))


def test_eqm_comes_to_rest_at_the_data() -> None:
    """All samples of a point mass end at one place, close to it for the length of their way, some 2."""

    class Point:
        def batch(self, n: int, *, rng: object) -> Tensor:
            return torch.tensor([[1.5, -1.0]]).expand(n, 2).clone()

    problem = Problem(task="point", event_shape=(2,), data=Point(), data_std=1.3)
    config = EqMConfig(
        **SMALL, iterations=400, lr=3e-3, ema_decay=0.98, step_size=0.02, sampling_steps=50, momentum=0.3
    )
    training = EqM().start(problem, config, compute=Compute(device="cpu", threads=1), rng=RandomStreams("eqm", 0))
    for _ in range(training.total_steps):
        training.step()
    x = samples(training, 500)
    assert float((x - torch.tensor([1.5, -1.0])).norm(dim=1).max()) < 0.6
    assert float(x.std(dim=0).max()) < 0.1
    assert training.model().temperature is None


@pytest.mark.parametrize(
    ("config", "nfe"),
    [
        (EnergyMatchingConfig(**SMALL, sampling_steps=7), 14),
        (EnergyMatchingConfig(**SMALL, sampling_steps=7, solver="heun"), 28),
        (EqMConfig(**SMALL, sampling_steps=5), 10),
    ],
)
def test_a_gradient_counts_as_two_passes(config: EnergyMatchingConfig | EqMConfig, nfe: int) -> None:
    method = EqM if isinstance(config, EqMConfig) else EnergyMatching
    model = start(method, config).model()
    options = {"event_shape": (2,), "first_seed": 0, "progress": lambda text: None}
    whole, counted = draw_samples(model, 6, batch_size=6, **options)
    cut, _ = draw_samples(model, 6, batch_size=4, **options)
    assert counted == nfe == 2 * config.descent().gradients
    assert torch.allclose(torch.from_numpy(whole), torch.from_numpy(cut), atol=1e-5)


@pytest.mark.parametrize("name", ["energy_matching", "eqm"])
def test_an_energy_without_classes_is_not_trained_on_classes(name: str) -> None:
    problem = Problem(
        task="classes",
        event_shape=(2,),
        data=None,
        data_std=1.0,
        num_classes=3,  # type: ignore[arg-type]
    )
    method = load_method(name)
    with pytest.raises(
        ValueError, match="knows no classes and classes draws samples of 3; take a task without classes"
    ):
        method().start(problem, method.Config(), compute=Compute(device="cpu", threads=1), rng=RandomStreams(name, 0))


def test_chains_that_end_before_their_noise_begins_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"end before their noise begins at tau = 0\.8; raise chain_steps"):
        EnergyMatchingConfig(chain_steps=8, step_size=0.1)
    EnergyMatchingConfig(chain_steps=8, step_size=0.1, contrast_iterations=0)


def test_a_network_says_what_data_it_has_layers_for() -> None:
    assert EqMConfig().needs() == {Need.SMALL_EVENTS}
    assert EqMConfig(potential=TINY_UNET).needs() == {Need.IMAGES}
    with pytest.raises(ValueError, match=r"no whole patches of 3; set potential\.patch to a divisor"):
        replace(TINY_UNET, patch=3).net((1, 8, 8), data_std=1.0, generator=generator())


def test_data_that_are_not_numbers_end_a_training() -> None:
    class Broken:
        def batch(self, n: int, *, rng: object) -> Tensor:
            return torch.full((n, 2), torch.nan)

    problem = Problem(task="broken", event_shape=(2,), data=Broken(), data_std=1.0)
    training = EnergyMatching().start(
        problem,
        EnergyMatchingConfig(**SMALL),
        compute=Compute(device="cpu", threads=1),
        rng=RandomStreams("energy_matching", 0),
    )
    with pytest.raises(ValueError, match="look for NaN in the data"):
        training.step()


def test_the_recipe_of_cifar10_has_the_released_network() -> None:
    """50 million parameters, as the release says; here on tensors without data."""
    config = configure(load_method("energy_matching"), load_task("cifar10"), "default", {})
    assert isinstance(config, EnergyMatchingConfig)
    shape = (3, 32, 32)
    problem = Problem(task="cifar10", event_shape=shape, data=TwoBlobs(event_shape=shape), data_std=0.5)
    training = EnergyMatching().start(
        problem,
        config,
        compute=Compute(device="meta", threads=1),
        rng=MetaStreams("energy_matching", "cifar10"),
    )
    assert training.total_steps == 147_000
    (net,) = training.model().networks
    assert {p.device.type for p in net.parameters()} == {"meta"}
    assert sum(p.numel() for p in net.parameters()) == pytest.approx(50e6, rel=0.01)
    assert config.descent().gradients == 650
