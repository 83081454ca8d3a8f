"""A small feature extractor for tests, and what its weights lie in."""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from dxbench.assets import Asset, file_digest
from dxbench.features.extractor import NetworkExtractor, StateDict
from dxbench.metrics.images.features import FeatureKind


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
        weights=weights_at(path),
        build=Small,
        image_shape=(8, 8, 1),
        preprocessing={"normalisation": "x / 255"},
    )


def weights_at(path: Path, *, digest: str | None = None, task: str = "small") -> Asset:
    """Weights that lie at a path, with the hash they have there unless another is given."""
    return Asset(
        name=path.stem,
        title="weights of a test",
        kind="weights",
        path=str(path),
        digest=digest or file_digest(path),
        licence="none",
        by_hand="made by the test",
        task=task,
    )
