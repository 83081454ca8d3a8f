"""Isolation forest: points that random cuts isolate soon are anomalous.

Liu, Ting & Zhou 2008 (doi:10.1109/ICDM.2008.17): the score 2^(-E[path length] / c(n)), through scikit-learn.
"""

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray
from pydantic import PositiveInt

from dxbench.api import Config, Detector

Array = NDArray[Any]


class IForestConfig(Config):
    """Settings of the forest."""

    trees: PositiveInt = 100
    sample: PositiveInt = 256


class IForest(Detector):
    """Score of an isolation forest."""

    name = "iforest"
    version = 1
    citation = "Liu, Ting, Zhou 2008, doi:10.1109/ICDM.2008.17"
    Config = IForestConfig

    def fit(self, rows: Array, config: IForestConfig, *, seed: int) -> Callable[[Array], Array]:
        from sklearn.ensemble import IsolationForest

        forest = IsolationForest(
            n_estimators=config.trees,
            max_samples=min(config.sample, len(rows)),  # pyright: ignore[reportArgumentType]  # "auto" or a number
            random_state=seed,
        ).fit(rows)
        return lambda x: -forest.score_samples(x)
