"""The Inception of 2015 behind FID without its classifier, out of a TorchScript archive that a package brings.

The archive names convolutions as the TensorFlow graph did; they become those of pytorch-fid's port. Batch norms of the
graph have no scale, so that gamma is 1 everywhere.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dxbench.errors import InvalidFile
from dxbench.files import weights

if TYPE_CHECKING:
    from torch import Tensor

_STEM = {"": "1a_3x3", "_1": "2a_3x3", "_2": "2b_3x3", "_3": "3b_1x1", "_4": "4a_3x3"}
_A = {
    "conv": "branch1x1",
    **{f"tower.conv{n}": f"branch5x5_{i}" for i, n in enumerate(("", "_1"), 1)},
    **{f"tower_1.conv{n}": f"branch3x3dbl_{i}" for i, n in enumerate(("", "_1", "_2"), 1)},
    "tower_2.conv": "branch_pool",
}
_B = {"conv": "branch3x3", **{f"tower.conv{n}": f"branch3x3dbl_{i}" for i, n in enumerate(("", "_1", "_2"), 1)}}
_C = {
    "conv": "branch1x1",
    **{f"tower.conv{n}": f"branch7x7_{i}" for i, n in enumerate(("", "_1", "_2"), 1)},
    **{f"tower_1.conv{n}": f"branch7x7dbl_{i}" for i, n in enumerate(("", "_1", "_2", "_3", "_4"), 1)},
    "tower_2.conv": "branch_pool",
}
_D = {
    **{f"tower.conv{n}": f"branch3x3_{i}" for i, n in enumerate(("", "_1"), 1)},
    **{f"tower_1.conv{n}": f"branch7x7x3_{i}" for i, n in enumerate(("", "_1", "_2", "_3"), 1)},
}
_E = {
    "conv": "branch1x1",
    "tower_conv": "branch3x3_1",
    "tower_mixed_conv": "branch3x3_2a",
    "tower_mixed_conv_1": "branch3x3_2b",
    "tower_1_conv": "branch3x3dbl_1",
    "tower_1_conv_1": "branch3x3dbl_2",
    "tower_1_mixed_conv": "branch3x3dbl_3a",
    "tower_1_mixed_conv_1": "branch3x3dbl_3b",
    "tower_2_conv": "branch_pool",
}
_BLOCKS = {
    **dict.fromkeys(("5b", "5c", "5d"), _A),
    "6a": _B,
    **dict.fromkeys(("6b", "6c", "6d", "6e"), _C),
    "7a": _D,
    **dict.fromkeys(("7b", "7c"), _E),
}


def _convolutions() -> dict[str, str]:
    """Names of the archive to those of the port, 94 of them."""
    table = {f"conv{number}": f"Conv2d_{name}" for number, name in _STEM.items()}
    for number, (block, branches) in enumerate(_BLOCKS.items()):
        of_graph = f"mixed_{number}" if number else "mixed"
        table |= {f"{of_graph}.{conv}": f"Mixed_{block}.{branch}" for conv, branch in branches.items()}
    return {f"net.layers.{conv}": name for conv, name in table.items()}


CONVOLUTIONS = _convolutions()
_PARTS = {"weight": "conv.weight", "beta": "bn.bias", "mean": "bn.running_mean", "var": "bn.running_var"}
_GAMMA = "bn.weight"
TRUNK = frozenset(f"{name}.{part}" for name in CONVOLUTIONS.values() for part in (*_PARTS.values(), _GAMMA))
"""The tensors of the port that pooled and spatial features are made of, 470 of them."""
TRUNK_DIGEST = "745e97e7df3967db91f4beb97608b702164fe810aaa029b1b886cda28381f28a"
"""`dxbench.files.weights.digest` of them, as float32."""


def keep_trunk(source: Path, target: Path, progress: Callable[[int, int | None], None]) -> None:
    """Writes the trunk of a TorchScript archive, none of which is executed, as safetensors with the port's names.

    Raises:
        InvalidFile: for what is damaged, is no such archive, asks for code, or is another network.
    """
    weights.write(target, _renamed(weights.read_script(source), source))
    progress(len(TRUNK), len(TRUNK))


def _renamed(found: Mapping[str, "Tensor"], source: Path) -> "dict[str, Tensor]":
    import torch

    wanted = {f"{conv}.{part}" for conv in CONVOLUTIONS for part in _PARTS}
    if set(found) != wanted:
        missing, more = sorted(wanted - set(found)), sorted(set(found) - wanted)
        what = f"lacks {', '.join(missing[:3])}" if missing else f"holds {', '.join(more[:3])} too"
        raise InvalidFile(f"{source} is not the Inception of 2015: {what} ({len(found)} tensors, wanted {len(wanted)})")
    trunk = {
        f"{name}.{to}": found[f"{conv}.{part}"] for conv, name in CONVOLUTIONS.items() for part, to in _PARTS.items()
    }
    trunk |= {f"{name}.{_GAMMA}": torch.ones_like(trunk[f"{name}.bn.bias"]) for name in CONVOLUTIONS.values()}
    if (got := weights.digest(trunk)) != TRUNK_DIGEST:
        raise InvalidFile(
            f"{source} holds other tensors than the Inception of 2015 (digest {got}, wanted {TRUNK_DIGEST})"
        )
    return trunk
