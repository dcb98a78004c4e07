"""Terms that are computed again from the states are those that a loop keeps."""

import torch

import cells
from kernels.derive.plan import plan
from kernels.layer.autograd import make_pass_inputs
from kernels.layer.input_products import recurrence_operands
from kernels.layer.recompute import recompute_terms
from kernels.schedules.cpu import compiled
from tests import custom
from tests.reference import error, problem
from tests.sampling import sample
from tests.tolerances import TOLERANCE


@sample("name", [*cells.DEFAULT, *custom.CELLS])
def test_restored_terms(name):
    """They are the ones that a loop keeps, and so are what the computed products are applied to."""
    cell = custom.CELLS.get(name) or cells.load(name)
    p, made = problem(cell, 5, 3, 17 if plan(cell).elementwise_input else 5, 17), plan(cell)
    states = [p.given[name] for name in cell.states]
    tensors = [*recurrence_operands(made, p.given["x"], 17, p.weights), *states]
    loop = make_pass_inputs(made, compiled, True, 5, tensors, recompute=False)
    kept = compiled.forward(loop)
    before = [torch.cat([s[None], h[:-1]]) for s, h in zip(states, kept.history, strict=True)]
    terms, arguments = recompute_terms(made, tensors, before)
    assert len(arguments) == len(kept.arguments) and len(terms) == len(loop.terms)
    for found, expected in zip([*terms, *arguments], [*loop.terms, *kept.arguments], strict=True):
        assert error(found, expected) <= TOLERANCE["schedule", torch.float32]
