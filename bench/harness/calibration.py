"""Checks the verdicts on a machine: times the same work under several names, and a planted slowdown.

The work runs on one thread, takes about a millisecond and is repeated about two hundred times. Such work has little noise of its own, so
a wrong verdict comes from the benchmark or from the machine.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
import torch.nn.functional as F

from bench.analysis.verdict import Verdict, compare_cases, measure_noise
from bench.measure.clock import Contestant, Rule, Samples, interleave
from bench.records import Case, CaseRecord

T, B, H = 100, 8, 128
ROUNDS = 201
RULE = Rule(fewest=ROUNDS, most=ROUNDS, seconds=float("inf"), target=0.0)
TIES, FOUND = 0.99, 0.95
"""The required shares of A/A comparisons that end as ties, and of planted slowdowns that are found."""


@dataclass
class Calibration:
    """Verdicts of repeated comparisons.

    Attributes:
        same: The verdicts on identical work, by count.
        slowed: The verdicts on work with a planted slowdown, by count.
        floor: The largest noise floor of a comparison, as a fraction.
    """

    same: Counter[Verdict] = field(default_factory=Counter)
    slowed: Counter[Verdict] = field(default_factory=Counter)
    floor: float = 0.0

    @property
    def runs(self) -> int:
        """Returns the number of comparisons."""
        return self.same.total()

    @property
    def passed(self) -> bool:
        """Returns whether the shares of correct verdicts reach TIES and FOUND."""
        return self.same["tie"] >= TIES * self.runs and self.slowed["slower"] >= FOUND * self.runs


def calibrate(device: torch.device, runs: int, slowdown: float, tell: Callable[[str, int], None]) -> Calibration:
    """Times copies of the same work, and slower ones, and returns the verdicts.

    In every run, four contestants are interleaved: the work, its A/A repeat, the work once more, and the work with more time steps.

    Args:
        device: The device to time on.
        runs: The number of comparisons.
        slowdown: The additional share of time steps; 0.05 is 5%.
        tell: Called with a line of progress and 1 after every run.
    """
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
    """Times the four contestants once and adds the verdicts to `found`."""
    lengths = {"plain": T, "aa_repeat": T, "same": T, "slowed": round(T * (1 + slowdown))}
    run = make_steps(device)
    run(T)
    turns = {name: Contestant(partial(run, length)) for name, length in lengths.items()}
    taken = interleave(turns, RULE, seed, device, lambda name: None, raise_error)
    records = {name: make_record(taken[name], lengths[name], name == "aa_repeat") for name in lengths}
    twice = measure_noise([records["plain"], records["aa_repeat"]])
    found.floor = max(found.floor, twice.floor)
    for tally, name in ((found.same, "same"), (found.slowed, "slowed")):
        speed = compare_cases(records[name], records["plain"], twice.margin)
        tally[speed.verdict if speed else "ambiguous"] += 1


def make_steps(device: torch.device) -> Callable[[int], object]:
    """Returns a function that runs a number of steps of a vanilla RNN; every step takes the same time."""
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
