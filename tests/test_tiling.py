"""Tilings fit the device, and the model ranks them."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import cells
from bench.harness import fit_cost_model
from kernels.schedules.persistent.tiling import (
    COST,
    DIRECTIONS,
    H100,
    MAX_REGISTERS,
    PREFETCH_BYTES,
    RESERVED_BYTES,
    Chip,
    Tiles,
    enumerate_tilings,
    estimate_registers,
    estimate_seconds,
    rank_tilings,
)
from tests.passes import work


@settings(max_examples=60)
@given(st.sampled_from(cells.DEFAULT), st.sampled_from(DIRECTIONS), st.integers(1, 300), st.integers(1, 3000), st.sampled_from([8, 132]))
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
