"""Numbers of papers as data: results/published/*.json, every row with its source."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, ValidationError

from dxbench.api import Frozen, NonNegative, Settings, refusal
from dxbench.errors import InvalidFile
from dxbench.files.reading import read_regular

FILE_LIMIT = 4 * 2**20
"""Bytes of a file; the largest has 69,000."""


class Source(Frozen):
    """The place where published numbers were read."""

    key: str
    title: str
    venue: str
    arxiv: str
    version: str

    @property
    def cited(self) -> str:
        """The identifier with its version, or with what else was read."""
        is_version = self.version.removeprefix("v").isdigit()
        return f"arXiv:{self.arxiv}{'' if is_version else ', '}{self.version}"


class PublishedScore(Frozen):
    """A printed number, with its printed spread."""

    value: float
    std: NonNegative | None = None
    decimals: tuple[int, int] = (0, 0)

    @property
    def rounding(self) -> float:
        """The furthest that a number lies from the value as printed, if it rounds to it."""
        return 0.5 * 10.0 ** -self.decimals[0]

    @property
    def printed(self) -> str:
        """The number as it stands in the paper: `decimals` of value and of std are those of its column there."""
        spread = "" if self.std is None else f" ± {self.std:.{self.decimals[1]}f}"
        return f"{self.value:.{self.decimals[0]}f}{spread}"


class Equivalent(Frozen):
    """The protocol of ours that measures what a paper describes.

    Attributes:
        assumed: what the paper leaves open and how it was read; "" where it leaves nothing open.
    """

    fingerprint: str = Field(pattern="^[0-9a-f]{16}$")
    assumed: str


class PublishedRow(Frozen):
    """One row of a paper's table.

    Attributes:
        part: the category or data set whose number this is, where our metric is a mean over several.
        match: method and configuration of ours that this row describes, and the preset where one is meant.
        protocol: what the paper says of how it measured.
        equivalents: by metric, the protocol of ours that measures the same; a metric without one compares with nothing.
        unstated: what of the setting the paper does not name, so that a gap to our number has no reading; "" where it
            names what the numbers depend on.
        disputed: why the number is doubtful, in a sentence.
    """

    id: str
    task: str
    table: str
    label: str
    group: str | None = None
    nfe: NonNegative | None = None
    part: str | None = None
    match: Settings | None = None
    scores: dict[str, PublishedScore]
    protocol: str
    equivalents: dict[str, Equivalent] = Field(default_factory=dict)
    unstated: str = ""
    disputed: str | None = None


class PublishedFile(Frozen):
    """One file of one source."""

    schema_version: int
    source: Source
    rows: list[PublishedRow] = Field(min_length=1)


def read_published(folder: Path) -> list[tuple[Source, PublishedRow]]:
    """All published rows of a folder, in file order.

    Raises:
        InvalidFile: for a file that does not validate; a published number without a source is one.
    """
    rows = []
    for path in sorted(folder.glob("*.json")):
        try:
            file = PublishedFile.model_validate_json(read_regular(path, limit=FILE_LIMIT))
        except (OSError, InvalidFile, ValueError) as error:
            reason = refusal(error) if isinstance(error, ValidationError) else error
            raise InvalidFile(f"{path} is not a valid file of published rows: {reason}") from None
        rows += [(file.source, row) for row in _as_printed(file.rows)]
    return rows


def _as_printed(rows: Sequence[PublishedRow]) -> list[PublishedRow]:
    """Rows whose numbers know their decimals: a paper prints as many down a column, and JSON drops last zeros."""
    columns: dict[tuple[str, str], list[PublishedScore]] = defaultdict(list)
    for row in rows:
        for metric, score in row.scores.items():
            columns[row.table, metric].append(score)
    decimals = {
        key: (max(_decimals(s.value) for s in scores), max(_decimals(s.std) for s in scores))
        for key, scores in columns.items()
    }
    return [
        row.model_copy(
            update={
                "scores": {
                    metric: score.model_copy(update={"decimals": decimals[row.table, metric]})
                    for metric, score in row.scores.items()
                }
            }
        )
        for row in rows
    ]


def _decimals(value: float | None) -> int:
    """Count the decimals of a number as JSON has it; 0 where there is no number."""
    return 0 if value is None else len(f"{value:f}".rstrip("0").partition(".")[2])
