"""Writes the equations of methods for boards and `dxbench info`: `python tools/equations.py`, as `make board` does.

They are those of the pages in `docs/methods`: the tables whose second column is "equation". A page may have several
methods; a part that begins with names, "`dds`, `dxdp`: policy", is of these alone. The first column may also be
"method", and the second then names the part: "equation of the energy".
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from dxbench.plugins import registry

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs" / "methods"
MADE = ROOT / "baselines" / "dxbench_baselines" / registry.EQUATIONS
TABLE = re.compile(r"^\| (part|method) \| equation(?: of the (\w+))? \|.*\n\|[-:| ]+\|\n((?:\|.*\n)+)", re.MULTILINE)
CELL = re.compile(r"(?<!\\)\|")
NAMED = re.compile(r"`(\w+)`(?:, )?")
LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")


def plain(cell: str) -> str:
    """The text of a cell without marks of Markdown."""
    return LINK.sub(r"\1", cell).replace("`", "").replace("\\|", "|").strip()


def of_page(text: str) -> Iterator[tuple[list[str], str, str]]:
    """Names of methods, part and equation, of every line of a page's tables of equations."""
    heading = NAMED.findall(text.split("\n", 1)[0])
    for found in TABLE.finditer(text):
        first, part_of_all, lines = found.groups()
        for line in lines.splitlines():
            part, equation = (cell.strip() for cell in CELL.split(line)[1:3])
            if first == "method":
                yield NAMED.findall(part), part_of_all, plain(equation)
                continue
            names, colon, rest = part.partition(": ")
            own = NAMED.findall(names) if colon and not NAMED.sub("", names) else []
            yield (own, plain(rest), plain(equation)) if own else (heading, plain(part), plain(equation))


def equations() -> dict[str, dict[str, str]]:
    """Equations by part, of every method that a page has some of."""
    known = registry.plugins("methods")
    found: dict[str, dict[str, str]] = {}
    for page in sorted(PAGES.glob("*.md")):
        for names, part, equation in of_page(page.read_text(encoding="utf-8")):
            for name in names:
                if name not in known:
                    raise SystemExit(f"{page.name}: no method is called {name!r}")
                found.setdefault(name, {})[part] = equation
    return dict(sorted(found.items()))


def text() -> str:
    """Text of the file."""
    return json.dumps(equations(), ensure_ascii=False, indent=1) + "\n"


def main() -> int:
    """Write the file."""
    MADE.write_text(text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
