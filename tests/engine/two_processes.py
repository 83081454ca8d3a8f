"""One of two real processes, on a CPU with gloo: trains, draws, and leaves what came out. Run by test_spread.py.

`python two_processes.py RANK PORT FOLDER`
"""

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dxbench.api import Compute, Model, Parallel, Problem
from dxbench.api.streams import RandomStreams
from dxbench.drawing.draw import draw_samples
from dxbench.engine.distributed_sampling import DistributedSampling, sampling_together
from dxbench.engine.fabric import FabricWorkers
from dxbench.engine.spread import ParallelSettings, Rank
from dxbench.plugins.configure import configure
from dxbench.plugins.registry import load_method, load_task

STEPS = {"network": {"kind": "steps_mlp", "hidden": 16}, "pretraining": {"iterations": 4, "batch_size": 21}}
SMALL: dict[str, dict[str, dict[str, Any]]] = {
    "gaussians8": {
        "dxmi": {
            "backbone": STEPS,
            "sampler": {"kind": "strided"},
            "critic": {"kind": "mlp", "hidden": 16},
            "iterations": 6,
            "batch_size": 21,
        },
        "ddpm": {
            "backbone": {"network": {"hidden": 16}, "pretraining": {"iterations": 6, "batch_size": 21}},
            "num_steps": 3,
        },
    },
    "digits": {
        "dxmi": {
            "iterations": 5,
            "head_start": 2,
            "batch_size": 13,
            "critic": {"hidden": 16},
            "backbone": {
                "network": {"hidden": 16, "depth": 1},
                "pretraining": {"iterations": 4, "batch_size": 9},
            },
        }
    },
}
CASES = [(task, method) for task, methods in SMALL.items() for method in methods]


def train(task: str, method: str, parallel: Parallel | None) -> tuple[dict[str, Tensor], dict[str, float], Any]:
    """State, the last step's scalars, and the model of a small training."""
    problem = load_task(task).problem(oracle=False)
    assert isinstance(problem, Problem)
    kind = load_method(method)
    config = configure(kind, load_task(task), "default", SMALL[task][method])
    compute = Compute(device="cpu", threads=1, parallel=parallel)
    training = kind().start(problem, config, compute=compute, rng=RandomStreams(method, task, 0))
    scalars: dict[str, float] = {}
    for _ in range(training.total_steps):
        scalars = {name: float(value) for name, value in training.step().items()}
    return dict(flat(training.state_dict())), scalars, training.model()


def flat(state: Any, path: str = "") -> list[tuple[str, Tensor]]:
    """Floating tensors of a nested state by path."""
    if isinstance(state, Tensor):
        return [(path, state.clone())] if state.is_floating_point() else []
    items = state.items() if isinstance(state, dict) else enumerate(state) if isinstance(state, list | tuple) else []
    return [pair for name, inner in items for pair in flat(inner, f"{path}/{name}")]


def draw(model: Any, n: int, batch_size: int) -> tuple[Tensor, float]:
    """Samples and their counted NFE."""
    shape = tuple(model.sample(torch.zeros(1, dtype=torch.int64)).shape[1:])
    samples, nfe = draw_samples(
        model, n, event_shape=shape, first_seed=5, batch_size=batch_size, progress=lambda text: None
    )
    return torch.from_numpy(samples), nfe


def work(rank: int, port: int, folder: Path) -> None:
    torch.set_num_threads(1)
    place = Rank(rank=rank, port=port)
    place.enter()
    workers = FabricWorkers(ParallelSettings(devices=2, accumulate=2), device="cpu", place=place)
    found: dict[str, Any] = {"flags": workers.any(rank == 1, False), "first": workers.from_first({"rank": rank})}
    found["gathered"] = workers.gather(torch.arange(5)[workers.rows(5)], of=5)
    model: Model
    for task, method in CASES:
        state, scalars, model = train(task, method, workers.parallel)
        found[f"{task} {method}"] = {"state": state, "scalars": scalars}
        if rank != 0:
            DistributedSampling(model, workers).serve()
            continue
        with sampling_together(model, workers) as spread:
            samples, nfe = draw(spread, 15, 7)  # the last batch is of one sample: a process has none to draw
            start = draw(spread.start, 15, 7) if task == "digits" else None
        found[f"{task} {method}"] |= {"samples": samples, "nfe": nfe, "start": start}
    torch.save(found, folder / f"rank-{rank}.pt")


if __name__ == "__main__":
    work(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
