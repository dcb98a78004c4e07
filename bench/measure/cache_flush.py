"""Overwrites the caches before a call, so that it starts with cold caches."""

import torch

from bench.measure import device_constants

TIMES = 2
"""How many times the caches are filled. Twice, because no cache is guaranteed to replace its oldest line first."""

UNKNOWN = 2**28
"""Bytes that are overwritten if the size of the caches is unknown: more than the caches of a server processor hold."""


class Flush:
    """Reads and writes twice as much memory as all caches of a device hold (on a GPU: L2). On a GPU the call returns before the work is
    done.

    A fill is not enough: memset may bypass the caches of a processor and leave the old data in them.

    Args:
        device: The device whose caches are overwritten.
    """

    def __init__(self, device: torch.device):
        size = torch.cuda.get_device_properties(device).L2_cache_size if device.type == "cuda" else device_constants.count_cache_bytes()
        self.buffer = torch.zeros(TIMES * size if size else UNKNOWN, dtype=torch.uint8, device=device).view(torch.int32)

    def __call__(self) -> None:
        self.buffer += 1
