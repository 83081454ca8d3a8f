"""A folder of records kept in order: shared parts, migration, pruning, withdrawal."""

import csv
import io
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import Ended
from made_up_records import record
from old_records import text_then, write_then

from dxbench.api import (
    CURVE_POINTS,
    Compute,
    Config,
    Curve,
    Estimate,
    Method,
    MethodCard,
    MetricProtocol,
    Problem,
    RandomStreams,
    ResultRecord,
    Training,
)
from dxbench.boards.aggregate import Mark, rows_of
from dxbench.engine.curves import CurveLog
from dxbench.plugins import registry
from dxbench.records import migration
from dxbench.records.entries import Entry
from dxbench.records.files import (
    Unreadable,
    config_id_of,
    parse_record,
    read_record,
    record_path,
    record_text,
    stored_text,
    work_folder,
    write_record,
)
from dxbench.records.index import open_index
from dxbench.records.parts import sweep_parts
from dxbench.submissions.claims import record_defects
from dxbench.submissions.pack import make_manifest

PROTOCOL = MetricProtocol(name="sw2", version=1, fields={"n_samples": 100, "angles": 8})
CARD = MethodCard(family="diffusion", summary="A made-up method.")


def full(seed: int, value: float = 1.0, **changes: Any) -> ResultRecord:
    """A record with a protocol, a card and a curve of 200 windows."""
    steps = list(range(5, 1001, 5))
    fields: dict[str, Any] = {
        "scores": {"sw2": Estimate(value=value, better="lower", fingerprint=PROTOCOL.fingerprint)},
        "protocols": {PROTOCOL.fingerprint: PROTOCOL},
        "card": CARD,
        "curves": {"loss": Curve(step=steps, value=[1.0 / step for step in steps]).thinned()},
    }
    return record(seed, value, **fields | changes)


def thick(made: ResultRecord) -> dict[str, Any]:
    """The curve as it was before it was thinned."""
    steps = list(range(5, 1001, 5))
    return {"curves": {"loss": {"step": steps, "value": [1.0 / step for step in steps]}}}


def reason_of(path: Path) -> str:
    found = read_record(path)
    assert isinstance(found, Unreadable)
    return found.reason


# --- curves --------------------------------------------------------------------------------------------------


def test_a_thinned_curve_is_of_means_over_equally_many_windows() -> None:
    curve = Curve(step=list(range(2, 165, 2)), value=[float(n) for n in range(82)])
    thin = curve.thinned()
    assert thin.step == [*range(6, 163, 6), 164]
    assert thin.value == [*(float(n) for n in range(1, 81, 3)), 81.0]
    assert len(thin.step) <= CURVE_POINTS
    assert thin.thinned() is thin
    extreme = Curve(step=list(range(100)), value=[1.7e308, -1.7e308] * 50).thinned()
    assert len(extreme.value) == 34


def test_a_short_curve_is_near_enough_for_the_gate_and_says_no_more_than_a_float32() -> None:
    curve = Curve(step=[1, 2, 3, 4], value=[1 / 3, -12345.678901234, 1.7e308, 0.0])
    assert curve.short().value == [0.3333333, -12345.68, 1.7e308, 0.0]
    assert curve.short().short() == curve.short()
    assert curve.short().value == pytest.approx(curve.value, rel=1e-7)


@pytest.mark.parametrize("total", [30, 300, 950, 12_345])
def test_a_run_of_today_logs_what_a_thinned_record_holds(total: int) -> None:
    """The gate tells replays by where curves begin, in old records and in new ones."""
    log, window = CurveLog(total), max(1, -(-total // 200))
    values = [1.0 / (step + 1) for step in range(1, total + 1)]
    for step, value in enumerate(values, 1):
        log.add(step, {"loss": value})
    ends = range(window, total + 1, window)
    then = Curve(step=list(ends), value=[sum(values[end - window : end]) / window for end in ends])
    found = log.curves()["loss"]
    assert found.step == then.thinned().step
    assert found.value == pytest.approx(then.thinned().value, rel=1e-12)


# --- parts ---------------------------------------------------------------------------------------------------


def test_what_records_share_is_written_once(tmp_path: Path) -> None:
    paths = [write_record(tmp_path, full(seed)) for seed in range(3)]
    assert [path.name for path in (tmp_path / "protocols").iterdir()] == [f"{PROTOCOL.fingerprint}.json"]
    assert [path.name for path in (tmp_path / "cards").iterdir()] == [f"{CARD.fingerprint}.json"]
    text = paths[0].read_text()
    assert "n_samples" not in text
    assert CARD.summary not in text
    assert "\n" not in text.rstrip("\n")
    assert [read_record(path) for path in paths] == [full(seed) for seed in range(3)]
    assert open_index([tmp_path]).tasks == ["gaussians8"]
    assert not open_index([tmp_path]).problems


def test_a_whole_record_and_a_stored_one_say_the_same(tmp_path: Path) -> None:
    made = full(0)
    path = write_record(tmp_path, made)
    assert parse_record(record_text(made).encode(), path=path) == made
    found = parse_record(stored_text(made).encode(), path=path)
    assert isinstance(found, Unreadable)
    assert "names its protocols and card by fingerprint" in found.reason
    path.write_text(record_text(made))  # as one that came out of a bundle
    assert read_record(path) == made


@pytest.mark.parametrize("kind", ["protocols", "cards"])
def test_a_missing_or_altered_part_is_said_and_what_to_do(tmp_path: Path, kind: str) -> None:
    made = full(0)
    path = write_record(tmp_path / "whole", made)
    shutil.copytree(tmp_path / "whole" / "gaussians8", tmp_path / "alone" / "gaussians8")
    alone = tmp_path / "alone" / path.relative_to(tmp_path / "whole")
    assert f"{tmp_path}/alone/protocols/{PROTOCOL.fingerprint}.json, which is missing" in reason_of(alone)
    assert "copy protocols/ and cards/ there" in reason_of(alone)
    shutil.copytree(tmp_path / "whole", tmp_path / "altered")
    (part,) = (tmp_path / "altered" / kind).iterdir()
    altered = tmp_path / "altered" / path.relative_to(tmp_path / "whole")
    sound = part.read_text()
    for text, words in (
        (sound.replace("made-up", "made up").replace("100", "101"), "changed since"),
        (sound[:-9], "cannot be read"),
        ('{"name": 1}', "cannot be read"),
    ):
        part.write_text(text)
        assert words in reason_of(altered), text
    part.unlink()
    os.mkfifo(part)
    assert "no regular file" in reason_of(altered)
    part.unlink()
    part.write_text(sound)
    assert read_record(altered) == made


def test_a_damaged_part_is_written_anew_by_the_next_record(tmp_path: Path) -> None:
    path = write_record(tmp_path, full(0))
    part = tmp_path / "protocols" / f"{PROTOCOL.fingerprint}.json"
    sound = part.read_bytes()
    part.write_bytes(sound[:20])
    write_record(tmp_path, full(1))
    assert part.read_bytes() == sound
    assert read_record(path) == full(0)


def test_a_name_that_is_no_fingerprint_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text('{"name": "x"}')
    path = write_record(tmp_path, full(0))
    stored = json.loads(path.read_text())
    del stored["sha256"]
    stored["scores"]["sw2"]["fingerprint"] = "../secret"
    path.write_text(json.dumps(stored))
    assert "'../secret' among its protocols, which is no fingerprint" in reason_of(path)
    path.write_text(json.dumps(stored | {"protocols": [], "card": "../../secret"}))
    assert "'../../secret' among its cards, which is no fingerprint" in reason_of(path)


def test_a_record_copied_alone_is_read_with_its_parts_beside_it(tmp_path: Path, monkeypatch: Any) -> None:
    path = write_record(tmp_path / "results", full(0))
    (tmp_path / "a").mkdir()
    shutil.copy(path, tmp_path / "a" / "one.json")
    for kind in ("protocols", "cards"):
        shutil.copytree(tmp_path / "results" / kind, tmp_path / "a" / kind)
    monkeypatch.chdir(tmp_path / "a")
    assert read_record("one.json") == full(0)


def test_folders_of_records_merge_by_copying(tmp_path: Path) -> None:
    for number, name in enumerate(("a", "b")):
        other = MetricProtocol(name="sw2", version=number, fields={})
        scores = {"sw2": Estimate(value=1.0, better="lower", fingerprint=other.fingerprint)}
        write_record(tmp_path / name, full(0))
        write_record(tmp_path / name, full(1 + number, scores=scores, protocols={other.fingerprint: other}))
    for name in ("a", "b"):
        shutil.copytree(tmp_path / name, tmp_path / "both", dirs_exist_ok=True)
    index = open_index([tmp_path / "both"])
    assert not index.problems
    assert [entry.seed for entry in sorted(index.entries("gaussians8"), key=lambda e: e.seed)] == [0, 1, 2]


# --- migrate -------------------------------------------------------------------------------------------------


def test_records_of_every_schema_are_migrated_once(dxbench: Callable[..., Ended], tmp_path: Path) -> None:
    results = tmp_path / "results"
    paths = [
        write_then(results, full(0), 1, **thick(full(0))),
        write_then(results, full(1), 2, **thick(full(1))),
        write_record(results, full(2)),
    ]
    before = [read_record(path) for path in paths]
    ended = dxbench("records", "migrate", results)
    assert ended.code == 0
    assert "2 records migrated, in today's form already: 1" in ended.out
    assert "configurations of made-up are left as they are: not installed" in ended.out
    assert [read_record(path) for path in paths] == before
    assert before[1:] == [full(1), full(2)]
    assert before[0] == full(0, card=MethodCard())
    kept = {path: path.stat().st_mtime_ns for path in results.rglob("*.json")}
    again = dxbench("records", "migrate", results, "--json").json
    assert (again["migrated"], again["current"]) == (0, 3)
    assert {path: path.stat().st_mtime_ns for path in results.rglob("*.json")} == kept


def test_what_cannot_be_migrated_is_named_and_left(dxbench: Callable[..., Ended], tmp_path: Path) -> None:
    write_then(tmp_path, full(0), 2)
    damaged = write_then(tmp_path, full(1), 2)
    damaged.write_text(damaged.read_text().replace("1.0", "1.5"))
    future = write_then(tmp_path, full(2), 2, schema_version=4)
    future.write_text(json.dumps(json.loads(future.read_text()) | {"sha256": None}).replace(', "sha256": null', ""))
    texts = [damaged.read_bytes(), future.read_bytes()]
    ended = dxbench("records", "migrate", tmp_path)
    assert ended.code == 5
    assert "1 record migrated" in ended.out
    assert f"{damaged}: changed since it was written" in ended.err
    assert f"{future}: schema_version 4, this dxbench reads 1 to 3; update dxbench to read it" in ended.err
    assert [damaged.read_bytes(), future.read_bytes()] == texts
    assert dxbench("records", "migrate", tmp_path / "none").code == 2


class Width(Config):
    width: int = 0


class MadeUp(Method):
    """What a method says of its old configurations."""

    name, version, Config = "made-up", 1, Width

    def start(self, problem: Problem, config: Width, *, compute: Compute, rng: RandomStreams) -> Training:
        raise NotImplementedError

    @classmethod
    def migrate_config(cls, config: Mapping[str, Any]) -> dict[str, Any]:
        return {"width" if key == "a" else key: value for key, value in config.items()}


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = registry.plugins
    monkeypatch.setattr(registry, "plugins", lambda kind: {"made-up": None} if kind == "methods" else real(kind))
    monkeypatch.setattr(registry, "load_method", lambda name: MadeUp)


@pytest.mark.usefixtures("installed")
def test_configurations_take_todays_form_and_runs_their_new_names(tmp_path: Path) -> None:
    results, home = tmp_path / "results", tmp_path / "home"
    old = full(0, overrides={"a": 1})
    path = write_then(results, old, 2)
    work = work_folder(home, task=old.task, method=old.method, run_id=old.run_id)
    work.mkdir(parents=True)
    (work / "arrays.npz").write_bytes(b"x")
    new = full(0, config={"width": 1}, overrides={"width": 1})
    done = migration.migrate_folder(results, home=home, progress=lambda text: None)
    assert [(one.old, one.new) for one in done.renamed] == [(path, record_path(results, new))]
    assert read_record(record_path(results, new)) == new
    assert new.provenance == old.provenance
    assert not path.exists()
    assert (work_folder(home, task=old.task, method=old.method, run_id=new.run_id) / "arrays.npz").is_file()
    again = migration.migrate_folder(results, home=home, progress=lambda text: None)
    assert (again.current, again.migrated, again.problems) == (1, 0, [])
    # Killed after the new file was written: the old one is there once more.
    path.write_text(text_then(old, 2))
    migration.migrate_folder(results, home=home, progress=lambda text: None)
    assert not path.exists()
    # Another run has the place.
    path.write_text(text_then(old, 2))
    write_record(results, full(0, 7.0, config={"width": 1}, overrides={"width": 1}))
    (problem,) = migration.migrate_folder(results, home=home, progress=lambda text: None).problems
    assert problem.path == path
    assert "is there with other content" in problem.reason
    assert path.exists()


@pytest.mark.usefixtures("installed")
def test_a_method_that_fails_on_an_old_configuration_costs_no_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_then(tmp_path, full(0), 2)
    monkeypatch.setattr(MadeUp, "migrate_config", classmethod(lambda cls, config: config["b"]))
    found = migration.migrate_folder(tmp_path, home=tmp_path, progress=lambda text: None)
    assert "migrate_config of made-up fails: KeyError: 'b'" in found.problems[0].reason
    assert path.read_text() == text_then(full(0), 2)


# --- prune ---------------------------------------------------------------------------------------------------


def test_records_of_superseded_versions_leave_and_are_listed(dxbench: Callable[..., Ended], tmp_path: Path) -> None:
    kept = write_record(tmp_path, full(0, method_version=2))
    of_another = write_record(tmp_path, full(0, method="other"))
    past = write_record(tmp_path, full(0))
    older_task = write_record(tmp_path, full(0, method="other", task_version=0))
    listed = dxbench("records", "prune", tmp_path, "--dry-run")
    assert listed.code == 0
    assert f"would remove {past}: method made-up is at version 2, this is of 1" in listed.out
    assert f"would remove {older_task}: task gaussians8 is at version 1, this is of 0" in listed.out
    assert all(path.exists() for path in (kept, of_another, past, older_task))
    done = dxbench("records", "prune", tmp_path, "--json").json
    assert sorted(done["superseded"]) == sorted(map(str, (past, older_task)))
    assert [path.exists() for path in (kept, of_another, past, older_task)] == [True, True, False, False]
    assert dxbench("records", "prune", tmp_path).out.endswith("0 records of superseded versions\n")


def test_a_newer_version_that_is_installed_supersedes_and_a_bad_file_stays(
    dxbench: Callable[..., Ended], tmp_path: Path
) -> None:
    old = write_record(tmp_path, full(0, method="ddpm", method_version=0))
    bad = old.with_name("bad.json")
    bad.write_text("{")
    ended = dxbench("records", "prune", tmp_path)
    assert ended.code == 5
    assert "method ddpm is at version" in ended.out
    assert not old.exists()
    assert bad.exists()
    assert str(bad) in ended.err


# --- withdraw ------------------------------------------------------------------------------------------------

REASON = "scored on the training set"


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """A good row, and one that would be the first."""
    for seed in range(3):
        write_record(tmp_path / "board", full(seed, 2.0 + 0.1 * seed, method="sound"))
        write_record(tmp_path / "board", full(seed, 1.0 + 0.1 * seed))
    return tmp_path / "board"


def test_a_withdrawal_is_in_the_record_and_can_be_undone(dxbench: Callable[..., Ended], board: Path) -> None:
    path, run = record_path(board, full(0)), full(0).run_id
    before = path.read_bytes()
    assert dxbench("records", "withdraw", run, "--reason", REASON, "--results", board).code == 0
    assert read_record(path) == full(0).model_copy(update={"withdrawn": REASON})
    assert "already" in dxbench("records", "withdraw", run, "--reason", REASON, "--results", board).out
    assert dxbench("records", "withdraw", run, "--undo", "--results", board).code == 0
    assert path.read_bytes() == before
    for arguments in (
        (run, "--undo"),
        ("none", "--reason", REASON),
        (run,),
        (run, "--undo", "--reason", REASON),
        (run, "--reason", " "),
        (run, "--reason", "a\nb"),
    ):
        assert dxbench("records", "withdraw", *arguments, "--results", board).code == 2


def test_a_withdrawn_row_is_struck_out_and_never_ranks(dxbench: Callable[..., Ended], board: Path) -> None:
    table = ("table", "-t", "gaussians8", "--results", board, "-f")
    assert "**made-up" not in dxbench(*table, "md").out
    first = dxbench(*table, "json").json["blocks"][0]["rows"][0]
    assert first["label"] == "made-up"
    assert dxbench("records", "withdraw", config_id_of(full(0)), "--reason", REASON, "--results", board).code == 0
    rows = {row["label"]: row for row in dxbench(*table, "json").json["blocks"][0]["rows"]}
    assert list(rows) == ["sound", "made-up"]
    assert rows["made-up"]["marks"] == ["withdrawn"]
    assert rows["made-up"]["scores"]["sw2"]["places"] is None
    assert rows["sound"]["scores"]["sw2"]["places"] == [1, 1]
    note = f"made-up: withdrawn, seeds 0, 1, 2: {REASON}."
    for format, struck in {
        "text": "~~1.10 ± 0.10~~",
        "md": "~~1.10 ± 0.10~~",
        "html": "<s>1.10 ± 0.10</s>",
        "latex": r"{\setbox0\hbox{1.10 $\pm$ 0.10}\rlap{\rule[.55ex]{\wd0}{.4pt}}\box0}",
        "latex-table": r"\hbox{1.10 $\pm$ 0.10}",
    }.items():
        out = dxbench(*table, format).out
        assert struck in out, format
        assert note in out, format
    (line,) = [line for line in csv.DictReader(io.StringIO(dxbench(*table, "csv").out)) if line["label"] == "made-up"]
    assert line["marks"] == "withdrawn"
    assert REASON in line["remarks"]


def test_a_withdrawn_seed_leaves_its_row_which_does_not_rank_until_it_is_run_again() -> None:
    gone = full(0, 9.0).model_copy(update={"withdrawn": REASON})
    records = [gone, full(1, 1.0), full(2, 2.0)]
    (row,) = rows_of([Entry.of(made, "nowhere") for made in records])
    assert row.scores["sw2"].value == 1.5
    assert row.marks == (Mark.PARTIAL,)
    assert not row.ranks
    assert f"withdrawn, seed 0: {REASON}" in row.remarks


def test_what_is_withdrawn_makes_nothing_else_old() -> None:
    records = [full(seed, method_version=1) for seed in range(2)]
    records += [full(seed, method_version=2).model_copy(update={"withdrawn": REASON}) for seed in range(2)]
    old, new = rows_of([Entry.of(made, "nowhere") for made in records])
    assert old.ranks
    assert new.withdrawn


def test_compare_gate_and_site_know_of_it(dxbench: Callable[..., Ended], board: Path, tmp_path: Path) -> None:
    shutil.copytree(board, tmp_path / "now")
    assert dxbench("check", "--baseline", board, "--results", tmp_path / "now").code == 0
    config = config_id_of(full(0))
    assert dxbench("records", "withdraw", config, "--reason", REASON, "--results", tmp_path / "now").code == 0
    ended = dxbench("compare", "made-up", "sound", "-t", "gaussians8", "--results", tmp_path / "now")
    assert ended.code == 2
    assert f"'made-up' is withdrawn ({REASON})" in ended.err
    ended = dxbench("check", "--baseline", board, "--results", tmp_path / "now", "--json")
    assert {one["row"] for one in ended.json["findings"]} == {"sound"}
    assert ended.json["absent"] == ["gaussians8: made-up"]
    assert f"gaussians8: made-up: seed 2 of the candidate is withdrawn and left out ({REASON})" in ended.json["notes"]
    site = tmp_path / "site"
    assert dxbench("leaderboard", "build", "--results", tmp_path / "now", "--out", site).code == 0
    task = (site / "tasks" / "gaussians8.html").read_text()
    assert "<s>1.10 ± 0.10</s>" in task
    assert "<s>made-up</s>" in task
    assert REASON in task
    assert task.count("<title>made-up") == 0
    assert f"known to be wrong: {REASON}" in (next((site / "runs/gaussians8/made-up").iterdir())).read_text()
    assert f'title="withdrawn: {REASON}"' in (site / "methods" / "made-up.html").read_text()


def test_a_withdrawn_run_is_no_submission() -> None:
    made = full(0).model_copy(update={"withdrawn": REASON})
    manifest = make_manifest([made], {made.run_id: None})
    found = record_defects(made, manifest.runs[0], manifest, None)
    assert any("withdrawn" in defect.where and REASON in defect.problem for defect in found)


def test_what_a_killed_writer_of_parts_left_is_removed(tmp_path: Path) -> None:
    kept = [tmp_path / "protocols" / "0123456789abcdef.json", tmp_path / "cards" / ".hidden"]
    left = [tmp_path / kind / ".0123456789abcdef.json.0123456789ab" for kind in ("protocols", "cards")]
    for file in (*kept, *left):
        file.parent.mkdir(exist_ok=True)
        file.write_text("")
    sweep_parts(tmp_path)
    assert [file.exists() for file in (*kept, *left)] == [True, True, False, False]
