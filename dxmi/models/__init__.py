"""Samplers: a network and the way in which it is sampled, per seed and class label."""

from dxmi.models.consistency import ConsistencySampler, check_jumps
from dxmi.models.denoiser import DenoiserSampler
from dxmi.models.flow import FlowSampler
from dxmi.models.policy import PolicySampler, ValueGuidance
from dxmi.models.potential import PotentialSampler

__all__ = [
    "ConsistencySampler",
    "DenoiserSampler",
    "FlowSampler",
    "PolicySampler",
    "PotentialSampler",
    "ValueGuidance",
    "check_jumps",
]
