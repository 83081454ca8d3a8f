"""Records of two tasks, awkward names included, and a site made of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dxbench.api import Curve, Estimate, MethodCard, MetricProtocol, Provenance, ResultRecord
from dxbench.boards.site.build import Built, build_site
from dxbench.boards.site.pictures import NoPictures
from dxbench.records.files import config_id, write_record
from dxbench.records.index import open_index

EVIL = "<script>alert(1)<"
"""A method's name is a folder's, so that it holds no slash; the label below closes the tag."""
CLOSED = "<img src=x onerror=alert(1)></script><script>alert(1)</script>"
PROVENANCE = Provenance(
    dxbench_version="0",
    git_sha="a" * 40,
    git_dirty=False,
    command=f"dxbench run {CLOSED}",
    created="2026-01-01T00:00:00+00:00",
    python="3.11",
    packages={"torch": "2"},
    platform="Linux",
    processor="none",
    cores=1,
    accelerator=None,
    resumed=0,
)
PROTOCOL = MetricProtocol(name="err", version=1, fields={"n": 10})
GAIN = MetricProtocol(name="gain", version=1, fields={"of": CLOSED})
OTHER = MetricProtocol(name="err", version=1, fields={"n": 20})


def record(method: str, seed: int, value: float, *, nfe: float, task: str = "plane", **changes: Any) -> ResultRecord:
    """One run; its configuration is its NFE."""
    config = {"steps": nfe}
    protocol = changes.pop("protocol", PROTOCOL)
    scores = {
        "err": Estimate(value=value, better="lower", fingerprint=protocol.fingerprint),
        "gain": Estimate(value=10 * value, better="higher", fingerprint=GAIN.fingerprint),
    }
    fields: dict[str, Any] = {
        "run_id": f"{config_id(task, 1, method, 1, config)}-s{seed}",
        "task": task,
        "task_version": 1,
        "method": method,
        "method_version": 1,
        "preset": "default",
        "config": config,
        "overrides": config,
        "seed": seed,
        "status": "ok",
        "headline": ["err", "gain"],
        "nfe": nfe,
        "scores": scores,
        "protocols": {one.fingerprint: one for one in (protocol, GAIN)},
        "curves": {"loss": Curve(step=[10, 20, 30], value=[3.0, 1.0, 2.0])},
        "card": MethodCard(family="diffusion", summary=f"About {method}.", citation="Someone 2020, arXiv:2001.00001"),
        "provenance": PROVENANCE,
    }
    return ResultRecord.model_validate(fields | changes)


def records() -> Iterator[ResultRecord]:
    """Three ordinary methods, one with an evil name, one of another protocol, a floor and a failure."""
    for seed in range(3):
        noise = 0.01 * seed
        yield record("fast", seed, 0.5 + noise, nfe=2)
        yield record("middle", seed, 0.3 + noise, nfe=10)
        yield record("slow", seed, 0.05 + noise, nfe=100, card=MethodCard(family="energy-based"))
        yield record(EVIL, seed, 0.6 + noise, nfe=4, overrides={"text": CLOSED}, card=MethodCard(family=CLOSED))
        yield record("elsewhere", seed, 0.4 + noise, nfe=8, protocol=OTHER)
        yield record("floor", seed, 0.02 + noise, nfe=0, reference=True, card=MethodCard(family="reference"))
        yield record("fast", seed, 0.5 + noise, nfe=2, task="gaussians8")
    yield record("alone", 0, 0.2, nfe=5)


def write_records(folder: Path) -> Path:
    """All of them into a folder."""
    for made in records():
        write_record(folder, made)
    return folder


def make_site(folder: Path, out: Path) -> Built:
    """The site of a folder of records."""
    return build_site(open_index([folder]), out, pictures=NoPictures())
