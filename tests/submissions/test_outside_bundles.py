"""Bundles of samples from outside: what they give is computed again, and what they claim may not contradict itself."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Ended
from tiny_task import COST, draw, measured

from dxbench.api import ResultRecord
from dxbench.engine import provenance
from dxbench.records.files import config_id, read_record, write_record
from dxbench.submissions.validate import Report

pytest_plugins = ("workshop",)


def outside(
    seed: int, samples: np.ndarray, *, name: str = "Mine", claimed: float = 4.0, **changes: Any
) -> ResultRecord:
    """A record as `dxbench eval --name` writes it, of an energy that is not there."""
    made = measured(seed, samples)
    config = changes.pop("config", {"nfe": 4})
    scores = {metric: one for metric, one in made.scores.items() if metric != "energy_rank"}
    protocols = {one.fingerprint: made.protocols[one.fingerprint] for one in scores.values()}
    return made.model_copy(
        update={
            "run_id": f"{config_id('tiny', 1, name, 1, config)}-s{seed}",
            "method": name,
            "config": config,
            "overrides": config,
            "nfe": claimed,
            "scores": scores,
            "protocols": protocols,
            "notes": {"energy_rank": "the model has no energy"},
            "cost": None,
            "external": "claimed",
        }
        | changes
    )


def judged(workshop: Any, **changes: Any) -> Report:
    """What validation says of a bundle of two seeds."""
    records = [outside(seed, samples, **changes) for seed, samples in enumerate(workshop.samples.values())]
    samples = dict(zip([one.run_id for one in records], workshop.samples.values(), strict=True))
    return workshop.validate(workshop.build(records=records, samples=samples))


def test_samples_from_outside_are_packed_checked_and_merged_into_their_own_block(
    dxbench: Callable[..., Ended], tiny: None, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    committed = provenance.collect(resumed=0).model_copy(update={"git_sha": None, "git_dirty": None})
    monkeypatch.setattr(
        provenance, "_of_process", lambda: committed.model_dump(exclude={"command", "created", "resumed"})
    )
    for seed in range(2):
        np.savez(f"{seed}.npz", samples=draw(seed))
        ended = dxbench("eval", f"{seed}.npz", "-t", "tiny", "--name", "Mine", "--nfe", 4, "--seed", seed, "--save")
        assert ended.code == 0, ended.err
    packed = dxbench("submit", "--task", "tiny", "--method", "Mine[nfe=4]", "--out", "bundle.zip", "--json")
    assert packed.code == 0, packed.out
    assert {one["metric"] for one in packed.json["rechecked"]} == {"sw2_exact", "mode_share_min", "outlier_share"}
    trusted = {one["what"]: one["why"] for one in packed.json["on_trust"]}
    assert trusted["NFE"] == "as the sender says; no run of dxbench drew these samples"
    assert "costs" not in trusted
    merged = dxbench("merge", "bundle.zip", "--results", "results")
    assert merged.code == 0, merged.out
    taken = [read_record(path) for path in sorted(Path("results").glob("tiny/Mine/*.json"))]
    assert [one.external for one in taken] == ["claimed", "claimed"]
    (block,) = dxbench("table", "-t", "tiny", "-f", "json", "--results", "results").json["blocks"]
    assert [row["kind"] for row in block["rows"]] == ["external"]


def test_an_honest_bundle_has_no_defect(workshop: Any) -> None:
    assert judged(workshop).defects == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"claimed": 2.0}, "nfe: claimed 2, its configuration says 4"),
        ({"claimed": 0.0, "config": {"nfe": 0}}, "wanted one number, 1 at least"),
        ({"config": {}}, "its configuration says None"),
        ({"cost": COST}, "cost: of samples from outside, whose costs nobody saw"),
        ({"name": "ddpm"}, "'ddpm' is a method here, which did not draw these samples"),
        ({"external": None}, "cost: absent from a run that ended well"),
    ],
)
def test_what_a_bundle_itself_refutes_is_a_defect(workshop: Any, changes: dict[str, Any], words: str) -> None:
    report = judged(workshop, **changes)
    assert not report.valid
    assert {words in f"{one.where}: {one.problem}" for one in report.defects} >= {True}, report.defects
    assert all(one.remedy for one in report.defects)


def test_the_name_of_a_method_on_record_is_taken(workshop: Any) -> None:
    write_record(workshop.folder / "known", measured(7, draw(7)))
    (defect, *_) = judged(workshop, name="sound").defects
    assert "'sound' is a method that has records in" in defect.problem


def test_passes_of_seeds_from_outside_have_to_agree_with_those_on_record(workshop: Any) -> None:
    known = outside(7, draw(7), claimed=8.0)
    write_record(workshop.folder / "known", known)
    report = judged(workshop)
    assert any("other seeds of this configuration" in one.problem for one in report.defects)
