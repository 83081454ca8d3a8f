"""Tasks: one module each."""

import sys

import lazy_loader

from dxbench import CallablePackage

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
sys.modules[__name__].__class__ = CallablePackage
