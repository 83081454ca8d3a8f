"""A trained energy on fixed features: the energy of a detector."""

from dataclasses import dataclass

from torch import nn

from dxmi.arrays import PerSample, Points


@dataclass(frozen=True, eq=False)
class FeatureEnergy:
    """E(x) = net(features(x)).

    Attributes:
        features: fixed, of rows.
        net: trained, [b, D] to [b, 1].
    """

    features: nn.Module
    net: nn.Module

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The trained network."""
        return (self.net,)

    def energy(self, x: Points) -> PerSample:
        return self.net(self.features(x.flatten(1))).squeeze(1)
