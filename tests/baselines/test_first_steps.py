"""What single steps of methods do, where the right answer is known: which way a sampler goes, what noise a net sees."""

import math
from typing import Any

import pytest
import torch
from dxbench_baselines.consistency import Consistency, ConsistencyConfig
from dxbench_baselines.dte import DTEConfig, DTETraining
from dxbench_baselines.sft_pg import SFTPG, SFTPGConfig
from dxbench_baselines.starts.backbone import Backbone, Pretraining
from gaussian_task import CRITIC, MEAN, small, start
from torch import Tensor

from dxbench.api import Compute, Problem
from dxbench.api.streams import RandomStreams
from dxbench.conformance.problems import synthetic_problem
from dxbench.plugins.registry import load_method
from dxbench.tasks.detection import PointSet
from dxmi.backbones.few_steps import FastDPMSteps
from dxmi.backbones.images import DDPMUNet
from dxmi.backbones.small import DDPMMLP, EDMMLP
from dxmi.energies.critics import ConvolutionCritic
from dxmi.sampling.rollouts import rollout

CPU = Compute(device="cpu", threads=1)

# --- SFT-PG ----------------------------------------------------------------------------------------------------


def plane(**settings: Any) -> Any:
    """SFT-PG on the Gaussian, behind the training of its start."""
    backbone = small(DDPMMLP, iterations=30, lr=3e-3, ema_decay=0.9)
    config = SFTPGConfig(**CRITIC, num_steps=4, backbone=backbone, critic_warmup=0, ema_decay=0.0, **settings)
    return behind_the_start(start(SFTPG, config))


def released(**settings: Any) -> Any:
    """SFT-PG's released loop on small images, behind the training of its start."""
    tiny = DDPMUNet(width=16, multipliers=(1, 2), blocks_per_level=1, attention_levels=())
    config = SFTPGConfig(
        backbone=Backbone(network=tiny, pretraining=Pretraining(iterations=1, batch_size=4)),
        sampler=FastDPMSteps(),
        critic=ConvolutionCritic(width=8),
        rollouts="several",
        num_steps=3,
        batch_size=8,
        ema_decay=0.0,
        **settings,
    )
    problem = synthetic_problem((3, 32, 32), classes=False)
    return behind_the_start(SFTPG().start(problem, config, compute=CPU, rng=RandomStreams("sft_pg", "t", 0)))


def behind_the_start(train: Any) -> Any:
    for _ in range(train.config.backbone.pretraining.iterations):
        train.step()
    return train


def first_coordinate(x: Tensor) -> Tensor:
    return x.flatten(1)[:, 0]


def known_critic(train: Any, f: Any) -> None:
    """A critic that is f and stays it."""
    train.cost.energy = f
    train.critic.descend = lambda loss: loss.detach()


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_sft_pg_goes_down_the_critic_in_the_plane(sign: float) -> None:
    train = plane(iterations=60, policy_lr=3e-3)
    known_critic(train, lambda x: sign * first_coordinate(x))
    before = first_coordinate(rollout(train.steps, train.noise).samples)
    for _ in range(40):
        train.step()
    after = first_coordinate(rollout(train.steps, train.noise).samples)
    noise = math.hypot(float(before.std()), float(after.std())) / math.sqrt(len(after))
    assert sign * float(after.mean() - before.mean()) < -5 * noise


def test_the_baseline_of_sft_pg_does_not_chase_the_critics_constant() -> None:
    """Only f(x) - E f(data) is foreseen, so that what is left is the sampler's error."""
    foreseen = []
    for constant in (0.0, 100.0):
        train = plane(iterations=40, policy_lr=1e-9, value_lr=1e-2)
        known_critic(train, lambda x, c=constant: first_coordinate(x) + c)
        for _ in range(30):
            train.step()
        x = rollout(train.steps, train.noise).states[0]
        with torch.no_grad():
            foreseen.append(train.baseline.value(x, torch.zeros(len(x), dtype=torch.int64)))
        ends = rollout(train.steps, train.noise).samples
        gap = float(first_coordinate(ends).mean()) - float(MEAN[0]) * train.begun.data.scale
        assert float(foreseen[-1].mean()) == pytest.approx(gap, abs=0.25)
    torch.testing.assert_close(foreseen[0], foreseen[1], rtol=0.0, atol=0.02)


def test_transitions_of_sft_pgs_released_loop_weigh_by_critic_less_baseline() -> None:
    """d loss / d log pi = (f(x_K) - v) / D / rows: a chain that ends dear is made less likely."""
    train = released(iterations=4, critic_steps=2, policy_passes=1)
    known_critic(train, lambda x: first_coordinate(x) + 50.0)
    train.baseline.value = lambda x, k: torch.full((len(x),), 20.0, requires_grad=True)
    train.value.descend = lambda loss: loss.detach()
    log_prob, seen = train.steps.log_prob, []
    train.steps.log_prob = lambda *args: seen.append(log_prob(*args)) or seen[-1]
    weights: list[Tensor] = []
    train.policy.descend = lambda loss: weights.append(torch.autograd.grad(loss, seen[-1])[0]) or loss.detach()
    train.step()
    advantages = weights[0] * 8 * 3 * 32 * 32
    assert float(advantages.mean()) == pytest.approx(30.0, abs=3.0)
    assert float(advantages.std()) > 0.1


def test_the_critic_of_the_released_loop_learns_to_be_low_at_data() -> None:
    train = released(iterations=20, critic_steps=5, policy_passes=1, policy_lr=1e-9, critic_lr=1e-3)
    for _ in range(6):
        train.step()
    with torch.no_grad():
        data, samples = train.cost.energy(train.data()), train.cost.energy(rollout(train.steps, train.noise).samples)
    assert float(data.mean()) < float(samples.mean())


# --- consistency models ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["training", "distillation"])
def test_the_pair_of_a_consistency_model_lies_one_level_apart(variant: str) -> None:
    """Of data + sigma eps the other end is data + sigma' eps in CT, and the teacher's Heun step to sigma' in CD."""
    config = ConsistencyConfig(
        variant=variant,  # type: ignore[arg-type]
        backbone=small(EDMMLP, iterations=20, lr=1e-3, ema_decay=0.9),
        num_levels=6,
        weight="one",
    )
    train: Any = behind_the_start(start(Consistency, config))
    data, eps = torch.randn(2, 9, 2, generator=torch.Generator().manual_seed(1)).unbind(0)
    sigma, after = torch.full((9,), 2.0), torch.full((9,), 1.2)
    with torch.no_grad():
        x = data + 2.0 * eps
        if variant == "training":
            nearer = data + 1.2 * eps
        else:
            slope = (x - train.teacher(x, sigma)) / 2.0
            euler = x - 0.8 * slope
            nearer = x - 0.4 * (slope + (euler - train.teacher(euler, after)) / 1.2)
        wanted = (train.online(x, sigma) - train.slow(nearer, after)).square().sum(1).mean()
    torch.testing.assert_close(train._loss(data, sigma, after, eps), wanted)
    assert float(wanted) > 0


# --- detectors -------------------------------------------------------------------------------------------------


def test_what_diffusion_time_estimation_sees_has_the_noise_of_its_time() -> None:
    """Rows that are all alike are 0 behind the standardisation: what the net sees is the noise alone."""
    config = DTEConfig(variant="inverse_gamma", batch_size=4000, widths=(8, 8))
    train: Any = DTETraining(torch.ones(50, 16), config, CPU, RandomStreams("dte", 0))
    seen: list[Tensor] = []
    net, loss = train.net.of_standardised, train._loss
    train.net.of_standardised = lambda x, dropping: seen.append(x) or net(x, dropping)
    train._loss = lambda outputs, t, var: seen.append(t) or loss(outputs, t, var)
    train.step()
    x, t = seen
    betas = torch.linspace(1e-4, 1e-2, 400, dtype=torch.float64)
    var = 1 - (1 - betas).cumprod(0)
    for low, high in ((0, 100), (100, 250), (250, 400)):
        rows = (t >= low) & (t < high)
        ratio = (x[rows].double().square().mean(1) / var[t[rows]]).mean()
        assert float(ratio) == pytest.approx(1.0, abs=5 * math.sqrt(2 / (16 * int(rows.sum()))))


def dxmi_detection(**settings: Any) -> Any:
    generator = torch.Generator().manual_seed(0)
    problem = Problem(
        task="t", event_shape=(8,), data=PointSet(points=torch.randn(100, 8, generator=generator)), data_std=1.0
    )
    small = {"latent": 4, "hidden": 16, "batch_size": 64, "features": "sphere", "pretrain_iterations": 5}
    method = load_method("dxmi_detection")
    config = method.Config.model_validate({**small, "iterations": 40, **settings})
    train: Any = method().start(problem, config, compute=CPU, rng=RandomStreams("test", 0))
    for _ in range(5):
        train.step()
    return train


def test_chains_of_dxmi_detection_begin_at_decoded_codes_that_noise_has_moved() -> None:
    """MPDR Eq. 7: z~ = (z + sigma eps) / |z + sigma eps|, sigma uniform up to `latent_noise`."""
    train = dxmi_detection(latent_noise=0.7)
    data, frozen = train.points[:64], train.frozen
    draws = torch.Generator()
    draws.set_state(train.generator.get_state())
    eps = torch.randn(64, 4, generator=draws)
    sigma = 0.7 * torch.rand(64, generator=draws)
    with torch.no_grad():
        code = frozen.encoder(data)
        moved = code / code.norm(dim=1, keepdim=True) + sigma[:, None] * eps
        decoded = frozen.decoder(moved / moved.norm(dim=1, keepdim=True))
    torch.testing.assert_close(train._start(data), decoded / decoded.norm(dim=1, keepdim=True))


def test_the_noise_of_a_step_of_dxmi_detection_has_the_angle_that_was_asked_for() -> None:
    train = dxmi_detection(step_angle=0.2)
    states = rollout(train.nets.policy, train._noise(1), start=train.points[:64]).states
    cosines = (states[1:] * states[:-1]).sum(-1).clamp(-1, 1)
    assert float(cosines.acos().square().mean().sqrt()) == pytest.approx(0.2, rel=0.1)


def test_the_temperature_of_dxmi_detection_widens_its_sampler() -> None:
    """With an energy that hardly moves, the entropy is what the sampler's std follows."""
    grown = []
    for tau in (0.0, 3.0):
        train = dxmi_detection(tau=tau, energy_lr=1e-9, policy_lr=1e-3)
        widths = [float(train.step()["mean_std"]) for _ in range(30)]
        grown.append(widths[-1] / widths[0])
    assert grown[1] > max(grown[0], 1.05)
