"""The record of a run, whatever its end."""

from dxbench.api import Cost, Evaluation, Failure, Model, ResultRecord, Status
from dxbench.drawing.draw import count_parameters, sampling_flops
from dxbench.engine import process, provenance
from dxbench.engine.attempt import Attempt
from dxbench.engine.parts import needed_files
from dxbench.engine.progress import Progress
from dxbench.files.arrays import array_sha256
from dxbench.plugins.registry import method_card
from dxbench.records.sketches import sketch


def record_of(
    attempt: Attempt,
    progress: Progress,
    status: Status,
    *,
    failure: Failure | None = None,
    evaluation: Evaluation | None = None,
    model: Model | None = None,
) -> ResultRecord:
    """The record of an attempt: `evaluation` of a run that was scored, `failure` of one that was not."""
    cell, method = attempt.cell, attempt.method
    samples = evaluation.arrays.get("samples") if evaluation else None
    return ResultRecord(
        run_id=cell.run_id,
        task=cell.task,
        task_version=cell.task_version,
        method=cell.method,
        method_version=cell.method_version,
        reference=method.reference,
        selected_on_test=method.selected_on_test or attempt.config.selected_on_test(),
        card=method_card(method),
        preset=cell.preset,
        overrides=cell.overrides,
        config=cell.config,
        seed=cell.seed,
        status=status,
        failure=failure,
        headline=list(attempt.task.headline),
        nfe=evaluation.nfe if evaluation else None,
        samples_sha256=array_sha256(samples) if samples is not None else None,
        samples_sketch=sketch(samples) if samples is not None else [],
        scores=evaluation.scores if evaluation else {},
        notes=evaluation.notes if evaluation else {},
        warnings=[*evaluation.warnings, *_unverified(attempt)] if evaluation else [],
        protocols=evaluation.protocols if evaluation else {},
        curves={name: curve.short() for name, curve in progress.curves.curves().items()},
        cost=_cost(attempt, progress, model),
        provenance=provenance.collect(resumed=progress.resumed, command=attempt.options.command),
    )


def _unverified(attempt: Attempt) -> list[str]:
    """Files behind the numbers whose hash nobody publishes."""
    assets = needed_files(attempt.task, attempt.method, attempt.config)
    return [note for asset in assets if (note := asset.unverified) is not None]


def _cost(attempt: Attempt, progress: Progress, model: Model | None) -> Cost:
    progress.ledger.seconds = progress.train_seconds
    stored = progress.ledger.stored()
    # What fits outside of torch, without a step, is not seen.
    counted = progress.step > 0 or stored.flops > 0
    return Cost(
        train_seconds=round(progress.train_seconds, 2),
        eval_seconds=round(progress.eval_seconds, 2),
        train=progress.ledger.spent() if counted else None,
        stored=stored if counted else None,
        steps=progress.step,
        peak_memory_bytes=process.peak_memory_bytes(attempt.device),
        parameters=count_parameters(model) if model is not None else None,
        sampling_flops=sampling_flops(model) if model is not None and model.sampler is not None else None,
        device=attempt.device,
        threads=attempt.task.threads,
        devices=attempt.workers.count,
        accumulate=attempt.options.spread.accumulate,
        precision=attempt.cell.precision,
        compiled=progress.compiled,
    )
