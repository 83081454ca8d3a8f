"""dxbench from Python: what `import dxbench` offers, by the same engine and boards as the command line."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
