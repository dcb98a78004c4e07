"""Whatever is typed: it runs, or one clear line says what to type instead, and nothing was written."""

import sys

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bench import cli

BASE = ("all", "--dry-run", "--cells", "vanilla", "--backends", "eager", "--device", "cpu")
FLAGS = (
    "--cells", "--backends", "--seq-lens", "--batch", "--hidden", "--input", "--dtype", "--precision", "--seed", "--suite", "--budget",
    "--timeout", "--device", "--out",
)  # fmt: skip
PIECES = st.sampled_from([
    "vanilla", "gur", "lstm", "eager", "x.py:f", "tests/faults.py:no way", "0", "-1", "1e9", "3.5", "9" * 40, "8m", "m", "-8m", "0s", "٣",
    "½", "inf", "nan", "float32", "float8", "tf32", "cpu", "tpu", " ", ",", ",,", ":", "\n", "",
])  # fmt: skip
TEXT = st.one_of(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12),
    st.lists(PIECES, max_size=3).map(",".join),
    st.integers().map(str),
    st.floats().map(str),
)


@pytest.fixture
def call(monkeypatch, capfd, tmp_path):
    """Run the command line in this process, in a folder of its own. Returns its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["bench", *arguments])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        captured = capfd.readouterr()
        assert not list(tmp_path.iterdir()), "a dry run writes nothing"
        return stop.value.code or 0, captured.out, captured.err

    return run


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(FLAGS), TEXT, min_size=1, max_size=2))
@example({"--seq-lens": "٣"})
@example({"--seq-lens": "9" * 5000})
@example({"--backends": "."})
@example({"--backends": "/dev/null.py:f"})
@example({"--cells": "--cells"})
@example({"--budget": "9" * 400 + "h"})
@example({"--out": "x" * 300})
def test_any_argument_is_taken_or_answered_in_one_line(call, given_flags):
    arguments = [part for pair in given_flags.items() for part in pair]
    code, out, err = call(*BASE, *arguments)
    assert code in (0, 2)
    if code == 2:
        assert out == "" and err.startswith("bench: ") and err.count("\n") == 1 and len(err) < 600, err
    else:
        assert "none measured" in out


SIZED = ("--seq-lens", "--batch", "--hidden", "--input", "--seed", "--budget", "--timeout")


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(SIZED), TEXT.filter(lambda text: text.strip() and not any(c.isnumeric() for c in text)))
def test_what_has_no_digit_is_no_size_and_no_time(call, flag, text):
    code, _, err = call(*BASE, flag, text)
    assert code == 2 and flag in err, (code, err)
