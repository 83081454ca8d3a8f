"""FastDPM: few steps of a DDPM of a thousand (Kong & Ping 2021, arXiv:2106.00132). DxMI's start on CIFAR-10.

VAR chooses the variances of the few steps and asks the net at fractional steps; STEP chooses whole steps. kappa = 1 is
DDPM's noise at every step, kappa = 0 is DDIM. The backbone is Ho et al. 2020 (arXiv:2006.11239), Algorithm 1, on 1,000
steps. Deviations: the last step has std `last_std` = 0.001 in place of 0, as in SFT-PG and DxMI, so that log pi
exists; in the plane and on small images an MLP in place of the UNet; points in the plane are scaled to a std of 0.5 as
images have it, and samples back.
"""

from collections.abc import Callable, Mapping
from typing import Literal

from pydantic import Field, JsonValue, NonNegativeFloat

from dxbench.api import Compute, Method, Problem, RandomStreams, Training
from dxbench_baselines.starts.config import FewOfManyConfig
from dxbench_baselines.starts.migration import complete, with_start
from dxbench_baselines.starts.stages import SampledDenoiser
from dxmi.sampling.samplers import Ancestral
from dxmi.schedules.chains import Chain
from dxmi.schedules.levels import VPSchedule

SCHEDULES: dict[tuple[str, str], Callable[[Chain, int], VPSchedule]] = {
    ("VAR", "quadratic"): Chain.var_quadratic,
    ("VAR", "linear"): Chain.var_linear,
    ("STEP", "quadratic"): Chain.step_quadratic,
    ("STEP", "linear"): Chain.step_linear,
}


class FastDPMConfig(FewOfManyConfig):
    """Settings of FastDPM's few steps of a DDPM and of their noise."""

    approximation: Literal["VAR", "STEP"] = "VAR"
    kappa: float = Field(default=1.0, ge=0, le=1, description="1: DDPM's noise at every step, 0: DDIM")
    last_std: NonNegativeFloat = Field(default=1e-3, description="std of the last step, in units of the scaled data")

    def vp_schedule(self) -> VPSchedule:
        """The noise levels at the few steps, whole or fractional."""
        return SCHEDULES[self.approximation, self.schedule](self.backbone.network.chain, self.num_steps)


class FastDPM(Method):
    """A DDPM of a thousand steps sampled in few, at fractional or whole steps, without further training."""

    name = "fastdpm"
    version = 1
    family = "diffusion"
    citation = "Kong & Ping 2021, arXiv:2106.00132"
    recipes = ".recipes.fastdpm"
    Config = FastDPMConfig
    parallel = True

    @classmethod
    def migrate_config(cls, config: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        settings, _ = with_start(config, "ddpm")
        return complete(cls.Config, settings)

    def start(self, problem: Problem, config: FastDPMConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        begun = config.begin(problem, compute, rng)
        sampler = Ancestral(kappa=config.kappa, last_std=config.last_std)
        return SampledDenoiser(
            problem, begun, config.backbone.network.denoiser, sampler, config.vp_schedule().noise_levels
        )
