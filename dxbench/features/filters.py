"""Log-Gabor energies: features of patches from fixed filters, for images without a network to see them with."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue

from dxbench.features.patches import RESIZE, Grids
from dxbench.metrics.images.features import Images

WAVELENGTHS = (4.0, 8.0, 16.0, 32.0)
ORIENTATIONS = 8
BANDWIDTH = 0.55  # ratio of the log-Gabor's std to its centre: two octaves
GREY = (0.299, 0.587, 0.114)


@dataclass(frozen=True, kw_only=True)
class LogGaborEnergies:
    """Mean magnitudes of log-Gabor responses in square cells, made invariant to rotation; nothing is learned.

    Filters at four wavelengths and eight orientations (Field 1987, doi:10.1364/JOSAA.4.002379); in each cell and
    wavelength, the magnitudes of the Fourier transform over orientations, which a rotated image keeps up to the
    filters' sampling; with the cell's mean and std of grey. Square roots tame the range.

    Attributes:
        side: of the images, in pixels.
        cell: side of a cell, in pixels; divides `side`.
    """

    side: int
    cell: int

    name = "log_gabor"

    @property
    def fields(self) -> dict[str, JsonValue]:
        return {
            "side": self.side,
            "cell": self.cell,
            "wavelengths": list(WAVELENGTHS),
            "orientations": ORIENTATIONS,
            "bandwidth": BANDWIDTH,
            "invariants": "magnitudes of the DFT over orientations",
            "range": "square root",
            "resize": RESIZE,
        }

    @property
    def shape(self) -> tuple[int, int, int]:
        cells = self.side // self.cell
        return cells, cells, len(WAVELENGTHS) * (ORIENTATIONS // 2 + 1) + 2

    def require(self) -> None:
        """Nothing is needed."""

    def load(self, device: str) -> Callable[[Images], Grids]:
        bank = torch.from_numpy(log_gabor_bank(self.side)).to(device)
        weights = torch.tensor(GREY, device=device)

        @torch.inference_mode()
        def extract(images: Images) -> Grids:
            grey = torch.from_numpy(images).to(device).float() @ weights / 255.0
            spectrum = torch.fft.fft2(grey)
            energies = [self._cells(torch.fft.ifft2(spectrum[:, None] * filters).abs()) for filters in bank]
            turning = torch.fft.rfft(torch.stack(energies, dim=1), dim=2).abs().flatten(1, 2) / ORIENTATIONS
            mean = self._cells(grey[:, None])
            var = (self._cells(grey[:, None].square()) - mean.square()).clamp(min=0.0)
            found = torch.cat([turning, mean, var.sqrt()], dim=1)
            return found.sqrt().permute(0, 2, 3, 1).cpu().numpy()

        return extract

    def _cells(self, maps: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(maps, self.cell)


def log_gabor_bank(side: int) -> NDArray[np.float32]:
    """Transfer functions on the FFT's grid, [wavelengths, orientations, side, side]; zero at frequency 0."""
    fy, fx = np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side), indexing="ij")
    radius, angle = np.hypot(fx, fy), np.arctan2(fy, fx)
    radius[0, 0] = 1.0
    spread = np.pi / ORIENTATIONS
    bank = np.empty((len(WAVELENGTHS), ORIENTATIONS, side, side), dtype=np.float32)
    for i, wavelength in enumerate(WAVELENGTHS):
        radial = np.exp(-np.square(np.log(radius * wavelength)) / (2 * np.log(BANDWIDTH) ** 2))
        radial[0, 0] = 0.0
        for j in range(ORIENTATIONS):
            turn = np.angle(np.exp(1j * (angle - j * np.pi / ORIENTATIONS)))
            bank[i, j] = radial * np.exp(-np.square(turn) / (2 * spread**2))
    return bank
