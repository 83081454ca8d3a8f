"""A GPU in ten minutes: checks, timings, then training for the rest of a budget of seconds (docs/gpu.md).

    make gpu BUDGET=480 OUT=build/gpu
    python tools/gpu --budget 480 --out build/gpu --work runs/gpu

Every step has its share of the budget while others wait, and what one leaves the next ones have. A step that fails is
told with the end of its output, and the next go on. The same command goes on where the last one stopped; without a GPU
all steps run in small.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import shlex
import signal
import subprocess
import sys
import time
import traceback
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file

from dxbench import load_model
from dxbench.api import ResultRecord
from dxbench.engine import provenance
from dxbench.files.writing import write_text_atomically
from dxbench.records.files import Unreadable, read_record
from dxbench.tasks.digits_data import EVENT_SHAPE

ROOT = Path(__file__).resolve().parents[2]
SUITE = ROOT / "baselines" / "dxbench_baselines" / "suites" / "fashion_mnist.toml"
LARGEST_FILE = 15_500_000
"""Bytes of a file of weights, so that it may travel where files of 16 MB may."""
GRACE = 25.0
"""Seconds that a step has to save its state when its time is over."""
LAST_SHARE = 0.97
"""Share of the budget at which the last step ends, so that the summary is written within it."""

METHODS = {"start": "ddpm", "dxmi": "dxmi"}
"""Of the steps that train a row."""

Status = Literal["ok", "failed", "stopped", "left out"]


@dataclass(frozen=True, kw_only=True)
class Size:
    """The size of the problems that the steps are done on.

    Attributes:
        network: what is set of the backbone's network beside the preset, and `row` of DxMI.
        small: options of benchmarks that make them short.
        iterations: the least and the most of a training.
    """

    device: str
    task: str
    shape: tuple[int, ...]
    network: dict[str, Any]
    row: dict[str, Any]
    batch: int | None
    dxmi_step: Sequence[str]
    features: Sequence[str]
    detection: Sequence[str]
    compiling: str
    iterations: tuple[int, int]


ON_GPU = Size(
    device="cuda",
    task="cifar10_jpeg75",
    shape=(3, 32, 32),
    network={},
    row={},
    batch=None,
    dxmi_step=("--batch", "128", "--rounds", "5"),
    features=("--images", "20000", "--batch-size", "500", "--rounds", "2"),
    detection=("--iterations", "300"),
    compiling="always",
    iterations=(500, 50_000),
)
# Compiling takes longer than all else that a CPU does here.
ON_CPU = Size(
    device="cpu",
    task="digits",
    shape=EVENT_SHAPE,
    network={"width": 8, "multipliers": [1, 2], "blocks_per_level": 1},
    row={"critic": {"width": 8}, "num_steps": 2},
    batch=8,
    dxmi_step=("--batch", "1", "--accumulate", "1", "--rounds", "1", "--warmup", "0", "--no-compile"),
    features=("--images", "4", "--batch-size", "2", "--rounds", "1"),
    detection=("--iterations", "1", "--warmup", "1", "--points", "5000"),
    compiling="never",
    iterations=(2, 10),
)


@dataclass(kw_only=True)
class Result:
    """The outcome of a step, as the summary tells it."""

    status: Status
    seconds: float
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class Place:
    """The folders of a run of this script.

    Attributes:
        out: what is to come back.
        work: checkpoints, records and the state by which the same command goes on.
        end: of the budget, on `time.monotonic`'s clock.
        others_wait: False for the last step that is left to do, to which all that is left of the budget belongs.
    """

    size: Size
    out: Path
    work: Path
    begun: float
    end: float
    others_wait: bool = True

    @property
    def results(self) -> Path:
        return self.work / "results"

    def left(self, until: float = 1.0) -> float:
        """Seconds until this share of the budget is used up, or nearly all of it where no other step waits."""
        share = until if self.others_wait else max(until, LAST_SHARE)
        return self.begun + share * (self.end - self.begun) - time.monotonic()

    def log(self, name: str) -> Path:
        return self.work / "logs" / f"{name}.txt"

    def run(self, name: str, command: Sequence[str], *, until: float) -> Result:
        """A command until its share of the budget is over, when it is asked to stop, and then made to."""
        begun, log = time.monotonic(), self.log(name)
        log.parent.mkdir(parents=True, exist_ok=True)
        environment = {
            **os.environ,
            "DXBENCH_HOME": str(self.work / "home"),
            "DXBENCH_RESULTS": str(self.results),
            "DXBENCH_OFFLINE": "1",
            "PYTHONUNBUFFERED": "1",
        }
        with log.open("a", encoding="utf-8") as file:
            file.write(f"$ {shlex.join(command)}\n")
            file.flush()
            process = subprocess.Popen(
                [sys.executable, *command], cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
            stopped = False
            try:
                process.wait(timeout=max(1.0, self.left(until)))
            except subprocess.TimeoutExpired:
                stopped = True
                process.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=GRACE)
            finally:
                with contextlib.suppress(ProcessLookupError):  # with what it has started
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        status: Status = "stopped" if stopped else "ok" if process.returncode == 0 else "failed"
        tail = log.read_text(encoding="utf-8", errors="replace").rpartition("\n$ ")[2].splitlines()[1:]
        return Result(status=status, seconds=time.monotonic() - begun, text="\n".join(tail[-40:]))


def checks(place: Place) -> Result:
    left_out = ["--leave-out", "compile"] if place.size.compiling == "never" else []
    return place.run("checks", ["tools/gpu/checks.py", "--device", place.size.device, *left_out], until=0.12)


def dxmi_step(place: Place) -> Result:
    command = ["benchmarks/dxmi_step.py", "--device", place.size.device, *place.size.dxmi_step]
    return place.run("dxmi_step", command, until=0.30)


def features(place: Place) -> Result:
    return place.run("features", ["benchmarks/image_metrics.py", "pass", *place.size.features], until=0.36)


def detection(place: Place) -> Result:
    command = ["benchmarks/detection_epoch.py", "--device", place.size.device, *place.size.detection]
    return place.run("detection", command, until=0.42)


def start(place: Place) -> Result:
    """The backbone, and ten of its steps scored."""
    return _trained(place, "start", until=0.72)


def dxmi(place: Place) -> Result:
    """DxMI at T = 10 from the backbone of the step before."""
    if not any(_records(place, "start")):
        return Result(status="left out", seconds=0.0, text="its start is not trained yet")
    return _trained(place, "dxmi", until=0.92)


def fashion(place: Place) -> Result:
    """Rows of the suite that have no record yet, for what time is left."""
    if not SUITE.is_file():
        return Result(status="left out", seconds=0.0, text=f"there is no suite {SUITE.stem}")
    for record in (ROOT / "results" / SUITE.stem).glob("*/*.json"):
        copy = place.results / record.relative_to(ROOT / "results")
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(record.read_bytes())
    return place.run("fashion", _dxbench(place, "--suite", SUITE.stem, "--jobs", "1"), until=LAST_SHARE)


STEPS: dict[str, Callable[[Place], Result]] = {
    step.__name__: step for step in (checks, dxmi_step, features, detection, start, dxmi, fashion)
}


def _dxbench(place: Place, *options: str) -> list[str]:
    fixed = ["--device", place.size.device, "--compile", place.size.compiling, "--no-report"]
    return ["-m", "dxbench", "run", *options, *fixed]


def _lengths(place: Place) -> dict[str, int]:
    """Iterations of the trainings, as chosen when they were begun."""
    file = place.work / "iterations.json"
    return json.loads(file.read_text()) if file.is_file() else {}


def _trained(place: Place, name: str, *, until: float) -> Result:
    """The row of `name` for as many iterations as fit into its share by a trial; the number is kept."""
    begun, lengths = time.monotonic(), _lengths(place)
    if name not in lengths:
        tried = place.run(f"{name} trial", ["tools/gpu/trial.py", *_of_trial(place, name)], until=until)
        if tried.status != "ok":
            return tried
        found = json.loads(tried.text.splitlines()[-1])
        # A third of the time is for compiling once more, for scoring and for surprises.
        fits = int(0.66 * (place.left(until) - found["begin"]) / found["seconds"])
        least, most = place.size.iterations
        lengths[name] = max(least, min(most, fits))
        write_text_atomically(place.work / "iterations.json", json.dumps(lengths))
    row = _row(place, name, lengths["start"], lengths.get("dxmi", 0))
    ended = place.run(name, _dxbench(place, "--task", place.size.task, "--method", row), until=until)
    return dataclasses.replace(ended, seconds=time.monotonic() - begun)


def _of_trial(place: Place, name: str) -> list[str]:
    size = place.size
    row = _row(place, name, 1000 if name == "start" else 0, 1000)
    shape = ",".join(map(str, size.shape))
    return ["--task", size.task, "--shape", shape, "--row", row, "--device", size.device, "--compile", size.compiling]


def _row(place: Place, name: str, start_iterations: int, dxmi_iterations: int) -> str:
    """The name of a row, as `dxbench run --method` takes it."""
    size, batch = place.size, {} if place.size.batch is None else {"batch_size": place.size.batch}
    pretraining: dict[str, Any] = {"iterations": start_iterations, **batch}
    backbone: dict[str, Any] = {"pretraining": pretraining}
    if size.network:
        backbone["network"] = size.network
    settings: dict[str, Any] = {"backbone": backbone}
    if name == "dxmi":
        settings |= {"iterations": dxmi_iterations, **batch, **size.row}
    return f"{METHODS[name]}:gpu[{','.join(f'{key}={json.dumps(value)}' for key, value in settings.items())}]"


# --- what comes back -----------------------------------------------------------------------------------------------


def _records(place: Place, name: str) -> Iterator[ResultRecord]:
    """The records of the row that a step has trained and scored."""
    for path in (place.results / place.size.task / METHODS[name]).glob("*.json"):
        record = read_record(path)
        if not isinstance(record, Unreadable) and record.status in ("ok", "partial"):
            yield record


def save_weights(place: Place, name: str) -> None:
    """Averaged weights of a row's model in files that may travel: its networks by number, and its energy."""
    for record in _records(place, name):
        model = load_model(record, home=place.work / "home")
        modules = {str(index): network for index, network in enumerate(model.networks)}
        if isinstance(energy := getattr(model.energy, "__self__", None), torch.nn.Module):
            modules["energy"] = energy
        tensors = {
            f"{name}.{key}": value.detach().cpu().contiguous()
            for name, module in modules.items()
            for key, value in module.state_dict().items()
        }
        parts = packed(tensors, LARGEST_FILE)
        about = {"run_id": record.run_id, "task": record.task, "method": record.method}
        for number, part in enumerate(parts, start=1):
            save_file(part, place.out / f"{name}-{number}-of-{len(parts)}.safetensors", metadata=about)


def packed(tensors: dict[str, torch.Tensor], largest: int) -> list[dict[str, torch.Tensor]]:
    """Tensors in as few parts as come of putting each, the largest first, where it fits."""
    parts: list[tuple[int, dict[str, torch.Tensor]]] = []
    for name, tensor in sorted(tensors.items(), key=lambda item: -item[1].nbytes):
        size = tensor.nbytes + 200  # and its line of the header
        index = next((i for i, (taken, _) in enumerate(parts) if taken + size <= largest), len(parts))
        taken, part = parts[index] if index < len(parts) else (0, {})
        parts[index : index + 1] = [(taken + size, {**part, name: tensor})]
    return [part for _, part in parts]


def save_records(place: Place) -> int:
    """Records, protocols and cards that the repository has not, in its layout, and the logs; how many records."""
    found = 0
    with zipfile.ZipFile(place.out / "results.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(place.results.rglob("*.json")):
            inside = path.relative_to(place.results)
            known = ROOT / "results" / inside
            if not known.is_file() or known.read_bytes() != path.read_bytes():
                archive.write(path, Path("results") / inside)
                found += inside.parent.name not in ("protocols", "cards")
        for path in sorted(place.work.glob("logs/*.txt")):
            archive.write(path, Path("logs") / path.name)
        for path in sorted(place.work.glob("home/work/**/error.txt")):
            archive.write(path, Path("logs") / f"{path.parent.name}-error.txt")
    return found


def scores_of(place: Place) -> dict[str, dict[str, float]]:
    """Scores of the rows that were trained here, by method and run id."""
    found = {}
    for path in sorted((place.results / place.size.task).glob("*/*.json")):
        record = read_record(path)
        if not isinstance(record, Unreadable):
            scores = {name: estimate.value for name, estimate in record.scores.items()}
            found[f"{record.method} {record.run_id} ({record.status})"] = scores
    return found


def summarise(place: Place, done: dict[str, Result]) -> None:
    """summary.json and summary.md, as far as things have come."""
    facts = provenance.collect(resumed=0, command=shlex.join(["python", *sys.argv])).model_dump(mode="json")
    scores, iterations = scores_of(place), _lengths(place)
    content = {
        "provenance": facts,
        "device": place.size.device,
        "task": place.size.task,
        "iterations": iterations,
        "records": save_records(place),
        "steps": {name: dataclasses.asdict(result) for name, result in done.items()},
        "scores": scores,
    }
    write_text_atomically(place.out / "summary.json", json.dumps(content, indent=1) + "\n")
    lines = [
        f"# {facts['accelerator'] or facts['processor']}, torch {facts['packages'].get('torch')}, commit "
        f"{facts['git_sha']}{' with changes' if facts['git_dirty'] else ''}, {facts['created']}",
        "",
        f"Rows on `{place.size.task}`; iterations: {json.dumps(iterations)}",
        "",
        "| step | status | seconds |",
        "|---|---|---|",
        *(f"| {name} | {result.status} | {result.seconds:.0f} |" for name, result in done.items()),
    ]
    for name, values in scores.items():
        lines += ["", f"`{name}`: " + ", ".join(f"{key} {value:.4g}" for key, value in values.items())]
    for name, result in done.items():
        lines += ["", f"## {name}", "", "```", result.text, "```"]
    write_text_atomically(place.out / "summary.md", "\n".join(lines) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", type=float, default=480.0, help="seconds")
    parser.add_argument("--out", type=Path, required=True, help="folder of what is to come back")
    parser.add_argument("--work", type=Path, help="folder of checkpoints and state; default OUT/work")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--steps", default=",".join(STEPS), help="of those, in this order")
    asked = parser.parse_args()
    if unknown := sorted(set(asked.steps.split(",")) - STEPS.keys()):
        parser.error(f"unknown steps {', '.join(unknown)}; there are {', '.join(STEPS)}")
    on_gpu = asked.device == "cuda" or (asked.device == "auto" and torch.cuda.is_available())
    now = time.monotonic()
    place = Place(
        size=ON_GPU if on_gpu else ON_CPU,
        out=asked.out.resolve(),
        work=(asked.work or asked.out / "work").resolve(),
        begun=now,
        end=now + asked.budget,
    )
    for folder in (place.out, place.results):
        folder.mkdir(parents=True, exist_ok=True)
    state = place.work / "state.json"
    done = {name: Result(**kept) for name, kept in json.loads(state.read_text()).items()} if state.is_file() else {}
    names = asked.steps.split(",")
    waiting = [name for name in names if name not in done or done[name].status != "ok"]
    for name in names:
        if name not in waiting:
            print(f"{name}: done before", flush=True)
            continue
        waiting.remove(name)
        if place.left() < 1:
            done[name] = Result(status="stopped", seconds=0.0, text="the budget was used up before")
        else:
            print(f"{name} ...", end=" ", flush=True)
            done[name] = attempted(dataclasses.replace(place, others_wait=bool(waiting)), name)
        print(f"{done[name].status}, {done[name].seconds:.0f} s", flush=True)
        write_text_atomically(state, json.dumps({step: dataclasses.asdict(kept) for step, kept in done.items()}))
        summarise(place, done)
    summarise(place, done)
    print(f"see {place.out / 'summary.md'}")
    return 1 if any(result.status == "failed" for result in done.values()) else 0


def attempted(place: Place, name: str) -> Result:
    """A step and what it leaves; whatever goes wrong in it is its result."""
    begun = time.monotonic()
    try:
        result = STEPS[name](place)
        if name in METHODS and result.status == "ok":
            save_weights(place, name)
    except Exception:  # the next steps go on
        return Result(status="failed", seconds=time.monotonic() - begun, text=traceback.format_exc())
    return result


if __name__ == "__main__":
    sys.exit(main())
