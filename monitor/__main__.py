"""Starts the command line and turns every ending into one line and an exit status.

0: done. 1: a check failed or ``--fail-on`` was met. 2: the input or the configuration is wrong, told in
one line on standard error. 130: stopped by Ctrl-C. 141: whoever read the output went away.
"""

import os
import signal
import sys
from types import FrameType
from typing import Any

PROGRAM = "egress-monitor"
WRONG_INPUT = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells tell it
READER_GONE = 141  # 128 + SIGPIPE
IMPORT_SYSTEM = "<frozen importlib._bootstrap>"  # the file that its frames are of


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, under a type of our own.

    CPython that runs a module (``-m``) notes a plain KeyboardInterrupt that leaves an ``exec`` of text,
    although somebody catches it later, and then ends by the signal whatever the status is. Libraries run such
    texts: dataclasses makes its methods so.
    """


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Raise `Interrupted`, or end at once during an import: Polars' own panics where one is interrupted.

    Nothing is lost by that: what is kept outlives ``kill -9``.
    """
    while frame is not None:
        if frame.f_code.co_filename == IMPORT_SYSTEM:
            os._exit(INTERRUPTED)
        frame = frame.f_back
    raise Interrupted


# before anything else is imported: that takes longer than people are patient. Not where the shell ignores it
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _interrupt)


def main() -> int:
    """Run one command as a program of its own; gives the exit status."""
    try:
        status = _run()
    except KeyboardInterrupt:
        status = INTERRUPTED
    # what is left is the interpreter's end, and it would die of the signal
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return status


def _run() -> int:
    from monitor.spare_collector import ending, starting

    starting()
    # no other package has a say in how input is checked; looking for one reads the metadata of all of them
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    import typer

    from monitor.cli import app
    from monitor.errors import InputError

    try:
        command = typer.main.get_command(app)
        with command.make_context(PROGRAM, sys.argv[1:]) as context:
            status = command.invoke(context)
        sys.stdout.flush()
    except typer.Exit as ended:
        return ended.exit_code
    except InputError as error:
        return _tell(str(error))
    except typer.TyperException as error:
        message = error.format_message()  # empty where the help was shown instead
        if not message:
            return WRONG_INPUT
        end = "" if message.endswith((".", "?")) else "."
        return _tell(f"{message}{end} See {_command(error)} --help.")
    except typer.Abort:
        return INTERRUPTED
    except BrokenPipeError:
        # the interpreter flushes standard output once more at its end, and must not fail there
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE
    ending()
    return int(status or 0)


def _command(error: Any) -> str:
    """Give the command whose options were wrong, as it is typed; the program where it is none of them."""
    context = getattr(error, "ctx", None)
    return PROGRAM if context is None else str(context.command_path)


def _tell(message: str) -> int:
    from monitor.terminal import visible

    line = " ".join(message.split())
    print(f"{PROGRAM}: {visible(line)}", file=sys.stderr)
    return WRONG_INPUT


if __name__ == "__main__":
    sys.exit(main())
