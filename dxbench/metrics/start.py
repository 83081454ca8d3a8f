"""The start of a fine-tuned model, scored as the model itself."""

from dataclasses import dataclass, replace

from dxbench.api import Estimate, Evidence, Metric, MetricProtocol, NotApplicable


@dataclass(frozen=True)
class OfTheStart:
    """A metric of samples, measured on the model that training began from: same protocol, same fingerprint."""

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
        if evidence.start_samples is None:
            raise NotApplicable("the model was not fine-tuned from another")
        return self.metric.measure(replace(evidence, samples=evidence.start_samples, energy=None))
