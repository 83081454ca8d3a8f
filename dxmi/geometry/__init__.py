"""Geometry: spaces that points live in, features on the sphere, paths between points."""
