"""Runs from Python: those of the command line, with the same records."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import METHODS, Ended
from ring import method_class, ring_class, write_ring

import dxbench
from dxbench.api.streams import derive_seed
from dxbench.errors import InvalidFile, MissingData, RunFailed, UsageError
from dxbench.records.files import read_record, write_record

TOY = f"{METHODS}:Toy"


@pytest.fixture
def command(dxbench: Callable[..., Ended]) -> Callable[..., Ended]:
    """The command, beside the package of its name."""
    return dxbench


@pytest.fixture
def ring(tmp_path: Path) -> str:
    return write_ring(tmp_path)


def toy(ring: Any, method: Any = TOY, **changes: Any) -> dxbench.Run:
    return dxbench.run(ring, method, progress=False, **{"iterations": 20} | changes)


def reloaded(run: dxbench.Run) -> Any:
    return dxbench.load_model(run.record, task=run.task, method=run.method, home=run.home)


def records(home: Path) -> list[Path]:
    return sorted((home / "results").glob("*/*/*-s*.json"))


def test_a_run_is_that_of_the_command_and_is_read_the_second_time(
    command: Callable[..., Ended], ring: str, home: Path
) -> None:
    typed = command("run", "-t", ring, "-m", TOY, "--set", "iterations=20", "--json", "--no-report").json[0]
    run = toy(ring)
    assert run.record.provenance.created == typed["provenance"]["created"], "it was read, not run"
    again = toy(ring, again=True)
    assert again.record.run_id == typed["run_id"]
    assert dict(again.scores) == {name: one["value"] for name, one in typed["scores"].items()}
    assert again.record.samples_sha256 == typed["samples_sha256"]
    assert again.record.provenance.command == f"dxbench.run({ring!r}, {TOY!r}, seed=0, iterations=20)"
    assert len(records(home)) == 1
    assert dict(toy(ring, seed=1).scores) != dict(run.scores)
    assert len(records(home)) == 2


def test_tasks_and_methods_may_be_classes_and_objects(ring: str, tmp_path: Path, home: Path) -> None:
    wanted = toy(ring).record
    for task in (ring_class(tmp_path), ring_class(tmp_path)()):
        for method in (method_class("Toy"), method_class("Toy")()):
            run = toy(task, method, again=True)
            assert (run.record.run_id, run.record.scores) == (wanted.run_id, wanted.scores)
            assert run.record.provenance.command == "dxbench.run('ring', 'toy', seed=0, iterations=20)"
    assert run.model.networks


def test_the_model_of_a_run_draws_the_samples_that_were_scored(ring: str, tmp_path: Path) -> None:
    run = toy(ring, out=tmp_path / "out")
    seed = derive_seed("toy", "ring", 0, "samples")
    seeds = seed + torch.arange(len(run.samples))
    state = torch.get_rng_state()
    for model in (
        run.model,
        reloaded(run),
        dxbench.load_model(run.record, task=ring, method=TOY, home=run.home),
    ):
        with torch.no_grad():
            assert np.array_equal(model.sample(seeds).numpy(), run.samples)
    assert torch.equal(torch.get_rng_state(), state)
    path = next((tmp_path / "out" / "results").glob("*/*/*-s*.json"))
    assert dxbench.load_model(path, task=ring, method=TOY, home=tmp_path / "out").networks
    assert dict(dxbench.evaluate(run.model, ring, seed=seed)) == dict(run.scores)


def test_a_backbone_that_another_run_trained_is_found(ring: str) -> None:
    backbone = {"network": {"hidden": 16}, "pretraining": {"iterations": 10}}
    trained = dxbench.run(ring, "ddim[num_steps=4]", progress=False, backbone=backbone)
    found = dxbench.run(ring, "ddim[num_steps=5]", progress=False, backbone=backbone)
    assert (trained.record.cost.steps, found.record.cost.steps) == (10, 0)
    for run in (trained, found):
        seeds = derive_seed("ddim", "ring", 0, "samples") + torch.arange(2000)  # the task draws so many at a time
        with torch.no_grad():
            assert np.array_equal(run.model.sample(seeds).numpy(), run.samples[:2000])


def test_a_method_that_takes_no_step_is_fitted_anew(ring: str) -> None:
    run = toy(ring, f"{METHODS}:Untrained", iterations=0)
    assert run.record.cost is not None
    assert run.model.networks


def test_a_report_is_written_when_asked_for(ring: str) -> None:
    run = toy(ring)
    assert not (run.folder / "report.html").exists()
    page = run.report.read_text(encoding="utf-8")
    assert "Marginals" in page
    assert f"<code>iterations={run.record.config['iterations']}</code>" in page
    assert "network evaluation" not in page
    assert "<td>sw2</td>" in run._repr_html_()
    assert repr(run).startswith("Run(toy on ring, seed 0: Scores(sw2=")


def test_what_is_gone_is_said_with_a_remedy(ring: str, home: Path) -> None:
    run = toy(ring)
    (run.folder / "checkpoint.safetensors").unlink()
    (run.folder / "arrays.npz").unlink()
    with pytest.raises(MissingData, match=r"checkpoint.safetensors is not there. Run it again .* DXBENCH_HOME"):
        reloaded(run)
    with pytest.raises(MissingData, match="again=True"):
        run.samples  # noqa: B018
    with pytest.raises(MissingData, match="again=True"):
        run.report  # noqa: B018
    with pytest.raises(UsageError, match="unknown task 'ring'"):
        dxbench.load_model(run.record)


def test_records_of_other_versions_and_damaged_checkpoints_are_refused(ring: str, home: Path, tmp_path: Path) -> None:
    run = toy(ring)
    with pytest.raises(UsageError, match="method toy version 7, installed is version 1"):
        dxbench.load_model(run.record.model_copy(update={"method_version": 7}), task=ring, method=TOY)
    (path,) = records(home)
    path.write_text("{")
    with pytest.raises(InvalidFile, match="not readable"):
        dxbench.load_model(path)
    checkpoint = run.folder / "checkpoint.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-1])
    with pytest.raises(InvalidFile, match="damaged"):
        reloaded(run)
    other = toy(ring, f"{METHODS}:NaN", iterations=10)
    checkpoint.write_bytes((other.folder / "checkpoint.safetensors").read_bytes())
    with pytest.raises(InvalidFile, match="belongs to run"):
        reloaded(run)


def test_a_state_of_other_code_is_said_to_be_one(ring: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run = toy(ring)
    training = method_class("Toy").training  # type: ignore[attr-defined]
    monkeypatch.setattr(training, "load_state_dict", lambda self, state: state["optimizer"])
    with pytest.raises(InvalidFile, match=r"does not fit this code \(KeyError.*run it again"):
        reloaded(run)


def test_a_run_that_failed_raises_and_leaves_its_record(ring: str, home: Path) -> None:
    with pytest.raises(RunFailed, match=r"seed 0: failed \(train: NonFiniteScalar: critic is nan at step 20"):
        toy(ring, f"{METHODS}:NaN", iterations=40)
    (path,) = records(home)
    assert json.loads(path.read_text())["status"] == "failed"
    with pytest.raises(RunFailed, match="larger --timeout"):
        toy(ring, pause=0.05, iterations=40, timeout=0.3)
    with pytest.raises(UsageError, match="is trained to step"):
        dxbench.load_model(next(p for p in records(home) if "toy" in str(p)), task=ring, method=TOY)
    run = toy(ring, pause=0.05, iterations=40)
    assert run.record.provenance.resumed == 1
    with pytest.raises(RunFailed, match="UnmetNeed: gpu needs a CUDA device"):
        toy(ring, f"{METHODS}:NeedsGPU")


def test_missing_data_name_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DXBENCH_DATA", str(tmp_path))
    with pytest.raises(MissingData, match="dxbench prepare --task cifar10 --method ddpm"):
        dxbench.run("cifar10", "ddpm", progress=False)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"iteration": 3}, "unknown key of toy 'iteration'. Did you mean 'iterations'?"),
        ({"iterations": "many"}, "iterations: Input should be a valid integer"),
        ({"iterations": object()}, "iterations wants a number, a text, or a list or dict of them"),
        ({"pause": float("nan")}, "pause wants a number"),
        ({"preset": "quik"}, "unknown preset of toy"),
        ({"seed": -1}, "seeds must be different and not negative"),
        ({"device": "gpu"}, "unknown device 'gpu'"),
    ],
)
def test_wrong_words_are_refused_with_a_guess(ring: str, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as refused:
        toy(ring, **changes)
    assert words in str(refused.value)


@pytest.mark.parametrize(("task", "method"), [(3, TOY), ("gaussians8", int)])
def test_what_is_no_task_or_method_is_refused(task: Any, method: Any) -> None:
    with pytest.raises(UsageError, match=r"is not a dxbench\.api\.(Task|Method) class"):
        dxbench.run(task, method)


def test_numbers_of_numpy_are_numbers(ring: str) -> None:
    assert toy(ring, iterations=np.int64(20)).record.run_id == toy(ring).record.run_id


def test_a_task_that_takes_an_installed_name_is_warned_of(ring: str, tmp_path: Path) -> None:
    text = (tmp_path / "ring.py").read_text()
    (tmp_path / "ring.py").write_text(text.replace('"ring", 1', '"gaussians8", 1'))
    with pytest.warns(UserWarning, match="calls itself gaussians8"):
        toy(ring, out=tmp_path / "out")


def test_another_thread_may_run_and_the_process_is_left_as_it_was(ring: str) -> None:
    torch.manual_seed(3)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    with torch.inference_mode():
        assert toy(ring, again=True).record.status == "ok"
    found: list[dxbench.Run] = []
    thread = threading.Thread(target=lambda: found.append(toy(ring)))
    thread.start()
    thread.join()
    assert found[0].record.status == "ok"
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_progress_is_told_on_stderr(ring: str, capfd: pytest.CaptureFixture[str]) -> None:
    dxbench.run(ring, TOY, iterations=20)
    out, err = capfd.readouterr()
    assert out == ""
    assert "ring toy iterations=20 seed 0: 20 steps" in err
    assert "ok in" in err


def test_a_record_of_a_reference_has_no_weights_here() -> None:
    path = next(Path(dxbench.load_records("gaussians8").path[0]).parent.glob("*.json"))
    record = read_record(path)
    with pytest.raises(MissingData, match="Run it again"):
        dxbench.load_model(record)  # type: ignore[arg-type]


def test_ctrl_c_saves_and_the_same_call_goes_on(ring: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import os
    import signal

    training = method_class("Toy").training  # type: ignore[attr-defined]
    step = training.step

    def interrupted(self: Any) -> Any:
        if len(self.trace) == 7:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self)

    before = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(training, "step", interrupted)
        with pytest.raises(dxbench.errors.Interrupted, match="stopped at step 8 of 20; the state is saved"):
            toy(ring)
    assert signal.getsignal(signal.SIGINT) is before
    assert toy(ring).record.provenance.resumed == 1


def test_load_model_of_a_written_record(ring: str, tmp_path: Path) -> None:
    run = toy(ring)
    path = write_record(tmp_path / "elsewhere", run.record)
    assert dxbench.load_model(str(path), task=ring, method=TOY).networks
