"""Denoisers D(x, sigma) around networks of either family, and what can be done to one from outside."""

import torch
from torch import nn

from dxmi.arrays import ClassLabels, PerSample, Points, per_sample
from dxmi.protocols import ClassDenoiser, Denoiser
from dxmi.schedules.chains import Chain


class EDMDenoiser(nn.Module):
    """D = c_skip x + c_out F(c_in x, ln(sigma) / 4) (Karras et al. 2022, arXiv:2206.00364, Eq. 7 and Table 1).

    With sigma_min > 0 the boundary is shifted so that D(x, sigma_min) = x exactly, as consistency models need
    (Song et al. 2023, arXiv:2303.01469, App. C); sigma_min = 0 is EDM's own.

    Raises:
        ValueError: unless sigma_data > 0 and sigma_min >= 0.
    """

    def __init__(self, net: nn.Module, *, sigma_data: float = 0.5, sigma_min: float = 0.0) -> None:
        super().__init__()
        if sigma_data <= 0 or sigma_min < 0:
            raise ValueError(f"got sigma_data={sigma_data}, sigma_min={sigma_min}; wanted above 0, and 0 or above")
        self.net, self.sigma_data, self.sigma_min = net, sigma_data, sigma_min

    def forward(self, x: Points, sigma: PerSample, labels: ClassLabels | None = None) -> Points:
        total = (sigma.square() + self.sigma_data**2).sqrt()
        above = sigma - self.sigma_min
        c_skip = self.sigma_data**2 / (above.square() + self.sigma_data**2)
        c_out = above * self.sigma_data / total
        given_labels = () if labels is None else (labels,)
        F_x = self.net(x / per_sample(total, x), sigma.log() / 4, *given_labels)
        return per_sample(c_skip, x) * x + per_sample(c_out, x) * F_x


class VPDenoiser(nn.Module):
    """D of a noise predictor trained on a DDPM chain: x_t = sqrt(alpha_bar) x, D = x - sigma eps(x_t, t).

    sigma is asked for at any value: the net sees the fractional t of that level (FastDPM, arXiv:2106.00132), as a
    float in steps of the chain.
    """

    def __init__(self, net: nn.Module, chain: Chain) -> None:
        super().__init__()
        self.net, self.chain = net, chain

    def forward(self, x: Points, sigma: PerSample) -> Points:
        signal = 1 / (1 + sigma.double().square())
        t = self.chain.step_of(signal.log()).to(x.dtype)
        eps = self.net(per_sample(signal.sqrt().to(x.dtype), x) * x, t)
        return x - per_sample(sigma, x) * eps


class FlowDenoiser(nn.Module):
    """D of a velocity on the straight path: x_t = x / (1 + sigma) at t = sigma / (1 + sigma), D = x_t - t v(x_t, t)."""

    def __init__(self, velocity: nn.Module) -> None:
        super().__init__()
        self.velocity = velocity

    def forward(self, x: Points, sigma: PerSample, *labels: ClassLabels) -> Points:
        t = sigma / (1 + sigma)
        on_path = per_sample(1 - t, x) * x
        return on_path - per_sample(t, x) * self.velocity(on_path, t, *labels)


class EpsilonScaled(nn.Module):
    """D <- x - (x - D) / scale: the predicted noise made smaller (Ning et al. 2024, arXiv:2308.15321)."""

    def __init__(self, denoiser: nn.Module, *, scale: float) -> None:
        super().__init__()
        self.denoiser, self.scale = denoiser, scale

    def forward(self, x: Points, sigma: PerSample, *labels: ClassLabels) -> Points:
        return x - (x - self.denoiser(x, sigma, *labels)) / self.scale


class Clipped(nn.Module):
    """D kept in [-1, 1], where images lie, as the released samplers of consistency models do at every pass."""

    def __init__(self, denoiser: nn.Module) -> None:
        super().__init__()
        self.denoiser = denoiser

    def forward(self, x: Points, sigma: PerSample, *labels: ClassLabels) -> Points:
        return self.denoiser(x, sigma, *labels).clamp(-1.0, 1.0)


def conditioned(denoiser: ClassDenoiser, *labels: ClassLabels) -> Denoiser:
    """D(x, sigma) conditioned on the class labels of its rows; on none for an unconditional network."""
    return lambda x, sigma: denoiser(x, sigma, *labels)


def check_denoiser(denoiser: Denoiser, example: Points) -> None:
    """Refuse a start model that is no denoiser of such data.

    A denoiser gives back a point without noise. At sigma = 1e-3 of the example's std anything else, a noise
    predictor above all, is far off.

    Raises:
        ValueError: for another shape, a value that is not finite, or another parametrisation.
    """
    spread = example.std()
    with torch.no_grad():
        restored = denoiser(example, (1e-3 * spread).expand(len(example)))
    if restored.shape != example.shape:
        raise ValueError(
            f"the denoiser turns events of shape {tuple(example.shape[1:])} into {tuple(restored.shape[1:])}; "
            "give one that was trained on this data"
        )
    error = (restored - example).square().mean().sqrt() / spread
    if not bool(error < 0.1):
        raise ValueError(
            f"D(x, sigma) is {error.item():.2g} standard deviations from x at sigma near 0, where a denoiser gives x "
            "back; wrap a noise predictor in VPDenoiser and a raw EDM network in EDMDenoiser"
        )
