"""Computes the hardware lower bound of a case, a time that nothing can beat on its device, from the needs of the case
(`bench.measure.lower_bound`) and the peak rates of the device (`records.Constants`).

    products = (hoisted + recurrent flops) / rate of the dtype
    memory   = max((bytes - capacity of all caches, once per pass) / copy rate,
                   matrices · steps / rate of reads from the cache level that they fit)     on a CPU
    barriers = grid_syncs · max(barrier among n, load from L2)     on a GPU; n = the fewest multiprocessors that hold the matrices
    seconds  = max(products, memory, barriers)

Each part is a lower bound, so their maximum is one. Their sum is not: copies can overlap with products, and while one part of the batch
waits at a barrier, another can multiply. For the same reason a step counts its barrier or its load, whichever is longer: the state can be
sent together with the flag of the barrier.

Caches. Data in a cache at the start of a pass need not be read, and data there at its end need not be written yet. Sizes that fit are not
counted at all, nor is any memory traffic if the capacity is unknown.

Matrices. A CPU reads the recurrent matrices in every step, for a batch of one and for a larger one, from a cache if they fit. The level is
the smallest that holds them; the rate of the last level counts for larger ones. The first level is as fast as the products are, so it has
no rate of its own, and neither have matrices that fit it.

Barriers. If the shared memory and registers of one multiprocessor hold all recurrent matrices, sequences run without a barrier. A CPU has
none either, because each thread runs its own sequences. The model assumes that a matrix on chip stays there: just above the limit, reading
the rest again in every step may be faster than the barrier. The barrier is that of the persistent kernels.

A time below its bound is an error of the bound: the model is wrong, or the device was faster than when it was measured (at the beginning of
the run and at its end; the faster of both counts). Reports say so.
"""

from dataclasses import dataclass
from typing import Literal

from bench.analysis.summary import is_timed, median_time
from bench.records import Case, CaseRecord, Constants, Environment, LowerBound

Part = Literal["products", "memory", "barriers"]


@dataclass(frozen=True)
class BoundSeconds:
    """The parts of a lower bound, in seconds."""

    products: float
    memory: float
    barriers: float

    @property
    def seconds(self) -> float:
        """Returns the lower bound in seconds."""
        return max(self.products, self.memory, self.barriers)

    @property
    def part(self) -> Part:
        """Returns the part that sets the lower bound."""
        parts: tuple[Part, ...] = ("products", "memory", "barriers")
        return max(parts, key=lambda part: getattr(self, part))


def bound_call(case: Case, demand: LowerBound, constants: Constants) -> BoundSeconds | None:
    """Returns the lower bound of one call of a case, or None if the rate of its products was not measured."""
    flops, rate = demand.hoisted + demand.recurrent, constants.products.get(product_kind(case))
    if rate is None:
        return None
    passes = 2 if case.mode == "training" else 1
    moved = 0 if constants.cache is None else max(0, demand.bytes - passes * constants.cache)
    memory = max(moved / constants.copy_rate, read_seconds(case, demand.resident_bytes, constants))
    return BoundSeconds(flops / rate, memory, demand.grid_syncs * sync_seconds(demand.resident_bytes, constants))


def read_seconds(case: Case, held: int, constants: Constants) -> float:
    """Returns the seconds of reading `held` bytes of recurrent matrices in every step from the caches; 0 if they fit the first level."""
    if held <= constants.first_level or not constants.reads:
        return 0.0
    steps = {"inference": case.T, "backward": case.T - 1, "training": 2 * case.T - 1}[case.mode]
    fitting = [size for size in constants.reads if size >= held] or [max(constants.reads)]
    return steps * held / constants.reads[min(fitting)]


def product_kind(case: Case) -> str:
    """Returns the key of a case's products in `Constants.products`."""
    return "tf32" if case.precision == "tf32" and case.dtype == "float32" else case.dtype


def sync_seconds(held: int, constants: Constants) -> float:
    """Returns the seconds of the cheapest grid-wide barrier among the multiprocessors that hold `held` bytes. The next smaller measured
    number of programs is used."""
    fewest = -(-held // constants.chip) if constants.chip else 1
    known = [programs for programs in constants.barriers if programs <= fewest]
    return max(constants.barriers[max(known)], constants.l2 or 0.0) if fewest > 1 and known else 0.0


def find_lower_bound(record: CaseRecord, here: Environment) -> BoundSeconds | None:
    """Returns the lower bound of a record, or None if the record or its environment lacks the data."""
    return bound_call(record.case, record.lower_bound, here.constants) if record.lower_bound and here.constants else None


def times_lower_bound(record: CaseRecord, here: Environment) -> float | None:
    """Returns the time of a case divided by its lower bound, or None."""
    found = find_lower_bound(record, here)
    return median_time(record).value / found.seconds if found and found.seconds and is_timed(record) else None
