"""ddim, fastdpm and edm: one teacher, many samplers."""

import pytest
import torch
from dxbench_baselines.ddim import DDIM, DDIMConfig
from dxbench_baselines.edm import EDM, EDMConfig
from dxbench_baselines.fastdpm import FastDPM, FastDPMConfig
from dxbench_baselines.starts.solved import SAMPLERS
from gaussian_task import errors, samples, small, solve, start
from pydantic import ValidationError

from dxbench.drawing.draw import draw_samples
from dxmi.backbones.small import DDPMMLP, EDMMLP
from dxmi.nets.families import denoising_net
from dxmi.sampling.retiming import Retiming

TRAINED = {"iterations": 600, "lr": 3e-3, "ema_decay": 0.98}
UNTRAINED = small(EDMMLP, iterations=0)


def test_one_edm_teacher_serves_every_sampler():
    training = start(EDM, EDMConfig(backbone=small(EDMMLP, **TRAINED)))
    for _ in range(training.total_steps):
        training.step()
    errors_of = {}
    for sampler, nfe in (("heun", 35), ("euler", 35), ("ipndm", 12), ("dpmpp3m", 25), ("ancestral", 35)):
        training.sampler, training.levels = EDMConfig(sampler=sampler, nfe=nfe).sampling()
        errors_of[sampler] = errors(samples(training, 5000))
    assert set(errors_of) == set(SAMPLERS)
    assert all(mean < 0.15 and covariance < 0.15 for mean, covariance in errors_of.values()), errors_of


@pytest.mark.parametrize(
    ("method", "config"),
    [
        (DDIM, DDIMConfig(backbone=small(DDPMMLP, **TRAINED), num_steps=20)),
        (FastDPM, FastDPMConfig(backbone=small(DDPMMLP, **TRAINED), num_steps=20)),
    ],
    ids=["ddim", "fastdpm"],
)
def test_a_ddpm_of_a_thousand_steps_is_sampled_in_twenty(method, config):
    mean, covariance = errors(solve(method, config))
    assert mean < 0.15
    assert covariance < 0.15


@pytest.mark.parametrize(("sampler", "nfe"), [("heun", 1), ("heun", 5), ("euler", 4), ("dpmpp3m", 3), ("ipndm", 2)])
def test_counted_passes_are_the_nfe_that_was_asked_for(sampler, nfe):
    model = start(EDM, EDMConfig(backbone=UNTRAINED, sampler=sampler, nfe=nfe)).model()
    _, counted = draw_samples(model, 6, event_shape=(2,), first_seed=0, batch_size=3, progress=lambda text: None)
    assert counted == nfe


def test_levels_chosen_along_trajectories_are_those_of_the_run_s_seed_and_take_as_many_passes():
    config = EDMConfig(backbone=UNTRAINED, sampler="ipndm", nfe=6, retiming=Retiming(steps=20, trajectories=32))
    chosen = []
    for _ in range(2):
        training = start(EDM, config)
        model = training.model()
        _, counted = draw_samples(model, 6, event_shape=(2,), first_seed=0, batch_size=3, progress=lambda text: None)
        assert counted == 6
        chosen.append(training.levels.sigmas)
        training.model()
        assert torch.equal(training.levels.sigmas, chosen[-1])
    assert torch.equal(chosen[0], chosen[1])
    assert not torch.equal(chosen[0], config.sampling()[1].sigmas)


def test_more_steps_than_trajectories_have_are_refused():
    with pytest.raises(ValidationError, match="raise retiming"):
        EDMConfig(sampler="ipndm", nfe=30, retiming=Retiming(steps=20))


def test_epsilon_scaling_above_one_takes_less_noise_away():
    plain, scaled = (
        samples(start(EDM, EDMConfig(backbone=UNTRAINED, sampler="euler", nfe=6, epsilon_scale=scale)), 500)
        for scale in (1.0, 1.05)
    )
    assert scaled.std() > plain.std()


def test_an_even_number_of_passes_is_refused_by_heun_with_the_odd_ones_beside_it():
    with pytest.raises(ValidationError, match="use 9 or 11"):
        EDMConfig(sampler="heun", nfe=10)
    assert EDMConfig(sampler="ipndm", nfe=10).sampling()[1].num_steps == 10
    assert EDMConfig(sampler="heun", nfe=11).sampling()[1].num_steps == 6


@pytest.mark.parametrize(
    "build",
    [
        lambda: DDIMConfig(num_steps=100),
        lambda: DDIMConfig(num_steps=1001, schedule="linear"),
        lambda: FastDPMConfig(num_steps=100, approximation="STEP"),
    ],
    ids=["ddim", "ddim linear", "fastdpm"],
)
def test_more_steps_than_the_chain_has_are_refused(build):
    with pytest.raises(ValidationError, match="take fewer"):
        build()


def test_events_without_networks_are_refused():
    with pytest.raises(ValueError, match=r"no networks for events of shape \(32, 32\)"):
        denoising_net((32, 32), hidden=8, depth=1, generator=torch.Generator())
