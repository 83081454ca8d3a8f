"""Real runs, killed at random moments: no record is lost or altered, nothing is left behind."""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from conftest import method

from dxbench.api import ResultRecord
from dxbench.engine.locks import owner_of
from dxbench.records.files import read_record

pytestmark = [pytest.mark.attack, pytest.mark.timeout(900)]

HERE = Path(__file__).parent
KILLS, AFTER_A_RESUME, SEEDS = 200, 50, 5


@dataclass
class Attempt:
    """How one attempt at a run went."""

    first_step: int | None = None
    status: int | None = None
    said: list[str] = field(default_factory=list)


class Zygote:
    """Starts runs by a fork each; see zygote.py."""

    def __init__(self) -> None:
        environment = {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")}
        self.process = subprocess.Popen(
            [sys.executable, HERE / "zygote.py", f"{HERE / 'quick.py'}:Quick", method("Toy")],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def attempt(self, home: Path, seed: int, *, kill_after: float | None = None) -> Attempt:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([str(home), seed, kill_after]) + "\n")
        self.process.stdin.flush()
        attempt = Attempt()
        while attempt.status is None:
            word, _, rest = self.process.stdout.readline().strip().partition(" ")
            match word:
                case "started":
                    attempt.first_step = int(rest)
                case "warned":
                    attempt.said.append(rest)
                case "ended":
                    attempt.status = int(rest)
                case _:
                    raise AssertionError(f"the zygote says {word!r} {rest!r}")
        return attempt


@pytest.fixture
def zygote() -> Iterator[Zygote]:
    zygote = Zygote()
    yield zygote
    assert zygote.process.stdin is not None
    zygote.process.stdin.close()
    zygote.process.wait(timeout=120)


def numbers(home: Path) -> dict[str, object] | None:
    """What must not change of the one record of a home; None where there is none yet."""
    paths = list((home / "results").glob("*/*/[!.]*.json"))
    if not paths:
        return None
    (path,) = paths
    found = read_record(path)
    assert isinstance(found, ResultRecord)
    record = found.model_dump(mode="json")
    kept = ("run_id", "config", "status", "failure", "scores", "notes", "protocols", "curves", "nfe", "samples_sha256")
    return {key: record[key] for key in kept}


def test_no_kill_loses_or_alters_a_record(zygote: Zygote, tmp_path: Path) -> None:
    rng = random.Random(0)
    whole = {}
    for seed in range(SEEDS):
        assert zygote.attempt(tmp_path / f"whole-{seed}", seed).status == 0
        whole[seed] = numbers(tmp_path / f"whole-{seed}")
    assert all(record is not None and record["status"] == "ok" for record in whole.values())
    kills = resumed = lives = 0
    latest = 1.0  # seconds, which follow what the machine does meanwhile
    while kills < KILLS or resumed < AFTER_A_RESUME:
        seed, home = lives % SEEDS, tmp_path / f"life-{lives}"
        lives += 1
        for _ in range(rng.randint(3, 9)):
            attempt = zygote.attempt(home, seed, kill_after=rng.uniform(0.0, latest))
            assert attempt.status in (0, -signal.SIGKILL), attempt
            assert not attempt.said, attempt
            assert numbers(home) in (None, whole[seed])
            for lock in home.rglob("work/**/lock"):
                owner = owner_of(lock)
                assert owner is None or owner.standing == "dead", owner
            latest *= 0.8 if attempt.status == 0 else 1.05
            kills += attempt.status == -signal.SIGKILL
            resumed += attempt.status == -signal.SIGKILL and bool(attempt.first_step)
            if attempt.status == 0:  # what is measured is not run again
                break
        assert zygote.attempt(home, seed).status == 0
        assert numbers(home) == whole[seed]
        left = [path for name in (".*.*", "*.owner-*") for path in home.rglob(name) if path.is_file()]
        assert not left, left
    print(f"{kills} kills of {lives} runs, {resumed} of them after a resume")  # noqa: T201 (shown by pytest -s)
