"""Why two numbers differ: diffs, and waterfalls that add up."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from math import fsum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Ended
from made_up_records import PROVENANCE, record

from dxbench.api import Estimate, EvaluationInputs, Metric, MetricProtocol, NotApplicable, ResultRecord
from dxbench.boards.explain import Explanation, explain
from dxbench.boards.rescore import change_fields, with_protocol
from dxbench.files.arrays import array_sha256, save_arrays
from dxbench.metrics.energy import EnergyAUC
from dxbench.metrics.points.modes import ModeShare, OutlierShare
from dxbench.metrics.points.sliced import ExactSlicedWasserstein, SlicedWasserstein
from dxbench.records.files import work_folder, write_record
from dxbench.tasks.gaussians8 import SW2, SW2_EXACT, Gaussians8

TASK = Gaussians8()
OF_A = replace(SW2, num_projections=20, num_samples=500, repeats=2)
OF_B = replace(SW2, num_projections=50, num_samples=1000, repeats=3)


def draws(seed: int, scale: float = 1.0) -> np.ndarray:
    return (scale * np.random.default_rng(seed).normal(size=(4000, 2))).astype(np.float32)


def value(metric: Metric, samples: np.ndarray) -> float:
    return metric.measure(TASK.inputs_of(samples)).value


def arrays_of(home: Path, made: ResultRecord) -> Path:
    """Where a run keeps its samples."""
    return work_folder(home, task=made.task, method=made.method, run_id=made.run_id) / "arrays.npz"


def scored(home: Path, run: str, seed: int, samples: np.ndarray, metrics: Sequence[Metric], **changes: Any) -> Any:
    """A record of samples under metrics, and the samples kept where a run keeps them."""
    scores = {metric.name: metric.measure(TASK.inputs_of(samples)) for metric in metrics}
    made = record(
        seed,
        0.0,
        method="m",
        scores=scores,
        headline=list(scores),
        protocols={metric.protocol.fingerprint: metric.protocol for metric in metrics},
        samples_sha256=array_sha256(samples),
        **({"config": {"run": run}} | changes),
    )
    save_arrays(arrays_of(home, made), {"samples": samples})
    return made


def explained(home: Path, pairs: Sequence[tuple[ResultRecord, ResultRecord]], metric: str = "sw2") -> Explanation:
    (found,) = explain(pairs, task=TASK, home=home, metrics=[metric], progress=lambda _: None)
    assert found.steps[0].before == found.a
    assert found.steps[-1].after == found.b
    for one, following in zip(found.steps, found.steps[1:], strict=False):
        assert one.after == following.before
    assert fsum(step.change for step in found.steps) == pytest.approx(found.gap, rel=1e-12, abs=1e-15)
    return found


# --- waterfalls ----------------------------------------------------------------------------------------------


def test_the_same_samples_under_two_protocols_leave_nothing_to_training(home: Path) -> None:
    x = draws(0)
    found = explained(home, [(scored(home, "a", 0, x, [OF_A]), scored(home, "b", 1, x, [OF_B]))])
    assert [step.name for step in found.steps] == [
        "projections",
        "n_samples, n_reference",
        "repeats",
        "samples / training",
    ]
    assert found.steps[-1].change == 0
    assert set(found.fields) == {"projections", "n_samples", "n_reference", "repeats"}
    assert found.note == ""


def test_every_step_is_what_scoring_by_hand_gives(home: Path) -> None:
    """One field at a time in the order of the protocol, the samples last."""
    x, y = draws(0), draws(1, scale=1.5)
    found = explained(home, [(scored(home, "a", 0, x, [OF_A]), scored(home, "b", 0, y, [OF_B]))])
    by_hand = [
        value(OF_A, x),
        value(replace(OF_A, num_projections=50), x),
        value(replace(OF_A, num_projections=50, num_samples=1000), x),
        value(OF_B, x),
        value(OF_B, y),
    ]
    assert [found.a, *(step.after for step in found.steps)] == pytest.approx(by_hand, rel=1e-12)
    assert abs(found.steps[-1].change) > 0.1  # the control: other samples do move the number


def test_where_only_b_keeps_its_samples_those_are_scored(home: Path) -> None:
    x, y = draws(0), draws(1, scale=1.5)
    a, b = scored(home, "a", 0, x, [OF_A]), scored(home, "b", 0, y, [OF_B])
    arrays_of(home, a).unlink()
    found = explained(home, [(a, b)])
    assert [step.name for step in found.steps] == [
        "samples / training",
        "projections",
        "n_samples, n_reference",
        "repeats",
    ]
    assert found.steps[0].after == pytest.approx(value(OF_A, y))
    assert found.steps[1].after == pytest.approx(value(replace(OF_A, num_projections=50), y))


@pytest.mark.parametrize("harm", ["gone", "others", "damaged"])
def test_without_the_samples_that_were_scored_nothing_is_told_apart(home: Path, harm: str) -> None:
    a, b = scored(home, "a", 0, draws(0), [OF_A]), scored(home, "b", 0, draws(1), [OF_B])
    for made in (a, b):
        path = arrays_of(home, made)
        if harm == "gone":
            path.unlink()
        elif harm == "others":
            save_arrays(path, {"samples": draws(7)})
        else:
            path.write_bytes(b"PK\x03\x04 no archive")
    found = explained(home, [(a, b)])
    assert [step.name for step in found.steps] == ["protocol, samples / training"]
    assert found.note.startswith("A: ")
    assert ("are not those that were scored" in found.note) == (harm == "others")


def test_rows_are_explained_by_means_over_their_common_seeds(home: Path) -> None:
    pairs = [
        (scored(home, f"a{s}", s, draws(s), [OF_A]), scored(home, f"b{s}", s, draws(10 + s, 1.2), [OF_B]))
        for s in range(3)
    ]
    found = explained(home, pairs)
    assert found.pairs == 3
    assert found.steps[0].after == pytest.approx(
        np.mean([value(replace(OF_A, num_projections=50), draws(s)) for s in range(3)])
    )


def test_equal_protocols_leave_the_gap_to_samples_and_training(home: Path) -> None:
    a, b = scored(home, "a", 0, draws(0), [OF_A]), scored(home, "b", 0, draws(1), [OF_A])
    assert [step.name for step in explained(home, [(a, b)]).steps] == ["samples / training"]


def test_a_row_whose_seeds_were_measured_differently_is_not_told_apart(home: Path) -> None:
    pairs = [
        (scored(home, f"a{s}", s, draws(s), [m]), scored(home, f"b{s}", s, draws(s), [OF_A]))
        for s, m in enumerate([OF_A, OF_B])
    ]
    found = explained(home, pairs)
    assert found.note == "the seeds of one row were measured by different protocols"
    assert len(found.steps) == 1


def test_a_field_fixed_by_code_stays_with_the_samples_and_is_named(home: Path) -> None:
    x = draws(0)
    a, b = scored(home, "a", 0, x, [OF_A]), scored(home, "b", 0, x, [OF_B])
    other = MetricProtocol(name="sw2", version=1, fields=OF_B.protocol.fields | {"distance": "squared"})
    b = b.model_copy(
        update={
            "scores": {"sw2": Estimate(value=9.0, better="lower", fingerprint=other.fingerprint)},
            "protocols": {other.fingerprint: other},
        }
    )
    found = explained(home, [(a, b)])
    assert found.steps[-1].name == "samples / training, distance"
    assert found.steps[-2].name == "repeats"
    assert found.note == "distance: distance is fixed by the metric's code"


def test_a_number_that_scoring_again_does_not_give_is_a_step_of_its_own(home: Path) -> None:
    x = draws(0)
    a, b = scored(home, "a", 0, x, [OF_A]), scored(home, "b", 0, x, [OF_B])
    moved = a.scores["sw2"].model_copy(update={"value": a.scores["sw2"].value + 0.25})
    found = explained(home, [(a.model_copy(update={"scores": {"sw2": moved}}), b)])
    assert found.steps[0].name == "kept samples scored again"
    assert found.steps[0].change == pytest.approx(-0.25)


# --- metrics with other fields -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "metric",
    [
        OF_A,
        replace(SW2_EXACT, num_angles=7, num_samples=900),
        ModeShare(extreme="min", num_samples=300, reference="gaussians8@1"),
        OutlierShare(num_stds=2.5, num_samples=300, reference="gaussians8@1"),
    ],
    ids=lambda metric: metric.name,
)
def test_a_protocol_on_record_is_rebuilt_to_the_fingerprint(metric: Metric) -> None:
    (today,) = [one for one in TASK.metrics if one.name == metric.name]
    assert today.protocol.fingerprint != metric.protocol.fingerprint
    on_record = MetricProtocol.model_validate_json(metric.protocol.model_dump_json())
    rebuilt = with_protocol(today, on_record)
    assert rebuilt == metric
    assert rebuilt.protocol.fingerprint == metric.protocol.fingerprint


@pytest.mark.parametrize(
    ("metric", "field", "wanted"),
    [
        (SW2, "reference", "other draws"),
        (SW2, "projections", 0),
        (SW2, "projections", True),
        (SW2, "projections", "many"),
        (SW2, "projections", 10.5),
        (SW2, "nonsense", 1),
        (SW2_EXACT, "projections", "200 random angles"),
        (SW2_EXACT, "projections", "many angles"),
        (SW2_EXACT, "projections", 200),
        (OutlierShare(reference="r"), "radius_in_std", -1.0),
        (OutlierShare(reference="r"), "radius_in_std", "wide"),
    ],
)
def test_values_that_a_metric_cannot_take_are_refused(metric: Any, field: str, wanted: Any) -> None:
    with pytest.raises(NotApplicable, match=field):
        metric.with_field(field, wanted)


def test_a_protocol_of_another_version_or_shape_cannot_be_rebuilt() -> None:
    newer = MetricProtocol(name="sw2", version=2, fields=SW2.protocol.fields)
    with pytest.raises(NotApplicable, match="version"):
        with_protocol(SW2, newer)
    fewer = MetricProtocol(name="sw2", version=1, fields={"projections": 1000})
    with pytest.raises(NotApplicable, match="cannot be rebuilt"):
        with_protocol(SW2, fewer)
    energy = EnergyAUC(reference="r")
    other = replace(energy, num_draws=10)
    with pytest.raises(NotApplicable, match="cannot be rebuilt"):
        with_protocol(energy, other.protocol)


@dataclass(frozen=True, kw_only=True)
class Coupled(SlicedWasserstein):
    """Its protocol names half the number of samples too, which moves with it."""

    @property
    def protocol(self) -> MetricProtocol:
        whole = super().protocol
        return whole.model_copy(update={"fields": whole.fields | {"half": self.num_samples // 2}})


def test_a_field_that_drags_another_elsewhere_is_left_alone() -> None:
    start, goal = Coupled(num_samples=100, reference="r"), Coupled(num_samples=200, reference="r").protocol
    goal = goal.model_copy(update={"fields": goal.fields | {"half": 7}})
    way = change_fields(start, start.protocol, goal, list(goal.fields))
    assert way.names == ()
    assert way.fixed["n_samples"] == "half would change with it"
    assert set(way.fixed) == {"n_samples", "n_reference", "half"}


def test_fewer_draws_than_the_reference_has_are_its_first_and_more_are_refused() -> None:
    x = draws(0)
    small = replace(SW2, num_samples=100, repeats=1)
    from dxbench.api.streams import derive_seed
    from dxbench.metrics.points.sliced import random_directions, sliced_wasserstein2

    directions = random_directions(1000, 2, np.random.default_rng(derive_seed("sw2", "projections", 0)))
    reference = TASK.inputs_of(x).reference.test_draws[0][:100]
    assert value(small, x) == sliced_wasserstein2(x[:100].astype(np.float64), reference, directions)
    many = EvaluationInputs(
        samples=np.zeros((60_000, 2)), energy=None, temperature=None, nfe=None, reference=TASK.inputs_of(x).reference
    )
    for metric in (replace(SW2, num_samples=20_000, repeats=1), replace(SW2, repeats=6)):
        with pytest.raises(NotApplicable, match="reference has fewer"):
            metric.measure(many)


# --- the command ---------------------------------------------------------------------------------------------


@pytest.fixture
def two(home: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Two runs with other samples and other protocols."""
    other = PROVENANCE.model_copy(update={"packages": {"torch": "2.0"}, "accelerator": "a GPU"})
    metrics = [OF_A, ExactSlicedWasserstein(num_samples=500, num_angles=4, reference="gaussians8@1")]
    a = scored(home, "a-s0", 0, draws(0), metrics, config={"a": 1})
    b = scored(home, "b-s3", 3, draws(1, 1.5), [OF_B], config={"a": 2, "lr": 1}, preset="big", provenance=other)
    return write_record(tmp_path / "results", a), write_record(tmp_path / "results", b)


def test_printed_bars_add_up_to_the_printed_gap(dxbench: Callable[..., Ended], two: tuple[Path, Path]) -> None:
    ended = dxbench("explain", *two)
    assert ended.code == 0, ended.err
    gap = Decimal(re.search(r"^sw2: B - A = (\S+), lower is better$", ended.out, re.MULTILINE)[1])  # type: ignore[index]
    bars = re.findall(r"^  (.+?) +([+-]\d+\.\d+) *(█*)$", ended.out, re.MULTILINE)
    assert sum(Decimal(change) for _, change, _ in bars) == gap
    assert [name for name, _, _ in bars][:3] == ["projections", "n_samples, n_reference", "repeats"]
    longest = max(bars, key=lambda bar: abs(Decimal(bar[1])))
    assert longest[2] == "█" * 40
    ends = re.findall(r"^  ([AB]) +(\d+\.\d+)$", ended.out, re.MULTILINE)
    assert Decimal(ends[1][1]) - Decimal(ends[0][1]) == gap
    words = " ".join(ended.out.split())
    for line in ("config.a 1 -> 2", "config.lr – -> 1", "packages.torch – -> 2.0", "projections 20 -> 50"):
        assert line in words
    assert "not measured by both: sw2_exact" in ended.out


def test_json_has_diffs_and_steps(dxbench: Callable[..., Ended], two: tuple[Path, Path]) -> None:
    found = dxbench("explain", *two, "--json").json
    assert found["made_differently"]["config.lr"] == [None, 1]
    (one,) = found["metrics"]
    assert one["gap"] == pytest.approx(fsum(step["after"] - step["before"] for step in one["steps"]))
    assert one["fields"]["n_samples"] == [500, 1000]


def test_rows_are_named_as_in_compare(dxbench: Callable[..., Ended], two: tuple[Path, Path]) -> None:
    folder = two[0].parents[2]
    ended = dxbench("explain", "m", "m:big", "-t", "gaussians8", "--results", folder)
    assert ended.code == 0, ended.err
    assert "A = m\nB = m:big" in ended.out
    wrong = dxbench("explain", "m", "m:bgi", "-t", "gaussians8", "--results", folder)
    assert wrong.code == 2
    assert "Did you mean 'm:big'?" in wrong.err


def test_what_cannot_be_explained_ends_with_its_own_code(
    dxbench: Callable[..., Ended], two: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "cut.json").write_text("{")
    assert dxbench("explain", two[0], tmp_path / "cut.json").code == 5
    assert dxbench("explain", two[0], tmp_path / "nowhere.json").code == 2
    assert dxbench("explain", "m", two[1]).code == 2
    assert dxbench("explain", *two, "--metric", "sw").code == 2
    assert dxbench("explain", *two, "--metric", "sw2_exact").code == 6
    elsewhere = write_record(tmp_path / "more", record(0, 1.0, task="digits"))
    ended = dxbench("explain", two[0], elsewhere)
    assert ended.code == 6
    assert "cannot be compared" in ended.err
    (tmp_path / "none").mkdir()
    assert dxbench("explain", "m", "m:big", "-t", "gaussians8", "--results", tmp_path / "none").code == 6
