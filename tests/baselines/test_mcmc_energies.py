"""Energies trained by MCMC against their papers' formulas, written out anew: chains without noise, and the first step.

Without noise a chain is a sum of gradient steps, and the first step of Adam is its rate times the sign of the gradient.
Both are computed here from the networks alone.
"""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dxbench.api import Compute, Problem
from dxbench.api.streams import RandomStreams
from dxbench.plugins.registry import load_method
from dxbench.tasks.detection import PointSet

RATE = 1e-3
SIZES = {"features": "sphere", "hidden": 16, "batch_size": 12}
TWO_STAGES = SIZES | {"latent": 3, "pretrain_iterations": 30, "iterations": 5, "energy_lr": RATE}
QUIET = {"latent_std": 0.0, "visible_angle": 0.0}
Potential = Callable[[Tensor], Tensor]


def begun(name: str, settings: dict[str, Any]) -> Any:
    """Training of a method on points of a plane's circle in five dimensions, behind its first stage."""
    generator = torch.Generator().manual_seed(0)
    angle = 6.2832 * torch.rand(80, generator=generator)
    points = torch.cat([angle.cos()[:, None], angle.sin()[:, None], 0.1 * torch.randn(80, 3, generator=generator)], 1)
    method = load_method(name)
    problem = Problem(task="t", event_shape=(5,), data=PointSet(points=points), data_std=0.4)
    config: Any = method.Config.model_validate(settings)
    streams = RandomStreams("test", 0)
    train = method().start(problem, config, compute=Compute(device="cpu", threads=1), rng=streams)
    for _ in range(getattr(config, "pretrain_iterations", 0)):
        train.step()
    return train


def slope(potential: Potential, x: Tensor) -> Tensor:
    """The gradient of a potential along the unit sphere."""
    x = x.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(potential(x).sum(), x)
    x = x.detach()
    return gradient - (gradient * x).sum(1, keepdim=True) * x


def downhill(x: Tensor, slope: Tensor, step_size: float) -> Tensor:
    """Where the great circle along -slope arrives after the length step_size |slope|."""
    length = step_size * slope.norm(dim=1, keepdim=True)
    return length.cos() * x - length.sin() * slope / slope.norm(dim=1, keepdim=True)


def shortened(slope: Tensor, longest: float) -> Tensor:
    return slope * (longest / slope.norm(dim=1, keepdim=True)).clamp(max=1)


def unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=1, keepdim=True)


def angle(x: Tensor, y: Tensor) -> Tensor:
    """Between points of the unit sphere, in radians, exact where it is small."""
    return 2 * torch.asin((x - y).norm(dim=1) / 2)


def rms(x: Tensor) -> float:
    return x.square().mean().sqrt().item()


def share_among(points: Tensor, kept: Tensor) -> float:
    """The share of points that are to the bit a row of `kept`."""
    return (points[:, None] == kept).all(dim=2).any(dim=1).float().mean().item()


def resting(potential: Potential, x: Tensor, *, generator: torch.Generator) -> Tensor:
    """A chain in place of another, whose ends are where it begins."""
    return x


def check_first_step(train: Any, net: nn.Module, loss: Callable[[Tensor, Tensor], Tensor], batch: Tensor) -> None:
    """One step of training moves every weight of `net` by RATE against the gradient of the loss of data and samples."""
    samples: list[Tensor] = []
    name = "recovered" if hasattr(train, "recovered") else "samples"
    draw = getattr(train, name)

    def kept(*data: Tensor) -> Tensor:
        samples.append(draw(*data))
        return samples[0]

    setattr(train, name, kept)
    weights = list(net.parameters())
    before = [weight.detach().clone() for weight in weights]
    train.step()
    after = [weight.detach().clone() for weight in weights]
    for weight, old in zip(weights, before, strict=True):
        weight.data.copy_(old)
    gradients = torch.autograd.grad(loss(batch, samples[0]), weights, allow_unused=True)
    for old, new, gradient in zip(before, after, gradients, strict=True):
        if gradient is None:
            continue
        sure = gradient.abs() > 1e-4 * gradient.abs().max()
        torch.testing.assert_close((new - old)[sure], -RATE * gradient.sign()[sure], rtol=1e-2, atol=1e-6)


def next_batch(train: Any, size: int = 12) -> Tensor:
    """The data of the next step, which is put back."""
    rng = train.energy._rng if hasattr(train, "energy") else train.rng
    points = train.energy._points if hasattr(train, "energy") else train.points
    state = rng.bit_generator.state
    rows = torch.from_numpy(rng.integers(len(points), size=size))
    rng.bit_generator.state = state
    return points[rows]


class TestIGEBM:
    SETTINGS = SIZES | {"lr": RATE, "angle": 0.0, "mcmc_steps": 4, "step_size": 5.0, "max_gradient": 0.02}

    def test_chains_descend_the_energy_with_clipped_gradients(self) -> None:
        train = begun("igebm", self.SETTINGS | {"restart": 1.0})

        def energy(x: Tensor) -> Tensor:
            return train.net(x)[:, 0]

        start = torch.Generator()
        start.set_state(train.generator.get_state())
        x = begin = unit(torch.randn(12, 5, generator=start))
        for _ in range(4):
            x = downhill(x, shortened(slope(energy, x), 0.02), 5.0)
        found = train.samples()
        torch.testing.assert_close(found, x)
        assert (energy(found) < energy(begin)).all()

    @pytest.mark.parametrize("restart", [0.0, 0.3, 1.0])
    def test_chains_go_on_from_the_ends_of_earlier_ones_but_for_the_share_that_restarts(self, restart: float) -> None:
        still = {"batch_size": 400, "mcmc_steps": 1, "step_size": 1e-9, "angle": 0.5}
        train = begun("igebm", self.SETTINGS | still | {"restart": restart})
        ends = train.samples()
        torch.testing.assert_close(train.buffer.kept[:400], ends)
        train.chain = resting
        kept = share_among(train.samples(), ends)
        assert kept == pytest.approx(1 - restart, abs=5 * math.sqrt(restart * (1 - restart) / 400))

    def test_a_steps_noise_has_the_typical_length_that_is_set(self) -> None:
        """rms over 1600 coordinates: 5 standard errors are 9 %."""
        still = {"batch_size": 400, "mcmc_steps": 1, "step_size": 1e-9, "angle": 0.1}
        train = begun("igebm", self.SETTINGS | still)
        draws = torch.Generator()
        draws.set_state(train.generator.get_state())
        begin = unit(torch.randn(400, 5, generator=draws))
        assert rms(angle(begin, train.samples())) == pytest.approx(0.1, rel=0.09)

    @pytest.mark.parametrize("gamma", [0.0, 0.7])
    def test_the_energy_falls_at_data_and_rises_at_samples_and_both_squares_are_held(self, gamma: float) -> None:
        """Du & Mordatch 2019, Eq. 6 and Algorithm 1."""
        train = begun("igebm", self.SETTINGS | {"gamma": gamma})

        def loss(data: Tensor, samples: Tensor) -> Tensor:
            low, high = train.net(data)[:, 0], train.net(samples)[:, 0]
            return low.mean() - high.mean() + gamma * ((low**2).mean() + (high**2).mean())

        check_first_step(train, train.net, loss, next_batch(train))


class TestNAE:
    SETTINGS = TWO_STAGES | QUIET | {"latent_steps": 3, "visible_steps": 3, "visible_step_size": 0.3, "replay": 0.0}

    def test_codes_descend_the_decoders_energy_then_points_their_own(self) -> None:
        """Yoon et al. 2021, section 4: H(z) = E(dec(z)) first, then E(x) with gradients clipped row by row."""
        train = begun("nae", self.SETTINGS | {"latent_step_size": 0.1, "max_gradient": 0.05})
        net = train.energy.net

        def energy(x: Tensor) -> Tensor:
            code = unit(net.encoder(x))
            return 10.0 * (x - unit(net.decoder(code))).square().sum(1)

        start = torch.Generator()
        start.set_state(train.generator.get_state())
        z = begin = unit(torch.randn(12, 3, generator=start))
        for _ in range(3):
            z = downhill(z, slope(lambda z: energy(unit(net.decoder(z))), z), 0.1)
        x = unit(net.decoder(z)).detach()
        for _ in range(3):
            x = downhill(x, shortened(slope(energy, x), 0.05), 0.3)
        found = train.samples()
        torch.testing.assert_close(found, x, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(train.codes.kept[:12], z.detach(), rtol=1e-4, atol=1e-5)
        assert (energy(found) - energy(unit(net.decoder(begin)))).mean().item() < 0

    @pytest.mark.parametrize("replay", [0.0, 0.7, 1.0])
    def test_the_share_of_codes_that_is_replayed_goes_on_from_earlier_ends(self, replay: float) -> None:
        train = begun("nae", self.SETTINGS | {"batch_size": 400, "latent_step_size": 0.1, "replay": replay})
        train.samples()
        train.latent_chain = resting
        train.samples()
        ends, new = train.codes.kept[:400], train.codes.kept[400:800]
        kept = share_among(new, ends)
        assert kept == pytest.approx(replay, abs=5 * math.sqrt(replay * (1 - replay) / 400))

    def test_the_first_noise_has_the_typical_length_that_is_set_and_then_fades_as_one_over_i(self) -> None:
        """Variances of steps on the sphere add up: 1 + 1/4 + 1/9."""
        still = {"batch_size": 400, "latent_step_size": 1e-9, "visible_step_size": 1e-9, "visible_angle": 0.1}
        for steps, length in ((1, 0.1), (3, 0.1 * math.sqrt(1 + 1 / 4 + 1 / 9))):
            train = begun("nae", self.SETTINGS | still | {"visible_steps": steps})
            found = train.samples()
            begin = train.energy.net.decode(train.codes.kept[:400])
            assert rms(angle(begin, found)) == pytest.approx(length, rel=0.09)

    @pytest.mark.parametrize(("gamma", "decay"), [(0.0, 0.0), (0.7, 0.0), (0.5, 0.1)])
    def test_only_the_samples_energy_is_held_and_the_encoders_weights_are(self, gamma: float, decay: float) -> None:
        train = begun("nae", self.SETTINGS | {"gamma": gamma, "encoder_decay": decay})
        net = train.energy.net

        def loss(data: Tensor, samples: Tensor) -> Tensor:
            low, high = net(data)[:, 0], net(samples)[:, 0]
            weights = torch.cat([weight.flatten() for weight in net.encoder.parameters()])
            return low.mean() - high.mean() + gamma * (high**2).mean() + decay * (weights**2).sum()

        check_first_step(train, net, loss, next_batch(train))


class TestMPDR:
    SETTINGS = TWO_STAGES | QUIET | {"latent_steps": 3, "visible_steps": 3, "visible_step_size": 0.02}

    def test_chains_descend_the_recovery_potential_in_the_codes_and_then_in_the_points(self) -> None:
        """Yoon et al. 2023, Eqs. 7 to 9: E(x) + c |enc(x) - z~|^2 / (2 sigma^2), unit gradients in the codes."""
        weight = 0.02
        train = begun("mpdr", self.SETTINGS | {"recovery": weight, "latent_step_size": 0.04})
        net, manifold, data = train.energy.net, train.energy.frozen, next_batch(train)
        for parameter in net.parameters():  # so that the energy's networks are not the frozen ones
            parameter.data.add_(0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(4)))

        def energy(x: Tensor) -> Tensor:
            return 10.0 * (x - unit(net.decoder(unit(net.encoder(x))))).square().sum(1)

        draws = torch.Generator()
        draws.set_state(train.generator.get_state())
        sigma = 0.05 + 0.25 * torch.rand(12, generator=draws)
        eps = torch.randn(12, 3, generator=draws)
        code = unit(unit(manifold.encoder(data)) + sigma[:, None] * eps).detach()

        def potential(x: Tensor, z: Tensor) -> Tensor:
            return energy(x) + weight * (z - code).square().sum(1) / (2 * sigma**2)

        z = code
        for _ in range(3):
            along = slope(lambda z: potential(unit(manifold.decoder(z)), z), z)
            z = downhill(z, unit(along), 0.04)
        x = unit(manifold.decoder(z)).detach()
        for _ in range(3):
            x = downhill(x, slope(lambda x: potential(x, unit(manifold.encoder(x))), x), 0.02)
        torch.testing.assert_close(train.recovered(data), x, rtol=1e-4, atol=1e-5)

    def test_a_stronger_recovery_keeps_points_nearer_to_the_perturbed_codes(self) -> None:
        distances = []
        for weight in (0.0, 0.1, 1.0):
            train = begun("mpdr", self.SETTINGS | {"recovery": weight, "visible_steps": 30})
            data = next_batch(train)
            draws = torch.Generator()
            draws.set_state(train.generator.get_state())
            sigma = 0.05 + 0.25 * torch.rand(12, generator=draws)
            eps = torch.randn(12, 3, generator=draws)
            manifold = train.energy.frozen
            code = manifold.perturbed_code(data, std=sigma, eps=eps)
            distances.append(float((manifold.encode(train.recovered(data)) - code).norm(dim=1).mean()))
        assert distances[0] > distances[1] > distances[2]

    def test_a_visible_steps_noise_has_the_typical_length_that_is_set(self) -> None:
        still = {"batch_size": 400, "latent_steps": 0, "visible_steps": 1, "visible_step_size": 1e-9}
        train = begun("mpdr", self.SETTINGS | still | {"visible_angle": 0.1})
        data = next_batch(train, 400)
        draws = torch.Generator()
        draws.set_state(train.generator.get_state())
        sigma = 0.05 + 0.25 * torch.rand(400, generator=draws)
        eps = torch.randn(400, 3, generator=draws)
        begin = train.energy.frozen.perturbed(data, std=sigma, eps=eps)
        assert rms(angle(begin, train.recovered(data))) == pytest.approx(0.1, rel=0.09)

    @pytest.mark.parametrize("gamma", [0.0, 0.7])
    def test_only_the_samples_energy_is_held(self, gamma: float) -> None:
        train = begun("mpdr", self.SETTINGS | {"gamma": gamma})
        net = train.energy.net

        def loss(data: Tensor, samples: Tensor) -> Tensor:
            low, high = net(data)[:, 0], net(samples)[:, 0]
            return low.mean() - high.mean() + gamma * (high**2).mean()

        check_first_step(train, net, loss, next_batch(train))
