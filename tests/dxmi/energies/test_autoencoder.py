"""Autoencoder on the sphere, features that lead to it, and the value that corrects an energy."""

import numpy as np
import pytest
import torch
from sklearn.covariance import LedoitWolf

from dxmi.algorithms.gap import GapWatch
from dxmi.energies.autoencoder import SphereAutoencoder
from dxmi.energies.values import CorrectedEnergy
from dxmi.geometry.features import LocalWhitening, MahalanobisLift, Projection
from dxmi.geometry.sphere import project
from dxmi.nets.mlp import StepMLP


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def autoencoder(scale: float = 1.0) -> SphereAutoencoder:
    return SphereAutoencoder(dim=6, latent=3, hidden=16, depth=2, scale=scale, generator=generator())


def points(n: int = 32) -> torch.Tensor:
    return project(torch.randn(n, 6, generator=generator(1)))


def test_latents_and_reconstructions_are_unit_vectors_and_the_energy_their_scaled_error() -> None:
    net, x = autoencoder(scale=10.0), points()
    z = net.encode(x)
    torch.testing.assert_close(z.norm(dim=1), torch.ones(32))
    torch.testing.assert_close(net.decode(z).norm(dim=1), torch.ones(32))
    torch.testing.assert_close(net(x).squeeze(1), 10.0 * (x - net.decode(z)).square().sum(1))
    energy = net(x).detach()
    assert 0 <= float(energy.min()) <= float(energy.max()) <= 40.0  # at most the diameter squared


def test_perturbing_by_nothing_reconstructs_and_by_more_moves_further() -> None:
    net, x = autoencoder(), points()
    eps = torch.randn(32, 3, generator=generator(2))
    reconstructed = net.decode(net.encode(x))
    torch.testing.assert_close(net.perturbed(x, std=torch.zeros(32), eps=eps), reconstructed)
    moves = [
        float((net.perturbed(x, std=torch.full((32,), std), eps=eps) - reconstructed).norm(dim=1).mean().detach())
        for std in (0.01, 0.1, 1.0)
    ]
    assert moves[0] < moves[1] < moves[2]


def test_local_whitening_makes_differences_of_neighbours_isotropic_and_keeps_clusters_apart() -> None:
    # As many dimensions as features have: neighbours are then as far as any two points of a cluster.
    rng = np.random.default_rng(0)
    dim, n = 40, 300
    stds = np.geomspace(3.0, 0.1, dim)
    centres = 60.0 * np.eye(dim)[:2]
    x = torch.from_numpy(np.concatenate([centre + stds * rng.normal(size=(n, dim)) for centre in centres])).float()
    whitening = LocalWhitening.fit(x, neighbours=5)
    flat = (x - whitening.mean) @ whitening.whitener
    within = torch.cat([flat[:n] - flat[:n].mean(0), flat[n:] - flat[n:].mean(0)])
    spread = within.std(dim=0)
    assert float(spread.max() / spread.min()) < 5.0  # 30 before
    assert float((flat[:n].mean(0) - flat[n:].mean(0)).norm() / spread.max()) > 5.0
    torch.testing.assert_close(whitening(x).norm(dim=1), torch.ones(2 * n))


def test_the_angle_to_the_pole_of_a_mahalanobis_lift_is_the_distance_of_scikit_learn() -> None:
    x = torch.randn(200, 6, generator=generator(4)) @ torch.randn(6, 6, generator=generator(5)) + 3.0
    distance = torch.from_numpy(LedoitWolf().fit(x.double().numpy()).mahalanobis(x.double().numpy()))
    lifted = MahalanobisLift.fit(x)(x)
    torch.testing.assert_close(lifted.norm(dim=1), torch.ones(200))
    tangent = lifted[:, :6].norm(dim=1) / lifted[:, 6]  # of the angle to (0, ..., 0, 1)
    torch.testing.assert_close(tangent.double().square() * 6, distance, rtol=1e-3, atol=1e-3)


def test_an_energy_is_rescaled_to_a_mean_and_no_further_than_allowed() -> None:
    net, x = autoencoder(scale=3.0), points()
    errors = net(x).mean() / 3.0
    net.rescale(x, mean=0.05, at_most=10.0)
    torch.testing.assert_close(net(x).mean(), torch.tensor(0.05))
    net.rescale(x, mean=0.05, at_most=0.01)
    torch.testing.assert_close(net(x).mean(), 0.01 * errors)
    assert float(net.state_dict()["scale"]) == pytest.approx(0.01)


def test_features_survive_copies_of_one_point_and_sets_smaller_than_the_neighbourhood() -> None:
    same = torch.ones(6, 3)
    assert torch.isfinite(LocalWhitening.fit(same, neighbours=5)(same + 1e-3)).all()
    few = torch.randn(3, 4, generator=generator())
    assert torch.isfinite(LocalWhitening.fit(few, neighbours=50)(few)).all()
    torch.testing.assert_close(Projection()(2 * few), project(few))


def test_a_corrected_energy_begins_as_the_energy_and_its_value_step_leaves_the_energy_alone() -> None:
    net = StepMLP(dim_in=6, dim_out=1, num_levels=4, hidden=8, depth=1, zero_output=True, generator=generator(3))
    value = CorrectedEnergy(autoencoder(), net, num_steps=4)
    x = points().requires_grad_(True)
    k = torch.arange(32) % 5
    torch.testing.assert_close(value.value(x, k), value.energy(x))
    gradients = torch.autograd.grad(value.value(x, k).sum(), [x, *value.energy_net.parameters()], allow_unused=True)
    assert gradients[0].abs().sum() > 0  # the policy sees the slope of the energy
    assert all(gradient is None for gradient in gradients[1:])
    with torch.no_grad():
        net.output.bias += 1.0
    difference = value.value(x, k) - value.energy(x)
    torch.testing.assert_close(difference, (k < 4).float())  # V_K stays E


def test_the_gap_watch_complains_only_of_a_gap_that_does_not_shrink() -> None:
    def complaint(gaps: list[float]) -> str | None:
        watch = GapWatch(len(gaps))
        for gap in gaps:
            watch.add(gap)
        return watch.complaint()

    assert complaint([2.0] * 20 + [0.5] * 20) is None
    assert complaint([-2.0] * 20 + [0.5] * 20) is None  # a size, whatever its sign
    found = complaint([0.5] * 20 + [2.0] * 20)
    assert found is not None
    assert "0.5 at first, 2 at last" in found
    unfinished = GapWatch(10)
    unfinished.add(1.0)
    assert unfinished.complaint() is None


def test_the_gap_watch_resumes() -> None:
    gaps = [1.0, 1.0, 2.0, 3.0, 5.0, 5.0]
    whole, first, second = (GapWatch(6) for _ in range(3))
    for gap in gaps:
        whole.add(gap)
    for gap in gaps[:3]:
        first.add(gap)
    second.load_state_dict(first.state_dict())
    for gap in gaps[3:]:
        second.add(gap)
    assert second.complaint() == whole.complaint()
