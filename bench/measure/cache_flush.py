"""Cold caches: what a call finds in them is overwritten before it."""

import torch

from bench.measure import device_constants

TIMES = 2
"""As often as the caches would be filled: no cache is known to replace the oldest line first."""

UNKNOWN = 2**28
"""Bytes that are overwritten where nobody says how large the caches are: more than a server's processor has in all."""


class Flush:
    """Called, it reads and writes as much memory as all caches of a device hold, twice; on a GPU that is L2, and the call returns
    before it is done, as every launch does.

    A fill would do less: memset may write around the caches of a processor, and leave there what it should drive out.
    """

    def __init__(self, device: torch.device):
        size = torch.cuda.get_device_properties(device).L2_cache_size if device.type == "cuda" else device_constants.cache_bytes()
        self.buffer = torch.zeros(TIMES * size if size else UNKNOWN, dtype=torch.uint8, device=device).view(torch.int32)

    def __call__(self) -> None:
        self.buffer += 1
