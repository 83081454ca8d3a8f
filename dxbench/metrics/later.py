"""Metrics that cost too much for every run, and are added to its record when somebody asks."""

from dataclasses import dataclass

from dxbench.api import Estimate, EvaluationInputs, Metric, MetricProtocol, NotApplicable
from dxbench.metrics.scoring import NoSamples


@dataclass(frozen=True)
class Later:
    """A metric of samples that a run leaves out; `dxbench records score` measures it of the samples that are kept.

    Attributes:
        cost: what it takes, as a reader of the record is told.
    """

    metric: Metric
    cost: str

    @property
    def name(self) -> str:
        return self.metric.name

    @property
    def title(self) -> str:
        return self.metric.title

    @property
    def protocol(self) -> MetricProtocol:
        return self.metric.protocol

    def measure(self, inputs: EvaluationInputs) -> Estimate:
        if inputs.samples is None:
            raise NoSamples
        raise NotApplicable(f"{self.cost}; `dxbench records score` adds it to the record of a run")
