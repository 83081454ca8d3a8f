"""Pure functions, one number per sample."""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from dxmi.arrays import PerSample, Points


def mean_square(x: Points) -> PerSample:
    """||x||^2 / D per sample."""
    return x.flatten(1).square().mean(dim=1)


def energy_loss(positive: PerSample, negative: PerSample, *, gamma: float) -> PerSample:
    """E(x+) - E(x-) + gamma (E(x+)^2 + E(x-)^2), paired row by row (DxMI section 3.2)."""
    return positive - negative + gamma * (positive.square() + negative.square())


def one_sided_energy_loss(positive: PerSample, negative: PerSample, *, gamma: float) -> PerSample:
    """E(x+) - E(x-) + gamma E(x-)^2: only the samples' energies are held (NAE, arXiv:2105.05735; MPDR-R)."""
    return positive - negative + gamma * negative.square()


def noise_prediction_loss(predicted: Points, eps: Points) -> PerSample:
    """||eps_theta - eps||^2 / D (Ho et al. 2020, Eq. 14)."""
    return mean_square(predicted - eps)


def bellman_error(value: PerSample, target: PerSample) -> Float[Tensor, " b"]:
    """(target - V)^2 (DxMI Eq. 10); the target carries no gradient."""
    return (target.detach() - value).square()


def discrimination_loss(data: PerSample, samples: PerSample) -> PerSample:
    """softplus(E(data)) + softplus(-E(samples)): cross-entropy of a critic whose logit is -E (arXiv:1406.2661)."""
    return softplus(data) + softplus(-samples)


def persuasion_loss(samples: PerSample) -> PerSample:
    """softplus(E(samples)): the generator's non-saturating loss against such a critic (arXiv:1406.2661)."""
    return softplus(samples)
