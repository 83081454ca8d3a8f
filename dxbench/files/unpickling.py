"""Reads the tensors of an EDM-style pickle, and CIFAR's batches, without running any of it.

Such files (NVlabs/edm, and what grew from it) hold a network as an object together with the source code of its class,
which their own loader executes. Here every class becomes an inert record and every name outside a short list ends the
reading, so that nothing but tensors is built.
"""

import io
import math
import pickle
import pickletools
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import IO, TYPE_CHECKING, Any

from dxbench.errors import InvalidFile
from dxbench.files.archives import check_archive, read_member
from dxbench.files.faults import refusing_damage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


MAX_STEPS = 1_000_000
"""Of a pickle; networks of EDM's size take some 100,000."""
MAX_MODULES = 20_000
_DAMAGED = "got a pickle that is cut short or damaged; fetch the file again"


class Record:
    """The stand-in of any object of the file: its state, and no behaviour."""

    def __init__(self, *arguments: object) -> None:
        self.state: Any = {}

    def __setstate__(self, state: Any) -> None:
        self.state = state


class Entries(dict[Any, Any]):
    """The stand-in of dictionaries with attributes."""

    def __setstate__(self, state: Any) -> None:
        self.update(state)


def read_tensors(file: IO[bytes], *, entry: str = "ema") -> "dict[str, Tensor]":
    """Parameters and buffers, by dotted name, of the network that an EDM-style pickle keeps under `entry`.

    Raises:
        InvalidFile: for a file that is cut short or no pickle, that asks for anything but tensors and records, or
            that has no such entry.
    """
    with refusing_damage(_DAMAGED):
        _look_over(file)
        tree = _TensorUnpickler(file).load()
        if not isinstance(tree, dict) or not isinstance(tree.get(entry), Record):
            got = sorted(key for key in tree if isinstance(key, str)) if isinstance(tree, dict) else type(tree).__name__
            raise InvalidFile(f"got a pickle of {got}; wanted a dictionary with a network under {entry!r}")
        return dict(_tensors(tree[entry]))


def _look_over(file: IO[bytes]) -> None:
    """Refuse a pickle of more steps than a network's, or that counts what it remembers beyond them.

    Python makes room for as many memories as the largest number among them says.
    """
    steps = largest = 0
    for steps, (step, argument, _) in enumerate(pickletools.genops(file), 1):
        if steps > MAX_STEPS:
            raise InvalidFile(f"refused: the pickle has more than {MAX_STEPS:,} steps, which no network takes")
        if step.name in ("PUT", "BINPUT", "LONG_BINPUT"):
            assert isinstance(argument, int)
            largest = max(largest, argument)
    if largest > steps:
        raise InvalidFile(f"refused: the pickle numbers a memory {largest:,} and has {steps:,} steps")
    file.seek(0)


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
    with refusing_damage(_DAMAGED):
        content = io.BytesIO(file.read())  # an archive that is compressed cannot go back
        _look_over(content)
        tree = _ByteArrayUnpickler(content, encoding="bytes").load()
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


def load_torch(file: IO[bytes], *, where: object) -> Any:
    """Read tensors, numbers and plain values that torch saved, executing nothing. `where` names it in errors.

    Raises:
        InvalidFile: if it is an archive that was made to harm.
        Exception: of whatever kind, if it is damaged, or holds anything else.
    """
    import torch

    if zipfile.is_zipfile(file):  # torch stores what it packs, and unpacks what others have compressed
        with zipfile.ZipFile(file) as archive:
            check_archive(where, archive)
    file.seek(0)
    return torch.load(file, map_location="cpu", weights_only=True)


class _ScriptUnpickler(pickle.Unpickler):
    """Reads the modules of a TorchScript archive as records, and tensors out of the storages beside them."""

    def __init__(self, file: IO[bytes], storage: "Callable[[str], Tensor]") -> None:
        super().__init__(file)
        self._storage = storage

    def find_class(self, module_name: str, global_name: str, /) -> Callable[..., Any]:
        name = f"{module_name}.{global_name}"
        if name in _KNOWN_OF_SCRIPTS:
            return _KNOWN_OF_SCRIPTS[name]
        if module_name.startswith("__torch__."):
            return Record
        raise InvalidFile(
            f"refused: the pickle asks for {name}, which is neither a tensor nor part of a network. A pickle can run "
            "any code it likes; do not load this one elsewhere unless you trust its source."
        )

    def persistent_load(self, pid: Any, /) -> "Tensor":
        match pid:
            case ("storage", kind, str(name), "cpu", int()) if kind is _float_storage:
                return self._storage(name)
            case _:
                raise InvalidFile(f"refused: the pickle refers to {pid!r}, where storages of float32 are wanted")


def read_script_tensors(archive: zipfile.ZipFile, members: Iterable[zipfile.ZipInfo]) -> "dict[str, Tensor]":
    """Parameters and buffers, by dotted name, of a TorchScript archive that has been looked over; float32 alone.

    Its code is left where it is.

    Raises:
        InvalidFile: for an archive of something else, or a pickle that asks for anything but tensors and modules.
        Exception: of whatever kind, if it is damaged.
    """
    import torch

    by_name = {member.filename: member for member in members}
    pickles = [name for name in by_name if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise InvalidFile(f"got an archive with {len(pickles)} files data.pkl, wanted one, as TorchScript has it")
    root = pickles[0].removesuffix("data.pkl")

    def storage(name: str) -> "Tensor":
        if (member := by_name.get(f"{root}data/{name}")) is None:
            raise InvalidFile(f"the archive lacks the storage data/{name}")
        return torch.frombuffer(bytearray(read_member(archive, member)), dtype=torch.float32)

    content = io.BytesIO(read_member(archive, by_name[pickles[0]]))
    _look_over(content)
    network = _ScriptUnpickler(content, storage).load()
    if not isinstance(network, Record):
        raise InvalidFile(f"got a pickle of {type(network).__name__}, wanted a module of TorchScript")
    return dict(_attributes(network))


def _attributes(network: Record) -> "Iterator[tuple[str, Tensor]]":
    """Tensors of a module and of those within it, which TorchScript keeps as plain attributes."""
    import torch

    for prefix, state in _walk(network, lambda state: state):
        for name, value in state.items():
            if isinstance(value, torch.Tensor):
                yield f"{prefix}{name}", value


def _storage(data: bytes) -> "Tensor":
    """A storage, from the bytes torch wrote for it, as a flat tensor."""
    import torch

    storage = load_torch(io.BytesIO(data), where="a storage of the pickle")
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


def _tensors(network: Record) -> "Iterator[tuple[str, Tensor]]":
    import torch

    for prefix, state in _walk(network, lambda state: state.get("_modules") or {}):
        for group in ("_parameters", "_buffers"):
            for name, value in (state.get(group) or {}).items():
                if isinstance(value, torch.Tensor):
                    yield f"{prefix}{name}", value


def _walk(
    network: Record, children: Callable[[Mapping[str, Any]], Mapping[str, Any]]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Prefix and state of a module and of all within it."""
    waiting = [("", network)]
    visited = 0
    while waiting:
        prefix, module = waiting.pop()
        visited += 1
        if visited > MAX_MODULES:  # modules may hold each other
            raise InvalidFile(f"refused: the network has more than {MAX_MODULES:,} modules")
        state = module.state if isinstance(module.state, Mapping) else {}
        yield prefix, state
        within = children(state).items()
        waiting += [(f"{prefix}{name}.", child) for name, child in within if isinstance(child, Record)][::-1]


def _float_storage() -> None:
    """The stand-in of `torch.FloatStorage`: a mark to be told by."""


_KNOWN_OF_SCRIPTS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": OrderedDict,
    "torch.FloatStorage": _float_storage,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch.jit._pickle.build_intlist": list,
}
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
