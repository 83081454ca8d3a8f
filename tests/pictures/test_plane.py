"""Pictures of points in the plane."""

import numpy as np

from dxbench.pictures import plane_pictures


def test_marginals_span_the_square_of_the_task():
    points = np.random.default_rng(0).normal(scale=20.0, size=(500, 2))
    arrays = {"samples": points, "test": points}
    (marginals,) = (picture for picture in plane_pictures(arrays, box=(-60.0, 60.0)) if picture.title == "Marginals")
    for axes in marginals.figure.axes:
        low, high = axes.get_xlim()
        assert low <= -60.0
        assert high >= 60.0
