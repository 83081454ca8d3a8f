"""Against the authors' released code: schedules, scalings, costs, and three iterations of each of its three trainers.

`released_numbers.json` holds what that code gave (swyoon/Diffusion-by-MaxEntIRL at 3f09073, CPU, no weights) around
networks and noise that are formulas; each entry's `made` says which. The release moves the velocities before the
policy's steps and this project behind them, as the paper's Algorithms 1 and 2: up to 4e-5 of a policy's loss.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
import torch
from dxbench_baselines.dxmi import DxMIConfig
from dxbench_baselines.recipes import dxmi as recipes
from torch import Tensor, nn

from dxmi.algorithms.learner import DxMILearner
from dxmi.algorithms.sweeps import sequential_sweep
from dxmi.backbones.images import DDGANUNet
from dxmi.checkpoints import dxmi_value
from dxmi.energies.values import TimeIndependentValue
from dxmi.nets.energy_resnet import EnergyResNet
from dxmi.sampling.noise import StreamNoise
from dxmi.training.costs import TIME_COSTS, RunningCost, linear_time_cost
from dxmi.training.parallel import ONE_PROCESS

RELEASED: dict[str, Any] = json.loads(Path(__file__).with_name("released_numbers.json").read_text(encoding="utf-8"))
CHAINS, SHAPE = 4, (3, 8, 8)
SETTINGS = {"cifar10": recipes.cifar10, "t10": recipes.imagenet64, "t4": recipes.imagenet64_t4}
settings = pytest.mark.parametrize("setting", SETTINGS)


def wave(*shape: int, f: float, p: float = 0.0) -> Tensor:
    i = torch.arange(math.prod(shape), dtype=torch.float64).reshape(shape)
    return math.sqrt(2) * torch.sin(f * (12.9898 * i + 78.233) + p)


# --- schedules, scalings, costs --------------------------------------------------------------------------------


def policy_of(config: DxMIConfig) -> Any:
    return config.policy(FormulaNet(), SHAPE)


def test_fastdpms_schedule_is_the_released_one() -> None:
    wanted = RELEASED["fastdpm_var_quadratic_T10"]
    policy = policy_of(recipes.cifar10())
    told = policy.net.steps
    assert told[:-1].tolist() == pytest.approx(wanted["fractional_t"][:-1], abs=2e-3)
    assert told[-1].item() == pytest.approx(0.0, abs=2e-4)  # the release: by bisection, 1.5e-4
    assert policy.scale.tolist() == pytest.approx(wanted["x_mult"], rel=1e-5)
    assert policy.gain.tolist() == pytest.approx(wanted["eps_mult"], rel=1e-4)
    assert policy.step_log_stds().exp().tolist() == pytest.approx(wanted["std"], rel=2e-4)
    assert policy.std_is_trainable.tolist() == [True] * 9 + [False]


@pytest.mark.parametrize(("name", "recipe"), [("edm_T10", recipes.imagenet64), ("edm_T4", recipes.imagenet64_t4)])
def test_edms_schedule_and_scalings_are_the_released_ones(name: str, recipe: Any) -> None:
    wanted, config = RELEASED[name], recipe()
    policy, net = policy_of(config), FormulaNet()
    sigmas = torch.tensor(wanted["sigmas"][:-1], dtype=torch.float64)
    assert policy.net.steps.tolist() == pytest.approx(wanted["sigmas"][:-1], rel=1e-6)
    down = policy.scale * policy.net.steps
    assert down.tolist() == pytest.approx(wanted["sigma_down"], rel=1e-4, abs=1e-7)
    assert policy.step_log_stds().exp()[:-1].tolist() == pytest.approx(wanted["sigma_up"][:-1], rel=1e-4)
    assert policy.std_is_trainable.tolist() == [True] * (config.num_steps - 1) + [wanted["last_std_is_trainable"]]
    denoiser = config.backbone.network.denoiser(net)
    x = torch.ones(len(sigmas), *SHAPE, dtype=torch.float64)
    denoised = denoiser(x, sigmas, torch.ones(len(sigmas), dtype=torch.int64))
    c_skip, c_out, c_in, time = (
        torch.tensor(wanted[key], dtype=torch.float64) for key in ("c_skip", "c_out", "c_in", "time_told_to_unet")
    )
    told = FormulaNet()(c_in[:, None, None, None] * x, time, labels=torch.ones(len(sigmas), dtype=torch.int64))
    by_hand = c_skip[:, None, None, None] * x + c_out[:, None, None, None] * told
    torch.testing.assert_close(denoised, by_hand, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        ("fastdpm_var_quadratic_T10", recipes.cifar10),
        ("edm_T10", recipes.imagenet64),
        ("edm_T4", recipes.imagenet64_t4),
        ("edm_T4", recipes.lsun_bedroom),
    ],
)
def test_velocities_begin_as_released_and_near_those_of_a_chain(name: str, recipe: Any) -> None:
    config = recipe()
    start = config.sampler.start_velocity(config.network, config.num_steps)
    assert start is not None
    assert start.tolist() == pytest.approx(RELEASED[name]["avr_start_s2"], rel=1e-4)


def test_ddgans_posterior_is_the_released_one() -> None:
    wanted = RELEASED["ddgan_T4"]
    of_x, of_data = DDGANUNet().schedule.posterior_mean()
    assert of_x.tolist() == pytest.approx(wanted["of_x"], abs=1e-6)
    assert of_data.tolist() == pytest.approx(wanted["of_data"], abs=1e-6)
    assert DDGANUNet().schedule.posterior_std().tolist() == pytest.approx(wanted["std"], abs=1e-6)


def test_time_costs_are_the_released_ones_and_of_odd_lengths_the_papers() -> None:
    for steps in (4, 10):
        wanted = RELEASED["time_cost"][f"sigmoid_T{steps}"]
        assert TIME_COSTS["sigmoid"](steps).per_step.tolist() == pytest.approx(wanted, rel=1e-5)
    assert linear_time_cost(3).per_step.tolist() == pytest.approx([RELEASED["time_cost"]["linear"]] * 3)
    # The release centres on T // 2, the paper on T / 2, about which its cost is symmetric.
    five = TIME_COSTS["sigmoid"](5).per_step
    torch.testing.assert_close(five, five.flip(0))
    assert five.tolist() != pytest.approx(RELEASED["time_cost"]["sigmoid_T5_release_centre_is_T//2"], rel=0.1)


def test_the_energy_net_is_the_released_one() -> None:
    wanted = RELEASED["energy_net_nh4"]
    net = EnergyResNet(generator=torch.Generator().manual_seed(0), width=4).double()
    with torch.no_grad():
        official: dict[str, Tensor] = {}
        shapes = released_shapes(net)
        for i, name in enumerate(wanted["parameter_order"]):
            shape = shapes[name]
            fan_in = math.prod(shape[1:]) if len(shape) > 1 else 1
            j = torch.arange(math.prod(shape), dtype=torch.float64)
            official[f"net.{name}"] = (torch.sin(0.7 * j + 1.3 * i) * 1.5 / math.sqrt(fan_in)).reshape(shape)
        net.load_state_dict(dxmi_value(width=4)(official))
    x = (0.6 * wave(2, 3, 16, 16, f=0.37)).clamp(-1, 1).requires_grad_(True)
    energy = net(x).squeeze(-1)
    assert energy.tolist() == pytest.approx(wanted["energy"], rel=1e-8)
    (gradient,) = torch.autograd.grad(energy.sum(), x)
    assert gradient.norm().item() == pytest.approx(wanted["grad_x_norm"], rel=1e-8)
    assert gradient.flatten()[:5].tolist() == pytest.approx(wanted["grad_x_first5"], rel=1e-6)
    assert net(80 * x).squeeze(-1).tolist() == pytest.approx(wanted["energy_of_80x"], rel=1e-8)


def released_shapes(net: nn.Module) -> dict[str, torch.Size]:
    """Shapes of the released energy net's parameters, by their names there."""
    renamed = {"stem": "conv1", "head": "linear", "scale": "out_scale"}
    inside = {"conv0": "conv1", "conv1": "conv2", "skip": "skip.0"}
    found = {}
    for name, parameter in net.named_parameters():
        parts = name.split(".")
        if parts[0] == "blocks":
            parts[2] = inside[parts[2]]
        else:
            parts[0] = renamed[parts[0]]
        found[".".join(parts)] = parameter.shape
    return found


# --- three iterations ------------------------------------------------------------------------------------------


class FormulaNet(nn.Module):
    """F(x, t[, y]) = w0 x + w1 tanh x + w2 sin(t / 50) + w3 (y mod 3 - 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([0.30, 0.50, 0.10, 0.05], dtype=torch.float64))

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        out = self.w[0] * x + self.w[1] * torch.tanh(x) + self.w[2] * torch.sin(t.double() / 50)[:, None, None, None]
        return out if labels is None else out + self.w[3] * (labels % 3 - 1).double()[:, None, None, None]


class FormulaEnergy(nn.Module):
    """V(x) = v0 mean x^2 + v1 mean sin x + v2."""

    def __init__(self) -> None:
        super().__init__()
        self.v = nn.Parameter(torch.tensor([0.20, 0.40, -0.10], dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        return (self.v[0] * x.square().mean(1) + self.v[1] * x.sin().mean(1) + self.v[2])[:, None]


@dataclass(frozen=True)
class WaveNoise:
    """Draw k of a rollout in iteration `it`."""

    it: int

    def normal(self, draw: int) -> Tensor:
        return wave(CHAINS, *SHAPE, f=1 + 0.01 * draw, p=0.1 * self.it)


@dataclass(frozen=True, kw_only=True)
class WavePolicyNoise(StreamNoise):
    """The noise of the re-drawn states of all steps in iteration `it`."""

    it: int

    def normal(self, draw: int) -> Tensor:
        steps = range(self.batch_size // CHAINS)
        return torch.cat([wave(CHAINS, *SHAPE, f=2 + 0.01 * k, p=0.1 * self.it) for k in steps])


class WaveSweep:
    """Minibatch m takes chain b at step (3 b + it + m) mod T."""

    def __init__(self, config: DxMIConfig) -> None:
        self.config, self.it = config, 0

    def steps(self, chains: int, generator: torch.Generator) -> list[Tensor]:
        b = torch.arange(chains)
        return [
            ((3 * b + self.it + m) % self.config.num_steps)[None] for m in range(self.config.policy_minibatches or 1)
        ]


class Toy:
    """DxMI around the formula networks, in the parts and at the rates of a recipe."""

    def __init__(self, config: DxMIConfig) -> None:
        self.config, self.net = config, FormulaNet()
        self.policy = config.policy(self.net, SHAPE).double()
        self.value = TimeIndependentValue(FormulaEnergy())
        assert config.tau_velocity is not None
        velocity = config.sampler.start_velocity(config.network, config.num_steps)
        assert velocity is not None
        self.sweep = WaveSweep(config)
        self.learner = DxMILearner(
            self.policy,
            self.value,
            config.rates(),
            policy_cost=RunningCost(
                tau_entropy=config.tau,
                tau_velocity=config.tau_velocity,
                num_steps=config.num_steps,
                skip_last=config.skip_last,
            ),
            value_cost=TIME_COSTS[config.value_cost](config.num_steps),
            gamma=config.gamma,
            avr_decay=config.avr_decay,
            start_velocity=velocity.double(),
            sweep=sequential_sweep(config.num_steps),
            policy_sweep=self.sweep,
            parallel=ONE_PROCESS,
        )
        self.norms: list[tuple[str, float]] = []
        for name, optimiser in (("v", self.learner._value_optimiser), ("p", self.learner._policy_optimiser)):
            optimiser.register_step_pre_hook(lambda opt, *_, name=name: self.norms.append((name, norm_of(opt))))

    def step(self, it: int) -> dict[str, float]:
        self.norms.clear()
        self.sweep.it = it
        data = (0.6 * wave(CHAINS, *SHAPE, f=0.37, p=it)).clamp(-1, 1)
        labels = (7 * torch.arange(CHAINS) + it) % 10 if self.config.network.num_classes else None
        rows = CHAINS * self.config.num_steps
        noise = WavePolicyNoise(batch_size=rows, event_shape=SHAPE, generator=torch.Generator(), it=it)
        scalars = self.learner.step(data, WaveNoise(it), noise, labels=labels)
        return {name: float(value) for name, value in scalars.items()}


def norm_of(optimiser: torch.optim.Optimizer) -> float:
    """Of the gradient that an optimiser is about to step with."""
    gradients = [p.grad.flatten() for group in optimiser.param_groups for p in group["params"] if p.grad is not None]
    return torch.cat(gradients).norm().item()


@settings
def test_three_iterations_are_those_of_the_released_trainer(setting: str) -> None:
    toy = Toy(SETTINGS[setting]())
    for it, wanted in enumerate(RELEASED["toy_three_iterations"][setting]):
        found = toy.step(it)
        energies = (found["energy_data"], found["energy_samples"])
        assert energies == pytest.approx(wanted["energy_ref"][:2], abs=1e-4)
        assert found["value_loss"] == pytest.approx(mean(wanted["td_ref"]), rel=1e-4)
        assert found["policy_value"] + found["policy_cost"] == pytest.approx(mean(wanted["policy_ref"]), rel=1e-4)
        assert toy.learner._velocity.var.tolist() == pytest.approx(wanted["s2_ref"], rel=1e-4)
        assert toy.value.net.v.tolist() == pytest.approx(wanted["v_ref"], abs=1e-7)
        assert toy.net.w.tolist() == pytest.approx(wanted["w_ref"], abs=5e-9)
        # Of a last step without noise (T = 10) the release logs a floor of 1e-3, and here a noise of 1e-4 stands.
        last = -1 if setting == "t10" else None
        assert toy.policy.step_log_stds().tolist()[:last] == pytest.approx(wanted["log_std_ref"][:last], abs=1e-4)
        values = [norm for name, norm in toy.norms if name == "v"]
        assert values == pytest.approx(
            [n for who, n in wanted["gradient_norms_as_stepped_ref"] if who == "v"], rel=1e-4
        )
