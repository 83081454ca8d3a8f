"""Measure what SLURM takes for an array task, and how many tasks a large sweep is.

Run with SLURM_CONF of a cluster, such as that of tools/slurm_testbed.sh.
"""

import argparse
import os
import random
import subprocess
import time

from dxbench.sweeps.chunks import pack


def seconds_per_task(tasks: int) -> float:
    """Seconds of an array of empty tasks, from sbatch to the end of the last one."""
    start = time.perf_counter()
    wait = ["sbatch", "--wait", f"--array=0-{tasks - 1}", "--ntasks=1", "--output=/dev/null", "--wrap=true"]
    subprocess.run(wait, check=True, capture_output=True)
    return (time.perf_counter() - start) / tasks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=200)
    tasks = parser.parse_args().tasks
    print(f"load {os.getloadavg()[0]:.1f}; {tasks} empty array tasks: {seconds_per_task(tasks):.3f} s per task")
    cells = [f"cell-{number}" for number in range(10_000)]
    rng = random.Random(0)
    for what, seconds in (
        ("of a second", dict.fromkeys(cells, 1.0)),
        ("of a minute", dict.fromkeys(cells, 60.0)),
        ("of an hour", dict.fromkeys(cells, 3600.0)),
        ("of a second to ten hours", {cell: 10 ** rng.uniform(0, 4.5) for cell in cells}),
        ("of which nothing is known", {}),
    ):
        start = time.perf_counter()
        packed = pack(cells, seconds)
        least = min(sum(seconds.get(cell, 600.0) for cell in chunk) for chunk in packed[:-1])
        took = time.perf_counter() - start
        print(f"10,000 cells {what}: {len(packed)} tasks, {least / 60:.0f} min or more each; packed in {took:.3f} s")


if __name__ == "__main__":
    main()
