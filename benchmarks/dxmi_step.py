"""One iteration of DxMI on the networks of CIFAR-10: eager float32 against the optimised path, in one process.

The policy is the DDPM UNet of 35.7 M parameters on FastDPM's ten steps, the energy the ResNet of 5.1 M; weights and
data are random, since neither moves the cost. An iteration is the whole of `DxMIUpdate`: rollout, energy step, one
batched value step, one batched policy step over all ten steps, velocities. The optimised path is bfloat16 autocast,
channels-last memory, torch.compile and fused Adam; attention is torch's fused one in both, and targets are evaluated
without a graph in both. Rounds alternate, so that a machine whose speed drifts does not bend the ratio.

    .venv/bin/python benchmarks/dxmi_step.py --device cuda
    .venv/bin/python benchmarks/dxmi_step.py --device cpu --batch 2 --rounds 1
"""

import argparse
import itertools
import resource
import statistics
import sys
import time
from dataclasses import dataclass

import torch
from execution import ChannelsLast, Eager, Execution
from torch import Tensor, nn

from dxbench.drawing.counting import OperationCounter
from dxbench.engine.fabric import FabricWorkers
from dxbench.engine.spread import ParallelSettings
from dxmi.algorithms.dxmi import DxMIUpdate
from dxmi.algorithms.sweeps import batched_sweep
from dxmi.energies.values import TimeIndependentValue
from dxmi.nets.energy_resnet import EnergyResNet
from dxmi.nets.presets import DDPM_CIFAR10
from dxmi.nets.steps import AtSteps
from dxmi.nets.unet import UNet
from dxmi.sampling.noise import StreamNoise
from dxmi.sampling.policies import GaussianPolicy
from dxmi.schedules.chains import LinearChain
from dxmi.training.costs import RunningCost, VelocityVariance, sigmoid_time_cost, velocity_of_noise
from dxmi.training.optimisers import FusedAdam, OptimizedModule

STEPS, SHAPE = 10, (3, 32, 32)


@dataclass
class Path:
    """One way to run the iteration."""

    name: str
    update: DxMIUpdate
    dtype: torch.dtype
    seconds: list[float]
    peak: int = 0


def build(name: str, execution: Execution, spread: ParallelSettings, *, fused: bool, device: str) -> Path:
    """The networks of CIFAR-10, T = 10, with the paper's learning rates."""
    chain, generator = LinearChain(), torch.Generator().manual_seed(0)
    schedule = chain.var_quadratic(STEPS)
    unet, energy = UNet(DDPM_CIFAR10, generator=generator), EnergyResNet(generator=generator)
    for net in (unet, energy):
        net.to(device)
        execution.prepare(net)
    policy = GaussianPolicy.from_noise_predictor(
        AtSteps(unet, chain.step_of(schedule.alpha_bar[:-1].log())),
        schedule,
        event_shape=SHAPE,
        last_std=1e-3,
        trainable_std=[True] * (STEPS - 1) + [False],
    ).to(device)
    value = TimeIndependentValue(energy)
    parallel = FabricWorkers(spread, device=device, place=None)

    def optimized(module: nn.Module, lr: float, max_grad_norm: float | None) -> OptimizedModule:
        groups = [{"params": list(module.parameters()), "lr": lr}]
        optimiser = FusedAdam(groups) if fused else torch.optim.Adam(groups, fused=False)
        return OptimizedModule(module=module, optimizer=optimiser, max_grad_norm=max_grad_norm, parallel=parallel)

    update = DxMIUpdate(
        policy=optimized(policy, 1e-7, 0.1),
        value=optimized(value, 1e-5, None),
        policy_cost=RunningCost(tau_entropy=0.1, tau_velocity=0.01, num_steps=STEPS),
        value_cost=sigmoid_time_cost(STEPS),
        gamma=1.0,
        velocity=VelocityVariance(velocity_of_noise(policy)),
        sweep=batched_sweep(STEPS),
    )
    return Path(name, update, torch.float32 if spread.precision == "32" else torch.bfloat16, [])


def iterate(path: Path, batch: int, device: str) -> dict[str, Tensor]:
    generator = torch.Generator(device=device).manual_seed(1)

    def noise(rows: int) -> StreamNoise:
        return StreamNoise(batch_size=rows, event_shape=SHAPE, generator=generator)

    return path.update(noise(batch).normal(0).clamp(-1, 1), noise(batch), noise(STEPS * batch))


def timed(path: Path, batch: int, device: str) -> float:
    """Seconds of one iteration; its peak of memory is kept with the path."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        torch.cuda.synchronize()
    start = time.perf_counter()
    energy = float(iterate(path, batch, device)["energy_data"])
    if device == "cuda":
        torch.cuda.synchronize()
        path.peak = max(path.peak, torch.cuda.max_memory_allocated())
    seconds = time.perf_counter() - start
    assert energy == energy, f"{path.name}: energies are NaN"
    return seconds


def matmul_rate(dtype: torch.dtype, device: str) -> float:
    """Best FLOP/s of a large square matrix product, as measured here."""
    size, rounds = (8192, 20) if device == "cuda" else (1024, 8)
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = 0.0
    for _ in range(5):
        if device == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(rounds):
            torch.mm(a, b)
        if device == "cuda":
            torch.cuda.synchronize()
        best = max(best, rounds * 2 * size**3 / (time.perf_counter() - start))
    return best


def model_flops(path: Path, device: str) -> float:
    """Counted operations of an eager iteration per image, by torch's formulas for products and convolutions."""
    with OperationCounter() as counter:
        iterate(path, 1, device)
    return float(counter.forward + counter.backward)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--batch", type=int, default=128, help="images per iteration")
    parser.add_argument("--accumulate", type=int, default=2, help="micro-batches of it, in both paths")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--warmup", type=int, default=2, help="iterations of each path before the first timed one")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out of the optimised path")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    device, accumulate = asked.device, min(asked.accumulate, asked.batch)
    plain, fast = ParallelSettings(accumulate=accumulate), ParallelSettings(accumulate=accumulate, precision="bf16")
    eager = build("eager float32", Eager(), plain, fused=False, device=device)
    flops = model_flops(build("counted", Eager(), ParallelSettings(), fused=False, device=device), device)
    layout = ChannelsLast(compiled=not asked.no_compile)
    paths = [eager, build("optimised", layout, fast, fused=True, device=device)]
    for path, _ in itertools.product(paths, range(asked.warmup)):
        print(f"warming up {path.name}: {timed(path, asked.batch, device):.1f} s", file=sys.stderr, flush=True)
        path.peak = 0
    for index, path in itertools.product(range(asked.rounds), paths):
        path.seconds.append(timed(path, asked.batch, device))
        print(f"round {index + 1}, {path.name}: {path.seconds[-1]:.3f} s", file=sys.stderr, flush=True)
    rates = {dtype: matmul_rate(dtype, device) for dtype in (torch.float32, torch.bfloat16)}
    where = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {asked.threads} threads"
    print(f"{where}, torch {torch.__version__}, batch {asked.batch} in {accumulate} micro-batches")
    print(f"model FLOPs per image and iteration: {flops / 1e12:.3f} T")
    print(
        f"measured matmul, TFLOP/s: float32 {rates[torch.float32] / 1e12:.2f}, bf16 {rates[torch.bfloat16] / 1e12:.2f}"
    )
    for path in paths:
        seconds = statistics.median(path.seconds)
        used = flops * asked.batch / seconds
        memory = f"{path.peak / 2**30:.1f} GiB" if device == "cuda" else "not told apart on a CPU"
        print(
            f"{path.name:14} {seconds:8.3f} s  {asked.batch / seconds:8.2f} images/s  {used / 1e12:7.3f} TFLOP/s  "
            f"{used / rates[path.dtype]:6.1%} of that matmul, {used / max(rates.values()):6.1%} of the faster one  "
            f"peak {memory}"
        )
    ratios = [slow / quick for slow, quick in zip(*(path.seconds for path in paths), strict=True)]
    print(f"optimised over eager: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    if device == "cpu":
        print(f"peak of the whole process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB")


if __name__ == "__main__":
    main()
