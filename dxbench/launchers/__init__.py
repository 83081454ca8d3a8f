"""Ways to get the cells of a sweep run: on this machine, by SLURM, by Ray."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
