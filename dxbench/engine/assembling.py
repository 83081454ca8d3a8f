"""The processes of a run, gathered."""

from dxbench.engine.spread import ParallelSettings, Rank
from dxbench.engine.workers import Alone, Workers


def assemble(spread: ParallelSettings, *, device: str, place: Rank | None) -> Workers:
    """The workers of a run; returns when all are there."""
    if spread.plain:
        return Alone()
    from dxbench.engine.fabric import FabricWorkers

    return FabricWorkers(spread, device=device, place=place)
