"""A run from start to record, whatever its end."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Ended, method

from dxbench.api import ResultRecord
from dxbench.records.files import Unreadable, read_record

RUN = ("run", "--task", "gaussians8", "--no-report")


def records(home: Path) -> list[ResultRecord]:
    found = [read_record(path) for path in sorted((home / "results").glob("*/*/*.json"))]
    assert not any(isinstance(record, Unreadable) for record in found)
    return [record for record in found if isinstance(record, ResultRecord)]


def checkpoints(home: Path) -> list[Path]:
    return sorted((home / "work").rglob("checkpoint*.safetensors"))


def test_a_run_leaves_one_complete_record(dxbench: Callable[..., Ended], home: Path) -> None:
    ended = dxbench(*RUN, "-m", method("Toy"), "--seed", 3, "--set", "iterations=25")
    assert ended.code == 0, ended.err
    (record,) = records(home)
    assert (record.status, record.seed, record.method, record.task) == ("ok", 3, "toy", "gaussians8")
    assert record.config == {"iterations": 25, "bad_step": 20, "pause": 0.0}
    assert record.overrides == {"iterations": 25}
    assert record.nfe == 1.0
    assert set(record.scores) == {
        "sw2",
        "sw2_exact",
        "mode_share_min",
        "mode_share_max",
        "outlier_share",
        "energy_distance",
    }
    assert record.notes["energy_auc"] == "the model has no energy"
    assert all(estimate.fingerprint in record.protocols for estimate in record.scores.values())
    assert record.curves["loss"].step == list(range(1, 26))
    assert record.cost is not None
    assert record.cost.parameters == 2
    assert record.cost.steps == 25
    assert record.provenance.packages["torch"]
    assert record.provenance.command.startswith("dxbench run")


def test_events_that_a_configuration_has_no_networks_for_end_as_skipped(
    dxbench: Callable[..., Ended], home: Path
) -> None:
    ended = dxbench("run", "--task", "digits", "--no-report", "-m", method("Points"))
    assert ended.code == 3
    (record,) = records(home)
    assert record.status == "skipped"
    assert record.failure is not None
    assert (
        record.failure.message
        == "points needs data that are plain vectors, not images, which digits does not have here"
    )


def test_samples_of_the_run_are_kept(dxbench: Callable[..., Ended], home: Path) -> None:
    dxbench(*RUN, "-m", method("Untrained"))
    (path,) = (home / "work").rglob("arrays.npz")
    assert np.load(path)["samples"].shape == (100_000, 2)


def test_nan_ends_as_failed_with_step_and_term_and_keeps_the_last_good_checkpoint(
    dxbench: Callable[..., Ended], home: Path
) -> None:
    ended = dxbench(*RUN, "-m", method("NaN"), "--checkpoint-every", 0)
    assert ended.code == 3
    (record,) = records(home)
    assert record.status == "failed"
    assert record.failure is not None
    assert (record.failure.phase, record.failure.step) == ("train", 20)
    assert "critic is nan at step 20" in record.failure.message
    assert "last good checkpoint is kept" in record.failure.message
    from dxbench.engine.checkpoint import load_checkpoint

    (kept,) = checkpoints(home)
    assert load_checkpoint(kept, run_id=record.run_id)["step"] == 19


def test_samples_far_from_any_data_are_a_failure_of_the_run(dxbench: Callable[..., Ended], home: Path) -> None:
    ended = dxbench(*RUN, "-m", method("Far"))
    (record,) = records(home)
    assert (ended.code, record.status, record.scores) == (3, "failed", {})
    assert record.failure is not None
    assert "samples are beyond 10,000 standard deviations of the data, up to 1e+30" in record.failure.message
    assert "the model has diverged" in record.failure.message


def test_an_error_in_a_file_of_the_user_names_its_line(dxbench: Callable[..., Ended], home: Path) -> None:
    ended = dxbench(*RUN, "-m", method("Crash"))
    line = 'methods.py, line {}: raise RuntimeError("a bug of the method")'
    number = (Path(__file__).parents[1] / "methods.py").read_text().split("a bug of the method")[0].count("\n") + 1
    (record,) = records(home)
    assert record.failure is not None
    assert record.failure.message == f"RuntimeError: a bug of the method ({line.format(number)})"
    assert f"`dxbench logs {record.run_id}` prints the whole traceback" in ended.err


def test_weights_that_turn_nan_do_not_replace_a_good_checkpoint(dxbench: Callable[..., Ended], home: Path) -> None:
    ended = dxbench(*RUN, "-m", method("Poisoned"), "--checkpoint-every", 0)
    assert ended.code == 3
    (record,) = records(home)
    assert record.failure is not None
    assert "state.training.net.shift is not finite after step 20" in record.failure.message
    from dxbench.engine.checkpoint import load_checkpoint

    (kept,) = checkpoints(home)
    assert load_checkpoint(kept, run_id=record.run_id)["step"] == 19


@pytest.mark.parametrize(
    ("name", "status", "phase", "words"),
    [
        ("Crash", "failed", "setup", "a bug of the method"),
        ("NeedsGPU", "skipped", "setup", "gpu needs a CUDA device"),
        ("OutOfMemory", "out_of_memory", "setup", "2.00 TiB"),
        ("NoModel", "failed", "train", "got a Affine, wanted a dxbench.api.Model; return Model(networks=(net,), "),
        ("WrongShape", "failed", "evaluate", "wanted samples of shape (10000, 2), got (10000, 1)"),
    ],
)
def test_every_bad_end_is_a_row(
    dxbench: Callable[..., Ended], home: Path, name: str, status: str, phase: str, words: str
) -> None:
    ended = dxbench(*RUN, "-m", method(name))
    assert ended.code == 3
    (record,) = records(home)
    assert record.status == status
    assert record.failure is not None
    assert record.failure.phase == phase
    assert words in record.failure.message
    assert words in ended.err


def test_timeout_is_a_row_and_a_larger_one_goes_on(dxbench: Callable[..., Ended], home: Path) -> None:
    slow = (*RUN, "-m", method("Toy"), "--set", "pause=0.05")
    assert dxbench(*slow, "--timeout", "0.5s").code == 3
    (record,) = records(home)
    assert record.status == "timeout"
    assert record.cost is not None
    assert 5 < record.cost.steps < 40
    assert dxbench(*slow, "--timeout", "2m").code == 0
    (record,) = records(home)
    assert record.status == "ok"
    assert record.provenance.resumed == 1


def test_the_truth_is_hidden_from_methods_that_do_not_ask(dxbench: Callable[..., Ended], home: Path) -> None:
    assert dxbench(*RUN, "-m", method("NeedsOracle")).code == 0


def test_a_finished_run_is_not_run_again_unless_asked(dxbench: Callable[..., Ended], home: Path) -> None:
    run = (*RUN, "-m", method("Toy"))
    dxbench(*run)
    (before,) = records(home)
    ended = dxbench(*run)
    assert ended.code == 0
    assert "already measured" in ended.err
    assert records(home) == [before]
    dxbench(*run, "--again")
    (after,) = records(home)
    assert after.scores == before.scores
    assert after.provenance.created >= before.provenance.created


def test_same_seed_same_numbers_other_seed_others(dxbench: Callable[..., Ended], home: Path) -> None:
    small = ("--set", 'backbone={"network": {"hidden": 16}}', "--set", 'critic={"hidden": 16}')
    run = (*RUN, "-m", "dxmi", "--set", "iterations=30", *small)
    first = dxbench(*run, "--seed", "0", "--json").json[0]
    again = dxbench(*run, "--seed", "0", "--json", "--again").json[0]
    other = dxbench(*run, "--seed", "1", "--json").json[0]
    assert first["scores"] == again["scores"]
    assert first["curves"] == again["curves"]
    assert all(first["scores"][name]["value"] != other["scores"][name]["value"] for name in ("sw2", "energy_auc"))


def test_global_seeds_do_not_matter(dxbench: Callable[..., Ended], home: Path) -> None:
    import torch

    run = (*RUN, "-m", method("Toy"), "--json", "--again")
    torch.manual_seed(1)
    first = dxbench(*run).json[0]
    torch.manual_seed(2)
    assert dxbench(*run).json[0]["scores"] == first["scores"]


def test_jobs_in_processes_give_the_same_numbers(dxbench: Callable[..., Ended], home: Path, tmp_path: Path) -> None:
    run = (*RUN, "-m", method("Toy"), "--seed", "0,1", "--json")
    alone = dxbench(*run).json
    together = dxbench(*run, "--jobs", 2, "--results", tmp_path / "other", "--fresh").json
    assert [r["scores"] for r in alone] == [r["scores"] for r in together]


def test_a_foreign_checkpoint_is_named_and_kept(dxbench: Callable[..., Ended], home: Path) -> None:
    run = (*RUN, "-m", method("Toy"))
    dxbench(*run, "--seed", 0)
    dxbench(*run, "--seed", 1)
    zero, one = sorted((home / "work/gaussians8/toy").iterdir())
    (one / "checkpoint.safetensors").write_bytes((zero / "checkpoint.safetensors").read_bytes())
    ended = dxbench(*run, "--seed", 1, "--results", home / "elsewhere")
    assert ended.code == 0
    assert "belongs to run" in ended.err
    assert (one / "checkpoint.unusable-1.safetensors").exists()


@pytest.mark.parametrize("damage", ["truncate", "flip", "garbage", "empty"])
def test_a_damaged_checkpoint_is_named_kept_and_not_used(
    dxbench: Callable[..., Ended], home: Path, damage: str
) -> None:
    run = (*RUN, "-m", method("Toy"), "--json")
    clean = dxbench(*run).json[0]
    (path,) = checkpoints(home)
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[-1] ^= 1
    path.write_bytes({"truncate": data[:-9], "flip": data, "garbage": b"not a checkpoint", "empty": b""}[damage])
    ended = dxbench(*run, "--results", home / "elsewhere")
    assert ended.code == 0, ended.err
    assert "beginning anew" in ended.err
    assert len(checkpoints(home)) == 2
    assert ended.json[0]["scores"] == clean["scores"]


def test_results_that_cannot_be_written_stop_before_training(dxbench: Callable[..., Ended], tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    ended = dxbench(*RUN, "-m", method("Toy"), "--results", blocked / "results")
    assert ended.code == 2
    assert "cannot write to" in ended.err
    assert "--results or DXBENCH_RESULTS" in ended.err


def test_an_unreadable_record_in_the_way_is_kept(dxbench: Callable[..., Ended], home: Path) -> None:
    run = (*RUN, "-m", method("Untrained"))
    dxbench(*run)
    (path,) = (home / "results").glob("*/*/*.json")
    path.write_text("{ damaged")
    assert dxbench(*run).code == 0
    assert path.with_name(f"{path.name}.unreadable-1").read_text() == "{ damaged"
    assert isinstance(read_record(path), ResultRecord)


def test_two_processes_do_not_share_a_cell(dxbench: Callable[..., Ended], home: Path) -> None:
    from filelock import FileLock

    run = (*RUN, "-m", method("Toy"))
    cell = json.loads(dxbench(*run, "--dry-run", "--json").out)[0]
    folder = home / "work/gaussians8/toy" / cell["run_id"]
    folder.mkdir(parents=True)
    with FileLock(folder / "lock"):
        ended = dxbench(*run)
    assert ended.code == 2
    assert "another process is running toy" in ended.err


def test_a_checkpoint_of_before_the_progress_was_an_object_goes_on_to_the_same_numbers(
    dxbench: Callable[..., Ended], home: Path, tmp_path: Path
) -> None:
    """`toy_of_before` was written by commit b63c997, whose `_Run` kept all of this itself."""
    run = (*RUN, "-m", method("Toy"), "--set", "pause=0.02", "--json")
    whole = dxbench(*run, "--results", tmp_path / "whole").json[0]
    (kept,) = checkpoints(home)
    kept.write_bytes((Path(__file__).parent / "toy_of_before.safetensors").read_bytes())
    resumed = dxbench(*run).json[0]
    assert resumed["provenance"]["resumed"] > 0
    assert all(resumed[key] == whole[key] for key in ("run_id", "scores", "curves", "samples_sha256"))


def test_a_checkpoint_of_another_format_is_named_and_the_run_begins_anew(
    dxbench: Callable[..., Ended], home: Path, tmp_path: Path
) -> None:
    run = (*RUN, "-m", method("Toy"), "--set", "iterations=2")
    from safetensors.torch import save_file

    dxbench(*run)
    (kept,) = checkpoints(home)
    save_file({}, kept, metadata={"format": "dxbench-checkpoint-1", "run_id": "", "structure": "", "digest": ""})
    ended = dxbench(*run, "--results", tmp_path)
    assert ended.code == 0
    assert "this dxbench reads 'dxbench-checkpoint-2'; kept as checkpoint.unusable-1.safetensors" in ended.err
