"""Weights and inputs by formula, small official networks and their outputs, shared by the tests of nets."""

import gzip
import json
import math
import zlib
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch
from torch import Generator, Tensor, nn

from dxmi import checkpoints
from dxmi.checkpoints import Conversion
from dxmi.nets.ddgan import DDGANGenerator
from dxmi.nets.energy_resnet import EnergyResNet
from dxmi.nets.presets import (
    ADM_IMAGENET64,
    ADM_LSUN256,
    DDGAN_CIFAR10,
    DDPM_CIFAR10,
    DDPMPP_CIFAR10,
    NCSNPP_CIFAR10,
)
from dxmi.nets.unet import UNet

KEYS = Path(__file__).parent / "official_keys"
Shapes = dict[str, tuple[int, ...]]


def by_formula(name: str, shape: tuple[int, ...]) -> Tensor:
    """Values that depend on the name and the position only, of the size trained weights have."""
    i = torch.arange(math.prod(shape), dtype=torch.float64)
    wave = torch.sin(0.73 * i * (1 + i % 7) + zlib.crc32(name.encode()) % 1000).reshape(shape)
    if name.endswith("freqs"):
        return wave
    if len(shape) >= 2:
        return 1.5 * wave / math.sqrt(math.prod(shape[1:]))
    return 0.2 * wave + (1.0 if name.endswith("weight") else 0.0)


def official_shapes(name: str, folder: str = "full") -> Shapes:
    """Names and shapes of an official network's state dict."""
    text = gzip.decompress((KEYS / folder / f"{name}.txt.gz").read_bytes()).decode()
    pairs = (line.partition(" ") for line in text.splitlines())
    return {key: tuple(int(n) for n in shape.split("x")) if shape else () for key, _, shape in pairs}


def official_output(name: str) -> Tensor:
    """What the official code gives for the small network of that name (see official_keys/README.md)."""
    return torch.tensor(json.loads((KEYS / "outputs.json").read_text(encoding="utf-8"))[name], dtype=torch.float64)


def generator(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


@dataclass(frozen=True)
class Case:
    """A small network of one official kind, with its inputs."""

    net: nn.Module
    conversion: Conversion
    inputs: dict[str, Tensor]


def _inputs(size: int, **more: Tensor) -> dict[str, Tensor]:
    return {"x": by_formula("x", (2, 3, size, size)), **more}


def small(name: str) -> Case:
    """The small network whose official twin gave `official_output(name)`, its weights still drawn."""
    level = torch.tensor([-1.2, 0.4], dtype=torch.float64)
    labels = torch.tensor([1, 3])
    augment = by_formula("aug", (2, 9))
    if name == "fastdpm_cifar10":
        config = replace(DDPM_CIFAR10, multipliers=(1, 2), blocks_per_level=1)
        inputs = _inputs(8, time=torch.tensor([3.25, 700.5], dtype=torch.float64))
        return Case(UNet(config, generator=generator()), checkpoints.fastdpm(config), inputs)
    if name in ("edm_ddpmpp", "edm_ncsnpp"):
        preset = DDPMPP_CIFAR10 if name == "edm_ddpmpp" else NCSNPP_CIFAR10
        config = replace(preset, width=16, blocks_per_level=2)
        inputs = _inputs(16, time=level, augment=augment)
        return Case(UNet(config, generator=generator()), checkpoints.edm_song(config, size=16), inputs)
    if name == "edm_adm":
        config = replace(
            ADM_IMAGENET64,
            width=32,
            multipliers=(1, 2, 3),
            blocks_per_level=2,
            attention_levels=(1, 2),
            head_channels=16,
            num_classes=5,
        )
        inputs = _inputs(16, time=level, labels=labels)
        return Case(UNet(config, generator=generator()), checkpoints.edm_adm(config, size=16), inputs)
    if name in ("cm_imagenet64", "cm_lsun256"):
        preset = ADM_IMAGENET64 if name == "cm_imagenet64" else ADM_LSUN256
        config = replace(preset, width=128, multipliers=(1, 1), blocks_per_level=1, attention_levels=(1,))
        config = replace(config, num_classes=5 if config.num_classes else 0)
        inputs = _inputs(8, time=1000.0 * level, **({"labels": labels} if config.num_classes else {}))
        return Case(UNet(config, generator=generator()), checkpoints.consistency_models(config), inputs)
    if name == "ddgan_cifar10":
        config = replace(DDGAN_CIFAR10, width=16, multipliers=(1, 2, 2), style_channels=24)
        inputs = _inputs(16, time=torch.tensor([0, 3]), z=by_formula("z", (2, 10)))
        net = DDGANGenerator(config, generator=generator(), latent_channels=10)
        return Case(net, checkpoints.ddgan(config, latent_channels=10), inputs)
    assert name == "dxmi_value"
    return Case(EnergyResNet(generator=generator(), width=16), checkpoints.dxmi_value(width=16), _inputs(16))


SMALL = (
    "fastdpm_cifar10",
    "edm_ddpmpp",
    "edm_ncsnpp",
    "edm_adm",
    "cm_imagenet64",
    "cm_lsun256",
    "ddgan_cifar10",
    "dxmi_value",
)


@cache
def official_state(name: str) -> dict[str, Tensor]:
    """The weights by formula of a small official network."""
    return {key: by_formula(key, shape) for key, shape in official_shapes(name, "small").items()}


def converted(name: str) -> Case:
    """The small network in float64 with the weights that its official twin had."""
    case = small(name)
    case.net.double().load_state_dict(case.conversion(official_state(name)))
    return case
