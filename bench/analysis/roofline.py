"""The speed of light of a case: the time that nothing can beat on its device, from what the case needs (`bench.measure.lower_bound`) and
what
the device does at its best (`records.Constants`).

    products = (hoisted + recurrent flops) / rate of the dtype
    memory   = (bytes - what all caches hold, once for each pass) / copy rate
    chain    = grid_syncs · max(barrier among n, load from L2)     on a GPU, n = the fewest multiprocessors that hold the matrices
    floor    = max(products, memory, chain)

Each is a bound of its own, and a maximum of bounds is one. A sum is not: copies run beside products, and while one part of the
batch meets, another can multiply. For the same reason a meeting counts its barrier or its load, whichever is longer: the state
can travel with the flag that says that it is there, and what every unit learns of every other is a barrier at least.

Caches. What lies in one when a pass begins needn't be read, and what lies there when it ends needn't be written yet. Sizes that
fit are not counted at all; nor is anything where the size of the caches is not known.

Chain. Where one multiprocessor's shared memory and registers hold all recurrent matrices, sequences run without a meeting, and
there is none. Nor on a CPU, whose threads each run sequences of their own. It takes for granted that a matrix on chip stays there:
just above the line, reading the rest again in every step may beat the meeting. The barrier is the one the resident kernels use.

So a time below its floor says that the model is wrong there, or that the device did better than when it was measured.
"""

from dataclasses import dataclass
from typing import Literal

from bench.analysis.summary import seconds, timed
from bench.records import Case, CaseRecord, Constants, Environment, LowerBound

Part = Literal["products", "memory", "chain"]


@dataclass(frozen=True)
class Light:
    """The parts of a floor, in seconds."""

    products: float
    memory: float
    chain: float

    @property
    def floor(self) -> float:
        return max(self.products, self.memory, self.chain)

    @property
    def part(self) -> Part:
        """Which of them the floor is."""
        parts: tuple[Part, ...] = ("products", "memory", "chain")
        return max(parts, key=lambda part: getattr(self, part))


def light(case: Case, demand: LowerBound, constants: Constants) -> Light | None:
    """The floor of one call of a case; None where the rate of its products was not measured."""
    flops, rate = demand.hoisted + demand.recurrent, constants.products.get(product(case))
    if rate is None:
        return None
    passes = 2 if case.mode == "training" else 1
    moved = 0 if constants.cache is None else max(0, demand.bytes - passes * constants.cache)
    return Light(flops / rate, moved / constants.copy_rate, demand.grid_syncs * meeting(demand.resident_bytes, constants))


def product(case: Case) -> str:
    """The kind of a case's products, as `Constants.products` names it."""
    return "tf32" if case.precision == "tf32" and case.dtype == "float32" else case.dtype


def meeting(held: int, constants: Constants) -> float:
    """Seconds of the cheapest meeting of multiprocessors that together hold so many bytes. Of a number that was not measured, it
    is that of the next smaller one."""
    fewest = -(-held // constants.chip) if constants.chip else 1
    known = [programs for programs in constants.barriers if programs <= fewest]
    return max(constants.barriers[max(known)], constants.l2 or 0.0) if fewest > 1 and known else 0.0


def of(record: CaseRecord, here: Environment) -> Light | None:
    """A record's floor; None where it, or where it ran, doesn't say what one takes."""
    return light(record.case, record.lower_bound, here.constants) if record.lower_bound and here.constants else None


def times_light(record: CaseRecord, here: Environment) -> float | None:
    """How many times its floor a timed case took; None where there is no floor."""
    found = of(record, here)
    return seconds(record).value / found.floor if found and found.floor and timed(record) else None
