"""Compile the kernels of bench.measure.latency for an H100 without one, and print what they use as JSON. Run by test_latency, outside of
the interpreter."""

import json
import re

import torch

from bench.measure import latency
from kernels.schedules import compile_for
from tests.offline_persistent import marks, ordered


def main() -> None:
    words = torch.zeros(64, dtype=torch.int32)
    found = {}
    for kernel, arguments, options in (
        (latency.cross_barriers, (words, 256, 132), {"num_warps": 4, "launch_cooperative_grid": True, "enable_fp_fusion": True}),
        (latency.follow_pointers, (words, words, 256), {"num_warps": 1, "enable_fp_fusion": True}),
        (latency.empty_kernel, (), {"enable_fp_fusion": True}),
    ):
        warmed = []

        def warm(kernel=kernel, arguments=arguments, options=options, warmed=warmed):
            warmed.append(kernel.warmup(*arguments, grid=(1,), **options))
            return warmed[0]

        used = compile_for.measure_kernel(90, warm)
        ptx = warmed[0].asm["ptx"]
        code = marks(ptx)
        found[kernel.fn.__name__] = {
            "spills": used.stack + used.local, "marks": code, "ordered": ordered(code), "cached": re.findall(r"ld\.global[.\w]*", ptx),
        }  # fmt: skip
    print(json.dumps(found))


if __name__ == "__main__":
    main()
