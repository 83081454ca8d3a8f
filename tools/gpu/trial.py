"""Seconds of a training step of a row, compiled, as JSON: by them `make gpu` chooses how long it trains.

python tools/gpu/trial.py --task cifar10_jpeg75 --row 'dxmi:gpu' --device cuda
"""

import argparse
import json
import sys
import time

import torch

from dxbench.api import Compute
from dxbench.api.streams import RandomStreams
from dxbench.conformance.problems import synthetic_problem
from dxbench.engine.execution import Compilation
from dxbench.engine.plan import plan_row
from dxbench.plugins.registry import load_method
from dxbench.plugins.rows import RowName


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", required=True)
    parser.add_argument("--shape", default="3,32,32", help="of the task's images")
    parser.add_argument("--row", required=True)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--compile", choices=("always", "never"), default="always", dest="compiling")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long steps are timed")
    asked = parser.parse_args()
    (cell,) = plan_row(asked.task, RowName.parse(asked.row), seeds=[0])
    method = load_method(cell.method)
    compilation = Compilation(asked.compiling, device=asked.device, tell=say, warn=say)
    training = method().start(
        synthetic_problem(tuple(map(int, asked.shape.split(",")))),
        method.Config.model_validate(cell.config),
        compute=Compute(device=asked.device, threads=torch.get_num_threads(), execution=compilation),
        rng=RandomStreams("trial", asked.row, 0),
    )

    def step() -> None:
        for value in training.step().values():
            float(value)  # waits for the device

    begun = time.perf_counter()
    step()
    if compilation.pays(0.0):
        compilation.begin()
    step()
    step()
    warm = time.perf_counter()
    done = 0
    while done < 3 or time.perf_counter() - warm < asked.seconds:
        step()
        done += 1
    found = {"seconds": (time.perf_counter() - warm) / done, "begin": warm - begun, "compiled": compilation.compiled}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
