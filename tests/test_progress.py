"""Progress: a bar on a terminal, lines in a log."""

import sys

from bench.harness import progress
from bench.harness.progress import print_line, show_progress


def test_a_log_gets_lines_with_a_count(capsys, monkeypatch):
    """At most one in two seconds while nothing new is said, and the last in any case."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with show_progress(4) as tell:
        for seconds, words, finished in (
            (0, "checking lstm", 1),
            (1, "checking gru", 1),
            (63, "timing T=4", 0),
            (64, "", 1),
            (64.5, "end", 1),
        ):
            now[0] = seconds
            tell(words, finished)
    assert capsys.readouterr().err == "1 of 4, 0:00: checking lstm\n2 of 4, 1:03: timing T=4\n4 of 4, 1:04: end\n"


def test_a_terminal_gets_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    with show_progress(2) as tell:
        tell("timing", 1)
    assert "timing" not in "".join(line for line in capsys.readouterr().err.splitlines() if line.startswith("1 of 2"))
    print_line("done")
    assert capsys.readouterr().err == "done\n"
