"""The page of a run. There is one per record, so that it is kept small and made quickly."""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from dxbench.api import ResultRecord, Tile, TrainingCost
from dxbench.boards.aggregate import located
from dxbench.boards.render.cells import quantity
from dxbench.boards.site.names import config_anchor, method_page, run_page, task_page, tile_path
from dxbench.boards.site.plots import line
from dxbench.boards.site.rendering import render
from dxbench.plain import counted
from dxbench.plugins.configure import DEFAULT_PRESET, assignments
from dxbench.records.entries import Entry

STAGE_NAMES = ("noise", "20 %", "40 %", "60 %", "80 %", "sample")
"""What the frames of a picture are, as many as `pictures.tiles.STAGES`."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """The pictures of a row: those of its first run that has any.

    Attributes:
        anchor: of the row within the page of its task.
        value: its number in the task's first column.
        page: of the run; the pictures lie beside it.
        quick: it is of the preset of that name, whose training is too short to stand for the method.
    """

    label: str
    anchor: str
    value: str
    page: str
    tiles: list[Tile]
    quick: bool = False

    def path(self, tile: Tile) -> str:
        """The path of a picture within the site."""
        return tile_path(self.page, tile.name)


def face(pictured: Iterable[Shown]) -> Shown | None:
    """The first of the rows with the most pictures; one of a quick preset only where there is no other."""
    return max(pictured, key=lambda shown: (not shown.quick, len(shown.tiles)), default=None)


def repeat_command(entry: Entry, seeds: str) -> str:
    """The command that runs a configuration again, with seeds as `--seed` takes them."""
    parts = ["dxbench", "run", "--task", entry.task, "--method", entry.method, "--seed", seeds]
    if entry.preset != DEFAULT_PRESET:
        parts += ["--preset", entry.preset]
    for text in assignments(entry.overrides):
        parts += ["--set", text]
    if entry.device is not None:
        parts += ["--device", entry.device.partition(":")[0]]
    if entry.precision != "32":
        parts += ["--precision", entry.precision]
    return shlex.join(parts)


def run_text(record: ResultRecord, tiles: Sequence[Tile], *, origin: str) -> str:
    """The page of a run.

    Args:
        tiles: its pictures, which lie beside the page.
        origin: as `Entry.origin`.
    """
    entry = replace(Entry.of(record, ""), origin=origin)
    page = run_page(record.task, record.method, record.run_id, origin=origin)
    return render(
        "run",
        depth=3,
        record=record,
        title=located(f"{record.method} on {record.task}, seed {record.seed}", origin),
        task_page=task_page(record.task),
        method_page=method_page(record.method),
        config_anchor=config_anchor(record.task, entry.config_id, origin=origin),
        stages=STAGE_NAMES,
        command=record.provenance.command if record.external else repeat_command(entry, str(record.seed)),
        config=assignments(record.config),
        lines=[drawn for name, curve in record.curves.items() if (drawn := line(name, curve)) is not None],
        cost=_cost(record),
        shown=Shown(label=record.method, anchor="", value="", page=page, tiles=list(tiles)),
    )


def _counted(cost: TrainingCost | None) -> str:
    return "" if cost is None else f"{quantity(cost.flops)} FLOP, {quantity(cost.passes)} passes, {cost.seconds:.1f} s"


def _cost(record: ResultRecord) -> dict[str, str]:
    cost = record.cost
    if cost is None:
        return {}
    facts = {
        "training": f"{cost.train_seconds:.1f} s on {record.provenance.processor}, {counted(cost.steps, 'step')}",
        "counted training": _counted(cost.train),
        "parts found trained": _counted(cost.stored) if cost.stored and cost.stored.flops else "",
        "evaluation": f"{cost.eval_seconds:.1f} s",
        "peak memory": f"{quantity(cost.peak_memory_bytes)}B",
        "parameters": quantity(cost.parameters),
        "FLOP per sample": quantity(cost.sampling_flops),
        "device": f"{cost.device}, {counted(cost.threads, 'thread')}",
    }
    return {name: text for name, text in facts.items() if text}
