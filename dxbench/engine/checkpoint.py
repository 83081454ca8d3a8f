"""Checkpoints: nested state in one safetensors file, replaced atomically, checked when read."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save

from dxbench.errors import InvalidFile
from dxbench.files.faults import machine_fault
from dxbench.files.reading import open_regular
from dxbench.files.writing import atomic_file

_FORMAT = "dxbench-checkpoint-2"
# Stands in the header where the digest will, while the digest of the whole file is taken.
_UNSIGNED = "0" * 32
_LONGEST_HEADER = 100_000_000  # bytes, which is safetensors' own bound


class NonFiniteState(Exception):
    """A tensor of the state is not finite, so it must not replace the last good checkpoint."""


def save_checkpoint(path: Path, state: dict[str, Any], *, run_id: str) -> None:
    """Write `state` (nested dicts, lists and tuples of tensors and plain values) to `path`.

    Plain numbers may be infinite or NaN: the best value so far begins at infinity.

    Raises:
        NonFiniteState: if a floating tensor holds NaN or infinity; the file is then left as it was.
    """
    tensors: dict[str, torch.Tensor] = {}
    structure = _encode(state, tensors, "state")
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise NonFiniteState(name)
    metadata = {"format": _FORMAT, "run_id": run_id, "structure": json.dumps(structure), "digest": _UNSIGNED}
    data = save(tensors, metadata=metadata)
    header, rest = _cut(data)
    with atomic_file(path) as file:
        file.write(_with_digest(header, _UNSIGNED, _digest(header, rest)))
        file.write(rest)


def load_checkpoint(path: Path, *, run_id: str) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote. Tensors of a device that is not here come on the CPU.

    Raises:
        InvalidFile: if a bit of the file is not as it was written, or if it is of another format or another run.
        MachineFault: if the machine does not let it be read.
    """
    try:
        return _load(path, run_id)
    except InvalidFile as error:
        raise InvalidFile(f"{path} is damaged or not one of ours: {error}") from None
    except MemoryError:
        raise
    except Exception as error:  # whatever the libraries make of what is none of theirs
        fault = machine_fault(error) if isinstance(error, OSError) else None
        raise fault or InvalidFile(f"{path} is damaged ({type(error).__name__}: {str(error)[:200]})") from None


def _load(path: Path, run_id: str) -> dict[str, Any]:
    data = _read(path)
    header, rest = _cut(data)
    metadata: dict[str, str] = json.loads(header[8:])["__metadata__"]
    if metadata["format"] != _FORMAT:
        raise InvalidFile(f"its format is {metadata['format']!r}, this dxbench reads {_FORMAT!r}")
    if metadata["digest"] != _digest(_with_digest(header, metadata["digest"], _UNSIGNED), rest):
        raise InvalidFile("its contents do not match their digest")
    if metadata["run_id"] != run_id:
        raise InvalidFile(f"it belongs to run {metadata['run_id']!r}, not {run_id!r}")
    tensors = load(data)
    state = _decode(json.loads(metadata["structure"]), tensors)
    if tensors or not isinstance(state, dict):
        raise InvalidFile("its structure does not account for all that it holds")
    return state


def _read(path: Path) -> bytes:
    """All of a file whose header says how long it is, which a damaged one of any length may not be."""
    with open_regular(path) as (file, size):
        length = int.from_bytes(file.read(8), "little")
        if length > min(size, _LONGEST_HEADER):
            raise InvalidFile(f"a header of {length:,} bytes in a file of {size:,}")
        entries = json.loads(file.read(length))
        ends = [entry["data_offsets"][1] for name, entry in entries.items() if name != "__metadata__"]
        if size != 8 + length + max(ends, default=0):
            raise InvalidFile(f"{size:,} bytes, other than its header says")
        file.seek(0)
        return file.read(size)


def _cut(data: bytes) -> tuple[bytes, memoryview]:
    """The header with its length, and the tensors."""
    start = 8 + int.from_bytes(data[:8], "little")
    return data[:start], memoryview(data)[start:]


def _with_digest(header: bytes, old: str, new: str) -> bytes:
    """The header with another digest; quotes inside of other texts are escaped, so that it is found."""
    return header.replace(f'"digest":"{old}"'.encode(), f'"digest":"{new}"'.encode(), 1)


def _digest(header: bytes, rest: memoryview) -> str:
    digest = hashlib.blake2b(header, digest_size=len(_UNSIGNED) // 2)
    digest.update(rest)
    return digest.hexdigest()


def _encode(value: Any, tensors: dict[str, torch.Tensor], path: str) -> Any:
    if isinstance(value, torch.Tensor):
        while path in tensors:  # of the keys 1 and "1"
            path += "'"
        # A copy: safetensors refuses tensors that share storage.
        tensors[path] = value.detach().to("cpu", copy=True).contiguous()
        return {"tensor": path, "device": value.device.type}
    if isinstance(value, dict):
        # Pairs, because optimisers key their state by integers.
        return {
            "dict": [
                [_plain(key, f"a key of {path}"), _encode(item, tensors, f"{path}.{key}")]
                for key, item in value.items()
            ]
        }
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [_encode(item, tensors, f"{path}.{i}") for i, item in enumerate(value)]}
    return {"plain": _plain(value, path)}


def _plain(value: Any, path: str) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a checkpoint holds tensors and plain values; {path} is a {type(value).__name__}")


def _decode(node: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Any:
    """The value of a node, its tensors taken out of `tensors`."""
    match node:
        case {"tensor": str(name), "device": str(device)}:
            return tensors.pop(name).to(_here(device))
        case {"dict": pairs}:
            return {key: _decode(item, tensors) for key, item in pairs}
        case {"list": items}:
            return [_decode(item, tensors) for item in items]
        case {"tuple": items}:
            return tuple(_decode(item, tensors) for item in items)
        case {"plain": value}:
            return value
    raise InvalidFile(f"unknown node in checkpoint: {str(node)[:100]}")


def _here(device: str) -> str:
    return device if device == "cpu" or torch.get_device_module(device).is_available() else "cpu"
