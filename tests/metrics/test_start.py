from dataclasses import dataclass

import numpy as np
import pytest

from dxbench.api import Estimate, EvaluationInputs, MetricProtocol, NotApplicable
from dxbench.metrics.scoring import require_samples, single
from dxbench.metrics.start import OfTheStart


@dataclass(frozen=True)
class Mean:
    """The mean of all samples."""

    name: str = "mean"
    title: str = "mean"

    @property
    def protocol(self) -> MetricProtocol:
        return MetricProtocol(name=self.name, version=1, fields={})

    def measure(self, inputs: EvaluationInputs) -> Estimate:
        return single(self.protocol, require_samples(inputs, 1).mean(), better="lower")


def inputs(start: float | None) -> EvaluationInputs:
    before = None if start is None else np.full((3, 1), start)
    return EvaluationInputs(
        samples=np.ones((3, 1)), energy=None, temperature=None, nfe=None, reference=None, start_samples=before
    )


def test_the_start_is_measured_in_place_of_the_model_in_the_same_way_and_is_no_merit():
    metric = OfTheStart(Mean())
    assert (metric.name, metric.title) == ("mean_start", "mean, before fine-tuning")
    found = metric.measure(inputs(7.0))
    assert found.value == 7.0
    assert found.better == "none"
    assert found.fingerprint == metric.protocol.fingerprint != Mean().protocol.fingerprint
    assert metric.protocol.fields == {"model": "the one that training began from"}
    assert Mean().measure(inputs(7.0)).value == 1.0


def test_a_model_without_a_start_has_no_such_number():
    with pytest.raises(NotApplicable, match="not fine-tuned"):
        OfTheStart(Mean()).measure(inputs(None))
