"""Published cells against our runs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Ended
from test_check import row, write

from dxbench import paths
from dxbench.api import Estimate
from dxbench.boards.aggregate import summarise
from dxbench.boards.claims import Claim, Verdict, claims, in_part, judge
from dxbench.boards.published import PublishedRow, PublishedScore, Source, read_published
from dxbench.boards.tables import result_beside_published
from dxbench.plugins.registry import load_task, plugins
from dxbench.records.index import open_index

SOURCE = Source(key="Paper 2025", title="A paper", venue="somewhere", arxiv="2501.00001", version="v1")
OURS = [0.50, 0.53, 0.48, 0.51, 0.46]  # mean 0.496, std 0.0270; t interval +- 0.0336, prediction +- 0.0822


def summary(values: list[float], better: str = "lower") -> Any:
    estimates = [Estimate.model_validate({"value": v, "better": better, "fingerprint": "f" * 16}) for v in values]
    return summarise(dict(enumerate(estimates)))


def published(value: float = 0.5, **changes: Any) -> PublishedRow:
    fields: dict[str, Any] = {
        "id": "paper/table1/m",
        "task": "gaussians8",
        "table": "Table 1",
        "label": "M",
        "match": {"method": "m", "config": {"a": 1}},
        "scores": {"sw2": {"value": value}},
        "protocol": "as the paper says",
        "equivalents": {"sw2": {"fingerprint": "f" * 16, "assumed": "rooted"}},
    }
    return PublishedRow.model_validate(fields | changes)


@pytest.fixture
def claim(tmp_path: Path) -> Callable[..., list[Claim]]:
    """Claims of one published row against records."""

    def found(line: PublishedRow, records: list[Any]) -> list[Claim]:
        return claims(open_index([write(tmp_path / "results", records)]), [(SOURCE, line)])

    return found


@pytest.mark.parametrize(
    ("version", "cited"),
    [("v2", "arXiv:2501.00001v2"), ("commit 5fc57d0", "arXiv:2501.00001, commit 5fc57d0")],
)
def test_a_source_is_cited_by_its_version_or_by_what_else_was_read(version: str, cited: str) -> None:
    assert SOURCE.model_copy(update={"version": version}).cited == cited


# --- verdicts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("printed", "std", "better", "verdict"),
    [
        (0.450, 0.050, "lower", "reproduced"),  # within the printed spread, outside our interval
        (0.496 + 0.0334, None, "lower", "reproduced"),
        (0.496 + 0.0338, None, "lower", "within noise"),
        (0.496 - 0.0820, None, "lower", "within noise"),
        (0.496 - 0.0824, None, "lower", "off"),
        (0.496 + 0.0824, None, "lower", "better"),
        (0.496 + 0.0824, 0.01, "higher", "off"),
        (0.496 - 0.0824, 0.01, "higher", "better"),
        (0.496 - 0.0824, 0.01, "none", "off"),
    ],
)
def test_the_definitions_to_the_digit(printed: float, std: float | None, better: str, verdict: str) -> None:
    found, reason = judge(PublishedScore(value=printed, std=std), summary(OURS, better))
    assert found == verdict
    assert reason


@pytest.mark.parametrize("printed", [0.496 - 0.0824, 0.496 + 0.0824])
def test_apart_from_a_paper_that_does_not_name_its_setting_is_neither_better_nor_off(printed: float) -> None:
    found, reason = judge(PublishedScore(value=printed), summary(OURS), unstated="its network or noise schedule")
    assert found == Verdict.OTHER_SETTING
    assert not found.judged
    assert reason.endswith("the paper does not name its network or noise schedule")
    for near in (0.496 + 0.03, 0.496 + 0.06):
        alike = judge(PublishedScore(value=near), summary(OURS), unstated="its network or noise schedule")
        assert alike == judge(PublishedScore(value=near), summary(OURS))


def test_agreement_where_a_paper_names_no_setting_stands_beside_the_differences_that_are_not_counted() -> None:
    found = claims(open_index([paths.reference_results()]), read_published(paths.published()))
    agreeing = [one for one in found if one.unstated and one.verdict.judged]
    apart = [one for one in found if one.verdict == Verdict.OTHER_SETTING]
    assert agreeing
    assert apart
    assert f"{len(agreeing)} agree and {len(apart)} do not" in in_part(found)
    assert in_part([one for one in found if not one.verdict.judged]) == ""


def test_one_seed_of_ours_decides_only_within_the_printed_spread() -> None:
    assert judge(PublishedScore(value=0.5, std=0.01), summary([0.505]))[0] == Verdict.REPRODUCED
    assert judge(PublishedScore(value=0.5, std=0.01), summary([0.3]))[0] == Verdict.NOT_COMPARABLE
    assert judge(PublishedScore(value=0.5), summary([0.5]))[0] == Verdict.NOT_COMPARABLE


def test_a_metric_that_never_varies_reproduces_its_own_value_and_no_other() -> None:
    assert judge(PublishedScore(value=0.1), summary([0.1] * 5))[0] == Verdict.REPRODUCED
    assert judge(PublishedScore(value=0.2), summary([0.1] * 5))[0] == Verdict.BETTER


def test_a_claim_has_both_numbers_the_interval_and_the_source(claim: Callable[..., list[Claim]]) -> None:
    (found,) = claim(published(0.5), row(OURS))
    assert (found.verdict, found.row, found.selector, found.assumed) == ("reproduced", "m", "m", "rooted")
    assert found.ours is not None
    assert found.ours.value == pytest.approx(0.496)
    assert found.interval is not None
    assert found.interval.high - found.interval.point == pytest.approx(0.0336, abs=1e-4)
    assert found.source == SOURCE


@pytest.mark.parametrize(
    ("changes", "records", "verdict", "words"),
    [
        ({"match": None}, row(OURS), "not run", "no method of ours"),
        ({}, row(OURS, method="other"), "not run", "no run of ours"),
        ({}, row(OURS, config={"a": 2}), "not run", "no run of ours"),
        ({"match": {"method": "m", "preset": "paper"}}, row(OURS), "not run", "no run of ours"),
        ({"scores": {"auc": {"value": 1.0}}}, row(OURS), "not run", "our runs have no auc"),
        ({"equivalents": {}}, row(OURS), "not comparable", "the paper's: as the paper says"),
        ({"equivalents": {"sw2": {"fingerprint": "0" * 16, "assumed": ""}}}, row(OURS), "not comparable", "another"),
    ],
)
def test_what_cannot_be_judged_says_why(
    claim: Callable[..., list[Claim]], changes: dict[str, Any], records: list[Any], verdict: str, words: str
) -> None:
    (found,) = claim(published(**changes), records)
    assert found.verdict == verdict
    assert words in found.reason


def test_failed_runs_are_no_runs_and_stay_visible(claim: Callable[..., list[Claim]]) -> None:
    (found,) = claim(published(), [made.model_copy(update={"status": "failed", "scores": {}}) for made in row(OURS)])
    assert found.verdict == "not run"
    assert "(5 failed)" in found.reason


def test_every_configuration_that_the_row_describes_gets_a_claim_and_none_is_chosen(
    claim: Callable[..., list[Claim]],
) -> None:
    tuned = row([0.9] * 5, config={"a": 1, "lr": 2}, overrides={"lr": 2})
    found = claim(published(0.5), row(OURS) + tuned)
    assert {one.row: one.verdict for one in found} == {"m": "reproduced", "m[lr=2]": "off"}


def test_uncommitted_code_and_disputes_are_named(claim: Callable[..., list[Claim]]) -> None:
    dirty = [
        m.model_copy(update={"provenance": m.provenance.model_copy(update={"git_dirty": True})}) for m in row(OURS)
    ]
    (found,) = claim(published(disputed="printed otherwise elsewhere"), dirty)
    assert found.marks == ("dirty",)
    assert found.disputed == "printed otherwise elsewhere"


# --- the data ------------------------------------------------------------------------------------------------


def test_every_equivalent_is_a_protocol_of_its_task_today() -> None:
    checked = 0
    for _, line in read_published(paths.published()):
        if line.equivalents:
            assert line.task in plugins("tasks")
            today = {metric.name: metric.protocol.fingerprint for metric in load_task(line.task).metrics}
            for metric, equivalent in line.equivalents.items():
                assert metric in line.scores
                assert today[metric] == equivalent.fingerprint, f"{line.id}: {metric}"
                checked += 1
    assert checked >= 14


def test_every_cell_of_the_papers_table_1_is_held_against_the_committed_records() -> None:
    found = claims(open_index([paths.reference_results()]), read_published(paths.published()))
    table1 = [one for one in found if one.cell.startswith("dxmi/table1/")]
    assert len(table1) == 14
    verdicts = {one.verdict for one in table1}
    assert verdicts <= {Verdict.REPRODUCED, Verdict.WITHIN_NOISE, Verdict.OTHER_SETTING}, "the paper names no setting"
    assert verdicts & {Verdict.REPRODUCED, Verdict.WITHIN_NOISE}
    assert {one.cell for one in found} == {line.id for _, line in read_published(paths.published())}


# --- the command ---------------------------------------------------------------------------------------------


def test_the_command_names_every_cell_and_what_was_assumed(dxbench: Callable[..., Ended]) -> None:
    text = dxbench("claims")
    assert text.code == 0
    unbroken = " ".join(text.out.split())
    assert "the paper leaves open, and we assume: the distance is rooted" in unbroken
    assert "disputed: SFT-PG: 4.82 in Table 2 but 4.32 in the caption of Figure 4" in unbroken
    whole = dxbench("claims", "--format", "md").out
    for _, line in read_published(paths.published()):
        assert line.label in whole
    markdown = dxbench("claims", "--task", "gaussians8", "--format", "md").out
    assert markdown.count("| DxMI, T=5") == 10
    everything = dxbench("claims", "--json").json
    assert len(everything) == len(claims(open_index([paths.reference_results()]), read_published(paths.published())))
    assert {one["verdict"] for one in everything} <= {verdict.value for verdict in Verdict}


def test_unknown_papers_and_tasks_are_usage_errors(dxbench: Callable[..., Ended], tmp_path: Path) -> None:
    ended = dxbench("claims", "--paper", "DxMI 2042")
    assert ended.code == 2
    assert "Did you mean 'DxMI 2024'?" in ended.err
    assert dxbench("claims", "--task", "gausians8").code == 2
    assert dxbench("claims", "--published", tmp_path / "nowhere").code == 2
    assert dxbench("claims", "--results", tmp_path / "nowhere").code == 2


def test_nothing_judged_ends_with_6(dxbench: Callable[..., Ended], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert dxbench("claims", "--results", tmp_path / "empty").code == 6


@pytest.mark.parametrize("source", [None, {"key": "K", "title": "T", "venue": "V", "arxiv": "1"}])
def test_a_published_row_without_a_whole_source_ends_with_5(
    dxbench: Callable[..., Ended], tmp_path: Path, source: dict[str, str] | None
) -> None:
    file = {"schema_version": 1, "rows": [published().model_dump(mode="json")]} | ({"source": source} if source else {})
    (tmp_path / "x.json").write_text(json.dumps(file))
    ended = dxbench("claims", "--published", tmp_path)
    assert ended.code == 5
    assert "source" in ended.err
    assert "x.json" in ended.err
    assert "Traceback" not in ended.err


def test_a_file_that_is_no_record_ends_with_5(dxbench: Callable[..., Ended], tmp_path: Path) -> None:
    write(tmp_path / "results", row(OURS))
    (tmp_path / "results" / "gaussians8" / "m" / "cut.json").write_text("{")
    ended = dxbench("claims", "--results", tmp_path / "results")
    assert ended.code == 5
    assert "cut.json" in ended.err


def test_a_number_of_one_data_set_is_compared_with_that_sets_own() -> None:
    """kNN on `tabular_dte` has the published AUROC of all 19 sets that are not drawn anew."""
    found = claims(open_index([paths.reference_results()]), read_published(paths.published()))
    knn = [claim for claim in found if claim.task == "tabular_dte" and claim.label.startswith("kNN")]
    equal = {claim.label.removeprefix("kNN, ") for claim in knn if claim.reason == "equal in all printed decimals"}
    assert len(knn) == 31
    assert len(equal) == 19
    assert {"letter", "mammography", "yeast"} <= equal
    assert "pima" not in equal
    (letter,) = (claim for claim in knn if claim.label == "kNN, letter")
    assert letter.verdict == Verdict.REPRODUCED
    assert letter.ours is not None
    assert round(letter.ours.value, 2) == letter.published.value == 35.43


def test_a_fresh_run_stands_beside_no_number_of_a_single_data_set() -> None:
    index = open_index([paths.reference_results()], task="tabular_dte")
    fresh = [entry for entry in index.entries("tabular_dte") if entry.method == "knn"]
    assert {row.kind for row in result_beside_published(index, fresh).rows} == {"measured"}
