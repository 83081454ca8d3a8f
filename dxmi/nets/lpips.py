"""LPIPS: a distance of images in the features of VGG-16 (Zhang et al. 2018, arXiv:1801.03924)."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dxmi.arrays import PerSample, Points

# Convolutions of the five stages of VGG-16 (Simonyan & Zisserman 2015, arXiv:1409.1556, configuration D): channels, and
# places in torchvision's sequence.
STAGES = ((64, (0, 2)), (128, (5, 7)), (256, (10, 12, 14)), (512, (17, 19, 21)), (512, (24, 26, 28)))
# Images below `LARGE` pixels a side are enlarged to `SIDE`, those of VGG (consistency models, arXiv:2303.01469).
SIDE, LARGE = 224, 256
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class LPIPS(nn.Module):
    """sum_l mean_hw w_l . (u_l(a) - u_l(b))^2, u_l unit vectors of the l-th stage's last maps; images in [-1, 1].

    As the consistency models have it: the size is halved by means and not by maxima, and images below 256 pixels are
    enlarged to 224. Nothing in it is trained.

    Args:
        vgg16: the tensors of torchvision's file, `features.0.weight` and so on; its classifier is left.
        heads: the tensors of the authors' file (version 0.1), `lin0.model.1.weight` and so on.

    Raises:
        ValueError: if either is another file.
    """

    def __init__(self, vgg16: Mapping[str, Tensor], heads: Mapping[str, Tensor]) -> None:
        super().__init__()
        cin = 3
        for level, (cout, places) in enumerate(STAGES):
            for place in places:
                self._keep(f"weight{place}", vgg16, f"features.{place}.weight", (cout, cin, 3, 3))
                self._keep(f"bias{place}", vgg16, f"features.{place}.bias", (cout,))
                cin = cout
            self._keep(f"head{level}", heads, f"lin{level}.model.1.weight", (1, cout, 1, 1))
        like = self.get_buffer("weight0")
        self.register_buffer("mean", like.new_tensor(MEAN).reshape(1, 3, 1, 1))
        self.register_buffer("std", like.new_tensor(STD).reshape(1, 3, 1, 1))

    def _keep(self, name: str, state: Mapping[str, Tensor], key: str, shape: tuple[int, ...]) -> None:
        found = state.get(key)
        if found is None or found.shape != shape:
            got = "no such tensor" if found is None else f"shape {tuple(found.shape)}"
            raise ValueError(
                f"these are not the weights of LPIPS: {key} wants shape {shape}, got {got}; take torchvision's VGG-16 "
                "and LPIPS's own weights for it, version 0.1"
            )
        self.register_buffer(name, found.clone())

    def forward(self, a: Points, b: Points) -> PerSample:
        total = a.new_zeros(len(a))
        hidden = self._prepared(torch.cat([a, b]))
        for level, (_, places) in enumerate(STAGES):
            if level > 0:
                hidden = F.avg_pool2d(hidden, 2)
            for place in places:
                weight, bias = self.get_buffer(f"weight{place}"), self.get_buffer(f"bias{place}")
                hidden = F.relu(F.conv2d(hidden, weight, bias, padding=1))
            first, second = F.normalize(hidden, dim=1, eps=1e-10).chunk(2)
            weighted = F.conv2d((first - second).square(), self.get_buffer(f"head{level}"))
            total = total + weighted.mean(dim=(1, 2, 3))
        return total

    def _prepared(self, images: Tensor) -> Tensor:
        if images.shape[-1] < LARGE:
            images = F.interpolate(images, size=(SIDE, SIDE), mode="bilinear")
        return ((images + 1) / 2 - self.get_buffer("mean")) / self.get_buffer("std")
