"""Detectors of PyOD, as they are: an adapter, for those that have no file of their own here.

Zhao, Nasrullah & Li 2019, JMLR 20(96). `decision_function` is larger for anomalies, so it is the energy. PyOD is an
extra: `pip install 'dxmi-bench[pyod]'`.
"""

import importlib
from collections.abc import Callable
from typing import Any, Literal

from numpy.typing import NDArray
from pydantic import Field, JsonValue

from dxbench.api import Config, Detector

Array = NDArray[Any]
# Not ecod and copod: PyOD ranks their test points among each other, so a point's score depends on the batch.
Name = Literal["hbos", "cblof", "lof", "ocsvm", "knn", "mcd", "loda", "inne", "sampling", "gmm"]


class PyODConfig(Config):
    """Settings of a detector of PyOD: which one, and its own parameters by their names there."""

    detector: Name = "hbos"
    parameters: dict[str, JsonValue] = Field(default_factory=dict)


class PyOD(Detector):
    """A detector of PyOD, with PyOD's defaults."""

    name = "pyod"
    version = 1
    citation = "Zhao, Nasrullah, Li 2019, JMLR 20(96)"
    Config = PyODConfig

    def fit(self, rows: Array, config: PyODConfig, *, seed: int) -> Callable[[Array], Array]:
        try:
            module = importlib.import_module(f"pyod.models.{config.detector}")
        except ModuleNotFoundError as error:
            raise ImportError(f"method pyod needs PyOD ({error}); try: pip install 'dxmi-bench[pyod]'") from None
        kind = getattr(module, config.detector.upper() if config.detector != "sampling" else "Sampling")
        parameters: dict[str, Any] = dict(config.parameters)
        if "random_state" in kind.__init__.__code__.co_varnames:
            parameters.setdefault("random_state", seed)
        try:
            detector = kind(**parameters)
        except TypeError as error:
            raise ValueError(f"{config.detector} of PyOD refuses its parameters: {error}") from None
        return detector.fit(rows).decision_function
