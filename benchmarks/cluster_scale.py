"""A full board on 1 to 512 GPUs: ImageNet64, 50,000 samples, 5 training seeds, 15 rows. Nothing of it has been run.

Cells and their lengths are those that `dxbench run` plans from the recipes. The operations of a network's pass are
counted here, as `sampling_flops` of a record is; how many passes an iteration has is read off the methods. What a GPU
sustains follows from the one published training of such a network whose length, machines and days are all known.
Seconds follow by division, so that all of them scale with it. docs/scale.md says what comes out, and what it is worth.

    .venv/bin/python benchmarks/cluster_scale.py
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from dxbench_baselines.starts.presets import ADM, DDPM, EDM_ADM
from torch import nn

from dxbench.drawing.counting import OperationCounter
from dxbench.engine.plan import Cell
from dxbench.plugins.configure import config_class
from dxbench.plugins.registry import load_method, load_task
from dxbench.sweeps import Block, plan_blocks
from dxmi.energies.critics import ResNetCritic
from dxmi.nets.lpips import SIDE, STAGES

ROWS = "edm edm:nvidia edm[sampler=ipndm,nfe=10] edm[sampler=dpmpp3m,nfe=10] ddpm ddpm:ancestral-t4 consistency"
ROWS += " consistency:cd-l2 consistency[middle_levels=[22]] consistency:ct consistency:train-cd consistency:train-ct"
ROWS += " dxmi:paper dxmi:paper-t4 gan_finetune"
SAMPLES, SHAPE, DAY = 50_000, (3, 64, 64), 86_400.0

# NVlabs/edm, README: imagenet-64x64-cond-adm, 2,500 million images on 32 A100 in ~13 days, fp16.
PUBLISHED_IMAGES, PUBLISHED_GPU_SECONDS = 2500e6, 32 * 13 * DAY
# Measured with two processes of one CPU (benchmarks/two_processes.py); that many GPUs are as good is an assumption.
SPREAD_EFFICIENCY = 0.9
# 655 s of CPU for 50,000 x 50,000 (benchmarks/README.md), of which the task asks for 50,000 x 10,000.
SCORING_SECONDS = 655 * 10_000 / 50_000


@cache
def pass_flops(network: Any, shape: tuple[int, ...] = SHAPE) -> float:
    """Operations of one pass of a backbone's network, or of an energy net, on one image."""
    generator = torch.Generator().manual_seed(0)
    image, time = torch.zeros(1, *shape), torch.ones(1)
    with torch.no_grad(), OperationCounter() as counter:
        if isinstance(network, ResNetCritic):
            network.net(shape, num_levels=None, data_std=0.5, generator=generator)(image)
        else:
            net: nn.Module = network.network(shape, generator)
            classes = getattr(network, "num_classes", None)
            net(image, time, **({"labels": torch.zeros(1, dtype=torch.int64)} if classes else {}))
    return float(counter.forward)


def lpips_flops() -> float:
    """Operations of VGG-16's convolutions on one image, by their sizes."""
    total, cin = 0.0, 3
    for level, (cout, places) in enumerate(STAGES):
        for _ in places:
            total += 2 * 9 * cin * cout * (SIDE // 2**level) ** 2
            cin = cout
    return total


def iteration_flops(method: str, config: Any) -> float:
    """Operations of an iteration for one image of its batch; a backward pass counts as two forward ones."""
    net = pass_flops(config.backbone.network)
    match method:
        case "consistency":  # the answer forth and back, the slow copy's, two of the teacher's in distillation
            lpips = 4 * lpips_flops() if config.distance == "lpips" else 0.0
            return (6 if config.variant == "distillation" else 4) * net + lpips
        case "gan_finetune":  # a sample forth and back and one for the critic; the critic's own, and its penalty
            return 4 * net + 12 * pass_flops(config.critic, SHAPE)
        case "dxmi":  # the rollout and a policy step of each transition; values, their targets, the energy's step
            return 4 * config.num_steps * net + (8 * config.num_steps + 6) * pass_flops(config.critic, SHAPE)
        case _:
            raise ValueError(f"{method} trains, and its iteration has not been looked at")


def sampling_passes(method: str, config: Any) -> int:
    """Passes behind a sample, and behind one of the start, which is scored too where there is one."""
    match method:
        case "edm":
            return config.nfe
        case "consistency":
            return len(config.sigmas) * (2 if config.iterations else 1)
        case "gan_finetune":
            return 1 + 1
        case "dxmi":
            return 2 * config.num_steps
        case _:
            return config.num_steps


@dataclass(frozen=True)
class Job:
    """A cell with its seconds on one GPU. All of them begin from released weights, so that none waits for another."""

    name: str
    row: str
    seconds: float


def job(cell: Cell, sustained: float) -> Job:
    """The time of a planned cell."""
    config: Any = config_class(load_method(cell.method_ref), load_task(cell.task_ref), cell.preset).model_validate(
        cell.config
    )
    assert not cell.needs
    flops = SAMPLES * sampling_passes(cell.method, config) * pass_flops(config.backbone.network)
    if (iterations := getattr(config, "iterations", 0)) > 0:
        flops += iterations * config.batch_size * iteration_flops(cell.method, config)
    return Job(cell.run_id, str(cell.row), flops / sustained + SCORING_SECONDS)


def makespan(jobs: Sequence[Job], gpus: int, widths: Mapping[str, int]) -> float:
    """Seconds of list scheduling, the longest first, each cell on its width of GPUs."""
    waiting = sorted(jobs, key=lambda one: -seconds_on(one, widths[one.name]))
    free, now, running = gpus, 0.0, list[tuple[float, int]]()
    while waiting or running:
        for one in list(waiting):
            if widths[one.name] <= free:
                waiting.remove(one)
                free -= widths[one.name]
                heapq.heappush(running, (now + seconds_on(one, widths[one.name]), widths[one.name]))
        now, width = heapq.heappop(running)
        free += width
    return now


def seconds_on(one: Job, width: int) -> float:
    """Seconds of a cell that is spread over GPUs."""
    return one.seconds if width == 1 else one.seconds / width / SPREAD_EFFICIENCY


def widths_for(jobs: Sequence[Job], gpus: int) -> dict[str, int]:
    """GPUs per cell, a power of two up to the batch's 128 rows: as many as keep it within the board's ideal time."""
    ideal = sum(one.seconds for one in jobs) / gpus / SPREAD_EFFICIENCY
    widths = {}
    for one in jobs:
        width = 1
        while width < min(gpus, 128) and seconds_on(one, width) > ideal / 2:
            width *= 2
        widths[one.name] = width
    return widths


def main() -> None:
    torch.set_num_threads(1)
    adm = pass_flops(EDM_ADM.network)
    sustained = PUBLISHED_IMAGES * 3 * adm / PUBLISHED_GPU_SECONDS
    print(f"EDM's ADM: {adm / 1e9:.0f} GFLOP a pass; as published an A100 sustains {sustained / 1e12:.1f} TFLOP/s")
    unet, energy = pass_flops(DDPM.network, (3, 32, 32)), pass_flops(ResNetCritic(), (3, 32, 32))
    print(f"DxMI's T = 10 on CIFAR-10 so: {(40 * unet + 86 * energy) / 1e12:.3f} TFLOP an image; counted 0.590")
    start = ADM.pretraining
    trained = 3 * start.iterations * start.batch_size * pass_flops(ADM.network) / sustained
    print(f"a backbone of {start.iterations:,} batches of {start.batch_size}: {trained / DAY:.1f} d on one GPU")
    cells = plan_blocks([Block(task="imagenet64", method=ROWS.replace(" ", ","), seed="0-4")]).cells
    jobs = [job(cell, sustained) for cell in cells]
    print(f"\n{len(jobs)} cells; hours on one GPU of one of each row:")
    for row, one in {one.row: one for one in jobs}.items():
        print(f"  {row:36} {one.seconds / 3600:10,.2f}")
    without = [one for one in jobs if ":train-" not in one.row]
    for what, some in (("all rows", jobs), ("without consistency:train-cd and :train-ct", without)):
        total, longest = sum(one.seconds for one in some), max(some, key=lambda one: one.seconds)
        print(f"\n{what}: {total / DAY:,.1f} GPU-days, longest cell {longest.seconds / DAY:,.1f} d ({longest.row})")
        print("GPUs     ideal   a GPU per cell       cells spread over up to")
        for gpus in (1, 8, 64, 512):
            ideal, widths = total / gpus, widths_for(some, gpus)
            plain, spread = makespan(some, gpus, {one.name: 1 for one in some}), makespan(some, gpus, widths)
            print(
                f"{gpus:4} {ideal / DAY:9.2f} {plain / DAY:10.2f} d {ideal / plain:6.1%} {spread / DAY:10.2f} d "
                f"{ideal / spread:6.1%}  {max(widths.values())} GPUs"
            )


if __name__ == "__main__":
    main()
