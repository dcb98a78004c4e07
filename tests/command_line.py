"""The command line, called in the process of a test."""

import sys

import pytest
from click.testing import CliRunner

from bench import cli


@pytest.fixture
def bench(monkeypatch, capfd):
    """Call `python -m bench …` in this process. Returns its exit code, stdout and stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["bench", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        captured = capfd.readouterr()
        return stop.value.code or 0, captured.out, captured.err

    return call


def stdout(*arguments: str) -> str:
    """Returns the stdout of a command that succeeds."""
    done = CliRunner().invoke(cli.app, [str(a) for a in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout
