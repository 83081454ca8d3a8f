"""Wrong names end with 2 and a guess, in every command that takes one."""

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import METHODS, Ended, method

Command = Callable[..., Ended]
ON = ("-t", "gaussians8")
TASK = "unknown task 'gausians8'. Did you mean 'gaussians8'?"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "-t", "gausians8", "-m", "dxmi"), TASK),
        (("eval", METHODS, "-t", "gausians8"), TASK),
        (("table", "-t", "gausians8"), TASK),
        (("compare", "dxmi", "ddpm", "-t", "gausians8"), TASK),
        (("explain", "dxmi", "ddpm", "-t", "gausians8"), TASK),
        (("check", "--baseline", METHODS.parent, "-t", "gausians8"), TASK),
        (("claims", "-t", "gausians8"), TASK),
        (("prepare", "-t", "gausians8"), TASK),
        (("submit", "-t", "gausians8", "-m", "dxmi"), TASK),
        (("validate", METHODS, "-t", "gausians8"), TASK),
        (("merge", METHODS, "-t", "gausians8"), TASK),
        (("check-method", "dxmi", "-t", "gausians8"), TASK),
        (("info", "gausians8"), "Did you mean 'gaussians8'?"),
        (("info", "locl"), "Did you mean 'local'?"),
        (("run", *ON, "-m", "dxim"), "Did you mean 'dxmi'?"),
        (("prepare", *ON, "-m", "dxim"), "Did you mean 'dxmi'?"),
        (("submit", *ON, "-m", "dxim"), "Did you mean 'dxmi'?"),
        (("check-method", "dxim"), "Did you mean 'dxmi'?"),
        (("compare", "dxim", "ddpm", *ON), "unknown row 'dxim'. Did you mean 'dxmi'?"),
        (("compare", "dxmi", "ddpm[num_stesp=10]", *ON), "Did you mean 'ddpm[num_steps=10]'?"),
        (("explain", "dxim", "ddpm", *ON), "unknown row 'dxim'. Did you mean 'dxmi'?"),
        (("explain", "dxmi", "ddpm[num_steps=10]", *ON, "--metric", "sw3"), "Did you mean 'sw2'?"),
        (("table", *ON, "--metric", "sw3"), "unknown metric of gaussians8 'sw3'. Did you mean 'sw2'?"),
        (("table", "--suite", "dxmi-table1", "--metric", "sw3"), "Did you mean 'sw2'?"),
        (("table", "--suite", "dxmi-tabel1"), "Did you mean 'dxmi-table1'?"),
        (("run", *ON, "-m", "dxmi", "--preset", "quik"), "Did you mean 'quick'?"),
        (("prepare", *ON, "-m", "dxmi", "--preset", "quik"), "Did you mean 'quick'?"),
        (("check-method", "dxmi", "--preset", "quik"), "Did you mean 'quick'?"),
        (("prepare", *ON, "-m", "dxmi", "--set", "tua=1"), "Did you mean 'tau'?"),
        (("run", *ON, "-m", "dxmi", "--launcher", "locl"), "Did you mean 'local'?"),
        (
            ("run", *ON, "-m", "dxmi", "--track", "tensorbord"),
            "unknown tracker 'tensorbord'. Did you mean 'tensorboard'?",
        ),
        (("run", *ON, "-m", "dxmi", "--device", "cdua"), "unknown device 'cdua'. Did you mean 'cuda'?"),
        (("info", "tensorbord"), "Did you mean 'tensorboard'?"),
        (("list", "tracker"), "unknown kind 'tracker'. Did you mean 'trackers'?"),
        (("run", *ON, "-m", "dxmi", "--init", "trian"), "Did you mean 'train'?"),
        (("run", *ON, "-m", "dxmi", "--precision", "bf61"), "Did you mean 'bf16'?"),
        (("prepare", "-t", "cifar10", "--only", "inception-2051"), "Did you mean 'inception-2015'?"),
        (("claims", "--paper", "DxMI 2042"), "Did you mean 'DxMI 2024'?"),
        (("table", *ON, "--format", "jsn"), "Did you mean 'json'?"),
        (("claims", "--format", "txet"), "Did you mean 'text'?"),
        (("list", "task"), "Did you mean 'tasks'?"),
        (("tabel",), "Did you mean 'table'?"),
        (("run", "--taks", "x"), "--task"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_a_wrong_name_ends_with_2_and_a_guess(
    dxbench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[object, ...], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = dxbench(*arguments)
    assert ended.code == 2, ended
    assert words in ended.err
    assert not ended.out
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (("run", "-t", "gausians8", "-m", "dxmi"), "list tasks"),
        (("run", *ON, "-m", "dxim"), "list methods"),
        (("run", *ON, "-m", "dxmi", "--launcher", "locl"), "list launchers"),
        (("run", *ON, "-m", "dxmi", "--track", "tensorbord"), "list trackers"),
        (("run", *ON, "-m", "dxmi", "--device", "cdua"), "doctor"),
        (("run", *ON, "-m", "dxmi", "--preset", "quik"), "info dxmi"),
        (("run", *ON, "-m", "dxmi", "--set", "tua=1"), "info dxmi"),
        (("run", *ON, "-m", "dxmi,ddpm", "--set", "nosuch=1"), "info METHOD"),
        (("info", "dxmi:quik"), "info dxmi"),
        (("info", "nosuch"), "list tasks"),
        (("table", "--suite", "dxmi-tabel1"), "list suites"),
        (("table", *ON, "--metric", "sw3"), "list metrics"),
        (("explain", "dxmi", "ddpm[num_steps=10]", *ON, "--metric", "sw3"), "list metrics"),
        (("compare", "dxim", "ddpm", *ON), "table --task gaussians8"),
        (("claims", "--paper", "DxMI 2042"), "claims"),
        (("claims", "-t", "nosuch"), "claims"),
        (("prepare", "-t", "cifar10", "--only", "inception-2051"), "prepare --task cifar10 --list"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_a_wrong_name_ends_with_the_command_that_lists_them(
    dxbench: Command, arguments: tuple[object, ...], command: str
) -> None:
    ended = dxbench(*arguments)
    assert ended.code == 2, ended
    assert f"ee `dxbench {command}`" in ended.err


def test_a_tracker_describes_itself(dxbench: Command) -> None:
    assert "tracker csv" in dxbench("info", "csv").out


def test_a_known_name_without_a_record_is_no_wrong_name(dxbench: Command) -> None:
    assert dxbench("table", "-t", "lsun_bedroom").code == 6
    ended = dxbench("table", *ON, "--metric", "fid@50k")
    assert ended.code == 6
    assert "no record of gaussians8 has measured fid@50k" in ended.err


def test_many_names_are_not_all_listed(dxbench: Command) -> None:
    ended = dxbench("info", "fidd@50k")
    assert "Did you mean 'fid@50k'?" in ended.err
    assert " more." in ended.err
    assert len(ended.err) < 2000


# --- looking ahead ---------------------------------------------------------------------------------------------


def test_a_dry_run_says_which_files_are_missing_with_their_sizes_and_how_to_get_them(
    dxbench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DXBENCH_DATA", str(tmp_path))
    arguments = ("run", "-t", "cifar10", "-m", "dxmi", "--seed", "0,1")
    dry = dxbench(*arguments, "--dry-run")
    assert dry.code == 0
    ran = dxbench(*arguments)
    assert ran.code == 7
    for words in (
        "3 files are missing",
        "no cifar-10-python.tar.gz (CIFAR-10, the official archive for Python, 170 MB)",
        "no ddpm_cifar10_ema-790000.ckpt",
        "about 143 MB",
        "no pt_inception-2015-12-05-6726825d.pth",
        "fetch them with `dxbench prepare --task cifar10 --method dxmi`",
    ):
        assert words in dry.out
        assert words in ran.err
    assert "2 of 2 cells will be skipped" in dry.out
    assert "0 of 2 cells to run" in dry.out
    rows = dxbench(*arguments, "--dry-run", "--json").json
    assert all("3 files are missing" in row["skipped"] for row in rows)


def test_a_dry_run_says_what_a_method_would_miss(dxbench: Command) -> None:
    out = dxbench("run", *ON, "-m", "pca", "--dry-run").out
    assert "1 of 1 cell will be skipped: pca needs a finite training set, which gaussians8 does not have here" in out


def test_a_dry_run_says_how_long_it_takes(dxbench: Command) -> None:
    known = dxbench("run", *ON, "-m", "dxmi", "--seed", "0,1", "--dry-run").out
    assert known.count("about 2 min") == 2
    assert "2 of 2 cells to run, about 3 min on the machines of the records" in known
    side_by_side = dxbench("run", *ON, "-m", "dxmi", "--seed", "0,1", "--dry-run", "-j", 2).out
    assert "2 of 2 cells to run, about 2 min on" in side_by_side
    other = dxbench("run", *ON, "-m", "dxmi", "--set", "tau=0.123", "--dry-run").out
    assert "time unknown; other runs of the method took" in other
    assert "1 of 1 cell to run; of 1 the time is unknown" in other


# --- prepare ---------------------------------------------------------------------------------------------------

TASK_WITH_FILES = '''
from dxbench.api import Need
from dxbench.assets import Asset
from dxbench.tasks.gaussians8 import Gaussians8

def asset(name, **more):
    return Asset(name=name, title=f"{name} of a test", kind="data", path=f"{name}.bin", licence="none", task="files",
                 by_hand="Make it.", **more)

DATA, NET, WEIGHTS = asset("data"), asset("net", size=12_000_000), asset("weights", must_accept=True)

class Files(Gaussians8):
    """With files."""
    name = "files"
    assets = (DATA, NET, WEIGHTS)

    def needed(self, *, training, weights):
        return [*([DATA] if training else []), NET, *([WEIGHTS] if "weights" in weights else [])]
'''


def test_prepare_fetches_what_a_method_needs_and_no_more(
    dxbench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DXBENCH_DATA", str(tmp_path))
    (tmp_path / "files.py").write_text(TASK_WITH_FILES)
    task = f"{tmp_path / 'files.py'}:Files"
    assert [one["name"] for one in dxbench("prepare", "-t", task, "--json").json] == ["data", "net", "weights"]
    needed = ("prepare", "-t", task, "-m", method("Toy"))
    assert [one["name"] for one in dxbench(*needed, "--list", "--json").json] == ["data", "net"]
    assert "net of a test (data, 12 MB)" in dxbench(*needed, "--list").out
    assert dxbench(*needed).code == 7
    for name in ("data", "net"):
        (tmp_path / f"{name}.bin").write_bytes(b"x")
    assert dxbench(*needed).code == 0
    assert dxbench("prepare", "-t", task).code == 7
    assert dxbench("run", "-t", task, "-m", method("Toy"), "--no-report").code == 0


def test_the_presets_and_settings_of_a_method_decide_what_it_needs(dxbench: Command) -> None:
    def names(*options: str) -> set[str]:
        return {one["name"] for one in dxbench("prepare", "-t", "cifar10", "--list", "--json", *options).json}

    scored = {"cifar10", "inception-2015"}
    assert names("-m", "dxmi") == scored | {"ddpm-cifar10"}
    assert names("-m", "dxmi", "--preset", "quick") < names()
    assert names("-m", "dxmi", "--preset", "paper-ddgan") == scored | {"ddgan-cifar10"}
    assert names("-m", "dxmi", "--preset", "released") == scored | {"dxmi-sampler-cifar10-t10"}
    assert dxbench("prepare", "-t", "cifar10", "--preset", "quick").code == 2


def test_a_licence_to_be_accepted_is_in_the_remedy(
    dxbench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DXBENCH_DATA", str(tmp_path))
    ended = dxbench("run", "-t", "mvtec_ad", "-m", "knn")
    assert ended.code == 7
    assert "its licence has to be accepted: CC BY-NC-SA 4.0" in ended.err
    assert "`dxbench prepare --task mvtec_ad --method knn --accept-licence`" in ended.err
    assert "`dxbench prepare --task mvtec_ad --accept-licence`" in dxbench("prepare", "-t", "mvtec_ad", "--list").out


@pytest.mark.parametrize("task", ["holdout_mnist", "tabular_clean", "mvtec_pooled_vit", "screw", "mvtec_ad_features"])
def test_prepare_names_the_files_whose_absence_skips_a_run(
    dxbench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    monkeypatch.setenv("DXBENCH_DATA", str(tmp_path))
    ended = dxbench("run", "-t", task, "-m", "knn")
    assert ended.code == 7
    assert f"`dxbench prepare --task {task} --method knn" in ended.err
    listed = dxbench("prepare", "-t", task, "-m", "knn", "--offline", "--json")
    assert listed.code == 7
    assert not any(one["state"] == "there" for one in listed.json)
