"""Recipes of FastDPM: those of every sampler of a DDPM in few of its steps.

`cifar10` is the released DDPM by ten quadratic variances with DDPM's noise: the start of DxMI and SFT-PG.
"""

from dxbench_baselines.fastdpm import FastDPMConfig
from dxbench_baselines.starts.presets import few_of_many

RECIPES = few_of_many(FastDPMConfig)
