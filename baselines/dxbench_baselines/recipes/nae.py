"""Recipes of the normalised autoencoder."""

from dxbench_baselines.nae import NAEConfig
from dxbench_baselines.starts.two_stage import two_stage_recipes

# Rates, epochs (100 and 50) and chains of the source. Steps of the visible chain are a hundredth of the points' length,
# as on the source's images; gamma as elsewhere. Untested for want of the data.
RECIPES = two_stage_recipes(
    NAEConfig,
    patches={"pretrain_iterations": 90_700, "iterations": 45_350, "visible_steps": 50, "energy_lr": 1e-5},
    patches_separate={"pretrain_iterations": 6_050, "iterations": 3_025},
)
