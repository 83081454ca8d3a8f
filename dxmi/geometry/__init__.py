"""Geometry: spaces that points live in, features on the sphere, paths between points."""

from dxmi.geometry.features import (
    FeatureKind,
    Lift,
    LocalWhitening,
    MahalanobisLift,
    Projection,
    Whitening,
    fit_features,
    whitener,
)
from dxmi.geometry.interpolation import NeighbourInterpolation
from dxmi.geometry.spaces import Space, UnitSphere
from dxmi.geometry.sphere import exponential_map, project, tangent

__all__ = [
    "FeatureKind",
    "Lift",
    "LocalWhitening",
    "MahalanobisLift",
    "NeighbourInterpolation",
    "Projection",
    "Space",
    "UnitSphere",
    "Whitening",
    "exponential_map",
    "fit_features",
    "project",
    "tangent",
    "whitener",
]
