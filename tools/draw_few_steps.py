"""Draws docs/few_steps.png: DxMI's chain over its value functions, and `gaussians8` against network passes.

`python tools/draw_few_steps.py`: the chain is that of the reference run `dxmi`, training seed 0, which is trained where
it is not at hand (a minute on an idle core); the points are the committed records.
"""

import io
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from PIL import Image

import dxbench
from dxbench.api import Model
from dxbench.boards.tables import suite_table
from dxbench.paths import reference_results
from dxbench.plugins.suites import load_suite
from dxbench.records.index import open_index

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "few_steps.png"
BOX, CELLS, POINTS = 4.0, 160, 2500
LINE = 0.034
"""Height of a line of text, in decades of the board's axis."""
FAMILIES = {"diffusion": "#4878a8", "adversarial": "#8a6bb0", "consistency": "#3c8d6e", "score distillation": "#b01a57",
            "kernel matching": "#775a00", "flow maps": "#3f43b5", "energy-based": "#c9801e"}  # fmt: skip
OURS = "#c0392b"
NAMES = {
    "EDM, Heun": "EDM",
    "EDM, iPNDM, 10 NFE": "EDM, iPNDM",
    "EDM, iPNDM along GITS's levels, 10 NFE": "EDM, GITS",
    "Neon of EDM, Heun": "Neon",
    "OT-CFM, Heun": "OT-CFM",
    "DDIM, 10 NFE": "DDIM",
    "FastDPM, 10 NFE": "FastDPM",
    "SFT-PG, T=10": "SFT-PG",
    "CD, 1 step": "CD",
    "CT, 1 step": "CT",
    "ECT, 1 step": "ECT",
    "Improved MeanFlow, 1 step": "MeanFlow",
    "Improved MeanFlow, 2 steps": "MeanFlow",
    "DMD2, 1 step": "DMD2",
    "SiD, 1 step": "SiD",
    "Drifting from scratch, 1 step": "Drifting",
    "GAN finetuning, 1 step": "GAN",
    "Energy Matching": "Energy Matching",
    "GCD, T=5, tau=0.1": "GCD",
    "Adjoint matching, T=5, tau=0.1": "Adjoint matching",
    "DxMI, T=5, tau=0.1": "DxMI",
    "fresh draws of the truth": "a perfect sampler",
}
"""The rows that are drawn, as many as can be read, and what they are called there."""


def chain_over_values(figure: Figure, model: Model) -> None:
    """One panel per network pass: where 2,500 chains are after it, over the value function of that step."""
    assert model.value is not None
    assert model.num_steps is not None
    side = torch.linspace(-BOX, BOX, CELLS)
    grid = torch.stack(torch.meshgrid(side, side, indexing="xy"), dim=-1).reshape(-1, 2)
    with torch.no_grad():
        states = model.trajectory(torch.arange(POINTS)).cpu().numpy()
        values = [model.value(grid, k).cpu().numpy().reshape(CELLS, CELLS) for k in range(model.num_steps + 1)]
    for k, axes in enumerate(figure.subplots(2, 3).flat):
        low, high = np.percentile(values[k], [1, 90])
        axes.imshow(values[k], origin="lower", extent=(-BOX, BOX, -BOX, BOX), cmap="magma", vmin=low, vmax=high)
        axes.scatter(*states[k].T, s=1.6, color="white", alpha=0.55, linewidths=0)
        axes.set(xlim=(-BOX, BOX), ylim=(-BOX, BOX), xticks=[], yticks=[])
        passes = "noise" if k == 0 else f"{k} network pass{'es' if k > 1 else ''}"
        name = "energy" if k == model.num_steps else f"value $V_{k}$"
        axes.set_title(f"{passes}, {name}", fontsize=9.5)


def board(axes: Axes) -> None:
    """Rows of the board: distance to the truth against network passes."""
    table = suite_table(open_index([reference_results()]), load_suite("gaussians8"), published=False)
    rows = sorted((row for row in table.rows if row.label in NAMES), key=lambda row: row.scores["sw2"].value)
    free: dict[float, float] = {}  # by number of passes, the lowest place of a label that is free, as a logarithm
    for row in rows:
        score = row.scores["sw2"]
        if row.kind == "reference":
            axes.axhline(score.value, color="0.4", linestyle=":", linewidth=1)
            axes.text(74, score.value * 0.985, NAMES[row.label], fontsize=8.5, color="0.35", ha="right", va="top")
            continue
        assert row.nfe is not None
        assert row.family is not None
        ours = row.method == "dxmi"
        colour = OURS if ours else FAMILIES[row.family]
        axes.errorbar(row.nfe, score.value, yerr=score.std, color=colour, marker="o", ms=5, capsize=2.5, lw=1.2)
        place = max(np.log10(score.value), free.get(row.nfe, -np.inf))
        free[row.nfe] = place + (1.3 if ours else 1.0) * LINE
        text = axes.text(
            row.nfe * 1.09,
            10**place,
            NAMES[row.label],
            fontsize=11 if ours else 8,
            fontweight="bold" if ours else "normal",
            color=colour,
            va="center",
        )
        text.set_path_effects([withStroke(linewidth=2, foreground="white")])
    axes.set(xscale="log", yscale="log", xlim=(0.8, 75), ylim=(0.036, 0.24))
    axes.set_xticks([1, 2, 5, 10, 35], ["1", "2", "5", "10", "35"])
    axes.set_yticks([0.04, 0.05, 0.07, 0.1, 0.2], ["0.04", "0.05", "0.07", "0.1", "0.2"])
    axes.minorticks_off()
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("network passes per sample, counted")
    axes.set_title("distance of samples to the truth (sliced W2)", fontsize=9.5)


def main() -> None:
    """Draw the picture."""
    run = dxbench.run("gaussians8", "dxmi", seed=0)
    figure = plt.figure(figsize=(12.6, 5.1), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.42, 1), squeeze=False)[0]
    chain_over_values(left, run.model)
    board(right.subplots())
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=100)
    Image.open(drawn).convert("RGB").quantize(256, method=Image.Quantize.MAXCOVERAGE).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
