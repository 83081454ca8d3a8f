"""Tables of the names that an official UNet gives the modules of ours."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from dxmi.checkpoints.conversion import Origin, same
from dxmi.checkpoints.units import Kind, Unit


@dataclass(frozen=True, slots=True)
class Part:
    """Official modules that become one module of ours; `build` joins their weights, and likewise their biases."""

    names: tuple[str, ...]
    build: Callable[..., Tensor] = same
    leaves: tuple[str, str] = ("weight", "bias")


Parts = Mapping[str, Part]


def renamed(names: Mapping[str, str]) -> dict[str, Part]:
    """Modules that are ours but for the name."""
    return {ours: Part((official,)) for ours, official in names.items()}


def origins(
    prefixes: Iterable[tuple[Unit, str]], parts: Mapping[Kind, Parts], ends: Mapping[str, str]
) -> dict[str, Origin]:
    """An origin for every weight and bias a UNet may have, by our name.

    Args:
        prefixes: where the official state dict keeps each unit.
        parts: the modules inside a unit of each kind.
        ends: modules outside the units, ours to official.
    """
    found = {}
    for unit, prefix in prefixes:
        for ours, part in parts[unit.kind].items():
            for leaf, official_leaf in zip(("weight", "bias"), part.leaves, strict=True):
                keys = tuple(".".join(filter(None, (prefix, name, official_leaf))) for name in part.names)
                found[f"{unit.path}.{ours}.{leaf}"] = Origin(keys, part.build)
    for ours, official in ends.items():
        for leaf in ("weight", "bias"):
            found[f"{ours}.{leaf}"] = Origin((f"{official}.{leaf}",))
    return found
