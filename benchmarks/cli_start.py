"""Seconds of commands that have to feel instant: whole processes, median of seven."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

COMMANDS = (["--help"], ["list", "methods"], ["list", "metrics"], ["table", "--task", "gaussians8"])
SUITE = ["table", "--suite", "dxmi-table1", "--published"]


def main() -> None:
    dxbench = Path(sys.executable).with_name("dxbench")
    for command in (*COMMANDS, SUITE):
        times = []
        for _ in range(8):
            start = time.perf_counter()
            subprocess.run([dxbench, *command], capture_output=True, check=True)
            times.append(time.perf_counter() - start)
        print(
            f"{statistics.median(times[1:]):.2f} s ({min(times[1:]):.2f} to {max(times[1:]):.2f})  {' '.join(command)}"
        )


if __name__ == "__main__":
    main()
