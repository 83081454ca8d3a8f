"""Reads the tensors of an EDM-style pickle, and CIFAR's batches, without running any of it.

Such files (NVlabs/edm, and what grew from it) hold a network as an object together with the source code of its class,
which their own loader executes. Here every class becomes an inert record and every name outside a short list ends the
reading, so that nothing but tensors is built.
"""

import io
import math
import pickle
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import IO, TYPE_CHECKING, Any

from dxbench.errors import InvalidFile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


class Record:
    """What any object of the file becomes: its state, and no behaviour."""

    def __init__(self, *arguments: object) -> None:
        self.state: Any = {}

    def __setstate__(self, state: Any) -> None:
        self.state = state


class Entries(dict[Any, Any]):
    """What dictionaries with attributes become."""

    def __setstate__(self, state: Any) -> None:
        self.update(state)


def read_tensors(file: IO[bytes], *, entry: str = "ema") -> "dict[str, Tensor]":
    """Parameters and buffers, by dotted name, of the network that an EDM-style pickle keeps under `entry`.

    Raises:
        InvalidFile: for a file that is cut short or no pickle, that asks for anything but tensors and records, or
            that has no such entry.
    """
    try:
        tree = _TensorUnpickler(file).load()
    except InvalidFile:
        raise
    except Exception as error:  # a malformed pickle can end in almost any exception
        raise InvalidFile(
            f"got a pickle that is cut short or damaged ({type(error).__name__}: {error}); fetch the file again"
        ) from error
    if not isinstance(tree, dict) or not isinstance(tree.get(entry), Record):
        got = sorted(map(str, tree)) if isinstance(tree, dict) else type(tree).__name__
        raise InvalidFile(f"got a pickle of {got}; wanted a dictionary with a network under {entry!r}")
    return dict(_tensors(tree[entry], ""))


class _Array(Record):
    """A NumPy array, as what it was pickled as."""

    def as_bytes(self) -> "NDArray[np.uint8] | None":
        """The array, if it is one of bytes in C order; None for others, which are not built."""
        import numpy as np

        if not isinstance(self.state, tuple) or len(self.state) != 5:
            return None
        _, shape, dtype, fortran, content = self.state
        kind = dtype.arguments[0] if isinstance(dtype, _DType) and dtype.arguments else None
        if kind not in (b"u1", "u1") or fortran or not isinstance(content, bytes) or not isinstance(shape, tuple):
            return None
        if not all(isinstance(n, int) and n >= 0 for n in shape) or math.prod(shape) != len(content):
            return None
        return np.frombuffer(content, dtype=np.uint8).reshape(shape)


class _DType(Record):
    """A NumPy type, by the name it was pickled with."""

    def __init__(self, *arguments: object) -> None:
        super().__init__()
        self.arguments = arguments


def _encode(text: object, encoding: object = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", b"latin1"):
        raise InvalidFile("refused: the pickle encodes something else than bytes")
    return text.encode("latin1")


_BYTE_ARRAYS: dict[str, Callable[..., Any]] = {
    "numpy.core.multiarray._reconstruct": _Array,
    "numpy._core.multiarray._reconstruct": _Array,
    "numpy.ndarray": _Array,
    "numpy.dtype": _DType,
    "_codecs.encode": _encode,
}


class _ByteArrayUnpickler(pickle.Unpickler):
    """Knows arrays of bytes and no other name."""

    def find_class(self, module_name: str, global_name: str, /) -> Callable[..., Any]:
        name = f"{module_name}.{global_name}"
        if name in _BYTE_ARRAYS:
            return _BYTE_ARRAYS[name]
        raise InvalidFile(
            f"refused: the pickle asks for {name}, where arrays of bytes are wanted. A pickle can run any code it "
            "likes; do not load this one elsewhere unless you trust its source."
        )

    def persistent_load(self, pid: Any, /) -> Any:
        raise InvalidFile("refused: the pickle refers to something outside itself")


def read_batch(file: IO[bytes]) -> "dict[str, Any]":
    """A dictionary of uint8 arrays, numbers, texts and lists, as the archives of CIFAR are made of; keys as text.

    Raises:
        InvalidFile: for a file that is cut short or no pickle, or that asks for anything else.
    """
    try:
        tree = _ByteArrayUnpickler(file, encoding="bytes").load()
    except InvalidFile:
        raise
    except Exception as error:  # a malformed pickle can end in almost any exception
        raise InvalidFile(f"got a pickle that is cut short or damaged ({type(error).__name__}: {error})") from error
    if not isinstance(tree, dict):
        raise InvalidFile(f"got a pickle of {type(tree).__name__}; wanted a dictionary")
    found = {}
    for key, value in tree.items():
        name = key.decode("latin1") if isinstance(key, bytes) else str(key)
        found[name] = value.as_bytes() if isinstance(value, _Array) else value
    return found


class _TensorUnpickler(pickle.Unpickler):
    """Knows the names below and no others."""

    def find_class(self, module_name: str, global_name: str, /) -> Callable[..., Any]:
        name = f"{module_name}.{global_name}"
        if name in _KNOWN:
            return _KNOWN[name]
        if module_name.startswith("torch.nn.modules."):
            return Record
        raise InvalidFile(
            f"refused: the pickle asks for {name}, which is neither a tensor nor part of a network. A pickle can run "
            "any code it likes; do not load this one elsewhere unless you trust its source."
        )

    def persistent_load(self, pid: Any, /) -> Any:
        raise InvalidFile("refused: the pickle refers to something outside itself")


def _storage(data: bytes) -> "Tensor":
    """A storage, from the bytes torch wrote for it, as a flat tensor."""
    import torch

    storage = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return torch.empty(0, dtype=storage.dtype).set_(storage)


def _tensor(storage: "Tensor", offset: int, size: tuple[int, ...], stride: tuple[int, ...], *rest: object) -> "Tensor":
    """A view of the storage, which torch refuses where it would reach beyond; `rest` (hooks and so on) is dropped."""
    return storage.as_strided(size, stride, offset)


def _parameter(tensor: "Tensor", *rest: object) -> "Tensor":
    return tensor


def _persistent(meta: Mapping[str, Any]) -> Record:
    """The state of a class whose source code the file carries; the code is left where it is."""
    record = Record()
    record.state = meta["state"]
    return record


def _tensors(network: Record, prefix: str) -> "Iterator[tuple[str, Tensor]]":
    import torch

    state = network.state if isinstance(network.state, Mapping) else {}
    for group in ("_parameters", "_buffers"):
        for name, value in (state.get(group) or {}).items():
            if isinstance(value, torch.Tensor):
                yield f"{prefix}{name}", value
    for name, child in (state.get("_modules") or {}).items():
        if isinstance(child, Record):
            yield from _tensors(child, f"{prefix}{name}.")


_KNOWN: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": OrderedDict,
    "builtins.set": set,
    "dnnlib.util.EasyDict": Entries,
    "torch_utils.persistence._reconstruct_persistent_obj": _persistent,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.storage._load_from_bytes": _storage,
    # Scalars and types in the arguments networks were made with: not needed, so not built.
    "numpy.core.multiarray.scalar": Record,
    "numpy._core.multiarray.scalar": Record,
    "numpy.dtype": Record,
    "torch.device": Record,
    "torch.Size": Record,
}
