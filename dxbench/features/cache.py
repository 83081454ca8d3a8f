"""Features on disk, found by the sha256 of the images and the fingerprint of the extractor; never by a name."""

import hashlib
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from dxbench.api import short_hash

Arrays = dict[str, NDArray[Any]]


class Recipe(Protocol):
    """A recipe of features: an extractor of images or of patches."""

    @property
    def name(self) -> str: ...

    @property
    def fields(self) -> dict[str, JsonValue]: ...


@dataclass(frozen=True, kw_only=True)
class FeatureCache:
    """A folder of features. What is damaged is computed again; failures are never kept."""

    folder: Path

    def path(self, images_digest: str, extractor: Recipe) -> Path:
        key = short_hash(extractor.fields, digits=16)
        return self.folder / f"{extractor.name}-{key}" / f"{images_digest}.safetensors"

    def read(self, images_digest: str, extractor: Recipe) -> Arrays | None:
        """The features, or None where there are none that can be believed."""
        path = self.path(images_digest, extractor)
        try:
            with safe_open(path, framework="numpy") as file:
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
                digest = (file.metadata() or {}).get("digest")
        except FileNotFoundError:
            return None
        except (SafetensorError, OSError):
            digest, arrays = "", {}
        if digest != _digest(arrays):
            self._drop(path)
            return None
        return arrays

    def _drop(self, path: Path) -> None:
        """Remove what is damaged."""
        path.unlink(missing_ok=True)

    def write(self, images_digest: str, extractor: Recipe, features: Arrays) -> None:
        """Keep features; the file appears whole or not at all.

        Raises:
            OSError: if it cannot be written, as on a full disk; nothing is left behind.
        """
        path = self.path(images_digest, extractor)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-") as folder:
            temporary = Path(folder) / path.name
            try:
                save_file(features, temporary, metadata={"digest": _digest(features)})
            except SafetensorError as error:
                raise OSError(str(error)) from error
            temporary.replace(path)


@dataclass(frozen=True, kw_only=True)
class UnwrittenCache(FeatureCache):
    """A cache whose folder is read and never written; the features asked for last are kept in memory.

    Attributes:
        kept: how many sets of features.
    """

    kept: int = 3
    _memory: dict[Path, Arrays] = field(default_factory=dict)

    def read(self, images_digest: str, extractor: Recipe) -> Arrays | None:
        path = self.path(images_digest, extractor)
        found = self._memory.pop(path, None)
        if found is None:
            return super().read(images_digest, extractor)
        self._memory[path] = found  # behind those that were asked for before
        return found

    def write(self, images_digest: str, extractor: Recipe, features: Arrays) -> None:
        self._memory[self.path(images_digest, extractor)] = features
        while len(self._memory) > self.kept:
            del self._memory[next(iter(self._memory))]

    def _drop(self, path: Path) -> None:
        pass


def _digest(arrays: Arrays) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return digest.hexdigest()
