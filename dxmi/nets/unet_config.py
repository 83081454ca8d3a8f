"""Settings that tell the UNets of the suite apart."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, nn

from dxmi.nets.layers import Initialiser
from dxmi.nets.resampling import Filter


@dataclass(frozen=True, kw_only=True, slots=True)
class UNetConfig:
    """A UNet of `width * multipliers[level]` channels at level 0 (full size), 1 (half), ...; `width` before them.

    `dropout` is off but for where `dxmi.nets.dropout.dropping` switches it on.

    Raises:
        ValueError: unless there is at least one level and one block, attention stands on levels that are there and
            its heads divide their channels.
    """

    width: int
    multipliers: tuple[int, ...]
    blocks_per_level: int
    attention_levels: tuple[int, ...]
    features: Callable[[int, Generator], nn.Module]  # of time; (channels, generator) -> module
    law: Initialiser
    eps: float  # of every group normalisation
    filter: Filter | None  # None: plain convolutions change the size, not residual blocks
    project_resampled: bool = False  # a 1x1 convolution on the shortcut wherever the size changes
    pyramid: bool = False  # a halved copy of the input is added at every level on the way down
    attend_once_going_up: bool = False  # after the last block of a level only
    head_channels: int | None = None  # None: one head
    residual_scale: float = 1.0
    scale_shift: bool = False  # conditioning scales and shifts the second normalisation; else it is added before
    feature_multiplier: int = 1
    num_classes: int = 0
    augment_channels: int = 0
    style_channels: int = 0
    dropout: float = 0.0
    precision: torch.dtype = torch.float32  # of the inside, where no autocast around it says another
    in_channels: int = 3
    out_channels: int = 3

    def __post_init__(self) -> None:
        levels = len(self.multipliers)
        if min(self.width, levels, self.blocks_per_level) < 1:
            raise ValueError(
                f"got width={self.width}, multipliers={self.multipliers}, blocks_per_level={self.blocks_per_level}; "
                "wanted at least 1 of each"
            )
        outside = [level for level in self.attention_levels if not 0 <= level < levels]
        if outside:
            raise ValueError(f"got attention on the levels {outside}; wanted some of 0 .. {levels - 1}, or none")
        attending = [self.channels(level) for level in (*self.attention_levels, levels - 1)]
        if self.head_channels and any(channels % self.head_channels for channels in attending):
            raise ValueError(
                f"got heads of {self.head_channels} channels for attention over {attending}; wanted a divisor of all, "
                "or None for one head"
            )

    @property
    def embedding_channels(self) -> int:
        return 4 * self.width

    def channels(self, level: int) -> int:
        """Channels of a level; those of the stem at level -1."""
        return self.width * self.multipliers[level] if level >= 0 else self.width

    def attends_going_up(self, level: int, index: int) -> bool:
        """True where attention follows block `index` = 0 .. blocks_per_level of a level on the way up."""
        is_last = index == self.blocks_per_level
        return level in self.attention_levels and (is_last or not self.attend_once_going_up)
