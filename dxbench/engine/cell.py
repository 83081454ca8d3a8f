"""One run from start to record: set up, train with checkpoints, evaluate, write what came out."""

import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from dxbench import paths
from dxbench.api import Compute, Evaluation, Failure, Model, Problem, ResultRecord, Status, Training
from dxbench.api.streams import derive_seed
from dxbench.drawing.counting import CountedEnergy
from dxbench.drawing.draw import within_reach
from dxbench.engine import process
from dxbench.engine.attempt import Attempt, RunOptions
from dxbench.engine.distributed_sampling import DistributedSampling, sampling_together
from dxbench.engine.endings import CrashReport, TimedOut, ending_of, ending_of_peer, out_of_memory
from dxbench.engine.execution import Compilation
from dxbench.engine.ledger import first_step
from dxbench.engine.lines import CellLog
from dxbench.engine.listener import Listener, Several
from dxbench.engine.locks import Claim, owner_of, take
from dxbench.engine.owners import Owner
from dxbench.engine.parts import problem_for, start_training, trained_model
from dxbench.engine.plan import Cell, measured
from dxbench.engine.progress import Progress
from dxbench.engine.recording import record_of
from dxbench.engine.spread import Rank
from dxbench.engine.store import FolderStore
from dxbench.engine.tracking import Tracked
from dxbench.engine.undisturbed import undisturbed
from dxbench.engine.workers import POLL_SECONDS, PeerLost, SharedStore
from dxbench.errors import Interrupted, InvalidFile, MachineFault, RunFailed, Taken, UsageError
from dxbench.files.arrays import save_arrays
from dxbench.files.faults import machine_fault
from dxbench.files.writing import check_writable, set_aside, sweep_temporaries, write_text_atomically
from dxbench.records.files import work_folder, write_record
from dxbench.records.parts import sweep_parts

LOG = "log.txt"
"""Of a run, in its folder of work."""


def run_cell(
    cell: Cell,
    options: RunOptions,
    *,
    listener: Listener,
    stop_requested: Callable[[], bool] = lambda: False,
    place: Rank | None = None,
) -> ResultRecord | None:
    """Run one cell, resuming where an earlier attempt left a checkpoint.

    Whatever ends the run, other than being stopped from outside and what the machine refuses, becomes a record. Of
    several processes, each calls this; only the first gets the record. A cell that trains a shared start ends with
    None once that is in the store. A cell that somebody else has measured meanwhile is not run again, unless the
    options say `fresh`.

    Args:
        place: of this process, where a launcher of ours has started several for the run.

    Raises:
        Interrupted: when `stop_requested` turned true; the state is saved.
        UsageError: if results cannot be written.
        Taken: if another process runs the same cell.
        RunFailed: if a shared start cannot be trained.
        MachineFault: where there is no room, no permission or no connection; the last checkpoint is kept.
    """
    try:
        check_writable(options.results, remedy=paths.RESULTS_REMEDY)
        folder = work_folder(options.home, task=cell.task, method=cell.method, run_id=cell.run_id)
        check_writable(folder, remedy=paths.HOME_REMEDY)
        with undisturbed():
            attempt = Attempt.at(cell, options, listener=listener, stop_requested=stop_requested, place=place)
            if attempt.workers.rank != 0:
                return _Run(attempt).assist()
            with CellLog(folder / LOG, cell) as log:
                told = Several(listener, log)
                trackers = [Tracked(name, folder, told) for name in options.trackers]
                return _Run(replace(attempt, listener=Several(told, *trackers))).carry_out()
    except Exception as error:
        fault = machine_fault(error)
        if fault is None or fault is error:
            raise
        raise MachineFault(f"{cell}: {fault}; the last checkpoint is kept") from error


class _Run:
    """The order of things in an attempt: what is fixed is its `Attempt`, what changes its `Progress`."""

    def __init__(self, attempt: Attempt) -> None:
        self.attempt = attempt
        self.progress = Progress(attempt.cell)
        self.data_std: float | None = None  # of a single problem, once that is known
        self.claim: Claim | None = None  # of the first process
        self.last_words = CrashReport(attempt.folder)
        self.store = FolderStore(attempt.trained_parts, self.progress.ledger, attempt.warn)
        self.compilation = Compilation(
            attempt.options.compiling,
            device=attempt.device,
            tell=lambda text: attempt.listener.phase(attempt.cell, text),
            warn=attempt.warn,
        )
        self.compute = Compute(
            device=attempt.device,
            threads=attempt.task.threads,
            store=SharedStore(self.store, attempt.workers, self._wait_for_part),
            parallel=attempt.workers.parallel,
            execution=self.compilation,
        )

    def assist(self) -> None:
        """Take part in a run as a process other than the first."""
        process.prepare_process(self.compute)
        try:
            if self.attempt.workers.from_first(False):  # it is measured
                return
            training = self._set_up()
            self._train(training)
            if self.attempt.cell.part == "start":
                return
            self.progress.phase = "evaluate"
            DistributedSampling(trained_model(training), self.attempt.workers).serve()
        except Exception as error:
            if (ending := ending_of_peer(error, self.attempt, self.progress)) is None:
                return
            self.last_words.leave(self.attempt.workers.rank, ending)
            raise

    def carry_out(self) -> ResultRecord | None:
        """Carry out the run as the first process, which alone reads and writes files.

        Raises:
            Taken: if another process runs the same cell.
        """
        cell, lock = self.attempt.cell, self.attempt.folder / "lock"
        if (claim := take(lock, waiting=self._wait_for_owner)) is None:
            owner = owner_of(lock)
            raise Taken(f"another process is running {cell} ({f'{owner}, ' if owner else ''}{lock.parent})")
        self.claim = claim
        try:
            process.prepare_process(self.compute)
            self._tidy()
            return self._carry_out()
        except (Interrupted, KeyboardInterrupt):
            claim.release(interrupted=True)
            raise
        finally:
            self.store.release()
            claim.release()

    def _wait_for_owner(self, owner: Owner) -> None:
        """Once a second while it is not known whether the last owner lives."""
        self.attempt.listener.phase(self.attempt.cell, f"waiting for a sign of life from who was at it ({owner})")
        if self.attempt.stop_requested():
            raise Interrupted("stopped before anything was begun")

    def _carry_out(self) -> ResultRecord | None:
        model: Model | None = None
        try:
            if (done := self._measured_meanwhile()) is not None:
                return done
            training = self._set_up()
            self._train(training)
            if self.attempt.cell.part == "start":
                return self._end_start()
            model = trained_model(training)
            evaluation = self._evaluate(model)
        except Interrupted:
            self.attempt.listener.interrupted(self.attempt.cell)
            raise
        except UsageError:  # of the method's own making: no record, the user has to change something
            raise
        except PeerLost as error:
            ending = self.last_words.of_peer(error)
        except Exception as error:
            ending = ending_of(error, self.attempt, self.progress)
            if ending.status == "machine":
                raise
            if ending.status == "failed":
                with suppress(OSError):  # the record says it in short
                    write_text_atomically(self.attempt.folder / "error.txt", traceback.format_exc())
        else:
            return self._end("partial" if evaluation.missing else "ok", evaluation=evaluation, model=model)
        assert ending.status != "machine"
        if self.attempt.cell.part == "start":
            raise RunFailed(f"the start that {self.attempt.cell.row} shares: {ending.failure.message}")
        return self._end(ending.status, failure=ending.failure, model=model)

    def _measured_meanwhile(self) -> ResultRecord | None:
        """The record that another process has made since the run was planned; all processes then end."""
        cell, options = self.attempt.cell, self.attempt.options
        done = None if options.fresh else measured([cell], options.results).get(cell.run_id)
        if self.attempt.workers.from_first(done is not None):
            self.attempt.listener.ended(cell, done)
        return done

    def _tidy(self) -> None:
        """Remove what earlier attempts left unfinished when they were killed."""
        cell = self.attempt.cell
        self.last_words.clear()
        sweep_temporaries(self.attempt.folder)
        sweep_temporaries(self.attempt.options.results / cell.task / cell.method, f"{cell.run_id}.json")
        sweep_parts(self.attempt.options.results)

    # --- setting up ------------------------------------------------------------------------------------------

    def _set_up(self) -> Training:
        attempt, progress = self.attempt, self.progress
        progress.restart()
        self.compilation.clear()
        process.seed_global_generators(progress.rng)
        problem = problem_for(attempt.task, attempt.method, attempt.config, self.compute)
        self.data_std = problem.data_std if isinstance(problem, Problem) else None
        energy = problem.energy if isinstance(problem, Problem) else None
        progress.ledger.energy = energy if isinstance(energy, CountedEnergy) else None
        begun = time.monotonic()
        training = start_training(attempt.method, problem, attempt.config, compute=self.compute, rng=progress.rng)
        # Some methods fit here and take no step.
        progress.train_seconds = time.monotonic() - begun - progress.waited
        progress.expect(training.total_steps, processes=attempt.workers.count)
        if not attempt.options.fresh and attempt.workers.from_first(attempt.checkpoint.exists()):
            unusable = self._resume(training)
            if attempt.workers.any(unusable is not None)[0]:
                return self._begin_anew(unusable)
            if progress.compiled:
                self._compile()
        attempt.listener.started(attempt.cell, total_steps=training.total_steps, first_step=progress.step)
        return training

    def _wait_for_part(self) -> None:
        """Once a second while another run trains a part that this one needs; ends the run where it is to end."""
        attempt, progress = self.attempt, self.progress
        if progress.waited == 0:
            attempt.listener.phase(attempt.cell, "waiting for another run that trains the same backbone")
        progress.waited += POLL_SECONDS
        stop, late = attempt.workers.any(attempt.stop_requested(), attempt.late(progress.waited))
        if stop:
            raise Interrupted("stopped while waiting for another run's backbone; nothing was trained yet")
        if late:
            progress.train_seconds = progress.waited
            raise TimedOut

    def _resume(self, training: Training) -> Exception | None:
        """Restore the state of the checkpoint; the error where it cannot be used, and all has to be set up anew.

        Raises:
            UsageError: for the state of a run on another kind of device, whose numbers are not those of this one.
        """
        try:
            self.progress.restore(training, self.attempt.checkpoint, device=self.compute.device)
        except (UsageError, PeerLost):
            raise
        except Exception as error:  # whatever a method makes of a state that is not its own
            if out_of_memory(error) or machine_fault(error) is not None:
                raise
            return error
        return None

    def _begin_anew(self, error: Exception | None) -> Training:
        """Set a checkpoint aside that cannot be used, here or in another process: damaged, of another run or code."""
        if self.attempt.workers.rank == 0:
            checkpoint = self.attempt.checkpoint
            aside = set_aside(checkpoint, "unusable")
            reason = str(error) if isinstance(error, InvalidFile) else f"{checkpoint} does not fit this code ({error})"
            self.attempt.warn(f"{reason}; kept as {aside.name}, beginning anew")
        return self._set_up()

    # --- training and evaluating -----------------------------------------------------------------------------

    def _train(self, training: Training) -> None:
        attempt, progress = self.attempt, self.progress
        progress.phase = "train"
        assert progress.ledger.meter is not None
        meter, before, checkpoint = progress.ledger.meter, progress.train_seconds, attempt.checkpoint
        start = saved = time.monotonic()
        while progress.step < training.total_steps and not self._start_is_trained():
            progress.ledger.seconds = progress.train_seconds
            with meter.step(progress.step), first_step(progress.step) as operations:
                scalars = {name: float(value) for name, value in training.step().items()}
            if progress.step == 0:
                pays = self.compilation.pays(operations.total * training.total_steps)
                if attempt.workers.any(pays)[0]:
                    self._compile()
            progress.log(scalars, checkpoint=checkpoint)
            if self.claim is not None:
                self.claim.note(progress.step, training.total_steps)
                self.claim.check()
            now = time.monotonic()
            progress.train_seconds = before + now - start
            attempt.listener.stepped(attempt.cell, step=progress.step, scalars=scalars)
            due = now - saved > attempt.options.checkpoint_every
            # Asked of all processes, whose clocks and signals differ: together they save, and together they stop.
            stop, late, due = attempt.workers.any(attempt.stop_requested(), attempt.late(progress.train_seconds), due)
            if stop or late or due or progress.step == training.total_steps:
                if self.claim is not None:  # all processes are in the same state
                    self.claim.renew()
                    progress.save(training, checkpoint, device=self.compute.device)
                saved = time.monotonic()
            if stop:
                raise Interrupted(f"stopped at step {progress.step:,} of {training.total_steps:,}; the state is saved")
            if late and progress.step < training.total_steps:
                raise TimedOut

    def _compile(self) -> None:
        self.compilation.begin()
        self.progress.compiled = self.compilation.compiled

    def _start_is_trained(self) -> bool:
        """True for a cell that is there for its start alone, once that is in the store."""
        if self.attempt.cell.part != "start":
            return False
        first = self.attempt.workers.rank == 0
        return self.attempt.workers.any(first and self.store.complete)[0]

    def _end_start(self) -> None:
        """Note that the start is trained; the checkpoint has served."""
        self.store.note_start(self.attempt.cell.start_id)
        self.attempt.checkpoint.unlink(missing_ok=True)
        self.attempt.listener.ended(self.attempt.cell, None)

    def _evaluate(self, model: Model) -> Evaluation:
        attempt, progress = self.attempt, self.progress
        progress.phase = "evaluate"
        start = time.monotonic()

        def tell(text: str) -> None:
            progress.eval_seconds = time.monotonic() - start
            attempt.listener.phase(attempt.cell, text)
            if attempt.stop_requested():
                raise Interrupted("stopped while evaluating; the trained state is saved")
            if attempt.late(progress.train_seconds + progress.eval_seconds):
                raise TimedOut

        seed = derive_seed(attempt.cell.method, attempt.cell.task, attempt.cell.seed, "samples")
        with sampling_together(model, attempt.workers) as scored:
            if self.data_std is not None:
                scored = within_reach(scored, self.data_std)
            evaluation = attempt.task.evaluate(scored, seed=seed, device=attempt.device, progress=tell)
        progress.eval_seconds = time.monotonic() - start
        for warning in evaluation.warnings:
            attempt.warn(warning)
        return evaluation

    def _end(
        self,
        status: Status,
        *,
        failure: Failure | None = None,
        evaluation: Evaluation | None = None,
        model: Model | None = None,
    ) -> ResultRecord:
        assert self.claim is not None
        self.claim.renew()
        if evaluation is not None:
            save_arrays(self.attempt.folder / "arrays.npz", evaluation.arrays)
        record = record_of(self.attempt, self.progress, status, failure=failure, evaluation=evaluation, model=model)
        write_record(self.attempt.options.results, record)
        self.attempt.listener.ended(self.attempt.cell, record)
        return record
