"""Metrics: plain objects with a protocol, one module per family."""
