"""Places, marks and blocks: what may share a ranking, and how."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Ended
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_records import PROVENANCE, record
from scipy import stats

from dxbench.api import Estimate, MetricProtocol, ResultRecord
from dxbench.boards.aggregate import Mark, Row, Summary, rows_of
from dxbench.boards.ranking import ALPHA, ranks
from dxbench.boards.stats import holm
from dxbench.boards.tables import Table, task_table
from dxbench.records.entries import Entry
from dxbench.records.files import write_record
from dxbench.records.index import open_index

RNG = np.random.default_rng(7)
NOISE = RNG.normal(0, 0.05, 5)


def row(label: str, values: list[float], *, first_seed: int = 0, better: Any = "lower", **changes: Any) -> Row:
    """A measured row of one metric."""
    by_seed = {first_seed + i: value for i, value in enumerate(values)}
    summary = Summary(value=float(np.mean(values)), std=0.0, better=better, fingerprint="f", by_seed=by_seed)
    return Row(label=label, kind=changes.pop("kind", "measured"), scores={"m": summary}, **changes)


def places(rows: list[Row]) -> dict[int, tuple[int, int]]:
    """First and last place of each row that ranks."""
    return {index: (found.first, found.last) for index, found in ranks(rows, "m").items()}


def test_what_is_told_apart_has_places_apart_and_noise_shares_them() -> None:
    best = row("best", list(0.5 + NOISE))
    tied = row("tied", list(0.51 + RNG.normal(0, 0.05, 5)))
    worse = row("worse", list(1.0 + NOISE))
    assert places([worse, tied, best]) == {2: (1, 2), 1: (1, 2), 0: (3, 3)}
    assert [str(ranks([worse, tied, best], "m")[i]) for i in range(3)] == ["3", "1–2", "1–2"]


def test_a_small_gap_that_every_seed_shows_is_no_gap_of_rows_that_share_no_random_numbers() -> None:
    """Another method's runs of the same seeds are other runs: that their noise goes together is chance."""
    assert places([row("a", list(0.5 + NOISE)), row("b", list(0.52 + NOISE))]) == {0: (1, 2), 1: (1, 2)}


def test_higher_is_better_where_the_metric_says_so() -> None:
    low, high = row("low", list(0.5 + NOISE), better="higher"), row("high", list(0.9 + 0.9 * NOISE), better="higher")
    assert places([low, high]) == {1: (1, 1), 0: (2, 2)}


def test_a_metric_without_direction_does_not_rank() -> None:
    assert places([row("a", [1.0, 2.0], better="none")]) == {}


@pytest.mark.parametrize("mark", Mark)
def test_marked_rows_do_not_rank_even_if_they_are_best(mark: Mark) -> None:
    rows = [row("marked", list(0.1 + 0.1 * NOISE), marks=(mark,)), row("fair", list(0.5 + NOISE))]
    assert places(rows) == {1: (1, 1)}


@pytest.mark.parametrize("kind", ["reference", "published"])
def test_reference_rows_and_papers_do_not_rank(kind: str) -> None:
    rows = [row("other", list(0.1 + 0.1 * NOISE), kind=kind), row("ours", list(0.5 + NOISE))]
    assert places(rows) == {1: (1, 1)}


def test_rows_are_told_apart_whatever_their_seeds_are_called() -> None:
    rows = [row("a", [0.1, 0.1001, 0.1002]), row("b", [0.9, 0.9001, 0.9002], first_seed=10)]
    assert places(rows) == {0: (1, 1), 1: (2, 2)}


def test_two_seeds_tell_apart_only_what_is_far_apart_and_one_nothing() -> None:
    near, far, lone = row("near", [0.5, 0.52]), row("far", [5.0, 5.1]), row("lone", [90.0])
    assert places([near, far]) == {0: (1, 1), 1: (2, 2)}
    assert places([near, row("next", [0.53, 0.55])]) == {0: (1, 2), 1: (1, 2)}
    assert places([near, lone]) == {0: (1, 2), 1: (1, 2)}


def test_rows_that_never_vary_are_as_far_apart_as_they_are() -> None:
    rows = [row("a", [0.1] * 5), row("b", [0.1] * 5), row("c", [0.11] * 5)]
    assert places(rows) == {0: (1, 2), 1: (1, 2), 2: (3, 3)}


def test_many_rows_make_it_harder_to_tell_two_apart() -> None:
    a, b = list(0.5 + NOISE), list(0.55 + NOISE)
    assert places([row("a", a), row("b", b)]) == {0: (1, 1), 1: (2, 2)}
    crowd = [row(f"c{i}", list(0.55 + NOISE + 1e-6 * i)) for i in range(19)]
    assert places([row("a", a), row("b", b), *crowd])[1] == (1, 21)


def test_bold_is_a_row_than_which_none_is_better_and_some_is_worse() -> None:
    """The order of means is a, b, noisy: b is told apart from a and the noisy row from neither; it may be first."""
    a, b = row("a", list(0.5 + 0.1 * NOISE)), row("b", list(0.6 + 0.1 * NOISE))
    noisy = row("noisy", [0.45, 0.5, 0.9, 0.5, 1.5])
    found = ranks([a, b, noisy], "m")
    assert [found[i].best for i in range(3)] == [True, False, True]
    assert [found[i].bold for i in range(3)] == [True, False, False]
    assert str(found[1]) == "2–3"


def test_nothing_is_bold_where_no_rows_are_told_apart_or_one_alone_ranks() -> None:
    equal = [row(name, list(0.5 + NOISE)) for name in "abc"]
    assert not any(place.bold for place in ranks(equal, "m").values())
    assert not ranks(equal[:1], "m")[0].bold


def test_distances_are_compared_by_their_logarithms_and_higher_scores_as_they_are() -> None:
    """0.05 against 0.1 is a doubling and far beyond a spread of a tenth of each; 9.05 against 9.1 is nothing."""
    tenth = np.array([-0.1, -0.05, 0.0, 0.05, 0.1])
    near, twice, far = (row(str(v), list(v * (1 + tenth))) for v in (0.05, 0.1, 9.0))
    assert places([near, twice, far]) == {0: (1, 1), 1: (2, 2), 2: (3, 3)}
    shifted = [row(r.label, [9 + v for v in r.scores["m"].by_seed.values()], better="higher") for r in (near, twice)]
    noisy = row("noisy", list(9.0 + 10 * tenth), better="higher")
    assert places([*shifted, noisy, row("too", list(9.1 + 9 * tenth), better="higher")])[0] == (1, 4)


def test_a_row_that_looks_precise_by_chance_is_held_to_the_spread_of_the_median_row() -> None:
    values = [1.0 + d for d in (-0.1, -0.05, 0.0, 0.05, 0.1)]
    nearly = [0.8 + d for d in (-0.001, -0.0005, 0.0, 0.0005, 0.001)]
    lone = places([row("a", nearly, better="higher"), row("b", [v + 0.005 for v in nearly], better="higher")])
    assert lone == {0: (2, 2), 1: (1, 1)}
    wide = [row(f"w{i}", [v + 0.01 * i for v in values], better="higher") for i in range(3)]
    board = [row("a", nearly, better="higher"), row("b", [v + 0.005 for v in nearly], better="higher"), *wide]
    assert places(board)[1][1] == 5


def test_what_is_seven_times_as_far_is_told_apart_at_three_seeds_however_precise_it_looks() -> None:
    """Twenty-three rows, of which the worst varies by less than a tenth of the others' spread."""
    rows = [row(f"r{i}", [4.9 + i + d for d in (-0.25, 0.0, 0.25)]) for i in range(22)]
    assert places([*rows, row("last", [34.0, 34.1, 34.3])])[22][0] > 1


@pytest.mark.parametrize("skewed", [False, True])
def test_equal_rows_are_told_apart_in_one_board_of_twenty_at_most(skewed: bool) -> None:
    """Ten equal rows at five seeds, normal or of skewness 6 with spreads of a factor of ten."""
    rng, boards, apart = np.random.default_rng(11), 300, 0
    for _ in range(boards):
        noise = rng.normal(size=(10, 5))
        if skewed:
            noise = np.exp(rng.uniform(np.log(0.3), np.log(3), (10, 1))) * (np.exp(noise) - np.exp(0.5))
        apart += any(last < 10 for _, last in places([row(str(i), v) for i, v in enumerate(1 + 0.1 * noise)]).values())
    assert apart / boards < 0.05 + 4 * (0.05 * 0.95 / boards) ** 0.5


@settings(max_examples=60)
@given(st.lists(st.lists(st.floats(-5, 5), min_size=4, max_size=4), min_size=1, max_size=8))
def test_places_say_what_holm_over_all_pairs_says_and_nothing_else(values: list[list[float]]) -> None:
    found = places([row(str(i), v) for i, v in enumerate(values)])
    logs = [np.log(v) for v in values] if min(map(min, values)) > 0 else [np.array(v) for v in values]
    spreads = [np.std(v, ddof=1) if np.ptp(v) > 0 else 0.0 for v in logs]
    floor = np.median([s for s in spreads if s > 0]) if any(spreads) else 0.0
    held = [max(s, floor) ** 2 / 4 if s > 0 else 0.0 for s in spreads]
    pairs = [(i, j) for i in range(len(values)) for j in range(i + 1, len(values))]
    p_values = []
    for i, j in pairs:
        gap = logs[i][0] - logs[j][0] if spreads[i] == spreads[j] == 0 else np.mean(logs[i]) - np.mean(logs[j])
        error = (held[i] + held[j]) ** 0.5
        dof = error**4 / (held[i] ** 2 / 3 + held[j] ** 2 / 3) if error else 6
        p_values.append(2 * stats.t.sf(abs(gap) / error, dof) if error else float(gap == 0))
    apart = [pair for pair, p in zip(pairs, holm(p_values), strict=True) if p < ALPHA]
    for i, (first, last) in found.items():
        others = [j if i == k else k for k, j in apart if i in (k, j)]
        behind = sum(np.mean(logs[other]) < np.mean(logs[i]) for other in others)
        assert (first, last) == (1 + behind, len(values) - (len(others) - behind))


# --- from records --------------------------------------------------------------------------------------------


def entries(records: list[ResultRecord]) -> list[Entry]:
    return [Entry.of(made, "nowhere") for made in records]


@pytest.mark.parametrize(
    ("changes", "mark"),
    [
        ({"status": "partial"}, Mark.PARTIAL),
        ({"status": "timeout", "scores": {}}, Mark.PARTIAL),
        ({"provenance": PROVENANCE.model_copy(update={"git_dirty": True})}, Mark.DIRTY),
        ({"selected_on_test": True}, Mark.SELECTED),
    ],
)
def test_one_bad_seed_marks_its_row(changes: dict[str, Any], mark: Mark) -> None:
    fair = [record(s, 0.5) for s in range(3)]
    (clean,) = rows_of(entries(fair))
    assert clean.ranks
    (marked,) = rows_of(entries([*fair[:2], record(2, 0.1, **changes)]))
    assert marked.marks == (mark,)


def test_a_seed_without_a_metric_makes_its_row_partial() -> None:
    both = {
        "sw2": Estimate(value=1.0, better="lower", fingerprint="f"),
        "x": Estimate(value=1.0, better="lower", fingerprint="g"),
    }
    (found,) = rows_of(entries([record(0, 1.0), record(1, None, status="ok", scores=both)]))
    assert found.marks == (Mark.PARTIAL,)


def test_an_older_version_of_a_row_is_superseded() -> None:
    old = [record(s, 0.1) for s in range(2)]
    new = [record(s, 0.5, method_version=2) for s in range(2)]
    first, second = rows_of(entries(old + new))
    assert first.marks == (Mark.SUPERSEDED,)
    assert second.ranks


def measured(method: str, value: float, *, n_samples: int, count: int = 3, **changes: Any) -> list[ResultRecord]:
    """Runs by a protocol of so many samples."""
    protocol = MetricProtocol(name="sw2", version=1, fields={"n_samples": n_samples, "dtype": "float64"})
    made = []
    for seed in range(count):
        estimate = Estimate(value=value + 0.01 * seed, better="lower", fingerprint=protocol.fingerprint)
        scores = {"scores": {"sw2": estimate}, "protocols": {protocol.fingerprint: protocol}}
        made.append(record(seed, None, status="ok", method=method, **scores, **changes))
    return made


def table_of(folder: Path, records: list[ResultRecord]) -> Table:
    for made in records:
        write_record(folder, made)
    return task_table(open_index([folder]), "gaussians8", published=False)


def test_other_protocols_stand_in_blocks_of_their_own_with_the_fields_named(tmp_path: Path) -> None:
    records = measured("a", 0.5, n_samples=10_000) + measured("b", 0.4, n_samples=10_000)
    table = table_of(tmp_path, records + measured("cheap", 0.1, n_samples=500))
    first, second = table.blocks
    assert [r.label for r in first.rows] == ["b", "a"]
    assert [r.label for r in second.rows] == ["cheap"]
    assert {i: str(found) for i, found in first.ranks["sw2"].items()} == {0: "1", 1: "2"}
    assert {i: str(found) for i, found in second.ranks["sw2"].items()} == {0: "1"}
    assert first.differing == ()
    assert second.differing == ("sw2 was measured otherwise: n_samples = 500 (above: 10000)",)


def test_a_row_without_the_metric_that_differs_stays_in_the_first_block(tmp_path: Path) -> None:
    other = {"auc": Estimate(value=0.9, better="higher", fingerprint="a" * 16)}
    energies = [record(s, None, status="ok", method="ebm", scores=other) for s in range(2)]
    table = table_of(tmp_path, measured("a", 0.5, n_samples=9) + energies + measured("b", 0.9, n_samples=8))
    assert [[r.label for r in block.rows] for block in table.blocks] == [["a", "ebm"], ["b"]]


def test_the_floor_stands_last_and_papers_before_it(dxbench: Callable[..., Ended], tmp_path: Path) -> None:
    for made in [*measured("a", 0.5, n_samples=9), *measured("truth", 0.01, n_samples=9, reference=True)]:
        write_record(tmp_path, made)
    ended = dxbench("table", "-t", "gaussians8", "--published", "--results", tmp_path, "-f", "json")
    kinds = [r["kind"] for r in json.loads(ended.out)["blocks"][0]["rows"]]
    assert kinds[0] == "measured"
    assert kinds[-1] == "reference"
    assert set(kinds[1:-1]) == {"published"}
