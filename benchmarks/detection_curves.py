"""Draw what DxMI does to its autoencoder on `mvtec_pooled_*` as it trains: docs/detection_curves.png.

`python -m benchmarks.detection_curves`, about 15 minutes. Training seed 10, one of the search's; scores are those of
the validation split. Every training begins from an autoencoder of 1,600 iterations, with or without interpolation, but
the last two: there DxMI takes over after 200 iterations, and pretraining goes on for as long without it.
"""

import argparse
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmarks.detection_tuning import mean_auroc
from dxbench.api import Compute, Model, Problem, Training
from dxbench.api.streams import RandomStreams
from dxbench.drawing.draw import energy_function
from dxbench.engine.process import prepare_process
from dxbench.plugins.configure import configure
from dxbench.plugins.registry import load_method, load_task
from dxbench.tasks.detection import TEST_BATCH, Group
from dxbench.tasks.mvtec_pooled import MVTecPooled

METHOD = "dxmi_detection"
SEED = 10
PICTURE = Path(__file__).resolve().parent.parent / "docs" / "detection_curves.png"


@dataclass(frozen=True)
class Variant:
    """One training; its curves begin after `pretraining` iterations."""

    label: str
    settings: dict[str, Any]
    pretraining: int = 1600


VARIANTS = (
    Variant("recipe, tau = 0.1", {}),
    Variant("tau = 0", {"tau": 0.0}),
    Variant("energy rate 3e-3", {"energy_lr": 3e-3}),
    Variant("no interpolation", {"interpolation": 0.0}),
    Variant("no interpolation, gamma = 1, energy rate 3e-5", {"interpolation": 0.0, "gamma": 1.0, "energy_lr": 3e-5}),
    Variant("recipe after 200 of pretraining", {"pretrain_iterations": 200}, pretraining=200),
    Variant("500 of pretraining, no DxMI", {"pretrain_iterations": 500, "iterations": 0}, pretraining=200),
)


@dataclass
class Curves:
    """Curves of one training, against its iterations after `pretraining`."""

    gap: list[tuple[int, float]] = field(default_factory=list)
    auroc: list[tuple[int, float]] = field(default_factory=list)
    unseen: list[tuple[int, float]] = field(default_factory=list)


def mean_energy(model: Model, points: np.ndarray[Any, Any]) -> float:
    assert model.energy is not None
    return float(np.mean(energy_function(model.energy, device="cpu", batch_size=TEST_BATCH)(points)))


def look(training: Training, problem: Problem, validation: dict[str, Group]) -> tuple[float, float]:
    """AUROC in percent, and how much more energy normal images have that did not train than those that did."""
    model, data = training.model(), problem.data
    normal = np.concatenate([group.test[~group.anomalous] for group in validation.values()])
    trained = mean_energy(model, data.points.numpy())  # type: ignore[attr-defined]
    return mean_auroc(model, validation), mean_energy(model, normal) / trained


def followed(training: Training, variant: Variant, see: Callable[[], tuple[float, float]], every: int) -> Curves:
    """Train to the end, and look every so often."""
    curves = Curves()
    for step in range(1, training.total_steps + 1):
        scalars, place = training.step(), step - variant.pretraining
        if "energy_gap" in scalars:
            curves.gap.append((place, float(scalars["energy_gap"])))
        if place >= 0 and place % every == 0:
            auroc, unseen = see()
            curves.auroc.append((place, auroc))
            curves.unseen.append((place, unseen))
    return curves


def smooth(curve: list[tuple[int, float]], window: int = 10) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Means over windows."""
    place, value = np.array(curve).T
    n = len(place) // window * window
    return place[:n].reshape(-1, window).mean(1), value[:n].reshape(-1, window).mean(1)


def picture(found: dict[str, dict[str, Curves]]) -> Figure:
    """A row for each set of features."""
    figure = Figure(figsize=(12, 3.4 * len(found) + 0.8), layout="constrained")
    for row, (features, of_variant) in zip(figure.subplots(len(found), 3, squeeze=False), found.items(), strict=True):
        for number, (label, curves) in enumerate(of_variant.items()):
            style = {"color": f"C{number}", "label": label, "linewidth": 1.3}
            if curves.gap:
                row[0].plot(*smooth(curves.gap), **style)
            row[1].plot(*np.array(curves.auroc).T, **style)
            row[2].plot(*np.array(curves.unseen).T, **style)
        row[0].axhline(0, color="0.6", linewidth=0.8)
        row[0].set_yscale("symlog", linthresh=0.05)
        row[0].set_ylabel(features)
        row[0].set_title("E of samples − E of data", fontsize=10)
        row[1].set_title("image AUROC [%], validation, mean of 15", fontsize=10)
        row[2].set_title("E of unseen normal / E of training images", fontsize=10)
        for axes in row:
            axes.set_xlabel("iterations after pretraining")
            axes.grid(alpha=0.3)
    figure.legend(*figure.axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9)
    return figure


def main() -> None:
    """Train all, print the ends, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", choices=("resnet18", "vit"), action="append", help="default: both")
    parser.add_argument("--every", type=int, default=20, help="iterations between two looks")
    parser.add_argument("--picture", type=Path, default=PICTURE)
    arguments = parser.parse_args()
    compute = Compute(device="cpu", threads=1)
    prepare_process(compute)
    warnings.simplefilter("ignore")
    found: dict[str, dict[str, Curves]] = {}
    for features in arguments.features or ("resnet18", "vit"):
        task, method = load_task(f"mvtec_pooled_{features}"), load_method(METHOD)
        assert isinstance(task, MVTecPooled)
        validation, problem = task.validation(), task.problem(oracle=False)
        assert isinstance(problem, Problem)
        for variant in VARIANTS:
            config = configure(method, task, "default", variant.settings)
            rng = RandomStreams(METHOD, task.name, SEED)
            training = method().start(problem, config, compute=compute, rng=rng)
            curves = followed(training, variant, partial(look, training, problem, validation), arguments.every)
            found.setdefault(features, {})[variant.label] = curves
            scores = [value for _, value in curves.auroc]
            gap = f"gap {np.mean([value for _, value in curves.gap[-30:]]):.3f}" if curves.gap else ""
            print(f"{features}  {variant.label}: {scores[0]:.2f} to {scores[-1]:.2f}  {gap}", flush=True)
    picture(found).savefig(arguments.picture, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    main()
