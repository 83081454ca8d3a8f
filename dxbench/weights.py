"""Weight files: read as tensors only, converted, kept as safetensors, loaded strictly."""

import os
import pickle
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dxbench.errors import InvalidFile, MissingData, UsageError
from dxbench.unpickling import read_tensors

if TYPE_CHECKING:
    from torch import Tensor, nn

    State = Mapping[str, Tensor]

TORCH_SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".th")
NESTED_UNDER = ("state_dict", "model", "ema")
SHOWN = 5  # names an error lists


def read(path: Path) -> "dict[str, Tensor]":
    """The state dict in a weight file: safetensors, torch (.pt, .pth, .ckpt, .bin, .th) or an EDM-style .pkl.

    Dictionaries around it and the `module.` that data parallelism puts before every name are taken off.

    Raises:
        MissingData: if there is no such file.
        InvalidFile: if it is cut short, asks for code to be run, or holds no tensors.
        UsageError: for another suffix.
    """
    if not path.is_file():
        raise MissingData(f"no weights at {path}; fetch them first, or give another path")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if path.suffix == ".pkl":
        try:
            with path.open("rb") as file:
                return read_tensors(file)
        except InvalidFile as error:
            raise InvalidFile(f"{path}: {error}") from error
    if path.suffix in TORCH_SUFFIXES:
        return _state_dict(read_torch(path), path)
    known = ", ".join((".safetensors", ".pkl", *TORCH_SUFFIXES))
    raise UsageError(f"{path}: weights of suffix {path.suffix!r} are not known; known: {known}")


def write(path: Path, state: "State") -> None:
    """The tensors as safetensors, complete or not at all."""
    import torch
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(handle)
    try:
        save_file(
            {key: tensor.detach().clone(memory_format=torch.contiguous_format) for key, tensor in state.items()}, name
        )
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)


def convert(source: Path, target: Path, conversion: "Callable[[State], State]") -> None:
    """Reads official weights, renames them by `conversion` and writes the result as safetensors.

    Raises:
        MissingData, InvalidFile, UsageError: as `read`; InvalidFile too for the weights of another network.
    """
    state = read(source)
    try:
        converted = conversion(state)
    except ValueError as error:
        raise InvalidFile(f"{source}: {error}") from error
    write(target, converted)


def load(net: "nn.Module", path: Path) -> None:
    """The weights of a file into a network, strictly.

    Raises:
        MissingData, InvalidFile, UsageError: as `read`; InvalidFile too if a key or a shape differs.
    """
    state, own = read(path), net.state_dict()
    wrong = [f"{key} is missing" for key in own if key not in state]
    wrong += [f"{key} is not one of its own" for key in state if key not in own]
    wrong += [
        f"{key} has shape {tuple(state[key].shape)}, wanted {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    if wrong:
        more = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        raise InvalidFile(
            f"{path} does not fit {type(net).__name__}: {'; '.join(wrong[:SHOWN])}{more}. "
            "Convert official weights first, and take the configuration they were made for."
        )
    net.load_state_dict(state)


def _read_safetensors(path: Path) -> "dict[str, Tensor]":
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise InvalidFile(f"{path} is cut short or no safetensors file ({error}); fetch or convert it again") from error


def read_torch(path: Path) -> Any:
    """What torch saved, if it is tensors, numbers and plain values in lists and dictionaries; nothing is executed.

    NumPy's numbers are let in: training scripts keep an FID or a loss beside the weights.

    Raises:
        MissingData: if there is no such file.
        InvalidFile: if it is cut short, or holds anything else.
    """
    import torch

    if not path.is_file():
        raise MissingData(f"no file {path}; fetch it first, or give another path")
    try:
        with torch.serialization.safe_globals(_numpy_numbers()):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).splitlines()[0]
        raise InvalidFile(
            f"{path} is damaged, or holds more than tensors and was refused ({reason}); fetch it again from its home"
        ) from error
    except (EOFError, RuntimeError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InvalidFile(
            f"{path} is cut short or no torch file ({type(error).__name__}: {error}); fetch it again"
        ) from error


def _numpy_numbers() -> list[Any]:
    """What a pickled NumPy number asks for, also by the name of before NumPy 2."""
    import _codecs

    import numpy as np

    scalar = np.float64(0).__reduce__()[0]
    kinds = {type(np.dtype(code)) for code in np.typecodes["AllInteger"] + np.typecodes["Float"] + "?"}
    names = [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    return [*names, np.dtype, *kinds, _codecs.encode]


def _state_dict(tree: Any, path: Path) -> "dict[str, Tensor]":
    import torch

    while isinstance(tree, Mapping):
        nested = next((name for name in NESTED_UNDER if isinstance(tree.get(name), Mapping)), None)
        if nested is None:
            break
        tree = tree[nested]
    tensors = {str(k): v for k, v in tree.items() if isinstance(v, torch.Tensor)} if isinstance(tree, Mapping) else {}
    if not tensors or len(tensors) < len(tree):
        got = type(tree).__name__ if not isinstance(tree, Mapping) else f"entries {sorted(map(str, tree))[:SHOWN]}"
        raise InvalidFile(f"{path} holds no state dict (got {got}); wanted names with tensors, or {NESTED_UNDER} of it")
    if all(key.startswith("module.") for key in tensors):
        tensors = {key.removeprefix("module."): value for key, value in tensors.items()}
    return tensors
