"""Energies and value functions, and how they are trained without a sampler."""

from dxmi.energies.autoencoder import SphereAutoencoder
from dxmi.energies.critics import AnyCritic, ConvolutionCritic, Critic, MLPCritic, ResNetCritic
from dxmi.energies.feature_energy import FeatureEnergy
from dxmi.energies.given import GivenEnergyValue, hamiltonian_chain, langevin_chain
from dxmi.energies.langevin import (
    GradientRule,
    Langevin,
    Potential,
    ReplayBuffer,
    clipped,
    harmonic,
    normalised,
    unchanged,
)
from dxmi.energies.values import (
    CorrectedEnergy,
    SeparateEnergy,
    SharedValue,
    TimeIndependentValue,
    ValueNet,
    make_value,
)

__all__ = [
    "AnyCritic",
    "ConvolutionCritic",
    "CorrectedEnergy",
    "Critic",
    "FeatureEnergy",
    "GivenEnergyValue",
    "GradientRule",
    "Langevin",
    "MLPCritic",
    "Potential",
    "ReplayBuffer",
    "ResNetCritic",
    "SeparateEnergy",
    "SharedValue",
    "SphereAutoencoder",
    "TimeIndependentValue",
    "ValueNet",
    "clipped",
    "hamiltonian_chain",
    "harmonic",
    "langevin_chain",
    "make_value",
    "normalised",
    "unchanged",
]
