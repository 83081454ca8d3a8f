"""Checks the English that can be checked by rule: `python tools/prose.py`, or with the files and folders to look at.

docs/english.md gives the rules with examples. The first line of a docstring stands alone; sentences of pages are of a
length that one reading takes; numbers by the dozen stand in a table; the field's words are used.
"""

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLACES = ("README.md", "CONTRIBUTING.md", "docs", "dxbench", "dxmi", "baselines", "benchmarks", "tools")
# Words that begin a docstring whose subject or verb is left to the reader.
FRAGMENTS = re.compile(
    r"(as|at|behind|between|by|for|from|how|if|into?|of|on|over|per|than|that|to|under|what|when|where|whether|which|"
    r"who|whom|whose|why|with|without)\b",
    re.IGNORECASE,
)
LONGEST = 45  # words of a sentence
MOST_NUMBERS = 8  # of a sentence
TERMS = {
    r"in order to": "to",
    r"utili[sz]e[sd]?": "use",
    r"quiet end": "noiseless last step",
    r"yardsticks?": "reference row",
    r"trainees?": "module under training",
    r"scores? of the truth": "score function of the true density",
    r"at the fringe": "among outliers",
    r"whoever": "a row that, a person who",
    r"(is|are) told (its|the|their) class(es)?": "is conditioned on classes",
}
NUMBER = re.compile(r"(?<![\w.])[−-]?\d[\d,.]*(?:e-?\d+)?(?![\w])")


def complaints(path: Path) -> Iterator[str]:
    """Say with file and line what breaks a rule."""
    text = path.read_text(encoding="utf-8")
    yield from of_code(path, text) if path.suffix == ".py" else of_page(path, text)


def of_code(path: Path, text: str) -> Iterator[str]:
    """Complaints of first lines of docstrings."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(text)):
        docstring = ast.get_docstring(node) if isinstance(node, documented) else None
        if docstring and FRAGMENTS.match(docstring) and "?" not in docstring.splitlines()[0]:
            line, first = getattr(node, "lineno", 1), docstring.splitlines()[0]
            yield f"{path}:{line}: begin with a noun phrase or a verb: {first}"


def of_page(path: Path, text: str) -> Iterator[str]:
    """Complaints of sentences of Markdown, outside code, tables and links' addresses."""
    for line, paragraph in paragraphs(text):
        for sentence in re.split(r"(?<=[.!?:;])\s+", paragraph):
            if len(sentence.split()) > LONGEST:
                yield f"{path}:{line}: {len(sentence.split())} words, at most {LONGEST}: {sentence[:70]}..."
            if len(NUMBER.findall(sentence)) > MOST_NUMBERS:
                yield f"{path}:{line}: {len(NUMBER.findall(sentence))} numbers want a table: {sentence[:70]}..."
            for wrong, right in TERMS.items():
                if re.search(rf"\b{wrong}\b", sentence, re.IGNORECASE):
                    yield f'{path}:{line}: write "{right}": {sentence[:70]}...'


def paragraphs(text: str) -> Iterator[tuple[int, str]]:
    """Paragraphs and items of lists, each with its first line's number, code in place of which stands a word."""
    fenced, begun, lines = False, 0, []
    for number, raw in enumerate([*text.splitlines(), ""], 1):
        line = raw.strip()
        fence = line.startswith(("```", "~~~"))
        fenced ^= fence
        ends = fenced or fence or not line or line.startswith(("|", "#", "<", "!["))
        if lines and (ends or re.match(r"([*+-]|\d+\.)\s", line)):
            yield begun, re.sub(r"`[^`]*`", "code", re.sub(r"\]\([^)]*\)", "]", " ".join(lines)))
            lines = []
        if not ends:
            begun = begun if lines else number
            lines.append(line)


def main() -> None:
    """Print every complaint and exit with 1 where there is one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", type=Path, default=[ROOT / place for place in PLACES])
    files = [
        file
        for path in parser.parse_args().paths
        for file in (sorted(path.rglob("*")) if path.is_dir() else [path])
        if file.suffix in {".md", ".py"}
    ]
    found = [line for file in files for line in complaints(file)]
    print("\n".join(found) or f"{len(files)} files read well")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
