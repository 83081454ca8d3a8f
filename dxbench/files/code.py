"""Code in files of users: the line of theirs that an error comes from."""

import linecache
import traceback
from pathlib import Path

MODULE = "dxbench_file_"
"""Names of the modules of such files begin so."""
_SHOWN = 100
"""Characters of a line of code."""


def at_line(error: BaseException) -> str:
    """Words behind an error's own, such as " (mine.py, line 12: return 1 / 0)"; "" where no line of a user's led to it.

    Of several lines it is the innermost, and of a file that is no Python the one that the compiler names.
    """
    if isinstance(error, SyntaxError):  # which says the file and the number itself
        return f": {error.text.strip()[:_SHOWN]}" if error.text else ""
    frames = [
        (frame.f_code.co_filename, number)
        for frame, number in traceback.walk_tb(error.__traceback__)
        if frame.f_globals.get("__name__", "").startswith(MODULE)
    ]
    if not frames:
        return ""
    path, number = frames[-1]
    linecache.checkcache(path)
    return f" ({Path(path).name}, line {number}: {linecache.getline(path, number).strip()[:_SHOWN]})"


def told(error: BaseException) -> str:
    """An error of any kind as a user is told of it: its type, its words, and the line of theirs that it comes from."""
    return f"{type(error).__name__}: {error}{at_line(error)}"
