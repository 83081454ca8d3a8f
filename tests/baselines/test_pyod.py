"""The adapter to PyOD; most of it only where PyOD is installed."""

import sys
from importlib.util import find_spec
from typing import get_args

import numpy as np
import pytest
from dxbench_baselines.knn import KNN, KNNConfig
from dxbench_baselines.pyod import Name, PyOD, PyODConfig

ROWS = np.random.default_rng(0).normal(size=(80, 3)) * [1, 2, 3]
needs_pyod = pytest.mark.skipif(find_spec("pyod") is None, reason="PyOD is an extra")


@needs_pyod
def test_knn_is_pyods_own_and_ours() -> None:
    from pyod.models.knn import KNN as Theirs  # pyright: ignore[reportMissingImports]

    energy = PyOD().fit(ROWS, PyODConfig(detector="knn"), seed=0)
    np.testing.assert_array_equal(energy(ROWS + 1), Theirs().fit(ROWS).decision_function(ROWS + 1))
    np.testing.assert_allclose(energy(ROWS + 1), KNN().fit(ROWS, KNNConfig(), seed=0)(ROWS + 1))


@needs_pyod
@pytest.mark.parametrize("name", get_args(Name))
def test_every_detector_scores_a_point_by_itself(name: str) -> None:
    energy = PyOD().fit(ROWS, PyODConfig(detector=name), seed=0)  # type: ignore[arg-type]
    whole = energy(ROWS)
    np.testing.assert_allclose(np.r_[energy(ROWS[:7]), energy(ROWS[7:])], whole, rtol=1e-6)
    assert np.ptp(whole) > 0


@needs_pyod
def test_parameters_reach_pyod_and_the_seed_decides() -> None:
    def energy(seed: int, **parameters: int) -> np.ndarray:
        config = PyODConfig(detector="inne", parameters={"n_estimators": 20, **parameters})
        return PyOD().fit(ROWS, config, seed=seed)(ROWS)

    np.testing.assert_array_equal(energy(0), energy(0))
    assert not np.array_equal(energy(0), energy(1))
    assert not np.array_equal(energy(0), energy(0, max_samples=4))


@needs_pyod
def test_unknown_parameters_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="neighbors_of_mine"):
        PyOD().fit(ROWS, PyODConfig(detector="knn", parameters={"neighbors_of_mine": 3}), seed=0)


def test_without_pyod_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyod", None)
    monkeypatch.setitem(sys.modules, "pyod.models", None)
    monkeypatch.delitem(sys.modules, "pyod.models.hbos", raising=False)
    with pytest.raises(ImportError, match=r"pip install 'dxmi-bench\[pyod\]'"):
        PyOD().fit(ROWS, PyODConfig(), seed=0)
