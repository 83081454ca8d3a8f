"""Scores as Python users see them: numbers by name, with all that is known of each behind them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from markupsafe import escape

from dxbench.api import Estimate, Evaluation, MetricProtocol, ResultRecord


@dataclass(frozen=True, kw_only=True, eq=False)
class Scores(Mapping[str, float]):
    """Numbers by name of metric: `scores["sw2"]`, `dict(scores)`.

    Attributes:
        estimates: each with its std over repeated measurements, unit, direction and the fingerprint of its protocol.
        notes: by metric, why it has no number.
        protocols: by fingerprint, every choice that a number depends on.
        warnings: what a reader has to know, such as truncated pixels.
        nfe: counted evaluations of networks per sample; None where they are not known.
        n: how many samples were scored; None where that is not known.
    """

    estimates: Mapping[str, Estimate]
    notes: Mapping[str, str] = field(default_factory=dict)
    protocols: Mapping[str, MetricProtocol] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    nfe: float | None = None
    n: int | None = None

    @classmethod
    def of(cls, found: Evaluation | ResultRecord, *, n: int | None = None) -> "Scores":
        """Those of an evaluation or a record."""
        return cls(
            estimates=found.scores,
            notes=found.notes,
            protocols=found.protocols,
            warnings=tuple(found.warnings),
            nfe=found.nfe,
            n=n,
        )

    def __getitem__(self, name: str) -> float:
        if name not in self.estimates:
            why = self.notes.get(name)
            raise KeyError(f"{name} was not measured: {why}" if why else f"{name} is none of {', '.join(self)}")
        return self.estimates[name].value

    def __iter__(self) -> Iterator[str]:
        return iter(self.estimates)

    def __len__(self) -> int:
        return len(self.estimates)

    def __repr__(self) -> str:
        return f"Scores({', '.join(f'{name}={shown(estimate)}' for name, estimate in self.estimates.items())})"

    def _repr_html_(self) -> str:
        return html_table(
            ("metric", "value", "better", "protocol"),
            [(name, shown(one), one.better, one.fingerprint) for name, one in self.estimates.items()]
            + [(name, "–", "", note) for name, note in self.notes.items()],
        )


def shown(estimate: Estimate) -> str:
    """Value, spread and unit, in four significant digits."""
    spread = "" if estimate.std is None else f" ± {estimate.std:.2g}"
    return f"{estimate.value:.4g}{spread}{' ' + estimate.unit if estimate.unit else ''}"


def html_table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A table for notebooks, whose texts are texts."""
    head = "".join(f"<th>{escape(text)}</th>" for text in header)
    body = "".join(f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
