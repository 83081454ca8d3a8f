"""Plug-ins: how a name becomes a task, a method, a configuration or a suite."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
