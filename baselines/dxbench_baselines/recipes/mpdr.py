"""Recipes of manifold projection-diffusion recovery."""

from dxbench_baselines.mpdr import MPDRConfig
from dxbench_baselines.starts.two_stage import two_stage_recipes

# Rates and epochs (30 and 60) of MPDR-R. How DxMI's Table 5 set MPDR up is not known; chains are as elsewhere. Untested
# for want of the data.
RECIPES = two_stage_recipes(
    MPDRConfig,
    patches={"pretrain_iterations": 27_210, "iterations": 54_420, "energy_lr": 1e-5},
    patches_separate={"pretrain_iterations": 1_815, "iterations": 3_630},
)
