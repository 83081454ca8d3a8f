"""The script for SLURM, and what is refused before anything is submitted. No SLURM is needed here."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Ended, method

from dxbench.engine.attempt import RunOptions
from dxbench.engine.listener import SILENT
from dxbench.engine.spread import ParallelSettings
from dxbench.errors import UsageError
from dxbench.launchers.contract import Launch, LaunchSettings
from dxbench.launchers.slurm import SlurmLauncher
from dxbench.launchers.slurm_script import sbatch_options
from dxbench.sweeps.planning import Block, plan_blocks
from dxbench.sweeps.sweep import Sweep

HERE = Path(__file__).parent
Command = Callable[..., Ended]
TOYS = ("run", "-t", "gaussians8", "-m", method("Toy"), "--seed", "0-2", "--launcher", "slurm")


def launch_of(
    home: Path, *, spread: ParallelSettings | None = None, device: str = "auto", machines: int = 1, **own: str
) -> Launch:
    cells = plan_blocks([Block(task="gaussians8", method="ddim:quick,fastdpm:quick,kde", seed="0-1")]).cells
    return Launch(
        sweep=Sweep.planned(home, cells),
        waiting=cells,
        seconds={},
        options=RunOptions(
            home=home,
            results=home / "results",
            device=device,
            spread=spread or ParallelSettings(),
            timeout=90.0,
            checkpoint_every=30.0,
        ),
        settings=LaunchSettings(
            jobs=4, nodes=machines, own={"slurm": {key.replace("_", "-"): own[key] for key in own}}
        ),
        listener=SILENT,
        stop_requested=lambda: False,
    )


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Puts a command of SLURM on the path, as a shell script; commands of a real one are hidden."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("bash", "env", "cat", "sh", "git", "uname"):
        (folder / tool).symlink_to(f"/bin/{tool}")
    monkeypatch.setenv("PATH", str(folder))

    def put(name: str, script: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    return put


@pytest.fixture
def cluster(fake: Callable[[str, str], None]) -> Callable[[str, str], None]:
    """A SLURM that answers, with partitions cpu and gpu, and takes every job."""
    fake("sinfo", "echo cpu; echo gpu")
    for name in ("sbatch", "squeue", "scancel", "scontrol"):
        fake(name, "exit 0")
    return fake


# --- the script ----------------------------------------------------------------------------------------------


def test_the_script_is_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("DXBENCH_DATA", "/data")
    monkeypatch.chdir(tmp_path)
    launch = launch_of(tmp_path / "home", partition="gpu", gres="gpu:a100:1", time="2:00:00")
    text = SlurmLauncher().preview(launch).replace(str(tmp_path), "/there").replace(sys.executable, "/bin/python")
    text = text.replace(launch.sweep.id, "SWEEP")
    golden = HERE / "scripts.sh"
    assert text == golden.read_text()


def test_a_place_of_any_name_is_one_word_to_the_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told, python = tmp_path / "told.json", tmp_path / "py thon"
    python.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        f"json.dump([sys.argv[1:], os.getcwd(), dict(os.environ)], open({str(told)!r}, 'w'))\n"
    )
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    here = tmp_path / 'it\'s "here" $(touch broken); `touch broken`\n#SBATCH --wrap=x'
    here.mkdir()
    monkeypatch.chdir(here)
    launch = launch_of(here / "home")
    text = SlurmLauncher().preview(launch).split("#!/bin/bash")[1]
    read_by_sbatch = text.partition("chunks=(")[0]  # up to the first command
    assert "--wrap" not in read_by_sbatch
    subprocess.run(["bash", "-c", text], env={**os.environ, "SLURM_ARRAY_TASK_ID": "1"}, check=True)
    words, folder, environment = json.loads(told.read_text())
    assert words[:4] == ["-m", "dxbench", "run", "--cells"]
    assert words[4] == f"{launch.sweep.file}[1]"
    assert folder == str(here)
    assert environment["DXBENCH_HOME"] == str(here / "home")
    assert not list(tmp_path.rglob("broken"))


def test_what_is_asked_of_a_run_reaches_it(tmp_path: Path) -> None:
    spread = ParallelSettings(devices=2, accumulate=3)
    text = SlurmLauncher().preview(launch_of(tmp_path, spread=spread, device="cpu", machines=2))
    assert "#SBATCH --nodes=2\n#SBATCH --ntasks-per-node=2\n" in text
    assert "#SBATCH --signal=TERM@60\n" in text
    assert "\nexec srun --nodes=2 --ntasks-per-node=2 " in text
    assert "--device cpu --devices 2 --accumulate 3 --checkpoint-every 30.0 " in text
    assert "--timeout 90.0s" in text
    assert "%4\n" in text


def test_what_is_typed_goes_before_what_is_usual(tmp_path: Path) -> None:
    options = sbatch_options(launch_of(tmp_path, requeue="no", signal="B:TERM@300", exclusive="yes", device="cuda"))
    assert {"--no-requeue", "--signal=B:TERM@300", "--exclusive", "--gpus-per-node=1"} <= set(options)
    assert "--requeue" not in options
    assert "--gpus-per-node=1" not in sbatch_options(launch_of(tmp_path, gres="gpu:1", device="cuda"))


def test_the_wheel_has_the_template() -> None:
    from hatchling.builders.wheel import WheelBuilder

    builder = WheelBuilder(str(HERE.parents[1]))
    assert "dxbench/launchers/slurm.sh.jinja" in {file.distribution_path for file in builder.recurse_included_files()}


# --- what is refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", ["a b", "a\n#SBATCH --wrap=x", 'a"b', "a'b", "a\\b", "a#b", "$(x)", "`x`", "ü", "a\tb"]
)
def test_a_value_cannot_break_out_of_its_line(tmp_path: Path, value: str) -> None:
    with pytest.raises(UsageError, match="no blanks or quotes"):
        sbatch_options(launch_of(tmp_path, comment=value))


@pytest.mark.parametrize("key", ["p", "--partition", "Partition", "a b", "x=y", ""])
def test_an_option_is_a_long_one(tmp_path: Path, key: str) -> None:
    launch = launch_of(tmp_path, **{key: "x"})
    with pytest.raises(UsageError, match="long option"):
        sbatch_options(launch)


@pytest.mark.parametrize("key", ["array", "output", "job-name", "dependency", "wrap", "ntasks", "chdir"])
def test_what_is_the_launchers_to_say_is_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(UsageError, match="cannot be given"):
        sbatch_options(launch_of(tmp_path, **{key: "x"}))


@pytest.mark.parametrize(
    ("own", "wanted"),
    [
        ({"gres": "gpu:4"}, "--devices 4"),
        ({"gres": "gpu:a100:4"}, "--devices 4"),
        ({"gpus_per_node": "3"}, "--devices 3"),
        ({"gpus": "8"}, "--devices times --nodes"),
        ({"nodes": "2"}, "--nodes"),
        ({"ntasks_per_node": "2"}, "--devices"),
    ],
)
def test_sizes_that_contradict_each_other_are_refused(tmp_path: Path, own: dict[str, str], wanted: str) -> None:
    with pytest.raises(UsageError, match=wanted):
        sbatch_options(launch_of(tmp_path, **own))


def test_sizes_that_agree_are_taken(tmp_path: Path) -> None:
    spread = ParallelSettings(devices=4)
    options = sbatch_options(
        launch_of(tmp_path, spread=spread, machines=2, gres="gpu:a100:4,nvme:100", ntasks_per_node="4")
    )
    assert {"--gres=gpu:a100:4,nvme:100", "--ntasks-per-node=4", "--nodes=2"} <= set(options)


@pytest.mark.parametrize("chunk", ["ten", "-1", "1h", ""])
def test_a_chunk_is_minutes(tmp_path: Path, chunk: str) -> None:
    with pytest.raises(UsageError, match="chunk=30"):
        SlurmLauncher().check(launch_of(tmp_path, chunk=chunk))


def test_without_sbatch_it_says_where_to_go(dxbench: Command, fake: Callable[[str, str], None]) -> None:
    ended = dxbench(*TOYS, "--dry-run")
    assert ended.code == 2
    assert "no sbatch on the path; log in to a node" in ended.err
    assert ended.out == ""


def test_a_controller_that_is_silent_is_named(dxbench: Command, cluster: Callable[[str, str], None]) -> None:
    cluster("sinfo", "echo 'slurm_load_partitions: Unable to contact slurm controller' >&2; exit 1")
    ended = dxbench(*TOYS)
    assert ended.code == 2
    assert "Unable to contact slurm controller" in ended.err


def test_a_partition_that_is_not_there(dxbench: Command, cluster: Callable[[str, str], None], home: Path) -> None:
    ended = dxbench(*TOYS, "--slurm", "partition=gpus")
    assert ended.code == 2
    assert "unknown partition 'gpus'. Did you mean 'gpu'? Known: cpu, gpu" in ended.err
    assert not (home / "sweeps").exists()


def test_a_method_for_one_device_is_not_spread_over_nodes(
    dxbench: Command, cluster: Callable[[str, str], None], home: Path
) -> None:
    ended = dxbench(*TOYS, "--nodes", "2")
    assert ended.code == 2
    assert "toy runs on one device" in ended.err
    assert not (home / "sweeps").exists()


def test_what_sbatch_refuses_is_said_before_anything_starts(
    dxbench: Command, cluster: Callable[[str, str], None], home: Path
) -> None:
    cluster("sbatch", "echo 'sbatch: error: invalid account or partition' >&2; exit 1")
    ended = dxbench(*TOYS, "--slurm", "account=nobody")
    assert ended.code == 2
    assert "invalid account or partition" in ended.err
    assert not (home / "sweeps").exists()


def test_a_dry_run_prints_the_script_and_submits_nothing(
    dxbench: Command, cluster: Callable[[str, str], None], home: Path, tmp_path: Path
) -> None:
    cluster("sbatch", f'case "$*" in --test-only) ;; *) : >{tmp_path}/submitted ;; esac')
    ended = dxbench(*TOYS, "--dry-run", "--slurm", "partition=gpu", "--jobs", "2")
    assert ended.code == 0
    assert "#SBATCH --array=0-2%2\n" in ended.out
    assert "#SBATCH --partition=gpu\n" in ended.out
    assert not (tmp_path / "submitted").exists()
    assert not (home / "sweeps").exists()


def test_a_script_that_sbatch_takes_no_more_is_no_crash(
    dxbench: Command, cluster: Callable[[str, str], None], home: Path
) -> None:
    cluster(
        "sbatch", 'case "$*" in --test-only) ;; *) echo "sbatch: error: AssocMaxSubmitJobLimit" >&2; exit 1 ;; esac'
    )
    ended = dxbench(*TOYS)
    assert ended.code == 2
    assert "AssocMaxSubmitJobLimit" in ended.err
