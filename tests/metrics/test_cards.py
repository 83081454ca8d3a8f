"""What metrics say of themselves: each its own sentence, and nothing that its numbers contradict."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import Ended

from dxbench.api import Estimate, MetricCard, MetricProtocol
from dxbench.metrics.cards import card_named, card_of
from dxbench.paths import reference_results
from dxbench.plugins import registry
from dxbench.plugins.registry import load_task
from dxbench.records.index import open_index

METRICS = registry.load_metrics()
TASKS = sorted(registry.plugins("tasks"))


@pytest.mark.parametrize("name", TASKS)
def test_every_metric_of_every_task_says_what_it_is(name: str) -> None:
    for metric in load_task(name).metrics:
        assert card_of(metric) is not None, metric.name


def test_no_two_metrics_have_one_sentence_and_none_is_a_tasks(dxbench: Callable[..., Ended]) -> None:
    rows = dxbench("list", "metrics", "--json").json
    assert [row["name"] for row in rows] == list(METRICS)
    summaries = [row["summary"] for row in rows]
    assert not {plugin.summary() for plugin in registry.plugins("tasks").values()} & set(summaries)
    assert not {text for text in summaries if summaries.count(text) > 1}
    assert all(row["range"] and row["better"] and row["source"] and row["unit"] for row in rows)


def test_a_name_says_its_parts() -> None:
    card = card_named("image_robust_auroc")
    assert card is not None
    assert card.summary.endswith("Scores are of images. Each anomaly is at the worst that a search finds.")
    card = card_named("fd_resnet56_floor@4034")
    assert card is not None
    assert card.better == "none"
    assert card.summary.endswith("what is left without a difference. Of 4,034 samples.")
    assert card_named("sw2_exact") != card_named("sw2")
    assert [
        card_named(name) for name in ("image_frobnicate", "fid_frobnicate@50k", "auroc2", "precision@50k_of")
    ] == 4 * [None]


def committed() -> Iterator[tuple[str, str, Estimate]]:
    index = open_index([reference_results()])
    for task in TASKS:
        for entry in index.entries(task):
            for name, estimate in entry.scores.items():
                yield task, name, estimate


def test_committed_numbers_lie_in_their_range_and_are_good_the_way_it_says() -> None:
    cards = {(task, metric.name): card_of(metric) for task in TASKS for metric in load_task(task).metrics}
    checked = 0
    for task, name, estimate in committed():
        card = cards[task, name]
        assert card is not None
        assert card.better == estimate.better, (task, name)
        assert estimate.unit in ("", card.unit), (task, name)
        assert card.low is None or estimate.value >= card.low - 1e-9, (task, name)
        assert card.high is None or estimate.value <= card.high + 1e-9, (task, name)
        checked += 1
    assert checked > 3000


def test_intervals_are_printed_with_their_open_ends() -> None:
    def of(low: float | None, high: float | None) -> str:
        return MetricCard(summary="s", unit="", low=low, high=high, better="none", source="x").range

    assert [of(0, 1), of(0, None), of(None, 0.5), of(None, None)] == ["[0, 1]", "[0, ∞)", "(−∞, 0.5]", "(−∞, ∞)"]


class Terse:
    """A metric from elsewhere that says nothing of itself."""

    name, title = "terse", "how terse"
    protocol = MetricProtocol(name="terse", version=1, fields={})

    def measure(self, inputs: Any) -> Estimate:
        return Estimate(value=1.0, better="higher", fingerprint=self.protocol.fingerprint)


def test_a_metric_without_a_card_is_listed_by_its_title() -> None:
    from dxbench.cli import listing

    assert card_of(Terse()) is None
    facts = listing._metric_facts("terse", {"terse": {"ring": Terse()}})
    assert facts["metric terse: how terse"] == "how terse"
    assert set(facts["what its number is"].values()) == {"not said"}
    assert "protocol on ring" in facts


def test_a_metric_is_found_through_every_task_that_scores_by_it(dxbench: Callable[..., Ended]) -> None:
    """Of two tasks with one name for it, each has its protocol."""
    assert list(METRICS["sw2"]) == ["gaussians8"]
    assert list(METRICS["image_ap"]) == [name for name in TASKS if name.startswith(("mvtec", "screw"))]
    assert {name: of for name, of in METRICS.items() if "mvtec_synthetic" in of} == {
        metric.name: METRICS[metric.name] for metric in load_task("mvtec_synthetic").metrics
    }
    facts = dxbench("info", "fid@50k", "--json").json
    protocols = {title: facts[title]["fingerprint"] for title in facts if title.startswith("protocol on ")}
    assert list(protocols) == [f"protocol on {name}" for name in METRICS["fid@50k"]]
    assert len(set(protocols.values())) == len(protocols) == 4


def test_info_shows_a_family_and_a_metric_its_siblings(dxbench: Callable[..., Ended]) -> None:
    family = dxbench("info", "fd_resnet56", "--json").json["metrics fd_resnet56@N"]
    assert set(family) == {"fd_resnet56@10k", "fd_resnet56@10k_start", "fd_resnet56@4034", "fd_resnet56@4034_start"}
    one = dxbench("info", "fid@50k", "--json").json
    assert one["family"] == "fid@10k, fid@50k, fid@50k_start, fid@5k"
    number = one["what its number is"]
    assert number == {
        "unit": "none",
        "range": "[0, ∞)",
        "better": "lower is better",
        "source": "Heusel et al. 2017, arXiv:1706.08500",
    }
    assert "Did you mean" in dxbench("info", "fd_resnet65").err
