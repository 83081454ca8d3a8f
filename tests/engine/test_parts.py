"""Runs of several independent problems."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from methods import ToyConfig, ToyTraining

from dxbench.api import Compute, Need, Problem, ProblemSet
from dxbench.api.streams import RandomStreams, derive_seed
from dxbench.engine.parts import PartwiseTraining, ruled_out, unmet_needs
from dxbench.plugins.registry import load_method, load_task
from dxbench.tasks.detection import PointSet
from dxbench.tasks.gaussians8 import Gaussians8


def problem(shift: float) -> Problem:
    points = torch.full((30, 2), shift)
    return Problem(task="t", event_shape=(2,), data=PointSet(points=points), data_std=1.0)


def training(streams: RandomStreams) -> PartwiseTraining:
    torch.manual_seed(0)
    config = ToyConfig(iterations=5)
    return PartwiseTraining(
        {name: ToyTraining(problem(shift), config, streams.within(name)) for name, shift in (("a", 1.0), ("b", -1.0))}
    )


def steps(run: PartwiseTraining, n: int) -> list[float]:
    return [float(run.step()["loss"]) for _ in range(n)]


def test_parts_train_one_after_the_other_and_on_their_own_data() -> None:
    run = training(RandomStreams("test"))
    assert run.total_steps == 10
    steps(run, 5)
    half = {name: part.networks[0].shift.detach().clone() for name, part in run.model().parts.items()}
    assert half["a"].min() > 0
    assert half["b"].abs().max() == 0  # untouched so far
    steps(run, 5)
    model = run.model()
    assert torch.equal(model.parts["a"].networks[0].shift, half["a"])
    assert model.parts["b"].networks[0].shift.max() < 0
    assert len(model.networks) == 2


def test_resumed_equals_uninterrupted_also_across_the_border_of_parts() -> None:
    whole = training(RandomStreams("test"))
    wanted = steps(whole, 10)
    for cut in (2, 5, 7):
        streams = RandomStreams("test")
        first = training(streams)
        assert steps(first, cut) == wanted[:cut]
        new_streams = RandomStreams("test")
        generator = torch.get_rng_state()
        second = training(new_streams)
        torch.set_rng_state(generator)
        second.load_state_dict(first.state_dict())
        new_streams.load_state_dict(streams.state_dict())
        assert steps(second, 10 - cut) == wanted[cut:]


def test_streams_of_parts_differ_and_travel_with_the_whole() -> None:
    streams = RandomStreams("scope")
    a, b = streams.within("a"), streams.within("b")
    assert a.seed("x") == derive_seed("scope", "a/x")
    draws = a.numpy("x").random(3), b.numpy("x").random(3), streams.numpy("x").random(3)
    assert len({tuple(draw) for draw in draws}) == 3
    restored = RandomStreams("scope")
    restored.load_state_dict(streams.state_dict())
    np.testing.assert_array_equal(restored.within("a").numpy("x").random(3), a.numpy("x").random(3))


@pytest.mark.parametrize(
    ("event_shape", "unmet"),
    [
        ((2,), []),
        ((1, 8, 8), [Need.VECTORS]),
        ((1, 32, 32), [Need.VECTORS]),
        ((3, 32, 32), [Need.VECTORS, Need.SMALL_EVENTS]),
        ((4, 4), [Need.VECTORS, Need.SMALL_EVENTS]),
    ],
)
def test_a_configuration_says_which_events_it_has_networks_for(event_shape: tuple[int, ...], unmet: list[Need]) -> None:
    shaped = replace(problem(0.0), event_shape=event_shape)
    needs = {Need.VECTORS, Need.SMALL_EVENTS}
    assert unmet_needs(needs, shaped, Compute(device="cpu", threads=1)) == sorted(unmet)


def test_what_a_family_rules_out_is_what_no_problem_of_it_meets() -> None:
    anywhere = Compute(device="cuda", threads=1)
    for task in map(
        load_task, ("holdout_digit", "mvtec_synthetic", "digits", "gaussians8", "funnel10", "lsun_bedroom")
    ):
        problem = task.problem(oracle=True)
        for need in Need:
            assert ruled_out({need, Need.ORACLE}, task) == unmet_needs({need, Need.ORACLE}, problem, anywhere), (
                task.name,
                need,
            )


def test_a_detector_needs_a_finite_set() -> None:
    knn, cpu = load_method("knn"), Compute(device="cpu", threads=1)
    assert unmet_needs(knn.needs, Gaussians8().problem(oracle=False), cpu) == [Need.FINITE_DATA]
    assert unmet_needs(knn.needs, ProblemSet(parts={"a": problem(0.0)}), cpu) == []
