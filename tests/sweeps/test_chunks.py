"""Cells packed by expected time."""

from hypothesis import given
from hypothesis import strategies as st

from dxbench.sweeps.chunks import UNKNOWN_SECONDS, pack, selector
from dxbench.sweeps.sweep import chosen

CELLS = [f"cell-{number}" for number in range(10_000)]


def test_ten_thousand_cells_fit_in_a_thousand_tasks() -> None:
    packed = pack(CELLS, dict.fromkeys(CELLS, 3600.0))
    assert len(packed) == 1000
    assert {len(chunk) for chunk in packed} == {10}
    assert len(pack(CELLS, dict.fromkeys(CELLS, 6.0))) == 100
    assert len(pack(CELLS, {})) == 1000


def test_a_chunk_takes_ten_minutes_or_more() -> None:
    packed = pack(CELLS[:7], dict.fromkeys(CELLS, 250.0))
    assert [len(chunk) for chunk in packed] == [3, 3, 1]


def test_long_cells_go_alone_and_short_ones_together() -> None:
    seconds = {"cell-0": 7000.0, "cell-1": 100.0, "cell-2": 100.0, "cell-3": 500.0, "cell-4": 900.0}
    assert pack(CELLS[:5], seconds) == [["cell-0"], ["cell-1", "cell-2", "cell-3"], ["cell-4"]]


def test_unknown_cells_count_as_the_mean_of_known_ones() -> None:
    assert [len(chunk) for chunk in pack(CELLS[:8], {"cell-0": 100.0, "cell-1": 200.0})] == [4, 4]


def test_cells_of_which_nothing_is_known_go_alone() -> None:
    assert UNKNOWN_SECONDS >= 600
    assert pack(CELLS[:3], {}) == [["cell-0"], ["cell-1"], ["cell-2"]]


def test_cells_go_alone_where_nothing_is_the_least() -> None:
    seconds = {"cell-0": 1.0, "cell-1": 1e5, "cell-2": 0.0, "cell-3": 1.0}
    assert pack(CELLS[:4], seconds, least=0.0, most=4) == [["cell-0"], ["cell-1"], ["cell-2"], ["cell-3"]]


def test_no_cells_are_no_chunks() -> None:
    assert pack([], {}) == []


@given(
    st.lists(st.floats(0.0, 1e6) | st.none(), max_size=300),
    st.floats(0.0, 1e4),
    st.integers(1, 40),
)
def test_every_cell_is_in_one_chunk_and_chunks_are_few(times: list[float | None], least: float, most: int) -> None:
    cells = CELLS[: len(times)]
    seconds = {cell: takes for cell, takes in zip(cells, times, strict=True) if takes is not None}
    packed = pack(cells, seconds, least=least, most=most)
    assert [cell for chunk in packed for cell in chunk] == cells
    assert len(packed) <= most
    assert all(packed)


@given(st.sets(st.integers(0, 60), min_size=1))
def test_a_selector_is_read_back_as_what_it_names(numbers: set[int]) -> None:
    text = selector(sorted(numbers))
    assert chosen(range(61), text) == sorted(numbers)
    assert selector([0, 1, 2, 3, 7, 9, 10]) == "0:4,7,9:11"
