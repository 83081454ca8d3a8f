"""`dxbench new`: packages of one's own, from templates that are tested as they stand."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
