"""Official state dicts become ours: every key and shape, the order of qkv, and what does not fit."""

import math
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import torch
from formula_weights import SMALL, by_formula, converted, generator, official_shapes, official_state, small
from torch import Tensor

from dxmi import checkpoints
from dxmi.checkpoints import Conversion
from dxmi.nets.ddgan import DDGANGenerator
from dxmi.nets.energy_resnet import EnergyResNet
from dxmi.nets.layers import ADM_INITIALISER, Layers, SelfAttention
from dxmi.nets.presets import (
    ADM_IMAGENET64,
    ADM_LSUN256,
    DDGAN_CIFAR10,
    DDPM_CIFAR10,
    DDPMPP_CIFAR10,
    NCSNPP_CIFAR10,
)
from dxmi.nets.unet import UNet

FULL: dict[str, Callable[[], Conversion]] = {
    "fastdpm_cifar10": checkpoints.fastdpm,
    "edm_ddpmpp": checkpoints.edm_song,
    "edm_ncsnpp": lambda: checkpoints.edm_song(NCSNPP_CIFAR10),
    "edm_adm": checkpoints.edm_adm,
    "cm_imagenet64": checkpoints.consistency_models,
    "cm_lsun256": lambda: checkpoints.consistency_models(ADM_LSUN256),
    "ddgan_cifar10": checkpoints.ddgan,
    "dxmi_value": checkpoints.dxmi_value,
}


def weightless(name: str) -> dict[str, Tensor]:
    """A full-size official state dict of single bytes spread over the shapes: no memory, all the names and shapes."""
    return {key: torch.zeros((), dtype=torch.uint8).expand(shape) for key, shape in official_shapes(name).items()}


def ours(name: str) -> dict[str, torch.Size]:
    """Names and shapes of our network of that name, from the network itself."""
    presets = {
        "fastdpm_cifar10": DDPM_CIFAR10,
        "edm_ddpmpp": DDPMPP_CIFAR10,
        "edm_ncsnpp": NCSNPP_CIFAR10,
        "edm_adm": ADM_IMAGENET64,
        "cm_imagenet64": ADM_IMAGENET64,
        "cm_lsun256": ADM_LSUN256,
    }
    with torch.device("meta"):
        if name in presets:
            net = UNet(presets[name], generator=generator())
        else:
            make = {"dxmi_value": EnergyResNet, "ddgan_cifar10": lambda **k: DDGANGenerator(DDGAN_CIFAR10, **k)}
            net = make[name](generator=generator())
        return {key: value.shape for key, value in net.state_dict().items()}


@pytest.mark.parametrize("name", FULL)
def test_every_official_key_and_shape_finds_its_place(name: str) -> None:
    converted = FULL[name]()(weightless(name))
    assert {key: value.shape for key, value in converted.items()} == ours(name)


@pytest.mark.parametrize("name", [name for name in FULL if name != "dxmi_value"])
def test_the_committed_names_are_those_of_the_data_folder(name: str) -> None:
    if "DXBENCH_DATA" not in os.environ:
        pytest.skip("DXBENCH_DATA names no data folder")
    path = Path(os.environ["DXBENCH_DATA"]) / "keys" / f"keys_{name}.txt"
    if not path.is_file():
        pytest.skip(f"no {path}")
    lines = [line.partition(" ") for line in path.read_text(encoding="utf-8").splitlines()]
    committed = official_shapes(name)
    assert {key for key, _, _ in lines} == set(committed)
    assert all(shape == str(committed[key]) for key, _, shape in lines if shape)


@pytest.mark.parametrize("name", SMALL)
def test_every_official_number_arrives_once(name: str) -> None:
    official = official_state(name)
    weights = [value for key, value in official.items() if not key.endswith("resample_filter")]
    arrived = small(name).conversion(official).values()

    def moments(tensors: Iterable[Tensor]) -> list[float]:
        """Count and power sums of all entries: equal for two sets of tensors of equal entries."""
        parts = [(t.numel(), t.sum(), t.square().sum(), t.pow(3).sum()) for t in tensors]
        return [float(sum(column)) for column in zip(*parts, strict=True)]

    assert moments(arrived) == pytest.approx(moments(weights), rel=1e-12)


def attend(q: list[list[Tensor]], k: list[list[Tensor]], v: list[list[Tensor]]) -> list[list[Tensor]]:
    """softmax(q k / sqrt(d)) v, written for lists [head][position] of vectors."""
    mixed = []
    for qs, ks, vs in zip(q, k, v, strict=True):
        weights = [torch.stack([a @ b / math.sqrt(len(a)) for b in ks]).softmax(dim=0) for a in qs]
        mixed.append([sum((w * value for w, value in zip(row, vs, strict=True)), torch.zeros(())) for row in weights])
    return mixed


def row_of(order: str, part: int, head: int, dim: int, heads: int, width: int) -> int:
    """Where an official qkv keeps dimension `dim` of head `head` of q, k or v (`part` 0, 1, 2)."""
    return {
        "(3, heads, d)": part * heads * width + head * width + dim,
        "(heads, d, 3)": head * width * 3 + dim * 3 + part,
    }[order]


@pytest.mark.parametrize(
    ("order", "name", "heads"),
    [("(heads, d, 3)", "edm_adm", 6), ("(heads, d, 3)", "edm_ddpmpp", 1), ("(3, heads, d)", "cm_imagenet64", 2)],
)
def test_converted_attention_mixes_what_the_official_order_of_rows_says(order: str, name: str, heads: int) -> None:
    case = converted(name)
    attention = case.net.get_submodule("middle.0.attention")
    assert isinstance(attention, SelfAttention)
    assert attention.heads == heads
    prefix = {"cm_imagenet64": "middle_block.1."}.get(name, "model.dec.4x4_in0.")
    names = ("norm", "proj_out") if name == "cm_imagenet64" else ("norm2", "proj")
    state = official_state(name)
    channels = state[prefix + names[0] + ".weight"].shape[0]
    width = channels // heads
    x = by_formula("x", (1, channels, 1, 3))
    groups = 32 if name == "cm_imagenet64" else min(32, channels // 4)
    scale, shift = state[f"{prefix}{names[0]}.weight"], state[f"{prefix}{names[0]}.bias"]
    normed = torch.nn.functional.group_norm(x, groups, scale, shift, eps=attention.norm.eps)[0, :, 0]
    rows = state[f"{prefix}qkv.weight"].flatten(1) @ normed + state[f"{prefix}qkv.bias"][:, None]
    q, k, v = (
        [
            [torch.stack([rows[row_of(order, part, head, d, heads, width), s] for d in range(width)]) for s in range(3)]
            for head in range(heads)
        ]
        for part in range(3)
    )
    mixed = torch.cat([torch.stack(head, dim=1) for head in attend(q, k, v)])
    out = state[f"{prefix}{names[1]}.weight"].flatten(1) @ mixed + state[f"{prefix}{names[1]}.bias"][:, None]
    wanted = (x[0, :, 0] + out) * attention.residual_scale
    torch.testing.assert_close(attention(x)[0, :, 0], wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "path", "matrices"),
    [
        ("fastdpm_cifar10", "middle.0.attention", [f"mid.attn_1.{part}.weight" for part in "qkv"]),
        ("ddgan_cifar10", "unet.middle.0.attention", [f"all_modules.16.NIN_{part}.W" for part in range(3)]),
    ],
)
def test_separate_q_k_and_v_become_one_convolution(name: str, path: str, matrices: list[str]) -> None:
    attention = converted(name).net.get_submodule(path)
    assert isinstance(attention, SelfAttention)
    official = [official_state(name)[key] for key in matrices]
    # A 1x1 convolution is kept as (out, in, 1, 1), DDGAN's dense layers over pixels as (in, out).
    maps = [matrix.T if matrix.ndim == 2 else matrix.flatten(1) for matrix in official]
    x = by_formula("x", (1, len(maps[0]), 2, 2))
    assert attention.qkv.bias is not None
    got = attention.qkv(x) - attention.qkv.bias[:, None, None]
    torch.testing.assert_close(got.flatten(2)[0], torch.cat([matrix @ x.flatten(2)[0] for matrix in maps]))


def test_the_order_of_rows_matters() -> None:
    attention = SelfAttention(Layers(ADM_INITIALISER, generator()), 8, heads=2, eps=1e-5, residual_scale=1.0).double()
    with torch.no_grad():
        for p in attention.parameters():
            p.copy_(by_formula("p", tuple(p.shape)))
    x = by_formula("x", (1, 8, 2, 2))
    before = attention(x)
    with torch.no_grad():
        attention.qkv.weight.copy_(attention.qkv.weight.unflatten(0, (2, 4, 3)).movedim(2, 0).flatten(0, 2))
    assert not torch.allclose(attention(x), before, atol=1e-3)


def test_weights_of_another_network_are_refused_with_the_first_keys_that_differ() -> None:
    with pytest.raises(
        ValueError, match=r"not the weights of FastDPM's DDPM UNet: 328 keys missing: .*temb\.dense\.0"
    ) as e:
        checkpoints.fastdpm()(weightless("cm_imagenet64"))
    assert "541 keys not in it: time_embed.0.weight" in str(e.value)
    with pytest.raises(ValueError, match=r"missing: .*not in it: "):
        checkpoints.consistency_models()(weightless("cm_lsun256"))


def test_one_key_too_few_or_too_many_or_of_another_shape_is_named() -> None:
    state = weightless("fastdpm_cifar10")
    fewer = {key: value for key, value in state.items() if key != "mid.attn_1.k.bias"}
    with pytest.raises(ValueError, match=r"1 keys missing: mid\.attn_1\.k\.bias; 0 keys not in it\."):
        checkpoints.fastdpm()(fewer)
    with pytest.raises(ValueError, match="0 keys missing; 1 keys not in it: extra"):
        checkpoints.fastdpm()({**state, "extra": torch.zeros(1)})
    with pytest.raises(ValueError, match=re.escape("1 keys of other shapes: conv_in.weight [(64, 3, 3, 3)]")):
        checkpoints.fastdpm()({**state, "conv_in.weight": torch.zeros(64, 3, 3, 3)})


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("edm_adm", "model.dec.8x8_in0.qkv.weight"),
        ("edm_adm", "model.map_label.weight"),
        ("ddgan_cifar10", "all_modules.8.NIN_0.W"),
        ("fastdpm_cifar10", "mid.attn_1.q.weight"),
    ],
)
@pytest.mark.parametrize("shape", [(7,), (2, 3, 4, 5, 6), ()])
def test_a_tensor_of_any_other_rank_is_named_and_not_an_error_of_torch(
    name: str, key: str, shape: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match=f"keys of other shapes: .*{re.escape(key)}"):
        FULL[name]()({**weightless(name), key: torch.zeros(shape)})


def sampler_state(**more: Tensor) -> dict[str, Tensor]:
    return {**official_state("fastdpm_cifar10"), **more}


def test_a_dxmi_sampler_is_a_backbone_and_the_log_of_its_stds() -> None:
    case, log_betas = small("fastdpm_cifar10"), torch.tensor([-1.0, -2.0, -3.0])
    backbone, free = checkpoints.dxmi_sampler(sampler_state(log_betas=log_betas))
    assert torch.equal(free, log_betas)
    assert {*case.conversion(backbone)} == {*case.net.state_dict()}
    std = torch.tensor([0.5, 0.5, 1e-3])
    backbone, fixed = checkpoints.dxmi_sampler(sampler_state(log_betas=log_betas, std=std))
    torch.testing.assert_close(fixed, torch.tensor([-1.0, -2.0, math.log(1e-3)]))
    assert {*case.conversion(backbone)} == {*case.net.state_dict()}


@pytest.mark.parametrize("log_betas", [None, torch.zeros(2, 2), torch.zeros(0)])
def test_a_dxmi_sampler_without_log_stds_is_refused(log_betas: Tensor | None) -> None:
    state = sampler_state() if log_betas is None else sampler_state(log_betas=log_betas)
    with pytest.raises(ValueError, match="one log std per step"):
        checkpoints.dxmi_sampler(state)
