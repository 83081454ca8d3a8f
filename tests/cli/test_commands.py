"""Commands as typed: output, exit codes, help."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import METHODS, Ended, method

RUN = ("run", "--task", "gaussians8", "--no-report")
Command = Callable[..., Ended]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "-t", "gausians8", "-m", "dxmi"), "unknown task 'gausians8'. Did you mean 'gaussians8'?"),
        (("run", "-t", "gaussians8", "-m", "dxim"), "unknown method 'dxim'. Did you mean 'dxmi'?"),
        ((*RUN, "-m", "dxmi", "--set", "tua=1"), "unknown key of dxmi 'tua'. Did you mean 'tau'?"),
        (
            (*RUN, "-m", "dxmi", "--preset", "quik"),
            "'quik'. Did you mean 'quick'?",
        ),
        ((*RUN, "-m", "dxmi", "--set", "tau=-1"), "tau: Input should be greater than or equal to 0, got -1"),
        ((*RUN, "-m", "dxmi", "--set", "tau=NaN"), "tau"),
        ((*RUN, "-m", "dxmi", "--set", "tau=hot"), "got 'hot'"),
        ((*RUN, "-m", "dxmi", "--set", "tau"), "--set takes key=value, got 'tau'"),
        ((*RUN, "-m", "dxmi", "--set", "tau=1", "--set", "tau=2"), "--set tau is given twice"),
        ((*RUN, "-m", "dxmi", "--seed", "x"), "--seed takes numbers"),
        ((*RUN, "-m", "dxmi", "--seed", "1,1"), "seeds must be different"),
        ((*RUN, "-m", "dxmi", "--timeout", "soon"), "--timeout takes 90s, 30m or 2h"),
        ((*RUN, "-m", "dxmi", "--device", "tpu"), "unknown device 'tpu'"),
        ((*RUN, "-m", "dxmi", "--launcher", "slrm"), "unknown launcher 'slrm'"),
        (("run", "--task", "gaussians8"), "give --task and --method"),
        (("run", "--suite", "dxmi-tabel1"), "Did you mean 'dxmi-table1'?"),
        (
            ("run", "--suite", "dxmi-table1", "--set", "tua=1"),
            "unknown key of suite dxmi-table1 'tua'. Did you mean 'tau'?",
        ),
        (("run", "--suite", "dxmi-table1", "-m", "dxmi"), "leave out --task, --method and --preset"),
        ((*RUN, "-m", "nowhere.py:Method"), "no file 'nowhere.py'"),
        ((*RUN, "-m", f"{METHODS}:Tyo"), "Did you mean 'Toy'?"),
        ((*RUN, "-m", f"{METHODS}:not_a_method"), "is not a dxbench.api.Method class"),
        (("info", "dxmii"), "Did you mean 'dxmi'?"),
        (("table",), "give a task or a suite"),
        (("table", "--task", "gaussians8", "--results", "/nowhere"), "no folder /nowhere"),
    ],
)
def test_usage_errors_exit_2_and_name_the_remedy(dxbench: Command, arguments: tuple[str, ...], words: str) -> None:
    ended = dxbench(*arguments)
    assert ended.code == 2, ended.err
    assert words in ended.err
    assert "Traceback" not in ended.err


def test_a_method_file_that_fails_to_import_is_an_error_when_used(dxbench: Command, tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("import no_such_module\n")
    ended = dxbench(*RUN, "-m", f"{broken}:Method")
    assert ended.code == 2
    assert "fails to import: ModuleNotFoundError: No module named 'no_such_module'" in ended.err


def test_a_broken_plugin_is_a_warning_in_list_and_an_error_when_used(
    dxbench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dxbench.plugins import registry

    (tmp_path / "broken_plugin.py").write_text("raise RuntimeError('half finished')\n")
    info = tmp_path / "broken_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[dxbench.methods]\nbroken = broken_plugin:Broken\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry.plugins.cache_clear()
    try:
        listed = dxbench("list", "methods")
        used = dxbench(*RUN, "-m", "broken")
    finally:
        registry.plugins.cache_clear()
    assert listed.code == 0
    assert "warning: method 'broken'" in listed.err
    assert "RuntimeError: half finished" in listed.err
    assert "dxmi" in listed.out
    assert used.code == 2
    assert "Mend or uninstall broken-plugin" in used.err


def test_eval_shows_its_numbers_beside_the_floor_the_best_and_the_papers(dxbench: Command, tmp_path: Path) -> None:
    samples = np.random.default_rng(0).normal(size=(50_000, 2)).astype(np.float32)
    np.savez(tmp_path / "mine.npz", samples=samples)
    lines = dxbench("eval", tmp_path / "mine.npz", "-t", "gaussians8").out.splitlines()
    start = next(i for i, line in enumerate(lines) if line == "gaussians8")
    board = [line for line in lines[start:] if line.strip()]
    own = next(i for i, line in enumerate(board) if line.startswith("mine.npz"))
    floor = next(i for i, line in enumerate(board) if line.startswith("= data "))
    best = dxbench("table", "-t", "gaussians8").out.splitlines()[4].split("  ")[0]
    assert board[own + 1].split("  ")[0] == best
    assert all("— DxMI 2024" in line for line in board[own + 2 : floor])
    assert floor > own + 6
    assert "1.1" in board[own]


@pytest.mark.parametrize("kind", ["tasks", "methods", "metrics", "protocols", "launchers", "suites"])
def test_list_names_what_there_is(dxbench: Command, kind: str) -> None:
    rows = dxbench("list", kind, "--json").json
    assert rows
    assert all(row["name"] and row["summary"] for row in rows)
    assert rows[0]["name"] in dxbench("list", kind).out


@pytest.mark.parametrize("name", ["dxmi", "ddpm", "data", "gaussians8", "sw2", "energy_kl", "dxmi-table1"])
def test_info_tells_about_everything_listed(dxbench: Command, name: str) -> None:
    assert name in dxbench("info", name).out
    assert dxbench("info", name, "--json").json


def test_info_of_a_method_shows_keys_and_presets(dxbench: Command) -> None:
    out = dxbench("info", "dxmi").out
    assert "tau_velocity" in out
    assert "pretrained" in out
    assert "arXiv:2407.00626" in out


@pytest.mark.parametrize(
    ("method", "runs", "task", "reason"),
    [
        ("meanflow", "digits", "imagenet64", "vectors, or images of at most 1,024 values"),
        ("gcd", "gaussians8", "lsun_bedroom", "data that are plain vectors, not images"),
        ("dxmi_detection", "tabular_clean", "gmm9", "a finite training set"),
        ("edm", "gaussians8", "funnel10", "training data"),
        ("dds", "gmm40", "tabular_clean", "a given energy to call"),
    ],
)
def test_info_lists_presets_where_a_method_can_run(
    dxbench: Command, method: str, runs: str, task: str, reason: str
) -> None:
    facts = dxbench("info", method, "--json").json
    assert runs in facts["presets"]
    assert task not in facts["presets"]
    assert task in facts["where it cannot run"][f"needs {reason}"]


def test_run_prints_result_paper_and_floor(dxbench: Command) -> None:
    dxbench(*RUN, "-m", "data")
    nets = ("--set", 'backbone={"network": {"hidden": 8}}', "--set", 'critic={"hidden": 8}')
    small = ("--set", "iterations=5", *nets)
    out = dxbench(*RUN, "-m", "dxmi", *small).out
    assert "iterations=5" in out
    assert "0.076 ± 0.011" in out  # the paper's row for T = 5, from scratch, tau = 0.1
    assert "= data" in out
    assert "arXiv:2407.00626" in out


def test_json_is_the_records_and_nothing_else_on_stdout(dxbench: Command) -> None:
    ended = dxbench(*RUN, "-m", method("Untrained"), "--seed", "0,1", "--json")
    assert [record["seed"] for record in ended.json] == [0, 1]
    assert "ok in" in ended.err


def test_dry_run_runs_nothing(dxbench: Command, home: Path) -> None:
    ended = dxbench("run", "--suite", "dxmi-table1", "--dry-run")
    assert ended.code == 0
    assert "50 of 50 cells to run" in ended.out
    assert not home.exists()


def test_an_override_of_a_suite_reaches_the_methods_that_have_its_key(dxbench: Command) -> None:
    rows = dxbench("run", "--suite", "dxmi-table1", "--set", "iterations=7", "--seed", 0, "--dry-run", "--json").json
    assert {row["method"]: row["overrides"].get("iterations") for row in rows} == {
        "dxmi": 7,
        "ddpm": None,
        "data": None,
    }


def test_report_is_one_file_with_pictures_that_loads_nothing(dxbench: Command, home: Path) -> None:
    nets = ("--set", 'backbone={"network": {"hidden": 8}}', "--set", 'critic={"hidden": 8}')
    small = ("--set", "iterations=5", *nets)
    ended = dxbench("run", "-t", "gaussians8", "-m", "dxmi", *small)
    path = Path(ended.out.split("report: ")[1].strip())
    page = path.read_text()
    for title in ("Energy and samples", "Value function at every step", "Learning curves", "Marginals"):
        assert f"<h2>{title}</h2>" in page
    assert page.count("data:image/png;base64,") == 2 * 4, "for light and for dark"
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    assert "http://" not in page
    assert "https://" not in page
    assert "<script" not in page


def test_names_are_escaped_in_reports(dxbench: Command, tmp_path: Path) -> None:
    evil = tmp_path / "evil.py"
    evil.write_text(
        f"import sys\nsys.path.insert(0, {str(METHODS.parent)!r})\nimport methods\n"
        "class Evil(methods.Untrained):\n    name = '<script>alert(1)<\\u2215script>'\n"
    )
    ended = dxbench("run", "-t", "gaussians8", "-m", f"{evil}:Evil")
    page = Path(ended.out.split("report: ")[1].strip()).read_text()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_eval_scores_the_same_samples_to_the_same_numbers(dxbench: Command, home: Path, tmp_path: Path) -> None:
    record = dxbench(*RUN, "-m", method("Untrained"), "--json").json[0]
    (arrays,) = (home / "work").rglob("arrays.npz")
    np.savez(tmp_path / "mine.npz", arr_0=np.load(arrays)["samples"])
    scored = dxbench("eval", tmp_path / "mine.npz", "--task", "gaussians8", "--json").json
    assert scored["scores"] == record["scores"]
    assert "sw2" in dxbench("eval", tmp_path / "mine.npz", "-t", "gaussians8").out


@pytest.mark.parametrize(
    ("array", "code", "words"),
    [
        (np.zeros((10, 3)), 5, "wants samples of shape [n, 2], got [10, 3]"),
        (np.full((60_000, 2), np.nan), 5, "60,000 of 60,000 samples are not finite"),
        (np.zeros((10, 2)), 6, "sw2: needs 50,000 samples, got 10"),
        (np.array([["a", "b"]]), 5, "wants real numbers"),
    ],
)
def test_eval_refuses_what_it_cannot_score(
    dxbench: Command, tmp_path: Path, array: np.ndarray, code: int, words: str
) -> None:
    np.savez(tmp_path / "bad.npz", arr_0=array)
    ended = dxbench("eval", tmp_path / "bad.npz", "-t", "gaussians8")
    assert ended.code == code
    assert words in ended.err


def test_a_metric_of_the_user_that_fails_is_told_by_its_line(dxbench: Command, tmp_path: Path) -> None:
    np.savez(tmp_path / "samples.npz", arr_0=np.random.default_rng(0).normal(size=(60_000, 2)))
    code = (
        "class M:\n    name, title, protocol = 'm', 'M', None\n    def measure(self, inputs):\n        return 1 / 0\n"
    )
    (tmp_path / "mine.py").write_text(f"{code}\nM = M()\n")
    ended = dxbench("eval", tmp_path / "samples.npz", "-t", "gaussians8", "--metric", f"{tmp_path / 'mine.py'}:M")
    assert (ended.code, "Traceback" in ended.err) == (2, False)
    assert "ZeroDivisionError: division by zero (mine.py, line 4: return 1 / 0); mend that line" in ended.err


def test_eval_executes_nothing_and_names_what_is_missing(dxbench: Command, tmp_path: Path) -> None:
    np.save(tmp_path / "pickle.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert dxbench("eval", tmp_path / "pickle.npy", "-t", "gaussians8").code == 5
    assert dxbench("eval", tmp_path / "none.npz", "-t", "gaussians8").code == 7
    (tmp_path / "text.npz").write_text("hello")
    assert dxbench("eval", tmp_path / "text.npz", "-t", "gaussians8").code == 5
    np.savez(tmp_path / "named.npz", other=np.zeros((3, 2)))
    assert "wants an array named arr_0 or samples" in dxbench("eval", tmp_path / "named.npz", "-t", "gaussians8").err


def test_doctor_finds_this_machine_fit(dxbench: Command) -> None:
    checks = dxbench("doctor", "--json").json
    assert {check["name"] for check in checks} >= {"versions", "devices", "folders", "records", "repeatability"}
    assert all(check["ok"] for check in checks), checks


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("run", "--help"), ("list", "methods"), ("list", "tasks"), ("table", "--task", "gaussians8")],
)
def test_quick_commands_import_no_torch(arguments: tuple[str, ...], dxbench: Command, tmp_path: Path) -> None:
    results = tmp_path / "results"
    dxbench(*RUN, "-m", method("Untrained"), "--results", results)
    extra = ("--results", str(results)) if arguments[0] == "table" else ()
    script = (
        "import sys\nfrom dxbench.cli import main\n"
        f"sys.argv = ['dxbench', *{[*arguments, *extra]!r}]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "print('HEAVY', [m for m in ('torch', 'numpy', 'scipy', 'matplotlib', 'pandas') if m in sys.modules])\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "HEAVY []" in ended.stdout


@pytest.mark.parametrize("arguments", [("list", "metrics"), ("info", "sft_pg")])
def test_naming_every_task_imports_nothing_that_draws_or_counts(arguments: tuple[str, ...]) -> None:
    script = (
        "import sys\nfrom dxbench.cli import main\n"
        f"sys.argv = ['dxbench', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "print('HEAVY', [m for m in ('matplotlib', 'triton', 'scipy.special', 'scipy.fft') if m in sys.modules])\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "HEAVY []" in ended.stdout


def test_every_command_has_help_with_an_example(dxbench: Command) -> None:
    out = dxbench("--help").out
    for command in ("run", "eval", "table", "compare", "list", "info", "doctor"):
        assert command in out
        assert "Example" in dxbench(command, "--help").out


def test_version_and_module_entry() -> None:
    ended = subprocess.run([sys.executable, "-m", "dxbench", "--version"], capture_output=True, text=True, check=True)
    from dxbench import __version__

    assert ended.stdout.strip() == f"dxbench {__version__}"


def test_table_formats_agree(dxbench: Command, home: Path) -> None:
    dxbench(*RUN, "-m", method("Untrained"), "--seed", "0,1")
    results = ("--results", home / "results")
    data = json.loads(dxbench("table", "-t", "gaussians8", "--format", "json", *results).out)
    value = data["blocks"][0]["rows"][0]["scores"]["sw2"]["value"]
    for form in ("text", "md", "csv"):
        out = dxbench("table", "-t", "gaussians8", "--format", form, *results).out
        assert (f"{value:.4f}" if form != "csv" else str(value)) in out


@pytest.mark.parametrize(("asked", "found"), [(None, "PASSIVE"), ("active", "ACTIVE")])
def test_threads_that_wait_sleep_unless_the_environment_wants_them_to_spin(asked: str | None, found: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    environment |= {"OMP_DISPLAY_ENV": "true"} | ({} if asked is None else {"OMP_WAIT_POLICY": asked})
    command = [sys.executable, "-m", "dxbench", "doctor"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    told = [line for line in ended.stderr.splitlines() if "OMP_WAIT_POLICY" in line]
    if not told:
        pytest.skip("torch's OpenMP does not tell its settings here")
    assert all(f"'{found}'" in line for line in told), told


def test_a_run_that_measures_nothing_says_why_and_is_exit_6(dxbench: Command) -> None:
    run = ("run", "-t", "holdout_digit", "-m", "ddim:quick", "--no-report")
    ended = dxbench(*run)
    assert ended.code == 6, ended
    assert "ddim on holdout_digit, seed 0: nothing was measured: the model has no energy" in ended.err
    table = dxbench("table", "-t", "holdout_digit").out
    assert "(1 ok): the model has no energy" in table
