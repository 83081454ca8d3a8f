"""Drawing samples and energies from models, and counting what their networks do."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
