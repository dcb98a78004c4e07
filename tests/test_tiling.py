"""Cuts fit the device, and the model and the table rank them."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import cells
from bench.harness import fit_cost_model
from kernels.derive.plan import plan
from kernels.schedules.persistent import tuning
from kernels.schedules.persistent.tiling import (
    COST,
    DIRECTIONS,
    H100,
    MAX_REGISTERS,
    PREFETCH_BYTES,
    RESERVED_BYTES,
    Chip,
    Pass,
    Tiles,
    enumerate_tilings,
    estimate_registers,
    estimate_seconds,
    rank_tilings,
)
from kernels.schedules.persistent.tuning import TableError, TuningEntry

HALF = torch.bfloat16


def work(cell: str, direction: str = "forward", B: int = 16, H: int = 512, dtype: torch.dtype = HALF) -> Pass:
    return Pass(plan(cells.load(cell)), direction, B, H, dtype)


@settings(max_examples=60)
@given(st.sampled_from(cells.SEED), st.sampled_from(DIRECTIONS), st.integers(1, 300), st.integers(1, 3000), st.sampled_from([8, 132]))
def test_every_cut_fits(cell, direction, B, H, multiprocessors):
    chip = replace(H100, multiprocessors=multiprocessors)
    given = work(cell, direction, B, H)
    for tiles in enumerate_tilings(given, chip):
        programs = tiles.programs(H)
        assert programs * tiles.BN >= H and tiles.grid(B, H) * tiles.BB >= B * programs
        assert programs == 1 or tiles.grid(B, H) <= multiprocessors, "programs that meet must all be there"
        assert len(given.plan.recurrent) * tiles.BN * H * 2 <= given.weight_bytes(tiles) <= chip.shared - RESERVED_BYTES
        assert 1 <= tiles.prefetch <= given.k_blocks(tiles)
        assert tiles.split == 1 or tiles.warps <= tiles.split, "more warps than slices repeat each other's products"
        ahead = tiles.BB * tiles.BK * tiles.split * tiles.prefetch * 2
        assert tiles.prefetch == 1 or ahead <= min(PREFETCH_BYTES, chip.shared - RESERVED_BYTES - given.weight_bytes(tiles))
        assert estimate_seconds(given, chip, tiles) > 0


def test_what_is_held_by_hand():
    """A GRU of H=100 in 16 bit, 16 units: three matrices in stretches of 64, or four where they stand on top of each other."""
    assert work("gru", H=100).weight_bytes(Tiles(16, 16, 64, 4)) == 3 * 16 * 128 * 2
    assert work("gru", H=100).weight_bytes(Tiles(16, 16, 64, 4, units_as_rows=True)) == 4 * 16 * 128 * 2
    assert work("gru", "backward", H=100).weight_bytes(Tiles(16, 16, 64, 4, units_as_rows=True)) == 3 * 16 * 128 * 2
    assert work("gru", H=100).weight_bytes(Tiles(16, 16, 64, 4, split=4)) == 3 * 16 * 256 * 2


def test_what_does_not_fit_has_no_cut():
    assert not rank_tilings(work("lstm", B=16, H=4096), H100)
    assert not rank_tilings(work("lstm", B=512, H=1024), H100)
    assert not rank_tilings(work("vanilla", H=1024), Chip("small", 132, 32 * 1024))


def test_what_takes_minutes_to_compile_has_no_cut():
    """In float32 without tensor cores: a large tile of a wide cell. The same is no matter in tf32, nor is a small one."""
    wide = work("vanilla", B=200, H=1536, dtype=torch.float32)
    assert not rank_tilings(wide, H100) and rank_tilings(replace(wide, tf32=True), H100)
    assert rank_tilings(replace(wide, B=64, H=512), H100)


def test_minimal_needs_no_meeting_where_gru_does():
    """At H=256 in 16 bit a program holds the one matrix of MinimalRNN, and not the three of a GRU."""
    assert any(tiles.programs(256) == 1 for tiles in rank_tilings(work("minimal", H=256), H100))
    assert all(tiles.programs(256) > 1 for tiles in rank_tilings(work("gru", H=256), H100))


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_model_grows(direction):
    """With every size, and with what is meant to cost."""
    tiles = Tiles(16, 16, 64, 4, prefetch=8)
    base = estimate_seconds(work("lstm", direction), H100, tiles)
    assert estimate_seconds(work("lstm", direction, H=1024), H100, tiles) > base
    assert estimate_seconds(work("lstm", direction, dtype=torch.float32), H100, tiles) > base
    assert estimate_seconds(work("lstm", direction), H100, replace(tiles, BB=32)) > base
    assert estimate_seconds(work("vanilla", direction), H100, tiles) < base
    assert estimate_seconds(work("gru", direction), H100, tiles) < estimate_seconds(work("gru_reset_before", direction), H100, tiles), (
        "it meets twice"
    )


def test_the_model_ranks_what_was_measured():
    """On an H200, with triton 3.6: what the costs were fitted to is what they are, and still says which cuts are fast."""
    cuts = fit_cost_model.read_timings(Path(__file__).parent / "tilings.jsonl")
    found = fit_cost_model.judge_ranking(cuts, fit_cost_model.model_times(cuts, H100))
    assert len(cuts) > 70 and found["rank"] > 0.7, found
    assert found["first_mean"] < 1.02 and found["first_worst"] < 1.2, found
    assert found["three_mean"] < 1.005 and found["three_worst"] < 1.05, found
    costs = fit_cost_model.fit_costs(cuts, H100)
    assert all(costs[part] == pytest.approx(cost, rel=0.1) for part, cost in COST.items()), costs


def test_a_bad_model_is_told():
    """Where it ranks backwards, and where it knows nothing."""
    cuts = fit_cost_model.read_timings(Path(__file__).parent / "tilings.jsonl")
    backwards = fit_cost_model.judge_ranking(cuts, {name: [-took for _, took in timed] for name, timed in cuts.items()})
    perfect = fit_cost_model.judge_ranking(cuts, {name: [took for _, took in timed] for name, timed in cuts.items()})
    assert backwards["rank"] == pytest.approx(-1) and backwards["first_worst"] > 2 and perfect["first_worst"] == 1


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("cell", ["cfn", "gru", "lstm"])
def test_what_would_spill_comes_last(cell, direction):
    """Where no cut of the first four was without spills once, at B=64 and H=1024; with as many warps as slices."""
    given = work(cell, direction, B=64, H=1024, dtype=torch.float16)
    found = [estimate_registers(given, tiles) > MAX_REGISTERS for tiles in rank_tilings(given, H100)]
    assert not any(found[:3]) and found[-1] and found == sorted(found)


def test_the_guess_of_registers_knows_what_spilled():
    """As triton 3.6 compiled them: these spilled 48 and 512 bytes, the others nothing."""
    given = [work(cell, direction, B=64, H=1024, dtype=torch.float16) for cell, direction in (("cfn", "forward"), ("lstm", "backward"))]
    assert estimate_registers(given[0], Tiles(16, 32, 128, 8, True, 1, 8)) > MAX_REGISTERS
    assert estimate_registers(given[0], Tiles(16, 32, 64, 8, True, 8, 2)) <= MAX_REGISTERS
    assert estimate_registers(given[1], Tiles(32, 16, 128, 4, False, 4, 1)) > MAX_REGISTERS
    assert estimate_registers(given[1], Tiles(32, 16, 32, 8, False, 8, 2)) <= MAX_REGISTERS


@pytest.fixture
def table(monkeypatch, tmp_path):
    """An empty table of its own."""
    caches = (tuning.load_table, tuning.order_tilings, tuning.choose_schedule)
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
    assert table.choose_schedule(plan(cells.load("lstm")), 16, 512, HALF, False, H100) == "persistent"
    assert table.choose_schedule(plan(cells.load("lstm")), 16, 4096, HALF, False, H100) == "stepwise"
    for direction in DIRECTIONS:
        given = work("lstm", direction)
        table.add_entry(H100, entry(given, rank_tilings(given, H100)[0], 5e-6))
        table.add_entry(H100, entry(given, None, 4e-6, "stepwise"))
    assert table.choose_schedule(plan(cells.load("lstm")), 16, 512, HALF, False, H100) == "stepwise"


def test_another_equation_of_the_same_name_is_another_plan():
    def minimal(h, x, W, b):
        return h + W.u(h) + W.x(x)

    assert tuning.fingerprint(plan(cells.Cell(minimal))) != tuning.fingerprint(plan(cells.load("minimal")))
