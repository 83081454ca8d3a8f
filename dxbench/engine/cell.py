"""One run from start to record: set up, train with checkpoints, evaluate, write what came out."""

import errno
import math
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch

from dxbench import paths
from dxbench.api import (
    Compute,
    ConditionalSampler,
    Config,
    Cost,
    Evaluation,
    Failure,
    Model,
    ResultRecord,
    Sampler,
    Status,
    Training,
)
from dxbench.api.streams import RandomStreams, derive_seed
from dxbench.drawing.draw import count_parameters, sampling_flops
from dxbench.engine import process, provenance
from dxbench.engine.checkpoint import NonFiniteState, load_checkpoint, save_checkpoint
from dxbench.engine.curves import CurveLog
from dxbench.engine.ledger import Ledger, TrainingMeter
from dxbench.engine.listener import Listener
from dxbench.engine.locks import take
from dxbench.engine.parts import UnmetNeed, needed_files, problem_for, start_training
from dxbench.engine.plan import Cell
from dxbench.engine.sampling_crew import SamplingCrew, sampling_together
from dxbench.engine.spread import ONE_DEVICE, Place, Spread
from dxbench.engine.store import FolderStore
from dxbench.engine.workers import POLL_SECONDS, LastWords, PeerLost, SharedStore, Words, assemble
from dxbench.errors import DxbenchError, Interrupted, InvalidFile, MachineFault, MissingData, UsageError
from dxbench.files.faults import machine_fault
from dxbench.files.writing import check_writable, set_aside, sweep_temporaries, write_text_atomically
from dxbench.plugins.configure import config_class, preset_task
from dxbench.plugins.registry import load_method, load_task, method_card
from dxbench.records.files import array_sha256, save_arrays, work_folder, write_record
from dxbench.records.sketches import sketch

Phase = Literal["setup", "train", "evaluate"]


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How runs are carried out. Device and precision move numbers by rounding and are in the record; the rest does not.

    Attributes:
        spread: over which devices and micro-batches, in which precision.
        timeout: seconds that the run may take over all its parts, or None.
        checkpoint_every: seconds between checkpoints.
        fresh: begin anew although a checkpoint is there.
    """

    home: Path
    results: Path
    device: str = "auto"
    spread: Spread = ONE_DEVICE
    timeout: float | None = None
    checkpoint_every: float = 60.0
    fresh: bool = False


class NonFiniteScalar(Exception):
    """A logged scalar is NaN or infinite."""


def _out_of_memory(error: Exception) -> bool:
    """torch's CPU allocator raises a plain RuntimeError, the system one of its own."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


class _TimedOut(Exception):
    """The run's time is used up."""


def run_cell(
    cell: Cell,
    options: RunOptions,
    *,
    listener: Listener,
    stop_requested: Callable[[], bool] = lambda: False,
    place: Place | None = None,
) -> ResultRecord | None:
    """Run one cell, resuming where an earlier attempt left a checkpoint.

    Whatever ends the run, other than being stopped from outside and what the machine refuses, becomes a record. Of
    several processes, each calls this; only the first gets the record.

    Args:
        place: of this process, where a launcher of ours has started several for the run.

    Raises:
        Interrupted: when `stop_requested` turned true; the state is saved.
        UsageError: if results cannot be written, or another process runs the same cell.
        MachineFault: where there is no room, no permission or no connection; the last checkpoint is kept.
    """
    try:
        return _run_cell(cell, options, listener, stop_requested, place)
    except Exception as error:
        fault = machine_fault(error)
        if fault is None or fault is error:
            raise
        raise MachineFault(
            f"{cell.method} on {cell.task}, seed {cell.seed}: {fault}; the last checkpoint is kept"
        ) from error


def _run_cell(
    cell: Cell, options: RunOptions, listener: Listener, stop_requested: Callable[[], bool], place: Place | None
) -> ResultRecord | None:
    check_writable(options.results, remedy=paths.RESULTS_REMEDY)
    folder = work_folder(options.home, task=cell.task, method=cell.method, run_id=cell.run_id)
    check_writable(folder, remedy=paths.HOME_REMEDY)
    run = _Run(cell, options, listener, stop_requested, place)
    if run.workers.rank != 0:
        return run.assist()
    if (lock := take(folder / "lock")) is None:
        raise UsageError(f"another process is running {cell.method} on {cell.task}, seed {cell.seed} ({folder})")
    try:
        return run.carry_out()
    finally:
        run.store.release()
        lock.release()


class _Run:
    """State of one run; the only mutable thing between the plan and the record."""

    def __init__(
        self,
        cell: Cell,
        options: RunOptions,
        listener: Listener,
        stop_requested: Callable[[], bool],
        place: Place | None,
    ) -> None:
        self.cell = cell
        self.options = options
        self.listener = listener
        self.stop_requested = stop_requested
        self.task = load_task(cell.task_ref)
        self.method = load_method(cell.method_ref)
        device = process.choose_device(options.device, auto=self.task.auto_device)
        process.check_devices(device, options.spread.devices)
        self.workers = assemble(replace(options.spread, precision=cell.precision), device=device, place=place)
        self.ledger = Ledger()
        trained = options.home / "trained" / f"{cell.task}@{cell.task_version}"
        self.store = FolderStore(trained, self.ledger, lambda text: listener.warned(cell, text))
        self.compute = Compute(
            device=device,
            threads=self.task.threads,
            store=SharedStore(self.store, self.workers, self._wait_for_part),
            parallel=self.workers.parallel,
        )
        self.folder = work_folder(options.home, task=cell.task, method=cell.method, run_id=cell.run_id)
        self.last_words = LastWords(self.folder)
        self.checkpoint = self.folder / "checkpoint.safetensors"
        self.rng = RandomStreams(cell.method, cell.task, cell.seed)
        self.curves = CurveLog(0)
        self.phase: Phase = "setup"
        self.step = 0
        self.resumed = 0
        self.train_seconds = 0.0
        self.waited = 0.0
        self.eval_seconds = 0.0

    @cached_property
    def config(self) -> Config:
        return config_class(self.method, preset_task(self.task), self.cell.preset).model_validate(self.cell.config)

    def assist(self) -> None:
        """What a process other than the first does."""
        process.prepare_process(self.compute)
        try:
            training = self._set_up()
            self._train(training)
            self.phase = "evaluate"
            SamplingCrew(training.model(), self.workers).serve()
        except (DxbenchError, _TimedOut, UnmetNeed, NonFiniteScalar):
            return  # the first process comes to the same end, or is the one that ended
        except Exception as error:
            fault = machine_fault(error)
            status = "machine" if fault else "out_of_memory" if _out_of_memory(error) else "failed"
            hint = self._memory_hint() if status == "out_of_memory" else ""
            message = f"process {self.workers.rank + 1} of {self.workers.count}: {fault or error}{hint}"
            failure = self._failure(type(error).__name__, message)
            self.last_words.leave(self.workers.rank, Words(status=status, failure=failure))
            raise

    def carry_out(self) -> ResultRecord:
        process.prepare_process(self.compute)
        self._tidy()
        model: Model | None = None
        try:
            training = self._set_up()
            self._train(training)
            model = training.model()
            evaluation = self._evaluate(model)
        except PeerLost as error:
            heard = self.last_words.heard(within=5.0)
            if heard is None or heard.status == "machine":
                what = error if heard is None else heard.failure.message
                raise MachineFault(f"{what}; the same command goes on from the last checkpoint") from None
            return self._end(heard.status, failure=heard.failure, model=model)
        except Interrupted:
            self.listener.ended(self.cell, None)
            raise
        except UsageError:  # of the method's own making: no record, the user has to change something
            raise
        except _TimedOut:
            message = f"stopped after {self.train_seconds + self.eval_seconds:.0f} s; resumes with a larger --timeout"
            return self._end("timeout", failure=self._failure("Timeout", message), model=model)
        except MissingData as error:
            message = str(error.fetched_by(self.cell.prepare))
            return self._end("skipped", failure=self._failure("MissingData", message))
        except UnmetNeed as error:
            return self._end("skipped", failure=self._failure("UnmetNeed", str(error)))
        except Exception as error:
            if _out_of_memory(error):
                message = (str(error) or type(error).__name__) + self._memory_hint()
                return self._end("out_of_memory", failure=self._failure(type(error).__name__, message), model=model)
            if machine_fault(error) is not None:
                raise
            with suppress(OSError):  # the record says it in short
                write_text_atomically(self.folder / "error.txt", traceback.format_exc())
            return self._end("failed", failure=self._failure(type(error).__name__, str(error)), model=model)
        return self._end("partial" if evaluation.missing else "ok", evaluation=evaluation, model=model)

    def _tidy(self) -> None:
        """Remove what earlier attempts left unfinished when they were killed."""
        self.last_words.clear()
        sweep_temporaries(self.folder)
        sweep_temporaries(self.options.results / self.cell.task / self.cell.method, f"{self.cell.run_id}.json")

    # --- setting up ------------------------------------------------------------------------------------------

    def _set_up(self) -> Training:
        self.step, self.train_seconds, self.resumed = 0, 0.0, 0
        self.ledger.clear()
        self.rng = RandomStreams(self.cell.method, self.cell.task, self.cell.seed)
        process.seed_global_generators(self.rng)
        problem = problem_for(self.task, self.method, self.config, self.compute)
        begun, self.waited = time.monotonic(), 0.0
        training = start_training(self.method, problem, self.config, compute=self.compute, rng=self.rng)
        self.train_seconds = time.monotonic() - begun - self.waited  # some methods fit here and take no step
        self.curves = CurveLog(training.total_steps)
        self.ledger.meter = TrainingMeter(training.total_steps, processes=self.workers.count)
        if not self.options.fresh and self.workers.from_first(self.checkpoint.exists()):
            unusable = self._resume(training)
            if self.workers.any(unusable is not None)[0]:
                return self._begin_anew(unusable)
        self.listener.started(self.cell, total_steps=training.total_steps, first_step=self.step)
        return training

    def _wait_for_part(self) -> None:
        """Once a second while another run trains a part that this one needs; ends the run where it is to end."""
        if self.waited == 0:
            self.listener.phase(self.cell, "waiting for another run that trains the same backbone")
        self.waited += POLL_SECONDS
        late = self.options.timeout is not None and self.waited > self.options.timeout
        stop, late = self.workers.any(self.stop_requested(), late)
        if stop:
            raise Interrupted("stopped while waiting for another run's backbone; nothing was trained yet")
        if late:
            self.train_seconds = self.waited
            raise _TimedOut

    def _resume(self, training: Training) -> Exception | None:
        """Restore the state of the checkpoint; the error where it cannot be used, and all has to be set up anew.

        Raises:
            UsageError: for the state of a run on another kind of device, whose numbers are not those of this one.
        """
        try:
            state = load_checkpoint(self.checkpoint, run_id=self.cell.run_id)
            if state["device"] != self.compute.device:
                raise UsageError(
                    f"{self.checkpoint} is of a run on {state['device']}, this one is on {self.compute.device}; go on "
                    f"there with --device {state['device']}, or begin anew with --fresh"
                )
            training.load_state_dict(state["training"])
            self.rng.load_state_dict(state["rng"])
            process.restore_global_generators(state["global_rng"])
            self.curves.load_state_dict(state["curves"])
            self.ledger.load_state_dict(state["ledger"])
            self.step, self.resumed = int(state["step"]), int(state["resumed"]) + 1
            self.train_seconds = float(state["train_seconds"])
            if not 0 <= self.step <= training.total_steps:
                raise InvalidFile(f"{self.checkpoint} is of step {self.step:,} of {training.total_steps:,}")
        except (UsageError, PeerLost):
            raise
        except Exception as error:  # whatever a method makes of a state that is not its own
            if _out_of_memory(error) or machine_fault(error) is not None:
                raise
            return error
        return None

    def _begin_anew(self, error: Exception | None) -> Training:
        """Set a checkpoint aside that cannot be used, here or in another process: damaged, of another run or code."""
        if self.workers.rank != 0:
            return self._set_up()
        aside = set_aside(self.checkpoint, "unusable")
        reason = str(error) if isinstance(error, InvalidFile) else f"{self.checkpoint} does not fit this code ({error})"
        self.listener.warned(self.cell, f"{reason}; kept as {aside.name}, beginning anew")
        return self._set_up()

    # --- training --------------------------------------------------------------------------------------------

    def _train(self, training: Training) -> None:
        self.phase = "train"
        assert self.ledger.meter is not None
        meter, before = self.ledger.meter, self.train_seconds
        start = saved = time.monotonic()
        while self.step < training.total_steps:
            self.ledger.seconds = self.train_seconds
            with meter.step(self.step):
                scalars = {name: float(value) for name, value in training.step().items()}
            self.step += 1
            self._check_finite(scalars)
            self.curves.add(self.step, scalars)
            now = time.monotonic()
            self.train_seconds = before + now - start
            self.listener.stepped(self.cell, step=self.step, scalars=scalars)
            late = self.options.timeout is not None and self.train_seconds > self.options.timeout
            due = now - saved > self.options.checkpoint_every
            # Asked of all processes, whose clocks and signals differ: together they save, and together they stop.
            stop, late, due = self.workers.any(self.stop_requested(), late, due)
            if stop or late or due or self.step == training.total_steps:
                self._save(training)
                saved = time.monotonic()
            if stop:
                raise Interrupted(f"stopped at step {self.step:,} of {training.total_steps:,}; the state is saved")
            if late and self.step < training.total_steps:
                raise _TimedOut

    def _check_finite(self, scalars: Mapping[str, float]) -> None:
        for name, value in scalars.items():
            if not math.isfinite(value):
                kept = "the last good checkpoint is kept" if self.checkpoint.exists() else "no checkpoint was due yet"
                raise NonFiniteScalar(f"{name} is {value} at step {self.step:,}; {kept}")

    def _save(self, training: Training) -> None:
        if self.workers.rank != 0:  # all processes are in the same state
            return
        state = {
            "training": training.state_dict(),
            "rng": self.rng.state_dict(),
            "global_rng": process.global_generator_state(),
            "curves": self.curves.state_dict(),
            "ledger": self.ledger.state_dict(),
            "step": self.step,
            "train_seconds": self.train_seconds,
            "resumed": self.resumed,
            "device": self.compute.device,
        }
        try:
            save_checkpoint(self.checkpoint, state, run_id=self.cell.run_id)
        except NonFiniteState as error:
            raise NonFiniteScalar(
                f"{error} is not finite after step {self.step:,}; the last good checkpoint is kept"
            ) from None

    # --- evaluating ------------------------------------------------------------------------------------------

    def _evaluate(self, model: Model) -> Evaluation:
        self.phase = "evaluate"
        start = time.monotonic()

        def progress(text: str) -> None:
            self.eval_seconds = time.monotonic() - start
            self.listener.phase(self.cell, text)
            if self.stop_requested():
                raise Interrupted("stopped while evaluating; the trained state is saved")
            if self.options.timeout is not None and self.train_seconds + self.eval_seconds > self.options.timeout:
                raise _TimedOut

        seed = derive_seed(self.cell.method, self.cell.task, self.cell.seed, "samples")
        with sampling_together(model, self.workers) as scored:
            evaluation = self.task.evaluate(scored, seed=seed, device=self.compute.device, progress=progress)
        self.eval_seconds = time.monotonic() - start
        for warning in evaluation.warnings:
            self.listener.warned(self.cell, warning)
        return evaluation

    # --- ending ----------------------------------------------------------------------------------------------

    def _memory_hint(self) -> str:
        """What to try where memory did not suffice."""
        batch, spread = self.cell.config.get("batch_size"), self.options.spread
        if not isinstance(batch, int):
            return ""
        if not self.method.parallel:
            return f"; batch_size is {batch}: try --set batch_size={max(1, batch // 4)}, which is another configuration"
        largest = batch // self.workers.count
        accumulate = min(4 * spread.accumulate, largest)
        if accumulate <= spread.accumulate:
            return "; each device takes one row at a time already: a larger device, or --precision bf16 or fp16, may do"
        return f"; try --accumulate {accumulate} ({-(-largest // accumulate)} rows at a time)"

    def _failure(self, kind: str, message: str) -> Failure:
        return Failure(
            phase=self.phase, step=self.step if self.phase == "train" else None, type=kind, message=message or kind
        )

    def _end(
        self,
        status: Status,
        *,
        failure: Failure | None = None,
        evaluation: Evaluation | None = None,
        model: Model | None = None,
    ) -> ResultRecord:
        samples = None
        if evaluation is not None:
            save_arrays(self.folder / "arrays.npz", evaluation.arrays)
            samples = evaluation.arrays.get("samples")
        record = ResultRecord(
            run_id=self.cell.run_id,
            task=self.cell.task,
            task_version=self.cell.task_version,
            method=self.cell.method,
            method_version=self.cell.method_version,
            reference=self.method.reference,
            selected_on_test=self.method.selected_on_test or self.config.selected_on_test(),
            card=method_card(self.method),
            preset=self.cell.preset,
            overrides=self.cell.overrides,
            config=self.cell.config,
            seed=self.cell.seed,
            status=status,
            failure=failure,
            headline=list(self.task.headline),
            nfe=evaluation.nfe if evaluation else None,
            samples_sha256=array_sha256(samples) if samples is not None else None,
            samples_sketch=sketch(samples) if samples is not None else [],
            scores=evaluation.scores if evaluation else {},
            notes=evaluation.notes if evaluation else {},
            warnings=[*evaluation.warnings, *self._unverified()] if evaluation else [],
            protocols=evaluation.protocols if evaluation else {},
            curves=self.curves.curves(),
            cost=self._cost(model),
            provenance=provenance.collect(resumed=self.resumed),
        )
        write_record(self.options.results, record)
        self.listener.ended(self.cell, record)
        return record

    def _unverified(self) -> list[str]:
        """Files behind the numbers whose hash nobody publishes."""
        assets = needed_files(self.task, self.method, self.config)
        return [note for asset in assets if (note := asset.unverified) is not None]

    def _cost(self, model: Model | None) -> Cost:
        self.ledger.seconds = self.train_seconds
        stored = self.ledger.stored()
        # What fits outside of torch, without a step, is not seen.
        counted = self.step > 0 or stored.flops > 0
        return Cost(
            train_seconds=round(self.train_seconds, 2),
            eval_seconds=round(self.eval_seconds, 2),
            train=self.ledger.spent() if counted else None,
            stored=stored if counted else None,
            steps=self.step,
            peak_memory_bytes=process.peak_memory_bytes(self.compute.device),
            parameters=count_parameters(model) if model is not None else None,
            sampling_flops=sampling_flops(model) if isinstance(model, Sampler | ConditionalSampler) else None,
            device=self.compute.device,
            threads=self.compute.threads,
            devices=self.workers.count,
            accumulate=self.options.spread.accumulate,
            precision=self.cell.precision,
        )
