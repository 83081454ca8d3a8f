"""Choose rates, lengths and levels: a method's distance to draws that no score uses, as it trains.

`python benchmarks/sampler_tuning.py ect --task digits --seed 10 --set lr=1e-3 --every 1000`. Training seeds are the
search's, 10 and 11. On `digits` and `fashion_mnist` the distance is Frechet's in the features of their nets, of 2,000
samples, to the *validation* split, the test split being never looked at; on `gaussians8` it is `sw2` to draws of its
own, mean of `--pairs` pairs of 50,000. `--look` scores a trained model with other settings of its sampling, and may be
given again. Backbones are kept under --home.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dxbench.api import Compute, Model
from dxbench.api.streams import RandomStreams
from dxbench.drawing.draw import draw_samples
from dxbench.engine.execution import Compilation
from dxbench.engine.process import prepare_process
from dxbench.engine.store import FolderStore
from dxbench.features.digits_net import FEATURES, quantise
from dxbench.features.fashion_net import FEATURES as FASHION_FEATURES
from dxbench.features.quantisation import quantise as to_bytes
from dxbench.features.sources import ImageSource
from dxbench.metrics.images.frechet import Moments, frechet_distance
from dxbench.metrics.points.sliced import random_directions, sliced_wasserstein2
from dxbench.plugins.configure import configure, parse_assignments
from dxbench.plugins.registry import load_method, load_task
from dxbench.tasks.digits import feature_source
from dxbench.tasks.digits_data import digits_splits
from dxbench.tasks.fashion_data import SIZE, fashion_splits
from dxbench.tasks.gaussians8 import eight_gaussians

Array = NDArray[np.float64]
DRAWS = 4711


def drawn(model: Model, n: int, event_shape: tuple[int, ...], first_seed: int = 1 << 40) -> Array:
    """Samples [n, ...] whose seeds no score uses."""
    samples, _ = draw_samples(
        model,
        n,
        event_shape=event_shape,
        first_seed=first_seed,
        batch_size=10_000,
        progress=lambda text: None,
    )
    return samples.astype(np.float64)


def validation_distance(model: Model) -> float:
    """Frechet distance of features of 2,000 samples to those of the validation split."""
    return frechet_distance(
        moments(quantise(drawn(model, 2000, (1, 8, 8)))), moments(digits_splits()["validation"].images)
    )


def moments(images: Array) -> Moments:
    return feature_source(images).moments(FEATURES)


def garment_distance(model: Model) -> float:
    """Frechet distance of features of 2,000 samples to those of the validation split of Fashion-MNIST."""
    samples, _ = draw_samples(
        model, 2000, event_shape=(1, SIZE, SIZE), first_seed=1 << 40, batch_size=500, progress=lambda text: None,
        keep=to_bytes,
    )  # fmt: skip
    return frechet_distance(garment_moments(samples), garment_moments(fashion_splits()["validation"].images))


def garment_moments(images: NDArray[np.uint8]) -> Moments:
    return ImageSource(images, batch_size=1000).moments(FASHION_FEATURES)


def sliced_distance(model: Model, *, pairs: int) -> float:
    """sw2 to fresh draws, mean of some pairs."""
    rng, n = np.random.default_rng(DRAWS), 50_000
    return float(
        np.mean(
            [
                sliced_wasserstein2(
                    drawn(model, n, (2,), (1 << 40) + i * n),
                    eight_gaussians().sample(n, rng),
                    random_directions(500, 2, rng),
                )
                for i in range(pairs)
            ]
        )
    )


DISTANCES: dict[str, Callable[..., float]] = {
    "digits": validation_distance,
    "fashion_mnist": garment_distance,
    "gaussians8": sliced_distance,
}


def main() -> None:
    """Train, and print a line as often as asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("method")
    parser.add_argument("--task", choices=sorted(DISTANCES), default="digits")
    parser.add_argument("--preset", default="default")
    parser.add_argument("--seed", type=int, default=10)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--look", action="append", default=[], metavar="KEY=VALUE", help="another way to sample")
    parser.add_argument("--every", type=int, default=10**9, help="steps between two looks")
    parser.add_argument("--pairs", type=int, default=5, help="pairs of sets that the distance of gaussians8 averages")
    parser.add_argument("--home", type=Path, default=Path("runs/tuning"))
    arguments = parser.parse_args()
    task, method, distance = load_task(arguments.task), load_method(arguments.method), DISTANCES[arguments.task]
    if arguments.task == "gaussians8":
        distance = partial(distance, pairs=arguments.pairs)
    compiling = Compilation("auto", device="cpu", tell=print, warn=print)
    compute = Compute(device="cpu", threads=1, store=FolderStore(arguments.home), execution=compiling)
    prepare_process(compute)
    ways = {
        way: configure(method, task, arguments.preset, parse_assignments([*arguments.set, *([way] if way else [])]))
        for way in ["", *arguments.look]
    }
    rng = RandomStreams(arguments.method, task.name, arguments.seed)
    training = method().start(task.problem(oracle=False), ways[""], compute=compute, rng=rng)
    name = f"{arguments.method} {' '.join(arguments.set)} seed {arguments.seed}"
    if arguments.task == "fashion_mnist":
        compiling.begin()
    seconds = time.process_time()

    def look(step: int) -> None:
        used = time.process_time() - seconds
        for way, config in ways.items():
            training.config = config  # type: ignore[attr-defined]
            print(f"{name}  {way}  step {step}  {used:.0f} s  {distance(training.model()):.4f}", flush=True)
        training.config = ways[""]  # type: ignore[attr-defined]

    for step in range(1, training.total_steps + 1):
        training.step()
        if step % arguments.every == 0 or step == training.total_steps:
            look(step)
    if training.total_steps == 0:  # what was trained before is sampled, as `edm` does
        look(0)
    model = training.model()
    if model.start is not None:
        print(f"{name}  start  {distance(model.start):.4f}", flush=True)


if __name__ == "__main__":
    main()
