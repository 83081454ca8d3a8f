"""What commands print through: text comes out as it is, whoever wrote it.

Brackets in a help text, a configuration, a warning or a stranger's record are brackets, and colons are colons. Colour
is given by styles, never by words within a text. Control characters are spelled out. All that is printed with rich is
printed through here, and everything else through `streams`.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import Progress, ProgressColumn, TextColumn
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from dxbench.plain import plain_lines


class _PlainConsole(Console):
    """What it prints is plain, save for its own styles and moves."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(plain_lines(segment.text), segment.style)


def console(*, stderr: bool = False, quiet: bool = False, soft_wrap: bool = False) -> Console:
    """A console that takes texts literally; with `soft_wrap` it leaves the breaking of lines to the terminal."""
    return _PlainConsole(stderr=stderr, quiet=quiet, soft_wrap=soft_wrap, markup=False, emoji=False, highlight=False)


def grid(*, header: bool = True) -> Table:
    """A table without lines."""
    return Table(box=None, pad_edge=False, show_header=header, header_style="bold")


def text_column(template: str, *, style: str = "none") -> TextColumn:
    """A column of a progress bar, such as "{task.description}", filled in literally."""
    return TextColumn(template, style=style, markup=False)


def bars(*columns: ProgressColumn, to: Console) -> Progress:
    """Progress bars that go away when they are done."""
    return Progress(*columns, console=to, transient=True)


@contextmanager
def status(text: str) -> Iterator[Callable[[str], None]]:
    """A moving line on stderr while something is under way, and how to change what it says."""
    with console(stderr=True).status(Text(text)) as shown:
        yield lambda text: shown.update(Text(text))
