"""Tie groups, marks and blocks: what may share a ranking, and how."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Ended
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from test_tables import PROVENANCE, record

from dxbench.api import Estimate, MetricProtocol, ResultRecord
from dxbench.boards.aggregate import Mark, Row, Summary, rows_of
from dxbench.boards.entries import Entry
from dxbench.boards.index import open_index
from dxbench.boards.ranking import ranks
from dxbench.boards.tables import Table, task_table
from dxbench.records import write_record
from dxbench.stats import holm, paired_difference, paired_p_values

RNG = np.random.default_rng(7)
NOISE = RNG.normal(0, 0.05, 5)


def row(label: str, values: list[float], *, first_seed: int = 0, better: Any = "lower", **changes: Any) -> Row:
    """A measured row of one metric."""
    by_seed = {first_seed + i: value for i, value in enumerate(values)}
    summary = Summary(value=float(np.mean(values)), std=0.0, better=better, fingerprint="f", by_seed=by_seed)
    return Row(label=label, kind=changes.pop("kind", "measured"), scores={"m": summary}, **changes)


def test_what_every_seed_shows_is_a_rank_and_noise_is_a_tie() -> None:
    best = row("best", list(0.5 + NOISE))
    tied = row("tied", list(0.51 + RNG.normal(0, 0.05, 5)))
    worse = row("worse", list(0.6 + NOISE + 0.001 * RNG.normal(size=5)))
    assert ranks([worse, tied, best], "m") == {2: 1, 1: 1, 0: 3}


def test_higher_is_better_where_the_metric_says_so() -> None:
    low, high = row("low", list(0.5 + NOISE), better="higher"), row("high", list(0.9 + 0.9 * NOISE), better="higher")
    assert ranks([low, high], "m") == {1: 1, 0: 2}


def test_a_metric_without_direction_does_not_rank() -> None:
    assert ranks([row("a", [1.0, 2.0], better="none")], "m") == {}


@pytest.mark.parametrize("mark", Mark)
def test_marked_rows_do_not_rank_even_if_they_are_best(mark: Mark) -> None:
    rows = [row("marked", list(0.1 + NOISE), marks=(mark,)), row("fair", list(0.5 + NOISE))]
    assert ranks(rows, "m") == {1: 1}


@pytest.mark.parametrize("kind", ["reference", "published"])
def test_yardsticks_and_papers_do_not_rank(kind: str) -> None:
    rows = [row("other", list(0.1 + NOISE), kind=kind), row("ours", list(0.5 + NOISE))]
    assert ranks(rows, "m") == {1: 1}


def test_rows_without_common_seeds_cannot_be_separated() -> None:
    rows = [row("a", [0.1, 0.1001, 0.1002]), row("b", [0.9, 0.9001, 0.9002], first_seed=10)]
    assert set(ranks(rows, "m").values()) == {1}


def test_holm_makes_it_harder_to_separate_many() -> None:
    """One pair at p = 0.03 is separated; among nineteen more it is not."""
    base = np.array([0.0, 0.1, 0.2, 0.3, 0.4])
    shift = np.array([0.02, 0.12, 0.05, 0.21, 0.10])
    alone = [row("a", list(base)), row("b", list(base + shift))]
    assert 0.01 < paired_difference(base, base + shift).p_value < 0.05
    assert ranks(alone, "m")[1] == 2
    crowd = [row(f"c{i}", list(base + shift + 1e-6 * i)) for i in range(19)]
    assert set(ranks(alone + crowd, "m").values()) == {1}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.floats(-5, 5), min_size=4, max_size=4), min_size=1, max_size=8))
def test_ranks_are_competition_ranks_in_the_order_of_the_means(values: list[list[float]]) -> None:
    rows = [row(str(i), v) for i, v in enumerate(values)]
    found = ranks(rows, "m")
    assert set(found) == set(range(len(rows)))
    ordered = sorted(found, key=lambda i: rows[i].scores["m"].value)
    given_ranks = [found[i] for i in ordered]
    assert given_ranks == sorted(given_ranks)
    for position, rank in enumerate(given_ranks):
        assert rank == 1 + given_ranks.index(rank)
        assert rank <= position + 1
    for first in {rank - 1 for rank in given_ranks}:
        later = [rows[i].scores["m"].by_seed for i in ordered[first + 1 :]]
        one = list(rows[ordered[first]].scores["m"].by_seed.values())
        adjusted = holm([paired_difference(one, list(other.values())).p_value for other in later])
        end = next((r - 1 for r in given_ranks if r > first + 1), len(rows))
        assert all(p >= 0.05 for p in adjusted[: end - first - 1])
        assert end == len(rows) or adjusted[end - first - 1] < 0.05


def test_p_values_equal_scipys_with_seeds_missing() -> None:
    a = RNG.normal(size=6)
    b = RNG.normal(0.5, 1, size=(3, 6))
    b[1, 2] = np.nan
    b[2, 1:] = np.nan
    found = paired_p_values(a, b)
    assert found[0] == pytest.approx(stats.ttest_rel(a, b[0]).pvalue, rel=1e-12)
    kept = np.isfinite(b[1])
    assert found[1] == pytest.approx(stats.ttest_rel(a[kept], b[1][kept]).pvalue, rel=1e-12)
    assert found[2] == 1.0
    assert paired_p_values([1.0, 2.0], [[1.0, 2.0], [2.0, 3.0]]).tolist() == [1.0, 0.0]


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
    old = [record(s, 0.1, run_id=f"o{s}") for s in range(2)]
    new = [record(s, 0.5, method_version=2, run_id=f"n{s}") for s in range(2)]
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
        made.append(record(seed, None, status="ok", method=method, run_id=f"{method}-{seed}", **scores, **changes))
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
    assert dict(first.ranks["sw2"]) == {0: 1, 1: 2}
    assert dict(second.ranks["sw2"]) == {0: 1}
    assert first.differing == ()
    assert second.differing == ("sw2 was measured otherwise: n_samples = 500 (above: 10000)",)


def test_a_row_without_the_metric_that_differs_stays_in_the_first_block(tmp_path: Path) -> None:
    other = {"auc": Estimate(value=0.9, better="higher", fingerprint="a" * 16)}
    energies = [record(s, None, status="ok", method="ebm", run_id=f"e{s}", scores=other) for s in range(2)]
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
