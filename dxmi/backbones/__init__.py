"""Backbones: a network with its denoiser, its loss and its few-step sampler."""

from dxmi.backbones.edm import ADM_LAYOUTS, EDM_LAYOUTS, ADMUNet, BareEDMLoss, EDMFamily, EDMUNet, LaidOutUNet, Timed
from dxmi.backbones.few_steps import (
    KARRAS,
    SCHEDULES,
    AnyFewSteps,
    DDGANSteps,
    FastDPMSteps,
    FewSteps,
    KarrasSteps,
    ResidualSteps,
    StridedSteps,
    T,
    strided_steps,
)
from dxmi.backbones.flows import FlowMLP, FlowNetwork, FlowUNet, VelocityMLP, VelocityNetwork
from dxmi.backbones.images import DDPM_CHAIN, DataPredictionLoss, DDGANUNet, DDPMUNet, FractionalDDPMLoss, UNetNetwork
from dxmi.backbones.small import DDPMMLP, EDMMLP, SIGMA_DATA, ChainNetwork, MLPNetwork, Network, StepsMLP

__all__ = [
    "ADM_LAYOUTS",
    "DDPMMLP",
    "DDPM_CHAIN",
    "EDMMLP",
    "EDM_LAYOUTS",
    "KARRAS",
    "SCHEDULES",
    "SIGMA_DATA",
    "ADMUNet",
    "AnyFewSteps",
    "BareEDMLoss",
    "ChainNetwork",
    "DDGANSteps",
    "DDGANUNet",
    "DDPMUNet",
    "DataPredictionLoss",
    "EDMFamily",
    "EDMUNet",
    "FastDPMSteps",
    "FewSteps",
    "FlowMLP",
    "FlowNetwork",
    "FlowUNet",
    "FractionalDDPMLoss",
    "KarrasSteps",
    "LaidOutUNet",
    "MLPNetwork",
    "Network",
    "ResidualSteps",
    "StepsMLP",
    "StridedSteps",
    "T",
    "Timed",
    "UNetNetwork",
    "VelocityMLP",
    "VelocityNetwork",
    "strided_steps",
]
