"""Recipes of the value gradient sampler."""

from dxbench_baselines.starts.two_stage import two_stage_recipes
from dxbench_baselines.vgs import VGSConfig

# Steps, rates and length of the source's MVTec experiment. tau and gamma are as elsewhere, for the source's tau goes
# with a learned scale of the energy; ten epochs of pretraining are our choice. Untested for want of the data.
RECIPES = two_stage_recipes(
    VGSConfig,
    patches={
        "pretrain_iterations": 9_070,
        "iterations": 90_700,
        "num_steps": 10,
        "step_angle": 0.52,
        "value_hidden": 1024,
        "value_passes": 3,
        "energy_lr": 1e-4,
        "value_lr": 1e-4,
    },
    patches_separate={"pretrain_iterations": 605, "iterations": 6_050},
)
