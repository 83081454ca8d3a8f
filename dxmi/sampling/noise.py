"""Counter-based Gaussian noise: every sample owns a seed, so batches can be cut anywhere.

Philox4x32-10 of Salmon et al. 2011 ("Parallel random numbers: as easy as 1, 2, 3", SC'11), written in
int64 tensor arithmetic so that it gives the same bits on every device and for every batch size.
"""

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Int
from torch import Generator, Tensor

from dxmi.arrays import Points, SampleSeeds

_MASK = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10


@runtime_checkable
class Noise(Protocol):
    """Standard normal draws for one batch of chains."""

    def normal(self, draw: int) -> Points:
        """Draw number `draw` (0 = start of the chain, k + 1 = step k), shape [b, *event]."""
        ...


def philox4x32(counter: tuple[Tensor, ...], key: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Philox4x32-10: four 32-bit counter words and two key words to four random words (int64)."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        # A product of two 32-bit words may wrap to a negative int64; masking after the arithmetic
        # shift restores the unsigned high word.
        p0, p1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            ((p1 >> 32) & _MASK) ^ c1 ^ k0,
            p1 & _MASK,
            ((p0 >> 32) & _MASK) ^ c3 ^ k1,
            p0 & _MASK,
        )
        k0, k1 = (k0 + _WEYL[0]) & _MASK, (k1 + _WEYL[1]) & _MASK
    return c0, c1, c2, c3


def _uniform(word: Tensor) -> Tensor:
    """A 32-bit word to the open interval (0, 1), float64."""
    return (word.to(torch.float64) + 0.5) * 2.0**-32


def candidate_seeds(seeds: SampleSeeds, count: int) -> Int[Tensor, "b {count}"]:
    """Seeds of `count` candidates for each sample, of 63 bits."""
    candidate = torch.arange(count, device=seeds.device)[None, :].expand(len(seeds), -1)
    zero = torch.zeros((), dtype=torch.int64, device=seeds.device)
    # The last word is 0 in the counters of `SeededNoise`, so that no noise of the sample is used twice.
    key = (seeds[:, None] & _MASK, (seeds[:, None] >> 32) & _MASK)
    high, low, *_ = philox4x32((candidate, zero, zero, zero + 1), key)
    return (high >> 1 << 32) | low


@dataclass(frozen=True, kw_only=True, slots=True)
class SeededNoise:
    """Noise of each sample from the sample's own 64-bit seed: independent of batch and world size."""

    seeds: SampleSeeds
    event_shape: tuple[int, ...]
    dtype: torch.dtype = torch.float32

    def normal(self, draw: int) -> Points:
        size = math.prod(self.event_shape)
        blocks = -(-size // 4)
        seeds = self.seeds[:, None]
        block = torch.arange(blocks, device=seeds.device)[None, :]
        zero = torch.zeros((), dtype=torch.int64, device=seeds.device)
        words = philox4x32(
            (block.expand(len(self.seeds), -1), zero + draw, zero, zero),
            (seeds & _MASK, (seeds >> 32) & _MASK),
        )
        u0, u1, u2, u3 = (_uniform(word) for word in words)
        r0, r1 = torch.sqrt(-2.0 * torch.log(u0)), torch.sqrt(-2.0 * torch.log(u2))
        a0, a1 = 2.0 * math.pi * u1, 2.0 * math.pi * u3
        normals = torch.stack([r0 * a0.cos(), r0 * a0.sin(), r1 * a1.cos(), r1 * a1.sin()], dim=-1)
        return normals.reshape(len(self.seeds), -1)[:, :size].reshape(-1, *self.event_shape).to(self.dtype)


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamNoise:
    """Noise from one running generator: for training, where a batch is never cut again."""

    batch_size: int
    event_shape: tuple[int, ...]
    generator: Generator
    dtype: torch.dtype = torch.float32

    def normal(self, draw: int) -> Points:
        shape = (self.batch_size, *self.event_shape)
        return torch.randn(shape, generator=self.generator, device=self.generator.device, dtype=self.dtype)


@dataclass(frozen=True, kw_only=True, slots=True)
class NoiseOfRows:
    """Some rows of another noise, which is drawn whole: where it runs on from draw to draw, it does so for all rows."""

    noise: Noise
    rows: slice

    def normal(self, draw: int) -> Points:
        return self.noise.normal(draw)[self.rows]


@dataclass(frozen=True, kw_only=True, slots=True)
class SilencedNoise:
    """Another noise with one draw left out: zeros stand there."""

    noise: Noise
    silent: int

    def normal(self, draw: int) -> Points:
        drawn = self.noise.normal(draw)
        return torch.zeros_like(drawn) if draw == self.silent else drawn
