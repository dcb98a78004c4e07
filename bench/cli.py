"""Defines the command line, `python -m bench COMMAND`. Invalid arguments give a one-line error on stderr and exit code 2."""

import os
import sys

import click

from bench.commands.all import run_all
from bench.commands.bundle import bundle
from bench.commands.calibrate import calibrate
from bench.commands.compare import compare
from bench.commands.gpu import campaign, tune
from bench.commands.inspect import doctor, list_cells, show
from bench.commands.merge import merge
from bench.commands.publish import publish
from bench.commands.report import report
from bench.commands.scale import scale
from bench.commands.signals import chaos, gradients, jacobian, theory
from bench.commands.train import train
from bench.errors import UsageError
from bench.records import RecordError


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.pass_context
def app(context: click.Context) -> None:
    """Measure recurrent cells, fused from their equations, against torch.nn and cuDNN."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for command in (
    run_all, gradients, jacobian, theory, chaos, train, compare, merge, scale, report, publish, list_cells, show, doctor, calibrate, tune,
    campaign, bundle,
):  # fmt: skip
    app.add_command(command)


QUIET = {"KINETO_LOG_LEVEL": "99", "TORCH_CPP_LOG_LEVEL": "ERROR", "TEARDOWN_CUPTI": "1"}
"""Settings of torch's profiler, which counts memory and launches. Without them it writes to stderr between progress lines and, on a GPU,
keeps tracing launches after it has ended."""


def main() -> None:
    """Runs the command that `sys.argv` names.

    Raises:
        SystemExit: Always. The exit code is 0, or 2 for invalid arguments, 130 after an interruption, or the command's own.
    """
    os.environ.update({name: os.environ.get(name, value) for name, value in QUIET.items()})
    try:
        code = app(standalone_mode=False)
    except (UsageError, RecordError) as error:
        code = print_error(str(error))
    except click.ClickException as error:
        code = print_error(error.format_message())
    except click.Abort:
        code = 130
    sys.exit(code or 0)


LONGEST = 480


def print_error(message: str) -> int:
    """Prints an error as one line, shortened to LONGEST characters, and returns the exit code 2."""
    words = " ".join("".join(c if c.isprintable() else " " for c in message).split())
    shown = words if len(words) <= LONGEST else f"{words[: LONGEST // 2]} … {words[-LONGEST // 2 :]}"
    click.echo(f"bench: {shown}", err=True)
    return 2
