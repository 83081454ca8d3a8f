"""The start of a fine-tuned model, scored as the model itself."""

from dataclasses import dataclass

from dxbench.api import Estimate, EvaluationInputs, Metric, MetricProtocol


@dataclass(frozen=True)
class OfTheStart:
    """A metric of samples, measured in the same way on the model that training began from; no merit of a method."""

    metric: Metric

    @property
    def name(self) -> str:
        return f"{self.metric.name}_start"

    @property
    def title(self) -> str:
        return f"{self.metric.title}, before fine-tuning"

    @property
    def protocol(self) -> MetricProtocol:
        measured = self.metric.protocol
        fields = {**measured.fields, "model": "the one that training began from"}
        return MetricProtocol(name=self.name, version=measured.version, fields=fields)

    def measure(self, inputs: EvaluationInputs) -> Estimate:
        estimate = self.metric.measure(inputs.of_start())
        return estimate.model_copy(update={"better": "none", "fingerprint": self.protocol.fingerprint})
