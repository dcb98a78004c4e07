"""Records files that are broken, by bytes, lines, types and values: one clear line each, exit 2, no traceback, and the file stays as it is.

What still reads is rendered in every form, so that nothing that passes the reading falls over later.
"""

import copy
import gzip
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.analysis.comparison import RunSet, compare
from bench.records import CaseRecord, RecordError, Records, read_records, truncate_partial_line
from bench.records.records_file import compress_records
from bench.render import comparison_tables, export, run_report
from tests.command_line import bench
from tests.records import RUN, case, detailed, lines

__all__ = ["bench"]

GOOD = lines(detailed()).encode()
LINES = GOOD.splitlines(keepends=True)
PARSED = [json.loads(line) for line in LINES]
VALUES = st.sampled_from([
    None, True, "", "7", "a|b\n", "\x1b[31m", "\ud800", "$x$", [], {}, [1], -1, 0, 1, 2**31, 2**63, 10**25, 10**5000, 1e308, -1e308, 5e-324,
    float("nan"), float("inf"), float("-inf"), [0.0] * 9, [1e-320] * 9, [-1.0] * 9, [float("nan")] * 9, {"x": float("nan")},
])  # fmt: skip
CALM = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def answer(bench, capfd, tmp_path):
    """Gives the bytes of a records file to `report` and `compare`; returns the complaint, "" where there is none."""
    sys.set_int_max_str_digits(0)  # for json.dumps of the numbers that are too large; reading is held to its own bound
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad.jsonl"
    good.write_bytes(GOOD)

    def check(data: bytes) -> str:
        bad.write_bytes(data)
        try:
            found = read_records(bad)
        except RecordError:
            said = ""
            for arguments in (
                ("report", bad, "--out", tmp_path / "out"),
                ("compare", good, bad),
                ("compare", bad, good, "--force", "--csv"),
            ):
                code, out, err = bench(*arguments)
                assert (code, out) == (2, ""), err
                assert err.startswith(f"bench: {bad}: ") and err.count("\n") == 1 and len(err) < 1000, err
                said = err
        else:
            said = ""
            for form in ("", "json", "csv", "md", "latex"):
                export.write_run(found, form)
            if {r.case for r in found.cases} & {r.case for r in detailed().cases}:
                comparison_tables.write_comparison(compare(RunSet("good", (read_records(good),)), RunSet("bad", (found,))), "")
            assert run_report.render_report(found, []).startswith("# ")
            capfd.readouterr()
        assert bad.read_bytes() == data
        return said

    return check


@settings(CALM)
@given(st.integers(0, len(GOOD) - 1), st.integers(0, 7), st.integers(1, 3))
def test_flipped_bits(answer, at, bit, times):
    data = bytearray(GOOD)
    for k in range(times):
        data[(at * (k + 1)) % len(data)] ^= 1 << bit
    answer(bytes(data))


@settings(CALM)
@given(st.integers(0, len(GOOD)))
def test_a_file_that_is_cut(answer, length):
    said = answer(GOOD[:length])
    whole = GOOD[:length].endswith((b"}\n", b"}")) and length > len(LINES[0]) - 2
    assert bool(said) != whole or "line" in said


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where in nested data something can be put."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] + [place for key, item in inside for place in places(item, (*path, key))]


@pytest.mark.full
@settings(CALM, max_examples=120)
@given(st.data(), VALUES)
def test_values_of_other_types_and_sizes(answer, data, value):
    number = data.draw(st.integers(0, len(LINES) - 1))
    line = copy.deepcopy(PARSED[number])
    path = data.draw(st.sampled_from([place for place in places(line) if place]))
    target = line
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    answer(b"".join([*LINES[:number], json.dumps(line).encode() + b"\n", *LINES[number + 1 :]]))


@settings(CALM, max_examples=30)
@given(st.lists(st.integers(0, len(LINES) - 1), max_size=12))
def test_lines_in_any_order(answer, order):
    said = answer(b"".join(LINES[k] for k in order))
    assert bool(said) == (not order or order[0] != 0)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "line 1 is not a run"),
        (b"\n\n", "line 1"),
        (b"\x00" * 64, "line 1"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "can't be read"),
        (b"cell,backend,ms\ngru,vendor,1.2\n", "line 1 is not a run"),
        (b'"cell","backend"\n', "line 1 is not a run"),
        (b"[" * 100_000, "line 1 is not a run"),
        (b"{}", "line 1"),
        (b"NaN\n", "line 1"),
        (b"1e400\n", "line 1"),
        (LINES[0] + b'{"kind":"chart"}\n', "line 2: "),
        (LINES[0] + b'{"kind":"end","wall":1,"spent":{},"a\\nb":1}\n', "line 2: end.a\\nb: Extra inputs"),
        (LINES[0].replace(b'"schema_version":5', b'"schema_version":[]'), "line 1 has schema []"),
        (LINES[0].replace(b'"schema_version":5', b'"schema_version":' + b"9" * 5000), "line 1 holds a number that is too large"),
        (LINES[0] + LINES[1].replace(b'"T":16', b'"T":0'), "case.case.T: Input should be greater than or equal to 1"),
        (LINES[0] + LINES[1].replace(b'"cell":"gru"', b'"cell":"\\u001b[31m"'), "case.case.cell: "),
        (LINES[0] + LINES[1].replace(b"[0.002,", b"[NaN,"), "case.samples.0: "),
        (LINES[0] + LINES[1].replace(b"[0.002,", b"[-1,"), "case.samples.0: "),
    ],
    ids=range(18),
)
def test_what_is_said(answer, data, says):
    assert data not in (LINES[0], LINES[0] + LINES[1]), "nothing was replaced"
    assert says in answer(data)


@pytest.mark.full
@pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered in:RuntimeWarning")  # by an older matplotlib
@settings(CALM, max_examples=6)
@given(
    st.sampled_from(["by_lag", "samples", "peak", "saved"]), st.lists(st.one_of(st.floats(), st.sampled_from([0.0, 1e-300])), max_size=5)
)
def test_odd_numbers_can_be_drawn(tmp_path, part, numbers):
    """Plots of norms, times and bytes that a file may hold."""
    found = detailed()
    if part == "by_lag":
        found = found.model_copy(update={"gradients": [found.gradients[0].model_copy(update={part: numbers})]})
    elif part == "samples":
        samples = [abs(number) for number in numbers if abs(number) < 1e9]
        found = found.model_copy(update={"cases": [r.model_copy(update={"samples": samples}) for r in found.cases]})
    else:
        size = int(min(abs(numbers[0]), 2**62)) if numbers and numbers[0] == numbers[0] else 0
        memory = found.cases[1].memory.model_copy(update={part: size})
        found = found.model_copy(update={"cases": [r.model_copy(update={"memory": memory}) for r in found.cases]})
    run_report.draw_plots(Path(tmp_path), found)


def test_gzipped_records_are_read_like_plain_ones(tmp_path):
    """Beside a report, by their own name, and as `publish` writes them; what is cut short is one line that says so."""
    (tmp_path / "records.jsonl").write_text(lines(detailed()))
    plain = read_records(tmp_path)
    packed = compress_records(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["records.jsonl.gz"] and compress_records(tmp_path) == packed
    assert {found.model_dump_json() for found in (plain, read_records(tmp_path), read_records(packed))} == {plain.model_dump_json()}
    data = packed.read_bytes()
    (tmp_path / "records.jsonl").write_text(lines(detailed()))
    compress_records(tmp_path)
    assert packed.read_bytes() == data, "byte for byte the same"
    for broken in (data[:-30], data[:40] + b"\0\0\0" + data[43:]):
        packed.write_bytes(broken)
        with pytest.raises(RecordError, match="can't be read"):
            read_records(tmp_path)


def test_of_a_case_measured_again_the_last_record_counts_and_failures_stay(tmp_path):
    a, b, c = case("lstm"), case("gru"), case("cfn")
    statuses = [(a, "skipped"), (c, "skipped"), (a, "ok"), (b, "failed"), (b, "ok"), (b, "ok"), (c, "failed")]
    lines = [RUN, *(CaseRecord(case=k, status=status, samples=[1.0] * n) for n, (k, status) in enumerate(statuses))]
    (tmp_path / "records.jsonl").write_text("".join(line.model_dump_json() + "\n" for line in lines))
    found = [(r.case, r.status, len(r.samples)) for r in read_records(tmp_path).cases]
    assert sorted(found, key=str) == sorted([(a, "ok", 2), (b, "failed", 3), (b, "ok", 5), (c, "failed", 6)], key=str)


@pytest.mark.parametrize("write", [
    lambda data: b"\xef\xbb\xbf" + data, lambda data: data.replace(b"\n", b"\r\n"),
    lambda data: data.splitlines(keepends=True)[0] + b"\xef\xbb\xbf" + data.split(b"\n", 1)[1],
])  # fmt: skip
def test_what_editors_add_is_read(tmp_path, write):
    """A byte order mark in front of the file or of a line, and other ends of lines."""
    (tmp_path / "records.jsonl").write_bytes(write(GOOD))
    assert read_records(tmp_path).model_dump_json() == Records.model_dump_json(read_good(tmp_path))


def read_good(folder: Path) -> Records:
    (folder / "good.jsonl").write_bytes(GOOD)
    return read_records(folder / "good.jsonl")


@pytest.mark.parametrize("data", [
    b"# Report\n\ntext\n", b"\xff\xfe{\x00}\x00", b'{"a": 1}\n', b"[" * 100_000, GOOD.replace(b"}\n{", b"}{", 1), GOOD[:-40],
    b"\n" + GOOD, GOOD.replace(b"\n", b"\n\n", 2), b"",
])  # fmt: skip
def test_no_advice_loses_data(answer, data):
    said = answer(data)
    assert said and not any(word in said for word in ("delete", "remove", "overwrite"))


@pytest.mark.parametrize(("end", "left"), [
    (LINES[-1][:-9], b"".join(LINES[:-1])), (LINES[-1].rstrip(b"\n"), GOOD), (b"", b"".join(LINES[:-1])),
    (b"[" * 100_000, b"".join(LINES[:-1])),
])  # fmt: skip
def test_only_an_incomplete_line_is_cut_off(tmp_path, end, left):
    path = tmp_path / "records.jsonl"
    path.write_bytes(b"".join(LINES[:-1]) + end)
    truncate_partial_line(path)
    assert path.read_bytes() == left


@pytest.mark.parametrize("length", [0, 1, 12, 14, 40, len(LINES[0]) - 2])
def test_cut_off_in_its_first_line_it_is_empty(tmp_path, length):
    path = tmp_path / "records.jsonl"
    path.write_bytes(LINES[0][:length])
    assert truncate_partial_line(path) == bool(length) and path.read_bytes() == b""


@pytest.mark.parametrize("data", [
    b"notes without an end", b"# Notes\n\nmore of them", b"{}\n{", b'{"a": 1', b'{"kind":"runs","n', b'{"kind":"run","by":"me',
    b"[" * 100_000, b"12 notes", b" {", b'{"a": 1}', b"[]", GOOD.replace(b"\n", b" "), GOOD.replace(b"\n", b""),
    GOOD.replace(b"\n", b"\r")[:-9], b"".join(LINES[:2]) + LINES[2].rstrip() + LINES[3][:-9],
])  # fmt: skip
def test_what_holds_more_than_a_partial_record_is_not_cut(tmp_path, data):
    """A file of anything but records, and records that lost the ends of their lines."""
    path = tmp_path / "records.jsonl"
    path.write_bytes(data)
    with pytest.raises(RecordError, match=r"Nothing was changed|line 1"):
        truncate_partial_line(path)
    assert path.read_bytes() == data


def test_two_files_of_different_records_stay(tmp_path):
    (tmp_path / "records.jsonl").write_bytes(GOOD)
    (tmp_path / "records.jsonl.gz").write_bytes(gzip.compress(b"".join(LINES[:3])))
    with pytest.raises(RecordError, match="hold different records"):
        compress_records(tmp_path)
    assert (tmp_path / "records.jsonl").read_bytes() == GOOD and read_records(tmp_path / "records.jsonl.gz").cases
