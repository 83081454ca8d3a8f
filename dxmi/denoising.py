"""Training a noise predictor on a variance-preserving schedule, and a denoiser over all noise levels."""

import torch

from dxmi.arrays import PerSample, Points
from dxmi.denoisers import EDMDenoiser, per_sample
from dxmi.losses import mean_square, noise_prediction_loss
from dxmi.noise import StreamNoise
from dxmi.protocols import NoisePredictor
from dxmi.schedules import VPSchedule


def denoising_loss(net: NoisePredictor, schedule: VPSchedule, data: Points, noise: StreamNoise) -> PerSample:
    """DDPM's simple loss (Ho et al. 2020, arXiv:2006.11239, Algorithm 1), k uniform on 0 .. K - 1.

    x_k = sqrt(alpha_bar_k) data + sqrt(1 - alpha_bar_k) eps; the net sees x_k and k.
    """
    k = torch.randint(schedule.num_steps, (len(data),), generator=noise.generator, device=data.device)
    signal = schedule.alpha_bar.to(data)[k].reshape(-1, *([1] * (data.ndim - 1)))
    eps = noise.normal(0)
    return noise_prediction_loss(net(signal.sqrt() * data + (1 - signal).sqrt() * eps, k), eps)


def lognormal_sigmas(noise: StreamNoise, *, mean: float, std: float) -> PerSample:
    """Noise levels with ln sigma ~ N(mean, std^2), one per sample of the stream."""
    z = torch.randn(noise.batch_size, generator=noise.generator, device=noise.generator.device, dtype=noise.dtype)
    return (mean + std * z).exp()


def edm_loss(
    denoiser: EDMDenoiser, data: Points, noise: StreamNoise, *, mean: float = -1.2, std: float = 1.2
) -> PerSample:
    """w(sigma) ||D(data + sigma eps, sigma) - data||^2 / D, ln sigma ~ N(mean, std^2) (Karras et al. 2022, Table 1).

    w = (sigma^2 + sigma_data^2) / (sigma sigma_data)^2, which makes the net's own error count alike at every level.
    """
    sigma = lognormal_sigmas(noise, mean=mean, std=std)
    weight = (sigma.square() + denoiser.sigma_data**2) / (sigma * denoiser.sigma_data).square()
    noised = data + per_sample(sigma, data) * noise.normal(0)
    return weight * mean_square(denoiser(noised, sigma) - data)
