"""Sweeps of the size of a cluster: planned, packed by the launcher's own code, simulated on a real SLURM, counted.

.venv/bin/python benchmarks/cluster_load.py plan                  # 100,000 cells: CPU seconds and memory
.venv/bin/python benchmarks/cluster_load.py simulate /tmp/slurm   # their chunks on 512 slots of a SLURM, asleep
.venv/bin/python benchmarks/cluster_load.py files                 # what one cell asks of the file system (strace)
"""

import argparse
import heapq
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dxbench.engine.attempt import RunOptions
from dxbench.plugins.registry import load_method, load_task
from dxbench.sweeps import Block, Sweep, done, expected_seconds, forecasts, plan_blocks, read_plan, states
from dxbench.sweeps.chunks import pack

ROOT = Path(__file__).parents[1]
CELLS, MEAN, SPREAD = 100_000, 600.0, 1.0
"""Cells of a simulation, their mean seconds, and the std of the logarithm of these."""


# --- chunks on slots --------------------------------------------------------------------------------------------


def packed(cells: int) -> list[float]:
    """Seconds of the chunks that the launcher packs of cells of known, lognormal duration."""
    normal = np.random.default_rng(0).normal(size=cells)
    seconds = {str(i): MEAN * float(np.exp(SPREAD * z - SPREAD**2 / 2)) for i, z in enumerate(normal)}
    return [sum(seconds[cell] for cell in chunk) for chunk in pack(list(seconds), seconds)]


def makespan(jobs: Sequence[float], slots: int, *, gap: float = 0.0) -> float:
    """Seconds of list scheduling: each job in turn on the slot that is free first, `gap` seconds between starts."""
    free, next_start, last = [0.0] * slots, 0.0, 0.0
    for seconds in jobs:
        start = max(heapq.heappop(free), next_start)
        next_start = start + gap
        heapq.heappush(free, start + seconds)
        last = max(last, start + seconds)
    return last


SCRIPT = """#!/bin/bash
#SBATCH --job-name=simulated
#SBATCH --array=0-{last}
#SBATCH --output=/dev/null
seconds=({seconds})
start=$EPOCHREALTIME
sleep "${{seconds[$SLURM_ARRAY_TASK_ID]}}"
echo "$start $EPOCHREALTIME" >{folder}/$SLURM_ARRAY_TASK_ID
"""


def simulate(folder: Path, *, cells: int, slots: int, factor: float, patience: float) -> None:
    """Chunks as an array of a SLURM of two nodes, each task asleep for its chunk's seconds over `factor`."""
    jobs = [seconds / factor for seconds in packed(cells)]
    testbed = [ROOT / "tools" / "slurm_testbed.sh"]
    up = [*testbed, "up", f"--cpus={slots // 2}", folder]
    try:
        conf = subprocess.run(up, capture_output=True, text=True, check=True).stdout.strip().partition("=")[2]
        with tempfile.TemporaryDirectory() as place:
            script = Path(place, "array.sh")
            script.write_text(
                SCRIPT.format(last=len(jobs) - 1, seconds=" ".join(f"{job:.3f}" for job in jobs), folder=place)
            )
            environment = {**os.environ, "SLURM_CONF": conf}
            submitted = time.time()
            subprocess.run(["sbatch", script], env=environment, check=True, stdout=subprocess.DEVNULL)
            while sum(path.stat().st_size > 0 for path in Path(place).glob("[0-9]*")) < len(jobs):
                if time.time() - submitted > patience:
                    raise SystemExit(f"not all tasks have ended after {patience:.0f} s")
                time.sleep(1.0)
            times = sorted(tuple(map(float, (Path(place) / str(i)).read_text().split())) for i in range(len(jobs)))
    finally:
        subprocess.run([*testbed, "down", folder], check=True)
    report(jobs, np.array(times) - submitted, cells=cells, slots=slots, factor=factor)


def report(jobs: Sequence[float], times: np.ndarray, *, cells: int, slots: int, factor: float) -> None:
    """The simulation beside list scheduling; `times` [tasks, 2] are starts and ends since the submission."""
    measured, work = float(times[:, 1].max()), sum(jobs)
    gap = float(times[slots - 1, 0] - times[0, 0]) / (slots - 1)
    steps = np.concatenate([np.stack([times[:, i], np.full(len(times), sign)], 1) for i, sign in ((0, 1), (1, -1))])
    at_once = int(np.cumsum(steps[np.argsort(steps[:, 0]), 1]).max())
    print(
        f"{cells:,} cells in {len(jobs)} chunks of {min(jobs) * factor / 3600:.1f} to {max(jobs) * factor / 3600:.1f} h"
    )
    print(f"{slots} slots, time {factor:.0f} times as fast: a chunk sleeps {np.mean(jobs):.1f} s")
    print(
        f"at most {at_once} tasks at once; {gap:.3f} s between starts while slots were empty, first {times[0, 0]:.1f} s"
    )
    for name, seconds in (
        ("work over slots", work / slots),
        ("list scheduling", makespan(jobs, slots)),
        (f"the same, {gap:.3f} s between starts", makespan(jobs, slots, gap=gap)),
        ("measured", measured),
    ):
        print(f"{name:40} {seconds:8.1f} s   slot use {work / slots / seconds:6.1%}")
    slept = times[:, 1] - times[:, 0]
    print(f"tasks overslept by {np.sum(slept) / work - 1:.2%}; without the factor and with these starts:", end=" ")
    real = [job * factor for job in jobs]
    print(f"slot use {sum(real) / slots / makespan(real, slots, gap=gap):.2%}")


# --- what the file system sees ----------------------------------------------------------------------------------

CALLS = {
    "open": "open openat creat",
    "stat": "stat lstat newfstatat statx access faccessat faccessat2 readlink readlinkat",
    "list": "getdents64",
    "make": "mkdir mkdirat link linkat symlink",
    "rename": "rename renameat renameat2",
    "remove": "unlink unlinkat rmdir",
    "mode": "chmod fchmod fchmodat utimensat",
    "lock": "flock",
    "sync": "fsync fdatasync",
}
"""Metadata operations and the system calls that ask for them, but for those of open files."""
KINDS = ("lock", "checkpoint", "protocols", "cards", "results", "sweeps", "log.txt", "arrays.npz", "trained", "work")
LINE = re.compile(r"^\d+\s+(\w+)\((.*)")


def files(*, iterations: int, checkpoint_every: float) -> None:
    """Count what two cells of a chunk ask of the file system, one short, one long, by system calls."""
    with tempfile.TemporaryDirectory() as place:
        home, trace = Path(place, "home"), Path(place, "trace")
        lengths = "|".join(map(str, (20, iterations)))
        cells = plan_blocks([Block(task="gaussians8", method=f"dxmi[iterations={lengths}]")]).cells
        sweep = Sweep.planned(home, cells)
        sweep.write()
        found = []
        for number in range(2):
            run = [sys.executable, "-m", "dxbench", "run", "--cells", f"{sweep.file}[{number}]", "--no-report"]
            run += ["--checkpoint-every", str(checkpoint_every)]
            traced = ",".join(["trace=write,pwrite64,read,pread64", *" ".join(CALLS.values()).split()])
            begun = time.monotonic()
            subprocess.run(
                ["strace", "-f", "-y", "-qq", "--signal=none", "-e", traced, "-o", trace, *run],
                env={**os.environ, "DXBENCH_HOME": str(home)}, check=True, stdout=subprocess.DEVNULL
            )  # fmt: skip
            print(f"cell {number}: {time.monotonic() - begun:.0f} s under strace")
            found.append(counted(trace, home))
        here = [path for path in home.rglob("*") if path.is_file()]
        print(f"{len(here)} files of {sum(path.stat().st_size for path in here):,} bytes are left:")
        for path in sorted(here):
            print(f"  {path.stat().st_size:9,} {path.relative_to(home)}")
    for name, kinds in zip(("short cell", "long cell"), found, strict=True):
        print(f"\n{name:12} " + " ".join(f"{call:>8}" for call in [*CALLS, "read", "written"]))
        for kind, calls in kinds.items():
            print(f"{kind:12} " + " ".join(f"{calls[call]:8,}" for call in [*CALLS, "read", "written"]))


def counted(trace: Path, home: Path) -> dict[str, Counter[str]]:
    """Calls by kind of file and kind of call: those below `home`, and those of the Python that is started."""
    kind_of_call = {name: kind for kind, names in CALLS.items() for name in names.split()}
    found: dict[str, Counter[str]] = {kind: Counter() for kind in (*KINDS, "Python")}
    for line in trace.read_text(errors="replace").splitlines():
        match = LINE.match(line)
        if match is None or '>, "", ' in line:  # of an open file
            continue
        call, rest = match.groups()
        if str(home) in rest:
            below = rest.partition(str(home))[2]
            kind = next((kind for kind in KINDS if kind in below), "work")
        elif "site-packages" in rest or sys.base_prefix in rest or str(ROOT) in rest:
            kind = "Python"
        else:
            continue
        if call in kind_of_call:
            found[kind][kind_of_call[call]] += 1
        elif (size := re.search(r"= (\d+)$", line)) is not None:
            found[kind]["read" if "read" in call else "written"] += int(size[1])
    return {kind: calls for kind, calls in found.items() if calls}


# --- planning ---------------------------------------------------------------------------------------------------


def plan(*, cells: int) -> None:
    """CPU seconds and the peak of memory of each step of planning and of looking at a sweep, without any record."""
    began = time.process_time()

    def lap(what: str) -> None:
        nonlocal began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{what:28} {time.process_time() - began:7.2f} s   peak {peak:5.0f} MiB")
        began = time.process_time()

    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        options = RunOptions(home=home, results=home / "results")
        gammas = "|".join(str(1 + i / 10_000) for i in range(cells // 100))
        load_task("gaussians8"), load_method("dxmi")
        lap("import of both")
        planned = plan_blocks([Block(task="gaussians8", method=f"dxmi[gamma={gammas}]", seed="0-99")]).cells
        lap("plan")
        sweep = Sweep.planned(home, planned)
        lap("id")
        sweep.write()
        lap(f"write {sweep.file.stat().st_size / 2**20:.1f} MiB")
        done(planned, options)
        lap("what is done")
        forecasts(planned, {}, options)
        lap("forecasts of --dry-run")
        packed_cells = pack([cell.run_id for cell in planned], expected_seconds(planned, options))
        lap(f"times, {len(packed_cells)} chunks")
        listed = read_plan(sweep.file)
        lap("read the plan")
        states(listed, home=home, results=options.results)
        lap("status")
        of_a_task = read_plan(sweep.file, f"0:{len(packed_cells[0])}")
        again = [cell.again() for cell in of_a_task]
        lap(f"--cells of {len(again)} cells")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    simulation = commands.add_parser("simulate")
    simulation.add_argument("folder", type=Path, help="of the testbed, which is started and ended")
    simulation.add_argument("--cells", type=int, default=CELLS)
    simulation.add_argument("--slots", type=int, default=512)
    simulation.add_argument("--factor", type=float, default=550.0, help="by which time is shortened")
    simulation.add_argument("--patience", type=float, default=900.0, help="seconds")
    planning = commands.add_parser("plan")
    planning.add_argument("--cells", type=int, default=CELLS)
    counting = commands.add_parser("files")
    counting.add_argument("--iterations", type=int, default=3000, help="of the long cell")
    counting.add_argument("--checkpoint-every", type=float, default=5.0, help="seconds")
    asked = vars(parser.parse_args())
    {"simulate": simulate, "plan": plan, "files": files}[asked.pop("command")](**asked)


if __name__ == "__main__":
    main()
