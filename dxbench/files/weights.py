"""Weight files: read as tensors only, converted, kept as safetensors, loaded strictly."""

import hashlib
import pickle
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dxbench.errors import InvalidFile, MissingData, UsageError
from dxbench.files.archives import SMALL_BYTES, opened_zip
from dxbench.files.faults import refusing_damage
from dxbench.files.unpickling import load_torch, read_script_tensors, read_tensors
from dxbench.files.writing import atomic_path

if TYPE_CHECKING:
    from torch import Tensor, nn

    State = Mapping[str, Tensor]

TORCH_SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".th")
NESTED_UNDER = ("state_dict", "model", "ema")
MAX_NESTED = 8
SHOWN = 5  # names an error lists
MAX_REPEATS = 8
"""Weights may be shared under several names; a view of one number that goes on for ever is no weight."""


def read(path: Path) -> "dict[str, Tensor]":
    """The state dict in a weight file: safetensors, torch (.pt, .pth, .ckpt, .bin, .th) or an EDM-style .pkl.

    Dictionaries around it and the `module.` that data parallelism puts before every name are taken off.

    Raises:
        MissingData: if there is no such file.
        InvalidFile: if it is cut short, asks for code to be run, holds no tensors, or speaks of more than it holds.
        UsageError: for another suffix.
    """
    if not path.is_file():
        raise MissingData(f"no weights at {path}; fetch them first, or give another path")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if path.suffix == ".pkl":
        try:
            with path.open("rb") as file:
                tensors = read_tensors(file)
        except InvalidFile as error:
            raise InvalidFile(f"{path}: {error}") from error
        _check_tensors(path, tensors)
        return tensors
    if path.suffix in TORCH_SUFFIXES:
        return _state_dict(read_torch(path), path)
    known = ", ".join((".safetensors", ".pkl", *TORCH_SUFFIXES))
    raise UsageError(f"{path}: weights of suffix {path.suffix!r} are not known; known: {known}")


def write(path: Path, state: "State") -> None:
    """The tensors as safetensors, complete or not at all."""
    import torch
    from safetensors.torch import save_file

    whole = {key: tensor.detach().clone(memory_format=torch.contiguous_format) for key, tensor in state.items()}
    with atomic_path(path) as temporary:
        save_file(whole, temporary)


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
    from safetensors.torch import load_file

    with refusing_damage(f"{path} is cut short or no safetensors file; fetch or convert it again"):
        return load_file(path)


def read_torch(path: Path) -> Any:
    """Read what torch saved, if it is tensors, numbers and plain values in lists and dictionaries; nothing is executed.

    NumPy's numbers are let in: training scripts keep an FID or a loss beside the weights.

    Raises:
        MissingData: if there is no such file.
        InvalidFile: if it is cut short, or holds anything else.
    """
    import torch

    if not path.is_file():
        raise MissingData(f"no file {path}; fetch it first, or give another path")
    with refusing_damage(f"{path} is cut short or no torch file; fetch it again"):
        try:
            with torch.serialization.safe_globals(_numpy_numbers()), path.open("rb") as file:
                tree = load_torch(file, where=path)
        except pickle.UnpicklingError as error:
            (reason, *_) = str(error).splitlines() or [""]
            raise InvalidFile(
                f"{path} is damaged, or holds more than tensors and was refused ({reason}); fetch it again from its "
                "home"
            ) from error
        _check_tensors(path, tree)
    return tree


def read_script(path: Path) -> "dict[str, Tensor]":
    """Tensors by dotted name of a TorchScript archive; none of its code is executed.

    Raises:
        MissingData: if there is no such file.
        InvalidFile: if it is cut short, is something else, asks for code to be run, or holds other than float32.
    """
    if not path.is_file():
        raise MissingData(f"no file {path}; fetch it first, or give another path")
    with opened_zip(path) as (archive, members), refusing_damage(f"{path} is cut short or damaged; fetch it again"):
        try:
            tensors = read_script_tensors(archive, members)
        except InvalidFile as error:
            raise InvalidFile(f"{path}: {error}") from error
    _check_tensors(path, tensors)
    return tensors


def digest(state: "State") -> str:
    """The sha256 of tensors, in hex: of the names in order and, for each, dtype, shape and numbers row by row.

    The same whatever kind of file they came in, in which order and with which strides.
    """
    import numpy as np

    found = hashlib.sha256()
    for name in sorted(state):
        array = np.ascontiguousarray(state[name].detach().cpu().numpy())
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        found.update(f"{name} {little.dtype.str} {list(array.shape)} ".encode())
        found.update(little.data)
    return found.hexdigest()


def _check_tensors(path: Path, tree: Any) -> None:
    """Refuse tensors that are not dense, or that come to more than their file can hold.

    Raises:
        InvalidFile: naming the file.
    """
    import torch

    size = 0
    for tensor in _tensors_of(tree):
        if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized or tensor.is_nested:
            raise InvalidFile(f"{path} holds a tensor that is not dense, where weights are")
        size += tensor.numel() * tensor.element_size()
    held = path.stat().st_size
    if size > max(SMALL_BYTES, MAX_REPEATS * held):
        raise InvalidFile(f"{path} holds {held:,} bytes and speaks of tensors of {size:,}")


def _tensors_of(tree: Any) -> "Iterator[Tensor]":
    """Those in lists and dictionaries, each once for every place that it is named at; parts within themselves once."""
    import torch

    waiting, seen = [tree], set[int]()
    while waiting:
        one = waiting.pop()
        if isinstance(one, torch.Tensor):
            yield one
        elif isinstance(one, Mapping | list | tuple) and id(one) not in seen:
            seen.add(id(one))
            waiting += one.values() if isinstance(one, Mapping) else one


def _numpy_numbers() -> list[Any]:
    """Build a pickled NumPy number, also by the name that it had before NumPy 2."""
    import _codecs

    import numpy as np

    scalar = np.float64(0).__reduce__()[0]
    kinds = {type(np.dtype(code)) for code in np.typecodes["AllInteger"] + np.typecodes["Float"] + "?"}
    names = [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    return [*names, np.dtype, *kinds, _codecs.encode]


def _state_dict(tree: Any, path: Path) -> "dict[str, Tensor]":
    import torch

    for _ in range(MAX_NESTED):  # a dictionary may hold itself
        within = [tree.get(name) for name in NESTED_UNDER] if isinstance(tree, Mapping) else []
        tree = next((one for one in within if isinstance(one, Mapping)), tree)
    tensors = {str(k): v for k, v in tree.items() if isinstance(v, torch.Tensor)} if isinstance(tree, Mapping) else {}
    if not tensors or len(tensors) < len(tree):
        got = type(tree).__name__ if not isinstance(tree, Mapping) else f"entries {sorted(map(str, tree))[:SHOWN]}"
        raise InvalidFile(f"{path} holds no state dict (got {got}); wanted names with tensors, or {NESTED_UNDER} of it")
    if all(key.startswith("module.") for key in tensors):
        tensors = {key.removeprefix("module."): value for key, value in tensors.items()}
    return tensors
