"""Records to rows to text."""

import csv
import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Ended
from made_up_records import PROVENANCE, record
from old_records import fields_then, write_then

from dxbench.api import Cost, Estimate, Failure, ResultRecord, TrainingCost
from dxbench.boards.aggregate import Mark, Row, rows_of, summarise
from dxbench.boards.render.cells import notes
from dxbench.boards.tables import result_beside_published, task_table
from dxbench.records.entries import Entry
from dxbench.records.files import RECORD_LIMIT, Unreadable, read_record, write_record
from dxbench.records.index import open_index

ROOT = Path(__file__).resolve().parents[2]


def rows(records: list[ResultRecord]) -> list[Row]:
    """Rows of records that lie nowhere."""
    return rows_of([Entry.of(made, "nowhere") for made in records])


def test_rows_average_over_training_seeds_with_ddof_1() -> None:
    (row,) = rows([record(0, 1.0), record(1, 2.0), record(2, 6.0)])
    assert row.scores["sw2"].value == pytest.approx(3.0)
    assert row.scores["sw2"].std == pytest.approx(7.0**0.5)
    assert row.scores["sw2"].seeds == 3


def test_one_seed_has_no_spread() -> None:
    assert summarise({0: Estimate(value=1.0, better="lower", fingerprint="f")}).std is None


def test_failed_seeds_stay_visible_and_do_not_enter_the_mean() -> None:
    (row,) = rows([record(0, 1.0), record(1, None)])
    assert row.scores["sw2"].value == 1.0
    assert "1 of 2 seeds failed" in row.remarks


def test_other_configurations_versions_and_methods_are_other_rows() -> None:
    others = [{"config": {"a": 2}}, {"method_version": 2}, {"task_version": 2}, {"method": "other"}]
    assert len(rows([record(0, 1.0), *(record(0, 1.0, **change) for change in others)])) == 5


def test_different_protocols_are_never_averaged() -> None:
    other = Estimate(value=9.0, better="lower", fingerprint="0" * 16)
    (row,) = rows([record(0, 1.0), record(1, None, status="ok", scores={"sw2": other})])
    assert "sw2" not in row.scores
    assert "sw2: seeds measured by different protocols, not averaged" in row.remarks


def test_uncommitted_code_is_said() -> None:
    dirty = PROVENANCE.model_copy(update={"git_dirty": True})
    (row,) = rows([record(0, 1.0, provenance=dirty)])
    assert Mark.DIRTY in row.marks
    assert not row.ranks


def test_a_record_survives_the_disk_unchanged(tmp_path: Path) -> None:
    made = record(3, 0.25)
    path = write_record(tmp_path, made)
    assert path == tmp_path / f"gaussians8/made-up/{made.run_id}.json"
    assert read_record(path) == made
    assert list(path.parent.iterdir()) == [path]
    text = path.read_bytes()
    assert write_record(tmp_path, made).read_bytes() == text


BAD = {
    "truncated": b'{"schema_version": 1, "run_id": "x',
    "empty": b"",
    "binary": b"\xff\xfe\x00",
    "list": b"[1, 2]",
    "foreign": b'{"name": "not ours"}',
    "newer": b'{"schema_version": 99}',
    "incomplete": b'{"schema_version": 1, "run_id": "x"}',
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_named_left_alone_and_ends_with_5(
    dxbench: Callable[..., Ended], tmp_path: Path, kind: str
) -> None:
    write_record(tmp_path, record(0, 0.5))
    bad = tmp_path / "gaussians8" / "made-up" / f"{kind}.json"
    bad.write_bytes(BAD[kind])
    assert isinstance(read_record(bad), Unreadable)
    ended = dxbench("table", "--task", "gaussians8", "--results", tmp_path)
    assert ended.code == 5
    assert "0.5000" in ended.out
    assert f"{bad}: " in ended.err
    assert bad.read_bytes() == BAD[kind]


def test_a_record_of_schema_1_is_read_in_todays(tmp_path: Path) -> None:
    path = write_then(tmp_path, record(0, 0.5), 1)
    assert read_record(path) == record(0, 0.5)
    found = read_record(write_then(tmp_path, record(0, 0.5), 1, seed="x"))
    assert isinstance(found, Unreadable)
    assert "seed" in found.reason


def undigested(path: Path) -> str:
    """A record as somebody would write it who takes its digest out."""
    text, _, _ = path.read_text().partition(',"sha256"')
    path.write_text(text + "}")
    assert isinstance(read_record(path), ResultRecord)
    return path.read_text()


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_a_record_that_was_changed_by_a_bit_is_none(tmp_path: Path, ends: str) -> None:
    path = write_record(tmp_path, record(0, 0.5))
    text = path.read_bytes().replace(b"\n", ends.encode())
    path.write_bytes(text)
    assert read_record(path) == record(0, 0.5)
    for at in range(0, len(text), 3):
        path.write_bytes(text[:at] + bytes([text[at] ^ 1]) + text[at + 1 :])
        found = read_record(path)
        assert isinstance(found, Unreadable) or found == record(0, 0.5)
    path.write_bytes(text.replace(b"0.5", b"0.6"))
    assert "changed since it was written" in read_record(path).reason  # type: ignore[union-attr]


def test_nan_cannot_enter_a_record(tmp_path: Path) -> None:
    path = write_record(tmp_path, record(0, 0.5))
    path.write_text(undigested(path).replace("0.5", "NaN"))
    assert isinstance(read_record(path), Unreadable)


def test_own_records_stand_beside_the_references_and_never_within_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repeat of a seed, and a further seed of the same configuration, are a row of their own."""
    for seed in (0, 1):
        write_record(tmp_path / "a", record(seed, 1.0 + seed))
    for seed in (0, 7):
        write_record(tmp_path / "b", record(seed, 5.0 + seed))
    elsewhere = open_index([tmp_path / "a", tmp_path / "b"])
    monkeypatch.setenv("DXBENCH_RESULTS", str(tmp_path / "b"))
    rows = task_table(open_index([tmp_path / "a", tmp_path / "b"]), "gaussians8", published=False).rows
    assert {row.label: dict(row.scores["sw2"].by_seed) for row in rows} == {
        "made-up": {0: 1.0, 1: 2.0},
        "made-up (yours)": {0: 5.0, 7: 12.0},
    }
    assert {row.label for row in task_table(elsewhere, "gaussians8", published=False).rows} == {
        "made-up",
        f"made-up (from {tmp_path / 'b'})",
    }


def test_what_has_no_number_is_told_below_and_is_no_row(tmp_path: Path) -> None:
    failure = Failure(phase="setup", type="MissingData", message="no weights")
    write_record(tmp_path, record(0, 1.0))
    for seed in (0, 1):
        write_record(
            tmp_path,
            record(seed, None, method="absent", status="skipped", scores={}, failure=failure),
        )
    table = task_table(open_index([tmp_path]), "gaussians8", published=False)
    assert [row.label for row in table.rows] == ["made-up"]
    assert "No number of absent (2 skipped): setup: MissingData: no weights" in table.footnotes


def test_columns_are_those_that_the_newest_record_names(tmp_path: Path) -> None:
    """A column that a task has taken into its tables shows older runs too, where they have measured it."""
    scores = {name: Estimate(value=1.0, better="lower", fingerprint="f" * 16) for name in ("sw2", "sw2_exact")}
    newer = PROVENANCE.model_copy(update={"created": "2026-02-01T00:00:00+00:00"})
    write_record(tmp_path, record(0, 1.0, scores=scores))
    write_record(tmp_path, record(1, 1.0, scores=scores, headline=["sw2", "sw2_exact"], provenance=newer))
    write_record(tmp_path, record(2, 1.0, scores=scores))
    assert task_table(open_index([tmp_path]), "gaussians8", published=False).metrics == ("sw2", "sw2_exact")


def test_nothing_to_show_is_exit_6(dxbench: Callable[..., Ended], tmp_path: Path) -> None:
    ended = dxbench("table", "--task", "gaussians8", "--results", tmp_path)
    assert ended.code == 6
    assert "no record of task 'gaussians8'" in ended.err


def test_suite_rows_come_in_its_order_with_published_ones_behind_and_the_floor_last(
    dxbench: Callable[..., Ended], tmp_path: Path
) -> None:
    dxmi = {"method": "dxmi", "config": {"tau": 0.1}}
    floor = {"method": "data", "config": {}, "reference": True}
    for made in (record(0, 0.5, **dxmi), record(0, 0.04, **floor)):
        write_record(tmp_path, made)
    suite = ("table", "--suite", "dxmi-table1", "--results", tmp_path)
    labels = [row["label"] for row in dxbench(*suite, "--published", "--format", "json").json["blocks"][0]["rows"]]
    at = labels.index("DxMI, T=5, from scratch, tau=0.1")
    assert labels[at + 1] == "DxMI, T=5, from scratch, tau=0.1 — DxMI 2024"
    assert labels[-1] == "fresh draws of the truth"
    assert len(labels) == 2 + 9
    assert len(dxbench(*suite, "--format", "json").json["blocks"][0]["rows"]) == 2
    assert "Not run: DDPM, T=5; DDPM, T=10;" in dxbench(*suite).out


def test_a_method_that_knows_the_truth_is_no_floor(tmp_path: Path) -> None:
    own = record(0, 0.5)
    floor = record(0, 0.04, method="data", config={}, reference=True)
    spent = Cost(
        train_seconds=1.0,
        eval_seconds=1.0,
        train=TrainingCost(seconds=1.0, flops=10, passes=4),
        stored=TrainingCost(seconds=0.0, flops=0, passes=0),
        steps=1,
        peak_memory_bytes=1,
        device="cpu",
        threads=1,
    )
    told = record(0, 0.03, method="told", reference=True, cost=spent)
    for made in (own, floor, told):
        write_record(tmp_path, made)
    index = open_index([tmp_path])
    kinds = {row.method: row.kind for row in task_table(index, "gaussians8", published=False).rows}
    assert kinds == {"made-up": "measured", "data": "reference", "told": "told"}
    legend = " ".join(notes(task_table(index, "gaussians8", published=False)))
    assert "= reference: real data, scored like samples of a model, or a method that knows the truth." in legend
    beside = result_beside_published(index, [Entry.of(own, "nowhere")])
    assert [row.method for row in beside.rows if row.kind != "published"] == ["made-up", "data"]


def test_a_suite_without_records_shows_the_papers_rows_where_they_are_asked_for(
    dxbench: Callable[..., Ended], tmp_path: Path
) -> None:
    suite = ("table", "--suite", "dxmi-table2", "--results", tmp_path)
    assert dxbench(*suite).code == 6
    shown = dxbench(*suite, "--published", "--format", "json")
    assert shown.code == 0
    labels = [row["label"] for row in shown.json["blocks"][0]["rows"]]
    assert {"DDIM — DxMI 2024", "SFT-PG — DxMI 2024", "Consistency Model — DxMI 2024"} <= set(labels)
    assert all(label.endswith(" — DxMI 2024") for label in labels)
    assert "DDIM, T=10" in next(note for note in shown.json["footnotes"] if note.startswith("Not run: "))


def test_csv_and_markdown_quote_what_they_must(dxbench: Callable[..., Ended], tmp_path: Path) -> None:
    write_record(tmp_path, record(0, 0.5, method="a|b,c", overrides={"x": "1,2"}))
    table = ("table", "--task", "gaussians8", "--results", tmp_path, "--format")
    (_, line) = csv.reader(io.StringIO(dxbench(*table, "csv").out))
    assert line[1] == 'a|b,c[x="1,2"]'
    assert 'a\\|b,c[x="1,2"]' in dxbench(*table, "md").out


def test_out_writes_the_file(dxbench: Callable[..., Ended], tmp_path: Path) -> None:
    write_record(tmp_path, record(0, 0.5))
    target = tmp_path / "new" / "table.json"
    ended = dxbench("table", "-t", "gaussians8", "--results", tmp_path, "--format", "json", "-o", target)
    assert ended.out == ""
    assert json.loads(target.read_text())["blocks"][0]["rows"][0]["label"] == "made-up"


ODD: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "dangling link": lambda path: path.symlink_to("nowhere"),
    "loop": lambda path: path.symlink_to(path),
    "folder": lambda path: path.mkdir(),
    "huge": lambda path: path.write_bytes(b"[" + b" " * RECORD_LIMIT + b"]"),
}


@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_regular_file_is_named_and_left_alone(
    dxbench: Callable[..., Ended], tmp_path: Path, kind: str
) -> None:
    write_record(tmp_path, record(0, 0.5))
    odd = tmp_path / "gaussians8" / "made-up" / "odd.json"
    ODD[kind](odd)
    assert isinstance(read_record(odd), Unreadable)
    ended = dxbench("table", "--task", "gaussians8", "--results", tmp_path)
    assert ended.code == 5
    assert "0.5000" in ended.out
    assert f"{odd}: " in ended.err


BENT: dict[str, tuple[str, str]] = {
    "long integer": ('"schema_version": ', f'"schema_version": {"1" * 5000}'),
    "long integer in a value": ('"a": 1', f'"a": {"1" * 5000}'),
    "not finite": ('"a": 1', '"a": Infinity'),
    "too large": ('"a": 1', '"a": 1e999'),
    "surrogate": ('"overrides": {}', '"overrides": {"\\ud800": 1}'),
    "seed": ('"seed": 0', '"seed": -1'),
    "another seed": ('"seed": 0', '"seed": 1'),
    "another configuration": ('"a": 1', '"a": 2'),
    "evaluations": ('"nfe": 5.0', '"nfe": -5'),
    "measurements": ('"n": 1', '"n": -3'),
    "spread": ('"std": null', '"std": -1'),
    "number as text": ('"value": 0.5', '"value": "0.5"'),
    "more than a float holds": ('"cores": 1', f'"cores": {2**2000}'),
}


@pytest.mark.parametrize("kind", BENT)
@pytest.mark.parametrize("schema", [1, 2, 3])
def test_a_record_out_of_range_or_that_contradicts_itself_is_none(tmp_path: Path, kind: str, schema: int) -> None:
    path = write_record(tmp_path, record(0, 0.5))
    fields = fields_then(record(0, 0.5), min(schema, 2), schema_version=schema)
    if schema == 3:
        fields |= {name: json.loads(path.read_text())[name] for name in ("card", "protocols")}
    text = json.dumps(fields)
    path.write_text(text)
    assert read_record(path) == record(0, 0.5)
    old, new = BENT[kind]
    assert old in text
    path.write_text(text.replace(old, new))
    assert isinstance(read_record(path), Unreadable)


def test_a_results_path_that_is_a_file_is_said(
    dxbench: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    assert dxbench("table", "--task", "gaussians8", "--results", tmp_path / "file").code == 2
    monkeypatch.setenv("DXBENCH_RESULTS", str(tmp_path / "file"))
    ended = dxbench("table", "--task", "gaussians8")
    assert ended.code == 2
    assert f"{tmp_path / 'file'} is no folder" in ended.err


def test_a_folder_that_cannot_be_listed_is_named(dxbench: Callable[..., Ended], tmp_path: Path) -> None:
    write_record(tmp_path, record(0, 0.5))
    (tmp_path / "gaussians8" / "loop").symlink_to("loop")
    ended = dxbench("table", "--task", "gaussians8", "--results", tmp_path)
    assert ended.code == 5
    assert "0.5000" in ended.out
    assert f"{tmp_path / 'gaussians8' / 'loop'}: not readable" in ended.err
