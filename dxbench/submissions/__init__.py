"""Bundles of records that others can check without running anything: pack, validate, merge."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
