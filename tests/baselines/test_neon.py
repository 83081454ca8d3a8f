"""neon: its weights against the formula, its samples against the start's, and what pushing back restores."""

import copy
from typing import Any

import pytest
import torch
from dxbench_baselines.neon import Neon, NeonConfig, extrapolated
from gaussian_task import COVARIANCE, small, start
from pydantic import ValidationError
from torch import nn

from dxmi.backbones.small import EDMMLP

BRIEF: dict[str, Any] = {
    "backbone": small(EDMMLP, iterations=20, ema_decay=0.9),
    "nfe": 3,
    "synthetic": 40,
    "iterations": 4,
    "batch_size": 16,
}


def tuned_start(**settings: Any) -> Any:
    training: Any = start(Neon, NeonConfig(**BRIEF | settings))
    for _ in range(training.total_steps - training.config.iterations):
        training.step()
    return training


def test_weights_are_those_of_the_formula_and_both_nets_stay_as_they_are() -> None:
    r, s = nn.Linear(2, 3), nn.Linear(2, 3)
    before = copy.deepcopy((r.state_dict(), s.state_dict()))
    found = extrapolated(r, s, weight=0.7)
    torch.testing.assert_close(found.weight, 1.7 * r.weight - 0.7 * s.weight)
    torch.testing.assert_close(found.bias, 1.7 * r.bias - 0.7 * s.bias)
    for net, was in zip((r, s), before, strict=True):
        assert all(torch.equal(net.state_dict()[name], value) for name, value in was.items())


def test_without_weight_the_start_is_sampled() -> None:
    training = tuned_start(weight=0.0)
    while training.done < training.iterations:
        training.step()
    model, seeds = training.model(), torch.arange(6)
    assert model.start is not None
    assert torch.equal(model.sample(seeds), model.start.sample(seeds))


def test_the_copy_is_trained_on_samples_of_the_start_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    training = tuned_start()
    sampler = training.sampler_of(training.config.denoiser(training.begun.average))
    seeds = torch.randint(1 << 62, (40,), generator=torch.Generator().manual_seed(training.synthetic_seed))
    (synthetic,) = training.synthetic
    torch.testing.assert_close(synthetic, sampler.scale * sampler.sample(seeds))

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("data were asked for")

    monkeypatch.setattr(type(training.begun.data), "batch", refuse)
    training.step()
    assert training.copy.done == 1


def test_a_resumed_training_draws_the_same_synthetic_set() -> None:
    training, resumed = tuned_start(), tuned_start()
    training.step()
    resumed.load_state_dict(copy.deepcopy(training.state_dict()))
    (there,), (here,) = training.synthetic, resumed.synthetic
    assert torch.equal(there, here)


def test_what_a_coarse_solver_takes_from_the_covariance_comes_back() -> None:
    """Few Euler steps contract; a copy trained on contracted samples contracts more, and the way back less."""
    training = tuned_start(
        backbone=small(EDMMLP, iterations=1500, ema_decay=0.99), sampler="euler", nfe=8, synthetic=2000,
        iterations=150, batch_size=128, lr=3e-4,
    )  # fmt: skip
    while training.done < training.iterations:
        training.step()
    model, seeds = training.model(), torch.arange(8000)
    assert model.start is not None
    copied = training.sampler_of(training.config.denoiser(training.copy.average)).sample(seeds)
    traces = [x.T.cov().trace().item() for x in (copied, model.start.sample(seeds), model.sample(seeds))]
    assert traces[0] < traces[1] < traces[2]
    assert abs(traces[2] - COVARIANCE.trace()) < abs(traces[1] - COVARIANCE.trace())


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"weight": -1.0}, "greater than or equal to 0"),
        ({"nfe": 4}, "heun takes 2N - 1 passes for N steps, got nfe=4; use 3 or 5"),
        ({"sigma_min": 90.0}, "sigma_min=90 has to be below sigma_max=80"),
        ({"init": "official"}, "nobody has released weights of this backbone; set init=train"),
    ],
)
def test_what_is_refused(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        NeonConfig(**BRIEF | settings)
