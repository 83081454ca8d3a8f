"""Official weights that a task grants (`dxbench.api.Pretrained`)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dxbench.assets.asset import Asset
from dxbench.errors import unknown
from dxbench.files import weights

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class PretrainedFiles:
    """Weight files by the name a task gives them."""

    task: str
    files: Mapping[str, Asset]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.files)

    def require(self, name: str) -> None:
        self._file(name).require()

    def load(self, name: str) -> "Mapping[str, Tensor]":
        return weights.read(self._file(name).verify())

    def _file(self, name: str) -> Asset:
        if name not in self.files:
            remedy = f"See `dxbench prepare --task {self.task} --list`."
            raise unknown(f"pretrained weights of {self.task}", name, self.files, remedy=remedy)
        return replace(self.files[name], task=self.task)  # the remedy names this task
