"""Geometry of the plots; templates draw it.

Positions along x are in percent of the width and along y in pixels, so that a plot fits a phone as it fits a desk and
its text keeps its size.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from dxbench.api import Curve, Direction
from dxbench.boards.aggregate import RANKING, Row, Summary
from dxbench.boards.render.cells import number, quantity
from dxbench.boards.site.names import row_anchor, tone
from dxbench.metrics.cards import UNLIMITED, Limits, limits

DOTS, CARD_DOTS = 24, 4
"""Rows of a dot plot on the page of a task and on a card; more than that nobody reads, the table has all."""
POINTS = 120
"""Rows of a plot of quality against cost, besides those on the front."""
LINE_WIDTH, LINE_HEIGHT = 144, 28
SCATTER_HEIGHT, CARD_HEIGHT = 400, 150
CROWD, ROOM, SCATTER_MOST = 20, 6, 640
"""Rows whose names `SCATTER_HEIGHT` has room for, pixels more for each further one, and the highest plot."""
DOT_STEP = 34
_LEFT, _RIGHT, _TOP, _BOTTOM = 0.03, 0.97, 14, 26
WIDE, NARROW = 760, 340
"""Pixels of a desk's plot and of a phone's, for which names of points are placed."""
_NAME, _LETTER, _LINE = 26, 6.2, 13  # characters of a name, and pixels of one
_LOG_FROM = 10.0
_LOG_LOW, _LOG_HIGH = 1e-100, 1e100  # beyond them ratios overflow
_EDGE = 1e300  # beyond it sums and differences overflow


@dataclass(frozen=True, kw_only=True)
class Scale:
    """A map from values to [0, 1]; logarithmic where positive values span more than a factor of ten."""

    low: float
    high: float
    log: bool

    @classmethod
    def over(cls, values: Sequence[float], within: Limits = UNLIMITED, *, log_from: float = _LOG_FROM) -> "Scale":
        """The scale of some finite values, at least one; it ends where a metric does.

        Args:
            log_from: the factor from which on positive values have a logarithmic one.
        """
        free = cls._free([within.cut(value) for value in values], log_from)
        return replace(free, low=within.cut(free.low), high=within.cut(free.high))

    @classmethod
    def _free(cls, values: Sequence[float], log_from: float) -> "Scale":
        low, high = _drawn(min(values)), _drawn(max(values))
        log = low > _LOG_LOW and high < _LOG_HIGH and high / low > log_from
        if low == high:
            pad = abs(low) / 2 or 1.0
            return cls(low=low - pad, high=high + pad, log=False)
        if log:
            margin = (high / low) ** 0.04
            return cls(low=low / margin, high=high * margin, log=True)
        margin = (high - low) * 0.04
        return cls(low=low - margin, high=high + margin, log=False)

    def at(self, value: float) -> float:
        """The position of a value, cut to [0, 1]."""
        if self.log:
            share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return min(1.0, max(0.0, share))

    def ticks(self, count: int) -> list[float]:
        """About `count` round values within the scale."""
        from matplotlib.ticker import LogLocator, MaxNLocator

        if self.log:
            decades = math.log10(self.high / self.low)
            subs = (1.0,) if decades > count - 1 else (1.0, 3.0) if decades > 1.5 else (1.0, 2.0, 5.0)
            locator = LogLocator(subs=subs, numticks=2 * count)
        else:
            locator = MaxNLocator(nbins=count, steps=[1, 2, 2.5, 5, 10])
        return [float(t) for t in locator.tick_values(self.low, self.high) if self.low <= t <= self.high]


@dataclass(frozen=True, kw_only=True)
class Tick:
    """A round value of an axis and where it stands."""

    at: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Name:
    """The name of a point, where there is room for it at a width of the plot.

    Attributes:
        dx: pixels from the point's x; `y` from the top.
        anchor: which end of the text is there, as SVG calls it.
        width: "wide", "narrow", or "" for both.
    """

    text: str
    dx: int
    y: int
    anchor: str
    width: str


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A row in a plot.

    Attributes:
        kind: of the row, "marked" where it does not rank.
        tone: class of its family's colour.
        x, y: percent of the width, pixels from the top.
        low, high: ends of the error bar, in the unit of the axis along which it lies; None without one.
        place: its number on the front, from the cheapest, or None.
        beyond: a triangle that points to where it lies, at the end of an axis that does not reach it.
        text: what it says, for those who point at it or hear it.
    """

    anchor: str
    label: str
    kind: str
    tone: str
    x: str
    y: int
    text: str
    low: str | None = None
    high: str | None = None
    place: int | None = None
    beyond: str = ""
    names: tuple[Name, ...] = ()

    @property
    def above(self) -> bool:
        """Drawn last, over the others."""
        return self.place is not None


@dataclass(frozen=True, kw_only=True)
class DotPlot:
    """Mean and spread of each row, best first; the floor as a line.

    Attributes:
        left_out: rows that are not drawn.
    """

    marks: list[Mark]
    ticks: list[Tick]
    floor: Tick | None
    height: int
    left_out: int


@dataclass(frozen=True, kw_only=True)
class ParetoPlot:
    """Quality against a cost, both by means over seeds.

    Attributes:
        front: the marks that no ranked row beats in both, cheapest first.
        steps: the line through the front as (x1, y1, x2, y2).
        row_ticks: of the quality, `at` in pixels.
        without_cost: how many rows have the quality and no such cost on record, so that they have no place.
    """

    cost: str
    marks: list[Mark]
    front: list[Mark]
    steps: list[tuple[str, int, str, int]]
    ticks: list[Tick]
    row_ticks: list[Tick]
    height: int
    left_out: int
    without_cost: int


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of (cost, loss) that no other point equals or beats in both while beating it in one; cheapest first."""
    front: list[int] = []
    for index in sorted(range(len(points)), key=points.__getitem__):
        if not front or points[index][1] < points[front[-1]][1] or points[index] == points[front[-1]]:
            front.append(index)
    return front


def dot_plot(rows: Sequence[Row], metric: str, better: Direction, *, most: int = DOTS) -> DotPlot | None:
    """The best rows that have the metric and stand, draws of the truth as the floor; None if there is none to draw."""
    standing = [row for row in rows if metric in row.scores and not row.withdrawn]
    shown = sorted((row for row in standing if row.kind != "reference"), key=_by(metric, better))
    floor = next((row.scores[metric] for row in standing if row.kind == "reference"), None)
    left_out, shown = max(0, len(shown) - most), shown[:most]
    if not shown:
        return None
    ends = _ends([row.scores[metric] for row in shown], *([] if floor is None else [floor.value]))
    scale = Scale.over(ends, limits(metric))
    marks = []
    for index, row in enumerate(shown):
        summary = row.scores[metric]
        low, high = [_percent(scale.at(end)) for end in _bar(summary)] or (None, None)
        x, y = _percent(scale.at(summary.value)), _TOP + DOT_STEP * index + 22
        marks.append(_mark(row, x=x, y=y, text=f"{row.label}: {number(summary)}", low=low, high=high))
    return DotPlot(
        marks=marks,
        ticks=[Tick(at=_percent(scale.at(t)), text=f"{t:g}") for t in scale.ticks(5)],
        floor=None if floor is None else Tick(at=_percent(scale.at(floor.value)), text=number(floor)),
        height=_TOP + DOT_STEP * len(shown) + _BOTTOM,
        left_out=left_out,
    )


def pareto_plot(
    rows: Sequence[Row],
    metric: str,
    better: Direction,
    *,
    cost: str,
    cost_of: Callable[[Row], float | None],
    height: int | None = None,
) -> ParetoPlot | None:
    """Rows that have the metric and a cost, and stand; None for fewer than two, or where no way is better.

    Without a height the plot grows with its rows.
    """
    candidates = [row for row in rows if metric in row.scores and row.kind != "reference" and not row.withdrawn]
    costs = {id(row): found for row in candidates if (found := cost_of(row)) is not None and found > 0}
    priced = sorted((row for row in candidates if id(row) in costs), key=_by(metric, better))
    if len(priced) < 2 or better == "none":
        return None
    ranked = [row for row in priced if row.ranks]
    sign = -1 if better == "higher" else 1
    best = [ranked[i] for i in pareto_front([(costs[id(r)], sign * r.scores[metric].value) for r in ranked])]
    places = {id(row): place for place, row in enumerate(best, 1)}
    shown = [row for index, row in enumerate(priced) if index < POINTS or id(row) in places]
    if height is None:
        height = min(SCATTER_MOST, SCATTER_HEIGHT + ROOM * max(0, len(shown) - CROWD))
    across = Scale.over([costs[id(row)] for row in shown])
    whole = Scale.over(_ends([row.scores[metric] for row in shown]))
    reached = _reached([row.scores[metric].value for row in shown], log=whole.log)
    ends = _ends([row.scores[metric] for row in shown[:reached]])
    down = Scale.over(ends, limits(metric), log_from=1.0 if whole.log else math.inf)
    arrow = "▲" if sign > 0 else "▼"

    def at(value: float, height: int = height) -> int:
        return _down(down, value, height)

    marks = []
    for index, row in enumerate(shown):
        summary = row.scores[metric]
        low, high = [str(at(end)) for end in _bar(summary)] or (None, None)
        text = f"{row.label}: {number(summary)} at {quantity(costs[id(row)])} {cost}"
        x = _percent(across.at(costs[id(row)]))
        place = places.get(id(row))
        mark = _mark(row, x=x, y=at(summary.value), text=text, low=low, high=high, place=place)
        marks.append(mark if index < reached else replace(mark, low=None, high=None, beyond=arrow))
    levels = [Tick(at=str(at(t)), text=f"{t:g}") for t in down.ticks(4)]
    marks = _named(marks, levels, height)
    front = sorted((mark for mark in marks if mark.place), key=lambda mark: mark.place or 0)
    return ParetoPlot(
        cost=cost,
        marks=marks,
        front=front,
        steps=_steps(front),
        ticks=[Tick(at=_percent(across.at(t)), text=quantity(t)) for t in across.ticks(4)],
        row_ticks=levels,
        height=height,
        left_out=len(priced) - len(shown),
        without_cost=len(candidates) - len(priced),
    )


def _reached(values: Sequence[float], *, log: bool) -> int:
    """The number of some values, the best first, that an axis reaches, which is logarithmic or not.

    In a crowd it goes as far beyond the third quartile as that is from the best: a few rows that went wrong would
    press all others into a corner.
    """
    if len(values) <= CROWD:
        return len(values)
    best = values[0]
    away = [abs(math.log(value / best) if log else _drawn(value) - _drawn(best)) for value in values]
    fence = 2 * away[3 * (len(away) - 1) // 4]
    return sum(distance <= fence for distance in away) if fence else len(values)


def _named(marks: Sequence[Mark], levels: Sequence[Tick], height: int) -> list[Mark]:
    """The marks with their names, as many as there is room for beside the axis: the front's first, papers' last."""
    order = sorted(range(len(marks)), key=lambda i: (marks[i].place is None, marks[i].kind == "published", i))
    found: dict[int, dict[str, Name]] = {index: {} for index in order}
    for width, pixels in (("wide", WIDE), ("narrow", NARROW)):
        taken = [_around(mark, pixels) for mark in marks] + [_of_level(tick, pixels) for tick in levels]
        for index in order:
            for name, box in _placed(marks[index], width, pixels, height):
                if not any(_overlap(box, other) for other in taken):
                    taken.append(box)
                    found[index][width] = name
                    break
    return [replace(mark, names=_once(found[index])) for index, mark in enumerate(marks)]


def _once(names: dict[str, Name]) -> tuple[Name, ...]:
    """One name for both widths where they agree."""
    alike = {replace(name, width="") for name in names.values()}
    return tuple(alike) if len(names) == 2 and len(alike) == 1 else tuple(names.values())


_Box = tuple[float, float, float, float]  # left, top, right, bottom


def _around(mark: Mark, pixels: int) -> _Box:
    x = float(mark.x.removesuffix("%")) / 100 * pixels
    reach = 9 if mark.place else 5
    return x - reach, mark.y - reach, x + reach, mark.y + reach


def _of_level(tick: Tick, pixels: int) -> _Box:
    left, bottom = _LEFT * pixels, int(tick.at)
    return left, bottom - _LINE, left + _LETTER * len(tick.text), bottom


def _placed(mark: Mark, width: str, pixels: int, height: int) -> Iterator[tuple[Name, _Box]]:
    """Places for the name of a point within the plot, and what each would cover; best first."""
    text = mark.label.partition(" — ")[0]
    text = text if len(text) <= _NAME else f"{text[: _NAME - 1]}…"
    left, _, right, _ = _around(mark, pixels)
    x, long = (left + right) / 2, _LETTER * len(text)
    gap = (right - left) / 2 + 2
    for dx, y, anchor in (
        (gap, mark.y + 4, "start"),
        (-gap, mark.y + 4, "end"),
        (0, mark.y - gap - 2, "middle"),
        (0, mark.y + gap + 9, "middle"),
    ):
        start = x + dx - {"start": 0, "end": long, "middle": long / 2}[anchor]
        box = (start, y - _LINE + 3, start + long, y + 3)
        if start >= 0 and box[2] <= pixels and box[1] >= 0 and box[3] <= height - _BOTTOM + 4:
            yield Name(text=text, dx=round(dx), y=round(y), anchor=anchor, width=width), box


def _overlap(one: _Box, other: _Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


@dataclass(frozen=True, kw_only=True)
class Line:
    """A learning curve as a row of a table.

    Attributes:
        points: of a polyline in a box of LINE_WIDTH by LINE_HEIGHT.
        steps: the last step.
    """

    name: str
    points: str
    steps: int
    first: float
    low: float
    high: float
    last: float


def line(name: str, curve: Curve) -> Line | None:
    """A curve as it is thinned; None for an empty one."""
    curve = curve.thinned()
    values = curve.value
    if not values:
        return None
    low, high = min(values), max(values)
    top, span = _drawn(high), (_drawn(high) - _drawn(low)) or 1.0
    across = LINE_WIDTH / max(len(values) - 1, 1)
    points = " ".join(
        [f"{int(i * across)} {int((top - _drawn(v)) / span * (LINE_HEIGHT - 4) + 2.5)}" for i, v in enumerate(values)]
    )
    return Line(name=name, points=points, steps=curve.step[-1], first=values[0], low=low, high=high, last=values[-1])


def _drawn(value: float) -> float:
    return max(-_EDGE, min(_EDGE, value))


def _by(metric: str, better: Direction) -> Callable[[Row], tuple[float, str]]:
    sign = -1 if better == "higher" else 1
    return lambda row: (sign * row.scores[metric].value, row.label)


def _bar(summary: Summary) -> list[float]:
    return [] if summary.std is None else [summary.value - summary.std, summary.value + summary.std]


def _ends(summaries: Sequence[Summary], *more: float) -> list[float]:
    """The values that an axis has to hold, and those ends of error bars that leave it its logarithm."""
    values = [*(summary.value for summary in summaries), *more]
    return values + [end for summary in summaries for end in _bar(summary) if end > 0 or min(values) <= 0]


def _mark(row: Row, *, x: str, y: int, text: str, low: str | None, high: str | None, place: int | None = None) -> Mark:
    return Mark(
        anchor=row_anchor(row),
        label=row.label,
        kind="marked" if row.kind in RANKING and not row.ranks else row.kind,
        tone=tone(row.family),
        x=x,
        y=y,
        text=text,
        low=low,
        high=high,
        place=place,
    )


def _percent(share: float) -> str:
    return f"{100 * (_LEFT + share * (_RIGHT - _LEFT)):.1f}%"


def _down(scale: Scale, value: float, height: int) -> int:
    return round(_TOP + (1 - scale.at(value)) * (height - _TOP - _BOTTOM))


def _steps(front: Sequence[Mark]) -> list[tuple[str, int, str, int]]:
    """The best that is to be had at every cost: along, then up or down at the next point."""
    steps: list[tuple[str, int, str, int]] = []
    for here, there in pairwise(front):
        steps += [(here.x, here.y, there.x, here.y), (there.x, here.y, there.x, there.y)]
    if front:
        steps.append((front[-1].x, front[-1].y, "100%", front[-1].y))
    return steps
