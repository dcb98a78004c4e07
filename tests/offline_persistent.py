"""Compiles the persistent kernels for GPUs that aren't here and prints what they use as JSON: a program of its own, since the tests'
process runs Triton's interpreter.

    offline_persistent.py few          two passes for three architectures, and one of each kind for an H100
    offline_persistent.py sample       passes of every kind, for three architectures
    offline_persistent.py suites       every pass of the suites, for an H100
    offline_persistent.py usual        usual cells and sizes, for an H100
    offline_persistent.py verdicts     both of these, without the tile configurations that have a fault; writes the verdicts of
                                       `kernels.schedules.persistent.machine_code` on all that were compiled
"""

import json
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
import triton

from bench.harness.suites import GPU_SUITES
from bench.harness.tune import PassKey, suite_passes
from kernels.schedules import compile_for
from kernels.schedules.persistent import machine_code, persistent, tuning
from kernels.schedules.persistent.tiling import DIRECTIONS, H100, Chip, Pass, Tiles

A100 = Chip("nvidia-a100", 108, 163 * 1024)
B200 = Chip("nvidia-b200", 148, 227 * 1024)
CAPABILITY = {A100: 80, H100: 90, B200: 100}

SAMPLE = [
    PassKey(cell, direction, *size)
    for cell, *size in (
        ("minimal", 64, 256, "bfloat16"), ("lstm", 16, 1024, "float16"), ("gru", 128, 512, "bfloat16"),
        ("gru_reset_before", 16, 512, "float16"), ("vanilla_relu", 32, 1760, "float16"), ("cfn", 16, 256, "float32", True),
        ("lstm", 16, 128, "float32"),
    )
    for direction in DIRECTIONS
]  # fmt: skip

FEW = [
    *((PassKey("minimal", direction, 64, 256, "bfloat16"), chip) for direction in DIRECTIONS for chip in CAPABILITY),
    *((PassKey("gru_reset_before", direction, 16, 512, "float16"), H100) for direction in DIRECTIONS),
    (PassKey("lstm", "backward", 16, 1024, "float16"), H100), (PassKey("cfn", "forward", 16, 256, "float32", True), H100),
    (PassKey("lstm", "forward", 16, 128, "float32"), H100),
]  # fmt: skip

USUAL = [
    PassKey(cell, direction, B, H, "float16")
    for cell in ("lstm", "gru", "cfn", "minimal") for direction in DIRECTIONS for H in (256, 512, 768, 1024) for B in (16, 64)
]  # fmt: skip

STRICT_ATTEMPTS = 24
"""Tile configurations that are compiled for a verdict, at most: a run compiles three, and passes over those with a known fault."""

MARKS = {
    "barrier": r"bar\.sync|barrier\.",
    "release": r"(red|atom)\.\S*release",
    "acquire": r"(ld|atom)\.\S*acquire",
    "load": r"ld\.global",
}


def marks(ptx: str) -> list[str]:
    """The barriers, releases, acquires and ordinary loads of the code, in its order."""
    found = []
    for line in ptx.splitlines():
        instruction = re.sub(r"^\s*(@!?%p\d+\s+)?", "", line)
        found += [name for name, pattern in MARKS.items() if re.match(pattern, instruction)][:1]
    return found


def ordered(found: list[str]) -> bool:
    """Every release comes right after a block barrier, and after every acquire there is one before the next ordinary load."""
    after = [next((m for m in found[k + 1 :] if m in ("barrier", "load")), "barrier") for k in range(len(found))]
    return all(found[k - 1] == "barrier" for k, m in enumerate(found) if m == "release") and all(
        after[k] == "barrier" for k, m in enumerate(found) if m == "acquire"
    )


@cache
def used(work: Pass, tiles: Tiles, capability: int) -> tuple[compile_for.Resources, list[str]]:
    """What a kernel uses, and the marks in its code."""
    made: list[Any] = []

    def launch() -> Any:
        made.append(persistent.compile_kernel(work, tiles))
        return made[0]

    return compile_for.measure_kernel(capability, launch), marks(made[0].asm["ptx"])


def row(name: PassKey, chip: Chip, strict: bool = False) -> dict[str, Any] | None:
    """Describes the kernel of a pass on a chip; None where none fits.

    Where `strict` it is the first tile configuration without a fault of `STRICT_ATTEMPTS`. `judged` are the verdicts on all that were
    compiled for it.
    """
    torch.backends.cuda.matmul.allow_tf32 = name.tf32
    work, found = name.work, persistent.order_tilings(name.work, chip)
    if not found:
        return None
    judged: dict[Tiles, machine_code.Verdict] = {}

    def spilled(work: Pass, tiles: Tiles, bare: bool) -> int | None:
        resources = used(work, tiles, CAPABILITY[chip])[0]
        judged[tiles] = machine_code.judge(work, tiles, resources)
        fault = strict and bool(judged[tiles].faults)
        return resources.stack + resources.local + fault if resources.shared <= chip.shared else None

    if strict:
        tiles = next((cut for cut in found[:STRICT_ATTEMPTS] if spilled(work, cut, False) == 0), found[0])
    else:
        tiles = persistent.first_without_spills(work, chip, spilled)
    (resources, code), verdict = used(work, tiles, CAPABILITY[chip]), judged[tiles]
    return {
        "cell": name.cell, "direction": name.direction, "B": name.B, "H": name.H, "dtype": "tf32" if name.tf32 else name.dtype,
        "capability": CAPABILITY[chip], "tiles": [tiles.BB, tiles.BN, tiles.BK, tiles.warps, tiles.units_as_rows,
            tiles.split, tiles.prefetch],
        "programs": tiles.programs(name.H), "skipped": found.index(tiles), "registers": resources.registers,
        "spills": resources.stack + resources.local, "shared": resources.shared, "room": chip.shared, "weights": work.weight_bytes(tiles),
        "code": resources.sass.count(";"), "tensor": len(re.findall(r"HMMA|HGMMA|UTC\w*MMA", resources.sass)),
        "releases": code.count("release"), "acquires": code.count("acquire"), "ordered": ordered(code),
        "meetings": 1 + sum(stage.argument is not None for stage in work.plan.stages),
        **{name: getattr(verdict, name) for name in ("pointwise", "product", "chain", "barriers", "faults")},
        "cycles": {"shared": verdict.shared, "tensor": verdict.tensor},
        "judged": [(machine_code.kernel_key(tuning.fingerprint(work.plan), work, cut), asdict(said)) for cut, said in judged.items()],
    }  # fmt: skip


def main(which: str) -> Iterator[dict[str, Any]]:
    """A pass of each size is compiled once, for the batches that are cut alike."""
    suites = list(suite_passes(GPU_SUITES))
    names = {"few": [], "sample": SAMPLE, "suites": suites, "usual": USUAL, "verdicts": [*suites, *USUAL]}[which]
    wanted = FEW if which == "few" else [(n, c) for n in names for c in (CAPABILITY if which == "sample" else [H100])]
    alike = {(n.cell, n.direction, n.H, n.dtype, n.tf32, c, persistent.order_tilings(n.work, c)[:1]): (n, c) for n, c in wanted}
    with ProcessPoolExecutor(2) as pool:
        yield from filter(None, pool.map(partial(row, strict=which == "verdicts"), *zip(*alike.values(), strict=True)))


if __name__ == "__main__":
    rows = list(main(sys.argv[1]))
    if sys.argv[1] == "verdicts":
        found = {tuple(key): machine_code.Verdict(**verdict) for made in rows for key, verdict in made["judged"]}
        path = machine_code.write_verdicts(found, triton.__version__)
        print(f"{len(found)} verdicts on the cuts of {len(rows)} passes: {path}", file=sys.stderr)
    print(json.dumps(rows))
