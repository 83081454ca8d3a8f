"""Data sets and weights that are not shipped: where they lie, where they come from, how they are recognised.

A task lists what it needs as `Asset`s; `dxbench prepare` fetches them, and whoever reads one asks it for its path.
"""

from dxbench.assets.asset import Asset, file_digest
from dxbench.assets.pretrained import PretrainedFiles
from dxbench.assets.wheels import WheelMember

__all__ = ["Asset", "PretrainedFiles", "WheelMember", "file_digest"]
