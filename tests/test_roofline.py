"""Floors, held to what a hand finds for two cells, and to what may not happen to any."""

from typing import get_args

import pytest

import cells
from bench.analysis.roofline import bound_call, product_kind, sync_seconds, times_lower_bound
from bench.measure.lower_bound import compute_lower_bound, derive_formulas
from bench.records import Constants, End, LowerBound, Mode
from kernels.derive.plan import plan
from tests.records import ENVIRONMENT, RUN, case, timed

GPU = Constants(
    products={"float32": 5e13, "tf32": 4e14, "bfloat16": 7e14}, copy_rate=3e12, cache=5 * 10**7, chip=484 * 2**10,
    barriers={1: 7e-7, 2: 8e-7, 8: 9e-7, 32: 1e-6, 132: 1.5e-6}, l2=3e-7,
)  # fmt: skip
CPU = Constants(products={"float32": 1.4e11, "float64": 7e10}, copy_rate=2e10, cache=33 * 2**20)
NAMES = cells.DEFAULT
MODES = get_args(Mode)


def needs(name: str, **sizes: object) -> LowerBound:
    return compute_lower_bound(plan(cells.load(name)), case(name, **sizes))


def test_minimal_by_hand():
    """T=10, B=4, D=6, H=5: W.z is 5 × 6, W.uz and W.uh are 5 × 5, and there are two biases."""
    sizes = {"T": 10, "B": 4, "D": 6, "H": 5}
    forward = needs("minimal", mode="inference", **sizes)
    assert (forward.hoisted, forward.recurrent) == (2 * (30 + 25) * 40, 2 * 25 * 40)
    # x in, y out; the initial state; all that is learned
    assert forward.bytes == 4 * (40 * 6 + 40 * 5 + 4 * 5 + (30 + 25 + 25 + 10))
    assert (forward.resident_bytes, forward.grid_syncs) == (4 * 25, 9)
    whole = needs("minimal", **sizes)
    # Once more for z and the matrices; of the recurrent product, not for the initial state.
    assert (whole.hoisted, whole.recurrent) == (3 * forward.hoisted, 2 * 25 * (40 + 40 + 36))
    # x and y again, dy in, dx out, gradients of all that is learned
    assert whole.bytes == forward.bytes + 4 * (40 * 6 + 40 * 5 + 40 * 5 + 40 * 6 + 90)
    assert whole.grid_syncs == 18
    given = needs("minimal", input_product=False, **sizes)
    assert (given.hoisted, given.recurrent) == (0, 2 * 25 * (40 + 36))
    # the rows of z and u in, their gradients out; y out and in again; dy in; the initial state and W.uh
    assert given.bytes == 4 * (2 * 40 * 10 + 3 * 40 * 5 + 4 * 5 + 25)


def test_lstm_by_hand():
    """T=3, B=2, D=4, H=5 in 16 bit: eight matrices, two states, of which c is kept and read besides h."""
    sizes = {"T": 3, "B": 2, "D": 4, "H": 5, "dtype": "bfloat16"}
    whole, learned = needs("lstm", **sizes), 4 * (20 + 25 + 5)
    assert (whole.hoisted, whole.recurrent) == (3 * 2 * 4 * 20 * 6, 2 * 4 * 25 * (6 + 6 + 4))
    assert whole.bytes == 2 * (3 * 6 * 4 + (2 * 2 + 1) * 6 * 5 + 2 * 2 * 5 + 2 * learned)
    assert (whole.resident_bytes, whole.grid_syncs) == (2 * 4 * 25, 4)


def test_two_stages_meet_twice_a_step():
    """Stage 2 waits for stage 1 and the next step for stage 2: five waits between six products."""
    assert needs("gru_reset_before", mode="inference", T=3).grid_syncs == 5
    assert needs("gru_reset_before", T=3).grid_syncs == 10
    assert needs("gru", T=1).grid_syncs == 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("input_product", [True, False])
@pytest.mark.parametrize("mode", MODES)
def test_formulas_grow_with_every_size_and_have_one_dimension(name, input_product, mode):
    base = {"T": 7, "B": 5, "D": 8, "H": 8, "mode": mode, "input_product": input_product}
    one = needs(name, **base)
    for size in "TBH":
        more = needs(name, **base | {size: 16})
        for constants in (GPU, CPU):
            bare = constants.model_copy(update={"cache": 0, "chip": 64})
            before, after = (bound_call(case(**base), d, bare) for d in (one, more))
            assert all(getattr(after, part) >= getattr(before, part) for part in ("products", "memory", "barriers"))
            assert after.memory > before.memory and after.products > before.products
    # Twice as wide an element is twice the bytes, and nothing else.
    wide = needs(name, **base, dtype="float64")
    assert (wide.bytes, wide.resident_bytes, wide.grid_syncs) == (2 * one.bytes, 2 * one.resident_bytes, one.grid_syncs)
    # Flops and elements are polynomials of at most one T, one B and two widths.
    for kind, value in derive_formulas(plan(cells.load(name)), mode, input_product).items():
        powers = {str(symbol): value.as_poly(symbol).degree() for symbol in value.free_symbols}
        assert all(powers.get(symbol, 0) <= most for symbol, most in (("T", 1), ("B", 1), ("D", 1), ("H", 2))), (kind, value)


@pytest.mark.parametrize("name", NAMES)
def test_training_needs_what_inference_does_and_more(name):
    forward, whole = needs(name, mode="inference"), needs(name)
    assert all(getattr(whole, field) >= getattr(forward, field) for field in LowerBound.model_fields)
    assert whole.recurrent < 3 * forward.recurrent or not forward.recurrent


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("input_product", [True, False])
def test_the_backward_pass_needs_what_training_does_beyond_inference(name, input_product):
    forward, back, whole = (needs(name, mode=mode, input_product=input_product) for mode in ("inference", "backward", "training"))
    for field in ("hoisted", "recurrent", "grid_syncs"):
        assert getattr(whole, field) - getattr(forward, field) == getattr(back, field) or field == "grid_syncs"
    assert whole.grid_syncs == 2 * forward.grid_syncs == 2 * back.grid_syncs
    assert back.bytes + forward.bytes <= whole.bytes + whole.resident_bytes, "apart, the matrices are read twice"


def test_a_floor_is_its_longest_part():
    asked = LowerBound(hoisted=7 * 10**14, recurrent=7 * 10**14, bytes=10**8 + 3 * 10**12, resident_bytes=32 * 484 * 2**10, grid_syncs=1000)
    found = bound_call(case(dtype="bfloat16"), asked, GPU)
    assert (found.products, found.memory, found.barriers) == pytest.approx((2.0, 1.0, 1e-3))
    assert (found.seconds, found.part) == (found.products, "products")
    small = asked.model_copy(update={"hoisted": 0, "recurrent": 7 * 10**9, "bytes": 10**8})
    found = bound_call(case(dtype="bfloat16"), small, GPU)
    assert (found.memory, found.part, found.seconds) == (0.0, "barriers", pytest.approx(1e-3))
    inference = bound_call(case(dtype="bfloat16", mode="inference"), small, GPU)
    assert inference.memory == pytest.approx(5e7 / 3e12), "one pass leaves but one cache full behind"


def test_bytes_count_for_nothing_where_the_caches_are_not_known():
    asked = LowerBound(hoisted=1, recurrent=1, bytes=10**12, resident_bytes=1, grid_syncs=1)
    assert bound_call(case(), asked, CPU.model_copy(update={"cache": None})).memory == 0
    assert bound_call(case(), asked, CPU).memory > 0


def test_a_chain_is_where_one_multiprocessor_is_too_small():
    chip = GPU.chip
    assert sync_seconds(chip, GPU) == 0 and sync_seconds(0, GPU) == 0
    assert sync_seconds(chip + 1, GPU) == 8e-7
    assert sync_seconds(7 * chip, GPU) == 8e-7, "not measured: as if it were two"
    assert sync_seconds(32 * chip, GPU) == 1e-6 and sync_seconds(500 * chip, GPU) == 1.5e-6
    assert sync_seconds(2 * chip, GPU.model_copy(update={"l2": 2e-6})) == 2e-6
    assert sync_seconds(2 * chip, GPU.model_copy(update={"barriers": {}})) == 0
    assert sync_seconds(10**12, CPU) == 0


def test_each_product_has_its_own_rate():
    assert product_kind(case(precision="tf32")) == "tf32" and product_kind(case()) == "float32"
    assert product_kind(case(dtype="bfloat16", precision="tf32")) == "bfloat16"
    asked = needs("lstm")
    assert bound_call(case(dtype="float16"), asked, CPU) is None
    ratio = bound_call(case(), asked, GPU).products / bound_call(case(precision="tf32"), asked, GPU).products
    assert ratio == pytest.approx(8)


def test_times_of_light():
    asked = LowerBound(hoisted=int(1.4e11), recurrent=0, bytes=0, resident_bytes=1, grid_syncs=1)
    assert times_lower_bound(timed(case(), 3.0, 2.0, 4.0, lower_bound=asked), ENVIRONMENT) == pytest.approx(3)
    assert times_lower_bound(timed(case(), 0.5, lower_bound=asked), ENVIRONMENT) == pytest.approx(0.5), "never clipped"
    assert times_lower_bound(timed(case(), 1.0), ENVIRONMENT) is None
    assert times_lower_bound(timed(case(), 1.0, lower_bound=asked), ENVIRONMENT.model_copy(update={"constants": None})) is None
    assert times_lower_bound(timed(case(), lower_bound=asked), ENVIRONMENT) is None
    nothing = asked.model_copy(update={"hoisted": 0})
    assert times_lower_bound(timed(case(), 1.0, lower_bound=nothing), ENVIRONMENT) is None


def test_a_processor_reads_the_matrices_in_every_step_from_the_cache_that_they_fit():
    """10 steps forward and 9 back: the gradient of the initial state isn't asked for."""
    here = CPU.model_copy(update={"cache": 2**25, "first_level": 2**16, "reads": {2**20: 1e11, 2**25: 2e10}})
    asked = LowerBound(hoisted=1, recurrent=1, bytes=1, resident_bytes=10**6, grid_syncs=1)
    one = case(T=10, B=1)
    assert bound_call(one, asked, here).memory == pytest.approx(19 * 1e6 / 1e11)
    assert bound_call(one.model_copy(update={"mode": "inference"}), asked, here).memory == pytest.approx(10 * 1e6 / 1e11)
    assert bound_call(one, asked.model_copy(update={"resident_bytes": 2**16}), here).memory == 0, "the first level is as fast as products"
    larger = asked.model_copy(update={"resident_bytes": 2**26})
    assert bound_call(one, larger, here).memory == pytest.approx(19 * 2**26 / 2e10)
    assert bound_call(one, larger, here.model_copy(update={"reads": {}})).memory == 0


def test_rates_measured_at_the_end_count_where_they_are_faster():
    later = GPU.model_copy(update={"products": {"float32": 6e13, "tf32": 3e14}, "copy_rate": 1e12, "barriers": {1: 6e-7}, "l2": 4e-7})
    joined = GPU.join(later)
    assert joined.products == {"float32": 6e13, "tf32": 4e14, "bfloat16": 7e14}
    assert (joined.copy_rate, joined.barriers[1], joined.barriers[2], joined.l2) == (3e12, 6e-7, 8e-7, 3e-7)
    run = RUN.model_copy(update={"environment": ENVIRONMENT.model_copy(update={"constants": GPU})})
    ends = [End(wall=1, spent={}), End(wall=1, spent={}, constants=later)]
    assert run.join_constants(ends).environment.constants == joined
