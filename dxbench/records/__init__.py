"""Records of runs on disk: written atomically, read with suspicion, found again by an index."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
