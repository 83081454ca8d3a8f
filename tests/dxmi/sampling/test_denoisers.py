import math

import pytest
import torch
from flows import MEAN, STD, denoise
from torch import Tensor, nn

from dxmi.sampling.denoisers import EDMDenoiser, VPDenoiser, check_denoiser
from dxmi.schedules.chains import LinearChain


class Recorder(nn.Module):
    """Remembers what it was asked; answers with a fixed value."""

    def __init__(self, answer: float = 0.0) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        self.x, self.condition = x, condition
        return torch.full_like(x, self.answer)


def noised(sigma: Tensor, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    data = MEAN + STD * torch.randn(len(sigma), 3, generator=generator, dtype=torch.float64)
    return data, data + sigma[:, None] * torch.randn(len(sigma), 3, generator=generator, dtype=torch.float64)


def test_edm_net_sees_unit_variance_and_is_asked_for_unit_variance():
    """The principles of Karras et al. 2022, App. B.6, on centred data of std sigma_data."""
    generator = torch.Generator().manual_seed(0)
    data = 0.7 * torch.randn(200_000, 2, generator=generator, dtype=torch.float64)
    for level in (0.01, 0.7, 5.0):
        sigma = torch.full((len(data),), level, dtype=torch.float64)
        x = data + level * torch.randn(data.shape, generator=generator, dtype=torch.float64)
        net = Recorder()
        skipped = EDMDenoiser(net, sigma_data=0.7)(x, sigma)
        net.answer = 1.0
        c_out = (EDMDenoiser(net, sigma_data=0.7)(x, sigma) - skipped)[0, 0]
        assert net.x.std().item() == pytest.approx(1, abs=0.01)
        assert net.condition[0].item() == pytest.approx(math.log(level) / 4)
        assert ((data - skipped) / c_out).std().item() == pytest.approx(1, abs=0.01)


def test_edm_levels_are_taken_per_sample_for_events_of_any_shape():
    x, sigma = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(1)), torch.tensor([0.1, 1.0, 10.0])
    whole = EDMDenoiser(Recorder(0.3))(x, sigma)
    alone = torch.cat([EDMDenoiser(Recorder(0.3))(x[i : i + 1], sigma[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(whole, alone)


def test_the_shifted_boundary_gives_the_point_back_at_sigma_min_whatever_the_net():
    x, sigma = torch.randn(5, 3, generator=torch.Generator().manual_seed(2)), torch.full((5,), 0.002)
    assert torch.equal(EDMDenoiser(Recorder(7.0), sigma_min=0.002)(x, sigma), x)
    assert not torch.allclose(EDMDenoiser(Recorder(7.0))(x, sigma), x, atol=1e-3)


def test_vp_denoiser_of_the_exact_noise_predictor_is_the_exact_denoiser():
    chain = LinearChain()

    class ExactNoise(nn.Module):
        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            signal = chain.log_alpha_bar(t).exp()[:, None]
            return (1 - signal).sqrt() * (x - signal.sqrt() * MEAN) / (signal * STD**2 + 1 - signal)

    sigma = torch.tensor([0.01, 0.3, 2.0, 50.0], dtype=torch.float64)
    _, x = noised(sigma)
    torch.testing.assert_close(VPDenoiser(ExactNoise(), chain)(x, sigma), denoise(x, sigma), rtol=1e-6, atol=1e-6)


def test_vp_net_sees_fractional_steps_and_preserved_variance():
    chain, net = LinearChain(), Recorder()
    t = torch.tensor([0.0, 28.293, 616.734], dtype=torch.float64)
    signal = chain.log_alpha_bar(t).exp()
    x = torch.ones(3, 2, dtype=torch.float64)
    VPDenoiser(net, chain)(x, ((1 - signal) / signal).sqrt())
    torch.testing.assert_close(net.condition, t, rtol=0, atol=1e-5)
    torch.testing.assert_close(net.x, signal.sqrt()[:, None] * x)


def test_denoisers_are_accepted():
    data, _ = noised(torch.zeros(64, dtype=torch.float64))
    check_denoiser(denoise, data)
    check_denoiser(EDMDenoiser(Recorder()), data.float())
    check_denoiser(VPDenoiser(Recorder(), LinearChain()), data.float())


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (lambda x, sigma: x[:, :2], r"\(3,\) into \(2,\)"),
        (lambda x, sigma: torch.ones_like(x), "wrap a noise predictor in VPDenoiser"),
        (lambda x, sigma: x * math.nan, "denoiser gives x back"),
    ],
    ids=["shape", "noise predictor", "nan"],
)
def test_start_models_of_another_shape_or_parametrisation_are_refused(bad, reason):
    data, _ = noised(torch.zeros(64, dtype=torch.float64))
    with pytest.raises(ValueError, match=reason):
        check_denoiser(bad, data)


@pytest.mark.parametrize(("sigma_data", "sigma_min"), [(0.0, 0.0), (-1.0, 0.0), (0.5, -0.1)])
def test_bad_preconditioning_is_refused(sigma_data, sigma_min):
    with pytest.raises(ValueError, match="wanted above 0"):
        EDMDenoiser(Recorder(), sigma_data=sigma_data, sigma_min=sigma_min)
