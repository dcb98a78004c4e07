"""The planted faults: each still fits its module, and a test was seen to find it."""

from pathlib import Path

from tests.planted.faults import FAULTS
from tests.planted.plant import FOUND, ROOT, check_arguments, read_lines


def test_each_fits_its_module_once():
    assert [fault.name for fault in FAULTS if (ROOT / fault.module).read_text().count(fault.old) != 1] == []
    assert [fault.name for fault in FAULTS if fault.old == fault.new] == []


def test_there_are_enough_and_each_has_a_name_and_a_place_of_its_own():
    assert len(FAULTS) >= 60
    assert len({fault.name for fault in FAULTS}) == len({fault.digest for fault in FAULTS}) == len(FAULTS)


def test_their_tests_exist():
    """A file, or a test of one as FILE::NAME."""
    for fault in FAULTS:
        for test in fault.tests:
            file, _, name = test.partition("::")
            assert (ROOT / file).is_file() and (not name or f"\ndef {name}(" in (ROOT / file).read_text()), f"{fault.name}: {test}"


def test_each_was_found():
    """`make faults` plants those that changed."""
    lines = read_lines(FOUND)
    found = {fault.name for fault in FAULTS if (line := lines.get(fault.name)) and line["found"] and line["row"] == fault.digest}
    assert {fault.name for fault in FAULTS} == found == lines.keys()


def test_what_make_check_runs_is_read_off_the_makefile():
    files = [word for word in check_arguments() if word.endswith(".py")]
    assert files and all(Path(ROOT, file).is_file() for file in files) and "-k" in check_arguments()
