"""A network's training on two threads beside other work: threads that sleep while they wait against threads that spin.

Two processes take the same steps in turn, one with OMP_WAIT_POLICY=passive, as the command line has it, and one with
libgomp's default. `--busy` processes compute something else meanwhile.

    .venv/bin/python benchmarks/waiting_threads.py --busy 0
    .venv/bin/python benchmarks/waiting_threads.py --busy 2
"""

import argparse
import os
import statistics
import subprocess
import sys
import time

STEPS = """
import sys, time, torch
from dxbench_baselines.starts import GARMENT_DDPM
torch.set_num_threads(2)
net = GARMENT_DDPM.network.network((1, 28, 28), torch.Generator().manual_seed(0))
x, time_ = torch.zeros(32, 1, 28, 28), torch.full((32,), 500.0)
for line in sys.stdin:
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(int(line)):
        net(x, time_).square().mean().backward()
    print(time.perf_counter() - wall, time.process_time() - cpu, flush=True)
"""
BUSY = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: sum(range(1_000_000))"


def worker(policy: str | None) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    environment |= {} if policy is None else {"OMP_WAIT_POLICY": policy}
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", STEPS], env=environment, stdin=pipe, stdout=pipe, text=True)


def timed(process: subprocess.Popen[str], steps: int) -> tuple[float, float]:
    """Wall and CPU seconds of some steps."""
    assert process.stdin is not None
    assert process.stdout is not None
    print(steps, file=process.stdin, flush=True)
    wall, cpu = process.stdout.readline().split()
    return float(wall), float(cpu)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--busy", type=int, default=2, help="processes that compute something else")
    parser.add_argument("--steps", type=int, default=3, help="of a round")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    passive, spinning = worker("passive"), worker(None)
    busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(asked.busy)]
    try:
        for process in (passive, spinning):
            timed(process, 1)
        walls, cpus = [], []
        for _ in range(asked.rounds):
            sleeps, spins = timed(passive, asked.steps), timed(spinning, asked.steps)
            walls.append(spins[0] / sleeps[0])
            cpus.append(spins[1] / sleeps[1])
            print(f"passive {sleeps[0]:.1f} s, {sleeps[1]:.1f} CPU s; spinning {spins[0]:.1f} s, {spins[1]:.1f} CPU s")
            time.sleep(0.2)
        print(
            f"beside {asked.busy} busy processes, spinning takes {statistics.median(walls):.2f} times as long "
            f"({min(walls):.2f} to {max(walls):.2f}) and {statistics.median(cpus):.2f} times the CPU seconds"
        )
    finally:
        for process in (passive, spinning, *busy):
            process.kill()


if __name__ == "__main__":
    main()
