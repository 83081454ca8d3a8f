"""Quick scores: what every method gives on every task, to show that a refactoring moves no number.

`python -m benchmarks.quick_scores run OUT.json` trains and scores the quick preset (the default where there is none) of
every installed method on every installed task whose data are at hand, seed 0 on the CPU, through the command line of
the suite that is installed; what OUT.json holds already is left alone, so that it can be stopped and continued.
`python -m benchmarks.quick_scores compare BEFORE.json AFTER.json` lists what differs, to the last bit, and exits 1.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path

DXBENCH = [sys.executable, "-m", "dxbench"]


def dxbench(*arguments: str, home: Path, seconds: float) -> subprocess.CompletedProcess[str]:
    """A command of the suite, in a process and a home of its own."""
    places = {"DXBENCH_HOME": str(home), "DXBENCH_RESULTS": str(home / "results")}
    command = ["env", *(f"{name}={value}" for name, value in places.items()), *DXBENCH, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds)


def measured(task: str, method: str, preset: str, *, home: Path, seconds: float) -> dict[str, object] | str:
    """Scores, NFE and hash of the samples of one run; a sentence where there are none."""
    arguments = ["run", "-t", task, "-m", method, "--preset", preset, "--device", "cpu", "--no-report", "--json"]
    try:
        ended = dxbench(*arguments, home=home, seconds=seconds)
    except subprocess.TimeoutExpired:
        return f"not within {seconds:g} s"
    records = sorted((home / "results").rglob("*-s0.json"), key=lambda path: path.stat().st_mtime)
    found = [json.loads(path.read_text(encoding="utf-8")) for path in records]
    mine = [record for record in found if (record["task"], record["method"]) == (task, method)]
    if not mine or mine[-1]["preset"] != preset:
        return (ended.stderr.strip().splitlines() or ["no record"])[-1][:200]
    record = mine[-1]
    if record["status"] != "ok":
        return f"{record['status']}: {(record.get('failure') or {}).get('message', '')[:200]}"
    scores = {name: estimate["value"] for name, estimate in record["scores"].items()}
    return {"scores": scores, "nfe": record["nfe"], "samples_sha256": record["samples_sha256"]}


def run(out: Path, tasks: list[str], methods: list[str], seconds: float) -> None:
    """Fill a file of scores."""
    found = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
    with tempfile.TemporaryDirectory() as home:
        for task, method in product(tasks, methods):
            name = f"{task} {method}"
            if name in found:
                continue
            result = measured(task, method, "quick", home=Path(home), seconds=seconds)
            if isinstance(result, str) and "preset" in result:
                result = measured(task, method, "default", home=Path(home), seconds=seconds)
            found[name] = result
            print(name, result if isinstance(result, str) else "ok", flush=True)
            out.write_text(json.dumps(found, indent=1), encoding="utf-8")


def compare(before: Path, after: Path) -> int:
    """List what differs between two files of scores."""
    old, new = (json.loads(path.read_text(encoding="utf-8")) for path in (before, after))
    numbers = {name for name, result in old.items() if not isinstance(result, str)}
    differing = sorted(name for name in numbers if new.get(name) != old[name])
    for name in differing:
        print(f"{name}: {old[name]} became {new.get(name)}")
    print(f"{len(numbers) - len(differing)} of {len(numbers)} runs are bit-equal")
    return int(bool(differing))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="fill a file of scores")
    running.add_argument("out", type=Path)
    running.add_argument("--task", action="append", help="only these; repeatable")
    running.add_argument("--method", action="append", help="only these; repeatable")
    running.add_argument("--seconds", type=float, default=300.0, help="limit of one run")
    comparing = commands.add_parser("compare", help="list what differs")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    options = parser.parse_args()
    if options.command == "compare":
        return compare(options.before, options.after)
    listed = {
        kind: [row["name"] for row in json.loads(subprocess.check_output([*DXBENCH, "list", kind, "--json"]))]
        for kind in ("tasks", "methods")
    }
    run(options.out, options.task or listed["tasks"], options.method or listed["methods"], options.seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
