"""Feature files of MVTec-AD as UniAD's fork writes them, which DxMI's and VGS's authors distribute.

A dictionary saved by torch, with `feature_align` [n, d, h, w], `mask` [n, 1, H, W], `label` [n] (1 is defective) and
`clsname`, n names of categories. Nothing in the file is executed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dxbench.assets import file_digest
from dxbench.errors import InvalidFile
from dxbench.files import weights

ENTRIES = ("feature_align", "mask", "label", "clsname")
STAGES = (24, 32, 56, 160)
"""Channels of EfficientNet-b4's stages, in their order."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """One file.

    Attributes:
        features: [n, h, w, d] float16.
        masks: [n, H, W].
        anomalous: [n].
        names: of categories, [n].
        digest: sha256 of the file.
    """

    path: Path
    features: NDArray[np.float16]
    masks: NDArray[np.bool_]
    anomalous: NDArray[np.bool_]
    names: NDArray[np.str_]
    digest: str


def read_split(path: Path, *, shape: tuple[int, int, int]) -> Split:
    """The file at `path`, whose features are grids of `shape` (h, w, d) by EfficientNet-b4.

    Raises:
        MissingData: if it is not there.
        InvalidFile: if it cannot be read, its entries do not fit each other, or its features are another network's.
    """
    tree = weights.read_torch(path)
    if not isinstance(tree, Mapping) or not set(ENTRIES) <= tree.keys():
        got = sorted(map(str, tree)) if isinstance(tree, Mapping) else type(tree).__name__
        raise InvalidFile(f"{path}: wants a dictionary with {', '.join(ENTRIES)}, got {got}")
    h, w, d = shape
    features, masks = (_tensor(path, tree[name], name) for name in ("feature_align", "mask"))
    labels, names = _labels(path, tree["label"]), _names(path, tree["clsname"])
    n = len(features)
    if features.shape[1:] != (d, h, w):
        raise InvalidFile(
            f"{path}: wants features [n, {d}, {h}, {w}] of EfficientNet-b4, got {list(features.shape)}, "
            "which are another backbone's"
        )
    if not (len(masks) == len(labels) == len(names) == n) or masks.ndim != 4 or masks.shape[1] != 1:
        sizes = f"{list(features.shape)}, {list(masks.shape)}, {len(labels)} labels, {len(names)} names"
        raise InvalidFile(f"{path}: features, masks [n, 1, H, W], labels and names do not belong together: {sizes}")
    _check_backbone(path, features)
    return Split(
        path=path,
        features=features.permute(0, 2, 3, 1).half().numpy(),
        masks=(masks[:, 0] != 0).numpy(),
        anomalous=(labels == 1).numpy(),
        names=names,
        digest=file_digest(path),
    )


def _tensor(path: Path, value: Any, name: str) -> torch.Tensor:
    if not isinstance(value, torch.Tensor) or value.is_complex() or not value.isfinite().all():
        got = str(value.dtype) if isinstance(value, torch.Tensor) else type(value).__name__
        raise InvalidFile(f"{path}: {name} wants a tensor of finite real numbers, got {got}")
    return value


def _labels(path: Path, value: Any) -> torch.Tensor:
    try:
        labels = torch.as_tensor(value).flatten()
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidFile(f"{path}: label wants numbers: {error}") from None
    if labels.is_complex() or not ((labels == 0) | (labels == 1)).all():
        raise InvalidFile(f"{path}: label wants 0 for good and 1 for defective images")
    return labels


def _names(path: Path, value: Any) -> NDArray[np.str_]:
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        raise InvalidFile(f"{path}: clsname wants a list of names, got {type(value).__name__}")
    return np.array(value, dtype=np.str_)


def _check_backbone(path: Path, features: torch.Tensor) -> None:
    """A stage of EfficientNet ends in a projection without an activation, so that each has values of both signs."""
    start = 0
    for channels in STAGES:
        stage = features[:64, start : start + channels]
        start += channels
        if not bool((stage < 0).any() and (stage > 0).any()):
            raise InvalidFile(
                f"{path}: channels {start - channels} to {start - 1} are all of one sign, as after a ReLU; "
                "EfficientNet-b4's stages are not: these are features of another backbone"
            )
