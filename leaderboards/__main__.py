"""Write the committed tables anew; with --check, fail if they differ from what the records give."""

import sys
from collections.abc import Iterator
from pathlib import Path

from dxbench.boards.tables import Table, render, suite_table, task_table
from dxbench.errors import InvalidFile, NothingMeasured
from dxbench.paths import reference_results
from dxbench.records import write_text_atomically
from dxbench.suites import load_suite, suite_names

HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"
README_SUITE, README_METRICS = "dxmi-table1", ("sw2", "sw2_exact", "energy_auc", "energy_kl")


def refuse(text: str) -> None:
    """Every committed record has to be readable."""
    raise InvalidFile(text)


def tables() -> Iterator[tuple[str, Table]]:
    """File name without ending, and table: one per task with records, one per suite."""
    folders = [reference_results()]
    tasks = sorted(p.name for p in reference_results().iterdir() if p.is_dir() and p.name != "published")
    for task in tasks:
        yield task, task_table(task, folders, metrics=None, published=False, warn=refuse)
    for name in suite_names():
        try:
            yield name, suite_table(load_suite(name), folders, metrics=None, published=True, warn=refuse)
        except NothingMeasured:
            continue


def contents() -> dict[Path, str]:
    """Every generated file with its text."""
    files = {}
    for name, table in tables():
        files[HERE / f"{name}.md"] = render(table, "md") + "\n"
        files[HERE / f"{name}.csv"] = render(table, "csv") + "\n"
    files[README] = readme(README.read_text(encoding="utf-8"))
    return files


def readme(text: str) -> str:
    """The README with its table as the records give it; as it was, while there are none."""
    try:
        table = suite_table(
            load_suite(README_SUITE), [reference_results()], metrics=README_METRICS, published=True, warn=refuse
        )
    except NothingMeasured:
        return text
    rows = "\n".join(line for line in render(table, "md").splitlines() if line.startswith("|"))
    before, _, rest = text.partition("<!-- table -->\n")
    _, _, after = rest.partition("<!-- end of table -->")
    assert after, "README.md has lost the marks around its table"
    return f"{before}<!-- table -->\n{rows}\n<!-- end of table -->{after}"


def main(arguments: list[str]) -> int:
    """0, or 1 with --check where a file is missing, stale or left over."""
    wanted = contents()
    present = {*HERE.glob("*.md"), *HERE.glob("*.csv"), README}
    if arguments == ["--check"]:
        stale = [path for path, text in wanted.items() if path not in present or path.read_text("utf-8") != text]
        stale += sorted(present - set(wanted))
        for path in stale:
            sys.stderr.write(f"{path.name} is not what the records give; run `make board`\n")
        return int(bool(stale))
    for path, text in wanted.items():
        write_text_atomically(path, text)
    for path in present - set(wanted):
        path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
