import numpy as np
import torch

from dxbench.api.streams import RandomStreams, derive_seed


def test_derived_seeds_are_the_same_for_ever():
    """Literals: a change here moves every number of the suite."""
    assert derive_seed("gaussians8@1", "test", 0) == 4044491059503422422
    assert derive_seed("sw2", "projections", 4) == 1094092124379661820
    assert derive_seed("a") == 3649569658711240562


def test_derived_seeds_are_62_bit_integers():
    seeds = [derive_seed("name", i) for i in range(2000)]
    assert all(0 <= seed < 2**62 for seed in seeds)
    assert len(set(seeds)) == 2000
    ones = np.array([[seed >> bit & 1 for bit in range(62)] for seed in seeds]).mean(axis=0)
    assert (np.abs(ones - 0.5) < 5 * 0.5 / np.sqrt(2000)).all()


def test_names_that_only_join_to_the_same_text_have_other_seeds():
    paths = [("ab", "c"), ("a", "bc"), ("abc",), ("a", "b", "c"), ("abc", ""), ("", "abc"), (1, 11), (11, 1), (111,)]
    assert len({derive_seed(*path) for path in paths}) == len(paths)


def test_streams_differ_by_name_and_by_scope_and_not_by_order_of_use():
    def draws(scope: str, *names: str) -> dict[str, tuple[float, float]]:
        streams = RandomStreams(scope, 0)
        return {
            name: (torch.rand((), generator=streams.torch(name)).item(), streams.numpy(name).random()) for name in names
        }

    first = draws("run", "data", "noise")
    assert draws("run", "noise", "init", "data")["data"] == first["data"]
    numbers = [*first.values(), *draws("other", "data", "noise").values()]
    assert len({number for pair in numbers for number in pair}) == 8


def test_global_seeds_are_irrelevant():
    def draw(global_seed: int) -> tuple[float, float]:
        torch.manual_seed(global_seed)
        np.random.seed(global_seed)  # noqa: NPY002 - the global seed has to be irrelevant
        streams = RandomStreams("run")
        return torch.rand((), generator=streams.torch("a")).item(), streams.numpy("a").random()

    assert draw(0) == draw(1)


def test_a_name_gives_one_generator_that_runs_on():
    streams = RandomStreams("run")
    assert streams.torch("a") is streams.torch("a")
    assert streams.numpy("a") is streams.numpy("a")
    assert streams.numpy("a").random() != streams.numpy("a").random()
    assert streams.seed("a") == derive_seed("run", "a")


def test_state_comes_back():
    def draws(streams: RandomStreams) -> list[float]:
        return [
            *torch.randn(3, generator=streams.torch("a")).tolist(),
            *streams.numpy("b").standard_normal(3).tolist(),
            streams.numpy("unused before").random(),
        ]

    streams = RandomStreams("run")
    streams.torch("a"), streams.numpy("b")
    torch.rand(5, generator=streams.torch("a"))
    streams.numpy("b").standard_normal(5)
    state = streams.state_dict()
    expected = draws(streams)
    resumed = RandomStreams("run")
    resumed.load_state_dict(state)
    assert draws(resumed) == expected
    assert draws(RandomStreams("run")) != expected
    streams.load_state_dict(state)
    assert draws(streams)[:6] == expected[:6]


def test_common_streams_are_those_of_every_method_at_one_training_seed():
    one, other = RandomStreams("ddpm", "digits", 3), RandomStreams("dxmi", "digits", 3)
    assert one.common is one.common
    assert one.common.seed("backbone") == other.common.seed("backbone")
    assert one.common.seed("backbone") != one.seed("backbone")
    assert one.common.seed("backbone") != RandomStreams("ddpm", "digits", 4).common.seed("backbone")
    draws = torch.randn(3, generator=one.common.torch("a"))
    assert torch.equal(draws, torch.randn(3, generator=other.common.torch("a")))


def test_parts_have_common_streams_of_their_own_that_travel_with_the_whole():
    one, other = RandomStreams("ddpm", "set", 3), RandomStreams("dxmi", "set", 3)
    a, b = one.within("a").common, one.within("b").common
    assert a.seed("backbone") == other.within("a").common.seed("backbone")
    assert len({a.seed("backbone"), b.seed("backbone"), one.common.seed("backbone")}) == 3
    torch.rand(5, generator=a.torch("x"))
    state = one.state_dict()
    expected = torch.rand(3, generator=a.torch("x"))
    other.load_state_dict(state)
    assert torch.equal(torch.rand(3, generator=other.within("a").common.torch("x")), expected)


def test_state_of_common_streams_comes_back():
    streams = RandomStreams("dxmi", "digits", 0)
    torch.rand(5, generator=streams.common.torch("a"))
    state = streams.state_dict()
    expected = torch.rand(3, generator=streams.common.torch("a"))
    resumed = RandomStreams("dxmi", "digits", 0)
    resumed.load_state_dict(state)
    assert torch.equal(torch.rand(3, generator=resumed.common.torch("a")), expected)
    assert not torch.equal(torch.rand(3, generator=RandomStreams("dxmi", "digits", 0).common.torch("a")), expected)
