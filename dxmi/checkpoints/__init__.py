"""Official weights to ours: pure mappings of state dicts. Files are read and written by the harness."""

from dxmi.checkpoints.conversion import SHOWN, Conversion, Origin, State, same
from dxmi.checkpoints.layout import Part, Parts, origins, renamed
from dxmi.checkpoints.released import dxmi_sampler, dxmi_value
from dxmi.checkpoints.unets import consistency_models, ddgan, edm_adm, edm_song, fastdpm
from dxmi.checkpoints.units import Kind, Stage, Unit

__all__ = [
    "SHOWN",
    "Conversion",
    "Kind",
    "Origin",
    "Part",
    "Parts",
    "Stage",
    "State",
    "Unit",
    "consistency_models",
    "ddgan",
    "dxmi_sampler",
    "dxmi_value",
    "edm_adm",
    "edm_song",
    "fastdpm",
    "origins",
    "renamed",
    "same",
]
