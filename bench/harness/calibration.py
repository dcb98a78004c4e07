"""The check of the verdicts on a machine. The harness times the same work under several names, and a planted slowdown.

Steps of one thread that take a millisecond together, two hundred times, are quiet enough to ask: what it finds is the harness's doing,
or the machine's.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
import torch.nn.functional as F

from bench.analysis.verdict import Verdict, compared, noise
from bench.measure.clock import Contestant, Rule, Samples, interleave
from bench.records import Case, CaseRecord

T, B, H = 100, 8, 128
ROUNDS = 201
RULE = Rule(fewest=ROUNDS, most=ROUNDS, seconds=float("inf"), target=0.0)
TIES, FOUND = 0.99, 0.95
"""The shares of A/A comparisons that have to be ties, and of planted slowdowns that have to be found."""


@dataclass
class Calibration:
    """Verdicts on the same thing, and on one with a planted slowdown, over a number of runs; the largest noise floor of a run."""

    same: Counter[Verdict] = field(default_factory=Counter)
    slowed: Counter[Verdict] = field(default_factory=Counter)
    floor: float = 0.0

    @property
    def runs(self) -> int:
        return self.same.total()

    @property
    def passed(self) -> bool:
        return self.same["tie"] >= TIES * self.runs and self.slowed["slower"] >= FOUND * self.runs


def calibrate(device: torch.device, runs: int, slowdown: float, tell: Callable[[str, int], None]) -> Calibration:
    """Race some steps, the same as their A/A control, the same once more, and `slowdown` more of them: so many times."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = Calibration()
        for number in range(runs):
            time_copies(device, number, slowdown, found)
            tell(f"{found.same['tie']} ties, {found.slowed['slower']} slowdowns found", 1)
        return found
    finally:
        torch.set_num_threads(threads)


def time_copies(device: torch.device, seed: int, slowdown: float, found: Calibration) -> None:
    lengths = {"plain": T, "aa_repeat": T, "same": T, "slowed": round(T * (1 + slowdown))}
    run = make_steps(device)
    run(T)
    turns = {name: Contestant(partial(run, length)) for name, length in lengths.items()}
    taken = interleave(turns, RULE, seed, device, lambda name: None, raise_error)
    records = {name: make_record(taken[name], lengths[name], name == "aa_repeat") for name in lengths}
    twice = noise([records["plain"], records["aa_repeat"]])
    found.floor = max(found.floor, twice.floor)
    for tally, name in ((found.same, "same"), (found.slowed, "slowed")):
        speed = compared(records[name], records["plain"], twice.margin)
        tally[speed.verdict if speed else "ambiguous"] += 1


def make_steps(device: torch.device) -> Callable[[int], object]:
    """A call of so many steps of a vanilla RNN, which all take the same: one more is one more."""
    weight, start = torch.randn(H, H, device=device) / H**0.5, torch.randn(B, H, device=device)

    def run(count: int) -> object:
        h = start
        with torch.no_grad():
            for _ in range(count):
                h = torch.tanh(F.linear(h, weight))
        return h

    return run


def raise_error(name: str, error: Exception) -> None:
    raise error


def make_record(samples: Samples, length: int, aa_repeat: bool) -> CaseRecord:
    case = Case(
        cell="vanilla", backend="eager", mode="inference", T=length, B=B, D=H, H=H, dtype="float32", precision="ieee", aa_repeat=aa_repeat
    )
    return CaseRecord(case=case, status="ok", samples=samples.seconds, rounds=samples.rounds)
