"""Features of images: fixed networks, one pass over the images for all metrics, and a cache by content."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
