"""Detectors that are one function of arrays, written as one `fit`."""

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dxbench.api.streams import RandomStreams

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

from dxbench.api.methods import Compute, Method, Need, NoTraining, Training
from dxbench.api.models import Model
from dxbench.api.problems import FiniteData, PatchData, Problem


def array_energy(energy_of_rows: "Callable[[np.ndarray], np.ndarray]") -> Model:
    """The model of a detector that is no network: a function of rows, [n, D] float64 to [n], as its energy."""

    def energy(x: "Tensor") -> "Tensor":
        import torch

        return torch.from_numpy(energy_of_rows(x.flatten(1).double().cpu().numpy()))

    return Model(energy=energy)


class Detector(Method):
    """A method that fits a function of rows to the training set and trains no further: one `fit` is a detector."""

    family = "detector"
    needs = frozenset({Need.TRAINING_DATA, Need.FINITE_DATA})

    @abstractmethod
    def fit(self, rows: "np.ndarray", config: Any, *, seed: int) -> "Callable[[np.ndarray], np.ndarray]":
        """Fit training rows [n, D] float64; returns the energy of rows, [m, D] to [m], larger is more anomalous.

        `seed` is for fits that draw; below 2^32.
        """

    def start(self, problem: Problem, config: Any, *, compute: Compute, rng: RandomStreams) -> Training:
        assert isinstance(problem.data, FiniteData)  # the harness grants what `needs` lists
        rows = problem.data.points.flatten(1).double().numpy()
        return NoTraining(array_energy(self.fit(rows, config, seed=rng.seed("fit") % 2**32)))


def array_maps(energies_of_grids: "Callable[[np.ndarray], np.ndarray]") -> Model:
    """The model of a patch detector that is no network: a function of grids, [n, h, w, d] float64 to [n, h, w]."""

    def maps(grids: "Tensor") -> "Tensor":
        import torch

        return torch.from_numpy(energies_of_grids(grids.double().cpu().numpy()))

    return Model(maps=maps)


class PatchDetector(Method):
    """A `Detector` that looks at where patches lie, or at several of an image at once: one `fit` is all of it.

    One that looks at each patch alone is a `Detector`: tasks with patches give it all of them as rows.
    """

    family = "detector"
    needs = frozenset({Need.TRAINING_DATA, Need.FINITE_DATA, Need.PATCHES})

    @abstractmethod
    def fit(self, grids: "np.ndarray", config: Any, *, seed: int) -> "Callable[[np.ndarray], np.ndarray]":
        """Fit training images [n, h, w, d] float32; returns the energies of images, [m, h, w, d] float64 to [m, h, w].

        `seed` is for fits that draw; below 2^32.
        """

    def start(self, problem: Problem, config: Any, *, compute: Compute, rng: RandomStreams) -> Training:
        assert isinstance(problem.data, PatchData)  # the harness grants what `needs` lists
        grids = problem.data.points.unflatten(0, (-1, *problem.data.grid)).numpy()
        return NoTraining(array_maps(self.fit(grids, config, seed=rng.seed("fit") % 2**32)))
