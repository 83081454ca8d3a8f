"""Sampling: noise, policies and their rollouts, denoisers and their samplers."""

from dxmi.sampling.denoisers import (
    Clipped,
    EDMDenoiser,
    EpsilonScaled,
    FlowDenoiser,
    VPDenoiser,
    check_denoiser,
    conditioned,
)
from dxmi.sampling.flows import EulerFlow, FlowSteps, HeunFlow, MeanSteps, straight_path
from dxmi.sampling.noise import Noise, NoiseOfRows, SeededNoise, SilencedNoise, StreamNoise, philox4x32
from dxmi.sampling.noising import NoisingChain, PinnedChain
from dxmi.sampling.policies import GaussianPolicy, LatentPolicy
from dxmi.sampling.rollouts import Guidance, chain, reparametrised_rollout, rollout, sample
from dxmi.sampling.samplers import (
    ADAMS_BASHFORTH,
    IPNDM,
    Ancestral,
    DPMSolverPP3M,
    Heun,
    Sampler,
    euler,
    euler_ancestral,
    heun_step,
    slope,
)
from dxmi.sampling.sphere_policy import SpherePolicy
from dxmi.sampling.trajectory import Trajectory, Transition

__all__ = [
    "ADAMS_BASHFORTH",
    "IPNDM",
    "Ancestral",
    "Clipped",
    "DPMSolverPP3M",
    "EDMDenoiser",
    "EpsilonScaled",
    "EulerFlow",
    "FlowDenoiser",
    "FlowSteps",
    "GaussianPolicy",
    "Guidance",
    "Heun",
    "HeunFlow",
    "LatentPolicy",
    "MeanSteps",
    "Noise",
    "NoiseOfRows",
    "NoisingChain",
    "PinnedChain",
    "Sampler",
    "SeededNoise",
    "SilencedNoise",
    "SpherePolicy",
    "StreamNoise",
    "Trajectory",
    "Transition",
    "VPDenoiser",
    "chain",
    "check_denoiser",
    "conditioned",
    "euler",
    "euler_ancestral",
    "heun_step",
    "philox4x32",
    "reparametrised_rollout",
    "rollout",
    "sample",
    "slope",
    "straight_path",
]
