"""Measure what DxDP costs and gains against back-propagation through the chain as the number of steps T grows.

DxMI (all value steps in one pass, or one by one as in Algorithm 1) against GCD, the same objective with the gradient of
the whole chain, and adjoint matching, on gaussians8. Milliseconds per iteration are measured interleaved; memory is the
peak of what autograd keeps for a backward pass, parameters left out. With --train each is trained for as many counted
network passes as the default of DxMI takes, or a --share of them, in its own batches, and sw2 is against draws of its
own.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

import numpy as np
import torch
from torch import Tensor, nn

from dxbench.api import Compute, Training
from dxbench.api.streams import RandomStreams
from dxbench.drawing.counting import counted_passes
from dxbench.drawing.draw import draw_samples
from dxbench.engine.process import prepare_process
from dxbench.metrics.points.sliced import random_directions, sliced_wasserstein2
from dxbench.plugins.configure import configure
from dxbench.plugins.registry import load_method, load_task
from dxbench.tasks.gaussians8 import eight_gaussians

METHODS = {
    "DxMI, batched": ("dxmi", {}),
    "DxMI, one by one": ("dxmi", {"sweep": "sequential"}),
    "GCD": ("gcd", {"batch_size": 200}),  # DxMI's, so that memory and time are of one batch
    "GCD, own batch": ("gcd", {}),
    "Adjoint matching": ("adjoint_matching", {"batch_size": 200}),
    "Adjoint matching, own batch": ("adjoint_matching", {}),
}
TIMED = ("DxMI, batched", "DxMI, one by one", "GCD", "Adjoint matching")
TRAINED = ("DxMI, batched", "GCD, own batch")
STEPS = (2, 5, 10, 20)


class GraphMemory:
    """Peak of the bytes that autograd holds for backward passes while the context is open."""

    def __init__(self) -> None:
        self.live = self.peak = 0
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._keep, lambda held: held.tensor)

    def _keep(self, tensor: Tensor) -> "_Held":
        return _Held(self, tensor)

    def __enter__(self) -> "GraphMemory":
        self._hooks.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._hooks.__exit__(kind, error, at)


class _Held:
    """A saved tensor, counted for as long as its graph lives."""

    def __init__(self, memory: GraphMemory, tensor: Tensor) -> None:
        self.tensor, self._memory = tensor, memory
        self._bytes = 0 if isinstance(tensor, nn.Parameter) else tensor.nbytes
        memory.live += self._bytes
        memory.peak = max(memory.peak, memory.live)

    def __del__(self) -> None:
        self._memory.live -= self._bytes


@dataclass
class Contender:
    """A training with what was measured of it."""

    training: Training
    milliseconds: list[float]

    def time(self, repeats: int) -> None:
        start = time.perf_counter()
        for _ in range(repeats):
            self.training.step()
        self.milliseconds.append((time.perf_counter() - start) / repeats * 1e3)


def training(title: str, num_steps: int, overrides: dict[str, object], *, seed: int = 0) -> Training:
    name, own = METHODS[title]
    task, method = load_task("gaussians8"), load_method(name)
    config = configure(method, task, "default", {**own, "num_steps": num_steps, **overrides})  # type: ignore[dict-item]
    compute = Compute(device="cpu", threads=task.threads)
    rng = RandomStreams("dxdp_against_bptt", title, seed)
    return method().start(task.problem(oracle=False), config, compute=compute, rng=rng)


def networks(run: Training) -> list[nn.Module]:
    """Policy and value, or policy and energy: the nets whose passes count."""
    trained = getattr(run, "learner", run)
    parts = [getattr(trained, name) for name in ("policy", "value", "energy") if hasattr(trained, name)]
    return [getattr(part, "module", part).net for part in parts]


def passes_per_iteration(run: Training) -> float:
    with counted_passes(networks(run)) as counter:
        for _ in range(5):
            run.step()
    return counter.rows / 5


def speed_and_memory(rounds: int) -> None:
    for num_steps in STEPS:
        contenders = {title: Contender(training(title, num_steps, {}), []) for title in TIMED}
        peaks = {}
        for title, contender in contenders.items():
            contender.training.step()
            with GraphMemory() as memory:
                contender.training.step()
            peaks[title] = memory.peak
        for _ in range(rounds):
            for contender in contenders.values():
                contender.time(repeats=5)
        for title, contender in contenders.items():
            print(
                f"T {num_steps:2}  {title:16}  {statistics.median(contender.milliseconds):6.2f} ms  "
                f"{peaks[title] / 2**20:6.2f} MiB  {passes_per_iteration(contender.training):7.0f} passes",
                flush=True,
            )


def quality(seed: int, share: float, titles: Sequence[str]) -> None:
    """Train each for a share of the passes of DxMI's default at five steps; sw2 against fresh draws."""
    draws = np.random.default_rng(4711 + seed)
    directions = random_directions(500, 2, draws)
    default = training("DxMI, batched", 5, {})
    budget = share * passes_per_iteration(default) * default.total_steps
    for num_steps in STEPS:
        for title in titles:
            iterations = round(budget / passes_per_iteration(training(title, num_steps, {})))
            run = training(title, num_steps, {"iterations": iterations}, seed=seed)
            start = time.perf_counter()
            for _ in range(run.total_steps):
                run.step()
            seconds = time.perf_counter() - start
            samples, _ = draw_samples(
                run.model(),  # type: ignore[arg-type]
                50_000,
                event_shape=(2,),
                first_seed=seed,
                batch_size=10_000,
                progress=lambda text: None,
            )
            truth = eight_gaussians().sample(50_000, draws)
            sw2 = sliced_wasserstein2(samples.astype(np.float64), truth, directions)
            print(
                f"T {num_steps:2}  {title:16}  {iterations:6} iterations  {seconds:4.0f} s  sw2 {sw2:.4f}", flush=True
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help="interleaved rounds of 5 iterations each; 0: no timing")
    parser.add_argument("--train", type=int, metavar="SEED", help="train each to the end and print sw2")
    parser.add_argument("--share", type=float, default=1.0, help="of the passes of DxMI's default, with --train")
    parser.add_argument("--title", action="append", choices=METHODS, help=f"what --train trains; by default {TRAINED}")
    arguments = parser.parse_args()
    prepare_process(Compute(device="cpu", threads=1))
    if arguments.rounds:
        speed_and_memory(arguments.rounds)
    if arguments.train is not None:
        quality(arguments.train, arguments.share, arguments.title or TRAINED)


if __name__ == "__main__":
    main()
