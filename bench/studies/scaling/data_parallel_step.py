"""Checks data-parallel training steps against one process with the whole batch, then times a step with and without gradient exchange."""

import contextlib
import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from bench.measure import gate
from bench.records.scale_record import ScaleRecord, Scaling
from bench.records.tolerance import DATA_PARALLEL
from bench.studies.scaling.ranks import Ranks
from kernels import RNN

STEPS, RATE = 4, 0.1
"""The number of gradient descent steps that are checked, and their learning rate."""

SECONDS, FEWEST, MOST = 2.0, 10, 200
"""The seconds for which steps are timed, and the least and largest number of steps."""


@dataclass(frozen=True)
class ScalingCase:
    """A cell at a size.

    Attributes:
        cell: The cell's name.
        T: Time steps.
        B: Sequences for each rank in weak scaling, for all ranks together in strong scaling.
        D: Input width.
        H: Hidden width.
        seed: The seed of weights and data.
    """

    cell: str
    T: int
    B: int
    D: int
    H: int
    seed: int = 0

    def batch(self, scaling: Scaling, ranks: int) -> tuple[Tensor, Tensor]:
        """Returns the inputs (T, B, D) and targets (T, B, H) of all ranks together.

        Args:
            scaling: "strong" or "weak".
            ranks: The number of ranks.
        """
        made = torch.Generator().manual_seed(self.seed)
        whole = self.B * (ranks if scaling == "weak" else 1)
        return torch.randn(self.T, whole, self.D, generator=made), torch.randn(self.T, whole, self.H, generator=made)

    def model(self, device: torch.device) -> nn.Module:
        """Returns a layer with weights drawn from the seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return RNN(self.cell, self.D, self.H).to(device)


def measure_scaling(work: ScalingCase, scaling: Scaling, count: int, ranks: Ranks) -> ScaleRecord:
    """Checks and times a training step on the first `count` ranks. Each of them calls this function.

    Args:
        work: The cell and its size.
        scaling: "strong" or "weak".
        count: The number of ranks that take part.
        ranks: This rank and the others.

    Returns:
        The record, with status "incorrect" if losses or gradients differ from those of one process.
    """
    x, y = work.batch(scaling, count)
    mine = [part.chunk(count, 1)[ranks.rank].contiguous().to(ranks.device) for part in (x, y)]
    record = ScaleRecord(
        cell=work.cell, scaling=scaling, ranks=count, T=work.T, B=mine[0].shape[1], D=work.D, H=work.H, exchange=ranks.exchange,
        threads=torch.get_num_threads(), status="ok",
    )  # fmt: skip
    model = DistributedDataParallel(work.model(ranks.device), process_group=ranks.groups[count])
    losses, gradients = descend(model, *mine)
    shares = torch.tensor(losses, dtype=torch.float64, device=ranks.device)
    torch.distributed.all_reduce(shares, group=ranks.groups[count])
    right, exact = descend(work.model(ranks.device), x.to(ranks.device), y.to(ranks.device))
    loss_error = gate.compute_error(shares.cpu() / count, torch.tensor(right, dtype=torch.float64))
    gradient_error = max(gate.compute_error(a, b) for a, b in zip(gradients, exact, strict=True))
    errors = {"loss_error": ranks.max_over_ranks(loss_error, count), "gradient_error": ranks.max_over_ranks(gradient_error, count)}
    if not max(errors.values()) <= DATA_PARALLEL:
        reason = f"one process with the whole batch differs by more than {DATA_PARALLEL:g}"
        return record.model_copy(update=errors | {"status": "incorrect", "reason": reason})
    step, alone = time_steps(model, mine, count, ranks)
    return record.model_copy(update=errors | {"step": step, "alone": alone})


def descend(model: nn.Module, x: Tensor, y: Tensor) -> tuple[list[float], list[Tensor]]:
    """Trains for STEPS steps and returns the loss of each, and the gradients of the first."""
    losses, gradients = [], []
    for k in range(STEPS):
        model.zero_grad()
        loss = nn.functional.mse_loss(model(x)[0], y)
        loss.backward()
        losses.append(loss.item())
        gradients += [p.grad.clone() for p in model.parameters() if p.grad is not None] if k == 0 else []
        with torch.no_grad():
            for p in model.parameters():
                p.sub_(RATE * p.grad if p.grad is not None else 0.0)
    return losses, gradients


def time_steps(model: DistributedDataParallel, batch: list[Tensor], count: int, ranks: Ranks) -> tuple[list[float], list[float]]:
    """Returns the seconds of steps on the slowest rank, with gradient exchange and without, interleaved."""

    def time_step(exchange: bool) -> float:
        model.zero_grad()
        torch.distributed.barrier(ranks.groups[count])
        begun = time.perf_counter()
        with contextlib.nullcontext() if exchange else model.no_sync():
            nn.functional.mse_loss(model(batch[0])[0], batch[1]).backward()
        if ranks.device.type == "cuda":
            torch.cuda.synchronize()
        return ranks.max_over_ranks(time.perf_counter() - begun, count)

    time_step(True)
    taken = time_step(True) + time_step(False)
    rounds = min(MOST, max(FEWEST, int(SECONDS / taken)))  # of the slowest rank, so all agree
    pairs = [(time_step(True), time_step(False)) if k % 2 else (time_step(False), time_step(True))[::-1] for k in range(rounds)]
    return [step for step, _ in pairs], [alone for _, alone in pairs]
