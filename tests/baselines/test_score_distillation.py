"""distribution_matching and sid: gradients against closed forms of Gaussians, and what is refused."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from dxbench_baselines.distribution_matching import DistributionMatching, DistributionMatchingConfig
from dxbench_baselines.sid import SiD, SiDConfig, SiDTrueScore, TrueDenoiser
from dxbench_baselines.starts.score_distillation import ScoreDistillationConfig
from gaussian_task import errors, small, solve, start
from pydantic import ValidationError
from torch import Tensor, nn

from dxbench.api import Compute, Model, Need, Problem
from dxbench.api.streams import RandomStreams
from dxbench.engine.parts import UnmetNeed, problem_for
from dxbench.plugins.configure import configure
from dxbench.plugins.registry import load_method, load_task
from dxmi.backbones.small import EDMMLP
from dxmi.distillation import (
    DIVERGENCES,
    HuberDistance,
    KarrasNoise,
    LogNormalNoise,
    NoisedCritic,
    NoiseLaw,
    SquaredDistance,
    density_ratio,
    matching_loss,
    score_identity_loss,
    teacher_error,
)
from dxmi.sampling.noise import SeededNoise, StreamNoise

# The teacher's law N(MU, T^2) and the generator's N(m, s^2), at noise level SIGMA, on the line.
MU, T, SIGMA = 0.3, 0.5, 0.7
HELD = {"m": -0.2, "s": 0.6}


def grid(n: int = 200) -> tuple[Tensor, Tensor, Tensor]:
    """Nodes z and eps of a quadrature for two standard normals, and its weights."""
    nodes = torch.linspace(-8.5, 8.5, n, dtype=torch.float64)
    weights = torch.exp(-0.5 * nodes**2)
    weights = weights / weights.sum()
    z, eps = torch.meshgrid(nodes, nodes, indexing="ij")
    return z.reshape(-1, 1), eps.reshape(-1, 1), torch.outer(weights, weights).reshape(-1)


def posterior_mean(x: Tensor, mean: Any, std: Any) -> Tensor:
    return mean + std**2 / (std**2 + SIGMA**2) * (x - mean)


def parameters() -> dict[str, Tensor]:
    return {name: torch.tensor(value, dtype=torch.float64, requires_grad=True) for name, value in HELD.items()}


def log_density(x: Tensor, mean: Any, std: Any) -> Tensor:
    variance = torch.as_tensor(std**2 + SIGMA**2, dtype=torch.float64)
    return -0.5 * ((x - mean) ** 2 / variance + (2 * math.pi * variance).log())


def by_finite_differences(function: Any, step: float = 1e-5) -> dict[str, float]:
    """The gradient of a number in m and s."""
    found = {}
    for name in HELD:
        ends = [function(**{**HELD, name: HELD[name] + sign * step}) for sign in (1, -1)]
        found[name] = (ends[0] - ends[1]) / (2 * step)
    return found


GENERATORS = {
    "reverse_kl": lambda r: -r.log(),
    "forward_kl": lambda r: r * r.log(),
    "jensen_shannon": lambda r: r * r.log() - (r + 1) * ((r + 1) / 2).log(),
    "softened_reverse_kl": lambda r: (r + 1) * ((r + 1) / (2 * r)).log(),
    "jeffreys": lambda r: (r - 1) * r.log(),
    "squared_hellinger": lambda r: -4 * r.sqrt(),
    "neyman": lambda r: 1 / (2 * r),
}


@pytest.mark.parametrize("name", sorted(DIVERGENCES))
def test_the_weight_of_a_divergence_is_r_squared_times_its_second_derivative(name: str) -> None:
    r = torch.linspace(0.1, 6.0, 40, dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(GENERATORS[name](r).sum(), r, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), r)
    torch.testing.assert_close(DIVERGENCES[name](r).detach(), (r.square() * second).detach())


@pytest.mark.parametrize("name", sorted(DIVERGENCES))
def test_distribution_matching_goes_down_its_divergence_between_gaussians(name: str) -> None:
    """The mean gradient is sigma^2 that of D_f of the noised laws, here by a quadrature and finite differences."""
    z, eps, weights = grid()

    def divergence(m: float, s: float) -> float:
        x = torch.linspace(-9, 9, 20001, dtype=torch.float64)
        log_q, log_p = log_density(x, m, s), log_density(x, MU, T)
        return float(torch.trapezoid(log_q.exp() * GENERATORS[name]((log_p - log_q).exp()), x))

    held = parameters()
    generated = held["m"] + held["s"] * z
    x = (generated + SIGMA * eps).detach()
    ratio = (log_density(x, MU, T) - log_density(x, HELD["m"], HELD["s"])).exp().squeeze(1)
    teacher, fake = posterior_mean(x, MU, T), posterior_mean(x, HELD["m"], HELD["s"])
    loss = matching_loss(generated, teacher, fake, DIVERGENCES[name](ratio))
    found = torch.autograd.grad((weights * loss).sum(), list(held.values()))
    expected = by_finite_differences(divergence)
    for gradient, name_of in zip(found, held, strict=True):
        assert gradient.item() == pytest.approx(SIGMA**2 * expected[name_of], rel=1e-4, abs=1e-7)


def test_dmds_unit_divides_the_direction_by_the_teachers_error() -> None:
    generated = torch.tensor([[1.0, 2.0], [0.0, 0.0]], requires_grad=True)
    teacher, fake = torch.tensor([[0.0, 4.0], [0.0, 0.0]]), torch.tensor([[2.0, 3.0], [1.0, 0.0]])
    weight = 1 / teacher_error(generated, teacher)
    (gradient,) = torch.autograd.grad(matching_loss(generated, teacher, fake, weight).sum(), generated)
    torch.testing.assert_close(gradient[0], (fake - teacher)[0] / 1.5 / 2)
    assert gradient.isfinite().all()


def test_the_density_ratio_of_a_critic_is_bounded_and_has_no_gradient() -> None:
    energy = torch.tensor([-100.0, 0.0, 100.0], requires_grad=True)
    ratio = density_ratio(energy)
    torch.testing.assert_close(ratio, torch.tensor([math.exp(5), 1.0, math.exp(-5)]))
    assert not ratio.requires_grad


def identity_gradient(alpha: float, distance: Any) -> list[Tensor]:
    """The mean gradient of SiD's loss, the fake's own numbers held."""
    z, eps, weights = grid()
    held = parameters()
    generated = held["m"] + held["s"] * z
    x = generated + SIGMA * eps
    teacher, fake = posterior_mean(x, MU, T), posterior_mean(x, HELD["m"], HELD["s"])
    loss = score_identity_loss(generated, teacher, fake, alpha=alpha, distance=distance)
    return list(torch.autograd.grad((weights * loss).sum(), list(held.values())))


def mean_distance(distance: Any, *, points: dict[str, float], fake: dict[str, float]) -> float:
    """E d(D_T - D_F) at samples of one generator and the fake of another."""
    z, eps, weights = grid()
    x = points["m"] + points["s"] * z + SIGMA * eps
    y = posterior_mean(x, MU, T) - posterior_mean(x, fake["m"], fake["s"])
    return float((weights * distance(y)).sum())


@pytest.mark.parametrize("distance", [SquaredDistance(), HuberDistance(c=0.05)], ids=["squared", "pseudo-Huber"])
@pytest.mark.parametrize("alpha", [0.5, 1.0, 1.2])
def test_the_score_identitys_gradient_is_that_of_finite_differences(alpha: float, distance: Any) -> None:
    """(1 - alpha) times the gradient through the points, and half of that through the fake's scores."""
    points = by_finite_differences(lambda **moved: mean_distance(distance, points=moved, fake=HELD))
    scores = by_finite_differences(lambda **moved: mean_distance(distance, points=HELD, fake=moved))
    for gradient, name in zip(identity_gradient(alpha, distance), HELD, strict=True):
        expected = (1 - alpha) * points[name] + 0.5 * scores[name]
        assert gradient.item() == pytest.approx(expected, rel=1e-5, abs=1e-8)


def test_sids_loss_is_as_published() -> None:
    generator = torch.Generator().manual_seed(3)
    G, y_T, y_F = torch.randn(3, 5, 1, 4, 4, generator=generator).unbind(0)
    published = ((y_T - y_F) * ((y_T - G) - 1.2 * (y_T - y_F))).flatten(1).mean(1) / (G - y_T).abs().flatten(1).mean(1)
    distance = SquaredDistance()
    loss = score_identity_loss(G, y_T, y_F, alpha=1.2, distance=distance) * distance.weight(G, y_T)
    torch.testing.assert_close(loss, published)


@pytest.mark.parametrize("law", [LogNormalNoise(), KarrasNoise(first=0.02, last=0.8)], ids=["lognormal", "karras"])
def test_noise_levels_have_their_law_also_between_two_of_them(law: NoiseLaw) -> None:
    u = torch.linspace(0.01, 0.99, 50, dtype=torch.float64)
    torch.testing.assert_close(law.cdf(law.quantile(u)), u)
    noise = StreamNoise(batch_size=20_000, event_shape=(2,), generator=torch.Generator().manual_seed(0))
    low, high = torch.full((20_000,), 0.2), torch.full((20_000,), 0.9)
    drawn = law.draw(noise, low, high)
    assert (drawn > 0.1999).all()
    assert (drawn < 0.9001).all()
    below = float(law.cdf(torch.tensor(0.4).double()) - law.cdf(torch.tensor(0.2).double()))
    share = below / float(law.cdf(torch.tensor(0.9).double()) - law.cdf(torch.tensor(0.2).double()))
    assert float((drawn < 0.4).double().mean()) == pytest.approx(share, abs=5 * 0.5 / math.sqrt(20_000))


def test_karras_levels_are_those_of_sid() -> None:
    """Their sigma(t), t uniform on [0, 0.8], and t = 0 the data."""
    t = torch.linspace(0, 0.8, 9, dtype=torch.float64)
    low, high = 0.002 ** (1 / 7), 80 ** (1 / 7)
    torch.testing.assert_close(KarrasNoise(last=0.8).quantile(t / 0.8), (high + (1 - t) * (low - high)) ** 7)


def test_the_critic_under_noise_is_minus_the_mean_of_its_network() -> None:
    class Net(nn.Module):
        def forward(self, x: Tensor, time: Tensor) -> Tensor:
            return x * time[:, None]

    x, sigma = torch.tensor([[1.0, 3.0]]), torch.tensor([2.0])
    expected = -torch.tensor([2.0]) / math.sqrt(4.25) * math.log(2.0) / 4
    torch.testing.assert_close(NoisedCritic(Net()).energy(x, sigma), expected)


# --- the trainings ---------------------------------------------------------------------------------------------------

SOLVED: dict[str, Any] = {
    "batch_size": 128,
    "iterations": 500,
    "lr": 1e-3,
    "fake_lr": 3e-3,
    "ema_decay": 0.98,
    "backbone": small(EDMMLP, lr=3e-3, ema_decay=0.98, iterations=400),
}


@pytest.mark.parametrize(
    ("method", "config"),
    [
        (DistributionMatching, DistributionMatchingConfig(**SOLVED)),
        (DistributionMatching, DistributionMatchingConfig(**SOLVED, unit="one", noise=LogNormalNoise())),
        (DistributionMatching, DistributionMatchingConfig(**SOLVED, divergence="jensen_shannon", adversarial=0.01)),
        (DistributionMatching, DistributionMatchingConfig(**SOLVED, middle_sigmas=(0.5,))),
        (SiD, SiDConfig(**SOLVED)),
        (SiD, SiDConfig(**SOLVED, alpha=1.0, distance=HuberDistance())),
        (SiD, SiDConfig(**SOLVED, adversarial=0.1)),
    ],
    ids=["dmd", "diff-instruct", "f-distill", "two passes", "sid", "sim", "sida"],
)
def test_a_gaussian_is_drawn(method: Any, config: ScoreDistillationConfig) -> None:
    """The start in as many passes misses the whole covariance, 0.36; a teacher so briefly trained, a part of it."""
    mean, covariance = errors(solve(method, config))
    assert mean < 0.2
    assert covariance < 0.2


def trained_start(config: ScoreDistillationConfig, method: Any = DistributionMatching) -> Any:
    training: Any = start(method, config)
    for _ in range(config.backbone.pretraining.iterations):
        training.step()
    return training


BRIEF: dict[str, Any] = {"batch_size": 16, "iterations": 3, "backbone": small(EDMMLP, iterations=30, ema_decay=0.9)}


def test_what_a_later_pass_gives_is_compared_between_its_level_and_the_next() -> None:
    config = DistributionMatchingConfig(**BRIEF, middle_sigmas=(0.8, 0.2))
    low, high = config.intervals(torch.tensor([0, 1, 2]))
    assert low.tolist() == [0.8, 0.2, 0.0]
    assert high.tolist() == [math.inf, 0.8, 0.2]


def test_a_pass_begins_where_the_sampler_begins_it() -> None:
    """The training's chain and the sampler's are the same from the same noise."""
    config = DistributionMatchingConfig(**BRIEF, middle_sigmas=(0.8, 0.2))
    training = trained_start(config)
    training.step()
    training.generator.average.load_state_dict(training.generator.module.state_dict())
    seeds = torch.arange(5)
    noise = SeededNoise(seeds=seeds, event_shape=(2,))
    starts = torch.stack([noise.normal(j) for j in range(3)], dim=1)
    chain = training.model().trajectory(seeds) * training.begun.data.scale
    for k in range(3):
        with torch.no_grad():
            torch.testing.assert_close(training.generated(starts, torch.full((5,), k)), chain[k + 1])


def test_only_the_last_pass_carries_a_gradient() -> None:
    training = trained_start(DistributionMatchingConfig(**BRIEF, middle_sigmas=(0.8,)))
    training.step()
    calls: list[bool] = []
    training.generator.module.register_forward_hook(lambda *_: calls.append(torch.is_grad_enabled()))
    training.generated(torch.randn(4, 2, 2), torch.tensor([0, 1, 1, 0]))
    assert calls == [False, True]


def test_the_fake_takes_as_many_steps_as_asked_for_and_no_data_without_a_critic() -> None:
    training = trained_start(DistributionMatchingConfig(**BRIEF, fake_steps=3))
    steps: list[str] = []
    for name, learner in training.parts().items():
        learner._optimized.optimizer.register_step_post_hook(lambda *_, name=name: steps.append(name))
    training.begun = replace(training.begun, data=replace(training.begun.data, source=None))
    training.step()
    assert steps == ["fake"] * 3 + ["generator"]


def test_the_generators_loss_never_moves_the_fake_or_the_critic() -> None:
    training = trained_start(SiDConfig(**BRIEF, adversarial=0.5), SiD)
    training.begin()
    before = [learner.module.state_dict() for learner in (training.fake, training.judge)]
    before = [{name: value.clone() for name, value in state.items()} for state in before]
    training._follow = dict
    training.advance()
    for learner, state in zip((training.fake, training.judge), before, strict=True):
        assert all(torch.equal(value, state[name]) for name, value in learner.module.state_dict().items())


# --- the true score --------------------------------------------------------------------------------------------------


def test_the_true_denoiser_is_sigma_squared_times_the_score_of_the_noised_mixture() -> None:
    problem = load_task("gaussians8").problem(oracle=True)
    assert isinstance(problem, Problem)
    denoiser = TrueDenoiser(problem, scale=0.25)
    x = torch.randn(30, 2, generator=torch.Generator().manual_seed(0)).double().requires_grad_(True)
    sigma = torch.linspace(0.05, 2.0, 30, dtype=torch.float64)
    angles = torch.arange(8, dtype=torch.float64) * math.pi / 4
    centres = 0.25 * 4 / 1.414 * torch.stack([angles.cos(), angles.sin()], dim=1)
    variance = (0.25 * 0.5 / 1.414) ** 2 + sigma.square()
    log_p = (-(x[:, None] - centres).square().sum(2) / (2 * variance[:, None])).logsumexp(1)
    (score,) = torch.autograd.grad(log_p.sum(), x)
    torch.testing.assert_close(denoiser(x, sigma), (x + sigma.square()[:, None] * score).detach(), rtol=1e-6, atol=1e-6)
    assert torch.autograd.gradcheck(lambda at: denoiser(at, sigma), x)


def test_the_true_score_is_a_reference_row_and_skipped_where_there_is_none() -> None:
    assert SiDTrueScore.reference
    method, task = load_method("sid_true_score"), load_task("digits")
    config = configure(method, task, "default", {})
    with pytest.raises(UnmetNeed, match="sid_true_score needs the scores of the true distribution under noise"):
        problem_for(task, method, config, Compute(device="cpu", threads=1))
    assert Need.TRUE_SCORE in method.needs


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [DistributionMatchingConfig, SiDConfig])
def test_a_method_without_a_teacher_is_refused(kind: type[ScoreDistillationConfig]) -> None:
    with pytest.raises(ValidationError, match=r"needs a teacher: set backbone.pretraining.iterations above 0"):
        kind(backbone=small(EDMMLP, iterations=0))


@pytest.mark.parametrize("kind", [DistributionMatchingConfig, SiDConfig])
def test_a_teacher_of_another_parametrisation_is_refused(kind: type[ScoreDistillationConfig]) -> None:
    with pytest.raises(ValidationError, match="ddpm_mlp"):
        kind.model_validate({"backbone": {"network": {"kind": "ddpm_mlp"}}})


def test_a_teacher_that_predicts_noise_or_has_another_shape_is_refused() -> None:
    training = trained_start(DistributionMatchingConfig(**BRIEF))
    training.teacher = lambda x, sigma: x / sigma[:, None]
    with pytest.raises(ValueError, match="wrap a noise predictor in VPDenoiser"):
        training.step()
    training.teacher = lambda x, sigma: x[:, :1]
    with pytest.raises(ValueError, match=r"events of shape \(2,\) into \(1,\)"):
        training.step()


@pytest.mark.parametrize("middle", [(3.0,), (0.2, 0.5), (0.5, 0.5)], ids=["above the start", "rising", "repeated"])
def test_passes_that_cannot_be_made_are_refused(middle: tuple[float, ...]) -> None:
    with pytest.raises(ValidationError, match="must fall from sigma_max"):
        DistributionMatchingConfig(middle_sigmas=middle)


def test_passes_between_which_no_noise_is_drawn_are_refused() -> None:
    with pytest.raises(ValidationError, match="no noise levels are drawn between two of the levels"):
        DistributionMatchingConfig(middle_sigmas=(0.5,), noise=KarrasNoise(sigma_min=0.5))


def test_noise_levels_that_do_not_rise_are_refused() -> None:
    with pytest.raises(ValidationError, match="both must rise"):
        SiDConfig.model_validate({"noise": {"kind": "karras", "first": 0.9, "last": 0.8}})


def test_a_denoiser_of_a_model_is_a_function() -> None:
    with pytest.raises(TypeError, match="denoiser is a int, wanted a function"):
        Model(denoiser=3)  # type: ignore[arg-type]


def test_data_are_used_for_the_start_and_the_critic_alone() -> None:
    official: dict[str, Any] = {"init": "official", "backbone": replace(small(EDMMLP), weights="edm")}
    assert not SiDConfig(**official).uses_data()
    assert SiDConfig(**official, adversarial=0.5).uses_data()
    assert DistributionMatchingConfig(**official, divergence="jeffreys").uses_data()
    assert SiDConfig().uses_data()


def test_the_same_seed_trains_the_same_generator() -> None:
    found = []
    for seed in (0, 0, 1):
        training = start(SiD, SiDConfig(**BRIEF), seed=seed)
        for _ in range(training.total_steps):
            training.step()
        found.append(training.model().sample(torch.arange(6)))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert RandomStreams("sid", 0).seed("noise") != RandomStreams("sid", 1).seed("noise")
