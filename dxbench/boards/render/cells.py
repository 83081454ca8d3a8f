"""The parts of a table that every format prints: title, header, cells and notes, plain and before any mark-up."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import median

from dxbench.api import Direction
from dxbench.boards.aggregate import Mark, Row, Summary
from dxbench.boards.ranking import ALPHA, Places
from dxbench.boards.tables import Block, Table
from dxbench.plain import plain

ARROWS = {"lower": " ↓", "higher": " ↑", "none": ""}
KIND_SIGNS = {"published": "† ", "external": "* ", "reference": "= ", "told": "= ", "measured": ""}
MISSING = "–"
_LONG = 1e12


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A cell's text; of a ranked number also its places, which say whether it is bold.

    Attributes:
        struck: the number is known to be wrong, or it is the label of such a row.
    """

    text: str
    rank: Places | None = None
    struck: bool = False

    @property
    def bold(self) -> bool:
        return self.rank is not None and self.rank.bold


def number(summary: Summary, digits: int | None = None) -> str:
    """Mean ± std: a paper's as it printed them, ours with the decimals of their column, or those that suit them."""
    if summary.printed is not None:
        return summary.printed
    places = decimals([summary]) if digits is None else digits
    spread = "" if summary.std is None else f" ± {_fixed(summary.std, places)}"
    return f"{_fixed(summary.value, places)}{spread}"


def _fixed(value: float, places: int) -> str:
    """The number with so many decimals; with an exponent if it took more than a dozen digits before them."""
    return f"{value:.4g}" if abs(value) >= _LONG else f"{value:.{places}f}"


def decimals(summaries: Iterable[Summary]) -> int:
    """Decimals of a column: none of counts and zeros, two of percentages and above 1, four below, one from 1,000 on."""
    ours = [summary for summary in summaries if summary.printed is None]
    measured = [value for summary in ours for value in summary.by_seed.values()]
    whole = bool(measured) and all(float(value).is_integer() for value in measured)
    if whole and (max(measured) >= 2 or not any(measured)):
        return 0
    if any(summary.unit == "%" for summary in ours):
        return 2
    middle = median(abs(summary.value) for summary in ours) if ours else 0.0
    return 4 if middle < 1 else 2 if middle < 1000 else 1


def quantity(value: float | None) -> str:
    """Three digits with a metric prefix: 171k, 2.43G."""
    if value is None:
        return ""
    for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.3g}{prefix}"
    return f"{value:.3g}"


def directions(table: Table) -> dict[str, Direction]:
    """The sign of each metric: which way is good."""
    better: dict[str, Direction] = dict.fromkeys(table.metrics, "none")
    for row in table.rows:
        better |= {name: s.better for name, s in row.scores.items() if name in better and s.better != "none"}
    return better


def title(table: Table) -> str:
    """The title of the table."""
    return plain(table.title)


def differing(block: Block) -> list[str]:
    """Tell in sentences what sets the block apart from the first."""
    return [plain(text) for text in block.differing]


def header(table: Table) -> list[str]:
    """Column heads; arrows say which way is good."""
    metrics = [f"{plain(name)}{ARROWS[better]}" for name, better in directions(table).items()]
    return ["", "NFE", *metrics, "seeds", "passes", "train FLOP", "FLOP"]


def cells(table: Table, block: Block) -> Iterator[list[Cell]]:
    """The rows of a block, cell by cell as `header` names them."""
    digits = {name: decimals(row.scores[name] for row in table.rows if name in row.scores) for name in table.metrics}
    for index, row in enumerate(block.rows):
        yield [
            Cell(text=label(row), struck=row.withdrawn),
            Cell(text="" if row.nfe is None else f"{row.nfe:g}"),
            *(_score(row, block, index, name, digits[name]) for name in table.metrics),
            Cell(text=str(row.seeds) if row.seeds else ""),
            Cell(text=quantity(row.cost.training_passes)),
            Cell(text=quantity(row.cost.training_flops)),
            Cell(text=quantity(row.cost.flops)),
        ]


def label(row: Row) -> str:
    """The row's label with a sign for its kind and what keeps it from ranking."""
    marks = f" [{', '.join(row.shown_marks)}]" if row.shown_marks else ""
    return f"{KIND_SIGNS[row.kind]}{plain(row.label)}{marks}"


def _score(row: Row, block: Block, index: int, metric: str, digits: int) -> Cell:
    if metric not in row.scores:
        return Cell(text=MISSING)
    text = number(row.scores[metric], digits)
    return Cell(text=text, rank=block.ranks[metric].get(index), struck=row.withdrawn)


def notes(table: Table) -> list[str]:
    """The legend of the signs that occur, then the table's own footnotes."""
    kinds = {row.kind for row in table.rows}
    found = []
    if any(ranks for block in table.blocks for ranks in block.ranks.values()):
        found.append(
            "Raised numbers are the ranks that a row may have; a row is bold if no other is significantly better and "
            "one at least is significantly worse, by Welch's t test over training seeds, Holm-adjusted over all pairs "
            f"of rows of a column, alpha = {ALPHA:g} per column."
        )
        if any(
            block.rows[index].scores[metric].std == 0
            for block in table.blocks
            for metric, ranks in block.ranks.items()
            for index in ranks
        ):
            found.append(
                "Where a row has a spread of 0, as a method has that draws nothing at random, the tests take its "
                "number for exact. They are of training seeds alone: other test data would move all rows."
            )
    if "published" in kinds:
        found.append("† published in a paper, not measured here; ± as published.")
    if "external" in kinds:
        found.append("* from outside: dxbench did not draw these samples; such rows rank only among themselves.")
    references = {"reference": "real data, scored like samples of a model", "told": "a method that knows the truth"}
    if shown := [text for kind, text in references.items() if kind in kinds]:
        found.append(f"= reference: {', or '.join(shown)}.")
    marks = {mark for row in table.rows for mark in row.shown_marks}
    found += [f"[{mark}] {mark.meaning}; does not rank." for mark in Mark if mark in marks]
    if any(row.seeds > 1 for row in table.rows):
        found.append(
            "± of our rows is the std over training seeds. FLOP is per sample. Passes (inputs that went forward "
            "through a network) and train FLOP cover the whole training, a teacher or backbone included. They are "
            "estimated from 64 steps, and blank in older records."
        )
    return [*found, *(plain(note) for note in table.footnotes)]
