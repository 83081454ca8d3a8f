"""What push and pull promise of either kind of remote."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Ended
from PIL import Image
from places import Place
from tiny_task import keep
from workshop import Workshop

import dxbench as python
from dxbench.api import Failure, MeasuredAgain, ResultRecord, Status, Submission, Tile
from dxbench.errors import InvalidFile, NothingMeasured
from dxbench.records.files import config_id_of, record_path, stored_text, write_record
from dxbench.records.index import open_index
from dxbench.records.pictures import read_tiles, write_tiles
from dxbench.submissions.manifest import sha256

pytest_plugins = ("places", "workshop")
Command = Callable[..., Ended]


@pytest.fixture
def own(tmp_path: Path, sound: list[ResultRecord]) -> Path:
    """A folder with two records."""
    for record in sound:
        write_record(tmp_path / "own", record)
    return tmp_path / "own"


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a folder of records, but for the lock that guards it."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != ".merge.lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def name(record: ResultRecord) -> str:
    return str(record_path(Path(), record))


def elsewhere(record: ResultRecord) -> ResultRecord:
    """The run with another number, as somebody else would have it."""
    scores = {key: estimate.model_copy(update={"value": 0.5}) for key, estimate in record.scores.items()}
    return record.model_copy(update={"scores": scores})


def test_records_arrive_as_they_left_and_a_board_is_built_of_them(
    dxbench: Command, place: Place, own: Path, tmp_path: Path
) -> None:
    pushed = dxbench("push", place.address, "--results", own)
    assert (pushed.code, "pushed 2 records to" in pushed.out, "  tiny: 2 records" in pushed.out) == (0, True, True)
    assert place.files == contents(own)
    assert place.messages[0] == "Add 2 records of tiny"
    pulled = dxbench("pull", place.address, "--results", tmp_path / "theirs")
    assert (pulled.code, "pulled 2 records from" in pulled.out) == (0, True), pulled.err
    assert contents(tmp_path / "theirs") == contents(own)
    built = dxbench("leaderboard", "build", "--results", tmp_path / "theirs", "--out", tmp_path / "site", "--json")
    assert (built.code, built.json["runs"]) == (0, 2)


def test_a_second_time_there_is_nothing_to_do(dxbench: Command, place: Place, own: Path, tmp_path: Path) -> None:
    dxbench("push", place.address, "--results", own)
    before = place.messages
    again = dxbench("push", place.address, "--results", own)
    assert (again.code, place.messages) == (0, before)
    assert "pushed nothing to" in again.out
    assert "2 were there already" in again.out
    dxbench("pull", place.address, "--results", tmp_path / "theirs")
    paths = sorted((tmp_path / "theirs").rglob("*.json"))
    times = [path.stat().st_mtime_ns for path in paths]
    pulled = dxbench("pull", place.address, "--results", tmp_path / "theirs")
    assert (pulled.code, "pulled nothing from" in pulled.out) == (0, True)
    assert [path.stat().st_mtime_ns for path in paths] == times


def test_a_dry_run_says_what_would_move_and_moves_nothing(
    dxbench: Command, place: Place, own: Path, tmp_path: Path
) -> None:
    planned = dxbench("push", place.address, "--results", own, "--dry-run")
    assert (planned.code, "would push 2 records to" in planned.out, place.messages) == (0, True, [])
    dxbench("push", place.address, "--results", own)
    planned = dxbench("pull", place.address, "--results", tmp_path / "theirs", "--dry-run", "--json")
    assert (planned.code, planned.json["dry_run"], len(planned.json["records"])) == (0, True, 2)
    assert not (tmp_path / "theirs").exists()


def test_a_run_with_other_content_is_refused_and_the_others_move(
    dxbench: Command, place: Place, own: Path, tmp_path: Path, sound: list[ResultRecord]
) -> None:
    first, second = sound
    place.put({"README.md": b"A board.\n"})
    write_record(tmp_path / "theirs", elsewhere(first))
    assert dxbench("push", place.address, "--results", tmp_path / "theirs").code == 0
    there = place.files[name(first)]
    pushed = dxbench("push", place.address, "--results", own)
    assert (pushed.code, "pushed 1 record to" in pushed.out) == (5, True)
    assert f"{name(first)}: the same run has other content there (scores differ), and nothing is over" in pushed.err
    assert (place.files[name(first)], name(second) in place.files) == (there, True)
    here = contents(own)
    pulled = dxbench("pull", place.address, "--results", own)
    assert (pulled.code, "(scores differ)" in pulled.err, "`dxbench records withdraw`" in pulled.err) == (5, True, True)
    assert contents(own) == here


def test_what_was_checked_of_a_submission_makes_no_other_run(
    dxbench: Command, place: Place, own: Path, tmp_path: Path, sound: list[ResultRecord]
) -> None:
    again = {"sw2_exact": MeasuredAgain(value=0.1, low=0.1, high=0.1, exact=True)}
    verdict = Submission(bundle_sha256="0" * 64, measured=again, on_trust={})
    for record in sound:
        write_record(tmp_path / "judged", record.model_copy(update={"submission": verdict}))
    dxbench("push", place.address, "--results", own)
    before = place.files
    assert dxbench("push", place.address, "--results", tmp_path / "judged").code == 0
    assert place.files == before
    assert dxbench("pull", place.address, "--results", tmp_path / "judged").code == 0
    assert all(entry.record().submission for entry in open_index([tmp_path / "judged"]).entries("tiny"))


def test_records_of_a_task_or_a_method_alone_move(
    dxbench: Command, place: Place, own: Path, tmp_path: Path, sound: list[ResultRecord]
) -> None:
    other = sound[0].model_copy(update={"method": "other"})
    other = other.model_copy(update={"run_id": f"{config_id_of(other)}-s0"})
    write_record(own, other)
    pushed = dxbench("push", place.address, "--results", own, "--method", "other", "--json")
    assert pushed.json["records"] == [name(other)]
    dxbench("push", place.address, "--results", own)
    pulled = dxbench(
        "pull", place.address, "--results", tmp_path / "a", "--task", "tiny", "--method", "sound", "--json"
    )
    assert sorted(pulled.json["records"]) == sorted(map(name, sound))
    wrong = dxbench("pull", place.address, "--results", tmp_path / "b", "--task", "tinny")
    assert (wrong.code, "has no record of task 'tinny'" in wrong.err) == (6, True)
    wrong = dxbench("push", place.address, "--results", own, "--task", "tinny")
    assert (wrong.code, "no record of task 'tinny' in" in wrong.err) == (6, True)


def test_protocols_and_cards_that_are_missing_or_altered_there_are_put_right(
    dxbench: Command, place: Place, own: Path
) -> None:
    dxbench("push", place.address, "--results", own)
    (card,) = [one for one in place.files if one.startswith("cards/")]
    place.put({card: place.files[card].replace(b"sound", b"unsound")})
    assert place.files[card] != (own / card).read_bytes()
    pushed = dxbench("push", place.address, "--results", own)
    assert (pushed.code, place.messages[0]) == (0, "Add what records name, and their pictures")
    assert place.files == contents(own)


def test_a_file_that_is_no_record_stays_here(
    dxbench: Command, place: Place, own: Path, sound: list[ResultRecord]
) -> None:
    (own / name(sound[0])).write_text("{}")
    pushed = dxbench("push", place.address, "--results", own)
    assert (pushed.code, "not a dxbench record" in pushed.err) == (5, True)
    assert (name(sound[0]) in place.files, name(sound[1]) in place.files) == (False, True)
    dxbench("pull", place.address, "--results", own)
    assert (own / name(sound[0])).read_text() == "{}"


def test_a_place_that_is_taken_by_something_else_is_named(
    dxbench: Command, place: Place, own: Path, sound: list[ResultRecord]
) -> None:
    place.put({name(sound[0]): b"{}"})
    pushed = dxbench("push", place.address, "--results", own)
    assert (pushed.code, "its place there has no readable record (not a dxbench record" in pushed.err) == (5, True)
    assert place.files[name(sound[0])] == b"{}"
    place.put({name(sound[0]): stored_text(sound[0]).encode()})
    (own / name(sound[0])).write_text("{}")
    pulled = dxbench("pull", place.address, "--results", own)
    assert (pulled.code, "its place here has no readable record" in pulled.err) == (5, True)
    assert (own / name(sound[0])).read_text() == "{}"


def test_without_a_record_there_is_nothing_to_push(dxbench: Command, place: Place, tmp_path: Path) -> None:
    ended = dxbench("push", place.address, "--results", tmp_path / "none")
    assert (ended.code, "`dxbench run` makes one" in ended.err) == (6, True)


def test_bundles_are_validated_on_either_side_and_bring_their_verdict(
    dxbench: Command, place: Place, workshop: Workshop, tmp_path: Path
) -> None:
    bundle = workshop.build()
    pushed = dxbench("push", place.address, "--bundle", bundle)
    assert (pushed.code, "pushed 1 bundle to" in pushed.out) == (0, True), pushed.err
    (there,) = place.files
    assert there.startswith("bundles/tiny/sound/")
    assert place.files[there] == bundle.read_bytes()
    again = dxbench("push", place.address, "--bundle", bundle)
    assert (again.code, "pushed nothing" in again.out, len(place.messages)) == (0, True, 1)
    results = tmp_path / "board"
    left = dxbench("pull", place.address, "--results", results, "--bundles", "--dry-run", "--json")
    assert (left.code, left.json["bundles"]) == (0, [there])
    pulled = dxbench("pull", place.address, "--results", results, "--bundles")
    assert (pulled.code, "pulled 1 bundle from" in pulled.out) == (0, True), pulled.err
    records = [entry.record() for entry in open_index([results]).entries("tiny")]
    assert [bool(record.submission and record.submission.measured) for record in records] == [True, True]
    before = contents(results)
    again = dxbench("pull", place.address, "--results", results, "--bundles")
    assert (again.code, "pulled nothing" in again.out, contents(results)) == (0, True, before)


def test_who_packed_a_bundle_pulls_it_without_complaint(
    dxbench: Command, place: Place, own: Path, workshop: Workshop
) -> None:
    dxbench("push", place.address, "--bundle", workshop.build())
    before = contents(own)
    pulled = dxbench("pull", place.address, "--results", own, "--bundles")
    assert (pulled.code, "1 were there already" in pulled.out, contents(own)) == (0, True, before)


def test_a_bundle_with_a_defect_does_not_leave_and_does_not_land(
    dxbench: Command, place: Place, workshop: Workshop, tmp_path: Path
) -> None:
    bundle = workshop.build(records=workshop.changed(nfe=1.0))
    pushed = dxbench("push", place.address, "--bundle", bundle)
    assert (pushed.code, "`dxbench validate` tells all of it" in pushed.err, place.messages) == (5, True, [])
    content = bundle.read_bytes()
    place.put({f"bundles/tiny/sound/{sha256(content)}.zip": content, f"bundles/tiny/sound/{'0' * 64}.zip": content})
    pulled = dxbench("pull", place.address, "--results", tmp_path / "board", "--bundles")
    assert (pulled.code, contents(tmp_path / "board")) == (5, {})
    assert "no sound bundle of sound on tiny" in pulled.err
    assert "another sha256 than its name says" in pulled.err


def ended(record: ResultRecord, *, seed: int, status: Status) -> ResultRecord:
    """The run of another seed that came to nothing."""
    failure = Failure(type="ValueError", message="3 of 10 samples are not finite", phase="evaluate", step=5)
    changes = {"scores": {}, "notes": {}, "status": status, "failure": failure, "seed": seed, "samples_sha256": None}
    changed = record.model_copy(update=changes)
    return changed.model_copy(update={"run_id": f"{config_id_of(changed)}-s{seed}"})


def test_runs_without_a_number_stay_unless_their_row_has_one(
    dxbench: Command, place: Place, own: Path, sound: list[ResultRecord]
) -> None:
    with_row = ended(sound[0], seed=7, status="failed")
    alone = [ended(sound[0].model_copy(update={"method": "other"}), seed=seed, status="failed") for seed in (0, 1)]
    for record in (with_row, *alone):
        write_record(own, record)
    pushed = dxbench("push", place.address, "--results", own)
    assert (pushed.code, "pushed 3 records to" in pushed.out) == (0, True), pushed.err
    assert "left here, for no run of the configuration has a number: 2 failed; --all pushes them too" in pushed.out
    assert name(with_row) in place.files
    assert not {name(record) for record in alone} & place.files.keys()
    refused = dxbench("push", place.address, "--results", own, "--method", "other")
    assert (refused.code, "has a number (2 failed); --all pushes them" in refused.err) == (6, True), refused.err
    pushed = dxbench("push", place.address, "--results", own, "--all", "--json")
    assert (sorted(pushed.json["records"]), pushed.json["left"]) == (sorted(map(name, alone)), {})


def test_pictures_go_with_their_records_and_are_drawn_anew(
    dxbench: Command, place: Place, own: Path, tmp_path: Path, sound: list[ResultRecord]
) -> None:
    (picture,) = write_tiles(own, sound[0], [a_tile()])
    picture.write_bytes(picture.read_bytes() + b"and a tail")
    pushed = dxbench("push", place.address, "--results", own)
    assert (pushed.code, "pushed 2 records and 1 picture to" in pushed.out) == (0, True), pushed.err
    pulled = dxbench("pull", place.address, "--results", tmp_path / "theirs")
    assert (pulled.code, "pulled 2 records and 1 picture from" in pulled.out) == (0, True), pulled.err
    (tile,) = read_tiles(tmp_path / "theirs", sound[0])
    assert (tile.caption, tile.png.endswith(b"tail")) == ("of a test", False)
    for command in ("push", "pull"):
        again = dxbench(command, place.address, "--results", tmp_path / "theirs")
        assert (again.code, "ed nothing" in again.out) == (0, True), again.err
    picture.write_bytes(b"no picture")
    (tmp_path / "theirs" / picture.relative_to(own)).unlink()
    place.put({str(picture.relative_to(own)): b"no picture"})
    refused = dxbench("pull", place.address, "--results", tmp_path / "theirs")
    assert (refused.code, "not a tile" in refused.err) == (5, True)
    assert not read_tiles(tmp_path / "theirs", sound[0])


def a_tile() -> Tile:
    out = io.BytesIO()
    Image.new("L", (8, 8)).save(out, format="png")
    return Tile(name="samples", caption="of a test", frames=1, width=8, height=8, png=out.getvalue())


def test_bundles_go_in_place_of_records(dxbench: Command, place: Place, own: Path, workshop: Workshop) -> None:
    ended = dxbench("push", place.address, "--bundle", workshop.build(), "--results", own)
    assert (ended.code, "leave --task, --method and --results out" in ended.err) == (2, True)


def test_python_moves_records_as_the_commands_do(
    place: Place, own: Path, tmp_path: Path, sound: list[ResultRecord], workshop: Workshop
) -> None:
    moved = python.push(place.address, results=own)
    assert sorted(moved.records) == sorted(map(name, sound))
    assert len(python.push(place.address, results=own).same) == 2
    assert python.pull(place.address, results=tmp_path / "theirs", dry_run=True).records == moved.records
    python.pull(place.address, results=tmp_path / "theirs")
    assert contents(tmp_path / "theirs") == contents(own)
    write_record(tmp_path / "third", elsewhere(sound[0]))
    with pytest.raises(InvalidFile, match="scores differ"):
        python.pull(place.address, results=tmp_path / "third")
    with pytest.raises(NothingMeasured):
        python.pull(place.address, results=tmp_path / "third", method="other")
    assert python.push(place.address, bundles=[workshop.build()]).bundles
    assert python.pull(place.address, results=tmp_path / "fourth", bundles=True).bundles


def test_the_runs_of_this_machine_are_what_moves_by_default(
    dxbench: Command, place: Place, home: Path, sound: list[ResultRecord], arrays: dict[int, object]
) -> None:
    keep(sound[0], arrays[0], home)  # pyright: ignore[reportArgumentType]
    assert dxbench("push", place.address, "--json").json["records"] == [name(sound[0])]
