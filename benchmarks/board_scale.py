"""Boards over 100,000 records: loading them cold and from the index, one table, the whole site, and memory."""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from pydantic import JsonValue

from dxbench.api import ResultRecord
from dxbench.paths import reference_results
from dxbench.records.files import config_id, read_record, record_path, stored_text
from dxbench.records.parts import write_parts

TASKS, METHODS, SEEDS = 20, 20, 5
LOAD = "from pathlib import Path; import sys; from dxbench.records.index import open_index\n"
LOAD += "if __name__ == '__main__': print(len(open_index([Path(sys.argv[1])]).tasks))"


def template() -> ResultRecord:
    """A measured record."""
    record = read_record(next((reference_results() / "gaussians8" / "ddpm").glob("*.json")))
    assert isinstance(record, ResultRecord)
    return record


def records(count: int) -> Iterator[ResultRecord]:
    """Made-up runs over TASKS x METHODS x SEEDS and as many configurations as it takes."""
    base = template()
    for i in range(count):
        task, method, seed = f"task{i % TASKS}", f"method{i // TASKS % METHODS}", i // TASKS // METHODS % SEEDS
        config: dict[str, JsonValue] = {"width": i // TASKS // METHODS // SEEDS}
        scores = {
            name: score.model_copy(update={"value": score.value + 0.01 * ((7 * i) % 97) + 1e-4 * seed})
            for name, score in base.scores.items()
        }
        made = {
            "run_id": f"{config_id(task, 1, method, 1, config)}-s{seed}",
            "task": task,
            "method": method,
            "seed": seed,
            "config": config,
            "overrides": config,
            "preset": "default",
            "scores": scores,
        }
        yield base.model_copy(update=made)


def write(folder: Path, count: int) -> int:
    """Write the records and return the bytes of one."""
    write_parts(folder, template())
    text = ""
    for record in records(count):
        path = record_path(folder, record)
        path.parent.mkdir(parents=True, exist_ok=True)
        text = stored_text(record)
        path.write_text(text)
    return len(text)


def timed(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Seconds and peak megabytes (the largest process) of a whole process."""
    start = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    count = parser.parse_args().records
    folder = Path(tempfile.mkdtemp(prefix="dxbench-scale-"))
    environment = os.environ | {"DXBENCH_CACHE": str(folder / "cache")}
    try:
        size = write(folder / "results", count)
        print(f"{count:,} records of {size:,} bytes, {os.cpu_count()} cores; whole processes")
        dxbench = [sys.executable, "-m", "dxbench"]
        at = ["--results", str(folder / "results")]
        steps = {
            "load, no index": [sys.executable, "-c", LOAD, str(folder / "results")],
            "load, from the index": [sys.executable, "-c", LOAD, str(folder / "results")],
            "one table": [*dxbench, "table", "--task", "task0", *at],
            "whole site": [*dxbench, "leaderboard", "build", "--out", str(folder / "site"), *at],
        }
        for name, command in steps.items():
            seconds, memory = timed(command, environment)
            print(f"{name:22} {seconds:6.2f} s   {memory:5.0f} MB")
        children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"largest process {children:.0f} MB")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
