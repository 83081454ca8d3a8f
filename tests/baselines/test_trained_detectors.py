"""Trained detectors on a set whose right answer is known: a noisy circle in eight dimensions."""

import itertools
import math
import warnings

import pytest
import torch

from dxbench.api import Compute, Problem, Training
from dxbench.api.streams import RandomStreams
from dxbench.metrics.detection.ranking import auroc
from dxbench.plugins.configure import configure
from dxbench.plugins.registry import load_method, load_task
from dxbench.tasks.detection import PointSet

SMALL = {"latent": 4, "hidden": 24, "batch_size": 32, "features": "sphere"}
DXMI = SMALL | {"depth": 2} | {"pretrain_iterations": 150, "iterations": 30, "policy_hidden": 16, "value_hidden": 16}

TWO_STAGES = {"pretrain_iterations": 200, "iterations": 20, "energy_lr": 1e-3}
IGEBM = {"features": "lifted", "hidden": 24, "batch_size": 32, "mcmc_steps": 10, "buffer": 500, "lr": 3e-3}
DTE = {"iterations": 160, "widths": [32, 32], "lr": 3e-3, "batch_size": 32, "dropout": 0.1}

STAGES = ("pretrain_iterations", "iterations")


def circle(n: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    angle = 2 * math.pi * torch.rand(n, generator=generator)
    plane = torch.stack([angle.cos(), angle.sin()], dim=1)
    return torch.cat([plane, 0.05 * torch.randn(n, 6, generator=generator)], dim=1)


def training(name: str, settings: dict[str, object], *, seed: int = 0) -> tuple[Training, RandomStreams]:
    method = load_method(name)
    problem = Problem(task="t", event_shape=(8,), data=PointSet(points=circle(200, 0)), data_std=0.4)
    config = method.Config.model_validate(settings)
    streams = RandomStreams("test", seed)
    return method().start(problem, config, compute=Compute(device="cpu", threads=1), rng=streams), streams


def run(train: Training, steps: int) -> list[dict[str, float]]:
    return [{name: float(value) for name, value in train.step().items()} for _ in range(steps)]


def energies(train: Training, x: torch.Tensor) -> torch.Tensor:
    model = train.model()
    assert model.energy is not None
    with torch.no_grad():
        return model.energy(x)


CASES = [
    ("ae", SMALL | {"iterations": 150}),
    ("ae", SMALL | {"iterations": 150, "features": "whitened"}),
    ("dxmi_detection", DXMI),
    ("dxmi_detection", DXMI | {"tau": 0.0, "interpolation": 0.5}),
    ("dxmi_detection", DXMI | {"iterations": 0}),
    ("vgs", SMALL | TWO_STAGES | {"value_hidden": 16, "num_steps": 4}),
    ("mpdr", SMALL | TWO_STAGES),
    ("nae", SMALL | TWO_STAGES | {"visible_steps": 5, "buffer": 500}),
    ("igebm", IGEBM | {"iterations": 150}),
    ("dte", DTE),
]


@pytest.mark.parametrize(("name", "settings"), CASES, ids=str)
class TestEveryForm:
    def test_points_off_the_circle_have_more_energy(self, name: str, settings: dict[str, object]) -> None:
        train, _ = training(name, settings)
        assert all(math.isfinite(value) for step in run(train, train.total_steps) for value in step.values())
        off = torch.randn(100, 8, generator=torch.Generator().manual_seed(5))
        rank = auroc(energies(train, circle(100, 1)).numpy(), energies(train, off).numpy())
        assert rank > 0.97

    def test_resumed_equals_uninterrupted_to_the_bit(self, name: str, settings: dict[str, object]) -> None:
        settings = settings | {stage: min(10, int(str(settings[stage]))) for stage in STAGES if stage in settings}
        whole, _ = training(name, settings)
        after = run(whole, whole.total_steps)
        for cut in (4, whole.total_steps - 3):
            first, streams = training(name, settings)
            run(first, cut)
            second, new_streams = training(name, settings)
            second.load_state_dict(first.state_dict())
            new_streams.load_state_dict(streams.state_dict())
            assert run(second, whole.total_steps - cut) == after[cut:]
            assert torch.equal(energies(second, circle(9, 3)), energies(whole, circle(9, 3)))

    def test_another_seed_gives_another_model(self, name: str, settings: dict[str, object]) -> None:
        a, b = training(name, settings, seed=0)[0], training(name, settings, seed=1)[0]
        run(a, 5)
        run(b, 5)
        assert not torch.equal(energies(a, circle(9, 3)), energies(b, circle(9, 3)))


def test_without_iterations_dxmi_is_its_own_pretrained_autoencoder() -> None:
    alone, _ = training("dxmi_detection", DXMI | {"iterations": 0})
    run(alone, alone.total_steps)
    longer, _ = training("dxmi_detection", DXMI)
    run(longer, 150)
    assert torch.equal(energies(alone, circle(20, 3)), energies(longer, circle(20, 3)))
    run(longer, 30)
    assert not torch.equal(energies(alone, circle(20, 3)), energies(longer, circle(20, 3)))


@pytest.mark.parametrize("name", ["dxmi_detection", "vgs", "mpdr", "nae"])
def test_a_model_taken_while_pretraining_is_the_autoencoder_so_far(name: str) -> None:
    """As a run is whose time is over."""
    train, _ = training(name, SMALL | {"depth": 2, "pretrain_iterations": 151})
    off = torch.randn(100, 8, generator=torch.Generator().manual_seed(5))
    run(train, 150)
    assert auroc(energies(train, circle(100, 1)).numpy(), energies(train, off).numpy()) > 0.97


def test_the_gap_is_logged_and_a_gap_that_grows_is_warned_of() -> None:
    train, _ = training("dxmi_detection", DXMI | {"energy_lr": 1e-2, "policy_lr": 1e-9, "gamma": 0.0})
    with pytest.warns(UserWarning, match="did not shrink"):
        scalars = run(train, train.total_steps)
    last = scalars[-1]
    assert last["energy_gap"] == pytest.approx(last["energy_samples"] - last["energy_data"], abs=1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quiet, _ = training("dxmi_detection", DXMI | {"iterations": 0})
        run(quiet, quiet.total_steps)


@pytest.mark.parametrize("name", ["ae", "dxmi_detection", "vgs", "mpdr", "nae", "igebm", "dte"])
def test_recipes_for_mvtec_ad_take_steps_at_their_full_width(name: str) -> None:
    """Patches of 272 numbers, whose sizes and rates are the recipe's; only the batch and the length are small."""
    method = load_method(name)
    config = configure(method, load_task("mvtec_ad"), "default", {})
    assert config.batch_size == 784  # type: ignore[attr-defined]
    short = config.model_copy(update={stage: 1 for stage in STAGES if hasattr(config, stage)} | {"batch_size": 4})
    points = torch.randn(60, 272, generator=torch.Generator().manual_seed(0))
    problem = Problem(task="mvtec_ad", event_shape=(272,), data=PointSet(points=points), data_std=1.0)
    compute, streams = Compute(device="cpu", threads=1), RandomStreams("test", 0)
    train = method().start(problem, short, compute=compute, rng=streams)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scalars = run(train, train.total_steps)
    assert all(math.isfinite(value) for step in scalars for value in step.values())
    assert energies(train, points).isfinite().all()


def test_the_networks_for_mvtec_ad_are_as_large_as_the_papers() -> None:
    """Parameters of DxMI's App. C.3 at 272 dimensions: the energy 5.0 M; VGS has the same."""
    for name in ("ae", "dxmi_detection", "vgs", "mpdr", "nae"):
        config = configure(load_method(name), load_task("mvtec_ad"), "default", {})
        widths = [272, *[config.hidden] * config.depth, config.latent]  # type: ignore[attr-defined]
        encoder = sum((a + 1) * b for a, b in itertools.pairwise(widths))
        decoder = sum((a + 1) * b for a, b in itertools.pairwise(widths[::-1]))
        assert encoder + decoder == pytest.approx(5.01e6, rel=0.01)
