"""The parts of a UNet in the order of its forward pass, by which official networks number theirs."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from dxmi.nets.unet_config import UNetConfig

Kind = Literal["block", "attention", "resample", "pyramid"]
Stage = Literal["down", "middle", "up"]


@dataclass(frozen=True, slots=True)
class Unit:
    """A block, its attention, or a change of size: its path in our state dict and where it stands."""

    path: str
    kind: Kind
    stage: Stage
    level: int  # 0 is full size
    index: int = 0  # of the block on its level


def units(config: UNetConfig) -> Iterator[Unit]:
    """All units; every official network runs through them in this order too."""
    bottom = len(config.multipliers) - 1
    for level in range(bottom + 1):
        if level > 0:
            yield Unit(f"down.{level}.resample", "resample", "down", level)
            if config.pyramid:
                yield Unit(f"down.{level}.pyramid", "pyramid", "down", level)
        for index in range(config.blocks_per_level):
            attends = level in config.attention_levels
            yield from _block(f"down.{level}.blocks.{index}", "down", level, index, attends=attends)
    yield from _block("middle.0", "middle", bottom, 0, attends=True)
    yield from _block("middle.1", "middle", bottom, 1, attends=False)
    for position, level in enumerate(range(bottom, -1, -1)):
        if position > 0:
            yield Unit(f"up.{position}.resample", "resample", "up", level)
        for index in range(config.blocks_per_level + 1):
            attends = config.attends_going_up(level, index)
            yield from _block(f"up.{position}.blocks.{index}", "up", level, index, attends=attends)


def _block(path: str, stage: Stage, level: int, index: int, *, attends: bool) -> Iterator[Unit]:
    yield Unit(path, "block", stage, level, index)
    if attends:
        yield Unit(f"{path}.attention", "attention", stage, level, index)
