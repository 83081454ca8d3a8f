"""Official weights to ours: pure mappings of state dicts. Files are read and written by the harness."""

from dxmi.checkpoints.conversion import Conversion, Origin
from dxmi.checkpoints.released import dxmi_sampler, dxmi_value
from dxmi.checkpoints.unets import consistency_models, ddgan, edm_adm, edm_song, fastdpm

__all__ = [
    "Conversion",
    "Origin",
    "consistency_models",
    "ddgan",
    "dxmi_sampler",
    "dxmi_value",
    "edm_adm",
    "edm_song",
    "fastdpm",
]
