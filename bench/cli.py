"""Defines the command line, `python -m bench COMMAND`. Invalid arguments give a one-line error on stderr and exit code 2."""

import _thread
import errno
import io
import os
import signal
import sys
import threading
import tomllib
from importlib import metadata
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click

from bench.commands.all import run_all
from bench.commands.bundle import bundle
from bench.commands.calibrate import calibrate
from bench.commands.compare import compare
from bench.commands.export_c import export_c
from bench.commands.gpu import campaign, tune
from bench.commands.inspect import doctor, list_cells, show
from bench.commands.merge import merge
from bench.commands.publish import publish
from bench.commands.report import report
from bench.commands.scale import scale
from bench.commands.signals import chaos, gradients, jacobian, parallel, theory
from bench.commands.train import train
from bench.errors import UsageError
from bench.records import RecordError


class Interrupted(click.ClickException):
    """SIGINT or SIGTERM ended the command."""

    exit_code = 130


class App(click.Group):
    """The group of all commands, which turns an interruption into one line and the exit code 130."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted("interrupted") from None
        except Exception:
            if INTERRUPTIONS:  # a library has made another error of it, as imports do
                raise Interrupted("interrupted") from None
            raise


def print_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    """Prints the version of this source tree or, without its pyproject.toml, of the installed package."""
    if not wanted or context.resilient_parsing:
        return
    source = Path(__file__).parents[1] / "pyproject.toml"
    try:
        version = tomllib.loads(source.read_text(encoding="utf-8"))["project"]["version"] if source.is_file() else metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        version = "of an unknown version"
    click.echo(f"{PACKAGE} {version}")
    context.exit()


@click.group(cls=App, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=print_version, help="Show the version and exit.")
@click.pass_context
def app(context: click.Context) -> None:
    """Measure recurrent cells, fused from their equations, against torch.nn and cuDNN."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for command in (
    run_all, gradients, jacobian, theory, chaos, parallel, train, compare, merge, scale, report, publish, list_cells, show, doctor,
    calibrate, tune, campaign, bundle, export_c,
):  # fmt: skip
    app.add_command(command)


PACKAGE = "recurrent-bench"

QUIET = {"KINETO_LOG_LEVEL": "99", "TORCH_CPP_LOG_LEVEL": "ERROR", "TEARDOWN_CUPTI": "1"}
"""Settings of torch's profiler, which counts memory and launches. Without them it writes to stderr between progress lines and, on a GPU,
keeps tracing launches after it has ended."""


UNWRITABLE = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""The errors of a stream that takes no more."""


def main() -> None:
    """Runs the command that `sys.argv` names.

    Raises:
        SystemExit: Always. The exit code is 0, or 2 for invalid arguments, 130 after an interruption, or the command's own.
    """
    os.environ.update({name: os.environ.get(name, value) for name, value in QUIET.items()})
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that isn't UTF-8 gets "?" for what it lacks
            stream.reconfigure(errors="replace")
    try:
        if sys.stdout is None:
            raise UsageError("stdout is closed: redirect it to a file or a terminal")
        code = app(standalone_mode=False)
        sys.stdout.flush()
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would write the rest at its end, and fail again
        is_read = not isinstance(error, BrokenPipeError)  # unlike by `head`, which has seen enough
        code = print_error(f"can't write ({error.strerror}): make room, or redirect stdout elsewhere") if is_read else 1
    except (UsageError, RecordError) as error:
        code = print_error(str(error))
    except click.ClickException as error:
        code = print_error(error.format_message(), error.exit_code if isinstance(error, Interrupted) else 2)
    except click.Abort:
        code = print_error("interrupted", 130)
    sys.exit(code or 0)


LONGEST = 480


def print_error(message: str, code: int = 2) -> int:
    """Prints an error as one line, shortened to LONGEST characters, and returns the exit code."""
    words = " ".join("".join(c if c.isprintable() else " " for c in message).split())
    shown = words if len(words) <= LONGEST else f"{words[: LONGEST // 2]} … {words[-LONGEST // 2 :]}"
    click.echo(f"bench: {shown}", err=True)
    return code


INTERRUPTIONS: list[int] = []
"""The signals that have asked this process to end."""


def raise_on_signals() -> None:
    """Makes SIGINT and SIGTERM raise KeyboardInterrupt from now on, unless they are ignored. One that Python swallows, because it came in
    a destructor or a callback, is sent again."""

    def stop(number: int, _: FrameType | None) -> NoReturn:
        INTERRUPTIONS.append(number)
        raise KeyboardInterrupt

    def send_again(swallowed: "sys.UnraisableHookArgs") -> None:
        if isinstance(swallowed.exc_value, KeyboardInterrupt):
            threading.Timer(0.01, _thread.interrupt_main).start()  # sent here, it would be swallowed with this function
        else:
            sys.__unraisablehook__(swallowed)

    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)
    sys.unraisablehook = send_again
