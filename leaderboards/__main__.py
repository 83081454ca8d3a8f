"""Write the committed tables anew; with --check, fail if they differ from what the records give."""

import sys
from collections.abc import Iterator
from pathlib import Path

from dxbench.boards.render import render
from dxbench.boards.render.text import markdown_grid
from dxbench.boards.tables import Table, suite_table, task_table
from dxbench.errors import NothingMeasured
from dxbench.files.writing import write_text_atomically
from dxbench.paths import reference_results
from dxbench.plugins.suites import load_suite, suite_names
from dxbench.records.index import RecordIndex, open_index

HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"
README_SUITE, README_METRICS = "dxmi-table1", ("sw2", "sw2_exact", "energy_auc", "energy_kl")


def tables(index: RecordIndex) -> Iterator[tuple[str, Table]]:
    """File name without ending, and table: one per suite, and in a folder of their own one per task with records.

    A suite may have the name of its task.
    """
    for task in index.tasks:
        yield f"tasks/{task}", task_table(index, task, published=False)
    for name in suite_names():
        if _has_records(index, name):
            yield name, suite_table(index, load_suite(name), published=True)


def _has_records(index: RecordIndex, suite: str) -> bool:
    try:
        suite_table(index, load_suite(suite), published=False)
    except NothingMeasured:
        return False
    return True


def contents() -> dict[Path, str]:
    """Every generated file with its text."""
    index = open_index([reference_results()])
    index.refuse_problems()
    files = {}
    for name, table in tables(index):
        for ending in ("md", "csv"):
            path = HERE / f"{name}.{ending}"
            assert path not in files, f"two tables are called {name}"
            files[path] = render(table, ending) + "\n"
    files[README] = readme(index, README.read_text(encoding="utf-8"))
    return files


def readme(index: RecordIndex, text: str) -> str:
    """The README with its table as the records give it; as it was, while there are none."""
    if not _has_records(index, README_SUITE):
        return text
    table = suite_table(index, load_suite(README_SUITE), metrics=README_METRICS, published=True)
    rows = "\n".join(markdown_grid(table, block) for block in table.blocks)
    before, _, rest = text.partition("<!-- table -->\n")
    _, _, after = rest.partition("<!-- end of table -->")
    assert after, "README.md has lost the marks around its table"
    return f"{before}<!-- table -->\n{rows}\n<!-- end of table -->{after}"


def main(arguments: list[str]) -> int:
    """0, or 1 with --check where a file is missing, stale or left over."""
    wanted = contents()
    present = {*HERE.rglob("*.md"), *HERE.rglob("*.csv"), README}
    if arguments == ["--check"]:
        stale = [path for path, text in wanted.items() if path not in present or path.read_text("utf-8") != text]
        stale += sorted(present - set(wanted))
        for path in stale:
            sys.stderr.write(f"{path.relative_to(HERE.parent)} is not what the records give; run `make board`\n")
        return int(bool(stale))
    for path, text in wanted.items():
        write_text_atomically(path, text)
    for path in present - set(wanted):
        path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
