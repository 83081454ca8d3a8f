"""The DxMI update through its public call, on toys whose answers are known in closed form."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor, nn

from dxmi.algorithms.dxmi import DxMIUpdate
from dxmi.algorithms.sweeps import batched_sweep, sequential_sweep
from dxmi.sampling.noise import StreamNoise
from dxmi.sampling.policies import GaussianPolicy
from dxmi.sampling.rollouts import rollout
from dxmi.sampling.trajectory import Trajectory
from dxmi.training.costs import (
    RunningCost,
    StepCost,
    VelocityVariance,
    linear_time_cost,
    observed_velocity,
    velocity_of_noise,
)
from dxmi.training.optimisers import OptimizedModule, make_optimizer

DIM, STEPS, BATCH = 2, 3, 16
C, M = (0.5, 0.3, 0.7), (2.0, -1.0)
STDS = (0.8, 0.4, 0.3)
VELOCITY_STDS = (0.9, 0.5, 0.7)
TAU_ENTROPY, TAU_VELOCITY = 0.3, 0.2

SWEEPS = {"batched": batched_sweep(STEPS), "sequential": sequential_sweep(STEPS)}
every_sweep = pytest.mark.parametrize("sweep", SWEEPS.values(), ids=SWEEPS.keys())


def float64(values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


class Pull(nn.Module):
    """A residual step c_k (m - x)."""

    def __init__(self) -> None:
        super().__init__()
        self.c = nn.Parameter(float64(C))
        self.m = nn.Parameter(float64(M))

    def forward(self, x: Tensor, k: Tensor) -> Tensor:
        return self.c[k][:, None] * (self.m - x)


def pulling_policy() -> GaussianPolicy:
    return GaussianPolicy.from_scratch(
        Pull(), event_shape=(DIM,), std=torch.tensor(STDS), trainable_std=[True] * STEPS
    ).double()


class WavyValue(nn.Module):
    """Smooth, not quadratic, with parameters of its own at every step."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.weights = nn.Parameter(torch.randn(STEPS + 1, 5, generator=generator, dtype=torch.float64))

    def value(self, x: Tensor, k: Tensor) -> Tensor:
        a, b = x.unbind(dim=1)
        features = torch.stack([a.sin(), b.cos(), a * b, a.square(), torch.ones_like(a)], dim=1)
        return (self.weights[k] * features).sum(dim=1)

    def energy(self, x: Tensor) -> Tensor:
        return self.value(x, torch.full((len(x),), STEPS))


class FixedEnergy(nn.Module):
    """V_k(x) = weights_k . (||x||^2, x, 1) for k < K, and a quadratic energy that does not learn."""

    def __init__(self, energy: tuple[float, float, float, float]) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(STEPS, 4, dtype=torch.float64))
        self.register_buffer("last", float64(energy)[None])

    def value(self, x: Tensor, k: Tensor) -> Tensor:
        features = torch.cat([x.square().sum(dim=1, keepdim=True), x, torch.ones_like(x[:, :1])], dim=1)
        return (torch.cat([self.weights, self.last])[k] * features).sum(dim=1)

    def energy(self, x: Tensor) -> Tensor:
        return self.value(x, torch.full((len(x),), STEPS))


def running_cost() -> RunningCost:
    return RunningCost(tau_entropy=TAU_ENTROPY, tau_velocity=TAU_VELOCITY, num_steps=STEPS)


def sgd(module: nn.Module, lr: float) -> OptimizedModule:
    return OptimizedModule(module=module, optimizer=torch.optim.SGD(module.parameters(), lr=lr))


def build(
    *,
    policy: OptimizedModule | None = None,
    value: OptimizedModule | None = None,
    policy_cost: StepCost | None = None,
    value_cost: StepCost | None = None,
    gamma: float = 1.0,
    avr_decay: float = 1.0,
    sweep: tuple[tuple[int, ...], ...] = SWEEPS["batched"],
    policy_sweep: tuple[tuple[int, ...], ...] | None = None,
    td_max_grad_norm: float | None = None,
) -> DxMIUpdate:
    """An update whose policy, value and velocities all stand still, save for what is handed in."""
    return DxMIUpdate(
        policy=policy or sgd(pulling_policy(), 0.0),
        value=value or sgd(WavyValue(), 0.0),
        policy_cost=policy_cost or running_cost(),
        value_cost=value_cost or running_cost(),
        gamma=gamma,
        velocity=VelocityVariance(float64(VELOCITY_STDS).square(), decay=avr_decay),
        sweep=sweep,
        policy_sweep=policy_sweep,
        td_max_grad_norm=td_max_grad_norm,
    )


def stream(rows: int, seed: int) -> StreamNoise:
    generator = torch.Generator().manual_seed(seed)
    return StreamNoise(batch_size=rows, event_shape=(DIM,), generator=generator, dtype=torch.float64)


def data(n: int = BATCH) -> Tensor:
    return 0.5 * stream(n, seed=10).normal(0) + 1.0


def call(update: DxMIUpdate, *, batch: int = BATCH, seed: int = 0) -> dict[str, Tensor]:
    return update(data(batch), stream(batch, seed), stream(STEPS * batch, seed + 1))


def transitions(policy: GaussianPolicy, *, seed: int = 0) -> list[tuple[Tensor, Tensor, Tensor]]:
    """(x, x_next, k) of every step of the rollout that `call` makes."""
    states = rollout(policy, stream(BATCH, seed)).states
    return [(states[k], states[k + 1], torch.full((BATCH,), k)) for k in range(STEPS)]


def step_cost(x: Tensor, x_next: Tensor, k: int, log_std: Tensor) -> Tensor:
    """Eq. 8 per dimension, written out."""
    velocity = (x_next - x).square().sum(dim=1) / (2 * DIM * VELOCITY_STDS[k] ** 2)
    return TAU_VELOCITY * velocity - TAU_ENTROPY * log_std


@dataclass
class GradientSpy:
    """Gradients of every parameter of both modules at each step of one of the optimisers."""

    update: DxMIUpdate
    steps: list[tuple[str, dict[str, Tensor | None]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("policy", "value"):
            trainee: OptimizedModule = getattr(self.update, name)
            trainee.optimizer.register_step_pre_hook(self._hook(name))

    def _hook(self, stepping: str) -> Callable[..., None]:
        def record(*_: object) -> None:
            grads = {
                f"{owner}.{name}": None if p.grad is None else p.grad.clone()
                for owner in ("policy", "value")
                for name, p in getattr(self.update, owner).module.named_parameters()
            }
            self.steps.append((stepping, grads))

        return record


# --- the order and reach of the steps -------------------------------------------------------------------------


@every_sweep
def test_energy_then_value_then_policy_and_each_moves_its_own_parameters_only(sweep):
    update = build(sweep=sweep)
    spy = GradientSpy(update)
    call(update)
    assert [name for name, _ in spy.steps] == ["value"] * (1 + len(sweep)) + ["policy"] * len(sweep)
    for stepping, grads in spy.steps:
        for name, grad in grads.items():
            if name.startswith(stepping):
                assert grad is not None
            else:
                assert grad is None, f"{name} has a gradient in a step of the {stepping}"


def test_policy_and_value_all_move():
    update = build(policy=sgd(pulling_policy(), 1e-2), value=sgd(WavyValue(), 1e-2))
    modules = [update.policy.module, update.value.module]
    before = [p.detach().clone() for module in modules for p in module.parameters()]
    call(update)
    after = [p for module in modules for p in module.parameters()]
    assert all((p != q).any() for p, q in zip(before, after, strict=True))


def test_energy_step_is_the_gradient_of_the_contrast_with_its_regulariser():
    update = build(gamma=0.3)
    spy = GradientSpy(update)
    scalars = call(update)
    value, samples = update.value.module, rollout(update.policy.module, stream(BATCH, 0)).samples
    positive, negative = value.energy(data()), value.energy(samples)
    loss = positive.mean() - negative.mean() + 0.3 * (positive.square().mean() + negative.square().mean())
    (expected,) = torch.autograd.grad(loss, value.weights)
    torch.testing.assert_close(spy.steps[0][1]["value.weights"], expected)
    torch.testing.assert_close(scalars["energy_data"], positive.mean().detach())
    torch.testing.assert_close(scalars["energy_samples"], negative.mean().detach())


def test_energy_falls_on_data_and_rises_on_samples():
    value = WavyValue()
    update = build(value=sgd(value, 1e-3), gamma=0.0)
    samples = rollout(update.policy.module, stream(BATCH, 0)).samples
    before = value.energy(data()).mean() - value.energy(samples).mean()
    call(update)
    assert value.energy(data()).mean() - value.energy(samples).mean() < before


# --- value steps ----------------------------------------------------------------------------------------------


@every_sweep
@pytest.mark.parametrize("cost", ["running", "time"])
def test_value_loss_is_the_mean_squared_bellman_error_of_eq_10(sweep, cost):
    update = build(sweep=sweep, value_cost=running_cost() if cost == "running" else linear_time_cost(STEPS, rate=0.3))
    policy, value = update.policy.module, update.value.module
    errors = []
    for x, x_next, k in transitions(policy):
        cost_now = step_cost(x, x_next, int(k[0]), policy.log_std(k)) if cost == "running" else 0.3
        errors.append(cost_now + value.value(x_next, k + 1) - value.value(x, k))
    expected = torch.cat(errors).square().mean().detach()
    torch.testing.assert_close(call(update)["value_loss"], expected, rtol=1e-6, atol=0)


def test_one_batched_value_step_is_the_sum_of_the_sequential_ones_for_a_frozen_value():
    gradients = {}
    for name, sweep in SWEEPS.items():
        update = build(sweep=sweep)
        spy = GradientSpy(update)
        call(update)
        gradients[name] = [grads["value.weights"] for stepping, grads in spy.steps[1:] if stepping == "value"]
    assert [len(steps) for steps in gradients.values()] == [1, STEPS]
    torch.testing.assert_close(gradients["batched"][0], sum(gradients["sequential"]))
    for k, gradient in zip(reversed(range(STEPS)), gradients["sequential"], strict=True):
        assert gradient.abs().sum(dim=1).nonzero().flatten().tolist() == [k]


def test_a_value_step_is_the_semi_gradient():
    update = build()
    spy = GradientSpy(update)
    call(update)
    policy, value = update.policy.module, update.value.module
    expected = torch.zeros_like(value.weights)
    for x, x_next, k in transitions(policy):
        with torch.no_grad():
            target = step_cost(x, x_next, int(k[0]), policy.log_std(k)) + value.value(x_next, k + 1)
        expected += torch.autograd.grad((value.value(x, k) - target).square().mean(), value.weights)[0]
    torch.testing.assert_close(spy.steps[1][1]["value.weights"], expected, rtol=1e-6, atol=1e-8)


def test_one_sequential_sweep_carries_the_energy_to_every_step_and_a_batched_one_a_step_further():
    """Constant values and a step size that jumps onto the target: theta_k <- R + theta_{k+1}."""
    constants = {}
    for name, sweep in SWEEPS.items():
        value = FixedEnergy((0.0, 0.0, 0.0, 3.0))
        value.weights.register_hook(lambda grad: grad * float64((0.0, 0.0, 0.0, 1.0)))
        update = build(value=sgd(value, 0.5), value_cost=linear_time_cost(STEPS), sweep=sweep)
        call(update)
        constants[name] = value.weights[:, 3].tolist()
    assert constants["sequential"] == pytest.approx([3.15, 3.10, 3.05])
    assert constants["batched"] == pytest.approx([0.05, 0.05, 3.05])


def cost_to_go(energy: tuple[float, float, float, float]) -> Tensor:
    """Weights of (||x||^2, x, 1) of V_0 .. V_{K-1} for the pulling policy, backwards from the energy.

    x' = (1 - c) x + c m + s eps, so E||x'||^2 = ||(1 - c) x + c m||^2 + D s^2, and the step costs
    tau_velocity (c^2 ||m - x||^2 + D s^2) / (2 D v) - tau_entropy log s in expectation.
    """
    m = float64(M)
    p, q, r = energy[0], float64(energy[1:3]), energy[3]
    levels = []
    for c, s, v in reversed([(c, s, v**2) for c, s, v in zip(C, STDS, VELOCITY_STDS, strict=True)]):
        r = r + p * (c**2 * (m @ m).item() + DIM * s**2) + c * (q @ m).item()
        q = (1 - c) * q + 2 * p * c * (1 - c) * m
        p = p * (1 - c) ** 2
        w = TAU_VELOCITY / (2 * DIM * v)
        p, q, r = p + w * c**2, q - 2 * w * c**2 * m, r + w * (c**2 * (m @ m).item() + DIM * s**2)
        r = r - TAU_ENTROPY * math.log(s)
        levels.insert(0, torch.cat([float64((p,)), q, float64((r,))]))
    return torch.stack(levels)


@every_sweep
def test_values_converge_to_the_closed_form_cost_to_go(sweep):
    energy = (0.4, -0.8, 0.3, 1.0)
    value = FixedEnergy(energy)
    iterations, batch = 500, 1000
    optimiser, decay = make_optimizer([{"params": value.parameters(), "lr": 0.05}], iterations)
    update = build(value=OptimizedModule(module=value, optimizer=optimiser), sweep=sweep)
    for i in range(iterations):
        call(update, batch=batch, seed=2 * i)
        decay.step()
    torch.testing.assert_close(value.weights.detach(), cost_to_go(energy), rtol=0, atol=0.008)


# --- policy step ----------------------------------------------------------------------------------------------


def policy_noise() -> Tensor:
    """What `call` hands to the policy steps, [K, b, D]."""
    return stream(STEPS * BATCH, 1).normal(0).reshape(STEPS, BATCH, DIM)


def policy_objective(policy: GaussianPolicy, value: nn.Module, moves: list, eps: Tensor) -> Tensor:
    """Eq. 11 on stored states: mean over chains of the sum over steps of V_{k+1}(x') + cost."""
    total = torch.zeros((), dtype=torch.float64)
    for step, (x, _, k) in enumerate(moves):
        log_std = policy.learned_log_std[step]
        x_next = x + policy.net(x, k) + log_std.exp() * eps[step]
        total = total + (value.value(x_next, k + 1) + step_cost(x, x_next, step, log_std)).mean()
    return total


@every_sweep
def test_policy_gradient_is_the_finite_difference_of_eq_11_at_stored_states(sweep):
    """For a frozen policy the gradients of all groups of steps add up to that of the whole objective."""
    policy, value = pulling_policy(), WavyValue()
    update = build(policy=sgd(policy, 0.0), value=sgd(value, 0.0), sweep=sweep)
    spy = GradientSpy(update)
    call(update)
    steps = [grads for stepping, grads in spy.steps if stepping == "policy"]
    moves, eps = transitions(policy), policy_noise()
    h = 1e-5
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            gradient = sum(grads[f"policy.{name}"] for grads in steps).view(-1)
            flat = parameter.view(-1)
            for i in range(len(flat)):
                kept = flat[i].item()
                ends = []
                for moved in (kept + h, kept - h):
                    flat[i] = moved
                    ends.append(policy_objective(policy, value, moves, eps).item())
                flat[i] = kept
                assert gradient[i].item() == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-5, abs=1e-7)


def test_sequential_policy_steps_take_the_steps_in_the_order_of_the_sweep():
    update = build(sweep=SWEEPS["sequential"])
    spy = GradientSpy(update)
    call(update)
    gradients = [grads["policy.net.c"] for stepping, grads in spy.steps if stepping == "policy"]
    assert [gradient.nonzero().flatten().tolist() for gradient in gradients] == [[2], [1], [0]]


@every_sweep
def test_policy_scalars_split_the_objective_into_value_and_cost(sweep):
    update = build(sweep=sweep)
    scalars = call(update)
    policy = update.policy.module
    objective = policy_objective(policy, update.value.module, transitions(policy), policy_noise()).detach()
    torch.testing.assert_close((scalars["policy_value"] + scalars["policy_cost"]) * STEPS, objective)


def test_policy_descends_the_value_that_was_just_updated():
    """A value of zero is lifted by the value steps of the same call, and the policy feels it at once."""
    value = FixedEnergy((1.0, 0.0, 0.0, 0.0))
    free = RunningCost(tau_entropy=0.0, tau_velocity=0.0, num_steps=STEPS)
    policy = pulling_policy()
    update = build(policy=sgd(policy, 0.0), value=sgd(value, 0.05), policy_cost=free, value_cost=free)
    spy = GradientSpy(update)
    call(update)
    # Step 1 reaches V_2, which only the value step of this call has made different from 0.
    assert spy.steps[-1][1]["policy.net.c"][1].abs() > 1e-3


def test_without_tau_the_policy_sees_the_value_alone_and_shrinks_its_std_on_a_bowl():
    free = RunningCost(tau_entropy=0.0, tau_velocity=0.0, num_steps=STEPS)
    value = FixedEnergy((1.0, 0.0, 0.0, 0.0))
    with torch.no_grad():
        value.weights.copy_(float64((1.0, 0.0, 0.0, 0.0)))
    update = build(value=sgd(value, 0.0), policy_cost=free, value_cost=free)
    spy = GradientSpy(update)
    scalars = call(update, batch=2000)
    assert scalars["policy_cost"] == 0.0
    # d/dlog s of E||mu + s eps||^2 = 2 D s^2.
    expected = 2 * DIM * float64(STDS) ** 2
    torch.testing.assert_close(spy.steps[-1][1]["policy.learned_log_std"], expected, rtol=0.2, atol=0)


def test_entropy_alone_raises_every_log_std_at_rate_tau():
    value = FixedEnergy((0.0, 0.0, 0.0, 0.0))
    cost = RunningCost(tau_entropy=0.7, tau_velocity=0.0, num_steps=STEPS)
    policy = pulling_policy()
    before = policy.learned_log_std.detach().clone()
    call(build(policy=sgd(policy, 0.1), value=sgd(value, 0.0), policy_cost=cost))
    torch.testing.assert_close(policy.learned_log_std.detach(), before + 0.1 * 0.7)


def test_gradient_norms_are_clipped_where_asked_and_never_that_of_the_energy_step():
    policy = pulling_policy()
    update = build(
        policy=OptimizedModule(
            module=policy, optimizer=torch.optim.SGD(policy.parameters(), lr=0.0), max_grad_norm=0.01
        ),
        td_max_grad_norm=0.02,
    )
    spy, free = GradientSpy(update), GradientSpy(unclipped := build())
    call(update)
    call(unclipped)
    for (stepping, grads), (_, wild) in zip(spy.steps, free.steps, strict=True):
        ours = torch.cat([g.flatten() for g in grads.values() if g is not None])
        theirs = torch.cat([g.flatten() for g in wild.values() if g is not None])
        limit = theirs.norm().item() if grads is spy.steps[0][1] else {"policy": 0.01, "value": 0.02}[stepping]
        assert ours.norm().item() == pytest.approx(limit, rel=1e-3)
        torch.testing.assert_close(ours / ours.norm(), theirs / theirs.norm(), rtol=1e-4, atol=1e-6)


# --- a head start, and steps left out -------------------------------------------------------------------------


def test_a_head_start_moves_energy_and_value_as_an_iteration_would_and_not_the_policy():
    ahead, whole = build(value=sgd(WavyValue(), 1e-2)), build(value=sgd(WavyValue(), 1e-2))
    still = [p.detach().clone() for p in ahead.policy.module.parameters()]
    scalars = ahead.evaluate_policy(data(), stream(BATCH, 0))
    expected = call(whole)
    assert set(scalars) == {"energy_data", "energy_samples", "value_loss"}
    assert all(torch.equal(scalars[name], expected[name]) for name in scalars)
    assert torch.equal(ahead.value.module.weights, whole.value.module.weights)
    assert torch.equal(ahead.velocity.var, whole.velocity.var)
    assert all(torch.equal(p, q) for p, q in zip(still, ahead.policy.module.parameters(), strict=True))


@pytest.mark.parametrize("make", [batched_sweep, sequential_sweep], ids=["batched", "sequential"])
def test_steps_left_out_of_the_policys_sweep_get_no_gradient(make):
    update = build(policy=sgd(pulling_policy(), 1e-2), policy_sweep=make(STEPS, 1))
    before = update.policy.module.net.c.detach().clone()
    call(update)
    moved = update.policy.module.net.c.detach() != before
    assert moved.tolist() == [False, True, True]


# --- velocity variances ---------------------------------------------------------------------------------------


def test_velocity_variance_starts_as_a_variance():
    velocity = VelocityVariance(torch.tensor([0.5, 2.0]).square())
    assert velocity.var.tolist() == [0.25, 4.0]


def test_velocity_variance_does_not_share_memory_with_the_policy():
    policy = pulling_policy()
    velocity = VelocityVariance(velocity_of_noise(policy))
    with torch.no_grad():
        policy.learned_log_std.fill_(0.0)
    torch.testing.assert_close(velocity.var, float64(STDS) ** 2, rtol=1e-6, atol=0)
    assert not velocity.var.requires_grad


@pytest.mark.parametrize("dim", [2, 5])
def test_velocity_variance_is_an_average_of_the_mean_square_per_dimension(dim):
    states = torch.zeros(3, 4, dim, dtype=torch.float64)
    states[1] = 3.0
    states[2] = torch.tensor([4.0, 4.0, 2.0, 2.0])[:, None]
    velocity = VelocityVariance(float64((0.25, 1.0)), decay=0.9)
    velocity.update(observed_velocity(Trajectory(states=states)))
    assert velocity.var.tolist() == pytest.approx([0.9 * 0.25 + 0.1 * 9.0, 0.9 * 1.0 + 0.1 * 1.0])


def test_velocity_variance_converges_to_the_expected_squared_step_per_dimension():
    update = build(avr_decay=0.97)
    iterations, batch = 500, 512
    for i in range(iterations):
        call(update, batch=batch, seed=2 * i)
    m, expected = float64(M), []
    mean, var = torch.zeros(DIM, dtype=torch.float64), 1.0
    for c, s in zip(C, STDS, strict=True):
        expected.append(c**2 * ((m - mean).square().mean().item() + var) + s**2)
        mean, var = mean + c * (m - mean), (1 - c) ** 2 * var + s**2
    # The EMA averages about 65 batches. A squared step is of relative std below 2 per dimension.
    tolerance = 5 * 2 / math.sqrt(65 * batch * DIM)
    torch.testing.assert_close(update.velocity.var, float64(tuple(expected)), rtol=tolerance, atol=0)


def test_decay_of_one_keeps_the_starting_variances():
    update = build(avr_decay=1.0)
    call(update)
    assert torch.equal(update.velocity.var, float64(VELOCITY_STDS) ** 2)


def test_costs_see_the_velocities_from_before_the_iteration():
    costs = []

    @dataclass
    class Spying:
        def __call__(self, x, x_next, k, log_std, avr_var):
            costs.append(avr_var.clone())
            return running_cost()(x, x_next, k, log_std, avr_var)

    call(build(policy_cost=Spying(), value_cost=Spying(), avr_decay=0.5))
    expected = (float64(VELOCITY_STDS) ** 2).repeat_interleave(BATCH)
    assert len(costs) == 2
    assert all(torch.equal(seen, expected) for seen in costs)


# --- determinism ----------------------------------------------------------------------------------------------


def test_an_iteration_follows_its_two_streams_and_not_the_global_seed():
    def parameters(seed: int, policy_seed: int, global_seed: int) -> Tensor:
        torch.manual_seed(global_seed)
        update = build(policy=sgd(pulling_policy(), 1e-2), value=sgd(WavyValue(), 1e-2))
        update(data(), stream(BATCH, seed), stream(STEPS * BATCH, policy_seed))
        modules = (update.policy.module, update.value.module)
        return torch.cat([p.detach().flatten() for module in modules for p in module.parameters()])

    first = parameters(0, 1, 0)
    assert torch.equal(parameters(0, 1, 1), first)
    assert not torch.equal(parameters(2, 1, 0), first)
    assert not torch.equal(parameters(0, 2, 0), first)
