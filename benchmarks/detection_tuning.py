"""How configurations of `ae` and `dxmi_detection` were chosen: on training normals only, never on a test score.

Of the normal images that train `mvtec_pooled_*`, a fifth of each category is held out. The rest trains; the held-out
ones are told from synthetic anomalies made of them, of three kinds:

    exchange  x + a (x_i - x_j), i and j of the same category, a in [0.3, 0.8]: too much of the usual variation
    mixture   x + a (x_i - x_j), i of another category, a in [0.1, 0.4]: a part that belongs elsewhere
    novelty   x + a p, p a difference x_i - x_j with its coordinates shuffled, a in [0.02, 0.12]: unseen directions

Printed: AUROC of each kind, mean over 15 categories, and the mean of the three.
"""

import argparse
import dataclasses
import time

import numpy as np
import torch
from numpy.typing import NDArray

from dxbench.api import Compute, EnergyModel, Problem
from dxbench.configure import configure, parse_assignments
from dxbench.engine.process import prepare_process
from dxbench.metrics.ranking import auroc
from dxbench.registry import load_method, load_task
from dxbench.streams import RandomStreams, derive_seed
from dxbench.tasks.detection import DetectionTask, Group, problem_of

Array = NDArray[np.float32]
KINDS = {"exchange": (0.3, 0.8), "mixture": (0.1, 0.4), "novelty": (0.02, 0.12)}


def halves(groups: dict[str, Group], split: int) -> tuple[list[Group], dict[str, Array]]:
    """Groups whose training points are four fifths of the task's, and the fifth held out, by category."""
    kept, held_out = [], {}
    for name, group in groups.items():
        rng = np.random.default_rng(derive_seed("detection tuning", split, name))
        order = rng.permutation(len(group.train))
        cut = round(0.8 * len(order))
        kept.append(dataclasses.replace(group, train=group.train[order[:cut]]))
        held_out[name] = group.train[order[cut:]]
    return kept, held_out


def synthetic(kind: str, name: str, held_out: dict[str, Array]) -> Array:
    """One synthetic anomaly of each held-out point of a category."""
    rng = np.random.default_rng(derive_seed("detection tuning", kind, name))
    own = held_out[name]
    others = np.concatenate([points for other, points in held_out.items() if other != name])
    source = own if kind == "exchange" else others
    change = source[rng.integers(len(source), size=len(own))] - own[rng.integers(len(own), size=len(own))]
    if kind == "novelty":
        change = rng.permuted(change, axis=1)
    low, high = KINDS[kind]
    return (own + rng.uniform(low, high, size=(len(own), 1)) * change).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="mvtec_pooled_resnet18")
    parser.add_argument("--method", default="dxmi_detection")
    parser.add_argument("--split", type=int, default=0, help="which fifth is held out, and the training seed")
    parser.add_argument("--every", type=int, default=200, help="steps between lines")
    parser.add_argument("--set", dest="assignments", action="append", default=[], metavar="key=value")
    arguments = parser.parse_args()
    prepare_process(Compute(device="cpu", threads=1))
    task, method = load_task(arguments.task), load_method(arguments.method)
    assert isinstance(task, DetectionTask)
    kept, held_out = halves(task.loaded, arguments.split)
    problem: Problem = problem_of(task.name, task.training_set(kept))
    config = configure(method, task.name, "default", parse_assignments(arguments.assignments))
    rng = RandomStreams("detection tuning", arguments.split)
    training = method().start(problem, config, compute=Compute(device="cpu", threads=1), rng=rng)
    trials = {kind: {name: synthetic(kind, name, held_out) for name in held_out} for kind in KINDS}
    start = time.perf_counter()
    for step in range(training.total_steps + 1):
        scalars = training.step() if step else {}
        if step == training.total_steps or (step and step % arguments.every == 0):
            model = training.model()
            assert isinstance(model, EnergyModel)
            seconds = time.perf_counter() - start
            print(f"step {step:5}  {rates(model, held_out, trials)}  {text(scalars)}  {seconds:.0f} s", flush=True)


def rates(model: EnergyModel, held_out: dict[str, Array], trials: dict[str, dict[str, Array]]) -> str:
    """AUROC of each kind and their mean, in percent."""

    def energy(points: Array) -> NDArray[np.float64]:
        with torch.no_grad():
            return model.energy(torch.from_numpy(points)).double().numpy()

    normal = {name: energy(points) for name, points in held_out.items()}
    values = {
        kind: 100 * float(np.mean([auroc(normal[name], energy(points)) for name, points in by_name.items()]))
        for kind, by_name in trials.items()
    }
    return (
        "  ".join(f"{kind} {value:.2f}" for kind, value in values.items())
        + f"  mean {np.mean(list(values.values())):.2f}"
    )


def text(scalars: object) -> str:
    assert isinstance(scalars, dict)
    return "  ".join(f"{name} {float(value):.4g}" for name, value in scalars.items())


if __name__ == "__main__":
    main()
