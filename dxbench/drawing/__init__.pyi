from .counting import OperationCounter as OperationCounter
from .counting import counted_passes as counted_passes
from .draw import count_parameters as count_parameters
from .draw import draw_chains as draw_chains
from .draw import draw_samples as draw_samples
from .draw import energy_function as energy_function
from .draw import energy_maps as energy_maps
from .draw import sampling_flops as sampling_flops
