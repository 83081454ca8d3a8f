"""The regression gate: verdicts, exit codes, and what CI reads."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from conftest import Ended
from made_up_records import PROVENANCE, record

from dxbench.api import Estimate, MetricProtocol
from dxbench.boards.check import check, noise_model
from dxbench.boards.gate import Gate, Verdict
from dxbench.records.files import write_record
from dxbench.records.index import open_index

VALUES = [0.50, 0.53, 0.48, 0.51, 0.46]


def row(values: list[float], *, method: str = "m", first_seed: int = 0, **changes: Any) -> list[Any]:
    """One record per value."""
    return [record(seed, value, method=method, **changes) for seed, value in enumerate(values, start=first_seed)]


def scored(metric: str, value: float, better: str = "lower", fingerprint: str = "f" * 16) -> dict[str, Any]:
    return {metric: Estimate.model_validate({"value": value, "better": better, "fingerprint": fingerprint})}


def write(folder: Path, records: list[Any]) -> Path:
    """A folder of these records and no others, save files that are no records."""
    for old in folder.rglob("*-s*.json"):
        old.unlink()
    folder.mkdir(exist_ok=True)
    for made in records:
        write_record(folder, made)
    return folder


@pytest.fixture
def gate(tmp_path: Path) -> Callable[..., Gate]:
    """Checks records against others."""

    def run(before: list[Any], now: list[Any], *, alpha: float = 0.05, rel_tol: float = 1e-6) -> Gate:
        folders = [write(tmp_path / "before", before), write(tmp_path / "now", now)]
        return check(*(open_index([folder]) for folder in folders), alpha=alpha, rel_tol=rel_tol)

    return run


def verdicts(found: Gate) -> dict[str, str]:
    return {one.metric: one.verdict.value for one in found.findings}


# --- verdicts ------------------------------------------------------------------------------------------------


def test_equal_runs_are_unchanged(gate: Callable[..., Gate]) -> None:
    found = gate(row(VALUES), row(VALUES))
    assert verdicts(found) == {"sw2": "unchanged", "nfe": "unchanged"}
    assert found.exit_code == 0
    assert [one.noise for one in found.findings] == ["Welch", "exact"]
    assert [one.p_value for one in found.findings] == pytest.approx([0.5, 1.0])


@pytest.mark.parametrize(("shift", "verdict", "code"), [(0.2, "regression", 4), (-0.2, "improved", 0)])
def test_a_shift_beyond_the_noise_is_found_in_the_metrics_direction(
    gate: Callable[..., Gate], shift: float, verdict: str, code: int
) -> None:
    now = [value + shift + 0.01 * i for i, value in enumerate(VALUES)]
    found = gate(row(VALUES), row(now))
    assert verdicts(found)["sw2"] == verdict
    assert found.exit_code == code


def test_where_higher_is_better_a_fall_is_the_regression(gate: Callable[..., Gate]) -> None:
    def auc(shift: float) -> list[Any]:
        return [record(s, 0, scores=scored("auc", v + shift, "higher")) for s, v in enumerate(VALUES)]

    assert verdicts(gate(auc(0.0), auc(-0.3)))["auc"] == "regression"


def test_a_metric_without_direction_is_not_judged(gate: Callable[..., Gate]) -> None:
    def share(shift: float) -> list[Any]:
        return [record(s, 0, nfe=None, scores=scored("share", v + shift, "none")) for s, v in enumerate(VALUES)]

    found = gate(share(0.0), share(9.0))
    assert not found.findings
    assert found.exit_code == 6


@pytest.mark.parametrize(("count", "noise"), [(5, "paired"), (3, "paired"), (2, "Welch"), (1, "prediction")])
def test_the_noise_model_of_replays_follows_the_seeds_at_hand(count: int, noise: str) -> None:
    then = dict(enumerate(VALUES))
    found = noise_model(dict(enumerate(VALUES[:count])), then, frozenset(range(5)))
    assert found is not None
    assert found[0] == noise


def curve(start: float) -> dict[str, Any]:
    """A training's log that begins so."""
    return {"curves": {"loss": {"step": [1, 2], "value": [start, 0.1]}}}


def runs(values: list[float], starts: list[float]) -> list[Any]:
    return [record(s, v, method="m", **curve(start)) for s, (v, start) in enumerate(zip(values, starts, strict=True))]


STARTS = [2.0, 2.1, 1.9, 2.2, 2.3]


@pytest.mark.parametrize(
    ("starts", "noise"),
    [
        (STARTS, "paired"),
        ([s * (1 + 1e-9) for s in STARTS], "paired"),  # another machine's last digits
        ([s * 1.01 for s in STARTS], "Welch"),  # other random numbers, or other data
        ([*STARTS[:4], 2.4], "Welch"),  # one seed that is no replay
    ],
)
def test_only_runs_that_began_alike_are_paired(gate: Callable[..., Gate], starts: list[float], noise: str) -> None:
    """A change of a tenth of the spread in every seed: certain between replays, nothing between others."""
    found = gate(runs(VALUES, STARTS), runs([v + 0.003 + 1e-5 * i for i, v in enumerate(VALUES)], starts))
    assert found.findings[0].noise == noise
    assert found.findings[0].verdict == ("regression" if noise == "paired" else "unchanged")


def test_a_curve_that_starts_alike_at_every_seed_shows_no_replay(gate: Callable[..., Gate]) -> None:
    assert gate(runs(VALUES, [0.0] * 5), runs(VALUES, [0.0] * 5)).findings[0].noise == "Welch"


def test_one_seed_is_held_against_the_prediction_interval(gate: Callable[..., Gate]) -> None:
    """One-sided: t(0.95, 4) = 2.1318, std 0.02702, sqrt(1 + 1/5): it counts from 0.496 + 0.0631."""
    assert verdicts(gate(row(VALUES), row([0.496 + 0.0629])))["sw2"] == "unchanged"
    found = gate(row(VALUES), row([0.496 + 0.0633]))
    assert verdicts(found)["sw2"] == "regression"
    assert found.findings[0].detectable == pytest.approx(0.0631, abs=1e-4)
    assert verdicts(gate(row(VALUES), row([0.496 - 0.0633])))["sw2"] == "improved"


def table(rng: np.random.Generator, *, rows: int, seeds: int, worse: float = 0.0, spread: float = 0.1) -> list[Any]:
    """Rows of five metrics around 1; the first is so many spreads worse in all of them."""
    made = []
    for r in range(rows):
        values = rng.normal(1 + worse * spread * (r == 0), spread, (seeds, 5))
        made += [
            record(
                s,
                0,
                method=f"m{r}",
                scores={name: one for i, v in enumerate(values[s]) for name, one in scored(f"metric{i}", v).items()},
            )
            for s in range(seeds)
        ]
    return made


@pytest.mark.parametrize(("seeds", "worse", "least"), [(5, 2.0, 0.6), (3, 4.0, 0.45)])
def test_a_row_that_is_worse_in_all_its_numbers_is_seen(
    gate: Callable[..., Gate], seeds: int, worse: float, least: float
) -> None:
    """Ten rows of five metrics; powers of 0.9 and 0.8 (board_calibration.py), held to what is promised."""
    rng = np.random.default_rng(seeds)
    draws = 12
    codes = [
        gate(table(rng, rows=10, seeds=seeds), table(rng, rows=10, seeds=seeds, worse=worse)).exit_code
        for _ in range(draws)
    ]
    assert codes.count(4) / draws >= least  # type: ignore[arg-type]


def test_numbers_that_are_a_little_worse_together_are_worse_with_more_certainty(gate: Callable[..., Gate]) -> None:
    """Five numbers, each two spreads worse with noise of its own, among twenty rows that are as they were."""
    rng = np.random.default_rng(4)
    others = [made for i in range(20) for made in row(VALUES, method=f"other{i}")]
    found = gate(table(rng, rows=1, seeds=5) + others, table(rng, rows=1, seeds=5, worse=2.0) + others)
    first = {one.metric: one for one in found.findings if one.row == "m0"}
    assert first["row"].verdict == Verdict.REGRESSION
    assert (first["row"].change or 0) > 0
    alone = [first[f"metric{i}"] for i in range(5)]
    assert [one.verdict for one in alone].count(Verdict.REGRESSION) < 5
    assert all((first["row"].p_value or 0) < 0.2 * (one.p_value or 0) for one in alone)
    assert {one.verdict for one in found.findings if one.row != "m0"} == {Verdict.UNCHANGED}
    assert found.exit_code == 4


def test_a_row_counts_only_where_some_number_of_it_exceeds_the_tolerance(gate: Callable[..., Gate]) -> None:
    rng = np.random.default_rng(3)
    then, now = table(rng, rows=2, seeds=5), table(rng, rows=2, seeds=5, worse=5.0)
    assert gate(then, now).exit_code == 4
    assert gate(then, now, rel_tol=0.9).exit_code == 0


def test_higher_is_better_turns_a_number_in_the_rows_test(gate: Callable[..., Gate]) -> None:
    """A metric up and another down by as much: worse together only if both directions are bad."""
    rng = np.random.default_rng(0)

    def two(shift: float, better: str) -> list[Any]:
        return [
            record(s, 0, scores=scored("a", 1 + shift + a) | scored("b", 1 - shift + b, better))
            for s, (a, b) in enumerate(rng.normal(0, 0.1, (5, 2)))
        ]

    assert verdicts(gate(two(0.0, "higher"), two(0.3, "higher")))["row"] == "regression"
    assert verdicts(gate(two(0.0, "lower"), two(0.3, "lower")))["row"] == "unchanged"


def test_false_alarms_are_as_rare_as_alpha_says() -> None:
    """Twenty rows of noise a check, tested together: the gate fails in at most alpha of the checks."""
    from dxbench.boards.stats import benjamini_hochberg

    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(300):
        pairs = [(dict(enumerate(rng.normal(size=5))), dict(enumerate(rng.normal(size=5)))) for _ in range(20)]
        found = [noise_model(now, then, frozenset()) for now, then in pairs]
        alarms += min(benjamini_hochberg([one[1].p_above for one in found if one is not None])) < 0.05
    assert alarms / 300 < 0.05 + 5 * (0.05 * 0.95 / 300) ** 0.5
    assert alarms > 0


def test_tests_of_one_check_are_adjusted_together(gate: Callable[..., Gate]) -> None:
    now = [0.05 + v for v in VALUES]
    alone = gate(row(VALUES), row(now))
    others = [made for i in range(30) for made in row(VALUES, method=f"other{i}")]
    together = gate(row(VALUES) + others, row(now) + others)
    assert alone.findings[0].verdict == Verdict.REGRESSION
    (one,) = [f for f in together.findings if (f.row, f.metric) == ("m", "sw2")]
    assert one.p_value == pytest.approx(31 * (alone.findings[0].p_value or 0))
    assert one.verdict == Verdict.UNCHANGED
    assert (one.detectable or 0) > (alone.findings[0].detectable or 0)


def test_a_real_but_small_change_is_let_through_by_rel_tol(gate: Callable[..., Gate]) -> None:
    now = [value + 0.01 + 1e-5 * i for i, value in enumerate(VALUES)]
    assert verdicts(gate(runs(VALUES, STARTS), runs(now, STARTS)))["sw2"] == "regression"
    tolerant = gate(runs(VALUES, STARTS), runs(now, STARTS), rel_tol=0.05)
    assert verdicts(tolerant)["sw2"] == "unchanged"
    assert tolerant.findings[0].detectable == pytest.approx(0.05 * np.mean(VALUES))


def test_a_metric_that_never_varies_is_judged_exactly_and_rounding_forgiven(gate: Callable[..., Gate]) -> None:
    assert verdicts(gate(row([0.1] * 5), row([0.1 * (1 + 1e-9)] * 5)))["sw2"] == "unchanged"
    found = gate(row([0.1] * 5), row([0.101]))
    assert verdicts(found)["sw2"] == "regression"
    assert found.findings[0].noise == "exact"


def test_a_change_of_nfe_is_judged(gate: Callable[..., Gate]) -> None:
    assert verdicts(gate(row(VALUES), row(VALUES, nfe=6.0)))["nfe"] == "regression"
    assert verdicts(gate(row(VALUES), row(VALUES, nfe=4.0)))["nfe"] == "improved"


def test_growing_cost_is_listed_and_not_judged(gate: Callable[..., Gate], tmp_path: Path) -> None:
    from dxbench.boards.gate_report import markdown

    def cost(seconds: float) -> dict[str, Any]:
        kept = {"steps": 1, "peak_memory_bytes": 10, "device": "cpu", "threads": 1, "eval_seconds": 1.0}
        return {"cost": kept | {"train_seconds": seconds}}

    found = gate(row(VALUES, **cost(10.0)), row(VALUES, **cost(30.0)))
    assert found.exit_code == 0
    assert "m: train\\_seconds 10" not in markdown(found)
    assert "gaussians8: m: train_seconds 10 → 30 (× 3.00; not judged)" in markdown(found)


# --- what is not a pass --------------------------------------------------------------------------------------


def test_one_baseline_seed_gives_no_noise_model_and_no_pass(gate: Callable[..., Gate]) -> None:
    found = gate(row([0.5]), row(VALUES))
    assert set(verdicts(found).values()) == {"no noise model"}
    assert found.exit_code == 6


def test_other_protocols_are_not_comparable_whatever_else_passes(gate: Callable[..., Gate]) -> None:
    def measured(n: int) -> list[Any]:
        protocol = MetricProtocol(name="fd", version=1, fields={"n": n})
        extra = scored("fd", 1.0, fingerprint=protocol.fingerprint) | scored("sw2", 0.5)
        return [record(s, 0, scores=extra, protocols={protocol.fingerprint: protocol}) for s in range(5)]

    found = gate(measured(1000), measured(5000))
    assert verdicts(found) == {"fd": "not comparable", "sw2": "unchanged", "nfe": "unchanged"}
    assert found.findings[0].reason == "n: 1000 in the baseline, 5000 now"
    assert found.exit_code == 6


def test_another_version_of_the_task_is_not_comparable(gate: Callable[..., Gate]) -> None:
    found = gate(row(VALUES), row(VALUES, task_version=2))
    assert verdicts(found) == {"run": "not comparable"}
    assert found.exit_code == 6


def test_a_metric_that_is_gone_is_no_pass(gate: Callable[..., Gate]) -> None:
    both = [record(s, 0, scores=scored("sw2", v) | scored("auc", v, "higher")) for s, v in enumerate(VALUES)]
    found = gate(both, [record(s, v) for s, v in enumerate(VALUES)])
    assert verdicts(found)["auc"] == "not measured"
    assert found.exit_code == 6


def test_a_metric_that_some_seeds_have_lost_does_not_pass_by_the_others(gate: Callable[..., Gate]) -> None:
    now = [*row(VALUES[:4]), record(4, 0, method="m", scores={})]
    found = gate(row(VALUES), now)
    assert verdicts(found) == {"sw2": "unchanged", "sw2, seed 4": "not measured", "nfe": "unchanged"}
    assert found.exit_code == 6


def test_a_run_that_breaks_now_is_a_regression_and_one_that_always_broke_is_not(gate: Callable[..., Gate]) -> None:
    failure = {"phase": "train", "type": "NonFiniteScalar", "message": "loss is nan"}
    broken = record(4, None, method="m", failure=failure)
    found = gate(row(VALUES), [*row(VALUES[:4]), broken])
    assert verdicts(found)["run, seed 4"] == "regression"
    assert "failed: train: NonFiniteScalar: loss is nan" in found.findings[0].reason
    assert found.exit_code == 4
    assert gate([*row(VALUES[:4]), broken], [*row(VALUES[:4]), broken]).exit_code == 0


@pytest.mark.parametrize("status", ["partial", "skipped"])
def test_runs_that_did_not_finish_measure_nothing(gate: Callable[..., Gate], status: str) -> None:
    found = gate(row(VALUES), row(VALUES, status=status))
    assert verdicts(found) == {"run": "not measured"}
    assert found.exit_code == 6


def test_rows_without_a_baseline_and_rows_that_were_not_run_are_named(gate: Callable[..., Gate]) -> None:
    found = gate(row(VALUES) + row(VALUES, method="gone"), row(VALUES) + row(VALUES, method="new", task="other"))
    assert found.absent == ("gaussians8: gone",)
    assert [one.verdict for one in found.findings if one.row == "new"] == [Verdict.NO_BASELINE]
    assert found.exit_code == 0


def test_rows_are_matched_by_name_and_the_newest_recipe_counts(gate: Callable[..., Gate]) -> None:
    old = row([9.0] * 5, config={"a": 0}, provenance=PROVENANCE.model_copy(update={"created": "2025-01-01T00:00:00"}))
    found = gate(old + row(VALUES), row(VALUES, config={"a": 2}))
    assert verdicts(found)["sw2"] == "unchanged"
    assert found.notes == ("gaussians8: m: a is 1 in the baseline, 2 now",)


# --- the command ---------------------------------------------------------------------------------------------


@pytest.fixture
def command(dxbench: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """Writes records and runs `dxbench check` on them."""
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)

    def run(before: list[Any], now: list[Any], *options: object) -> Ended:
        baseline, results = write(tmp_path / "before", before), write(tmp_path / "now", now)
        return dxbench("check", "--baseline", baseline, "--results", results, *options)

    return run


WORSE = [value + 0.2 + 0.01 * i for i, value in enumerate(VALUES)]
NASTY = '<script>alert(1)</script> | \x1b[31mred\x1b[0m & "co"'


def test_the_exit_code_tells_a_regression_from_nothing_measured(command: Callable[..., Ended]) -> None:
    assert command(row(VALUES), row(VALUES)).code == 0
    assert command(row(VALUES), row(WORSE)).code == 4
    assert command(row(VALUES), row(WORSE), "--rel-tol", 0.6).code == 0
    assert command(row(VALUES), row(WORSE), "--alpha", 1e-9).code == 0


def test_nothing_measured_is_said_and_never_a_pass(
    command: Callable[..., Ended], dxbench: Callable[..., Ended], tmp_path: Path
) -> None:
    report = tmp_path / "gate.xml"
    ended = command(row(VALUES), [], "--junit", report)
    assert ended.code == 6
    assert "nothing measured" in ended.out
    assert ElementTree.parse(report).find(".//testcase/error") is not None
    # Without --results it is one's own records that count, and there are none.
    assert dxbench("check", "--baseline", tmp_path / "before").code == 6


def test_junit_has_a_case_per_row_and_metric_and_survives_hostile_names(
    command: Callable[..., Ended], tmp_path: Path
) -> None:
    failure = {"phase": "train", "type": "Boom", "message": NASTY}
    method = "<b>&'\""
    broken = record(4, None, method="m", failure=failure)
    other = row([1.0], method="lone") + row(WORSE, method=method.replace("/", ""))
    report = tmp_path / "gate.xml"
    ended = command(
        row(VALUES) + row([1.0], method="lone") + row(VALUES, method=method),
        [*row(VALUES[:4]), broken, *other],
        "--junit",
        report,
    )
    assert ended.code == 4
    root = ElementTree.parse(report).getroot()
    suites = {suite.get("name"): suite for suite in root.iter("testsuite")}
    assert set(suites) == {"gaussians8: m", "gaussians8: lone", f"gaussians8: {method}"}
    assert {case.get("name") for case in suites["gaussians8: m"].iter("testcase")} == {"run, seed 4", "sw2", "nfe"}
    for suite in suites.values():
        cases = list(suite.iter("testcase"))
        for tag, count in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            assert suite.get(count) == str(sum(case.find(tag) is not None for case in cases))
        assert suite.get("tests") == str(len(cases))
    assert [case.find("skipped") is not None for case in suites["gaussians8: lone"].iter("testcase")] == [True, True]
    message = suites["gaussians8: m"].find(".//failure").get("message")  # type: ignore[union-attr]
    assert "<script>alert(1)</script>" in str(message)
    assert "\x1b" not in str(message)
    worse = suites[f"gaussians8: {method}"].find("testcase[@name='sw2']/failure")
    assert "0.496 -> 0.716 (lower is better)" in str(worse.get("message"))  # type: ignore[union-attr]
    assert "Welch test over 5 seeds" in str(worse.text)  # type: ignore[union-attr]


def test_the_summary_goes_to_github_and_shows_no_markup_of_others(
    command: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    broken = record(4, None, method="m", failure={"phase": "train", "type": "Boom", "message": NASTY})
    ended = command(row(VALUES), [*row(VALUES[:4]), broken])
    text = summary.read_text()
    assert text.startswith("before\n### dxbench check: 1 regression, 2 unchanged")
    assert "\x1b" not in ended.out
    assert "<script>alert(1)</script>" in ended.out  # a terminal knows no markup
    assert "\\_" not in ended.out
    assert "<script" not in text
    table = [line for line in text.splitlines() if line.startswith("| ")]
    assert len({line.replace("\\|", "").count("|") for line in table}) == 1


def test_json_holds_every_number_and_the_exit_code(command: Callable[..., Ended]) -> None:
    ended = command(row(VALUES), row(WORSE), "--json")
    found = ended.json
    assert found["exit_code"] == ended.code == 4
    assert found["counts"] == {"regression": 1, "unchanged": 1}
    first = found["findings"][0]
    assert first["change"] == pytest.approx(np.mean(WORSE) - np.mean(VALUES))
    assert (first["noise"], first["seeds"], first["verdict"]) == ("Welch", [5, 5], "regression")


@pytest.mark.parametrize("place", ["before", "now"])
def test_a_file_that_is_no_record_ends_with_5(command: Callable[..., Ended], tmp_path: Path, place: str) -> None:
    (tmp_path / place / "gaussians8" / "m").mkdir(parents=True)
    (tmp_path / place / "gaussians8" / "m" / "cut.json").write_text('{"schema_version": 2, "run_id"')
    ended = command(row(VALUES), row(VALUES))
    assert ended.code == 5
    assert "cut.json" in ended.err


def test_wrong_folders_names_and_numbers_are_usage_errors(
    command: Callable[..., Ended], dxbench: Callable[..., Ended], tmp_path: Path
) -> None:
    ended = command(row(VALUES), row(VALUES), "--task", "gausians8")
    assert ended.code == 2
    assert "Did you mean 'gaussians8'?" in ended.err
    assert command([], [], "--alpha", 0).code == 2
    assert command([], [], "--rel-tol", -1).code == 2
    here = tmp_path / "before"
    assert dxbench("check", "--baseline", tmp_path / "nowhere").code == 2
    assert dxbench("check", "--baseline", here, "--results", tmp_path / "nowhere").code == 2
    assert "compared with itself" in dxbench("check", "--baseline", here, "--results", here).err
