"""Training a noise predictor on a variance-preserving schedule."""

import torch

from dxmi.arrays import PerSample, Points
from dxmi.losses import noise_prediction_loss
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
