"""The three ways in which FID evaluators bring images to 299 x 299. They differ by tenths of a point of FID."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

SIZE = 299


def tensorflow1(images: Tensor) -> Tensor:
    """Bilinear as TensorFlow 1's `resize_bilinear`: no half-pixel centres, no antialiasing; ADM and EDM.

    [b, C, H, W] float in [0, 255] to [b, C, 299, 299]. Two matrix products, because the filter is separable.
    """
    height, width = images.shape[2:]
    return _tensorflow1_weights(height).to(images) @ images @ _tensorflow1_weights(width).to(images).T


def torch_bilinear(images: Tensor) -> Tensor:
    """Bilinear with half-pixel centres, no antialiasing, as pytorch-fid."""
    return functional.interpolate(images, size=(SIZE, SIZE), mode="bilinear", align_corners=False)


def pil_bicubic(images: Tensor) -> Tensor:
    """Antialiased bicubic of PIL on float channels, clipped to [0, 255], as clean-fid (arXiv:2104.11222)."""
    from PIL import Image

    channels = images.cpu().numpy().astype(np.float32).reshape(-1, *images.shape[2:])
    resized = [np.asarray(Image.fromarray(c).resize((SIZE, SIZE), Image.Resampling.BICUBIC)) for c in channels]
    stacked = torch.from_numpy(np.stack(resized).clip(0.0, 255.0))
    return stacked.reshape(*images.shape[:2], SIZE, SIZE).to(images.device)


def _tensorflow1_weights(size: int) -> Tensor:
    """[299, size] weights: output i lies at i * size / 299, between the pixels below and above."""
    # In float32 as TensorFlow's kernel, where the last bit decides which two pixels are met.
    position = torch.arange(SIZE, dtype=torch.float32) * torch.tensor(size / SIZE, dtype=torch.float32)
    low = position.long()
    high = (low + 1).clamp_max(size - 1)
    share = position - low
    weights = torch.zeros(SIZE, size)
    rows = torch.arange(SIZE)
    weights[rows, low] += 1 - share
    weights[rows, high] += share
    return weights
