"""One official state dict to one of ours, strictly."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

State = Mapping[str, Tensor]
SHOWN = 5  # names an error lists


def same(tensor: Tensor) -> Tensor:
    """Keep tensors that are in our layout already."""
    return tensor


@dataclass(frozen=True, slots=True)
class Origin:
    """Official keys that together become one tensor of ours, and how."""

    keys: tuple[str, ...]
    build: Callable[..., Tensor] = same


class Conversion:
    """Called with an official state dict, gives ours: every tensor found, in its shape, and nothing left over.

    Args:
        name: of the official network, for messages.
        make: makes our network; only its names and shapes are used.
        origins: for every name of ours; further ones do no harm.
        constants: endings of official keys that hold no weights.

    Raises:
        ValueError: on call, if keys or shapes differ, with the first that do.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[Generator], nn.Module],
        origins: Mapping[str, Origin],
        *,
        constants: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.constants = constants
        with torch.device("meta"):
            self.shapes = {key: tensor.shape for key, tensor in make(Generator("cpu")).state_dict().items()}
        self.origins = {key: origins[key] for key in self.shapes}

    def __call__(self, state: State) -> dict[str, Tensor]:
        wanted = dict.fromkeys(key for origin in self.origins.values() for key in origin.keys)
        missing = [key for key in wanted if key not in state]
        foreign = [key for key in state if key not in wanted and not key.endswith(self.constants)]
        if missing or foreign:
            raise ValueError(
                f"these are not the weights of {self.name}: {_listed('missing', missing)}; "
                f"{_listed('not in it', foreign)}. Name the network that the file was written for."
            )
        ours: dict[str, Tensor] = {}
        misfits = []
        for key, origin in self.origins.items():
            try:
                ours[key] = origin.build(*(state[part] for part in origin.keys))
                fits = ours[key].shape == self.shapes[key]
            except (RuntimeError, IndexError):  # tensors of another rank or size than the official ones
                fits = False
            if not fits:
                misfits.append(f"{' + '.join(origin.keys)} {[tuple(state[part].shape) for part in origin.keys]}")
        if misfits:
            raise ValueError(
                f"these are not the weights of {self.name} at this size: {_listed('of other shapes', misfits)}. "
                "Name the network that the file was written for."
            )
        return ours


def _listed(what: str, names: list[str]) -> str:
    shown = f": {', '.join(names[:SHOWN])}{', ...' if len(names) > SHOWN else ''}" if names else ""
    return f"{len(names)} keys {what}{shown}"
