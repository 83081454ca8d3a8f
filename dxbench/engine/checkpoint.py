"""Checkpoints: nested state in one safetensors file, replaced atomically, checked when read."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from dxbench.errors import InvalidFile
from dxbench.files import atomic_file

_FORMAT = "dxbench-checkpoint-1"


class NonFiniteState(Exception):
    """A tensor of the state is not finite, so it must not replace the last good checkpoint."""


def save_checkpoint(path: Path, state: dict[str, Any], *, run_id: str) -> None:
    """Write `state` (nested dicts, lists and tuples of tensors and plain values) to `path`.

    Raises:
        NonFiniteState: if a floating tensor holds NaN or infinity; the file is then left as it was.
    """
    tensors: dict[str, torch.Tensor] = {}
    structure = _encode(state, tensors, "state")
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise NonFiniteState(name)
    metadata = {
        "format": _FORMAT,
        "run_id": run_id,
        "structure": json.dumps(structure),
        "digest": _digest(tensors),
    }
    with atomic_file(path) as file:
        file.write(save(tensors, metadata=metadata))


def load_checkpoint(path: Path, *, run_id: str) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote.

    Raises:
        InvalidFile: if the file is damaged, of another format, or of another run.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError, ValueError) as error:
        raise InvalidFile(f"{path} is damaged: {error}") from None
    if metadata.get("format") != _FORMAT:
        raise InvalidFile(f"{path} is not a dxbench checkpoint (format {metadata.get('format')!r})")
    if metadata.get("run_id") != run_id:
        raise InvalidFile(f"{path} belongs to run {metadata.get('run_id')!r}, not {run_id!r}")
    if metadata.get("digest") != _digest(tensors):
        raise InvalidFile(f"{path} is damaged: its contents do not match their digest")
    return _decode(json.loads(metadata["structure"]), tensors)


def _digest(tensors: dict[str, torch.Tensor]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _encode(value: Any, tensors: dict[str, torch.Tensor], path: str) -> Any:
    if isinstance(value, torch.Tensor):
        # A copy: safetensors refuses tensors that share storage.
        tensors[path] = value.detach().to("cpu", copy=True).contiguous()
        return {"tensor": path, "device": value.device.type}
    if isinstance(value, dict):
        # Pairs, because optimisers key their state by integers.
        return {"dict": [[key, _encode(item, tensors, f"{path}.{key}")] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [_encode(item, tensors, f"{path}.{i}") for i, item in enumerate(value)]}
    if value is None or isinstance(value, bool | int | float | str):
        return {"plain": value}
    raise TypeError(f"a checkpoint holds tensors and plain values; {path} is a {type(value).__name__}")


def _decode(node: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Any:
    match node:
        case {"tensor": name, "device": device}:
            return tensors[name].to(device)
        case {"dict": pairs}:
            return {key: _decode(item, tensors) for key, item in pairs}
        case {"list": items}:
            return [_decode(item, tensors) for item in items]
        case {"tuple": items}:
            return tuple(_decode(item, tensors) for item in items)
        case {"plain": value}:
            return value
    raise InvalidFile(f"unknown node in checkpoint: {sorted(node)}")
