"""Metrics of points in the plane against an exact density."""
