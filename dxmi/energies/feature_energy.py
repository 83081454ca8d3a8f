"""A trained energy on fixed features: the model of a detector."""

from torch import nn

from dxmi.arrays import PerSample, Points


class FeatureEnergy:
    """Fixed features, then a trained energy [b, D] to [b, 1]: the model of a detector."""

    def __init__(self, features: nn.Module, energy: nn.Module, *, temperature: float | None) -> None:
        self._features = features
        self.networks = (energy,)
        self.temperature = temperature

    def energy(self, x: Points) -> PerSample:
        return self.networks[0](self._features(x.flatten(1))).squeeze(1)
