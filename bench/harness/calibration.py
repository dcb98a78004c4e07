"""Checks the verdicts on a machine: times the same work under several names, and a planted slowdown, as a run does.

The contestants are the cases of a run: its worker processes build them anew as often, its rule says how many calls are timed, and its code
judges them. A run of a calibration has three sizes. At each it compares the same work twice, and work with more steps once.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

import torch
from scipy.special import betaincinv

from bench.analysis.median_ci import FEWEST
from bench.analysis.verdict import Verdict, compare_cases, measure_noise
from bench.harness import planted_slowdown
from bench.harness.settings import Settings
from bench.harness.supervisor import Supervisor
from bench.harness.work_unit import WorkUnit
from bench.harness.worker import Worker
from bench.measure.clock import choose_rule
from bench.records import Case, CaseRecord

LENGTHS, B, H = (60, 80, 100), 8, 128
FALSE, FOUND = 0.05, 0.80
"""The largest share of the same work that may be called faster or slower, and the smallest share of slowdowns to be found."""
LIMIT = 60.0
"""The seconds that a check or a call may take."""


@dataclass
class Calibration:
    """Verdicts of repeated comparisons.

    Attributes:
        same: The verdicts on identical work, by count.
        slowed: The verdicts on work with a planted slowdown, by count.
        covered: The intervals of identical work that contain 1.
        floor: The largest noise floor of a run, as a fraction.
    """

    same: Counter[Verdict] = field(default_factory=Counter)
    slowed: Counter[Verdict] = field(default_factory=Counter)
    covered: int = 0
    floor: float = 0.0

    @property
    def comparisons(self) -> int:
        """Returns the number of comparisons of the same work, which is that of slowdowns."""
        return self.same.total()

    @property
    def wrong(self) -> int:
        """Returns how often the same work was called faster or slower."""
        return self.same["faster"] + self.same["slower"]

    @property
    def found(self) -> int:
        """Returns how many slowdowns were found."""
        return self.slowed["slower"]

    @property
    def conclusion(self) -> str:
        """Returns "passed" or "not passed" if the 95% bounds of both shares (Clopper & Pearson 1934) allow it, else "inconclusive": so are
        fewer than FEWEST runs, since the comparisons of a run share the state of the machine."""
        if self.comparisons < FEWEST * len(LENGTHS):
            return "inconclusive"
        (wrong_low, wrong_high), (found_low, found_high) = (bound_share(count, self.comparisons) for count in (self.wrong, self.found))
        if wrong_high <= FALSE and found_low >= FOUND:
            return "passed"
        return "not passed" if wrong_low > FALSE or found_high < FOUND else "inconclusive"

    def add_run(self, records: Iterable[CaseRecord]) -> None:
        """Counts the verdicts of a run: at each size, on the same work and on slower work, both relative to plain work."""
        known = {record.case: record for record in records}
        noise = measure_noise(known.values())
        self.floor = max(self.floor, noise.floor)
        for case, record in known.items():
            name = case.backend.rpartition(":")[2]
            speed = compare_cases(record, known[case.model_copy(update={"backend": name_backend("plain")})], noise)
            if name == "plain" or speed is None:
                continue
            tally = self.same if name == "same" else self.slowed
            tally[speed.verdict] += 1
            self.covered += name == "same" and speed.ratio.low <= 1 <= speed.ratio.high


def bound_share(count: int, total: int) -> tuple[float, float]:
    """Returns the lower and the upper 95% bound of a probability, of which `count` of `total` trials are a sample."""
    low = float(betaincinv(count, total - count + 1, 0.05)) if count else 0.0
    return low, float(betaincinv(count + 1, total - count, 0.95)) if count < total else 1.0


def calibrate(device: torch.device, runs: int, percent: float, tell: Callable[[str, int], None], found: Calibration) -> None:
    """Times copies of the same work, and slower ones, and counts the verdicts.

    Args:
        device: The device to time on.
        runs: The number of runs, each with a comparison at each of LENGTHS.
        percent: The additional time steps, in percent.
        tell: Called with what runs now and 0, and with a line of results and 1 after every run.
        found: Counts the verdicts, run by run: those of completed runs stay if a later one is interrupted.
    """
    for seed in range(runs):
        settings = make_settings(device, seed)
        worker = Worker(settings, LIMIT)
        try:
            rule = choose_rule(device, settings.quick, settings.lean, settings.thorough)
            found.add_run(measure_run(Supervisor(worker, partial(tell_run, tell, seed + 1), rule.builds), percent))
        finally:
            worker.kill()
        tell(f"{found.wrong} of {found.comparisons} wrong, {found.found} slowdowns found", 1)


def tell_run(tell: Callable[[str, int], None], number: int, words: str, _: int) -> None:
    """Tells what runs in a run; only whole runs count as finished."""
    tell(words and f"run {number}, {words.replace(name_backend(''), '')}", 0)


def make_settings(device: torch.device, seed: int) -> Settings:
    """Returns the settings of a run of a calibration: those of `bench all`, with the cell and the sizes of this module."""
    return Settings(
        cells=("vanilla",), backends=(), seq_lens=LENGTHS, batch=(B,), hidden=(H,), input=H, dtype="float32", precision="ieee",
        device=device.type, seed=seed, quick=False, modes=("inference",),
    )  # fmt: skip


def measure_run(supervisor: Supervisor, percent: float) -> list[CaseRecord]:
    """Returns the records of a run.

    Raises:
        RuntimeError: A case could not be timed.
    """
    records: list[CaseRecord] = []
    for T in LENGTHS:
        supervisor.run_unit(WorkUnit("timing group", f"T={T}", list_cases(T, percent)), records.append)
    for record in records:
        if record.status != "ok":
            raise RuntimeError(f"{record.case.backend} ended as {record.status}: {record.reason}")
    return records


def list_cases(T: int, percent: float) -> tuple[Case, ...]:
    """Returns the cases of a size: plain work, its A/A repeat, the same work, and work with more steps."""
    plain = Case(
        cell="vanilla", backend=name_backend("plain"), mode="inference", T=T, B=B, D=H, H=H, dtype="float32", precision="ieee"
    )  # fmt: skip
    other = (plain.model_copy(update={"backend": name_backend(name)}) for name in ("same", f"{planted_slowdown.PREFIX}{percent:g}"))
    return plain, plain.model_copy(update={"aa_repeat": True}), *other


def name_backend(name: str) -> str:
    return f"{planted_slowdown.__file__}:{name}"
