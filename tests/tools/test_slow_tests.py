"""The list of tests that `make test` leaves out names what there is, and leaves the quickest."""

import re
from pathlib import Path
from typing import Any

import pytest
from tool_files import load_tool

ROOT = Path(__file__).resolve().parents[2]
REPORT = """<testsuites><testsuite>
<testcase classname="tests.tools.test_slow_tests" name="test_a[x.y]" time="1.0" />
<testcase classname="tests.tools.test_slow_tests" name="test_a[z]" time="2.0" />
<testcase classname="tests.tools.test_slow_tests" name="test_b" time="0.5" />
<testcase classname="tests.tools.test_slow_tests.TestThese" name="test_c" time="6.5" />
</testsuite></testsuites>"""


@pytest.fixture(scope="module")
def tool() -> Any:
    return load_tool("slow_tests")


def test_times_are_of_functions_and_the_quickest_stay(tool: Any, tmp_path: Path) -> None:
    (tmp_path / "report.xml").write_text(REPORT)
    times = tool.seconds(tmp_path / "report.xml")
    here = "tests/tools/test_slow_tests.py"
    assert times == {f"{here}::test_a": 3.0, f"{here}::test_b": 0.5, f"{here}::TestThese::test_c": 6.5}
    assert tool.chosen(times, share=0.35) == [f"{here}::TestThese::test_c"]
    assert tool.chosen(times, share=0.2) == [f"{here}::TestThese::test_c", f"{here}::test_a"]


def test_every_listed_function_exists(tool: Any) -> None:
    for name in tool.LIST.read_text(encoding="utf-8").splitlines()[1:]:
        path, *_, function = name.split("::")
        assert re.search(rf"def {function}\(", (ROOT / path).read_text(encoding="utf-8")), (
            f"{name}: run tools/slow_tests.py"
        )
