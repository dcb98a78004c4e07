"""Compile the resident kernels for an H100 without one, and print what they use as JSON. Run by test_resident, outside of the
interpreter."""

import json
import re

import torch

import cells
from kernels import offline
from kernels.layout import layout
from kernels.loop import Gradients, Loop, Trajectory
from kernels.plan import plan
from kernels.schedules import resident, sequence

CONFIGURATIONS = [
    ("minimal", 256, 16, torch.bfloat16),
    ("minimal", 1024, 64, torch.bfloat16),
    ("gru", 512, 16, torch.bfloat16),
    ("lstm", 1024, 16, torch.float16),
    ("cfn", 1024, 16, torch.bfloat16),
]


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


def main() -> None:
    rows = []
    for name, H, B, dtype in CONFIGURATIONS:
        p, T = plan(cells.load(name)), 4
        place = layout(p)
        terms = [torch.zeros(T, B, G, H, dtype=dtype) for G in place.widths]
        weights = [torch.zeros(len(g.terms) * H, H, dtype=dtype) for g in place.groups]
        states = [torch.zeros(B, H, dtype=dtype) for _ in p.states]
        loop = Loop(p, T, [], terms, terms, [torch.zeros(H, dtype=dtype) for _ in p.vectors], weights, states)
        tiles = resident.tiles(p, B, H, dtype.itemsize, 132, resident.ROOM)
        launch = resident.Launch(loop, tiles)
        trajectory = Trajectory([torch.zeros(T, B, H, dtype=dtype) for _ in states], [])
        vectors = [torch.zeros(1, H) for _ in p.vectors]
        made = Gradients([torch.zeros_like(t) for t in terms], vectors, [torch.zeros(B, H) for _ in states])
        dy = torch.zeros(T, B, H, dtype=dtype)
        for kernel, arguments in (
            (sequence.forward, resident.forward_arguments(launch, trajectory)),
            (sequence.backward, resident.backward_arguments(launch, trajectory, dy, states, made)),
        ):
            warmed = []

            def warm(kernel=kernel, arguments=arguments, launch=launch, warmed=warmed):
                warmed.append(kernel.warmup(*arguments, grid=(1,), **launch.options))
                return warmed[0]

            used = offline.compiled(90, warm)
            code = marks(warmed[0].asm["ptx"])
            meets = launch.tiles.programs > 1
            rows.append({
                "cell": name, "H": H, "B": B, "direction": kernel.fn.__name__, "tiles": str(launch.tiles),
                "registers": used.registers, "shared": used.shared, "spills": used.stack + used.local,
                "weights": len(p.recurrent) * launch.tiles.BN * H * dtype.itemsize if meets else 0,
                "tensor_cores": used.sass.count("HMMA") + used.sass.count("HGMMA"),
                "releases": code.count("release"), "acquires": code.count("acquire"), "meets": meets,
                "ordered": ordered(code),
            })  # fmt: skip
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
