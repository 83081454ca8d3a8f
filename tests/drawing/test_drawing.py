from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dxbench.api import Model
from dxbench.drawing.counting import OperationCounter, counted_passes
from dxbench.drawing.draw import count_parameters, draw_samples, energy_function, sampling_flops


def silent(_: str) -> None:
    pass


class Stub:
    """Samples (seed, passes through the net ...) by `steps` steps of `passes` forward passes each."""

    def __init__(self, *, steps: int = 1, passes: int = 1, change: Callable[[Tensor], Tensor] | None = None) -> None:
        self.net = nn.Linear(2, 2, bias=False)
        nn.init.eye_(self.net.weight)
        self.networks = (self.net,)
        self.steps, self.passes = steps, passes
        self.change = change or (lambda x: x)
        self.batches: list[list[int]] = []

    @property
    def model(self) -> Model:
        return Model(networks=self.networks, sampler=self.sample)

    def sample(self, seeds: Tensor) -> Tensor:
        self.batches.append(seeds.tolist())
        x = torch.stack([seeds.float(), -seeds.float()], dim=1)
        for _ in range(self.steps):
            for _ in range(self.passes):
                x = self.net(x)
        return self.change(x)


def draw(stub: Stub, n: int = 10, *, batch_size: int = 4, first_seed: int = 100) -> tuple[np.ndarray, float]:
    return draw_samples(stub.model, n, event_shape=(2,), first_seed=first_seed, batch_size=batch_size, progress=silent)


def test_sample_i_has_the_first_seed_plus_i_whatever_the_batches():
    stub = Stub()
    samples, _ = draw(stub)
    assert stub.batches == [[100, 101, 102, 103], [104, 105, 106, 107], [108, 109]]
    assert samples.tolist() == [[100.0 + i, -100.0 - i] for i in range(10)]
    assert np.array_equal(draw(Stub(), batch_size=7)[0], samples)


def test_seeds_are_64_bit():
    model = Stub()
    draw(model, 2, first_seed=2**61 + 1)
    assert model.batches == [[2**61 + 1, 2**61 + 2]]


@pytest.mark.parametrize(("steps", "passes", "nfe"), [(1, 1, 1), (5, 1, 5), (5, 2, 10), (0, 1, 0)])
@pytest.mark.parametrize("batch_size", [3, 100])
def test_nfe_is_counted_by_forward_passes_per_sample(steps, passes, nfe, batch_size):
    assert draw(Stub(steps=steps, passes=passes), batch_size=batch_size)[1] == nfe


def test_passes_of_every_listed_network_count_and_of_no_other():
    listed, unlisted = nn.Linear(2, 2), nn.Linear(2, 2)
    with counted_passes([listed]) as counter:
        listed(torch.zeros(7, 2))
        unlisted(torch.zeros(5, 2))
        assert counter.rows == 7
    listed(torch.zeros(7, 2))
    assert counter.rows == 7
    with counted_passes([listed, unlisted]) as both:
        listed(torch.zeros(7, 2))
        unlisted(torch.zeros(5, 2))
    assert both.rows == 12


def test_a_gradient_is_a_forward_and_a_backward_pass():
    net = nn.Linear(2, 1)
    with torch.no_grad(), counted_passes([net]) as counter:
        net(torch.zeros(7, 2))
        assert (counter.rows, counter.backward, counter.total) == (7, 0, 7)
        with torch.enable_grad():
            x = torch.zeros(5, 2, requires_grad=True)
            torch.autograd.grad(net(x).sum(), x)
        assert (counter.rows, counter.backward, counter.total) == (12, 5, 17)
        with torch.enable_grad():
            kept = net(torch.zeros(3, 2, requires_grad=True))
    kept.sum().backward()
    assert counter.total == 20, "nothing is counted any more"


def test_hooks_are_removed_after_an_error():
    model = Stub(change=lambda x: x[:, :1])
    with pytest.raises(ValueError, match="wanted samples of shape"):
        draw(model)
    assert not model.net._forward_hooks


@pytest.mark.parametrize(
    "change",
    [lambda x: x[:, :1], lambda x: x[:-1], lambda x: x[:, :, None], lambda x: x.flatten()],
    ids=["short event", "short batch", "extra axis", "flat"],
)
def test_samples_of_another_shape_are_refused(change):
    with pytest.raises(ValueError, match=r"wanted samples of shape \(4, 2\)"):
        draw(Stub(change=change))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_samples_that_are_not_finite_are_refused_and_counted(bad):
    def spoil(x: Tensor) -> Tensor:
        return torch.where(x[:, :1] % 5 == 0, bad, x)

    with pytest.raises(ValueError, match="2 of 10 samples are not finite"):
        draw(Stub(change=spoil))


def test_drawing_keeps_no_gradient():
    samples, _ = draw(Stub())
    assert isinstance(samples, np.ndarray)
    assert samples.dtype == np.float32


class Bowl:
    def __init__(self, change: Callable[[Tensor], Tensor] = lambda e: e) -> None:
        self.change = change
        self.sizes: list[int] = []

    def energy(self, x: Tensor) -> Tensor:
        assert x.dtype == torch.float32
        assert not torch.is_grad_enabled()
        self.sizes.append(len(x))
        return self.change(x.square().sum(dim=1))


def test_energies_are_float64_and_those_of_each_row_whatever_the_batches():
    x, model = np.random.default_rng(0).standard_normal((10, 2)), Bowl()
    energies = energy_function(model.energy, device="cpu", batch_size=4)(x)
    assert model.sizes == [4, 4, 2]
    assert energies.dtype == np.float64
    np.testing.assert_allclose(energies, (x**2).sum(axis=1), rtol=1e-6)


@pytest.mark.parametrize(
    "change",
    [lambda e: e[:, None], lambda e: e[:-1], lambda e: e * torch.nan, lambda e: e / 0],
    ids=["column", "short", "nan", "infinite"],
)
def test_energies_of_another_shape_or_not_finite_are_refused(change):
    energy = energy_function(Bowl(change).energy, device="cpu", batch_size=4)
    with pytest.raises(ValueError, match=r"finite and of shape \(10,\)"):
        energy(np.ones((10, 2)))


def test_parameters_are_counted_over_all_networks():
    model = Stub()
    model.networks = (nn.Linear(3, 5), nn.Linear(2, 2, bias=False))
    assert count_parameters(model.model) == 3 * 5 + 5 + 4


@pytest.mark.parametrize(("steps", "passes"), [(1, 1), (5, 2)])
def test_flops_are_those_of_one_sample(steps, passes):
    assert sampling_flops(Stub(steps=steps, passes=passes).model) == steps * passes * 2 * 2 * 2


def test_operations_are_those_that_torch_counts() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    net = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3), torch.nn.Flatten(), torch.nn.Linear(5 * 6 * 6, 7))
    x = torch.zeros(4, 3, 8, 8)
    with torch.no_grad(), FlopCounterMode(display=False) as theirs:
        net(x)
    with torch.no_grad(), OperationCounter() as ours:
        net(x)
    assert ours.forward == theirs.get_total_flops() > 0
    assert ours.backward == 0


def test_operations_of_a_sampler_that_takes_gradients_are_counted() -> None:
    net = torch.nn.Linear(2, 1)

    def guided(seeds: torch.Tensor) -> torch.Tensor:
        with torch.enable_grad():
            x = torch.ones(len(seeds), 2, requires_grad=True)
            (gradient,) = torch.autograd.grad(net(x).sum(), x)
        return x.detach() - gradient

    forward, backward = 2 * 2, 2 * 2
    assert sampling_flops(Model(networks=(net,), sampler=guided)) == forward + backward


def by_class() -> Model:
    """Draws (seed, label)."""
    net = Stub().net

    def draw(seeds: Tensor, labels: Tensor) -> Tensor:
        return net(torch.stack([seeds.float(), labels.float()], dim=1))

    return Model(networks=(net,), sampler=draw, num_classes=3)


def test_sample_i_has_label_i_whatever_the_batches():
    labels = np.arange(10) % 3
    options = {"event_shape": (2,), "first_seed": 100, "progress": silent, "labels": labels}
    samples, nfe = draw_samples(by_class(), 10, batch_size=4, **options)
    assert samples.tolist() == [[100.0 + i, i % 3] for i in range(10)]
    assert nfe == 1
    assert np.array_equal(draw_samples(by_class(), 10, batch_size=7, **options)[0], samples)
    assert sampling_flops(by_class()) == sampling_flops(Stub().model)


@pytest.mark.parametrize(
    ("model", "labels", "words"),
    [
        (Stub().model, [0, 1], r"the model is unconditional; give it num_classes and a sampler\(seeds, labels\)"),
        (by_class(), None, "the model draws samples of 3 classes, but the task has no classes"),
        (by_class(), [0, 3], "1 of 2 labels are out of range, the first 3; the model knows classes 0 .. 2"),
        (by_class(), [-1, 1], "1 of 2 labels are out of range, the first -1"),
    ],
)
def test_labels_and_models_that_do_not_fit_are_refused(model, labels, words):
    options = {"event_shape": (2,), "first_seed": 0, "batch_size": 4, "progress": silent}
    with pytest.raises(ValueError, match=words):
        draw_samples(model, 2, **options, labels=None if labels is None else np.array(labels))


def test_labels_are_whole_numbers_one_per_sample():
    with pytest.raises(ValueError, match="wanted int64 labels"):
        by_class().sample(torch.arange(2), torch.zeros(2))
    with pytest.raises(ValueError, match="wanted int64 labels"):
        by_class().sample(torch.arange(2), torch.zeros(3, dtype=torch.int64))
