"""What a terminal shows."""

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from bench.records import Records
from bench.render import console
from bench.render.formatting import format_factor, format_number
from bench.render.header import count_statuses, list_contents
from tests.records import case, gradient, records, timed, whole


def shown(run: Records, width: int = 140, **options: object) -> str:
    stream = io.StringIO()
    terminal = Console(file=stream, width=width, **options)
    for table in console.list_renderables(run):
        terminal.print(table)
    return stream.getvalue()


@pytest.mark.parametrize("width", [80, 140])
def test_nothing_is_cut_at_either_width(width):
    lines = shown(whole(), width).splitlines()
    assert max(map(cell_len, lines)) <= width
    text = "\n".join(lines)
    assert "…" not in text
    for word in ("gru_reset_before", "torchrecurrent", "not compared", "no such cell", "stepwise: no time (verified", "3.77×", "★"):
        assert word in text


@pytest.mark.parametrize("width", [24, 40])
def test_a_narrow_terminal_folds(width):
    lines = shown(whole(), width).splitlines()
    assert max(map(cell_len, lines)) <= width
    assert "…" not in "".join(lines)


def test_it_is_plain_where_there_is_no_terminal(monkeypatch):
    assert "\x1b" not in shown(whole())
    monkeypatch.setenv("NO_COLOR", "1")
    bare = shown(whole(), force_terminal=True)
    assert "\x1b[32m" not in bare and "\x1b[1;32m" not in bare
    assert "★ 37.6 3.77×" in bare
    monkeypatch.delenv("NO_COLOR")
    assert "\x1b[1;32m★ 37.6 3.77×" in shown(whole(), force_terminal=True, color_system="standard")


def test_rendering_twice_is_the_same():
    assert shown(whole()) == shown(whole())


def test_a_cell_that_torch_lacks_shows_the_gru_it_is_held_against():
    lines = shown(whole()).splitlines()
    at = next(k for k, line in enumerate(lines) if line.startswith("minimal "))
    assert lines[at].split()[:9] == ["minimal", "16", "no", "such", "cell", "8.87", "2.02×", "gru", "★"]


def test_light_is_one_small_table():
    text = shown(whole(), 80)
    assert text.count("× hardware lower bound, T=") == 1
    lines = text[text.index("× hardware lower bound, T=128: training including the input projection") :].splitlines()
    head = " ".join(lines[1:3]).split()
    assert {"cell", "lower", "bound,", "ms", "set", "by", "vendor", "eager", "compiled"} <= set(head)
    lstm = next(line for line in lines if line.startswith("lstm"))
    assert lstm.split() == ["lstm", "92.0", "products", "1.50×", "2.06×", "1.09×", "–"]
    assert "× hardware lower bound" not in shown(records(timed(case(), 1.0)))


def test_failures_are_counted_and_told():
    run = records(
        *(timed(case(backend=status), status=status, reason=f"because of [{status}]") for status in ("oom", "crashed", "incorrect")),
        timed(case(backend="eager"), 1.0),
    )
    text = shown(run)
    assert "4 cases: 1 ok, 1 incorrect, 1 oom, 1 crashed" in text
    assert "no failures" not in text
    for status in ("oom", "crashed", "incorrect"):
        assert f"because of [{status}]" in text


def test_a_run_of_failures_alone():
    text = shown(records(timed(case(backend="vendor"), status="timeout", reason="60 s"), timed(case(), status="failed", reason="x|y")))
    assert "2 cases: 1 timeout, 1 failed" in text
    assert text.count("timeout") >= 3
    assert not {"nan", "NaN", "★"} & set(text.split())


def test_an_empty_run_and_one_sample():
    assert "0 cases: no failures" in shown(records())
    text = shown(records(timed(case(), 0.0123), timed(case(backend="vendor"), 0.0246)))
    assert "★ 12.3 ?2.00×" in text and "☆ 24.6" not in text, "one call each shows nothing of who is slower"


def test_ok_without_samples_is_a_word():
    assert "not timed" in shown(records(timed(case()), timed(case(backend="vendor"), 1.0)))


def test_gradients_as_a_picture():
    run = records(gradients=(gradient("lstm", 16), gradient("vanilla_relu", 16)))
    lines = shown(run).splitlines()
    lstm, relu = (next(line for line in lines if line.startswith(name)).split() for name in ("lstm", "vanilla_relu"))
    assert lstm[2:] == ["-0.0700", "5.2e+00", "0"] and relu[2:] == ["-0.9000", "8.9e-06", "0"]
    assert lstm[1][0] == relu[1][0] == "█" and relu[1][-1] == "▁" and lstm[1][-1] > relu[1][-1]


def test_gradients_that_are_zero_absent_or_not_finite():
    zero = gradient("lstm", 4).model_copy(update={"by_lag": [1.0, 0.1, 0.0, 0.0, 0.0], "non_finite": 3})
    text = shown(records(gradients=(zero, gradient("cfn", 4).model_copy(update={"by_lag": []}))))
    assert (
        "█▁···" in text
        and "NaN or Inf entries" in text
        and next(line for line in text.splitlines() if line.startswith("lstm")).split()[-1] == "3"
    )
    assert "none" in text and "unknown" in text


def test_numbers():
    assert [format_number(x) for x in (0.000012, 0.0123, 1.234, 12.34, 123.4, 12345.6)] == [
        "1.2e-05",
        "0.0123",
        "1.23",
        "12.3",
        "123",
        "12,346",
    ]
    assert [format_factor(x) for x in (0.0036, 0.25, 2.0, 12.34)] == ["0.0036×", "0.25×", "2.00×", "12.3×"]
    assert format_number(0) == "0" and format_number(float("nan")) == "not finite"
    assert count_statuses([]) == "0 cases: no failures"


def test_a_run_without_cases_says_what_it_has():
    gradients = (gradient("lstm", 4), gradient("cfn", 4))
    assert list_contents(records(gradients=gradients)) == "2 gradient profiles" and "2 gradient profiles" in shown(
        records(gradients=gradients)
    )
    assert list_contents(records()) == "0 cases: no failures" and list_contents(whole()) == count_statuses(whole().cases)
