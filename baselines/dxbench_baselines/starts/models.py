"""Samplers of networks as models that draw."""

from dxbench.api import Model
from dxbench_baselines.starts.data import NetworkData
from dxmi.models import ConsistencySampler, DenoiserSampler, PolicySampler


def model_of(sampler: PolicySampler | DenoiserSampler | ConsistencySampler, data: NetworkData) -> Model:
    """A model that draws by a sampler whose networks see such data."""
    return Model(
        networks=sampler.networks,
        sampler=sampler.sample,
        trajectory_sampler=sampler.trajectory if isinstance(sampler, PolicySampler) else None,
        num_classes=data.num_classes,
    )
