"""A small feature extractor for tests, and what its weights lie in."""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from dxbench.features.extractor import NetworkExtractor, StateDict, WeightsFile, file_sha256
from dxbench.metrics.features import FeatureKind


class Small(nn.Module):
    """A fixed linear map of 8 x 8 grey images."""

    def __init__(self, state: StateDict) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 6, bias=False)
        self.load_state_dict(state)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        seen.append(len(images))
        x = self.linear(images.flatten(1) / 255)
        return {"pooled": x, "logits": 10 * x[:, :3]}


seen: list[int] = []
"""Batch sizes that went through any `Small`."""


def small_extractor(folder: Path, *, seed: int = 0) -> NetworkExtractor:
    path = folder / f"small-{seed}.safetensors"
    weight = torch.randn(6, 64, generator=torch.Generator().manual_seed(seed))
    save_file({"linear.weight": weight}, path)
    return NetworkExtractor(
        name="small",
        kinds={"pooled": FeatureKind(dim=6, frechet="fd_small", kernel="kd_small"), "logits": FeatureKind(dim=3)},
        weights=WeightsFile(
            names=(path.name,), sha256=file_sha256(path), folder=folder, prepare="dxbench prepare --task small"
        ),
        build=Small,
        image_shape=(8, 8, 1),
        preprocessing={"normalisation": "x / 255"},
    )
