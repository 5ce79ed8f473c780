"""Starts the command line and turns every ending into one line and an exit status.

0: done. 1: a check failed or ``--fail-on`` was met. 2: the input or the configuration is wrong, told in
one line on standard error. 130: stopped by Ctrl-C. 141: whoever read the output went away.
"""

import os
import sys

from monitor.errors import InputError
from monitor.spare_collector import starting

PROGRAM = "egress-monitor"
WRONG_INPUT = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells tell it
READER_GONE = 141  # 128 + SIGPIPE


def main(arguments: list[str] | None = None) -> int:
    """Run one command; gives the exit status."""
    starting()
    # no other package has a say in how input is checked; looking for one reads the metadata of all of them
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    import typer

    from monitor.cli import app

    try:
        command = typer.main.get_command(app)
        with command.make_context(PROGRAM, list(sys.argv[1:] if arguments is None else arguments)) as context:
            status = command.invoke(context)
        sys.stdout.flush()
    except typer.Exit as ended:
        return ended.exit_code
    except InputError as error:
        return _tell(str(error))
    except typer.TyperException as error:
        message = error.format_message()  # empty where the help was shown instead
        return _tell(f"{message} See {PROGRAM} --help.") if message else WRONG_INPUT
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        # the interpreter flushes standard output once more at its end, and must not fail there
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE
    return int(status or 0)


def _tell(message: str) -> int:
    from monitor.terminal import visible

    line = " ".join(message.split())
    print(f"{PROGRAM}: {visible(line)}", file=sys.stderr)
    return WRONG_INPUT


if __name__ == "__main__":
    sys.exit(main())
