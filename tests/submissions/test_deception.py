"""Bundles built to deceive, with every hash set right: each lie is found, and named."""

from typing import Any

import numpy as np
import pytest
from conftest import Ended
from pydantic import ValidationError
from tiny_task import Tiny, draw, measured

from dxbench.api import Estimate, MetricProtocol, ResultRecord
from dxbench.files.arrays import array_sha256
from dxbench.metrics.scoring import spot_check
from dxbench.records.files import config_id, write_record
from dxbench.records.sketches import sketch
from dxbench.submissions.manifest import Manifest
from dxbench.submissions.trust import OnTrust
from dxbench.submissions.validate import Report

pytest_plugins = ("workshop",)


def problems(report: Report) -> list[str]:
    return [f"{defect.where}: {defect.problem}" for defect in report.defects]


def the_only_problem(report: Report) -> str:
    assert len(report.defects) == 1, problems(report)
    assert report.defects[0].remedy
    return problems(report)[0]


def with_score(record: ResultRecord, metric: str, **fields: Any) -> dict[str, Estimate]:
    return record.scores | {metric: record.scores[metric].model_copy(update=fields)}


def test_an_honest_bundle_is_valid_and_says_what_it_could_not_check(workshop: Any) -> None:
    report = workshop.validate(workshop.build())
    assert report.valid, problems(report)
    assert {(one.metric, one.holds) for one in report.rechecked} == {
        ("sw2_exact", True),
        ("mode_share_min", True),
        ("outlier_share", True),
    }
    assert all(one.exact for one in report.rechecked)
    assert {one.what for one in report.on_trust} == {"training", "NFE", "configuration", "costs", "energy_rank"}
    assert [record.seed for record in report.records] == [0, 1]


def naming(record: ResultRecord, samples: np.ndarray) -> ResultRecord:
    """The record with these samples' hash and sketch, and its own claims."""
    return record.model_copy(update={"samples_sha256": array_sha256(samples), "samples_sketch": sketch(samples)})


@pytest.mark.parametrize("blocks", [None, 15])
def test_a_claim_that_the_samples_do_not_give_is_refuted(
    workshop: Any, monkeypatch: pytest.MonkeyPatch, blocks: int | None
) -> None:
    monkeypatch.setattr(Tiny, "challenge_blocks", blocks)
    wide = {record.run_id: draw(record.seed, std=1.3) for record in workshop.records}
    records = [naming(record, wide[record.run_id]) for record in workshop.records]
    report = workshop.validate(workshop.build(records=records, samples=wide, wanted=blocks))
    refuted = {(one.run_id, one.metric) for one in report.rechecked if not one.holds}
    assert {(record.run_id, "sw2_exact") for record in records} <= refuted
    assert any("sw2_exact: claims" in problem and "the samples shown give" in problem for problem in problems(report))


@pytest.mark.parametrize(
    ("metric", "claim"), [("mode_share_min", 0.2), ("mode_share_min", 0.01), ("outlier_share", 0.08)]
)
def test_a_false_share_is_refuted_on_either_side(workshop: Any, metric: str, claim: float) -> None:
    records = workshop.changed(scores=with_score(workshop.records[0], metric, value=claim))
    found = the_only_problem(workshop.validate(workshop.build(records=records)))
    assert f"scores.{metric}: claims {claim:.4f}" in found


def test_samples_swapped_after_the_commitment_are_found(workshop: Any) -> None:
    other = {run: draw(100 + i) for i, run in enumerate(workshop.samples)}
    report = workshop.validate(workshop.build(shown=other))
    assert len(report.defects) == 2
    assert all("are not those the manifest commits to" in problem for problem in problems(report))
    assert not report.rechecked


def test_samples_of_two_seeds_exchanged_are_found(workshop: Any) -> None:
    first, second = workshop.samples
    exchanged = {first: workshop.samples[second], second: workshop.samples[first]}
    assert not workshop.validate(workshop.build(samples=exchanged)).valid


def test_better_blocks_than_the_challenge_asks_for_are_found(workshop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from dxbench.submissions import pack

    monkeypatch.setattr(Tiny, "challenge_blocks", 15)
    monkeypatch.setattr(pack, "chosen_blocks", lambda *args, total, wanted: list(range(wanted)))
    report = workshop.validate(workshop.build(wanted=15))
    assert all("are not those the manifest commits to" in problem for problem in problems(report))
    assert len(report.defects) == 2


def test_samples_the_record_does_not_name_are_found(workshop: Any) -> None:
    other = {run: draw(100 + i) for i, run in enumerate(workshop.samples)}
    report = workshop.validate(workshop.build(samples=other))
    assert len(report.defects) == 2
    assert all("array_sha256" in problem for problem in problems(report))


def test_one_set_of_samples_for_two_seeds_is_found(workshop: Any) -> None:
    samples = workshop.samples[workshop.records[0].run_id]
    records = [measured(seed, samples) for seed in (0, 1)]
    path = workshop.build(records=records, samples={record.run_id: samples for record in records})
    found = problems(workshop.validate(path))
    assert any("have samples in common" in problem for problem in found)
    assert any("the very samples of" in problem for problem in found)


@pytest.mark.parametrize("blocks", [None, 15])
@pytest.mark.parametrize("noise", [0.0, 1e-6])
def test_one_set_of_samples_in_another_order_and_with_a_trace_of_noise_is_found(
    workshop: Any, monkeypatch: pytest.MonkeyPatch, noise: float, blocks: int | None
) -> None:
    monkeypatch.setattr(Tiny, "challenge_blocks", blocks)
    rng = np.random.default_rng(0)
    samples = draw(0)
    shuffled = rng.permutation(samples) + noise * rng.normal(size=samples.shape).astype(np.float32)
    records = [measured(0, samples), measured(1, shuffled)]
    arrays = dict(zip([record.run_id for record in records], [samples, shuffled], strict=True))
    report = workshop.validate(workshop.build(records=records, samples=arrays, wanted=blocks))
    assert f"the very samples of {records[0].run_id}, or most of them" in the_only_problem(report)


def test_samples_of_a_known_record_in_another_order_are_found(workshop: Any) -> None:
    known = measured(7, np.random.default_rng(0).permutation(draw(0)), config={"num_steps": 2})
    write_record(workshop.folder / "known", known)
    assert f"the very samples of {known.run_id}, or most" in the_only_problem(workshop.validate(workshop.build()))


def test_a_sketch_that_is_not_that_of_the_samples_is_found(workshop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for words, problem in ((["0" * 12] * 64, "not that of the samples"), ([], "no samples_sketch")):
        records = workshop.changed(samples_sketch=words)
        assert problem in the_only_problem(workshop.validate(workshop.build(records=records)))
    monkeypatch.setattr(Tiny, "challenge_blocks", 15)
    records = workshop.changed(samples_sketch=sketch(draw(77)))
    assert "lacks samples that are shown" in the_only_problem(
        workshop.validate(workshop.build(records=records, wanted=15))
    )
    assert workshop.validate(workshop.build(wanted=15)).valid


@pytest.mark.parametrize("count", [1, 100, 1000, 4900])
def test_fewer_samples_than_a_run_is_scored_on_are_refused(workshop: Any, count: int) -> None:
    """One sample shown made any claim valid."""
    few = {run: samples[:count] for run, samples in workshop.samples.items()}
    records = [
        naming(record, few[record.run_id]).model_copy(update={"scores": with_score(record, "sw2_exact", value=0.001)})
        for record in workshop.records
    ]
    found = problems(workshop.validate(workshop.build(records=records, samples=few)))
    assert found == [
        f"manifest.json: samples/{record.run_id}.npy: {count:,} samples, a run of the task is scored on 5,000"
        for record in records
    ]


def test_fewer_samples_than_protocols_need_are_refused_where_the_task_does_not_say(
    workshop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tiny, "num_samples", 0)
    few = {run: samples[:1000] for run, samples in workshop.samples.items()}
    records = [naming(record, few[record.run_id]) for record in workshop.records]
    found = problems(workshop.validate(workshop.build(records=records, samples=few)))
    assert all("1,000 samples, its own protocols need 5,000" in problem for problem in found)
    assert len(found) == 2


@pytest.mark.parametrize(
    ("metric", "value"), [("sw2_exact", -3.0), ("energy_rank", 1.7), ("outlier_share", -0.1), ("energy_rank", -1.01)]
)
def test_a_value_that_a_metric_cannot_have_is_refused(workshop: Any, metric: str, value: float) -> None:
    records = workshop.changed(scores=with_score(workshop.records[0], metric, value=value))
    found = problems(workshop.validate(workshop.build(records=records)))
    assert any(f"scores.{metric}: {value:g}, outside of" in problem for problem in found)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"n": 10**9, "std": 0.1}, "n = 1000000000, computed again 1"),
        ({"std": 0.0}, "one without the other"),
        ({"unit": "%"}, "unit = '%', computed again ''"),
        ({"parts": {"a": 0.1}}, "parts that are not as computed again"),
    ],
)
def test_what_stands_beside_a_value_is_computed_again_too(workshop: Any, fields: dict[str, Any], problem: str) -> None:
    records = workshop.changed(scores=with_score(workshop.records[0], "sw2_exact", **fields))
    found = problems(workshop.validate(workshop.build(records=records)))
    assert any(problem in one for one in found), found


def test_a_metric_replaced_by_a_note_is_found_if_the_samples_give_it(workshop: Any) -> None:
    record = workshop.records[0]
    scores = {name: score for name, score in record.scores.items() if name != "outlier_share"}
    records = workshop.changed(scores=scores, notes={"outlier_share": "we do not believe in it"})
    found = the_only_problem(workshop.validate(workshop.build(records=records)))
    assert "outlier_share: left out (we do not believe in it); the samples give" in found
    scores = {name: score for name, score in record.scores.items() if name != "energy_rank"}
    report = workshop.validate(
        workshop.build(records=workshop.changed(scores=scores, notes={"energy_rank": "the model has no energy"}))
    )
    assert report.valid
    assert OnTrust(what="energy_rank", why="not measured: the model has no energy") in report.on_trust


@pytest.mark.parametrize(
    ("config", "nfe", "problem"),
    [
        ({"num_steps": 5.0}, 1.0, "fewer than one per sampling step"),
        ({}, 0.5, "0.5 evaluations, although a sample took 400 operations"),
        ({}, -5.0, ""),
    ],
)
def test_evaluations_that_cannot_be_are_refused(
    workshop: Any, config: dict[str, Any], nfe: float, problem: str
) -> None:
    try:
        records = [
            measured(s, workshop.samples[r.run_id], config=config, nfe=nfe) for s, r in enumerate(workshop.records)
        ]
    except ValidationError:  # no record can say so
        assert nfe < 0
        return
    samples = dict(zip([r.run_id for r in records], workshop.samples.values(), strict=True))
    found = problems(workshop.validate(workshop.build(records=records, samples=samples)))
    assert len(found) == 2
    assert all(problem in one for one in found)


def test_no_evaluations_need_a_cost_that_says_the_same(workshop: Any) -> None:
    free = workshop.records[0].cost.model_copy(update={"parameters": 0, "sampling_flops": 0})
    for cost, sound in ((free, True), (None, False)):
        records = [
            measured(s, workshop.samples[r.run_id], config={}, nfe=0.0, cost=cost)
            for s, r in enumerate(workshop.records)
        ]
        samples = dict(zip([r.run_id for r in records], workshop.samples.values(), strict=True))
        assert workshop.validate(workshop.build(records=records, samples=samples)).valid == sound


@pytest.mark.parametrize(
    "fields",
    [
        {"preset": "de\x1b[31mfault"},
        {"preset": "two\nlines"},
        {"overrides": {"lr\u202e": 0.001}},
        {"notes": {"energy_rank": "a\u202eb"}},
        {"warnings": ["\x07"]},
    ],
)
def test_texts_that_nobody_sees_as_they_are_are_refused(workshop: Any, fields: dict[str, Any]) -> None:
    found = problems(workshop.validate(workshop.build(records=workshop.changed(**fields))))
    assert any("that nobody sees" in problem or "more than one line" in problem for problem in found), found


class TestOfAnInstalledMethod:
    """A name that the reader knows has to come with a configuration that its method makes."""

    @pytest.fixture
    def forged(self, workshop: Any) -> Any:
        def build(**fields: Any) -> list[str]:
            config = fields.pop("config")
            identity = config_id("tiny", 1, "data", fields.get("method_version", 1), config)
            records = [
                record.model_copy(
                    update={"method": "data", "config": config, "run_id": f"{identity}-s{record.seed}", **fields}
                )
                for record in workshop.records
            ]
            samples = dict(zip([r.run_id for r in records], workshop.samples.values(), strict=True))
            return problems(workshop.validate(workshop.build(records=records, samples=samples)))

        return build

    def test_an_invented_configuration_is_refused(self, forged: Any) -> None:
        found = forged(config={"num_steps": 1, "magic": 3})
        assert any(
            "config.magic: 3, where preset 'default' and the overrides make it 'no such key'" in p for p in found
        )

    def test_an_invented_preset_or_override_or_version_is_refused(self, forged: Any) -> None:
        assert any("does not accept it (unknown preset" in problem for problem in forged(config={}, preset="best"))
        assert any("does not accept it (unknown key" in p for p in forged(config={}, overrides={"magic": 1}))
        assert any("method_version: version 7, data is at 1 here" in p for p in forged(config={}, method_version=7))

    def test_its_own_configuration_is_accepted(self, forged: Any) -> None:
        assert not [problem for problem in forged(config={}) if "config" in problem]


def test_samples_taken_from_a_known_record_are_found(workshop: Any) -> None:
    known = measured(7, draw(0), config={"num_steps": 2})
    write_record(workshop.folder / "known", known)
    found = problems(workshop.validate(workshop.build()))
    assert [problem.partition(": ")[2].startswith(f"the very samples of {known.run_id}") for problem in found] == [
        True,
        False,
    ]
    assert "samples_sha256: the very samples of" in found[1]


@pytest.mark.parametrize("nfe", [2.0, 40.0])
def test_an_nfe_declared_otherwise_than_counted_is_found(workshop: Any, nfe: float) -> None:
    path = workshop.build(manifest=lambda manifest: manifest.model_copy(update={"nfe": nfe}))
    found = problems(workshop.validate(path))
    assert found == [
        f"records/{record.run_id}: nfe: counted 4, the manifest declares {nfe:g}" for record in workshop.records
    ]


@pytest.mark.parametrize("nfe", [2.0, 40.0])
def test_an_nfe_that_differs_between_seeds_is_found(workshop: Any, nfe: float) -> None:
    found = problems(workshop.validate(workshop.build(records=workshop.changed(nfe=nfe))))
    assert any("nfe: differs between seeds" in problem for problem in found)


def test_an_nfe_deflated_everywhere_contradicts_the_configuration(workshop: Any) -> None:
    records = [record.model_copy(update={"nfe": 2.0}) for record in workshop.records]
    found = problems(workshop.validate(workshop.build(records=records)))
    assert len(found) == 2
    assert all("fewer than one per sampling step" in problem for problem in found)


def test_no_evaluations_at_all_contradicts_the_operations_counted(workshop: Any) -> None:
    records = [measured(s, workshop.samples[r.run_id], config={}, nfe=0.0) for s, r in enumerate(workshop.records)]
    samples = dict(zip([r.run_id for r in records], workshop.samples.values(), strict=True))
    found = problems(workshop.validate(workshop.build(records=records, samples=samples)))
    assert len(found) == 2
    assert all("although a sample took 400 operations" in problem for problem in found)


def test_an_nfe_unlike_that_of_known_seeds_is_found(workshop: Any) -> None:
    known = measured(9, draw(9), nfe=8.0)
    write_record(workshop.folder / "known", known)
    found = problems(workshop.validate(workshop.build()))
    assert len(found) == 2
    assert all("other seeds of this configuration" in problem for problem in found)


def test_operations_that_differ_between_seeds_are_found(workshop: Any) -> None:
    cost = workshop.records[0].cost.model_copy(update={"sampling_flops": 4000})
    found = the_only_problem(workshop.validate(workshop.build(records=workshop.changed(cost=cost))))
    assert "cost.sampling_flops: differs between seeds" in found


def test_a_run_measured_with_uncommitted_changes_is_found(workshop: Any) -> None:
    dirty = workshop.records[0].provenance.model_copy(update={"git_dirty": True})
    found = the_only_problem(workshop.validate(workshop.build(records=workshop.changed(provenance=dirty))))
    assert "git_dirty: measured with uncommitted changes" in found


def test_a_protocol_whose_fields_were_changed_is_found(workshop: Any) -> None:
    record = workshop.records[0]
    fingerprint = record.scores["sw2_exact"].fingerprint
    forged = record.protocols[fingerprint].model_copy(update={"fields": {"n_samples": 1}})
    records = workshop.changed(protocols=record.protocols | {fingerprint: forged})
    assert "its fields have the fingerprint" in the_only_problem(workshop.validate(workshop.build(records=records)))


def test_a_protocol_that_is_not_the_tasks_is_found_with_the_fields_that_differ(workshop: Any) -> None:
    record = workshop.records[0]
    own = record.protocols[record.scores["sw2_exact"].fingerprint]
    easier = MetricProtocol(name=own.name, version=own.version, fields=own.fields | {"n_samples": 10})
    records = workshop.changed(
        scores=with_score(record, "sw2_exact", fingerprint=easier.fingerprint),
        protocols=record.protocols | {easier.fingerprint: easier},
    )
    found = the_only_problem(workshop.validate(workshop.build(records=records)))
    assert "n_samples: 10 against 5000" in found


def test_a_score_left_out_and_one_made_up_are_found(workshop: Any) -> None:
    record = workshop.records[0]
    scores = {name: score for name, score in record.scores.items() if name != "sw2_exact"}
    scores["beauty"] = record.scores["sw2_exact"]
    found = problems(workshop.validate(workshop.build(records=workshop.changed(scores=scores))))
    assert len(found) == 2
    assert "tiny has no metric of that name" in found[0]
    assert "neither score nor note for sw2_exact" in found[1]


def test_a_metric_read_the_other_way_round_is_found(workshop: Any) -> None:
    write_record(workshop.folder / "known", measured(9, draw(9), config={"num_steps": 2}))
    records = workshop.changed(scores=with_score(workshop.records[0], "sw2_exact", better="higher"))
    found = problems(workshop.validate(workshop.build(records=records)))
    assert any("better = 'higher', the metric's is 'lower'" in problem for problem in found)
    assert any("better, unit, n = ('higher', '', 1); records in" in problem for problem in found)


def test_a_label_that_is_not_what_was_run_is_found(workshop: Any) -> None:
    records = workshop.changed(overrides={"lr": 0.5, "temperature": 1})
    found = problems(workshop.validate(workshop.build(records=records)))
    assert len(found) == 2
    assert "overrides.lr: 0.5, where the configuration has 0.001" in found[0]
    assert "no such key" in found[1]


def test_a_configuration_changed_under_its_id_is_found(workshop: Any) -> None:
    records = workshop.changed(config={"num_steps": 4, "lr": 0.1})
    found = problems(workshop.validate(workshop.build(records=records)))
    assert any("config: has the id" in problem for problem in found)


def test_a_reference_row_is_refused(workshop: Any) -> None:
    assert "only the suite itself adds" in the_only_problem(
        workshop.validate(workshop.build(records=workshop.changed(reference=True)))
    )


def test_seeds_left_out_are_found(workshop: Any) -> None:
    samples = draw(3)
    record = measured(3, samples)
    path = workshop.build(records=[workshop.records[0], record], samples=workshop.samples | {record.run_id: samples})
    assert "seeds 0, 3" in the_only_problem(workshop.validate(path))


def test_an_older_version_of_the_task_is_found(workshop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tiny, "version", 2)
    found = problems(workshop.validate(workshop.build()))
    assert len(found) == 2
    assert all("version 1, tiny is at 2 here" in problem for problem in found)


def test_a_task_that_is_a_file_is_not_loaded(workshop: Any) -> None:
    trap = workshop.folder / "trap.py"
    trap.write_text(f"open({str(workshop.folder / 'sprung')!r}, 'w')\n")

    def rename(manifest: Manifest) -> Manifest:
        return manifest.model_copy(update={"task": f"{trap}:Trap"})

    report = workshop.validate(workshop.build(manifest=rename))
    assert "not a valid manifest (task" in the_only_problem(report)
    assert not (workshop.folder / "sprung").exists()


def test_an_unknown_task_is_named(workshop: Any) -> None:
    path = workshop.build(manifest=lambda manifest: manifest.model_copy(update={"task": "gaussians9"}))
    found = problems(workshop.validate(path))
    assert found[0].startswith("manifest.json: task: 'gaussians9' is no task here")


def test_a_failed_seed_is_no_defect_but_none_that_ended_well_is(workshop: Any) -> None:
    failed = {"status": "failed", "scores": {}, "protocols": {}, "samples_sha256": None, "nfe": None}
    second = workshop.records[1].model_copy(update=failed)
    samples = workshop.samples | {second.run_id: None}
    report = workshop.validate(workshop.build(records=[workshop.records[0], second], samples=samples))
    assert report.valid, problems(report)
    all_failed = [record.model_copy(update=failed) for record in workshop.records]
    report = workshop.validate(workshop.build(records=all_failed, samples=dict.fromkeys(workshop.samples)))
    assert "no run ended well" in the_only_problem(report)


def test_samples_withheld_are_found(workshop: Any) -> None:
    report = workshop.validate(workshop.build(samples=dict.fromkeys(workshop.samples)))
    assert len(report.defects) == 2
    assert all("has to name their hash and to show them" in problem for problem in problems(report))


def test_a_run_that_hides_its_samples_may_claim_nothing_of_them(workshop: Any) -> None:
    """Without hash, sketch and NFE a run says that its model does not sample."""
    hidden = {"samples_sha256": None, "samples_sketch": [], "nfe": None}
    records = [record.model_copy(update=hidden) for record in workshop.records]
    found = problems(workshop.validate(workshop.build(records=records, samples=dict.fromkeys(workshop.samples))))
    assert found == [
        f"records/{record.run_id}: scores.{name}: a number of samples, and none are shown"
        for record in records
        for name in ("sw2_exact", "mode_share_min", "outlier_share")
    ]


def test_every_defect_is_listed_not_only_the_first(workshop: Any) -> None:
    record = workshop.records[0]
    dirty = record.provenance.model_copy(update={"git_dirty": True})
    records = workshop.changed(
        provenance=dirty, reference=True, nfe=2.0, scores=with_score(record, "outlier_share", value=0.5)
    )
    found = " | ".join(problems(workshop.validate(workshop.build(records=records))))
    for part in (
        "git_dirty",
        "reference",
        "nfe: counted",
        "fewer than one per",
        "differs between seeds",
        "outlier_share: claims 0.5",
    ):
        assert part in found


def test_honest_claims_are_never_refuted(workshop: Any) -> None:
    """The tolerance holds for laws near to and far from the truth, over many draws."""
    task = Tiny()
    rng = np.random.default_rng(0)
    for trial in range(25):
        law = [draw(trial), draw(trial, std=2.0), draw(trial) + 3, draw(trial) * [1, 0], draw(trial)[:, ::-1] ** 2][
            trial % 5
        ]
        claims = measured(0, law).scores
        blocks = np.sort(rng.permutation(50)[:15])
        part = np.concatenate([law[100 * block : 100 * block + 100] for block in blocks])
        for name, found in spot_check(task, part).items():
            assert found.low <= claims[name].value, (trial, name)
            assert found.high is None or claims[name].value <= found.high, (trial, name)


def test_the_commands_print_defects_and_exit_5(dxbench: Any, workshop: Any) -> None:
    records = workshop.changed(reference=True)
    path = workshop.build(records=records)
    ended: Ended = dxbench("validate", path, "--results", workshop.folder / "known")
    assert ended.code == 5
    assert "DEFECT" in ended.out
    assert "1 defect" in ended.out
    machine: Ended = dxbench("validate", path, "--results", workshop.folder / "known", "--json")
    assert machine.code == 5
    assert machine.json["valid"] is False
    assert [defect["where"] for defect in machine.json["defects"]] == [f"records/{records[0].run_id}: reference"]
    merged: Ended = dxbench("merge", path, "--results", workshop.folder / "known")
    assert merged.code == 5
    assert not list((workshop.folder / "known").glob("*/*/*.json"))


def test_control_characters_of_a_stranger_do_not_reach_the_terminal(dxbench: Any, workshop: Any) -> None:
    records = workshop.changed(overrides={"lr\x1b[2J": 1})
    ended: Ended = dxbench("validate", workshop.build(records=records), "--results", workshop.folder / "known")
    assert ended.code == 5
    assert "\x1b" not in ended.out
