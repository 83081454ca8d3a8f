"""Backbones: the chain they visit, their training, and finding again what was trained."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from dxbench_baselines.dxmi import DxMIConfig
from dxbench_baselines.starts.backbone import Backbone, Pretraining, pretrained
from dxbench_baselines.starts.presets import ADM, DDGAN, DDPM, EDM_VP, IMAGE_DDPM, IMAGE_EDM
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from dxbench.api import Compute, Problem
from dxbench.api.streams import RandomStreams
from dxmi.backbones.few_steps import FastDPMSteps, KarrasSteps, StridedSteps, strided_steps
from dxmi.backbones.small import DDPMMLP, EDMMLP, Network
from dxmi.models import PolicySampler
from dxmi.nets.residual_mlp import ResidualMLP
from dxmi.nets.steps import AtSteps, Strided
from dxmi.sampling.policies import GaussianPolicy
from dxmi.schedules.levels import VPSchedule

SHAPE = (1, 4, 4)
PLAN = Pretraining(iterations=12, batch_size=8)
TINY = Backbone(network=DDPMMLP(hidden=16, depth=1), pretraining=PLAN)


class Pattern:
    """One event of ones and minus ones, a checkerboard, with a little noise."""

    def __init__(self, shape: tuple[int, ...] = SHAPE) -> None:
        self.shape = shape

    def batch(self, n: int, *, rng: np.random.Generator) -> Tensor:
        checks = torch.from_numpy(np.indices(self.shape).sum(axis=0) % 2 * 2.0 - 1.0)
        return (checks + 0.05 * torch.from_numpy(rng.standard_normal((n, *self.shape)))).float()


class Memory:
    """A store in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, Any]] = {}

    def slot(self, content: Any) -> "MemorySlot":
        return MemorySlot(self, repr(sorted(content.items())))


class MemorySlot:
    def __init__(self, memory: Memory, key: str) -> None:
        self.memory, self.key = memory, key

    def load(self) -> dict[str, Any] | None:
        return self.memory.kept.get(self.key)

    def save(self, state: dict[str, Any]) -> None:
        self.memory.kept[self.key] = {name: tensor.clone() for name, tensor in state.items()}


def training(backbone: Backbone, *, seed: int = 0, store: Memory | None = None, flips: bool = False):
    compute, streams = Compute(device="cpu", threads=1, store=store), RandomStreams("backbone", seed)
    return pretrained(backbone, problem(), compute, streams, flips=flips).training


def trained(backbone: Backbone, **options: Any):
    work = training(backbone, **options)
    while not work.finished:
        work.step()
    return work


def weights(work) -> Tensor:
    return torch.cat([p.detach().flatten() for p in work.average.parameters()])


# --- the visited chain ----------------------------------------------------------------------------------------


def test_steps_are_even_from_the_first_and_the_chain_still_ends_at_data():
    assert strided_steps(1000, num_steps=4, first=300) == [300, 475, 650, 825]
    assert strided_steps(10, num_steps=10, first=0) == list(range(10))
    assert strided_steps(10, num_steps=1, first=9) == [9]
    whole = VPSchedule.linear(1000)
    part = whole.visiting([300, 475, 650, 825])
    assert part.num_steps == 4
    assert part.alpha_bar[-1] == 1
    torch.testing.assert_close(part.alpha_bar[:-1], whole.alpha_bar[[300, 475, 650, 825]], rtol=0, atol=0)
    torch.testing.assert_close(part.alphas.prod(), whole.alpha_bar[300])


def test_visiting_every_step_is_the_whole_chain():
    whole = VPSchedule.cosine(6)
    assert torch.equal(whole.visiting(range(6)).alpha_bar, whole.alpha_bar)


@pytest.mark.parametrize("steps", [[], [3, 2], [1, 1], [-1, 2], [4, 10]])
def test_steps_that_do_not_rise_within_the_chain_are_refused(steps):
    with pytest.raises(ValueError, match=r"rise within 0 \.\. 9"):
        VPSchedule.linear(10).visiting(steps)


@pytest.mark.parametrize(("num_steps", "first"), [(4, 7), (11, 0), (2, -1)])
def test_more_steps_than_there_are_left_are_refused(num_steps, first):
    with pytest.raises(ValueError, match="take fewer steps"):
        strided_steps(10, num_steps=num_steps, first=first)


def test_a_strided_net_is_asked_for_the_levels_of_the_long_chain():
    net = ResidualMLP(
        event_shape=SHAPE,
        output_shape=SHAPE,
        num_levels=50,
        hidden=8,
        depth=1,
        generator=torch.Generator().manual_seed(0),
    )
    torch.nn.init.normal_(net.output.weight, generator=torch.Generator().manual_seed(1))
    x = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(2))
    strided = Strided(net, [5, 20, 49])
    torch.testing.assert_close(strided(x, torch.tensor([2, 0, 1])), net(x, torch.tensor([49, 5, 20])))
    assert strided(x, torch.tensor([0, 0, 0])).shape == x.shape
    assert not torch.allclose(strided(x, torch.tensor([0, 0, 0])), strided(x, torch.tensor([2, 2, 2])))


def test_residual_mlp_begins_at_zero_and_checks_its_size():
    make = {"event_shape": SHAPE, "output_shape": (1,), "num_levels": 3, "hidden": 8}
    net = ResidualMLP(**make, depth=2, generator=torch.Generator().manual_seed(0))
    out = net(torch.ones(5, *SHAPE), torch.tensor([0, 1, 2, 1, 0]))
    assert torch.equal(out, torch.zeros(5, 1))
    with pytest.raises(ValueError, match="at least 1"):
        ResidualMLP(**make, depth=0, generator=torch.Generator())


# --- training -------------------------------------------------------------------------------------------------


def test_ancestral_samples_of_a_trained_backbone_are_the_pattern():
    network = DDPMMLP(hidden=64, depth=1, levels=100)
    plan = Pretraining(iterations=400, batch_size=64, lr=3e-3, ema_decay=0.95)
    work = trained(Backbone(network=network, pretraining=plan))
    sampler = StridedSteps(first_level=30, last_std=1e-2)
    policy = sampler.policy(network, work.average, event_shape=SHAPE, num_steps=20)
    draws = PolicySampler(policy=policy)
    samples = draws.sample(torch.arange(200))
    checks = Pattern().batch(1, rng=np.random.default_rng(0)).sign()
    assert (samples.sign() == checks).float().mean() > 0.99
    assert (samples - checks).abs().mean() < 0.3
    states = draws.trajectory(torch.arange(200))
    assert states.shape == (21, 200, *SHAPE)
    assert torch.equal(states[-1], samples)
    assert states[0].std() == pytest.approx(1.0, abs=0.05)


def test_what_was_trained_is_found_again_and_not_trained_twice():
    store = Memory()
    first = trained(TINY, store=store)
    second = training(TINY, store=store)
    assert len(store.kept) == 1
    assert second.finished
    assert second.iterations == 0
    assert torch.equal(weights(first), weights(second))
    assert torch.equal(weights(first), weights(trained(TINY)))


@pytest.mark.parametrize(
    "change",
    [
        {"network": replace(TINY.network, hidden=17)},
        {"network": replace(TINY.network, levels=999)},
        *({"pretraining": replace(PLAN, **{name: value})}
          for name, value in [("iterations", 13), ("lr", 2e-3), ("batch_size", 7), ("ema_decay", 0.9),
                              ("max_grad_norm", 1.0)]),
    ],
)  # fmt: skip
def test_another_recipe_or_seed_is_another_backbone(change):
    store = Memory()
    trained(TINY, store=store)
    assert not training(replace(TINY, **change), store=store).finished
    assert not training(TINY, seed=1, store=store).finished
    assert not training(TINY, store=store, flips=True).finished


@pytest.mark.parametrize("backbone", [DDPM, DDGAN, EDM_VP, ADM, IMAGE_DDPM, IMAGE_EDM], ids=lambda b: b.network.kind)
def test_sampling_settings_and_names_of_weights_do_not_move_the_key_of_stored_weights(backbone):
    """Once `last_std` did, of DDPM as of EDM: 800,000 iterations again for a setting of the sampler."""
    assert replace(backbone, weights="others").content() == backbone.content()
    assert set(backbone.content()) == {"version", "network", "pretraining"}
    sampling = {"last_std", "min_std", "schedule", "rho", "first_level", "noiseless_last_step", "fix_last", "weights"}
    assert not sampling & {*backbone.content()["network"], *backbone.content()["pretraining"]}


@pytest.mark.parametrize(
    ("backbone", "sampler", "change"),
    [
        (DDPM, FastDPMSteps(), {"last_std": 1e-2}),
        (DDPM, FastDPMSteps(), {"schedule": "step_linear"}),
        (ADM, KarrasSteps(), {"last_std": 1e-2}),
        (ADM, KarrasSteps(), {"levels": "above_zero", "rho": 4.0}),
        (IMAGE_DDPM, StridedSteps(first_level=400), {"last_std": 1e-2}),
    ],
)
def test_a_method_set_to_sample_otherwise_finds_the_same_weights(backbone, sampler, change):
    config = DxMIConfig(backbone=backbone, sampler=sampler, num_steps=4)
    other = DxMIConfig.model_validate(config.model_dump() | {"sampler": config.model_dump()["sampler"] | change})
    assert other.sampler != config.sampler
    assert other.backbone.content() == config.backbone.content()


def test_a_checkpoint_made_before_the_weights_were_found_goes_on_training():
    store = Memory()
    half = training(TINY)
    for _ in range(5):
        half.step()
    state = half.state_dict()
    trained(TINY, store=store)
    resumed = training(TINY, store=store)
    resumed.load_state_dict(state)
    assert not resumed.finished
    assert resumed.iterations - resumed.done == 7


def problem(shape: tuple[int, ...] = SHAPE) -> Problem:
    return Problem(task="pattern", event_shape=shape, data=Pattern(shape), data_std=2.0)


@pytest.mark.parametrize("shape", [(3,), SHAPE], ids=["points", "images"])
@pytest.mark.parametrize("kind", [DDPMMLP, EDMMLP])
def test_a_trained_denoiser_gives_clean_data_back_and_takes_noise_away(kind, shape):
    backbone: Network = kind(hidden=32, depth=1)
    plan = Pretraining(iterations=400, batch_size=64, lr=3e-3, ema_decay=0.95)
    compute, streams = Compute(device="cpu", threads=1), RandomStreams("denoiser", 0)
    work = pretrained(Backbone(network=backbone, pretraining=plan), problem(shape), compute, streams).training
    while not work.finished:
        work.step()
    clean = backbone.scale(shape, problem(shape).data_std) * Pattern(shape).batch(64, rng=np.random.default_rng(5))
    eps = torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))
    denoiser = backbone.denoiser(work.average)
    for sigma, share in ((1e-3, 0.01), (0.5, 0.7)):
        level = torch.full((64,), sigma)
        with torch.no_grad():
            error = denoiser(clean + sigma * eps, level) - clean
        assert error.square().mean().sqrt() < max(share * sigma, 0.02), sigma


def test_what_denoises_nothing_is_refused_with_the_remedy_and_not_kept():
    class Broken(EDMMLP):
        """Gives the noise back in place of the data."""

        def denoiser(self, net):
            return lambda x, sigma: x - net(x, sigma)

    store = Memory()
    backbone = Backbone(network=Broken(hidden=8, depth=1), pretraining=Pretraining(iterations=2, batch_size=8))
    work = training(backbone, store=store)
    work.step()
    with pytest.raises(ValueError, match="wrap a noise predictor in VPDenoiser"):
        work.step()
    assert not store.kept


def test_two_methods_that_name_one_backbone_share_it_and_families_do_not():
    store = Memory()
    compute = Compute(device="cpu", threads=1, store=store)
    plan = Pretraining(iterations=3, batch_size=8)

    def work(network: Network, method: str, seed: int):
        streams = RandomStreams(method, "task", seed).common
        return pretrained(Backbone(network=network, pretraining=plan), problem(), compute, streams).training

    first = work(EDMMLP(hidden=8, depth=1), "edm", 0)
    while not first.finished:
        first.step()
    assert work(EDMMLP(hidden=8, depth=1), "ect", 0).finished
    assert not work(EDMMLP(hidden=8, depth=1), "ect", 1).finished
    assert not work(DDPMMLP(hidden=8, depth=1), "edm", 0).finished


def test_a_backbone_of_no_iterations_is_as_it_was_drawn_and_not_kept():
    store = Memory()
    work = training(replace(TINY, pretraining=replace(PLAN, iterations=0)), store=store)
    assert work.finished
    assert not store.kept
    assert torch.equal(weights(work), torch.cat([p.detach().flatten() for p in work.net.parameters()]))


def test_between_steps_a_net_of_whole_steps_is_the_same_at_whole_ones_and_smooth_in_between():
    network = DDPMMLP(hidden=16, depth=1, levels=100)
    net = network.network(SHAPE, torch.Generator().manual_seed(0))
    torch.nn.init.normal_(net.output.weight, generator=torch.Generator().manual_seed(1))
    x = torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(2))
    k = torch.tensor([0, 20, 98, 99])
    between = network.between(net)
    torch.testing.assert_close(between(x, 99.0 - k), net(x, k), rtol=1e-4, atol=1e-4)
    near, far = (between(x, 99.0 - k + shift) - net(x, k) for shift in (1e-3, 0.5))
    assert 0 < near.abs().max() < 0.1 * far.abs().max()


def test_policies_on_whole_steps_of_one_schedule_agree_whichever_way_they_are_made():
    backbone = DDPMMLP(hidden=16, depth=1, levels=100)
    net = backbone.network(SHAPE, torch.Generator().manual_seed(0))
    torch.nn.init.normal_(net.output.weight, generator=torch.Generator().manual_seed(1))
    strided = StridedSteps(first_level=20, last_std=0.3).policy(backbone, net, event_shape=SHAPE, num_steps=4)
    visited = backbone.whole.visiting(strided_steps(100, num_steps=4, first=20))
    fractional = AtSteps(backbone.between(net), backbone.chain.step_of(visited.alpha_bar[:-1].log()))
    along = GaussianPolicy.from_noise_predictor(
        fractional, visited, event_shape=SHAPE, last_std=0.3, trainable_std=[False] * 4
    )
    x, k = torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(2)), torch.arange(4)
    torch.testing.assert_close(along.mean(x, k), strided.mean(x, k), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("part", "wrong"),
    [(EDMMLP, {"hidden": 0}), (EDMMLP, {"depth": 0}),
     *((Pretraining, wrong) for wrong in ({"batch_size": 0}, {"iterations": -1}, {"lr": 0.0}))],
)  # fmt: skip
def test_sizes_and_rates_that_are_none_are_refused(part, wrong):
    with pytest.raises(ValidationError, match="greater than"):
        TypeAdapter(part).validate_python(wrong)


def test_a_typo_in_a_recipe_is_refused():
    adapter = TypeAdapter(DDPMMLP)
    assert adapter.validate_python({"hidden": 32}) == DDPMMLP(hidden=32)
    with pytest.raises(ValidationError, match="hiden"):
        adapter.validate_python({"hiden": 32})
