"""Terminals that aren't UTF-8: every command prints what they have, and a mark for the rest."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.records import lines, whole
from tests.sampling import in_full

ROOT = Path(__file__).parents[1]


LATIN = {"PYTHONIOENCODING": "latin-1"}
ASCII = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}


@pytest.mark.parametrize(
    ("environ", "arguments"),
    [
        in_full(LATIN, ("report", "{run}")),
        (ASCII, ("compare", "{run}", "{run}")),
        in_full(ASCII, ("show", "minimal")),
    ],
)
def test_nothing_ends_in_a_traceback(tmp_path, environ, arguments):
    """Files are UTF-8 wherever they are written."""
    (tmp_path / "records.jsonl").write_text(lines(whole()), encoding="utf-8")
    command = [sys.executable, "-m", "bench", *(word.format(run=tmp_path) for word in arguments)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | environ, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert b"?" in done.stdout
    if arguments[0] == "report":
        assert "×" in (tmp_path / "report.md").read_text(encoding="utf-8")
