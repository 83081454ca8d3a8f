"""Batched against sequential DxDP: milliseconds per iteration of DxMI on gaussians8, in one run.

Batched: all K value steps in one forward pass and one optimiser step, then all K policy steps likewise.
Sequential: K optimiser steps of the value, then K of the policy, as Algorithm 1 is written. The rollout and the
energy step, which both have in common, are timed with and without.
"""

import argparse
import statistics
import time

import torch
from dxbench_baselines.dxmi import DxMITraining

from dxbench.api import Compute
from dxbench.api.streams import RandomStreams
from dxbench.engine.process import prepare_process
from dxbench.plugins.configure import configure
from dxbench.plugins.registry import load_method, load_task
from dxmi.sampling.noise import StreamNoise
from dxmi.sampling.rollouts import rollout


def training(sweep: str, batch_size: int, threads: int) -> DxMITraining:
    """The default recipe with another sweep."""
    task, method = load_task("gaussians8"), load_method("dxmi")
    config = configure(method, task, "default", {"sweep": sweep, "batch_size": batch_size})
    compute = Compute(device="cpu", threads=threads)
    made = method().start(task.problem(oracle=False), config, compute=compute, rng=RandomStreams("benchmark"))
    assert isinstance(made, DxMITraining)
    return made


def dxdp_only(run: DxMITraining) -> None:
    """Value and policy steps on a fresh trajectory; the rollout is not timed."""
    run.update._value_steps(run.trajectory)  # type: ignore[attr-defined]
    run.update._policy_steps(run.trajectory, run._noise(run.config.num_steps))  # type: ignore[attr-defined]


def milliseconds(call: object, *arguments: object, repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        call(*arguments)  # type: ignore[operator]
    return (time.perf_counter() - start) / repeats * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="interleaved rounds of 20 iterations each")
    arguments = parser.parse_args()
    for threads in (1, 2):
        prepare_process(Compute(device="cpu", threads=threads))
        for batch_size in (64, 200):
            runs = {sweep: training(sweep, batch_size, threads) for sweep in ("batched", "sequential")}
            for run in runs.values():
                noise = StreamNoise(batch_size=batch_size, event_shape=(2,), generator=torch.Generator().manual_seed(0))
                run.trajectory = rollout(run.policy, noise)  # type: ignore[attr-defined]
                milliseconds(run.step, repeats=10)
            for title, call in (("iteration", lambda run: run.step()), ("value and policy steps", dxdp_only)):
                times: dict[str, list[float]] = {sweep: [] for sweep in runs}
                for _ in range(arguments.rounds):
                    for sweep, run in runs.items():
                        times[sweep].append(milliseconds(call, run, repeats=20))
                ratios = [s / b for s, b in zip(times["sequential"], times["batched"], strict=True)]
                print(
                    f"threads {threads}  batch {batch_size:3}  {title:22}  "
                    f"batched {statistics.median(times['batched']):6.2f} ms  "
                    f"sequential {statistics.median(times['sequential']):6.2f} ms  "
                    f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
                    flush=True,
                )


if __name__ == "__main__":
    main()
