from dataclasses import dataclass

import pytest

from dxbench.api import Estimate, EvaluationInputs, MetricProtocol, NotApplicable
from dxbench.errors import NothingMeasured
from dxbench.metrics.scoring import score

NOTHING = EvaluationInputs(samples=None, energy=None, temperature=None, nfe=None, reference=None)


@dataclass(frozen=True)
class Fixed:
    """A metric that always measures `value`, or does not apply."""

    name: str
    value: float | None
    title: str = "fixed"

    @property
    def protocol(self) -> MetricProtocol:
        return MetricProtocol(name=self.name, version=1, fields={})

    def measure(self, inputs: EvaluationInputs) -> Estimate:
        if self.value is None:
            raise NotApplicable(f"{self.name} has nothing to measure")
        return Estimate(value=self.value, better="lower", fingerprint=self.protocol.fingerprint)


@dataclass(frozen=True)
class Broken(Fixed):
    def measure(self, inputs: EvaluationInputs) -> Estimate:
        raise ZeroDivisionError


def test_scores_notes_and_protocols_are_kept_apart():
    told = []
    one, two = Fixed("one", 1.5), Fixed("two", None)
    scores, notes, protocols = score([one, two], NOTHING, progress=told.append)
    assert {name: estimate.value for name, estimate in scores.items()} == {"one": 1.5}
    assert notes == {"two": "two has nothing to measure"}
    assert protocols == {scores["one"].fingerprint: one.protocol}
    assert told == ["measuring one", "measuring two"]


def test_a_bug_in_a_metric_is_no_note():
    with pytest.raises(ZeroDivisionError):
        score([Broken("one", 1.0)], NOTHING, progress=lambda _: None)


def test_a_metric_that_is_not_finite_ends_with_its_name():
    with pytest.raises(NothingMeasured, match="one comes out as inf, no finite number"):
        score([Fixed("one", float("inf"))], NOTHING, progress=lambda _: None)
