"""Layouts of the official UNets."""

from collections.abc import Iterator, Mapping
from functools import partial

import torch
from torch import Generator, Tensor

from dxmi.checkpoints.conversion import Conversion, Origin
from dxmi.checkpoints.layout import Part, Parts, origins, renamed
from dxmi.checkpoints.units import Kind, Unit, units
from dxmi.nets.ddgan import DDGANGenerator
from dxmi.nets.presets import ADM_IMAGENET64, DDGAN_CIFAR10, DDPM_CIFAR10, DDPMPP_CIFAR10
from dxmi.nets.unet import UNet
from dxmi.nets.unet_config import UNetConfig


def fastdpm(config: UNetConfig = DDPM_CIFAR10) -> Conversion:
    """DDPM UNet of pesser/pytorch_diffusion, FastDPM_pytorch and SFT-PG: q, k and v are separate convolutions."""
    block = {"norm0": "norm1", "conv0": "conv1", "affine": "temb_proj", "norm1": "norm2", "conv1": "conv2"}
    parts: dict[Kind, Parts] = {
        "block": renamed({**block, "skip": "nin_shortcut"}),
        "attention": {**renamed({"norm": "norm", "proj": "proj_out"}), "qkv": Part(("q", "k", "v"), _stacked)},
        "resample": renamed({"step.conv": "conv"}),
    }
    ends = {
        "conditioning.dense0": "temb.dense.0",
        "conditioning.dense1": "temb.dense.1",
        "stem": "conv_in",
        "out_norm": "norm_out",
        "out_conv": "conv_out",
    }
    prefixes = [(unit, _fastdpm_prefix(unit)) for unit in units(config)]
    return Conversion("FastDPM's DDPM UNet", partial(_unet, config), origins(prefixes, parts, ends))


def consistency_models(config: UNetConfig = ADM_IMAGENET64) -> Conversion:
    """UNet of openai/consistency_models; the rows of its qkv stand in the order (3, heads, d), as ours."""
    block = {
        "norm0": "in_layers.0",
        "conv0": "in_layers.2",
        "affine": "emb_layers.1",
        "norm1": "out_layers.0",
        "conv1": "out_layers.3",
        "skip": "skip_connection",
    }
    parts: dict[Kind, Parts] = {
        "block": renamed(block),
        "resample": renamed(block),
        "attention": renamed({"norm": "norm", "qkv": "qkv", "proj": "proj_out"}),
    }
    ends = {
        "conditioning.dense0": "time_embed.0",
        "conditioning.dense1": "time_embed.2",
        "conditioning.labels": "label_emb",
        "stem": "input_blocks.0.0",
        "out_norm": "out.0",
        "out_conv": "out.2",
    }
    found = origins(_consistency_models_prefixes(config), parts, ends)
    return Conversion("the consistency models' UNet", partial(_unet, config), found)


def edm_song(config: UNetConfig = DDPMPP_CIFAR10, *, size: int = 32) -> Conversion:
    """DDPM++ and NCSN++ of NVlabs/edm, for images of `size` pixels a side."""
    top = f"model.dec.{size}x{size}"
    return _edm("EDM's DDPM++ or NCSN++", config, size, out_norm=f"{top}_aux_norm", out_conv=f"{top}_aux_conv")


def edm_adm(config: UNetConfig = ADM_IMAGENET64, *, size: int = 64) -> Conversion:
    """ADM of NVlabs/edm, for images of `size` pixels a side."""
    return _edm("EDM's ADM", config, size, out_norm="model.out_norm", out_conv="model.out_conv")


def ddgan(config: UNetConfig = DDGAN_CIFAR10, *, latent_channels: int = 100, mapping_depth: int = 5) -> Conversion:
    """Generator of NVlabs/denoising-diffusion-gan: one flat list of modules, 1x1 convolutions kept as (in, out)."""
    styles = {"norm0.style": "GroupNorm_0.style", "norm1.style": "GroupNorm_1.style"}
    block = renamed({**styles, "conv0": "Conv_0", "affine": "Dense_0", "conv1": "Conv_1", "skip": "Conv_2"})
    parts: dict[Kind, Parts] = {
        "block": block,
        "resample": block,
        "attention": {
            "norm": Part(("GroupNorm_0",)),
            "qkv": Part(("NIN_0", "NIN_1", "NIN_2"), _stacked_transposes, ("W", "b")),
            "proj": Part(("NIN_3",), _stacked_transposes, ("W", "b")),
        },
        "pyramid": renamed({"0": "Conv2d_0"}),
    }
    prefixes = [(unit, f"all_modules.{place}") for place, unit in enumerate(units(config), start=3)]
    ends = {
        "conditioning.dense0": "all_modules.0",
        "conditioning.dense1": "all_modules.1",
        "stem": "all_modules.2",
        "out_norm": f"all_modules.{3 + len(prefixes)}",
        "out_conv": f"all_modules.{4 + len(prefixes)}",
    }
    found = {f"unet.{path}": origin for path, origin in origins(prefixes, parts, ends).items()}
    mapping = {f"mapping.{depth}": f"z_transform.{2 * depth + 1}" for depth in range(mapping_depth)}
    make = partial(_ddgan, config, latent_channels, mapping_depth)
    return Conversion("DDGAN's generator", make, {**found, **origins([], {}, mapping)})


def _unet(config: UNetConfig, generator: Generator) -> UNet:
    return UNet(config, generator=generator)


def _ddgan(config: UNetConfig, latent_channels: int, mapping_depth: int, generator: Generator) -> DDGANGenerator:
    return DDGANGenerator(config, generator=generator, latent_channels=latent_channels, mapping_depth=mapping_depth)


def _fastdpm_prefix(unit: Unit) -> str:
    if unit.kind == "resample":
        return f"down.{unit.level - 1}.downsample" if unit.stage == "down" else f"up.{unit.level + 1}.upsample"
    noun = "attn" if unit.kind == "attention" else "block"
    if unit.stage == "middle":
        return f"mid.{noun}_{unit.index + 1}"
    return f"{unit.stage}.{unit.level}.{noun}.{unit.index}"


def _consistency_models_prefixes(config: UNetConfig) -> Iterator[tuple[Unit, str]]:
    """Numbered sequences: a block begins one, its attention and (going up only) the next change of size join it."""
    stages = {"down": "input_blocks", "up": "output_blocks"}
    last = {"down": 0, "middle": -1, "up": -1}  # input_blocks.0 is the stem
    place = 0
    for unit in units(config):
        if unit.stage == "middle":
            last["middle"] += 1
            yield unit, f"middle_block.{last['middle']}"
            continue
        joins = unit.kind == "attention" or (unit.kind == "resample" and unit.stage == "up")
        place = place + 1 if joins else 0
        last[unit.stage] += 0 if joins else 1
        yield unit, f"{stages[unit.stage]}.{last[unit.stage]}.{place}"


def _edm(name: str, config: UNetConfig, size: int, *, out_norm: str, out_conv: str) -> Conversion:
    names = ("norm0", "conv0", "affine", "norm1", "conv1", "skip")
    block = renamed({name: name for name in names})
    qkv = Part(("qkv",), partial(_qkv_first, head_channels=config.head_channels))
    parts: dict[Kind, Parts] = {
        "block": block,
        "resample": block,
        "attention": {"norm": Part(("norm2",)), "qkv": qkv, "proj": Part(("proj",))},
        "pyramid": {"0": Part(("",))},
    }
    ends: Mapping[str, str] = {
        "conditioning.dense0": "model.map_layer0",
        "conditioning.dense1": "model.map_layer1",
        "conditioning.augment": "model.map_augment",
        "stem": f"model.enc.{size}x{size}_conv",
        "out_norm": out_norm,
        "out_conv": out_conv,
    }
    found = origins([(unit, _edm_prefix(unit, size)) for unit in units(config)], parts, ends)
    found["conditioning.labels.weight"] = Origin(("model.map_label.weight",), torch.t)
    found["conditioning.features.frequencies"] = Origin(("model.map_noise.freqs",))
    return Conversion(name, partial(_unet, config), found, constants=("resample_filter",))


def _edm_prefix(unit: Unit, size: int) -> str:
    side = size >> unit.level
    if unit.kind == "resample":
        return f"model.enc.{side}x{side}_down" if unit.stage == "down" else f"model.dec.{side}x{side}_up"
    if unit.kind == "pyramid":
        return f"model.enc.{side}x{side}_aux_residual"
    half = "enc" if unit.stage == "down" else "dec"
    noun = "in" if unit.stage == "middle" else "block"
    return f"model.{half}.{side}x{side}_{noun}{unit.index}"


def _stacked(*rows: Tensor) -> Tensor:
    return torch.cat(rows)


def _stacked_transposes(*columns: Tensor) -> Tensor:
    """(in, out) matrices of 1x1 convolutions to (out, in, 1, 1); biases as they are."""
    return torch.cat([column.T[:, :, None, None] if column.ndim == 2 else column for column in columns])


def _qkv_first(rows: Tensor, *, head_channels: int | None) -> Tensor:
    """Rows in the order (heads, d, 3) to (3, heads, d)."""
    width = head_channels or len(rows) // 3
    return rows.unflatten(0, (-1, width, 3)).movedim(2, 0).flatten(0, 2)
