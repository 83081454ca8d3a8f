"""Follow DxMI on `fashion_mnist` as it trains, and see which settings change it: docs/fashion_curves.png.

`python -m benchmarks.fashion_training follow --set num_steps=4 --every 50 --log runs/t4.jsonl` trains, and adds a line
as often as asked: the Frechet distance of 2,000 samples of the averaged weights to the *validation* split in the
features of the task's net, the averaged energy's AUROC on validation images against blends and permuted patches, and
the means of all scalars since the line before. Training seeds are the search's, 10 and 11; the test split has no part.
`python -m benchmarks.fashion_training draw runs/*.jsonl --out docs/fashion_curves.png` sets logs side by side.
"""

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmarks.sampler_tuning import garment_distance
from dxbench.api import Compute, Model
from dxbench.api.streams import RandomStreams
from dxbench.drawing.draw import energy_function
from dxbench.engine.execution import Compilation
from dxbench.engine.process import prepare_process
from dxbench.metrics.detection.ranking import auroc
from dxbench.plugins.configure import configure, parse_assignments
from dxbench.plugins.registry import load_method, load_task
from dxbench.tasks.fashion_data import blended_images, fashion_splits, permuted_images
from dxbench.tasks.image_data import to_floats

ENERGIES = 1000
PANELS = (
    ("distance", "fd_fashion to validation, 2,000 samples"),
    ("auroc_blends", "AUROC of −E against blends"),
    ("auroc_permuted", "AUROC of −E against permuted patches"),
    ("energy_gap", "E of samples − E of data"),
)


def look(model: Model) -> dict[str, float]:
    """Distance and AUROCs of the averaged weights."""
    found = {"distance": garment_distance(model)}
    if model.energy is None:
        return found
    energy = energy_function(model.energy, device="cpu", batch_size=500)
    normal = energy(to_floats(fashion_splits()["validation"].images[:ENERGIES]))
    for name, images in (("blends", blended_images), ("permuted", permuted_images)):
        found[f"auroc_{name}"] = auroc(normal=normal, anomalous=energy(to_floats(images("validation")[:ENERGIES])))
    return found


def follow(args: argparse.Namespace) -> None:
    """Train to the end and write a line as often as asked."""
    task, method = load_task("fashion_mnist"), load_method(args.method)
    compiling = Compilation("auto", device="cpu", tell=print, warn=print)
    compute = Compute(device="cpu", threads=args.threads, execution=compiling)
    prepare_process(compute)
    config = configure(method, task, "default", parse_assignments(args.set))
    rng = RandomStreams(args.method, task.name, args.seed)
    training = method().start(task.problem(oracle=False), config, compute=compute, rng=rng)
    label = args.label or f"{args.method} {' '.join(args.set)}"
    args.log.parent.mkdir(parents=True, exist_ok=True)
    scalars: defaultdict[str, list[float]] = defaultdict(list)
    begun, used = time.process_time(), 0.0
    compiling.begin()
    with args.log.open("a") as log:
        for step in range(1, training.total_steps + 1):
            for name, value in training.step().items():
                scalars[name].append(float(value))
            if step % args.every and step != training.total_steps:
                continue
            used += time.process_time() - begun
            line: dict[str, Any] = {"label": label, "seed": args.seed, "step": step, "cpu_seconds": round(used)}
            line |= look(training.model()) | {name: float(np.mean(values)) for name, values in scalars.items()}
            if "energy_data" in line:
                line["energy_gap"] = line["energy_samples"] - line["energy_data"]
            print(json.dumps(line), file=log, flush=True)
            print({name: line[name] for name in ("step", "cpu_seconds", "distance")}, flush=True)
            scalars.clear()
            begun = time.process_time()


def draw(args: argparse.Namespace) -> None:
    """Logs side by side, a colour for each label."""
    lines = [json.loads(text) for log in args.logs for text in log.read_text().splitlines()]
    curves: defaultdict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for line in lines:
        curves[line["label"], line["seed"]].append(line)
    colours = {label: f"C{i}" for i, label in enumerate(dict.fromkeys(label for label, _ in curves))}
    figure = Figure(figsize=(12, 6.4), layout="constrained")
    for axes, (name, title) in zip(figure.subplots(2, 2).flat, PANELS, strict=True):
        for (label, _), points in curves.items():
            known = [(point["step"], point[name]) for point in points if name in point]
            if known:
                style = {"linewidth": 1.2, "marker": "o", "markersize": 3}
                axes.plot(*np.array(known).T, color=colours[label], label=label, **style)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("iterations")
        axes.grid(alpha=0.3)
    figure.axes[0].set_yscale("log")
    handles = {label: handle for handle, label in zip(*figure.axes[0].get_legend_handles_labels(), strict=True)}
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=3, fontsize=9)
    figure.savefig(args.out, dpi=110, metadata={"Software": None})


def main() -> None:
    """Follow a training, or draw what was followed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("follow", help=follow.__doc__)
    one.add_argument("--method", default="dxmi")
    one.add_argument("--seed", type=int, default=10)
    one.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    one.add_argument("--every", type=int, default=50)
    one.add_argument("--threads", type=int, default=1)
    one.add_argument("--label", help="its name in the picture; by default what is set")
    one.add_argument("--log", type=Path, default=Path("runs/fashion.jsonl"))
    one.set_defaults(run=follow)
    two = commands.add_parser("draw", help=draw.__doc__)
    two.add_argument("logs", nargs="+", type=Path)
    two.add_argument("--out", type=Path, default=Path("docs/fashion_curves.png"))
    two.set_defaults(run=draw)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
