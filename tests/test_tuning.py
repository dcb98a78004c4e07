"""The table of measured tilings: what it says goes before the model, and faults in it are named."""

from dataclasses import replace

import pytest
import torch

import cells
from kernels.derive.plan import plan
from kernels.schedules.persistent import tuning
from kernels.schedules.persistent.tiling import (
    DIRECTIONS,
    H100,
    Pass,
    Tiles,
    rank_tilings,
)
from kernels.schedules.persistent.tuning import TableError, TuningEntry
from tests.passes import HALF, work


@pytest.fixture
def table(monkeypatch, tmp_path):
    """An empty table of its own."""
    caches = (tuning.load_table, tuning.order_tilings, tuning.persistent_or_stepwise)
    monkeypatch.setattr(tuning, "FOLDER", tmp_path / "tuned")
    for cached in caches:
        cached.cache_clear()
    yield tuning
    for cached in caches:
        cached.cache_clear()


def entry(given: Pass, tiles: Tiles | None, seconds: float = 1e-6, schedule: str = "persistent") -> TuningEntry:
    return TuningEntry(
        cell=given.plan.cell.name, step=tuning.fingerprint(given.plan), direction=given.direction, B=given.B, H=given.H, dtype="bfloat16",
        tf32=False, schedule=schedule, tiles=tiles, seconds=seconds, tried=3, torch="2.11.0", triton="3.6.0",
    )  # fmt: skip


def test_what_was_measured_comes_first(table):
    """For its batch and those below it, down to the last that was measured, in both 16-bit types; for no other direction, dtype or cell."""
    given = work("lstm", B=32)
    model = table.order_tilings(given, H100)
    last = model[-1]
    assert last != model[0]
    table.add_entry(H100, entry(given, last))
    assert table.order_tilings(given, H100)[0] == last and set(table.order_tilings(given, H100)) == set(model)
    assert table.order_tilings(replace(given, B=17), H100)[0] == table.order_tilings(replace(given, dtype=torch.float16), H100)[0] == last
    for other in (
        replace(given, B=33), replace(given, direction="backward"), replace(given, dtype=torch.float32), work("gru", B=32),
        replace(given, H=256), replace(given, tf32=True),
    ):  # fmt: skip
        assert table.order_tilings(other, H100) == rank_tilings(other, H100), other
    table.add_entry(H100, entry(replace(given, B=16), model[0]))
    assert table.order_tilings(replace(given, B=16), H100)[0] == model[0] and table.order_tilings(given, H100)[0] == last


def test_a_cut_that_no_longer_fits_is_not_taken(table):
    given = work("lstm", B=32)
    table.add_entry(H100, entry(given, Tiles(16, 512, 64, 4)))
    assert table.order_tilings(given, H100) == rank_tilings(given, H100)


def test_the_table_survives(table):
    """Entries are replaced one by one; what was written is what is read, infinity and no tiles included."""
    given = work("lstm")
    table.add_entry(H100, entry(given, None, float("inf")))
    table.add_entry(H100, entry(work("gru"), None, 2e-6, "stepwise"))
    table.add_entry(H100, entry(given, Tiles(16, 16, 64, 4), 3e-6))
    assert table.find_entry(given, H100, "persistent").seconds == 3e-6
    assert table.find_entry(work("gru"), H100, "stepwise").seconds == 2e-6
    assert [path.name for path in (tuning.FOLDER).iterdir()] == ["nvidia-h100.json"]
    assert len(tuning.table_path(H100).read_text().splitlines()) == 4
    text = tuning.table_path(H100).read_text()
    assert '"tiles":null,"seconds":2e-06,' in text and '"tiles":{"BB":16,"BN":16,"BK":64,"warps":4,"units_as_rows":false,' in text
    table.add_entry(H100, entry(given, None, float("inf")))
    assert '"seconds":Infinity' in tuning.table_path(H100).read_text()
    assert table.find_entry(given, H100, "persistent") == entry(given, None, float("inf"))


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("[", "", "Expecting|Extra data"),
        ("[\n{", "{", "Extra data"),
        ('"cell":"lstm",', "", "entry 1 lacks cell"),
        ('"BK":64,', "", "tiles of entry 1 lacks BK"),
        ('"BK":64', '"BK":64,"BZ":1', "tiles of entry 1 has the unknown BZ"),
        ('"cell"', '"sell":1,"cell"', "entry 1 has the unknown sell"),
        ('"B":16', '"B":"16"', "B of entry 1 is '16', and no int"),
        ('"B":16', '"B":true', "B of entry 1 is True, and no int"),
        ('"tf32":false', '"tf32":0', "tf32 of entry 1 is 0, and no bool"),
        ('"direction":"forward"', '"direction":"down"', "direction of entry 1 is 'down', and not forward or backward"),
        ('"tiles":{', '"tiles":3,"torch":"2.11.0","x":{', "entry 1 has the unknown x"),
        ('"seconds":', '"seconds":"no","tried":', "seconds of entry 1 is 'no', and no float"),
    ],
)  # fmt: skip
def test_a_table_with_a_fault_is_named(table, before, after, said):
    table.add_entry(H100, entry(work("lstm"), Tiles(16, 16, 64, 4)))
    file = tuning.table_path(H100)
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after, 1))
    tuning.load_table.cache_clear()
    with pytest.raises(TableError, match=rf"nvidia-h100\.json: .*({said})"):
        table.load_table(H100)


@pytest.mark.parametrize("text", ["{}", "[3]", '[{"cell": 3}]', ""])
def test_a_table_of_something_else(table, text):
    tuning.FOLDER.mkdir()
    tuning.table_path(H100).write_text(text)
    with pytest.raises(TableError, match=r"nvidia-h100\.json: "):
        table.load_table(H100)


def test_the_faster_schedule_is_preferred(table):
    """As modelled; as measured once both schedules were, in both directions."""
    assert table.persistent_or_stepwise(plan(cells.load("lstm")), 16, 512, HALF, False, H100) == "persistent"
    assert table.persistent_or_stepwise(plan(cells.load("lstm")), 16, 4096, HALF, False, H100) == "stepwise"
    for direction in DIRECTIONS:
        given = work("lstm", direction)
        table.add_entry(H100, entry(given, rank_tilings(given, H100)[0], 5e-6))
        table.add_entry(H100, entry(given, None, 4e-6, "stepwise"))
    assert table.persistent_or_stepwise(plan(cells.load("lstm")), 16, 512, HALF, False, H100) == "stepwise"


def test_another_equation_of_the_same_name_is_another_plan():
    def minimal(h, x, W, b):
        return h + W.u(h) + W.x(x)

    assert tuning.fingerprint(plan(cells.Cell(minimal))) != tuning.fingerprint(plan(cells.load("minimal")))
