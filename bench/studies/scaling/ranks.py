"""The processes that torchrun started, as torch.distributed has them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist

from bench.errors import UsageError

PATIENCE = timedelta(minutes=5)
"""How long a rank waits for the others."""


@dataclass(frozen=True)
class Ranks:
    """This process, the `rank`-th of `world`, and its device. `groups` are the first n of them, by n."""

    rank: int
    world: int
    device: torch.device
    exchange: str
    groups: dict[int, dist.ProcessGroup]

    def slowest(self, seconds: float, count: int) -> float:
        """The longest of the first `count` ranks'."""
        found = torch.tensor(seconds, dtype=torch.float64, device=self.device)
        dist.all_reduce(found, dist.ReduceOp.MAX, self.groups[count])
        return float(found)


@contextmanager
def join_ranks() -> Iterator[Ranks]:
    """Within, this process is one of torchrun's. Raises UsageError where torchrun didn't start it."""
    if "RANK" not in os.environ or "MASTER_ADDR" not in os.environ:
        raise UsageError("bench scale is started by torchrun: torchrun --nproc-per-node 2 -m bench scale")
    gpu = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if gpu else torch.device("cpu")
    if gpu:
        torch.cuda.set_device(device)
    exchange = "nccl" if gpu else "gloo"
    dist.init_process_group(exchange, timeout=PATIENCE)
    try:
        world = dist.get_world_size()
        groups = {count: dist.new_group(range(count), timeout=PATIENCE) for count in rank_counts(world)}
        yield Ranks(dist.get_rank(), world, device, exchange, groups)
    finally:
        dist.destroy_process_group()


def rank_counts(world: int) -> list[int]:
    """How many ranks are tried: 1, 2, 4, …, and all."""
    return sorted({1 << k for k in range(world.bit_length()) if 1 << k <= world} | {world})
