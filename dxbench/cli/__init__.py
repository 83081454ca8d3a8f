"""The command line: the only place with argv, printing and exit codes."""

import io
import sys
from contextlib import suppress
from typing import NoReturn

from dxbench.cli.app import app
from dxbench.errors import DxbenchError, ExitCode
from dxbench.files import machine_fault


def main() -> None:
    """Entry point of the `dxbench` command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a character that the stream lacks is no reason to fail
            stream.reconfigure(errors="replace")
    try:
        app()
    except DxbenchError as error:
        _end(error)
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):  # who reads has read enough, which Typer makes an error of
            sys.exit(int(ExitCode.OK))
        raise
    except Exception as error:
        fault = machine_fault(error)
        if fault is None:
            raise
        _end(fault)


def _end(error: DxbenchError) -> NoReturn:
    with suppress(OSError):  # nobody listens any more
        print(f"dxbench: {error}", file=sys.stderr)
    sys.exit(int(error.exit_code))
