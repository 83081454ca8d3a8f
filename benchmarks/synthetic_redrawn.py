"""Ask whether a gain on `mvtec_synthetic` is the method's or the test images': the same laws, other images.

`python benchmarks/synthetic_redrawn.py dxmi_detection --preset pretrained --preset default`. Settings of that task were
chosen by its own test images; here train and test images are drawn anew, once for each training seed. `--share 0.2`
trains on that share of the training patches, drawn by the seed: whether a gain needs many of them.
"""

import argparse
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from dxbench.api import Compute, Problem
from dxbench.api.streams import RandomStreams
from dxbench.engine.process import prepare_process
from dxbench.plugins.configure import configure, parse_assignments
from dxbench.plugins.registry import load_method
from dxbench.tasks.detection import PatchSet, PointSet
from dxbench.tasks.mvtec_synthetic import MVTecSynthetic, write_set

METRICS = ("image_auroc", "pixel_auroc", "aupro")


class Redrawn(MVTecSynthetic):
    """The set of another draw, below a folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def home(self) -> Path:
        return self.folder


def thinned(data: object, share: float, seed: int) -> PointSet:
    """A share of the training patches; their images are no longer whole."""
    assert isinstance(data, PatchSet)
    rows = np.random.default_rng(seed).permutation(len(data.points))[: round(share * len(data.points))]
    # In their order: all of them are the set itself, and a training draws the same batches of it.
    return PointSet(points=data.points[torch.from_numpy(np.sort(rows))])


def main() -> None:
    """A line for each training and each preset's means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("method")
    parser.add_argument("--preset", action="append", help="may be given again; default: default")
    parser.add_argument("--set", dest="assignments", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--share", type=float, default=1.0, help="of the training patches")
    arguments = parser.parse_args()
    compute = Compute(device="cpu", threads=1)
    prepare_process(compute)
    warnings.simplefilter("ignore")
    method, found = load_method(arguments.method), dict[str, list[list[float]]]()
    with tempfile.TemporaryDirectory() as folder:
        for draw in range(arguments.draws):
            task = Redrawn(Path(folder) / str(draw))
            write_set(task.folder, f"redrawn {draw}")
            problem = task.problem(oracle=False)
            assert isinstance(problem, Problem)
            problem = replace(problem, data=thinned(problem.data, arguments.share, draw))
            for preset in arguments.preset or ["default"]:
                config = configure(method, task, preset, parse_assignments(arguments.assignments))
                rng = RandomStreams(arguments.method, task.name, draw)
                training = method().start(problem, config, compute=compute, rng=rng)
                for _ in range(training.total_steps):
                    training.step()
                scores = task.evaluate(training.model(), seed=draw, device="cpu", progress=lambda text: None).scores
                found.setdefault(preset, []).append([scores[name].value for name in METRICS])
                text = "  ".join(f"{name} {scores[name].value:.1f}" for name in METRICS)
                print(f"{arguments.method} {preset}  draw and seed {draw}  {text}", flush=True)
    for preset, rows in found.items():
        mean, std = np.mean(rows, axis=0), np.std(rows, axis=0, ddof=1)
        print(preset, "  ".join(f"{n} {m:.1f} ± {s:.1f}" for n, m, s in zip(METRICS, mean, std, strict=True)))


if __name__ == "__main__":
    main()
