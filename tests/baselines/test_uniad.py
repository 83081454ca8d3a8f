"""The masked transformer: what a token may see, and that defects are not rebuilt."""

import numpy as np
import pytest
import torch
from dxbench_baselines.uniad import Attention, Dropping, Rebuilder, UniADConfig, UniADTraining, neighbour_mask

from dxbench.api import Compute, Problem
from dxbench.api.streams import RandomStreams
from dxbench.metrics.detection.ranking import auroc
from dxbench.tasks.detection import PatchSet

SMALL = {"hidden": 16, "layers": 1, "heads": 2, "neighbourhood": 3, "batch_size": 4}
GRID = (6, 6)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(n: int, seed: int) -> torch.Tensor:
    """[n, 6, 6, 8]: a smooth pattern of each image's own, in four of eight features."""
    phase = 6.28 * torch.rand((n, 1, 1, 1), generator=generator(seed))
    row, column = torch.meshgrid(torch.arange(6.0), torch.arange(6.0), indexing="ij")
    waves = [0.5 * row, 0.5 * column, 0.5 * (row + column), 0.3 * row]
    pattern = torch.stack([(wave[None] + phase[..., 0]).cos() for wave in waves], dim=-1)
    return torch.cat([pattern, torch.zeros_like(pattern)], dim=-1)


def training(seed: int = 0, *, data: torch.Tensor | None = None, **settings: object) -> UniADTraining:
    points = (images(40, 0) if data is None else data).reshape(-1, 8)
    problem = Problem(task="t", event_shape=(8,), data=PatchSet(points=points, grid=GRID), data_std=0.5)
    config = UniADConfig(**(SMALL | settings))  # type: ignore[arg-type]
    return UniADTraining(problem, config, Compute(device="cpu", threads=1), RandomStreams("test", seed))


def test_a_patch_does_not_see_the_square_around_it() -> None:
    seen = neighbour_mask((4, 5), 3).reshape(4, 5, 4, 5)
    assert not seen[1, 2, 0:3, 1:4].any()
    assert int(seen[1, 2].sum()) == 20 - 9
    assert int(seen[0, 0].sum()) == 20 - 4
    assert neighbour_mask((2, 2), 7).all()  # rather than nothing at all
    assert int(neighbour_mask((3, 3), 0).sum()) == 81 - 9  # only itself is hidden


def test_attention_equals_the_formula_and_obeys_its_mask() -> None:
    attention, seen = Attention(6, 2, generator()), neighbour_mask((2, 4), 3)
    x = torch.randn((3, 8, 6), generator=generator(1))
    q, k, v = (layer(x).reshape(3, 8, 2, 3) for layer in (attention.query, attention.key, attention.value))
    scores = torch.einsum("bihc,bjhc->bhij", q, k) / 3**0.5
    weights = scores.masked_fill(~seen, -torch.inf).softmax(-1)
    wanted = attention.output(torch.einsum("bhij,bjhc->bihc", weights, v).flatten(2))
    torch.testing.assert_close(attention(x, x, x, seen), wanted)


def test_with_one_layer_and_no_encoder_a_rebuilt_patch_does_not_depend_on_its_neighbours() -> None:
    net = Rebuilder(UniADConfig(hidden=16, layers=1, heads=2, neighbourhood=3), GRID, 8, generator())
    net.encoder = torch.nn.ModuleList()
    x = torch.randn((1, *GRID, 8), generator=generator(1), requires_grad=True)
    (gradient,) = torch.autograd.grad(net(x, Dropping(0.0))[0, 2, 3].sum(), x)
    reached = gradient[0].abs().sum(-1) > 0
    assert not reached[1:4, 2:5].any()
    assert int(reached.sum()) == 36 - 9


def test_defects_are_rebuilt_worse_than_what_is_normal() -> None:
    train = training(iterations=250, lr=3e-3, jitter=4.0)
    losses = [float(train.step()["error"]) for _ in range(train.total_steps)]
    assert np.mean(losses[-20:]) < 0.5 * np.mean(losses[:20])
    test, defect = images(20, 5), torch.zeros((20, *GRID), dtype=torch.bool)
    defect[:, 2:4, 1:3] = True
    test[defect] = torch.randn((int(defect.sum()), 8), generator=generator(6))
    with torch.no_grad():
        maps = train.model().maps(test)
    assert auroc(maps[~defect].numpy(), maps[defect].numpy()) > 0.9


def test_patches_that_know_nothing_of_each_other_are_not_rebuilt_at_all() -> None:
    """As those of `mvtec_synthetic`: the best guess is the mean, whose error is a patch's own length."""
    shuffled = images(40, 0).reshape(-1, 8)[torch.randperm(40 * 36, generator=generator(7))]
    train = training(data=shuffled, iterations=120, lr=3e-3, jitter=4.0)
    losses = [float(train.step()["error"]) for _ in range(train.total_steps)]
    assert np.mean(losses[-20:]) > 0.9 * float(shuffled.var(dim=0, correction=0).mean())


def test_resumed_equals_uninterrupted_and_seeds_differ() -> None:
    whole, first = training(), training()
    after = [float(whole.step()["error"]) for _ in range(9)]
    for _ in range(4):
        first.step()
    second = training()
    second.load_state_dict(first.state_dict())
    second.generator.set_state(first.generator.get_state())
    second.rng.bit_generator.state = first.rng.bit_generator.state
    assert [float(second.step()["error"]) for _ in range(5)] == after[4:]
    assert float(training(1).step()["error"]) != after[0]


def test_heads_that_do_not_divide_the_width_are_named() -> None:
    with pytest.raises(ValueError, match="hidden=10 is no multiple of heads=4"):
        training(hidden=10, heads=4)


def test_dropout_is_silent_without_a_generator_and_keeps_the_mean_with_one() -> None:
    x = torch.ones(200, 200)
    assert torch.equal(Dropping(0.3)(x), x)
    dropped = Dropping(0.3, generator())(x)
    assert float((dropped == 0).float().mean()) == pytest.approx(0.3, abs=0.02)
    assert float(dropped.mean()) == pytest.approx(1.0, abs=0.03)
