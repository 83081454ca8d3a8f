"""Consoles that commands and runs print through: text comes out as it is, whoever wrote it.

Brackets in a help text, a configuration, a warning or a stranger's record are brackets, and colons are colons. Colour
is given by styles, never by words within a text. Control characters are spelled out. All that is printed with rich is
printed through here, and everything else through `streams`.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, TextIO, cast

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import Progress, ProgressColumn, Task, TextColumn
from rich.segment import Segment
from rich.table import Column, Table
from rich.text import Text

from dxbench.plain import plain_lines


class _PlainConsole(Console):
    """A console that prints plain text, save for its own styles and moves."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(plain_lines(segment.text), segment.style)


def console(*, stderr: bool = False, quiet: bool = False, soft_wrap: bool = False) -> Console:
    """A console that takes texts literally; with `soft_wrap` it leaves the breaking of lines to the terminal."""
    file = cast(IO[str], _Stderr()) if stderr else None
    return _PlainConsole(file=file, quiet=quiet, soft_wrap=soft_wrap, markup=False, emoji=False, highlight=False)


class _Stderr:
    """stderr for as long as somebody reads it: that nobody does is no reason to end what is told of there."""

    @property
    def _stream(self) -> TextIO:
        stream = sys.stderr
        while (behind := getattr(stream, "rich_proxied_file", None)) is not None:  # of rich, and ours
            stream = behind
        return stream

    @property
    def rich_proxied_file(self) -> "_Stderr":
        return self

    @property
    def encoding(self) -> str:
        return self._stream.encoding

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def grid(*, header: bool = True) -> Table:
    """A table without lines."""
    return Table(box=None, pad_edge=False, show_header=header, header_style="bold")


class _TextColumn(TextColumn):
    """One line, cut where there is no room for it."""

    def render(self, task: Task) -> Text:
        text = super().render(task)
        text.no_wrap, text.overflow = True, "ellipsis"
        return text


def text_column(template: str, *, style: str = "none") -> TextColumn:
    """A column of a progress bar, such as "{task.description}", filled in literally; it makes room for others."""
    return _TextColumn(template, style=style, markup=False, table_column=Column())


def firm() -> Column:
    """The settings of a column of a progress bar that makes no room for others."""
    return Column(no_wrap=True)


class _Bars(Progress):
    """Bars, and a line below them."""

    def __init__(self, *columns: ProgressColumn, console: Console, below: Callable[[], str]) -> None:
        self._below = below
        super().__init__(*columns, console=console, transient=True)

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        if line := self._below():
            yield Text(line, no_wrap=True, overflow="ellipsis")


def bars(*columns: ProgressColumn, to: Console, below: Callable[[], str] = str) -> Progress:
    """Progress bars that go away when they are done, with a line below them where there is something to say."""
    return _Bars(*columns, console=to, below=below)


@contextmanager
def status(text: str) -> Iterator[Callable[[str], None]]:
    """A moving line on stderr while something is under way, and how to change what it says."""
    with console(stderr=True).status(Text(text)) as shown:
        yield lambda text: shown.update(Text(text))
