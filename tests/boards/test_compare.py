"""Two rows, over their seeds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Ended
from made_up_records import record

from dxbench.api import Estimate, MetricProtocol, ResultRecord
from dxbench.records.files import write_record

RNG = np.random.default_rng(0)
NOISE = RNG.normal(0, 0.05, 5)


def row(method: str, values: list[float], *, first_seed: int = 0, **changes: Any) -> list[Any]:
    """One record per value."""
    seeds = range(first_seed, first_seed + len(values))
    return [record(seed, value, method=method, **changes) for seed, value in zip(seeds, values, strict=True)]


@pytest.fixture
def compare(dxbench: Callable[..., Ended], tmp_path: Path) -> Callable[..., Ended]:
    """Writes records and compares two rows of them."""

    def run(records: list[Any], a: str, b: str, *options: str) -> Ended:
        (tmp_path / "results").mkdir(exist_ok=True)
        for made in records:
            write_record(tmp_path / "results", made)
        return dxbench("compare", a, b, "-t", "gaussians8", "--results", tmp_path / "results", *options)

    return run


def test_a_gap_beyond_the_spread_is_separable(compare: Callable[..., Ended]) -> None:
    good = row("good", list(0.5 + NOISE))
    bad = row("bad", list(0.72 + NOISE[::-1]))
    ended = compare(good + bad, "good", "bad", "--json")
    (found,) = ended.json["metrics"]
    assert ended.code == 0
    assert found["verdict"] == "better"
    assert found["difference"]["point"] == pytest.approx(-0.22)
    assert found["seeds"] == [5, 5]
    (turned,) = compare([], "bad", "good", "--json").json["metrics"]
    assert turned["verdict"] == "worse"


def test_a_gap_within_the_spread_is_not_however_alike_the_seeds_look(compare: Callable[..., Ended]) -> None:
    records = row("a", list(0.5 + NOISE)) + row("b", list(0.52 + NOISE))
    assert compare(records, "a", "b", "--json").json["metrics"][0]["verdict"] == "not separable"


@pytest.mark.parametrize("shift", [0.08, 0.1, 0.12, 0.14, 0.16])
def test_interval_and_p_agree_over_many_metrics(compare: Callable[..., Ended], shift: float) -> None:
    """Six metrics: the interval of each leaves 0 out where its adjusted p is below alpha, and nowhere else."""
    rng = np.random.default_rng(1)

    def scores(shift: float) -> list[dict[str, Any]]:
        values = {f"m{i}": 1 + i * shift / 3 + rng.normal(0, 0.05, 5) for i in range(6)}
        return [
            {n: Estimate(value=v[s], better="lower", fingerprint="f" * 16) for n, v in values.items()} for s in range(5)
        ]

    records = [
        record(s, 0.0, method=method, scores=one)
        for method, by_seed in (("a", scores(0.0)), ("b", scores(shift)))
        for s, one in enumerate(by_seed)
    ]
    found = compare(records, "a", "b", "--json").json["metrics"]
    assert len(found) == 6
    apart = [not one["difference"]["low"] <= 0 <= one["difference"]["high"] for one in found]
    assert apart == [one["p_value"] < 0.05 for one in found]
    assert apart == [one["verdict"] != "not separable" for one in found]
    assert any(apart)
    assert not all(apart)
    assert "95 % interval" in compare([], "a", "b").out
    assert "99 % interval" in compare([], "a", "b", "--alpha", "0.01").out


def test_noise_is_not_separable(compare: Callable[..., Ended]) -> None:
    ended = compare(row("a", list(0.5 + NOISE)), "a", "a", "--json")
    assert ended.json["metrics"][0]["verdict"] == "not separable"
    other = row("b", list(0.5 + RNG.normal(0, 0.05, 5)))
    assert compare(other, "a", "b", "--json").json["metrics"][0]["verdict"] == "not separable"


def test_higher_is_better_where_the_metric_says_so(compare: Callable[..., Ended]) -> None:
    def scores(value: float) -> dict[str, Any]:
        return {"auc": Estimate(value=value, better="higher", fingerprint="f" * 16)}

    high = [record(s, 0.0, method="high", scores=scores(0.9 + NOISE[s])) for s in range(5)]
    low = [record(s, 0.0, method="low", scores=scores(0.7 + 0.99 * NOISE[s])) for s in range(5)]
    assert compare(high + low, "high", "low", "--json").json["metrics"][0]["verdict"] == "better"


def test_other_protocols_are_not_comparable_and_the_fields_are_named(compare: Callable[..., Ended]) -> None:
    def measured(method: str, count: int) -> list[Any]:
        protocol = MetricProtocol(name="sw2", version=1, fields={"n_samples": count, "dtype": "float64"})
        estimate = Estimate(value=0.5, better="lower", fingerprint=protocol.fingerprint)
        extra = {"scores": {"sw2": estimate}, "protocols": {protocol.fingerprint: protocol}}
        return row(method, [0.5, 0.5], **extra)

    ended = compare(measured("a", 1000) + measured("b", 5000), "a", "b")
    assert ended.code == 6
    assert "not comparable" in ended.out
    assert "sw2: n_samples: A 1000, B 5000" in ended.out
    assert "dtype" not in ended.out


def test_fewer_than_two_seeds_say_nothing(compare: Callable[..., Ended]) -> None:
    ended = compare(row("a", [0.1, 0.2]) + row("b", [0.3], first_seed=1), "a", "b")
    assert ended.code == 6
    assert "too few seeds" in ended.out


def test_rows_are_named_by_method_preset_changes_or_id(compare: Callable[..., Ended]) -> None:
    plain = row("dxmi", [0.1, 0.2])
    set_tau = row("dxmi", [0.3, 0.45], preset="pretrained", overrides={"tau": 0.01}, config={"tau": 0.01})
    ended = compare(plain + set_tau, "dxmi", "dxmi:pretrained[tau=0.01]", "--json")
    assert ended.json["b"] == "dxmi:pretrained[tau=0.01]"
    wrong = compare([], "dxmi", "dxmi:pretrained[tau=0.02]")
    assert wrong.code == 2
    assert "Did you mean 'dxmi:pretrained[tau=0.01]'?" in wrong.err
    of_before = compare([], "dxmi", "0f5380a269")
    assert of_before.code == 2
    assert "unknown row '0f5380a269'" in of_before.err
    assert "let `dxbench records migrate` bring" in of_before.err


def test_nothing_measured_is_not_a_verdict(compare: Callable[..., Ended]) -> None:
    assert compare([], "a", "b").code == 6
    assert compare(row("a", [0.1, 0.2]), "a", "a", "--alpha", "2").code == 2


def test_your_runs_of_a_row_are_held_against_the_references_of_it(
    dxbench: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DXBENCH_RESULTS", str(tmp_path / "yours"))
    for folder, shift in (("reference", 0.0), ("yours", 0.5)):
        for made in row("same", list(1 + shift + NOISE)):
            write_record(tmp_path / folder, made)
    folders = ("-t", "gaussians8", "--results", tmp_path / "reference", "--results", tmp_path / "yours", "--json")
    ended = dxbench("compare", "same@yours", "same", *folders)
    assert (ended.json["a"], ended.json["b"]) == ("same (yours)", "same")
    (found,) = ended.json["metrics"]
    assert found["difference"]["point"] == pytest.approx(0.5)
    assert found["verdict"] == "worse"
    rows = dxbench("table", *folders[:-1], "-f", "json").json["blocks"][0]["rows"]
    assert {line["selector"] for line in rows} == {"same", "same@yours"}
    wrong = dxbench("compare", "same@mine", "same", *folders)
    assert wrong.code == 2
    assert "Did you mean 'same'" in wrong.err


def test_a_metric_without_a_direction_is_higher_or_lower_and_neither_better(compare: Callable[..., Ended]) -> None:
    def side(method: str, shift: float) -> list[ResultRecord]:
        return [
            record(s, 0.0, method=method, scores={"m": Estimate(value=v, better="none", fingerprint="f" * 16)})
            for s, v in enumerate(shift + NOISE)
        ]

    (found,) = compare(side("a", 0.5) + side("b", 0.9), "a", "b", "--json").json["metrics"]
    assert found["verdict"] == "lower"
    assert found["p_value"] < 0.05
    (turned,) = compare([], "b", "a", "--json").json["metrics"]
    assert turned["verdict"] == "higher"
