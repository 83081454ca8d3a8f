"""DDIM: deterministic sampling of a DDPM in few of its steps (Song, Meng & Ermon 2021, arXiv:2010.02502).

Eq. 12 with sigma = 0, on the whole steps of their App. D.2, linear or quadratic; the backbone is Ho et al. 2020
(arXiv:2006.11239), Algorithm 1, on 1,000 steps. Deviations: steps count from 0 and the quadratic ones are rounded down,
as released; in the plane and on small images an MLP in place of the UNet; points in the plane are scaled to a std of
0.5 as images have it, and samples back.
"""

from collections.abc import Mapping

from pydantic import JsonValue

from dxbench.api import Compute, Method, Problem, RandomStreams, Training
from dxbench_baselines.starts.config import WholeStepsConfig
from dxbench_baselines.starts.migration import complete, with_start
from dxbench_baselines.starts.stages import SampledDenoiser
from dxmi.sampling.samplers import euler


class DDIMConfig(WholeStepsConfig):
    """Settings of DDIM's whole steps of a DDPM."""


class DDIM(Method):
    """A DDPM of a thousand steps sampled in few of them without noise or further training."""

    name = "ddim"
    version = 1
    family = "diffusion"
    citation = "Song et al. 2021, arXiv:2010.02502"
    recipes = ".recipes.ddim"
    Config = DDIMConfig
    parallel = True

    @classmethod
    def migrate_config(cls, config: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        settings, _ = with_start(config, "ddpm")
        return complete(cls.Config, settings)

    def start(self, problem: Problem, config: DDIMConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        begun = config.begin(problem, compute, rng)
        return SampledDenoiser(
            problem, begun, config.backbone.network.denoiser, euler(), config.vp_schedule().noise_levels
        )
