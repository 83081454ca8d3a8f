"""The rules of English: each sees what breaks it and nothing else, and the project keeps them."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "tools" / "prose.py"


def checked(*paths: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(TOOL), *map(str, paths)], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("docstring", ["Of the images.", "What a run reads.", "Whether it is so.", "As above."])
def test_a_docstring_that_leaves_its_subject_to_the_reader_is_named_with_its_line(tmp_path: Path, docstring: str):
    file = tmp_path / "module.py"
    file.write_text(f'"""A module."""\n\n\ndef f():\n    """{docstring}"""\n')
    result = checked(file)
    assert result.returncode == 1
    assert f"{file}:4: begin with a noun phrase or a verb: {docstring}" in result.stdout


@pytest.mark.parametrize(
    ("sentence", "complaint"),
    [
        ("word " * 46 + "end.", "47 words, at most 45"),
        ("It is 1, 2, 3, 4, 5, 6, 7, 8 and 9.", "9 numbers want a table"),
        ("It does so in order to win.", 'write "to"'),
    ],
)
def test_a_sentence_that_breaks_a_rule_is_named_with_its_paragraphs_line(tmp_path: Path, sentence: str, complaint: str):
    page = tmp_path / "page.md"
    page.write_text(f"# Title\n\nA good sentence.\nAnother. {sentence}\n")
    result = checked(page)
    assert result.returncode == 1
    assert f"{page}:3: {complaint}" in result.stdout


def test_tables_code_and_addresses_are_no_sentences(tmp_path: Path):
    page = tmp_path / "page.md"
    numbers = " ".join(map(str, range(30)))
    table, code, link = f"| {numbers} |\n|---|", f"```\n{numbers}\n```", f"[it](https://a/{'1/' * 30})"
    page.write_text(f"{table}\n\n{code}\n\nSee `{numbers}` and {link}.\n\n* One.\n* Two.\n")
    assert checked(page).returncode == 0


def test_the_project_keeps_the_rules():
    result = checked()
    assert result.returncode == 0, result.stdout
