"""drifting: its field against closed forms and by its symmetries, its gradient, its trainings and what is refused."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from dxbench_baselines.drifting import Drifting, DriftingConfig, drift
from dxbench_baselines.starts.presets import GARMENT_EDM_CLASSES
from gaussian_task import errors, small, solve, start
from pydantic import ValidationError
from torch import Tensor

from dxmi.backbones.small import EDMMLP
from dxmi.training.kernels import DriftField, GaussianKernel, LaplaceKernel, MeanShift, SharedAffinity, distances

FIELDS = [MeanShift(), SharedAffinity()]
KERNELS = [LaplaceKernel(width=0.4), GaussianKernel(width=0.3)]


def cloud(n: int, seed: int, *shape: int) -> Tensor:
    return torch.randn(n, *(shape or (2,)), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def anywhere(field: DriftField, x: Tensor, data: Tensor, samples: Tensor, kernel: Any) -> Tensor:
    """The field at points that are none of the samples."""
    near, off = kernel.log(x, data), kernel.log(x, samples)
    return field.at(x, data, samples, attracting=near, repelling=off)


def log_kde(x: Tensor, points: Tensor, width: float) -> Tensor:
    """The log density estimate of Gaussians of this width, but for a constant."""
    return (-(x[:, None] - points).square().sum(2) / (2 * width**2)).logsumexp(1)


def test_the_field_of_a_gaussian_kernel_is_the_difference_of_the_scores_of_density_estimates() -> None:
    x, data, samples, width = cloud(20, 0), cloud(50, 1) + 0.5, cloud(40, 2), 0.3
    x.requires_grad_(True)
    scores = log_kde(x, data, width) - log_kde(x, samples, width)
    (difference,) = torch.autograd.grad(scores.sum(), x)
    found = anywhere(MeanShift(), x.detach(), data, samples, GaussianKernel(width=width))
    torch.testing.assert_close(found, width**2 * difference)


def test_the_field_is_that_of_finite_differences_too() -> None:
    x, data, samples, width, step = cloud(5, 0), cloud(9, 1), cloud(8, 2), 0.5, 1e-5
    found = anywhere(MeanShift(), x, data, samples, GaussianKernel(width=width))
    for axis in range(2):
        moved = torch.zeros(2, dtype=torch.float64)
        moved[axis] = step
        ends = [log_kde(x + sign * moved, data, width) - log_kde(x + sign * moved, samples, width) for sign in (1, -1)]
        torch.testing.assert_close(found[:, axis], width**2 * (ends[0] - ends[1]) / (2 * step), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("kernel", KERNELS, ids=["laplace", "gaussian"])
@pytest.mark.parametrize("field", FIELDS, ids=["mean shift", "shared affinity"])
def test_the_field_is_zero_between_equal_sets_and_changes_sign_with_them(field: DriftField, kernel: Any) -> None:
    x, data, samples = cloud(20, 0), cloud(30, 1) + 1, cloud(40, 2)
    nothing = anywhere(field, x, data, data[torch.randperm(30)], kernel)
    torch.testing.assert_close(nothing, torch.zeros_like(x), atol=1e-12, rtol=0)
    there, back = (anywhere(field, x, *sets, kernel) for sets in ((data, samples), (samples, data)))
    torch.testing.assert_close(there, -back)
    assert there.abs().max() > 0.01


def test_the_released_field_is_a_double_sum_of_affinities() -> None:
    samples, data, kernel = cloud(6, 0), cloud(4, 1), LaplaceKernel(width=0.4)
    near = (-distances(samples, torch.cat([data, samples])) / 0.4).exp()
    near[:, 4:] *= 1 - torch.eye(6)
    affinity = (near / near.sum(1, keepdim=True) * near / near.sum(0)).sqrt()
    expected = torch.zeros(6, 2, dtype=torch.float64)
    for row in range(6):
        for i in range(4):
            for j in range(6):
                expected[row] += affinity[row, i] * affinity[row, 4 + j] * (data[i] - samples[j])
    torch.testing.assert_close(SharedAffinity()(samples, data, kernel), expected)


@pytest.mark.parametrize("field", FIELDS, ids=["mean shift", "shared affinity"])
def test_no_sample_pushes_itself(field: DriftField) -> None:
    """Two samples far apart: each is pulled to the data between them and pushed by the other alone."""
    samples, data = torch.tensor([[0.0], [3.0]]), torch.tensor([[1.0], [2.0]])
    found = field(samples, data, LaplaceKernel(width=1.0))
    assert found[0] < 0 < found[1]
    torch.testing.assert_close(found[0], -found[1])


def test_images_drift_as_their_pixels_do() -> None:
    samples, data = cloud(6, 0, 1, 3, 3), cloud(5, 1, 1, 3, 3)
    for field in FIELDS:
        rows = field(samples.flatten(1), data.flatten(1), KERNELS[0])
        torch.testing.assert_close(field(samples, data, KERNELS[0]), rows.reshape(6, 1, 3, 3))


def test_near_points_keep_their_distance_in_single_precision() -> None:
    x = torch.full((30, 2), 5.0) + 1e-3 * torch.arange(30)[:, None]
    torch.testing.assert_close(distances(x, x)[0], 2**0.5 * 1e-3 * torch.arange(30.0), rtol=1e-2, atol=1e-6)


def test_fields_of_several_kernels_add_up_and_have_a_root_mean_square_of_one_where_asked() -> None:
    samples, data = cloud(30, 0), cloud(30, 1) + 1
    kernels = (LaplaceKernel(width=0.1), LaplaceKernel(width=0.5))
    each = [MeanShift()(samples, data, kernel) for kernel in kernels]
    plain = DriftingConfig(field=MeanShift(), kernels=kernels)
    torch.testing.assert_close(drift(samples, data, plain), each[0] + each[1])
    one = DriftingConfig(field=MeanShift(), kernels=kernels[:1], unit="rms")
    assert drift(samples, data, one).square().mean().item() == pytest.approx(1)


def test_the_loss_moves_samples_along_the_field_and_by_nothing_else() -> None:
    """The gradient in a sample is -2 V / D over the batch; none flows through the field."""
    training: Any = start(Drifting, DriftingConfig(**BRIEF))
    seen: dict[str, Tensor] = {}

    def keep(_module: Any, _inputs: Any, output: Tensor) -> None:
        output.register_hook(lambda gradient: seen.update(gradient=gradient, samples=output.detach()))

    training.generator.module.register_forward_hook(keep)
    batches: list[Tensor] = []
    source = training.begun.data
    training.begun = replace(training.begun, data=Kept(source, batches))
    training.step()
    expected = -drift(seen["samples"], batches[0], training.config) / len(batches[0])
    torch.testing.assert_close(seen["gradient"], expected)


class Kept:
    """Data that remember what they gave."""

    def __init__(self, source: Any, batches: list[Tensor]) -> None:
        self.source, self.batches = source, batches

    def batch(self, n: int, *, rng: Any) -> tuple[Tensor, ...]:
        found = self.source.batch(n, rng=rng)
        self.batches.append(found[0])
        return found


BRIEF: dict[str, Any] = {"batch_size": 16, "iterations": 3, "backbone": small(EDMMLP, iterations=0)}
SOLVED: dict[str, Any] = {"batch_size": 128, "iterations": 600, "lr": 3e-3, "ema_decay": 0.98}


@pytest.mark.parametrize(
    "settings",
    [{}, {"field": MeanShift(), "kernels": (GaussianKernel(width=0.2),)}],
    ids=["as released", "scores of density estimates"],
)
def test_a_gaussian_is_drawn_from_scratch(settings: dict[str, Any]) -> None:
    config = DriftingConfig(**SOLVED | {"kernels": (LaplaceKernel(width=0.2),)} | settings, backbone=BRIEF["backbone"])
    mean, covariance = errors(solve(Drifting, config))
    assert mean < 0.15
    assert covariance < 0.1


def test_a_generator_from_scratch_has_no_start_and_a_tuned_one_has() -> None:
    assert start(Drifting, DriftingConfig(**BRIEF)).model().start is None
    tuned = DriftingConfig(**BRIEF | {"backbone": small(EDMMLP, iterations=2)}, sigma_start=2.5)
    assert start(Drifting, tuned).model().start is not None


def test_a_backbone_with_classes_is_refused() -> None:
    with pytest.raises(ValidationError, match="name a backbone without classes"):
        DriftingConfig(backbone=GARMENT_EDM_CLASSES)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"batch_size": 1}, "greater than or equal to 2"),
        ({"kernels": []}, "at least 1 item"),
        ({"kernels": [{"kind": "laplace", "width": 0.0}]}, "greater than 0"),
        ({"kernels": [{"kind": "polynomial"}]}, "polynomial"),
    ],
    ids=["one sample", "no kernel", "no width", "a kernel that does not decay"],
)
def test_settings_that_make_no_field_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        DriftingConfig.model_validate(settings)
