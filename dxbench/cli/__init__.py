"""The command line: the only place with argv, printing and exit codes."""

import io
import sys
import traceback
from contextlib import suppress
from typing import NoReturn

from dxbench.cli.app import app
from dxbench.cli.streams import plain_streams
from dxbench.errors import DxbenchError, ExitCode
from dxbench.files.code import at_line, told
from dxbench.files.faults import machine_fault
from dxbench.threads import let_waiting_threads_sleep

__all__ = ["main"]


def main() -> None:
    """Entry point of the `dxbench` command."""
    let_waiting_threads_sleep()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a character that the stream lacks is no reason to fail
            stream.reconfigure(errors="replace")
    with plain_streams():
        try:
            app()
        except SystemExit as ended:
            if isinstance(
                ended.__context__, BrokenPipeError
            ):  # who reads has read enough, which Typer makes an error of
                sys.exit(int(ExitCode.OK))
            raise
        except Exception as error:
            _end(machine_fault(error) or error)


def _end(error: Exception) -> NoReturn:
    """One line for an error that is meant for the user or of a file of theirs, a traceback for a mistake of ours.

    Should the line quote a text of several, no further one begins as ours do.
    """
    if isinstance(error, BrokenPipeError):
        sys.stderr.close()
        sys.exit(int(ExitCode.OK))
    with suppress(OSError):  # nobody listens any more
        if isinstance(error, DxbenchError):
            print(f"dxbench: {error}".replace("\n", "\n  "), file=sys.stderr)
        elif at_line(error):
            print(f"dxbench: {told(error)}; mend that line".replace("\n", "\n  "), file=sys.stderr)
        else:
            traceback.print_exception(error)
    if isinstance(error, DxbenchError):
        sys.exit(int(error.exit_code))
    sys.exit(int(ExitCode.USAGE if at_line(error) else ExitCode.INTERNAL))
