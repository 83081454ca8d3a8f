"""Recipes of the choice among candidates of DxMI."""

from collections.abc import Callable

from dxbench_baselines.dxmi import DxMIConfig, EnergySelectionConfig
from dxbench_baselines.recipes import dxmi
from dxmi.models import AnySelection, BestOf, Resampling


def gaussians8() -> EnergySelectionConfig:
    """DxMI's default; of each step one of two draws."""
    return _chosen(dxmi.gaussians8(), Resampling())


def gaussians8_best_of() -> EnergySelectionConfig:
    """DxMI's default; the better of two samples."""
    return _chosen(dxmi.gaussians8(), BestOf())


def gaussians8_quick() -> EnergySelectionConfig:
    """Seconds, to see that everything works; its numbers mean little."""
    return _chosen(dxmi.gaussians8_quick(), Resampling())


def digits() -> EnergySelectionConfig:
    """DxMI's recipe; of each step one of two draws (inferred: nothing was run)."""
    return _chosen(dxmi.digits(), Resampling())


def digits_quick() -> EnergySelectionConfig:
    """Seconds, to see that everything works; its numbers mean little."""
    return _chosen(dxmi.digits_quick(), Resampling())


def _chosen(config: DxMIConfig, selection: AnySelection) -> EnergySelectionConfig:
    return EnergySelectionConfig(**config.model_dump(), selection=selection)


RECIPES: dict[tuple[str, str], Callable[[], EnergySelectionConfig]] = {
    ("plane", "default"): gaussians8,
    ("plane", "best_of"): gaussians8_best_of,
    ("any", "quick"): gaussians8_quick,
    ("small_images", "default"): digits,
    ("small_images", "quick"): digits_quick,
}
