"""Checks of what the rest of `make gpu` counts on: precisions, compilation, process groups, memory, repeatability.

Each check prints a line and none keeps the next from running; the exit status is 1 where one failed.

    python tools/gpu/checks.py --device cuda
"""

import argparse
import sys
import time
import traceback
from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn

from dxbench.engine.fabric import FabricWorkers
from dxbench.engine.spread import ParallelSettings
from dxmi.backbones.images import DDPMUNet
from dxmi.nets.unet import UNet
from dxmi.sampling.noise import StreamNoise
from dxmi.training.denoising import DenoiserTraining
from dxmi.training.parallel import ONE_PROCESS, Parallel

SHAPE, BATCH = (3, 16, 16), 8
TINY = DDPMUNet(width=16, multipliers=(1, 2), blocks_per_level=1, attention_levels=(1,))


def machine(device: str) -> str:
    """Names and versions."""
    found = f"torch {torch.__version__}, Python {sys.version.split()[0]}"
    if device == "cpu":
        return f"{found}, {torch.get_num_threads()} thread(s), {torch.backends.cpu.get_cpu_capability()}"
    facts = torch.cuda.get_device_properties(0)
    return (
        f"{found}, {facts.name}, {facts.total_memory / 2**30:.0f} GiB, capability {facts.major}.{facts.minor}, "
        f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
    )


def tiny(device: str) -> UNet:
    net = TINY.network(SHAPE, Generator().manual_seed(0)).to(device)
    assert isinstance(net, UNet)
    return net


def passed(net: nn.Module, device: str) -> list[Tensor]:
    """Output and gradients of a pass through a network, on the CPU in float64."""
    generator = Generator().manual_seed(1)
    x, time_ = torch.randn(BATCH, *SHAPE, generator=generator), torch.linspace(0, 999, BATCH)
    out = net(x.to(device), time_.to(device))
    gradients = torch.autograd.grad(out.square().mean(), list(net.parameters()))
    return [out.detach().cpu().double(), *(gradient.cpu().double() for gradient in gradients)]


def apart(found: list[Tensor], wanted: list[Tensor]) -> float:
    """Largest difference of a tensor, over that tensor's largest entry."""
    return max(float((a - b).abs().max() / b.abs().max().clamp(min=1e-12)) for a, b in zip(found, wanted, strict=True))


def in_precision(precision: torch.dtype, bound: float) -> Callable[[str], str]:
    def check(device: str) -> str:
        wanted = passed(tiny(device), device)[0]
        with torch.no_grad(), torch.autocast(device, dtype=precision):
            generator = Generator().manual_seed(1)
            x = torch.randn(BATCH, *SHAPE, generator=generator).to(device)
            found = tiny(device)(x, torch.linspace(0, 999, BATCH, device=device))
        difference = apart([found.cpu().double()], [wanted])
        assert difference < bound, f"{difference:.1e} off float32, wanted less than {bound}"
        return f"within {difference:.1e} of float32"

    return check


def training(device: str, parallel: Parallel = ONE_PROCESS, *, compiled: bool = False) -> DenoiserTraining:
    data = torch.randn(BATCH, *SHAPE, generator=Generator().manual_seed(2)).to(device)
    net = tiny(device)
    if compiled:
        net.compile(dynamic=False)
    noise = StreamNoise(batch_size=BATCH, event_shape=SHAPE, generator=Generator(torch.device(device)).manual_seed(3))
    return DenoiserTraining(
        net, TINY.loss(), data=lambda: data, noise=noise, iterations=20, lr=1e-3, ema_decay=0.9, parallel=parallel
    )


def fp16_training(device: str) -> str:
    workers = FabricWorkers(ParallelSettings(precision="fp16"), device=device, place=None)
    run = training(device, workers)
    losses = [float(run.step()) for _ in range(20)]
    assert min(losses[-5:]) < losses[0], f"the loss did not fall: {losses[0]:.3f} to {losses[-1]:.3f}"
    return f"the loss falls from {losses[0]:.3f} to {losses[-1]:.3f}"


def compiled(device: str) -> str:
    wanted, net = passed(tiny(device), device), tiny(device)
    net.compile(dynamic=False)
    start = time.perf_counter()
    difference = apart(passed(net, device), wanted)
    seconds = time.perf_counter() - start
    assert difference < 5e-3, f"{difference:.1e} off what is not compiled"
    return f"in {seconds:.0f} s, output and gradients within {difference:.1e} of what is not compiled"


def one_process_group(device: str) -> str:
    backend = "nccl" if device == "cuda" else "gloo"
    torch.distributed.init_process_group(backend, store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        plain, wanted = tiny(device), passed(tiny(device), device)
        wrapped = nn.parallel.DistributedDataParallel(plain)
        out = wrapped(torch.zeros(1, *SHAPE, device=device), torch.zeros(1, device=device))
        out.square().mean().backward()
        total = torch.ones(3, device=device)
        torch.distributed.all_reduce(total)
        assert total.tolist() == [1.0] * 3
        assert all(parameter.grad is not None for parameter in plain.parameters())
        difference = apart(passed(plain, device), wanted)
        assert difference < 1e-3, f"{difference:.1e} off what is not wrapped"
    finally:
        torch.distributed.destroy_process_group()
    return f"{backend}, DDP and all_reduce"


def memory(device: str) -> str:
    if device == "cpu":
        return "left out: a CPU's allocator does not tell"
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    run = training(device)
    run.step()
    peak = torch.cuda.max_memory_allocated() - before
    del run
    left = torch.cuda.memory_allocated() - before
    assert peak > 0
    assert left < 2**20, f"{left} bytes are still held after a training"
    return f"a training takes {peak / 2**20:.0f} MiB and gives them back"


def repeats(device: str) -> str:
    """The same steps twice end close; whether bit by bit is told, not demanded."""

    def weights(run: DenoiserTraining, steps: int) -> list[Tensor]:
        for _ in range(steps):
            run.step()
        return [value.detach().cpu().double() for value in run.net.state_dict().values()]

    first, second = weights(training(device), 6), weights(training(device), 6)
    difference = apart(first, second)
    assert difference < 1e-2, f"the same training twice ends {difference:.1e} apart"
    return "bit by bit" if difference == 0 else f"to {difference:.1e}, not bit by bit"


CHECKS: dict[str, Callable[[str], str]] = {
    "machine": machine,
    "bf16": in_precision(torch.bfloat16, 0.05),
    "fp16": in_precision(torch.float16, 0.02),
    "fp16 training": fp16_training,
    "one-process group": one_process_group,
    "memory": memory,
    "repeats": repeats,
    "compile": compiled,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--leave-out", default="", help="names of checks, parted by commas")
    asked = parser.parse_args()
    failed = 0
    for name, check in CHECKS.items():
        if name in asked.leave_out.split(","):
            print(f"{name}: left out, as asked", flush=True)
            continue
        try:
            print(f"{name}: {check(asked.device)}", flush=True)
        except Exception:  # one check's failure is a line of its own
            failed += 1
            print(f"{name}: FAILED\n{traceback.format_exc()}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
