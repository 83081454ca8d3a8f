"""A training step of a UNet in two processes of a CPU, one thread each, against the same step in one of one thread.

Both steps are the engine's own: whole batches are drawn by the same seed, gradients summed over gloo. Rounds alternate
within the same two processes, and the second one sleeps while the first works alone. CPU seconds are those of the
busier process; on an idle machine a step takes them and what it waits for the other, on a busy one they alone say
something.

    .venv/bin/python benchmarks/two_processes.py --batch 32 --rounds 5
"""

import argparse
import statistics
import subprocess
import sys
import time
from dataclasses import replace

import torch
from torch import Tensor

from dxbench.engine.fabric import FabricWorkers
from dxbench.engine.spread import ParallelSettings, Rank
from dxbench.launchers.crew import free_port
from dxmi.nets.presets import DDPM_CIFAR10
from dxmi.nets.unet import UNet
from dxmi.training.optimisers import Learner
from dxmi.training.parallel import ONE_PROCESS, Parallel


def learner(width: int, parallel: Parallel) -> Learner:
    """DDPM's UNet of CIFAR-10, of another width; the same weights each time."""
    unet = UNet(replace(DDPM_CIFAR10, width=width), generator=torch.Generator().manual_seed(0))
    return Learner(unet, lr=1e-4, iterations=1000, ema_decay=0.999, max_grad_norm=1.0, parallel=parallel)


def step(trained: Learner, batch: int, seed: int, parallel: Parallel) -> Tensor:
    """One step of denoising on a batch of random images, of which this process takes its rows."""
    generator = torch.Generator().manual_seed(seed)
    x, noise = (torch.randn(batch, 3, 32, 32, generator=generator) for _ in range(2))
    levels = torch.randint(1000, (batch,), generator=generator).float()
    mine = parallel.rows(batch)

    def loss(rows: slice) -> Tensor:
        chosen = slice(mine.start + rows.start, mine.start + rows.stop)
        return (trained.module(x[chosen] + noise[chosen], levels[chosen]) - noise[chosen]).square().mean()

    return trained.accumulated_step(batch, loss)


def timed(trained: Learner, batch: int, seed: int, parallel: Parallel) -> tuple[float, float]:
    """Wall and CPU seconds of a step."""
    wall, cpu = time.perf_counter(), time.process_time()
    step(trained, batch, seed, parallel)
    return time.perf_counter() - wall, time.process_time() - cpu


def work(rank: int, port: int, asked: argparse.Namespace) -> None:
    """Carry out one of the two processes; the first one reports."""
    torch.set_num_threads(1)
    place = Rank(rank=rank, port=port)
    place.enter()
    workers = FabricWorkers(ParallelSettings(devices=2), device="cpu", place=place)
    alone, together = learner(asked.width, ONE_PROCESS), learner(asked.width, workers)
    parameters = sum(parameter.numel() for parameter in alone.module.parameters())
    seconds: list[tuple[float, ...]] = []
    for number in range(asked.rounds + 1):
        one = timed(alone, asked.batch, number, ONE_PROCESS) if rank == 0 else (0.0, 0.0)
        workers.any(False)  # the other one waits here
        two = torch.tensor(timed(together, asked.batch, number, workers))
        busier = workers.gather(two[None], of=2).amax(0).tolist()
        begun = time.perf_counter(), time.process_time()
        workers.sum([torch.ones_like(parameter) for parameter in together.module.parameters()])
        summed = time.perf_counter() - begun[0], time.process_time() - begun[1]
        if number:  # the first one warms up
            seconds.append((*one, *busier, *summed))
    if rank:
        return
    weights = [torch.cat([p.detach().flatten() for p in one.module.parameters()]) for one in (alone, together)]
    print(f"{parameters / 1e6:.1f} M parameters, batch {asked.batch}, {asked.rounds} rounds, torch {torch.__version__}")
    print(f"weights apart by {float((weights[0] - weights[1]).abs().max()):.1e} after {asked.rounds + 1} steps")
    for name, i in (("wall", 0), ("CPU", 1)):
        one, two, summing = ([row[i + 2 * j] for row in seconds] for j in range(3))
        ratios = [a / b / 2 for a, b in zip(one, two, strict=True)]
        print(
            f"{name:4} seconds: one process {statistics.median(one):.2f}, each of two {statistics.median(two):.2f}, of "
            f"which {statistics.median(summing):.2f} to sum gradients; {statistics.median(ratios):.1%} of ideal "
            f"({min(ratios):.1%} to {max(ratios):.1%}), of the quickest {min(one) / min(two) / 2:.1%}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--width", type=int, default=64, help="channels of the first level; the paper's is 128")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rank", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=None, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.rank is not None:
        work(asked.rank, asked.port, asked)
        return
    place = ["--port", str(free_port())]
    processes = [subprocess.Popen([sys.executable, *sys.argv, "--rank", str(rank), *place]) for rank in range(2)]
    ended = [process.wait() for process in processes]
    if any(ended):
        raise SystemExit("a process has failed")


if __name__ == "__main__":
    main()
