"""Networks. Plain torch, parameters drawn from an explicit generator."""

from dxmi.nets.blocks import Level, PlainResampling, ResidualBlock, Vector
from dxmi.nets.critics import HE_INITIALISER, ConvCritic, GatedLinear, StepValue
from dxmi.nets.ddgan import DDGANGenerator
from dxmi.nets.dropout import Dropout, dropping, set_dropout
from dxmi.nets.embeddings import ADMSinusoid, Conditioning, DDPMSinusoid, Features, FourierFeatures, Time
from dxmi.nets.energy_resnet import EnergyBlock, EnergyResNet
from dxmi.nets.families import denoising_net, is_image, noise_predictor
from dxmi.nets.layers import (
    ADM_INITIALISER,
    DDPM_INITIALISER,
    Image,
    Initialiser,
    Layers,
    PlainNorm,
    SelfAttention,
    StyleNorm,
    groups_of,
)
from dxmi.nets.lpips import LPIPS, STAGES
from dxmi.nets.mlp import (
    NoiseMLP,
    StepMLP,
    Unconditional,
    condition_features,
    condition_octaves,
    fourier_features,
    linear,
    phase_features,
    unrounded,
)
from dxmi.nets.precision import PRECISIONS, Precision, in_precision
from dxmi.nets.presets import ADM_IMAGENET64, ADM_LSUN256, DDGAN_CIFAR10, DDPM_CIFAR10, DDPMPP_CIFAR10, NCSNPP_CIFAR10
from dxmi.nets.resampling import BINOMIAL, BOX, BinomialDown, BinomialUp, Filter, NearestConv, StridedConv, pyramid_step
from dxmi.nets.residual_mlp import BetweenSteps, NoiseResidualMLP, ResidualMLP
from dxmi.nets.steps import AtSteps, Strided
from dxmi.nets.unet import UNet
from dxmi.nets.unet_config import UNetConfig

__all__ = [
    "ADM_IMAGENET64",
    "ADM_INITIALISER",
    "ADM_LSUN256",
    "BINOMIAL",
    "BOX",
    "DDGAN_CIFAR10",
    "DDPMPP_CIFAR10",
    "DDPM_CIFAR10",
    "DDPM_INITIALISER",
    "HE_INITIALISER",
    "LPIPS",
    "NCSNPP_CIFAR10",
    "PRECISIONS",
    "STAGES",
    "ADMSinusoid",
    "AtSteps",
    "BetweenSteps",
    "BinomialDown",
    "BinomialUp",
    "Conditioning",
    "ConvCritic",
    "DDGANGenerator",
    "DDPMSinusoid",
    "Dropout",
    "EnergyBlock",
    "EnergyResNet",
    "Features",
    "Filter",
    "FourierFeatures",
    "GatedLinear",
    "Image",
    "Initialiser",
    "Layers",
    "Level",
    "NearestConv",
    "NoiseMLP",
    "NoiseResidualMLP",
    "PlainNorm",
    "PlainResampling",
    "Precision",
    "ResidualBlock",
    "ResidualMLP",
    "SelfAttention",
    "StepMLP",
    "StepValue",
    "Strided",
    "StridedConv",
    "StyleNorm",
    "Time",
    "UNet",
    "UNetConfig",
    "Unconditional",
    "Vector",
    "condition_features",
    "condition_octaves",
    "denoising_net",
    "dropping",
    "fourier_features",
    "groups_of",
    "in_precision",
    "is_image",
    "linear",
    "noise_predictor",
    "phase_features",
    "pyramid_step",
    "set_dropout",
    "unrounded",
]
