"""The command line: which commands there are, and what becomes of a user's mistake.

What only some commands need, torch above all, is imported inside them, so that `--help` and `list` answer at once.
"""

import os
import signal
import sys
import warnings
from errno import EDQUOT, EFBIG, ENOSPC
from typing import NoReturn

import tyro
from rich.console import Console

from negreplay import __version__
from negreplay.cli.data import DataCommand
from negreplay.cli.hub import PullCommand, PushCommand
from negreplay.cli.models import ExportCommand, ForgetCommand, InspectCommand, MergeCommand, RenameCommand, UndoCommand
from negreplay.cli.photographs import LearnCommand, PredictCommand
from negreplay.cli.runs import ReportCommand, ResumeCommand, RunCommand
from negreplay.cli.search import SearchCommand
from negreplay.cli.studies import ListCommand, ShowCommand
from negreplay.cli.teach import TeachCommand
from negreplay.errors import Terminated, UserError

COMMANDS = {
    "learn": LearnCommand,
    "predict": PredictCommand,
    "inspect": InspectCommand,
    "forget": ForgetCommand,
    "rename": RenameCommand,
    "merge": MergeCommand,
    "undo": UndoCommand,
    "export": ExportCommand,
    "push": PushCommand,
    "pull": PullCommand,
    "teach": TeachCommand,
    "run": RunCommand,
    "list": ListCommand,
    "show": ShowCommand,
    "report": ReportCommand,
    "resume": ResumeCommand,
    "search": SearchCommand,
    "data": DataCommand,
}


def main() -> None:
    """Runs a command; a user's mistake is one sentence and exit code 2."""
    if sys.argv[1:] == ["--version"]:
        print(f"negreplay {__version__}")
        return
    signal.signal(signal.SIGTERM, _terminated)
    warnings.filterwarnings("ignore", "Image size .* exceeds limit")  # Pillow's, of images that it reads all the same
    console = Console()
    try:
        tyro.extras.subcommand_cli_from_dict(COMMANDS, prog="negreplay", description=__doc__)(console)
    except UserError as error:
        _fail(str(error))
    except BrokenPipeError:  # whoever read our output, `head` for one, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if error.filename is None and error.errno not in (ENOSPC, EDQUOT, EFBIG):
            raise
        file = error.filename or "a file"
        _fail(f"{file} cannot be read or written ({error.strerror}): check its path, its permissions and the space.")
    except MemoryError:
        _fail("the memory of this machine is exhausted: stop what else runs, or give smaller files or settings.")
    except KeyboardInterrupt as stop:
        print(_printable(str(stop)) or "stopped.", file=sys.stderr)
        sys.exit(143 if isinstance(stop, Terminated) else 130)


def _terminated(*_: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # `timeout` and others ask twice; the first time is enough
    raise Terminated


def _fail(sentence: str) -> None:
    print(f"negreplay: {_printable(sentence)}", file=sys.stderr)
    sys.exit(2)


def _printable(text: str) -> str:
    """The text with control characters spelled out: the name of a file or a field may not steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
