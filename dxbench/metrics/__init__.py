"""Metrics: plain objects with a protocol, one module per family."""

import sys

from dxbench import CallablePackage

sys.modules[__name__].__class__ = CallablePackage
