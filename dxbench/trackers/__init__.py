"""Trackers of experiments, which `dxbench run --track NAME` tells of a run: scalars now and then, and scores."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
