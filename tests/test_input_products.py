"""What is hoisted lives no longer than it is needed."""

import gc
import weakref

import cells
from kernels.derive.plan import plan
from kernels.layer.input_products import recurrence_operands
from tests.reference import problem


def test_nothing_waits_for_the_collector():
    """What is hoisted is gone when nobody needs it: no cycle of references holds it."""
    p = problem(cells.load("minimal_deep"), 3, 2, 5, 17)
    gc.collect()
    gc.disable()
    try:
        tensors = recurrence_operands(plan(p.cell), p.given["x"], 17, p.weights)
        made = [weakref.ref(t._base) for t in tensors if t is not None and t.dim() == 3]  # values, expanded to T and B
        del tensors
        assert len(made) == 1 and all(ref() is None for ref in made)
    finally:
        gc.enable()
