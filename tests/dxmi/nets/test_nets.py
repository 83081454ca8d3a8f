import torch

from dxmi.nets.mlp import StepMLP, Unconditional


def net(levels: int, seed: int = 0) -> StepMLP:
    generator = torch.Generator().manual_seed(seed)
    return StepMLP(dim_in=3, dim_out=2, num_levels=levels, hidden=16, depth=2, generator=generator)


def points() -> torch.Tensor:
    return torch.randn(10, 3, generator=torch.Generator().manual_seed(7))


def test_every_row_is_computed_from_its_own_point_and_step():
    x, k = points(), torch.arange(10) % 4
    whole = net(4)(x, k)
    assert whole.shape == (10, 2)
    rows = torch.cat([net(4)(x[i : i + 1], k[i : i + 1]) for i in range(10)])
    torch.testing.assert_close(rows, whole, rtol=1e-5, atol=1e-6)


def test_all_steps_are_told_apart():
    x = points()
    levels = torch.stack([net(6)(x, torch.full((10,), k)) for k in range(6)])
    gaps = (levels[:, None] - levels[None]).abs().amax(dim=(2, 3)) + torch.eye(6)
    assert (gaps > 1e-4).all()


def test_initial_weights_follow_the_generator_and_not_the_global_seed():
    def output(seed: int, global_seed: int) -> torch.Tensor:
        torch.manual_seed(global_seed)
        return net(4, seed)(points(), torch.zeros(10, dtype=torch.int64))

    assert torch.equal(output(0, 1), output(0, 2))
    assert not torch.equal(output(0, 1), output(1, 1))


def test_an_unconditional_net_is_its_single_level():
    x = points()
    assert torch.equal(Unconditional(net(1))(x), net(1)(x, torch.zeros(10, dtype=torch.int64)))
