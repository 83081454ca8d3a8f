"""Where points of a plot lie, and which of them are on the front."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dxbench.api import CURVE_POINTS, Curve, Direction
from dxbench.boards.aggregate import Kind, Mark, Row, Summary
from dxbench.boards.site.plots import (
    DOTS,
    LINE_HEIGHT,
    LINE_WIDTH,
    Scale,
    dot_plot,
    line,
    pareto_front,
    pareto_plot,
)
from dxbench.metrics.cards import Limits, limits

any_size = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([5e-324, -5e-324, 1.7e308, -1.7e308, 1e155, 1e-155, 0.0]),
)


@given(st.lists(any_size, min_size=1, max_size=6), any_size)
def test_scales_and_curves_of_any_size_lie_within(values: list[float], value: float) -> None:
    scale = Scale.over(values)
    assert 0 <= scale.at(value) <= 1
    assert all(math.isfinite(tick) for tick in scale.ticks(5))
    drawn = line("loss", Curve(step=list(range(len(values))), value=values))
    assert drawn is not None
    assert all(0 <= int(number) <= LINE_WIDTH for point in drawn.points.split() for number in point.split(" "))


def row(
    label: str,
    value: float,
    *,
    nfe: float | None = 1.0,
    std: float | None = 0.0,
    kind: Kind = "measured",
    marks: tuple[Mark, ...] = (),
    better: Direction = "lower",
) -> Row:
    """A row with one metric."""
    summary = Summary(value=value, std=std, better=better, fingerprint="f", by_seed={0: value, 1: value})
    return Row(label=label, kind=kind, config_id=label, nfe=nfe, scores={"m": summary}, marks=marks)


def percent(text: str) -> float:
    return float(text.removesuffix("%"))


POINTS = st.lists(st.tuples(st.integers(0, 6).map(float), st.integers(0, 6).map(float)), max_size=12)


@given(POINTS)
def test_the_front_is_what_the_definition_says(points: list[tuple[float, float]]) -> None:
    def beaten(a: tuple[float, float]) -> bool:
        return any(b[0] <= a[0] and b[1] <= a[1] and b != a for b in points)

    front = pareto_front(points)
    assert sorted(front) == [i for i, point in enumerate(points) if not beaten(point)]
    assert [points[i] for i in front] == sorted(points[i] for i in front)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=9))
def test_a_scale_keeps_order_and_holds_its_values_and_ticks(values: list[float]) -> None:
    scale = Scale.over(values)
    places = [scale.at(value) for value in sorted(values)]
    assert places == sorted(places)
    assert all(0 <= place <= 1 for place in places)
    assert all(scale.low <= tick <= scale.high for tick in scale.ticks(5))


def test_a_scale_is_logarithmic_beyond_a_factor_of_ten_of_positive_values() -> None:
    scale = Scale.over([1.0, 100.0])
    assert scale.log
    assert scale.at(10.0) == pytest.approx(0.5)
    assert {1.0, 10.0, 100.0} <= set(scale.ticks(5))
    assert not Scale.over([1.0, 5.0]).log
    assert not Scale.over([-1.0, 100.0]).log
    assert not Scale.over([2.2e-309, 1.0]).log  # their ratio is infinite
    assert Scale.over([3.0]).at(3.0) == 0.5


def test_an_axis_ends_where_its_metric_does() -> None:
    """A mean of 95 % with a spread of 20 reaches beyond what a percentage can be."""
    scale = Scale.over([60.0, 75.0, 115.0], Limits(0.0, 100.0))
    assert (scale.high, scale.at(115.0), max(scale.ticks(5))) == (100.0, 1.0, 100.0)
    assert limits("auroc") == Limits(0.0, 100.0)
    assert Scale.over([0.0, 0.4], limits("sw2")).low == 0.0


def test_dots_stand_best_first_with_error_bars_and_the_floor_apart() -> None:
    rows = [row("b", 2.0, std=0.5), row("a", 1.0), row("floor", 0.5, kind="reference"), row("c", 3.0, std=None)]
    plot = dot_plot(rows, "m", "lower")
    assert plot is not None
    assert [mark.label for mark in plot.marks] == ["a", "b", "c"]
    assert [percent(mark.x) for mark in plot.marks] == sorted(percent(mark.x) for mark in plot.marks)
    bar = plot.marks[1]
    assert bar.low is not None
    assert bar.high is not None
    assert percent(bar.low) < percent(bar.x) < percent(bar.high)
    assert plot.marks[2].low is None
    assert plot.floor is not None
    assert percent(plot.floor.at) < percent(plot.marks[0].x)
    upside_down = dot_plot(rows, "m", "higher")
    assert upside_down is not None
    assert [mark.label for mark in upside_down.marks] == ["c", "b", "a"]


def test_a_plot_of_many_rows_says_how_many_it_leaves_out() -> None:
    plot = dot_plot([row(f"r{i:02}", float(i)) for i in range(DOTS + 5)], "m", "lower")
    assert plot is not None
    assert (len(plot.marks), plot.left_out) == (DOTS, 5)
    assert dot_plot([row("floor", 0.5, kind="reference")], "m", "lower") is None


def test_only_ranked_rows_are_on_the_front_and_what_is_beaten_is_not() -> None:
    rows = [
        row("cheap", 3.0, nfe=1),
        row("dear", 1.0, nfe=100),
        row("beaten", 4.0, nfe=5),
        row("printed", 0.1, nfe=1, kind="published"),
        row("one seed", 0.1, nfe=1, marks=(Mark.ONE_SEED,)),
        row("free", 2.0, nfe=None),
    ]
    plot = pareto_plot(rows, "m", "lower", cost="NFE", cost_of=lambda row: row.nfe)
    assert plot is not None
    assert [mark.label for mark in plot.front] == ["cheap", "dear"]
    assert {mark.label: mark.kind for mark in plot.marks if not mark.place} == {
        "beaten": "measured",
        "printed": "published",
        "one seed": "marked",
    }
    by_label = {mark.label: mark for mark in plot.marks}
    assert by_label["dear"].y > by_label["cheap"].y
    assert percent(by_label["dear"].x) > percent(by_label["beaten"].x) > percent(by_label["cheap"].x)


def test_where_higher_is_better_the_front_rises() -> None:
    rows = [row("cheap", 0.5, nfe=1), row("dear", 0.9, nfe=10), row("beaten", 0.4, nfe=10)]
    plot = pareto_plot(rows, "m", "higher", cost="NFE", cost_of=lambda row: row.nfe)
    assert plot is not None
    assert [mark.label for mark in plot.front] == ["cheap", "dear"]
    assert pareto_plot(rows, "m", "none", cost="NFE", cost_of=lambda row: row.nfe) is None
    assert pareto_plot(rows[:1], "m", "higher", cost="NFE", cost_of=lambda row: row.nfe) is None


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=400))
def test_a_curve_fits_its_box_and_has_its_ends(values: list[float]) -> None:
    curve = Curve(step=list(range(1, len(values) + 1)), value=values)
    drawn = line("loss", curve)
    assert drawn is not None
    numbers = [int(text) for text in drawn.points.split()]
    thin = curve.thinned().value
    assert len(numbers) == 2 * len(thin) <= 2 * CURVE_POINTS
    assert all(0 <= x <= LINE_WIDTH for x in numbers[::2])
    assert all(0 <= y <= LINE_HEIGHT for y in numbers[1::2])
    assert (drawn.first, drawn.last, drawn.steps) == (thin[0], thin[-1], len(values))


def test_an_empty_curve_is_none() -> None:
    assert line("loss", Curve(step=[], value=[])) is None


def crowd(*, better: Direction = "lower") -> list[Row]:
    """Thirty rows between 1 and 4 in steps, and two that went wrong."""
    values = [1 + index / 10 for index in range(30)] + ([1e3, 1e6] if better == "lower" else [-1e3, -1e6])
    return [row(f"r{index}", value, better=better) for index, value in enumerate(values)]


@pytest.mark.parametrize(("better", "arrow"), [("lower", "▲"), ("higher", "▼")])
def test_rows_that_went_wrong_do_not_press_a_crowd_into_a_corner(better: Direction, arrow: str) -> None:
    plot = pareto_plot(crowd(better=better), "m", better, cost="NFE", cost_of=lambda row: row.nfe)
    assert plot is not None
    beyond = {mark.label: mark for mark in plot.marks if mark.beyond}
    assert set(beyond) == {"r30", "r31"}
    assert {mark.beyond for mark in beyond.values()} == {arrow}
    assert {mark.low for mark in beyond.values()} == {None}
    within = [mark.y for mark in plot.marks if not mark.beyond]
    assert max(within) - min(within) > plot.height / 2, "the crowd has the plot"
    assert len(plot.marks) == 32
    assert all("1e+0" in mark.text or "1000" in mark.text for mark in beyond.values())


def test_a_plot_of_few_rows_reaches_all_of_them() -> None:
    plot = pareto_plot(crowd()[-3:], "m", "lower", cost="NFE", cost_of=lambda row: row.nfe)
    assert plot is not None
    assert not any(mark.beyond for mark in plot.marks)


@given(st.lists(any_size, min_size=2, max_size=30), st.sampled_from(["lower", "higher"]))
def test_plots_of_any_values_lie_within_their_height(values: list[float], better: Direction) -> None:
    rows = [row(f"r{index}", value, better=better) for index, value in enumerate(values)]
    plot = pareto_plot(rows, "m", better, cost="NFE", cost_of=lambda row: row.nfe)
    assert plot is not None
    assert all(0 <= mark.y <= plot.height for mark in plot.marks)
    assert not any(mark.beyond for mark in plot.front)


def test_a_plot_grows_with_its_rows_and_names_keep_off_the_axis() -> None:
    few, many = (
        pareto_plot(crowd()[:count], "m", "lower", cost="NFE", cost_of=lambda row: row.nfe) for count in (5, 30)
    )
    assert few is not None
    assert many is not None
    assert few.height < many.height
    left = 0.03 * 760
    for tick in many.row_ticks:
        for mark in many.marks:
            for name in mark.names:
                x = percent(mark.x) / 100 * 760 + name.dx
                over = {"start": x, "middle": x - 3.1 * len(name.text), "end": x - 6.2 * len(name.text)}[name.anchor]
                apart = abs(name.y - (int(tick.at) - 3)) >= 10
                assert apart or over >= left + 6.2 * len(tick.text) or name.width == "narrow"
