"""Samplers of networks as models that draw."""

from torch import nn

from dxbench.api import Model, Problem
from dxbench_baselines.starts.data import NetworkData
from dxmi.models import BestSampler, ConsistencySampler, DenoiserSampler, FlowSampler, PolicySampler
from dxmi.sampling.denoisers import EDMDenoiser


def model_of(
    sampler: PolicySampler | BestSampler | DenoiserSampler | ConsistencySampler | FlowSampler, data: NetworkData
) -> Model:
    """A model that draws by a sampler whose networks see such data."""
    return Model(
        networks=sampler.networks,
        sampler=sampler.sample,
        trajectory_sampler=sampler.trajectory,
        num_classes=data.num_classes,
    )


def jumping_model(
    denoiser: nn.Module, problem: Problem, data: NetworkData, *, sigmas: tuple[float, ...], clip: bool = False
) -> Model:
    """A consistency model of such data, which jumps from these noise levels, falling, to the data."""
    assert isinstance(denoiser, EDMDenoiser)
    sampler = ConsistencySampler(
        denoiser=denoiser, sigmas=sigmas, event_shape=problem.event_shape, scale=data.scale, clip=clip
    )
    return model_of(sampler, data)
