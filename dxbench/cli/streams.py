"""Standard output and standard error, on which nothing that a stranger wrote acts upon a terminal."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

from dxbench.plain import plain_lines


class _PlainStream:
    """A stream of text that spells out what a terminal would act upon, whoever prints: logs and tracebacks too."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        # Where rich writes the codes of its own styles; its texts are plain by then.
        self.rich_proxied_file = stream

    def write(self, text: str) -> int:
        self._stream.write(plain_lines(text.replace("\t", "    ")))  # a tab is harmless; typer and tracebacks have some
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def plain_streams() -> Iterator[None]:
    """Nothing but plain lines on stdout and stderr, and the colours that are ours."""
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast("TextIO", _PlainStream(stream)) for stream in streams)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams
