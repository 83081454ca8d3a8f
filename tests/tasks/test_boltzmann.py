"""Given energies: laws against closed forms and quadrature, exact draws, and calls that are counted."""

import copy
import math
import re

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import kstest, norm
from torch import Tensor, nn

from dxbench.api import Compute, Model, NoData, Problem
from dxbench.conformance import check_task
from dxbench.drawing.counting import CountedEnergy
from dxbench.drawing.draw import draw_log_weights
from dxbench.engine.ledger import Ledger
from dxbench.engine.parts import UnmetNeed, problem_for
from dxbench.errors import UsageError
from dxbench.plugins.configure import configure
from dxbench.plugins.registry import load_method, load_task
from dxbench.tasks.boltzmann import BoltzmannTask
from dxbench.tasks.boltzmann_targets import GMM9, GMM40, Funnel10, ManyWell32, forty_gaussians

TARGETS = (GMM9, GMM40, Funnel10, ManyWell32)
CPU = Compute(device="cpu", threads=1)


def quiet(text: str) -> None:
    """Nobody is told."""


def problem_of(task: BoltzmannTask) -> tuple[Problem, CountedEnergy]:
    problem = task.problem(oracle=False)
    assert isinstance(problem.energy, CountedEnergy)
    return problem, problem.energy


# --- the laws ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("target", "reach"), [(GMM9, 9.0), (GMM40, 50.0)])
def test_mixtures_are_normalised_by_quadrature(target: type[BoltzmannTask], reach: float) -> None:
    side = torch.linspace(-reach, reach, 601, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side)
    cell = float(side[1] - side[0]) ** 2
    assert float(target.energy(grid).neg().exp().sum()) * cell == pytest.approx(math.exp(target.log_z or 0.0), abs=1e-6)


def test_the_means_of_the_forty_are_those_of_fab() -> None:
    """torch.manual_seed(0); (torch.rand(40, 2) - 0.5) * 2 * 40."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        means = (torch.rand((40, 2)) - 0.5) * 2 * 40
    assert np.array_equal(forty_gaussians().centres, means.double().numpy())
    assert forty_gaussians().std == pytest.approx(float(nn.functional.softplus(torch.tensor(1.0))))


def test_the_funnel_is_the_product_of_its_conditionals() -> None:
    x = np.random.default_rng(0).standard_normal((50, 10)) * 2
    logs = norm.logpdf(x[:, 0], scale=3) + norm.logpdf(x[:, 1:], scale=np.exp(x[:, :1] / 2)).sum(axis=1)
    assert np.allclose(Funnel10.energy(torch.from_numpy(x)).numpy(), -logs)


def test_the_log_z_of_many_wells_is_that_of_quadrature_and_of_fab() -> None:
    z, _ = quad(lambda a: math.exp(-(a**4) + 6 * a**2 + a / 2), -6, 6)
    assert ManyWell32.log_z == pytest.approx(16 * (math.log(z) + 0.5 * math.log(2 * math.pi)), abs=1e-6)
    assert ManyWell32.log_z == pytest.approx(164.69568, abs=1e-4)  # arXiv:2208.01893, appendix


@pytest.mark.parametrize("target", TARGETS)
def test_gradients_are_those_of_finite_differences(target: type[BoltzmannTask]) -> None:
    x = torch.from_numpy(target.draw(5, np.random.default_rng(1))).requires_grad_(True)
    assert torch.autograd.gradcheck(target.energy, (x,))


def test_draws_have_the_moments_of_their_laws() -> None:
    rng = np.random.default_rng(2)
    assert np.allclose(GMM9.draw(40_000, rng).var(axis=0), 0.3 + 50 / 3, rtol=0.02)
    funnel = Funnel10.draw(20_000, rng)
    assert kstest(funnel[:, 0] / 3, "norm").pvalue > 1e-3
    assert kstest((funnel[:, 1:] / np.exp(funnel[:, :1] / 2)).ravel(), "norm").pvalue > 1e-3
    wells = ManyWell32.draw(20_000, rng)
    z, _ = quad(lambda a: math.exp(-(a**4) + 6 * a**2 + a / 2), -6, 6)
    right, _ = quad(lambda a: math.exp(-(a**4) + 6 * a**2 + a / 2) / z, 0, 6)
    square, _ = quad(lambda a: a**2 * math.exp(-(a**4) + 6 * a**2 + a / 2) / z, -6, 6)
    assert (wells[:, 0::2] > 0).mean() == pytest.approx(right, abs=0.005)
    assert (wells[:, 0::2] ** 2).mean() == pytest.approx(square, rel=0.005)
    assert kstest(wells[:, 1::2].ravel(), "norm").pvalue > 1e-3


def test_the_funnel_is_finite_where_an_exponential_would_overflow() -> None:
    x = torch.zeros(1, 10)
    x[0, 0] = -200.0
    assert torch.isfinite(Funnel10.energy(x)).all()


# --- the task ------------------------------------------------------------------------------------------------


def test_the_kit_for_tasks_passes_a_given_energy() -> None:
    results = check_task(GMM9)
    assert not [(result.name, result.found) for result in results if result.outcome == "fail"]
    assert {result.name for result in results if result.outcome == "pass"} >= {"data", "hidden", "wrong-law", "seeds"}


class Flat(GMM9):
    """An energy of another shape."""

    name = "flat"

    @classmethod
    def energy(cls, x: Tensor) -> Tensor:
        return x.square()


class Broken(GMM9):
    """An energy that is NaN right of the origin."""

    name = "broken"

    @classmethod
    def energy(cls, x: Tensor) -> Tensor:
        return torch.where(x[:, 0] > 0, torch.nan, x.square().sum(dim=1))


class Coupled(GMM9):
    """An energy that looks at the batch."""

    name = "coupled"

    @classmethod
    def energy(cls, x: Tensor) -> Tensor:
        return (x - x.mean(dim=0)).square().sum(dim=1)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (Flat, r"the energy of flat gave \[64, 2\] for 64 points, wanted \[64\]; sum over all axes but the first"),
        (Broken, "the energy of broken is NaN at .* of 64 finite points; an energy may be infinite, where p is 0"),
        (Coupled, "the energy of a point depends on the others of its batch"),
    ],
)
def test_the_kit_says_what_is_wrong_with_an_energy(target: type[BoltzmannTask], said: str) -> None:
    (found,) = [result for result in check_task(target) if result.name == "data"]
    assert found.outcome == "fail"
    assert re.match(said, found.found)


def test_calls_and_gradients_are_counted_also_in_copies() -> None:
    _, energy = problem_of(GMM9())
    x = torch.zeros(7, 2, requires_grad=True)
    energy(x.detach())
    torch.autograd.grad(copy.deepcopy(nn.ModuleList([energy]))[0](x).sum(), x)
    assert (energy.calls, energy.gradients, energy.total) == (14, 7, 21)
    with energy.apart():
        energy(x)
        assert energy.total == 7
    assert energy.total == 21


def test_a_resumed_run_takes_up_the_count() -> None:
    ledger, other = Ledger(), Ledger()
    _, ledger.energy = problem_of(GMM9())
    _, other.energy = problem_of(GMM9())
    ledger.energy(torch.zeros(5, 2))
    other.load_state_dict(ledger.state_dict())
    assert other.energy.calls == 5


@pytest.mark.parametrize(
    ("points", "said"),
    [
        (torch.zeros(3, 5), r"gmm9 wants points of shape \[b, 2\], got \[3, 5\]"),
        (torch.full((3, 2), torch.inf), "points that are not finite: the method has diverged; lower its rates"),
    ],
)
def test_bad_points_are_refused_with_the_remedy(points: Tensor, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        problem_of(GMM9())[1](points)


def test_methods_that_need_data_or_an_energy_are_skipped_where_there_is_none() -> None:
    for method, task, said in (
        ("dxmi", "gmm9", "dxmi needs training data, which gmm9 does not have here"),
        ("langevin", "gaussians8", "langevin needs a given energy to call, which gaussians8 does not have here"),
    ):
        kind, loaded = load_method(method), load_task(task)
        with pytest.raises(UnmetNeed, match=said):
            problem_for(loaded, kind, configure(kind, loaded, "default", {}), CPU)


def test_who_takes_data_for_granted_is_told_the_remedy() -> None:
    with pytest.raises(UsageError, match=r"list Need.TRAINING_DATA in the method's `needs`.* or call `problem.energy`"):
        NoData().batch(2, rng=np.random.default_rng(0))


def test_an_evaluation_tells_calls_of_training_and_of_sampling_apart() -> None:
    task = GMM9()
    problem, energy = problem_of(task)
    energy(torch.zeros(11, 2))

    def sampler(seeds: Tensor) -> Tensor:
        x = torch.from_numpy(np.random.default_rng(int(seeds[0])).standard_normal((len(seeds), 2)))
        energy(x)
        return x

    def weighted(seeds: Tensor) -> tuple[Tensor, Tensor]:
        x = sampler(seeds)
        return x, -energy(x) - torch.distributions.Normal(0.0, 1.0).log_prob(x).sum(dim=1)

    model = Model(networks=(energy,), sampler=sampler, weighted_sampler=weighted)
    for _ in range(2):
        found = task.evaluate(model, seed=3, device="cpu", progress=quiet)
        assert found.scores["training_calls"].value == 11
        assert found.scores["sampling_calls"].value == found.nfe == 1
        assert 0 < found.scores["ess"].value < 1
    assert set(task.evaluate_samples(GMM9.draw(10_000, np.random.default_rng(0)), progress=quiet).notes) == {
        "ess",
        "log_z_error",
        "elbo_error",
        "sampling_calls",
        "training_calls",
    }
    assert problem.oracle is None


def test_log_weights_are_one_finite_number_per_seed() -> None:
    def model(weights: Tensor) -> Model:
        return Model(sampler=lambda s: s, weighted_sampler=lambda s: (s, weights[: len(s)]))

    with pytest.raises(ValueError, match=r"wanted log weights of shape \(4,\), got \(2,\); one per seed"):
        draw_log_weights(model(torch.zeros(2)), 4, first_seed=0, batch_size=4, progress=quiet)
    bad = torch.tensor([0.0, torch.nan, -torch.inf, 0.0])
    with pytest.raises(ValueError, match="1 of 4 log weights are NaN or infinite"):
        draw_log_weights(model(bad), 4, first_seed=0, batch_size=4, progress=quiet)
    with pytest.raises(ValueError, match="weighted_sampler and num_classes are of a model that samples"):
        Model(weighted_sampler=lambda s: (s, s))
