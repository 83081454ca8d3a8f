"""Samplers: a network and the way in which it is sampled, per seed and class label."""

from dxmi.models.consistency import ConsistencySampler, check_jumps
from dxmi.models.denoiser import DenoiserSampler
from dxmi.models.flow import FlowSampler
from dxmi.models.policy import PolicySampler, ValueGuidance
from dxmi.models.potential import PotentialSampler
from dxmi.models.selection import AnySelection, BestOf, BestSampler, Objective, ResampledPolicy, Resampling

__all__ = [
    "AnySelection",
    "BestOf",
    "BestSampler",
    "ConsistencySampler",
    "DenoiserSampler",
    "FlowSampler",
    "Objective",
    "PolicySampler",
    "PotentialSampler",
    "ResampledPolicy",
    "Resampling",
    "ValueGuidance",
    "check_jumps",
]
