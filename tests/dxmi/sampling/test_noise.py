import math

import pytest
import torch
from scipy import stats

from dxmi.sampling.noise import Noise, SeededNoise, SilencedNoise, StreamNoise, philox4x32

FULL = 0xFFFFFFFF
# Random123's kat_vectors for philox4x32-10: counter, key, words.
KNOWN_ANSWERS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((FULL,) * 4, (FULL,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


def words(*values: int) -> tuple[torch.Tensor, ...]:
    return tuple(torch.tensor([value], dtype=torch.int64) for value in values)


def normals(seeds: torch.Tensor, event_shape: tuple[int, ...], draw: int) -> torch.Tensor:
    return SeededNoise(seeds=seeds, event_shape=event_shape, dtype=torch.float64).normal(draw)


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_philox_gives_the_known_answers_of_random123(counter, key, answer):
    assert philox4x32(words(*counter), words(*key)) == words(*answer)


def test_philox_works_row_by_row():
    counters = tuple(torch.tensor(column) for column in zip(*(c for c, _, _ in KNOWN_ANSWERS), strict=True))
    keys = tuple(torch.tensor(column) for column in zip(*(k for _, k, _ in KNOWN_ANSWERS), strict=True))
    got = torch.stack(philox4x32(counters, keys), dim=1)
    assert got.tolist() == [list(answer) for _, _, answer in KNOWN_ANSWERS]


@pytest.mark.parametrize("draw", [0, 7])
def test_seeded_noise_is_standard_normal(draw):
    x = normals(torch.arange(20_000), (5,), draw).flatten()
    n = len(x)
    assert abs(x.mean()) < 5 / math.sqrt(n)
    assert abs(x.square().mean() - 1) < 5 * math.sqrt(2 / n)
    assert abs((x**3).mean()) < 5 * math.sqrt(15 / n)
    assert abs((x**4).mean() - 3) < 5 * math.sqrt(96 / n)
    # 5.7e-7 is the two-sided probability of 5 standard errors.
    assert stats.kstest(x.numpy(), "norm").pvalue > 5.7e-7


def test_seeded_noise_is_independent_across_dimensions_draws_and_seeds():
    seeds = torch.arange(20_000)
    columns = torch.cat([normals(seeds, (6,), draw) for draw in range(3)], dim=1)
    columns = torch.cat([columns, columns.roll(1, dims=0)], dim=1)  # the neighbouring seed's
    for values in (columns, columns.square()):  # squares: Box-Muller pairs share a radius
        off_diagonal = torch.corrcoef(values.T) - torch.eye(values.shape[1], dtype=torch.float64)
        # 630 pairs: 6 standard errors leave a chance of 1e-6.
        assert off_diagonal.abs().max() < 6 / math.sqrt(len(seeds))


def test_no_value_of_seeded_noise_comes_twice():
    x = torch.stack([normals(torch.arange(500), (3, 5), draw) for draw in range(4)])
    assert len(x.unique()) == x.numel()


@pytest.mark.parametrize("event_shape", [(1,), (2,), (3,), (5,), (3, 5, 7)])
def test_cutting_the_batch_changes_no_bit(event_shape):
    seeds = torch.randint(2**62, (257,), generator=torch.Generator().manual_seed(0))
    whole = SeededNoise(seeds=seeds, event_shape=event_shape).normal(3)
    for size in (1, 2, 3, 64, 200):
        parts = [SeededNoise(seeds=part, event_shape=event_shape).normal(3) for part in seeds.split(size)]
        assert torch.equal(torch.cat(parts), whole)
    order = torch.randperm(257, generator=torch.Generator().manual_seed(1))
    assert torch.equal(SeededNoise(seeds=seeds[order], event_shape=event_shape).normal(3), whole[order])


@pytest.mark.parametrize("bit", [0, 1, 31, 32, 45, 61])
def test_seeds_that_differ_in_one_bit_give_other_noise(bit):
    seed = 0x1234_5678_9ABC_DEF0
    ours, other = normals(torch.tensor([seed, seed ^ (1 << bit)]), (4,), 0)
    assert (ours != other).all()


def test_the_same_seed_and_draw_give_the_same_noise_whatever_the_global_seed():
    seeds = torch.arange(10)
    torch.manual_seed(1)
    first = normals(seeds, (3,), 2)
    torch.manual_seed(2)
    assert torch.equal(normals(seeds, (3,), 2), first)
    assert (normals(seeds, (3,), 1) != first).all()
    assert (normals(seeds + 10, (3,), 2) != first).all()


@pytest.mark.parametrize("event_shape", [(1,), (7,), (2, 3), (1, 5, 5)])
def test_seeded_noise_has_the_event_shape_in_row_major_order(event_shape):
    seeds = torch.arange(4)
    x = normals(seeds, event_shape, 0)
    assert x.shape == (4, *event_shape)
    assert torch.equal(x.flatten(1), normals(seeds, (math.prod(event_shape),), 0))


def test_seeded_noise_has_the_dtype_asked_for():
    seeds = torch.arange(4)
    single = SeededNoise(seeds=seeds, event_shape=(3,)).normal(0)
    assert single.dtype == torch.float32
    assert torch.equal(single, normals(seeds, (3,), 0).float())


@pytest.mark.parametrize("word", [0, FULL])
def test_the_extreme_words_give_finite_noise(word, monkeypatch):
    monkeypatch.setattr("dxmi.sampling.noise.philox4x32", lambda counter, key: (torch.full((2, 1), word),) * 4)
    assert torch.isfinite(normals(torch.arange(2), (4,), 0)).all()


def test_stream_noise_follows_its_generator_alone():
    def draws(seed: int, global_seed: int) -> torch.Tensor:
        torch.manual_seed(global_seed)
        generator = torch.Generator().manual_seed(seed)
        noise = StreamNoise(batch_size=6, event_shape=(2, 3), generator=generator, dtype=torch.float64)
        return torch.stack([noise.normal(0), noise.normal(0)])

    first = draws(0, 1)
    assert first.shape == (2, 6, 2, 3)
    assert first.dtype == torch.float64
    assert (first[0] != first[1]).all()
    assert torch.equal(draws(0, 2), first)
    assert (draws(1, 1) != first).all()


def test_stream_noise_is_standard_normal():
    noise = StreamNoise(batch_size=100_000, event_shape=(2,), generator=torch.Generator().manual_seed(0))
    assert stats.kstest(noise.normal(0).flatten().numpy(), "norm").pvalue > 5.7e-7


def test_silenced_noise_leaves_out_one_draw_alone():
    noise = SeededNoise(seeds=torch.arange(5), event_shape=(3,))
    silenced = SilencedNoise(noise=noise, silent=2)
    assert isinstance(silenced, Noise)
    assert torch.equal(silenced.normal(2), torch.zeros(5, 3))
    assert all(torch.equal(silenced.normal(draw), noise.normal(draw)) for draw in (0, 1, 3))
