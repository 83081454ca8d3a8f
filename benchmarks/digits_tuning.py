"""How rates and lengths on `digits` were chosen: a method's Frechet distance to the *validation* split as it trains.

`python benchmarks/digits_tuning.py ect --seed 10 --set lr=1e-3 --every 1000`: search seeds, the training split, and
2,000 samples; the test split, which scores use, is never looked at. Backbones are kept under --home between calls.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dxbench.api import Compute, FineTunedModel, Problem, Sampler
from dxbench.configure import configure, parse_assignments
from dxbench.engine.process import prepare_process
from dxbench.engine.store import FolderStore
from dxbench.metrics.digits import FeaturePass
from dxbench.metrics.frechet import array_moments, frechet_distance
from dxbench.registry import load_method, load_task
from dxbench.sampling import draw_samples
from dxbench.streams import RandomStreams
from dxbench.tasks.digits_data import digits_splits, quantise

SAMPLES = 2000


def validation_distance(model: Sampler) -> float:
    """Frechet distance of features of samples to those of the validation split."""
    samples, _ = draw_samples(
        model,  # type: ignore[arg-type]
        SAMPLES,
        event_shape=(1, 8, 8),
        first_seed=1 << 40,
        batch_size=1000,
        progress=lambda text: None,
    )
    return frechet_distance(
        moments(quantise(samples.astype(np.float64))), moments(digits_splits()["validation"].images)
    )


def moments(images: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return array_moments(FeaturePass.of(images).features)


def main() -> None:
    """Train, and print a line as often as asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("method")
    parser.add_argument("--preset", default="default")
    parser.add_argument("--seed", type=int, default=10)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--every", type=int, default=10**9, help="steps between two looks")
    parser.add_argument("--home", type=Path, default=Path("runs/tuning"))
    arguments = parser.parse_args()
    task, method = load_task("digits"), load_method(arguments.method)
    config = configure(method, task.name, arguments.preset, parse_assignments(arguments.set))
    compute = Compute(device="cpu", threads=1, store=FolderStore(arguments.home))
    prepare_process(compute)
    problem = task.problem(oracle=False)
    assert isinstance(problem, Problem)
    rng = RandomStreams(arguments.method, task.name, arguments.seed)
    training = method().start(problem, config, compute=compute, rng=rng)
    name = f"{arguments.method} {' '.join(arguments.set)} seed {arguments.seed}"
    seconds = time.process_time()
    for step in range(1, training.total_steps + 1):
        training.step()
        if step % arguments.every == 0 or step == training.total_steps:
            used = time.process_time() - seconds
            model = training.model()
            assert isinstance(model, Sampler)
            print(f"{name}  step {step}  {used:.0f} s  fd {validation_distance(model):.1f}", flush=True)
    model = training.model()
    if isinstance(model, FineTunedModel):
        assert isinstance(model.start, Sampler)
        print(f"{name}  start  fd {validation_distance(model.start):.1f}", flush=True)


if __name__ == "__main__":
    main()
