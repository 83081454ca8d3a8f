from .sweep import Sweep as Sweep
from .sweep import chosen as chosen
from .sweep import read_cells as read_cells
