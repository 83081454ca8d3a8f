"""Methods on digits: equal costs, and that they train from their start."""

import pytest

from dxbench.api import Compute, Problem, Training
from dxbench.api.streams import RandomStreams
from dxbench.drawing.counting import counted_passes
from dxbench.plugins.configure import configure
from dxbench.plugins.registry import load_method, load_task

NETS = {
    "adjoint_matching": lambda run: [run.sampler.net, run.before.net, run.cost_to_go.net],
    "dxmi": lambda run: [run.learner.policy.net, run.learner.value.net],
    "gcd": lambda run: [run.sampler.net, run.cost_to_go.net],
    "gan_finetune": lambda run: [run.generator.module, run.energy.net],
}


def start(name: str, **settings: object) -> Training:
    method, task = load_method(name), load_task("digits")
    config = configure(method, task, "default", settings)
    problem = task.problem(oracle=False)
    assert isinstance(problem, Problem)
    return method().start(
        problem, config, compute=Compute(device="cpu", threads=1), rng=RandomStreams(name, "digits forms", 0)
    )


def passes(name: str) -> int:
    """Rows through any network in the whole training after the backbone's."""
    config = configure(load_method(name), load_task("digits"), "default", {})
    training = start(name, head_start=1, backbone={"pretraining": {"iterations": 0}})
    rows = []
    for _ in range(2):
        with counted_passes(NETS[name](training)) as counter:
            training.step()
        rows.append(counter.rows)
    before, after = rows
    return config.head_start * before + config.iterations * after


@pytest.mark.parametrize("name", ["adjoint_matching", "gcd", "gan_finetune"])
def test_methods_of_a_game_take_as_many_network_passes_as_dxmi_from_as_long_a_backbone(name):
    assert passes(name) == pytest.approx(passes("dxmi"), rel=0.02)
    ours, theirs = (
        configure(load_method(n), load_task("digits"), "default", {}).backbone.pretraining for n in ("dxmi", name)
    )
    assert (ours.iterations, ours.batch_size) == (theirs.iterations, theirs.batch_size)
