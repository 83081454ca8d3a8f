"""Does the same seed give the same bits on this machine?"""

import torch

from dxbench.api import Compute, Need
from dxbench.api.streams import RandomStreams
from dxbench.engine.parts import start_training, trained_model
from dxbench.engine.process import prepare_process
from dxbench.plugins.configure import DEFAULT_PRESET, configure
from dxbench.plugins.registry import load_method, load_task


def assert_repeats(task_name: str, method_name: str, *, steps: int = 5) -> int:
    """Train `steps` steps twice and compare samples; returns the number of steps.

    Raises:
        AssertionError: if the two differ.
    """
    task, method = load_task(task_name), load_method(method_name)
    compute = Compute(device="cpu", threads=task.threads)
    prepare_process(compute)
    config = configure(method, task, DEFAULT_PRESET, {})
    outcomes = []
    for _ in range(2):
        problem = task.problem(oracle=Need.ORACLE in method.needs)
        training = start_training(method, problem, config, compute=compute, rng=RandomStreams("doctor"))
        for _ in range(steps):
            training.step()
        outcomes.append(trained_model(training).sample(torch.arange(64)))
    assert torch.equal(*outcomes), "the same seed gave different samples: results will not repeat on this machine"
    return steps
