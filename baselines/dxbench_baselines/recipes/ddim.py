"""Recipes of DDIM: those of every sampler of a DDPM in few of its steps.

`cifar10` is the released DDPM in ten quadratic steps, as DDIM's authors take them.
"""

from dxbench_baselines.ddim import DDIMConfig
from dxbench_baselines.starts.presets import few_of_many

RECIPES = few_of_many(DDIMConfig)
