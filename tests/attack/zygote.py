"""A process that has loaded everything once, and forks a real run for each line of JSON it reads.

A line is the home, the seed and after how many seconds to kill the run, or null. The run says `started STEP`, and
`ended STATUS` follows.
"""

import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from dxbench.engine.attempt import RunOptions
from dxbench.engine.cell import run_cell
from dxbench.engine.listener import Listener, Silent
from dxbench.engine.plan import Cell, plan
from dxbench.errors import DxbenchError
from dxbench.threads import fix_threads


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


class Speaks(Silent):
    """A listener that tells of the beginning, and of what should not be."""

    def started(self, cell: Cell, *, total_steps: int, first_step: int) -> None:
        say(f"started {first_step}")

    def warned(self, cell: Cell, text: str) -> None:
        say(f"warned {text}")


def run(home: Path, task: str, method: str, seed: int, listener: Listener) -> int:
    (cell,) = plan(task, method, preset="default", overrides={"iterations": 30}, seeds=[seed], precision="32")
    options = RunOptions(home=home, results=home / "results", checkpoint_every=0.0)
    try:
        run_cell(cell, options, listener=listener)
    except DxbenchError as error:
        say(f"warned {error}")
        return int(error.exit_code)
    return 0


def main() -> None:
    task, method = sys.argv[1:]
    fix_threads(1)
    with tempfile.TemporaryDirectory() as folder:  # what is loaded late takes longer than a run
        run(Path(folder), task, method, 0, Silent())
    for line in sys.stdin:
        home, seed, kill_after = json.loads(line)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                status = run(Path(home), task, method, seed, Speaks())
            finally:
                os._exit(status)
        if kill_after is not None:
            time.sleep(kill_after)
            os.kill(child, signal.SIGKILL)  # a zombie at worst, whose number nobody else has
        say(f"ended {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}")


if __name__ == "__main__":
    main()
