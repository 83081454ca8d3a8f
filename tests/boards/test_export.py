"""`dxbench leaderboard export`: one table per task, and per suite that is another's table or an ablation."""

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Ended

from dxbench.plugins.suites import load_suite, suite_names

ROOT = Path(__file__).resolve().parents[2]
Command = Callable[..., Ended]
PAGE = "before\n<!-- table dxmi-table1: sw2 -->\nold\n<!-- end of table -->\nafter\n"
BRIEF = "<!-- table gaussians8: sw2, energy_kl | DDIM, 10 NFE | EDM, Heun -->\nold\n<!-- end of table -->\n"


def test_committed_tables_are_what_the_records_give(dxbench: Command) -> None:
    folder, page = ROOT / "leaderboards", ROOT / "README.md"
    ended = dxbench("leaderboard", "export", folder, "--page", page, "--check", "--json")
    assert ended.json["stale"] == ended.json["left_over"] == [], ended.out
    assert ended.code == 0
    assert {path.name for path in folder.iterdir()} == {Path(name).name for name in ended.json["files"]} - {"README.md"}


def test_no_two_names_of_tables_differ_in_hyphens_alone() -> None:
    names = [path.stem.replace("-", "_") for path in (ROOT / "leaderboards").glob("*.md")]
    assert len(set(names)) == len(names)
    assert set(suite_names()) >= {path.stem for path in (ROOT / "leaderboards").glob("*.md")}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from dxbench.boards.export import cost_pictures, export_files
    from dxbench.paths import reference_results
    from dxbench.records.index import open_index

    place = tmp_path_factory.mktemp("export")
    (place / "page.md").write_text(PAGE)
    index = open_index([reference_results()])
    (place / "tables").mkdir()
    for path, text in export_files(index, place / "tables", pages=[place / "page.md"]).items():
        path.write_text(text)
    for path, picture in cost_pictures(index, place / "tables"):
        path.write_bytes(picture)
    return place


def test_a_page_has_its_table_between_its_marks(exported: Path) -> None:
    before, _, rest = (exported / "page.md").read_text().partition("<!-- table dxmi-table1: sw2 -->\n")
    table, _, after = rest.partition("\n<!-- end of table -->")
    assert (before, after) == ("before\n", "\nafter\n")
    lines = table.splitlines()
    assert lines[0].split("|")[3].strip() == "sw2 ↓"
    assert lines[2].startswith("| DDPM, T=5 ")
    assert "old" not in table


def test_a_page_may_have_some_rows_of_a_table_alone(dxbench: Command, tmp_path: Path) -> None:
    page, tables = tmp_path / "page.md", tmp_path / "tables"
    page.write_text(BRIEF)
    assert dxbench("leaderboard", "export", tables, "--page", page).code == 0
    head, _, *rows = page.read_text().splitlines()[1:-1]
    assert [cell.strip() for cell in head.strip("|").split("|")] == ["", "NFE", "sw2 ↓", "energy_kl ↓"]
    first, second = ([cell.strip() for cell in row.strip("|").split("|")] for row in rows)
    assert (first[:2], second[:2]) == (["DDIM, 10 NFE", "10"], ["EDM, Heun", "35"])
    assert first[2].startswith("0.17")
    assert first[3] == "–"  # it has no energy
    assert first[2] in (tables / "gaussians8.md").read_text()
    page.write_text(BRIEF.replace("DDIM, 10 NFE", "DDIM, 9 NFE"))
    refused = dxbench("leaderboard", "export", tables, "--page", page)
    assert (refused.code, "has no row 'DDIM, 9 NFE'; it has EDM, Heun, " in refused.err) == (5, True), refused.err


def test_a_suite_labels_and_orders_its_tasks_table_and_leaves_no_row_out(dxbench: Command, exported: Path) -> None:
    board = (exported / "tables" / "gaussians8.md").read_text().splitlines()
    labels = [line.split("|")[1].strip() for line in board if line.startswith("|")][2:]
    suite = load_suite("gaussians8")
    wanted = [row.label for row in suite.rows if row.method != "data"]
    on_record = [label for label in wanted if label in labels]
    assert labels[: len(on_record)] == on_record
    told = next((line for line in board if line.startswith("- Not run: ")), "- Not run: .")
    shown = {label.removeprefix("= ") for label in labels}  # references stand below, with their sign
    assert told == f"- Not run: {'; '.join(label for label in wanted if label not in shown)}."
    assert labels[-1] == "= fresh draws of the truth"
    task = dxbench("table", "--task", "gaussians8", "--format", "json").json["blocks"]
    assert len(labels) == sum(len(block["rows"]) for block in task)
    assert (exported / "tables" / "gaussians8.md").read_text() == dxbench(
        "table", "--suite", "gaussians8", "--published", "--format", "md"
    ).out
    ablation = (exported / "tables" / "dxmi-ablations-gaussians8.md").read_text()
    assert (
        sum(line.startswith("| ") for line in ablation.splitlines())
        == len(load_suite("dxmi-ablations-gaussians8").rows) + 1
    )


def test_pictures_are_of_the_tasks_that_are_sampled(exported: Path) -> None:
    found = {path.stem: path.read_bytes()[:4] for path in (exported / "tables").glob("*.png")}
    assert found == dict.fromkeys(
        ("digits", "dw4", "fashion_mnist", "gaussians8", "gmm40", "gmm9", "lj13", "manywell32"), b"\x89PNG"
    )


def test_check_names_what_is_stale_missing_and_left_over_and_writes_nothing(dxbench: Command, exported: Path) -> None:
    folder = exported / "tables"
    assert dxbench("leaderboard", "export", folder, "--check").code == 0
    text = (folder / "screw.md").read_text()
    (folder / "screw.md").write_text(text.replace("UniAD", "UniAd"))
    (folder / "tabular_dte.csv").unlink()
    (folder / "tasks").mkdir()
    (folder / "tasks" / "screw.md").write_text(text)
    ended = dxbench("leaderboard", "export", folder, "--check")
    assert ended.code == 5
    assert f"{folder / 'screw.md'} is not what the records give" in ended.out
    assert f"{folder / 'tabular_dte.csv'} is not what the records give" in ended.out
    assert f"{folder / 'tasks' / 'screw.md'} is no table of these records; remove it" in ended.err
    assert not (folder / "tabular_dte.csv").exists()
    (folder / "tasks" / "screw.md").unlink()
    assert dxbench("leaderboard", "export", folder).code == 0
    assert (folder / "screw.md").read_text() == text


def test_a_page_that_is_missing_or_has_no_place_is_refused(dxbench: Command, tmp_path: Path) -> None:
    missing = dxbench("leaderboard", "export", tmp_path / "t", "--page", tmp_path / "no.md")
    assert (missing.code, "no page" in missing.err) == (2, True)
    (tmp_path / "page.md").write_text("no table here\n")
    empty = dxbench("leaderboard", "export", tmp_path / "t", "--page", tmp_path / "page.md")
    assert empty.code == 5
    assert "<!-- table SUITE: METRIC, METRIC -->" in empty.err
    assert not (tmp_path / "t").exists()


INCLUDING = 'name = "more"\ntitle = "More"\ntask = "screw"\ninclude = "mvtec_synthetic"\n'


def test_a_suite_includes_the_rows_of_another(tmp_path: Path, dxbench: Command) -> None:
    path = tmp_path / "more.toml"
    path.write_text(INCLUDING + '[[rows]]\nlabel = "one more"\nmethod = "pca"\n')
    suite, other = load_suite(str(path)), load_suite("mvtec_synthetic")
    assert (suite.name, suite.task, suite.seeds) == ("more", "screw", other.seeds)
    assert [row.label for row in suite.rows] == [*(row.label for row in other.rows), "one more"]
    path.write_text(INCLUDING + "seeds = [7]\n")
    assert load_suite(str(path)).seeds == [7]
    path.write_text(INCLUDING.replace("mvtec_synthetic", str(path)))
    ended = dxbench("table", "--suite", path)
    assert ended.code == 2
    assert "includes itself" in ended.err
    path.write_text(INCLUDING.replace("mvtec_synthetic", "mvtec_synthetik"))
    assert "Did you mean 'mvtec_synthetic'?" in dxbench("table", "--suite", path).err
