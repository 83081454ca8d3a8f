"""Quick scores: what every method gives on every task, to show that a refactoring moves no number.

`python -m benchmarks.quick_scores run OUT.json` trains and scores the quick preset (the default where there is none) of
every installed method on every installed task whose data are at hand, seed 0 on the CPU, through the command line of
the suite that is installed; what OUT.json holds already is left alone, so that it can be stopped and continued.
`--like BEFORE.json` repeats the runs of another file, each under the preset it has there.
`python -m benchmarks.quick_scores compare BEFORE.json AFTER.json` lists what differs, to the last bit, and what one of
both was not in time for; it exits 1 if a run differs, or if there is none to compare.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path

DXBENCH = [sys.executable, "-m", "dxbench"]
LATE = "not within"


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
        return f"{LATE} {seconds:g} s"
    records = sorted((home / "results").rglob("*-s0.json"), key=lambda path: path.stat().st_mtime)
    found = [json.loads(path.read_text(encoding="utf-8")) for path in records]
    mine = [record for record in found if (record["task"], record["method"]) == (task, method)]
    if not mine or mine[-1]["preset"] != preset:
        return (ended.stderr.strip().splitlines() or ["no record"])[-1][:200]
    record = mine[-1]
    if record["status"] != "ok":
        return f"{record['status']}: {(record.get('failure') or {}).get('message', '')[:200]}"
    scores = {name: estimate["value"] for name, estimate in record["scores"].items()}
    # A record leaves out what a detector has none of.
    samples = {"nfe": record.get("nfe"), "samples_sha256": record.get("samples_sha256")}
    return {"preset": preset, "scores": scores, **samples}


def run(out: Path, rows: list[tuple[str, str, list[str]]], seconds: float) -> None:
    """Fill a file of scores: of each task and method, under the first of its presets that there is."""
    found = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
    with tempfile.TemporaryDirectory() as home:
        for task, method, presets in rows:
            name = f"{task} {method}"
            if name in found:
                continue
            for preset in presets:
                found[name] = result = measured(task, method, preset, home=Path(home), seconds=seconds)
                if not (isinstance(result, str) and "unknown preset" in result):
                    break
            print(name, result if isinstance(result, str) else "ok", flush=True)
            out.write_text(json.dumps(found, indent=1), encoding="utf-8")


def rows_of(before: Path) -> list[tuple[str, str, list[str]]]:
    """Tasks, methods and presets of the runs in a file of scores."""
    found = json.loads(before.read_text(encoding="utf-8"))
    ran = [(name.split(), result["preset"]) for name, result in found.items() if not isinstance(result, str)]
    return [(task, method, [preset]) for (task, method), preset in ran]


def compare(before: Path, after: Path) -> int:
    """List what differs between two files of scores; runs that took too long in either are no difference."""
    old, new = (json.loads(path.read_text(encoding="utf-8")) for path in (before, after))
    both = sorted(old.keys() & new.keys())
    late = [name for name in both if any(str(scores[name]).startswith(LATE) for scores in (old, new))]
    ran = [name for name in both if name not in late and not isinstance(old[name], str)]
    differing = [name for name in ran if new[name] != old[name]]
    for name in differing:
        print(f"{name}: {old[name]} became {new[name]}")
    for name in late:
        print(f"{name}: not compared, one of both took too long")
    for name in sorted(old.keys() ^ new.keys()):
        print(f"{name}: in one file only")
    print(f"{len(ran) - len(differing)} of {len(ran)} runs are bit-equal")
    return int(bool(differing) or not ran)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="fill a file of scores")
    running.add_argument("out", type=Path)
    running.add_argument(
        "--like", type=Path, help="a file of scores: the runs it has, under the presets it has them of"
    )
    running.add_argument("--task", action="append", help="only these; repeatable")
    running.add_argument("--method", action="append", help="only these; repeatable")
    running.add_argument("--seconds", type=float, default=300.0, help="limit of one run")
    comparing = commands.add_parser("compare", help="list what differs")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    options = parser.parse_args()
    if options.command == "compare":
        return compare(options.before, options.after)
    if options.like:
        rows = rows_of(options.like)
    else:
        listed = {
            kind: [row["name"] for row in json.loads(subprocess.check_output([*DXBENCH, "list", kind, "--json"]))]
            for kind in ("tasks", "methods")
        }
        names = product(options.task or listed["tasks"], options.method or listed["methods"])
        rows = [(task, method, ["quick", "default"]) for task, method in names]
    tasks, methods = options.task, options.method
    rows = [row for row in rows if row[0] in (tasks or [row[0]]) and row[1] in (methods or [row[1]])]
    run(options.out, rows, options.seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
