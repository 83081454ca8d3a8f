"""Measure what `dxbench run --task digits --method dxmi` takes and gives: `python benchmarks/digits_run.py` (minutes).

Runs data, DDPM at T = 4, 10 and 50 and DxMI at T = 4 for three training seeds into a folder of their own, one process
at a time, and prints wall times, `fd_digits` and the two ratios that the project asks for.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import fmean

ROWS = {
    "data": ["--method", "data"],
    "ddpm T=4": ["--method", "ddpm", "--set", "num_steps=4"],
    "ddpm T=10": ["--method", "ddpm"],
    "ddpm T=50": ["--method", "ddpm", "--set", "num_steps=50"],
    "dxmi T=4": ["--method", "dxmi"],
}


def run(arguments: list[str], seed: int, home: Path) -> tuple[float, dict[str, float]]:
    """Seconds of one run and its scores."""
    command = [sys.executable, "-m", "dxbench", "run", "--task", "digits", "--seed", str(seed), "--no-report"]
    start = time.perf_counter()
    subprocess.run(
        [*command, *arguments], check=True, capture_output=True, env=os.environ | {"DXBENCH_HOME": str(home)}
    )
    seconds = time.perf_counter() - start
    newest = max((home / "results").glob("digits/*/*.json"), key=lambda path: path.stat().st_mtime_ns)
    scores = json.loads(newest.read_text(encoding="utf-8"))["scores"]
    return seconds, {name: estimate["value"] for name, estimate in scores.items()}


def main() -> None:
    """Run, and print a line per row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--preset", default="default", help="of ddpm and dxmi; quick to see that this script works")
    arguments = parser.parse_args()
    seeds = arguments.seeds
    means = {}
    with tempfile.TemporaryDirectory() as folder:
        # DxMI first, so that its seconds include the training of the backbone that the others find.
        for name in reversed(ROWS):
            preset = [] if name == "data" else ["--preset", arguments.preset]
            runs = [run([*ROWS[name], *preset], seed, Path(folder)) for seed in seeds]
            means[name] = {key: fmean(scores[key] for _, scores in runs) for key in runs[0][1]}
            columns = "  ".join(
                f"{key} {means[name][key]:.3f}" for key in ("fd_digits", "precision_digits", "recall_digits")
            )
            print(f"{name:10}  {max(seconds for seconds, _ in runs):6.1f} s at most  {columns}")
    tuned = means["dxmi T=4"]["fd_digits"]
    print(f"start at T = 4 over DxMI: {means['dxmi T=4']['fd_digits_start'] / tuned:.2f} (asked: 3)")
    print(f"DDPM at T = 10 over DxMI: {means['ddpm T=10']['fd_digits'] / tuned:.2f} (asked: above 1)")


if __name__ == "__main__":
    main()
