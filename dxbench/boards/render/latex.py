"""Tables for papers, in booktabs."""

import unicodedata

from dxbench.boards.render.cells import Cell, cells, differing, header, notes, title
from dxbench.boards.tables import Table

_TEXT = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    # At the start of a row they would be an argument of the line's end before it.
    **{character: f"{{{character}}}" for character in "[]*"},
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "†": r"\dag{}",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "–": "--",
    "—": "---",
    "’": "'",
    "“": "``",
    "”": "''",
    "τ": r"$\tau$",
    "γ": r"$\gamma$",
    "α": r"$\alpha$",
    "×": r"$\times$",
}
_STRUCK = r"{\setbox0\hbox{%s}\rlap{\rule[.55ex]{\wd0}{.4pt}}\box0}"
"""A line through a text, without a package for it."""
_DOCUMENT = r"""\documentclass{article}
\usepackage{booktabs}
\usepackage{graphicx}
\begin{document}
%s
\end{document}"""


def document(table: Table) -> str:
    """A document of this table alone; compiles as it is."""
    return _DOCUMENT % table_environment(table)


def table_environment(table: Table) -> str:
    r"""The table environment, for \input into a paper that loads booktabs and graphicx."""
    columns = len(header(table))
    lines = [
        r"% needs \usepackage{booktabs,graphicx}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(title(table))}}}",
        r"\resizebox{\linewidth}{!}{%",
        rf"\begin{{tabular}}{{l{'r' * (columns - 1)}}}",
        r"\toprule",
        _line([escape(text) for text in header(table)]),
    ]
    for block in table.blocks:
        lines.append(r"\midrule")
        lines += [_line([rf"\multicolumn{{{columns}}}{{l}}{{{escape(text)}}}"]) for text in differing(block)]
        lines += [_line([_cell(cell) for cell in row]) for row in cells(table, block)]
    lines += [r"\bottomrule", r"\end{tabular}}", r"\par\smallskip\footnotesize\raggedright"]
    lines += [rf"{escape(note)}\par" for note in notes(table)]
    return "\n".join([*lines, r"\end{table}"])


def _line(parts: list[str]) -> str:
    return " & ".join(parts) + r" \\"


def _cell(cell: Cell) -> str:
    text = _STRUCK % escape(cell.text) if cell.struck else escape(cell.text)
    raised = "" if cell.rank is None else rf"\textsuperscript{{{str(cell.rank).replace('–', '--')}}}"
    return rf"\textbf{{{text}}}{raised}" if cell.bold else f"{text}{raised}"


def escape(text: str) -> str:
    """Text in which nothing is a command; characters that LaTeX's fonts lack lose their accents or become "?"."""
    return "".join(_TEXT.get(character) or _ascii(character) for character in text)


def _ascii(character: str) -> str:
    if character.isascii():
        return character if character.isprintable() else " "
    # A wide backslash falls apart into a backslash.
    parts = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return escape(parts) if parts else "?"
