"""The command line: the only place with argv, printing and exit codes."""

import io
import sys
import traceback

from dxbench.cli.app import app
from dxbench.cli.streams import plain_streams
from dxbench.errors import DxbenchError, ExitCode
from dxbench.files import machine_fault


def main() -> None:
    """Entry point of the `dxbench` command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a character that the stream lacks is no reason to fail
            stream.reconfigure(errors="replace")
    with plain_streams():
        try:
            app()
        except BrokenPipeError:
            sys.stderr.close()
            sys.exit(int(ExitCode.OK))
        except Exception as error:
            _end(machine_fault(error) or error)


def _end(error: Exception) -> None:
    """One line for an error that is meant for the user, and a traceback for a mistake of ours.

    Should the line quote a text of several, no further one begins as ours do.
    """
    if isinstance(error, DxbenchError):
        print(f"dxbench: {error}".replace("\n", "\n  "), file=sys.stderr)
        sys.exit(int(error.exit_code))
    traceback.print_exception(error)
    sys.exit(int(ExitCode.INTERNAL))
