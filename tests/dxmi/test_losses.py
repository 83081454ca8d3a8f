import pytest
import torch

from dxmi.losses import bellman_error, energy_loss, mean_square, noise_prediction_loss


def normal(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("shape", [(2,), (5,), (3, 4, 4)])
def test_mean_square_divides_by_the_number_of_dimensions(shape):
    x = normal(6, *shape, seed=0)
    torch.testing.assert_close(mean_square(x), torch.linalg.vector_norm(x.flatten(1), dim=1) ** 2 / x[0].numel())


def test_energy_loss_value():
    positive, negative = torch.tensor([2.0, -1.0]), torch.tensor([0.5, 3.0])
    got = energy_loss(positive, negative, gamma=0.1)
    assert got.tolist() == pytest.approx([1.5 + 0.1 * 4.25, -4.0 + 0.1 * 10.0])


@pytest.mark.parametrize("gamma", [1.0, 0.25])
def test_energy_loss_is_stationary_at_the_closed_form_energy_on_two_points(gamma):
    """E = (pi - p) / (2 gamma (pi + p)) for data shares p and sampler shares pi."""
    data = torch.tensor([0] * 7 + [1] * 3)
    samples = torch.tensor([0] * 2 + [1] * 8)
    energy = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.SGD([energy], lr=0.3 / gamma)
    for _ in range(200):
        optimiser.zero_grad()
        energy_loss(energy[data], energy[samples], gamma=gamma).mean().backward()
        optimiser.step()
    p, pi = torch.tensor([0.7, 0.3]).double(), torch.tensor([0.2, 0.8]).double()
    torch.testing.assert_close(energy.detach(), (pi - p) / (2 * gamma * (pi + p)), rtol=1e-6, atol=1e-6)
    assert energy[0] < energy[1]  # more data, lower energy


def test_bellman_error_is_the_squared_gap_and_moves_the_value_only():
    value = torch.tensor([1.0, -2.0], requires_grad=True)
    target = torch.tensor([3.0, 0.5], requires_grad=True)
    error = bellman_error(value, target)
    assert error.tolist() == [4.0, 6.25]
    error.sum().backward()
    assert value.grad.tolist() == [-4.0, -5.0]
    assert target.grad is None


def test_bellman_error_through_a_shared_parameter_is_the_semi_gradient():
    theta = torch.tensor(2.0, requires_grad=True)
    bellman_error((3 * theta)[None], (10 * theta)[None]).sum().backward()
    assert theta.grad.item() == -2 * (20 - 6) * 3


def test_noise_prediction_loss_is_the_mean_square_of_the_gap():
    predicted, eps = normal(4, 3, 2, seed=0), normal(4, 3, 2, seed=1)
    torch.testing.assert_close(noise_prediction_loss(predicted, eps), (predicted - eps).pow(2).mean(dim=(1, 2)))
