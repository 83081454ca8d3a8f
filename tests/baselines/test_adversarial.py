"""gcd, gan_finetune and sft_pg: gradients against other ways to find them, and a small Gaussian."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from dxbench_baselines.adjoint_matching import AdjointMatching
from dxbench_baselines.dxmi import DxMI
from dxbench_baselines.gan_finetune import GANFinetune, GANFinetuneConfig, critic_loss, generator_loss
from dxbench_baselines.gcd import GCD, GCDConfig, chain_cost
from dxbench_baselines.recipes.adjoint_matching import gaussians8 as adjoint_recipe
from dxbench_baselines.recipes.dxmi import gaussians8 as dxmi_recipe
from dxbench_baselines.recipes.gan_finetune import gaussians8 as gan_recipe
from dxbench_baselines.recipes.gcd import gaussians8 as gcd_recipe
from dxbench_baselines.sft_pg import SFTPG, SFTPGConfig
from dxbench_baselines.starts.presets import SCRATCH
from gaussian_task import CRITIC, NET, errors, samples, small, solve, start
from torch import Tensor, nn

from dxbench.drawing.counting import counted_passes
from dxmi.backbones.few_steps import FastDPMSteps
from dxmi.backbones.small import DDPMMLP, EDMMLP
from dxmi.energies.critics import MLPCritic
from dxmi.sampling.noise import SeededNoise
from dxmi.sampling.policies import GaussianPolicy
from dxmi.sampling.rollouts import reparametrised_rollout, rollout
from dxmi.training.costs import RunningCost, VelocityVariance
from dxmi.training.policy_gradient import centred, policy_gradient_loss
from dxmi.training.policy_gradient import critic_loss as ipm_critic_loss


class Quadratic(nn.Module):
    """E(x) = a/2 ||x - t||^2 with a learned a."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(1.5, dtype=torch.float64))
        self.t = torch.tensor([0.5, -0.7], dtype=torch.float64)

    def energy(self, x: Tensor) -> Tensor:
        return self.a / 2 * (x - self.t).square().sum(dim=1)


class Pull(nn.Module):
    """A residual step c_k tanh(m - x)."""

    def __init__(self) -> None:
        super().__init__()
        self.c = nn.Parameter(torch.tensor([0.5, 0.3, 0.7]).double())
        self.m = nn.Parameter(torch.tensor([1.0, -1.0]).double())

    def forward(self, x: Tensor, k: Tensor) -> Tensor:
        return self.c[k][:, None] * torch.tanh(self.m - x)


def policy_of(net: nn.Module, stds: list[float]) -> GaussianPolicy:
    return GaussianPolicy.from_scratch(
        net, event_shape=(2,), std=torch.tensor(stds), trainable_std=[True] * len(stds)
    ).double()


def seeded(n: int) -> SeededNoise:
    return SeededNoise(seeds=torch.arange(n), event_shape=(2,), dtype=torch.float64)


def test_gcds_gradient_through_the_chain_is_that_of_finite_differences():
    policy, energy = policy_of(Pull(), [0.8, 0.5, 0.3]), Quadratic()
    velocity = VelocityVariance(torch.tensor([0.36, 0.16, 0.25]).double())
    cost = RunningCost(tau_entropy=0.2, tau_velocity=0.1, num_steps=3)

    def total() -> Tensor:
        return chain_cost(reparametrised_rollout(policy, seeded(7)), policy, energy, cost, velocity).mean()

    parameters = [policy.learned_log_std, policy.net.c, policy.net.m]
    gradients = torch.autograd.grad(total(), parameters)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        for i in range(len(parameter)):
            ends = []
            for step in (1e-5, -2e-5):
                with torch.no_grad():
                    parameter[i] += step
                    ends.append(total().item())
            with torch.no_grad():
                parameter[i] += 1e-5
            assert gradient[i].item() == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-5, abs=1e-9)


def test_a_chain_costs_its_steps_and_the_energy_of_its_end():
    policy, energy = policy_of(Pull(), [0.8, 0.5, 0.3]), Quadratic()
    velocity = VelocityVariance(torch.tensor([0.36, 0.16, 0.25]).double())
    trajectory = rollout(policy, seeded(5))
    found = chain_cost(
        trajectory, policy, energy, RunningCost(tau_entropy=0.2, tau_velocity=0.1, num_steps=3), velocity
    )
    expected = energy.energy(trajectory.samples)
    for k, (std, speed) in enumerate(zip([0.8, 0.5, 0.3], [0.6, 0.4, 0.5], strict=True)):
        move = trajectory.states[k + 1] - trajectory.states[k]
        expected = expected - 0.2 * math.log(std) + 0.1 * move.square().mean(dim=1) / (2 * speed**2)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_both_rollouts_draw_the_same_chain():
    policy = policy_of(Pull(), [0.8, 0.5, 0.3])
    kept = reparametrised_rollout(policy, seeded(6)).states
    torch.testing.assert_close(kept, rollout(policy, seeded(6)).states)
    assert kept.requires_grad


class Drift(nn.Module):
    """A residual step d_k, the same wherever x is."""

    def __init__(self) -> None:
        super().__init__()
        self.d = nn.Parameter(torch.tensor([0.4, -0.2]).double())

    def forward(self, x: Tensor, k: Tensor) -> Tensor:
        return (self.d[k] * x.square().mean(dim=1))[:, None].expand_as(x)


def test_the_policy_gradient_is_that_of_the_exact_expectation():
    """Two steps in one dimension, both noises enumerated by Gauss-Hermite nodes; any baseline leaves it as it is."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(24)
    z, w = torch.from_numpy(nodes), torch.from_numpy(weights / weights.sum())
    first, second = (grid.reshape(-1, 1) for grid in torch.meshgrid(z, z, indexing="ij"))
    weight = torch.outer(w, w).reshape(-1)
    policy = GaussianPolicy.from_scratch(
        Drift(), event_shape=(1,), std=torch.tensor([0.5, 0.3]), trainable_std=[True, True]
    ).double()
    start = torch.full_like(first, 0.8)
    k = [torch.full((len(start),), step) for step in (0, 1)]

    def cost(x: Tensor) -> Tensor:
        return (x + 0.5 * x.square() - 0.1 * x**3).squeeze(1)

    middle = policy.draw(start, k[0], first)
    end = policy.draw(middle, k[1], second)
    parameters = [policy.net.d, policy.learned_log_std]
    exact = torch.autograd.grad((weight * cost(end)).sum(), parameters)

    middle, end = middle.detach(), end.detach()
    for baseline in (0.0, 1.7):
        advantage = weight * (cost(end) - baseline)
        loss = sum(
            policy_gradient_loss(policy.log_prob(x, step, y), advantage).sum()
            for x, step, y in ((start, k[0], middle), (middle, k[1], end))
        )
        for found, expected in zip(torch.autograd.grad(loss, parameters), exact, strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)


def test_log_prob_is_that_of_a_normal_law():
    policy = policy_of(Pull(), [0.8, 0.5, 0.3])
    x, y = seeded(4).normal(0), seeded(4).normal(1)
    k = torch.tensor([0, 1, 2, 1])
    law = torch.distributions.Normal(policy.mean(x, k), policy.log_std(k).exp()[:, None])
    torch.testing.assert_close(policy.log_prob(x, k, y), law.log_prob(y).sum(dim=1))


def test_centred_advantages_differ_as_before_and_have_no_mean():
    advantage = torch.tensor([3.0, -1.0, 5.0, 0.5])
    assert centred(advantage).mean().item() == pytest.approx(0, abs=1e-6)
    torch.testing.assert_close(centred(advantage).diff(), advantage.diff())


def test_the_ipm_critic_pays_for_slopes_other_than_one():
    energy = Quadratic()
    data, fake = seeded(5).normal(0), seeded(5).normal(1)
    mix = torch.tensor([0.0, 0.2, 0.5, 0.9, 1.0]).double()
    between = mix[:, None] * data + (1 - mix[:, None]) * fake
    slope = 1.5 * (between - energy.t).norm(dim=1)
    expected = energy.energy(data) - energy.energy(fake) + 10 * (slope - 1).square()
    torch.testing.assert_close(ipm_critic_loss(energy, data, fake, mix, penalty=10.0), expected)


def test_the_gans_losses_are_cross_entropies_and_r1_the_squared_slope_at_data():
    energy = Quadratic()
    data, fake = seeded(5).normal(0), seeded(5).normal(1)
    logit = {"data": -energy.energy(data), "fake": -energy.energy(fake)}
    entropy = -torch.log(torch.sigmoid(logit["data"])) - torch.log(1 - torch.sigmoid(logit["fake"]))
    slope = 1.5 * (data - energy.t).norm(dim=1)
    torch.testing.assert_close(critic_loss(energy, data, fake, r1=0.3), entropy + 0.15 * slope.square())
    torch.testing.assert_close(generator_loss(energy, fake), -torch.log(torch.sigmoid(logit["fake"])))


def test_r1s_second_derivative_is_that_of_finite_differences():
    energy = Quadratic()
    data, fake = seeded(5).normal(0), seeded(5).normal(1)

    def total() -> Tensor:
        return critic_loss(energy, data, fake, r1=0.3).mean()

    (gradient,) = torch.autograd.grad(total(), energy.a)
    ends = []
    for step in (1e-5, -2e-5):
        with torch.no_grad():
            energy.a += step
        ends.append(total().item())
    assert gradient.item() == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-6)


def test_gcd_draws_a_gaussian_and_knows_its_energy():
    config = GCDConfig(
        backbone=replace(SCRATCH, network=replace(SCRATCH.network, **NET)),
        energy=MLPCritic(**NET),
        batch_size=128,
        num_steps=3,
        iterations=500,
        policy_lr=2e-3,
        energy_lr=3e-3,
        tau=0.05,
        ema_decay=0.98,
    )
    mean, covariance = errors(solve(GCD, config))
    assert mean < 0.15
    assert covariance < 0.12


def test_gan_finetuning_draws_a_gaussian_in_one_pass():
    config = GANFinetuneConfig(
        **CRITIC,
        backbone=small(EDMMLP, iterations=300, ema_decay=0.98),
        iterations=600,
        lr=1e-3,
        critic_lr=3e-3,
        r1=0.1,
        ema_decay=0.98,
    )
    mean, covariance = errors(solve(GANFinetune, config))
    assert mean < 0.2
    assert covariance < 0.15


@pytest.mark.slow
def test_sft_pg_betters_its_start():
    """A DDPM trained too briefly is far from the data; the policy gradient brings its five steps near."""
    config = SFTPGConfig(
        **CRITIC,
        num_steps=5,
        sampler=FastDPMSteps(last_std=0.05, min_std=0.05),
        backbone=small(DDPMMLP, iterations=60, lr=3e-3, ema_decay=0.95),
        iterations=250,
        critic_steps=3,
        critic_warmup=40,
        policy_lr=1e-3,
        max_grad_norm=1.0,
        ema_decay=0.95,
    )
    training = start(SFTPG, config)
    for _ in range(config.backbone.pretraining.iterations):
        training.step()
    before = errors(samples(training, 2000))
    for _ in range(config.iterations):
        training.step()
    after = errors(samples(training, 2000))
    assert sum(after) < 0.3 * sum(before)


def passes(method, config) -> float:
    """Rows through any network in the whole training, measured over ten steps of it."""
    training = start(method, config)
    roots = (
        [training.learner.policy, training.learner.value]
        if method is DxMI
        else [part.module for part in training.parts().values() if hasattr(part, "module")]
    )
    nets = [m.net for m in roots]
    with counted_passes(nets) as counter:
        for _ in range(10):
            training.step()
    return counter.rows / 10 * config.iterations


def test_gcd_adjoint_matching_and_gan_finetuning_take_as_many_network_passes_as_dxmi():
    ours = passes(DxMI, dxmi_recipe())
    # Its start is a random walk, which has no network.
    assert passes(AdjointMatching, adjoint_recipe()) == pytest.approx(ours, rel=0.02)
    assert passes(GCD, gcd_recipe()) == pytest.approx(ours, rel=0.02)
    start = gan_recipe().backbone
    plan = start.pretraining
    untaught = replace(start, pretraining=replace(plan, iterations=0))
    adversarial = gan_recipe().model_copy(update={"backbone": untaught})
    taught = plan.iterations * plan.batch_size
    assert passes(GANFinetune, adversarial) + taught == pytest.approx(ours, rel=0.02)
