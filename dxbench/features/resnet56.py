"""ResNet-56 for CIFAR-10 (He et al. 2015, arXiv:1512.03385, section 4.2) as a small, honest feature extractor.

Weights: akamaster/pytorch_resnet_cifar10, `resnet56-4bfd9763.th` (BSD-2-Clause). A distance in its features is
`fd_resnet56`, comparable with no FID.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from dxbench.assets.catalogue import RESNET56_CIFAR10
from dxbench.features.extractor import NetworkExtractor, StateDict
from dxbench.metrics.images.features import FeatureKind

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Block(nn.Module):
    """Two 3 x 3 convolutions; the shortcut of a halving block drops every other pixel and pads channels (option A)."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.stride = 1 if channels == channels_in else 2
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride=self.stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.missing = channels - channels_in

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        shortcut = functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, *(2 * (self.missing // 2,))))
        return functional.relu(y + shortcut)


class ResNet56(nn.Module):
    """Images to pooled features [b, 64] and class logits [b, 10]."""

    mean: Tensor
    std: Tensor

    def __init__(self, state: StateDict) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*(Block(16, 16) for _ in range(9)))
        self.layer2 = nn.Sequential(Block(16, 32), *(Block(32, 32) for _ in range(8)))
        self.layer3 = nn.Sequential(Block(32, 64), *(Block(64, 64) for _ in range(8)))
        self.linear = nn.Linear(64, 10)
        self.load_state_dict(dict(state))
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        x = (images / 255.0 - self.mean) / self.std
        x = functional.relu(self.bn1(self.conv1(x)))
        pooled = self.layer3(self.layer2(self.layer1(x))).mean(dim=(2, 3))
        return {"pooled": pooled, "logits": self.linear(pooled)}


RESNET56 = NetworkExtractor(
    name="resnet56-cifar10",
    kinds={"pooled": FeatureKind(dim=64, frechet="fd_resnet56", kernel="kd_resnet56"), "logits": FeatureKind(dim=10)},
    weights=RESNET56_CIFAR10,
    build=ResNet56,
    image_shape=(32, 32, 3),
    preprocessing={"resize": "none, 32 x 32", "normalisation": "(x / 255 - mean) / std of ImageNet"},
)
