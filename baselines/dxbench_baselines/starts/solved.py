"""A denoiser and the solver that samples it along its probability flow."""

from typing import Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import nn

from dxbench_baselines.starts.backbone import Backbone
from dxbench_baselines.starts.config import EDMNetwork, StartConfig
from dxbench_baselines.starts.presets import POINTS_EDM
from dxmi.sampling.denoisers import Clipped, EpsilonScaled
from dxmi.sampling.samplers import IPNDM, DPMSolverPP3M, Heun, Sampler, euler, euler_ancestral
from dxmi.schedules.levels import NoiseLevels

SAMPLERS: dict[str, Sampler] = {
    "euler": euler(),
    "heun": Heun(),
    "ancestral": euler_ancestral(),
    "ipndm": IPNDM(),
    "dpmpp3m": DPMSolverPP3M(),
}


class SolvedConfig(StartConfig[EDMNetwork]):
    """Settings of an EDM denoiser and of the solver that samples it."""

    sampler: Literal["euler", "heun", "ancestral", "ipndm", "dpmpp3m"] = "heun"
    nfe: PositiveInt = Field(default=35, description="network passes per sample; odd for heun, which takes 2N - 1")
    sigma_min: PositiveFloat = 0.002
    sigma_max: PositiveFloat = 80.0
    rho: PositiveFloat = 7.0
    epsilon_scale: PositiveFloat = Field(default=1.0, description="divides the predicted noise; 1 leaves it alone")
    clip: bool = Field(default=False, description="D kept in [-1, 1], as the consistency models' authors sample theirs")
    backbone: Backbone[EDMNetwork] = Field(default=POINTS_EDM, description="the denoiser and its training")

    @model_validator(mode="after")
    def _levels_fall(self) -> Self:
        if self.sigma_min >= self.sigma_max:
            raise ValueError(f"sigma_min={self.sigma_min:g} has to be below sigma_max={self.sigma_max:g}")
        return self

    @model_validator(mode="after")
    def _sampler_can_do_it(self) -> Self:
        if self.sampler == "heun" and self.nfe % 2 == 0:
            raise ValueError(
                f"heun takes 2N - 1 passes for N steps, got nfe={self.nfe}; use {self.nfe - 1} or {self.nfe + 1}"
            )
        return self

    @property
    def num_steps(self) -> int:
        """Steps of a sample."""
        return (self.nfe + 1) // 2 if self.sampler == "heun" else self.nfe

    def sampling(self) -> tuple[Sampler, NoiseLevels]:
        """The sampler and Karras's levels for it."""
        return SAMPLERS[self.sampler], self.karras(self.num_steps)

    def karras(self, num_steps: int) -> NoiseLevels:
        """Karras's levels for so many steps."""
        return NoiseLevels.karras(num_steps, sigma_min=self.sigma_min, sigma_max=self.sigma_max, rho=self.rho)

    def denoiser(self, net: nn.Module) -> nn.Module:
        """D(x, sigma) as it is sampled, of what was trained."""
        scaled = EpsilonScaled(self.backbone.network.denoiser(net), scale=self.epsilon_scale)
        return Clipped(scaled) if self.clip else scaled
