"""The start of a fine-tuned model, scored as the model itself."""

from dataclasses import dataclass

from dxbench.api import Estimate, Evidence, Metric, MetricProtocol


@dataclass(frozen=True)
class OfTheStart:
    """A metric of samples, measured on the model that training began from: same protocol, same fingerprint.

    It is no merit of the row, so neither way is good.
    """

    metric: Metric

    @property
    def name(self) -> str:
        return f"{self.metric.name}_start"

    @property
    def title(self) -> str:
        return f"{self.metric.title}, before fine-tuning"

    @property
    def protocol(self) -> MetricProtocol:
        return self.metric.protocol

    def measure(self, evidence: Evidence) -> Estimate:
        return self.metric.measure(evidence.of_start()).model_copy(update={"better": "none"})
