"""Packing and merging: the honest way, and what may be missing on it."""

import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Ended
from tiny_task import Tiny, draw, keep, measured

from dxbench.api import Submission
from dxbench.errors import InvalidFile
from dxbench.files.arrays import save_arrays
from dxbench.records.files import read_record, work_folder
from dxbench.submissions import merge as merging
from dxbench.submissions.manifest import sha256
from dxbench.submissions.merge import merge, place

pytest_plugins = ("workshop",)

SUBMIT = ("submit", "--task", "tiny", "--method", "sound", "--out", "bundle.zip")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_submit_validate_merge_and_the_records_are_the_same(
    dxbench: Callable[..., Ended], kept: Path, sound: list[Any]
) -> None:
    packed = dxbench(*SUBMIT)
    assert packed.code == 0, packed.out + packed.err
    assert "written: bundle.zip" in packed.out
    checked = dxbench("validate", "bundle.zip", "--json")
    assert checked.code == 0
    assert checked.json["valid"] is True
    assert checked.json["runs"] == [record.run_id for record in sound]
    assert {one["metric"] for one in checked.json["rechecked"]} == {"sw2_exact", "mode_share_min", "outlier_share"}
    assert {"energy_rank", "NFE", "configuration"} <= {one["what"] for one in checked.json["on_trust"]}
    merged = dxbench("merge", "bundle.zip", "--results", "results")
    assert merged.code == 0, merged.out
    taken_in = [read_record(path) for path in sorted(Path("results").glob("*/*/*.json"))]
    assert [record.model_copy(update={"submission": None}) for record in taken_in] == sound
    again = dxbench("merge", "bundle.zip", "--results", "results")
    assert again.code == 5
    assert "is in results already" in again.out


def test_what_is_on_trust_and_what_was_computed_again_stays_with_the_record(
    dxbench: Callable[..., Ended], kept: Path, sound: list[Any], tmp_path: Path
) -> None:
    assert dxbench(*SUBMIT).code == 0
    assert dxbench("merge", "bundle.zip", "--results", "results").code == 0
    submission = read_record(next(iter(sorted(Path("results").glob("*/*/*.json"))))).submission
    assert submission.bundle_sha256 == sha256(Path("bundle.zip").read_bytes())
    measured = submission.measured["sw2_exact"]
    assert measured.exact
    assert measured.value == pytest.approx(sound[0].scores["sw2_exact"].value, rel=1e-6)
    table = dxbench("table", "--task", "tiny", "--results", "results")
    assert "submitted from elsewhere; on trust are training, NFE, configuration, costs" in " ".join(table.out.split())
    assert dxbench("leaderboard", "build", "--results", "results", "--out", "site").code == 0
    (page, _) = sorted(path for path in Path("site").rglob("*.html") if "-s" in path.name)
    text = page.read_text()
    assert "Submitted from elsewhere" in text
    assert "no other run of this configuration is known" in text


def test_a_record_that_was_taken_in_is_not_submitted_again(
    dxbench: Callable[..., Ended], kept: Path, home: Path, workshop: Any
) -> None:
    taken = Submission(bundle_sha256="0" * 64, measured={}, on_trust={})
    report = workshop.validate(workshop.build(records=workshop.changed(submission=taken)))
    assert ["taken in elsewhere already" in defect.problem for defect in report.defects] == [True]


def test_one_content_gives_one_bundle(dxbench: Callable[..., Ended], kept: Path) -> None:
    assert dxbench(*SUBMIT).code == 0
    first = Path("bundle.zip").read_bytes()
    Path("bundle.zip").unlink()
    assert dxbench(*SUBMIT, "--json").code == 0
    assert Path("bundle.zip").read_bytes() == first


@pytest.mark.parametrize(("blocks", "shown"), [(None, 5000), (15, 1500)])
def test_a_bundle_holds_all_samples_or_those_of_the_challenge(
    dxbench: Callable[..., Ended], kept: Path, monkeypatch: pytest.MonkeyPatch, blocks: int | None, shown: int
) -> None:
    monkeypatch.setattr(Tiny, "challenge_blocks", blocks)
    assert dxbench(*SUBMIT).code == 0
    with zipfile.ZipFile("bundle.zip") as bundle:
        samples = [name for name in bundle.namelist() if name.startswith("samples/")]
        assert len(samples) == 2
        for name in samples:
            with bundle.open(name) as file:
                assert np.load(file, allow_pickle=False).shape == (shown, 2)


def test_without_out_the_bundle_is_named_after_what_it_holds(
    dxbench: Callable[..., Ended], kept: Path, sound: list[Any]
) -> None:
    config = sound[0].run_id.rpartition("-s")[0]
    assert dxbench("submit", "-t", "tiny", "-m", config).code == 0
    assert Path(f"tiny-sound-{config}.zip").is_file()


def test_a_bundle_is_never_written_over(dxbench: Callable[..., Ended], kept: Path) -> None:
    Path("bundle.zip").write_text("precious")
    ended = dxbench(*SUBMIT)
    assert ended.code == 2
    assert "is there already" in ended.err
    assert Path("bundle.zip").read_text() == "precious"


def test_what_would_not_validate_is_not_written(dxbench: Callable[..., Ended], home: Path, kept: Path) -> None:
    samples = draw(3)
    keep(measured(3, samples), samples, home)
    ended = dxbench(*SUBMIT)
    assert ended.code == 5
    assert "seeds 0, 1, 3" in ended.out
    assert "nothing written" in ended.out
    assert not list(Path.cwd().glob("*.zip"))
    assert not list(Path.cwd().glob(".dxbench-submit-*"))
    assert dxbench(*SUBMIT, "--json").json["written"] is None


def test_failed_seeds_are_packed_too(dxbench: Callable[..., Ended], home: Path, kept: Path, sound: list[Any]) -> None:
    fields = {"status": "failed", "scores": {}, "protocols": {}, "samples_sha256": None, "nfe": None}
    failed = measured(2, draw(2)).model_copy(update=fields)
    keep(failed, draw(2), home)
    packed = dxbench(*SUBMIT, "--json")
    assert packed.code == 0, packed.out
    assert packed.json["runs"] == [*(record.run_id for record in sound), failed.run_id]


def test_samples_that_are_gone_or_others_or_damaged_are_named(
    dxbench: Callable[..., Ended], home: Path, kept: Path, sound: list[Any]
) -> None:
    path = work_folder(home, task="tiny", method="sound", run_id=sound[0].run_id) / "arrays.npz"
    save_arrays(path, {"samples": draw(77)})
    other = dxbench(*SUBMIT)
    assert other.code == 5
    assert "are not those of the record" in other.err
    path.write_bytes(path.read_bytes()[:100])
    damaged = dxbench(*SUBMIT)
    assert damaged.code == 5
    assert "is damaged" in damaged.err
    path.unlink()
    gone = dxbench(*SUBMIT)
    assert gone.code == 7
    assert "run it once more" in gone.err


def test_nothing_to_submit_and_rows_that_are_not_there_are_named(dxbench: Callable[..., Ended], kept: Path) -> None:
    assert dxbench("submit", "-t", "tiny", "-m", "sount").code == 2
    assert dxbench("submit", "-t", "tiny", "-m", "sound", "--results", "empty").code == 2
    Path("empty").mkdir()
    unknown = dxbench("submit", "-t", "tiny", "-m", "sound", "--results", "empty")
    assert unknown.code == 2  # neither installed nor on record there
    ended = dxbench("submit", "-t", "tiny", "-m", "dxmi", "--results", "empty")
    assert ended.code == 6
    assert "dxbench run --task tiny" in ended.err


def test_a_merge_that_cannot_finish_takes_back_what_it_placed(tmp_path: Path, sound: list[Any]) -> None:
    results = tmp_path / "results"
    taken = results / "tiny" / "sound" / f"{sound[1].run_id}.json"
    taken.parent.mkdir(parents=True)
    taken.write_text("someone else's")
    with pytest.raises(InvalidFile, match="nothing was merged"):
        place(sound, results)
    assert [path.name for path in results.glob("*/*/*.json")] == [taken.name]
    assert taken.read_text() == "someone else's"
    assert not list(results.glob(".merge-*"))


def test_of_merges_at_the_same_time_one_wins_and_the_results_are_whole(
    dxbench: Callable[..., Ended], kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sound: list[Any]
) -> None:
    assert dxbench(*SUBMIT).code == 0
    results, outcomes = tmp_path / "results", []
    plain = merging.validate

    def validate(*args: Any, **kwargs: Any) -> Any:
        report = plain(*args, **kwargs)
        threading.Event().wait(0.1)
        return report

    monkeypatch.setattr(merging, "validate", validate)

    def work() -> None:
        report, _ = merge(tmp_path / "bundle.zip", results, progress=lambda text: None)
        outcomes.append(report.valid)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [False, False, True]
    assert len(list(results.glob("*/*/*.json"))) == len(sound)
