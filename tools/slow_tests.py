"""Chooses the tests that `make test` leaves to `.ci/run`: `python tools/slow_tests.py REPORT.xml --share 0.25`.

REPORT.xml is of a run of all tests but the attacks: `pytest -n 2 -m "not attack" --junitxml=REPORT.xml`. The quickest
functions whose times add up to that share of the report are left to `make test`; all others are written to
tests/slow.txt, which marks them as slow. A function goes with all its cases.
"""

import argparse
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
LIST = ROOT / "tests" / "slow.txt"
HEAD = """\
# Tests that `make test` leaves to .ci/run, since they take long: tools/slow_tests.py writes this list.
"""


def seconds(report: Path) -> dict[str, float]:
    """Time of every test function, its cases and fixtures together."""
    found: defaultdict[str, float] = defaultdict(float)
    for case in ElementTree.parse(report).iter("testcase"):
        parts = case.attrib["classname"].split(".")
        depth = next(n for n in range(len(parts), 0, -1) if (ROOT / Path(*parts[:n])).with_suffix(".py").is_file())
        inside = [*parts[depth:], case.attrib["name"].partition("[")[0]]
        found["::".join([Path(*parts[:depth]).with_suffix(".py").as_posix(), *inside])] += float(case.attrib["time"])
    return dict(found)


def chosen(times: dict[str, float], *, share: float) -> list[str]:
    """Functions beyond the quickest ones, which take that share of the whole."""
    left, slow = share * sum(times.values()), []
    for name, time in sorted(times.items(), key=lambda item: item[1]):
        left -= time
        if left < 0:
            slow.append(name)
    return sorted(slow)


def main() -> None:
    """Read the report and write the list."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path)
    parser.add_argument("--share", type=float, required=True, help="of the report's time that `make test` may take")
    args = parser.parse_args()
    names = chosen(seconds(args.report), share=args.share)
    LIST.write_text(HEAD + "".join(f"{name}\n" for name in names), encoding="utf-8")


if __name__ == "__main__":
    main()
