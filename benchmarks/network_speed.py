"""Training and DxMI on networks of images, executed in several ways, as ratios in one run; achieved over attainable.

Each round times every way once, so that a machine whose speed drifts does not bend the ratios; seconds are of this
process's CPU on a CPU (wall clock with `--device cuda`). Attainable is what the convolutions of the very iteration
reach when they are done one after the other, with nothing between them: their shapes are recorded in an eager float32
iteration, and each is repeated, forward and backward, in float32 and in bfloat16.

    .venv/bin/python benchmarks/network_speed.py --network small
    .venv/bin/python benchmarks/network_speed.py --network small --what dxmi --ways eager,bf16
    .venv/bin/python benchmarks/network_speed.py --network cifar10 --what dxmi --batch 2 --rounds 2 --ways eager,bf16
    .venv/bin/python benchmarks/network_speed.py --network plane --what dxmi --batch 200 --ways eager
"""

import argparse
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from dxbench_baselines.dxmi import DxMIConfig
from dxbench_baselines.recipes import dxmi as recipes
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from dxbench.api import Compute, Problem, Training
from dxbench.api.streams import RandomStreams
from dxbench.conformance.problems import synthetic_problem
from dxbench.drawing.counting import OperationCounter
from dxbench.plugins.registry import load_method
from dxmi.backbones.images import DDPMUNet
from dxmi.energies.critics import ResNetCritic
from dxmi.nets.precision import Precision


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way to execute networks."""

    precision: Precision = "float32"
    channels_last: bool = False
    compiled: bool = False

    def prepare(self, net: nn.Module) -> None:
        """Prepare a network, as `dxbench.api.Execution` asks."""
        if self.channels_last:
            net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        if self.compiled:
            net.compile(dynamic=False)


WAYS = {
    "eager": Way(),
    "channels-last": Way(channels_last=True),
    "bf16": Way(precision="bfloat16"),
    "compiled": Way(compiled=True),
    "bf16+compiled": Way(precision="bfloat16", compiled=True),
    "bf16+channels-last+compiled": Way(precision="bfloat16", channels_last=True, compiled=True),
}
SMALL = DDPMUNet(width=32, multipliers=(1, 1, 3), blocks_per_level=1, attention_levels=(2,))
NETWORKS = {"small": ((1, 28, 28), SMALL, 32), "cifar10": ((3, 32, 32), DDPMUNet(), 128)}


def config(name: str, way: Way, *, batch: int, steps: int, pretraining: int) -> DxMIConfig:
    """DxMI in the paper's form on the named networks, or as on 8 Gaussians in the plane."""
    if name == "plane":
        return recipes.gaussians8().model_copy(update={"batch_size": batch, "num_steps": steps})
    _, network, width = NETWORKS[name]
    paper = recipes.cifar10_jpeg75()
    backbone = replace(
        paper.backbone,
        network=replace(network, precision=way.precision),
        pretraining=replace(paper.backbone.pretraining, iterations=pretraining, batch_size=batch),
    )
    new = {"backbone": backbone, "critic": ResNetCritic(width=width, precision=way.precision), "dropout": 0.0}
    return paper.model_copy(update={**new, "batch_size": batch, "num_steps": steps})


def training(name: str, what: str, way: Way, *, batch: int, steps: int, device: str) -> Training:
    """A run of the method whose first steps are those that are timed."""
    shape = (2,) if name == "plane" else NETWORKS[name][0]
    problem: Problem = synthetic_problem(shape)
    made = config(name, way, batch=batch, steps=steps, pretraining=10_000 if what == "denoising" else 0)
    compute = Compute(device=device, threads=torch.get_num_threads(), execution=way)
    return load_method("dxmi")().start(problem, made, compute=compute, rng=RandomStreams("dxmi", name, 0))


def clock(device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def timed(step: Callable[[], Any], device: str) -> float:
    start = clock(device)
    step()
    return clock(device) - start


class Products(TorchDispatchMode):
    """Records the shapes of convolutions and matrix products, and how often each is done."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[Any] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        name = func._overloadpacket._qualified_op_name
        if name in KERNELS:
            shapes = tuple((tuple(a.shape), None) if isinstance(a, Tensor) else (None, _frozen(a)) for a in args)
            self.found[name, shapes] += 1
        return func(*args, **(kwargs or {}))


KERNELS: dict[str, Callable[..., Any]] = {
    "aten::convolution": torch.ops.aten.convolution,
    "aten::convolution_backward": torch.ops.aten.convolution_backward,
    "aten::mm": torch.ops.aten.mm,
    "aten::addmm": torch.ops.aten.addmm,
    "aten::bmm": torch.ops.aten.bmm,
}


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def attainable(products: Products, dtype: torch.dtype, device: str) -> float:
    """Seconds of all recorded kernels, each on fresh numbers, one after the other: the least of three."""
    total = 0.0
    for (name, shapes), count in products.found.items():
        args = [
            torch.randn(shape, device=device).to(dtype) if shape is not None else list(v) if type(v) is tuple else v
            for shape, v in shapes
        ]
        kernel = partial(KERNELS[name], *args)
        kernel()
        total += count * min(timed(kernel, device) for _ in range(3))
    return total


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=(*NETWORKS, "plane"), default="small")
    parser.add_argument("--what", choices=("denoising", "dxmi"), default="denoising")
    parser.add_argument(
        "--ways", default=",".join(WAYS), help="parted by commas; the first is what the others are over"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=4, help="T of DxMI")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    make = partial(training, asked.network, asked.what, batch=asked.batch, steps=asked.steps, device=asked.device)

    counted, products = make(WAYS["eager"]), Products()
    counted.step()
    with OperationCounter() as counter, products:
        counted.step()
    bounds = {dtype: attainable(products, dtype, asked.device) for dtype in (torch.float32, torch.bfloat16)}

    runs = {name: make(WAYS[name]) for name in asked.ways.split(",")}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for name, run in runs.items():
        first = timed(run.step, asked.device) + timed(run.step, asked.device)
        print(f"{name}: the first two steps, compilation included, {first:.1f} s", file=sys.stderr, flush=True)
    for _ in range(asked.rounds):
        for name, run in runs.items():
            seconds[name].append(timed(run.step, asked.device))

    where = torch.cuda.get_device_name() if asked.device == "cuda" else f"CPU, {asked.threads} thread(s)"
    print(f"{asked.what} on {asked.network}, batch {asked.batch}, {where}, torch {torch.__version__}")
    print(f"{counter.total / 1e9:.1f} G operations an iteration")
    for dtype, bound in bounds.items():
        print(f"attainable, {dtype}: {bound:.3f} s, {counter.total / bound / 1e9:.0f} GFLOP/s")
    base = next(iter(seconds.values()))
    for name, taken in seconds.items():
        ratios = [slow / quick for slow, quick in zip(base, taken, strict=True)]
        dtype = torch.bfloat16 if WAYS[name].precision == "bfloat16" else torch.float32
        middle = statistics.median(taken)
        print(
            f"{name:28} {middle:7.3f} s  faster {statistics.median(ratios):5.2f}  ({min(ratios):.2f} to "
            f"{max(ratios):.2f})  achieved over attainable {bounds[dtype] / middle:5.1%}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
