"""What machine code says of a step, of small kernels written by hand; and the verdicts that are kept hold for the kernels as they are."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

import cells
from kernels.derive.plan import plan
from kernels.schedules.persistent import machine_code, tuning
from kernels.schedules.persistent.machine_code import Verdict, judge, longest_load_chain, longest_loop, read_verdicts
from kernels.schedules.persistent.tiling import H100, Chip, Pass, Tiles, rank_tilings

GOOD = Verdict(1.0, 1.0, 1, 7, 640, 128, 0)
WORK = Pass(plan(cells.load("lstm")), "forward", 16, 64, torch.float16)
TILES = Tiles(16, 16, 16, 4, split=4)


def sass(*names: str, inner: bool = True) -> str:
    """A kernel that loads, and then loops over these instructions, with a poll that jumps within them."""
    names = ("LDG.E", *names, "@P0 BRA")
    lines = [f"        /*{16 * k:04x}*/    {name} R0, R2 ;    /* 0x000000000000 */" for k, name in enumerate(names)]
    lines[-1] = f"        /*{16 * (len(names) - 1):04x}*/    @P0 BRA 0x10 ;    /* 0x000000000000 */"
    if inner:
        lines.insert(3, "        /*002a*/    @!P2 BRA 0x20 ;    /* 0x000000000000 */")
    return "\n".join(lines)


def used(code: str, stack: int = 0, local: int = 0) -> SimpleNamespace:
    """What `offline.Resources` has of it, which only imports where there is a triton."""
    return SimpleNamespace(sass=code, stack=stack, local=local)


def test_the_loop_is_the_longest():
    assert longest_loop(sass("LDG.E.STRONG.GPU", "BAR.SYNC", "HMMA.16816.F32")) == [
        "LDG.E.STRONG.GPU",
        "BAR.SYNC",
        "BRA",
        "HMMA.16816.F32",
        "BRA",
    ]
    with pytest.raises(ValueError, match="without a loop"):
        longest_loop("        /*0000*/    EXIT ;")


def test_loads_in_a_chain():
    """Loads in front of the poll that wait for each other, across the end of the loop; what the products load later is no matter."""
    poll, load, bar, arrive = "LDG.E.STRONG.GPU", "LDG.E.128", "BAR.SYNC.DEFER_BLOCKING", "REDG.E.ADD.STRONG.GPU"
    assert longest_load_chain([load, load, poll, bar, load, bar, load, bar, arrive]) == 1
    assert longest_load_chain([load, bar, load, poll, bar, load, bar, arrive]) == 2
    assert longest_load_chain([load, poll, bar, arrive, load, bar]) == 2
    assert longest_load_chain([poll, bar, arrive]) == 0
    assert longest_load_chain([poll, bar, load, bar, load, arrive, poll, bar, arrive]) == 0, (
        "a second stage's poll comes right after the arrival"
    )
    assert longest_load_chain([load, bar, load, bar]) == 0, "nobody polls"


def test_a_step_by_hand():
    """An LSTM's 16 sequences and 16 units, H=64, in 4 warps and slices: 4 matrices of 2 tiles and one stretch, 2 elements of 10 special
    functions in a thread."""
    products, functions = ["HMMA.16816.F32"] * 8, ["MUFU.EX2", "MUFU.RCP"] * 10
    moved = ["LDSM.16.M88.4", "LDSM.16.MT88.2", "LDS.128", "STS.64", "STS.U16", "BAR.SYNC"]
    found = judge(WORK, TILES, used(sass("LDG.E.STRONG.GPU", "BAR.SYNC", *moved, *products, *functions, "REDG.E.ADD")))
    assert found == Verdict(1.0, 1.0, 0, 2, 4 * (4 + 2 + 4 + 2 + 1), 4 * 8 * 2, 0) and not found.faults
    again = judge(WORK, TILES, used(sass("LDG.E.STRONG.GPU", "BAR.SYNC", *products * 2, *functions * 4), local=8, stack=16))
    assert again.product == 2.0 and again.faults == ("spills", "repeats the pointwise step") and again.spills == 24
    assert not replace(GOOD, pointwise=2.0).faults and replace(GOOD, chain=2).faults == ("loads in a chain",)


def test_warpgroups_products():
    """A tall tile of 64 rows, 64 numbers deep: 4 instructions; their operands are in shared memory."""
    tiles = Tiles(16, 16, 64, 4, units_as_rows=True)
    found = judge(WORK, tiles, used(sass("LDG.E.STRONG.GPU", "BAR.SYNC", *["HGMMA.64x16x16.F32"] * 4)))
    assert (found.product, found.shared, found.tensor) == (1.0, 4 * (64 + 16) * 16 * 2 // 128, 4 * 16)


@pytest.fixture
def verdicts(monkeypatch, tmp_path):
    """A folder of verdicts that is empty; what depends on them is forgotten before and after."""

    def forget():
        for cached in (machine_code.load_verdicts, tuning.order_tilings):
            cached.cache_clear()

    monkeypatch.setattr(machine_code, "FOLDER", tmp_path / "verdicts")
    monkeypatch.setattr(machine_code.metadata, "version", lambda name: "9.9.0")
    forget()
    yield forget
    forget()


def test_what_is_known_to_be_bad_comes_last(verdicts, monkeypatch):
    """On an H100 or H200, with the Triton and the text that the verdict was made for."""
    given = Pass(plan(cells.load("lstm")), "forward", 16, 512, torch.float16)
    first, second, *_ = model = rank_tilings(given, H100)
    assert tuning.order_tilings(given, H100) == model and not machine_code.load_verdicts()
    step = tuning.fingerprint(given.plan)
    said = {machine_code.kernel_key(step, given, first): replace(GOOD, spills=8), machine_code.kernel_key(step, given, second): GOOD}
    path = machine_code.write_verdicts(said, "9.9.0")
    verdicts()
    assert machine_code.load_verdicts() == said and read_verdicts(path) == (machine_code.hash_sources(), said)
    assert tuning.order_tilings(given, H100) == (*model[1:], first)
    for other in (replace(given, H=256), replace(given, direction="backward"), replace(given, dtype=torch.float32)):
        assert tuning.order_tilings(other, H100) == rank_tilings(other, H100)
    other = Chip("nvidia-a100", 132, 227 * 1024)
    assert tuning.order_tilings(given, other) == rank_tilings(given, other)
    monkeypatch.setattr(machine_code.metadata, "version", lambda name: "9.9.1")
    verdicts()
    assert tuning.order_tilings(given, H100) == model, "of another Triton"


def test_stale_verdicts_are_ignored(verdicts):
    path = machine_code.write_verdicts({machine_code.kernel_key(tuning.fingerprint(WORK.plan), WORK, TILES): GOOD}, "9.9.0")
    verdicts()
    assert machine_code.load_verdicts()
    path.write_text(path.read_text().replace(machine_code.hash_sources(), "0" * 16))
    verdicts()
    assert not machine_code.load_verdicts()


def test_the_verdicts_that_are_kept_hold():
    """The verdicts are those of two Tritons on the current kernels. If this fails, a kernel's text has changed: `make verdicts`."""
    found = [read_verdicts(path) for path in sorted(machine_code.FOLDER.glob("triton-*.json"))]
    assert len(found) >= 2 and {made for made, _ in found} == {machine_code.hash_sources()}, "stale: make verdicts"
    steps = {tuning.fingerprint(plan(cells.load(name))) for name in ("lstm", "gru", "cfn", "minimal")}
    for _, verdicts in found:
        assert len(verdicts) > 40 and {key[0] for key in verdicts} >= steps
        assert sum(not verdict.faults for verdict in verdicts.values()) > 40
