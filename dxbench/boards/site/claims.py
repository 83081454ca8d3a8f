"""The page of claims: what our runs say of the numbers of papers, and what it would take to say more."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby

from pydantic import JsonValue

from dxbench.boards.claims import Claim, Verdict, in_part
from dxbench.boards.published import PublishedRow, Source
from dxbench.boards.render.cells import number, quantity
from dxbench.boards.site.names import task_page
from dxbench.boards.site.rendering import render
from dxbench.errors import DxbenchError
from dxbench.plain import counted
from dxbench.plugins.registry import plugins

AGREES = (Verdict.REPRODUCED, Verdict.WITHIN_NOISE, Verdict.BETTER)


def claims_text(claims: Sequence[Claim], published: Sequence[tuple[Source, PublishedRow]]) -> str:
    """The page: what agrees, what differs, and what has not been run, by table of a paper."""
    counts = Counter(claim.verdict for claim in claims)
    run = [claim for claim in claims if claim.verdict != Verdict.NOT_RUN]
    not_run = [claim for claim in claims if claim.verdict == Verdict.NOT_RUN]
    rows = {row.id: row for _, row in published}
    tables = [list(group) for _, group in groupby(not_run, key=lambda claim: (claim.source.key, claim.table))]
    return render(
        "claims",
        depth=0,
        title="Claims",
        counts={verdict: counts[verdict] for verdict in Verdict if counts[verdict]},
        in_part=in_part(claims),
        agreeing=[claim for claim in run if claim.verdict in AGREES],
        differing=[claim for claim in run if claim.verdict not in AGREES],
        absent=[(f"{table[0].source.key}, {table[0].table}", table) for table in tables],
        sources=list({claim.source.key: claim.source for claim in claims}.values()),
        costs={cell: cost_of(rows[cell]) for cell in {claim.cell for claim in not_run}},
        pages={claim.task: task_page(claim.task) for claim in claims},
        number=number,
    )


def cost_of(row: PublishedRow) -> str:
    """The cost of running a published row here, in rows through a network; "" where none is known.

    Images to train on are steps times the batch; evaluating takes the passes of all samples.
    """
    match = row.match or {}
    method, preset, config = match.get("method"), match.get("preset", "default"), match.get("config", {})
    if not (isinstance(method, str) and isinstance(preset, str) and isinstance(config, dict)):
        return ""
    if method not in plugins("methods") or row.task not in plugins("tasks"):
        return ""
    return _taken(row.task, method, preset, config, row.nfe)


def _taken(task: str, method: str, preset: str, config: Mapping[str, JsonValue], nfe: float | None) -> str:
    from dxbench.plugins.configure import configure
    from dxbench.plugins.registry import load_method, load_task

    try:
        loaded = load_task(task)
        made = configure(load_method(method), loaded, preset, config).model_dump(mode="json")
    except DxbenchError:
        return ""
    parts = []
    steps, batch, start = made.get("iterations"), made.get("batch_size"), (made.get("backbone") or {}).get("weights")
    if isinstance(steps, int) and isinstance(batch, int):
        parts.append(f"training on {quantity(steps * batch)} samples ({counted(steps, 'step')} of {batch:,})")
    if start:
        parts.append(f"released weights ({start})")
    samples = getattr(loaded, "num_samples", None)
    if isinstance(samples, int) and nfe:
        parts.append(f"{quantity(samples * nfe)} passes for {samples:,} samples")
    return ", ".join(parts)
