"""One epoch of DxMI for detection at the paper's sizes: seconds, iterations per second, peak memory, operations.

The training that `dxbench run --task mvtec_ad --method dxmi_detection` does (arXiv:2407.00626, App. C.3), past its
pretraining, on random features of the true shape: 711,284 patches of 272 numbers, batches of 784, 907 iterations an
epoch. Weights and data do not move the cost.

    .venv/bin/python benchmarks/detection_epoch.py --device cuda
    .venv/bin/python benchmarks/detection_epoch.py --device cpu --iterations 3 --points 50000
"""

import argparse
import resource
import sys
import time

import torch
from dxbench_baselines.recipes.dxmi_detection import patches

from dxbench.api import Compute, Method, Problem, Training
from dxbench.api.streams import RandomStreams
from dxbench.drawing.counting import OperationCounter
from dxbench.plugins.registry import load_method
from dxbench.tasks.detection import PointSet

POINTS, DIM = 711_284, 272


def training(method: Method, *, points: int, iterations: int, device: str, threads: int) -> Training:
    """Past its pretraining, with `iterations` of DxMI to go."""
    config = patches().model_copy(update={"pretrain_iterations": 1, "iterations": iterations})
    data = PointSet(points=torch.randn((points, DIM), generator=torch.Generator().manual_seed(0)))
    problem = Problem(task="mvtec_ad", event_shape=(DIM,), data=data, data_std=1.0)
    compute = Compute(device=device, threads=threads)
    found = method.start(problem, config, compute=compute, rng=RandomStreams("detection epoch", 0))
    found.step()
    return found


def synchronise(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--iterations", type=int, default=0, help="of one epoch, to be quicker; 0 for all of it")
    parser.add_argument("--warmup", type=int, default=2, help="iterations before the clock starts")
    parser.add_argument("--points", type=int, default=POINTS, help="training patches; fewer need less memory")
    parser.add_argument("--threads", type=int, default=1, help="of a CPU")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("no CUDA device here; try --device cpu --iterations 3")
    torch.set_num_threads(arguments.threads)

    batch = patches().batch_size
    epoch = POINTS // batch
    iterations = arguments.iterations or epoch
    train = training(
        load_method("dxmi_detection")(),
        points=arguments.points,
        iterations=arguments.warmup + iterations + 1,
        device=arguments.device,
        threads=arguments.threads,
    )
    with OperationCounter() as counter:
        train.step()
    for _ in range(arguments.warmup):
        train.step()
    synchronise(arguments.device)
    start = time.perf_counter()
    for _ in range(iterations):
        train.step()
    synchronise(arguments.device)
    seconds = time.perf_counter() - start

    name = torch.cuda.get_device_name() if arguments.device == "cuda" else f"CPU, {arguments.threads} thread(s)"
    if arguments.device == "cuda":
        peak = torch.cuda.max_memory_allocated()
    else:
        peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    operations = counter.forward + counter.backward
    print(f"{name}, torch {torch.__version__}, {arguments.points:,} x {DIM}, batch {batch}")
    print(f"{iterations} of {epoch} iterations in {seconds:.2f} s: {iterations / seconds:.2f} iterations/s")
    print(f"{seconds / iterations * epoch:.1f} s per epoch{' (extrapolated)' if iterations < epoch else ''}")
    print(f"{operations / 1e9:.0f} G operations per iteration: {operations * iterations / seconds / 1e12:.2f} TFLOP/s")
    print(f"peak memory {peak / 2**30:.2f} GiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
