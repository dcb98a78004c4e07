"""Manages the processes that torchrun started, the ranks of torch.distributed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist

from bench.errors import UsageError

TIMEOUT = timedelta(minutes=5)
"""The longest time that a rank waits for the others."""


@dataclass(frozen=True)
class Ranks:
    """This process among the ranks.

    Attributes:
        rank: The number of this process, from 0.
        world: The number of ranks.
        device: The device of this rank.
        exchange: The communication library, "nccl" or "gloo".
        groups: The group of the first n ranks, by n.
    """

    rank: int
    world: int
    device: torch.device
    exchange: str
    groups: dict[int, dist.ProcessGroup]

    def max_over_ranks(self, seconds: float, count: int) -> float:
        """Returns the largest value among the first `count` ranks. Each of them calls this method.

        Args:
            seconds: The value of this rank.
            count: The number of ranks.
        """
        found = torch.tensor(seconds, dtype=torch.float64, device=self.device)
        dist.all_reduce(found, dist.ReduceOp.MAX, self.groups[count])
        return float(found)


@contextmanager
def join_ranks() -> Iterator[Ranks]:
    """Joins the ranks of torchrun while the context lasts.

    Yields:
        This process among the ranks.

    Raises:
        UsageError: The process was not started by torchrun.
    """
    if "RANK" not in os.environ or "MASTER_ADDR" not in os.environ:
        raise UsageError("bench scale is started by torchrun: torchrun --nproc-per-node 2 -m bench scale")
    gpu = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if gpu else torch.device("cpu")
    if gpu:
        torch.cuda.set_device(device)
    exchange = "nccl" if gpu else "gloo"
    dist.init_process_group(exchange, timeout=TIMEOUT)
    try:
        world = dist.get_world_size()
        groups = {count: dist.new_group(range(count), timeout=TIMEOUT) for count in rank_counts(world)}
        yield Ranks(dist.get_rank(), world, device, exchange, groups)
    finally:
        dist.destroy_process_group()


def rank_counts(world: int) -> list[int]:
    """Returns the numbers of ranks that are measured: 1, 2, 4, …, and all `world` ranks."""
    return sorted({1 << k for k in range(world.bit_length()) if 1 << k <= world} | {world})
