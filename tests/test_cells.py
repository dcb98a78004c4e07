"""The cells of the project: their files, their names, and that each is what its paper says."""

import importlib

import pytest
import torch

import cells
from tests import papers
from tests.reference import agree, outputs, problem, solve
from tests.tolerances import TOLERANCE

EVERY = pytest.mark.parametrize("name", cells.names())
TWINS = [name for name in cells.names() if cells.load(name).torch_equivalent]
PAPERS = {
    "minimal": (papers.minimal_rnn, {"W_x": "W.z", "b_z": "b.z", "U_h": "W.uh", "U_z": "W.uz", "b_u": "b.u"}),
    "minimal_deep": (
        papers.minimal_rnn_deep,
        {"W_1": "W.a", "b_1": "b.a", "W_2": "W.z", "b_2": "b.z", "U_h": "W.uh", "U_z": "W.uz", "b_u": "b.u"},
    ),
    "cfn": (
        papers.chaos_free,
        {
            "U_theta": "W.theta_h", "V_theta": "W.theta_x", "b_theta": "b.theta", "U_eta": "W.eta_h", "V_eta": "W.eta_x",
            "b_eta": "b.eta", "W": "W.x",
        },
    ),
    "gru_reset_before": (
        papers.gated_recurrent_unit,
        {
            "W_u": "W.ux", "U_u": "W.uh", "b_u": "b.u", "W_r": "W.rx", "U_r": "W.rh", "b_r": "b.r", "W_x": "W.nx",
            "W_h": "W.nh", "b_h": "b.n",
        },
    ),
    "lstm": (
        papers.long_short_term_memory,
        {f"{kind}_{g}": f"{ours}.{g}{side}" for g in "ifog" for kind, ours, side in (("W", "W", "x"), ("U", "W", "h"), ("b", "b", ""))},
    ),
}  # fmt: skip


@EVERY
def test_file(name):
    """A cell's file cites and explains it, and the cell is called what the file is."""
    module = importlib.import_module(f"cells.{name}")
    found = cells.load(name)
    assert found.name == name and found.paper and found.parameters
    assert "_t" in module.__doc__, "the equations as the paper writes them"
    assert found.paper[-4:].isdigit() or any(part.strip(",;.")[-4:].isdigit() for part in found.paper.split())


def test_names():
    wanted = {"vanilla", "vanilla_relu", "lstm", "gru", "gru_reset_before", "cfn", "minimal", "minimal_deep"}
    assert wanted <= set(cells.names()) and list(cells.names()) == sorted(cells.names())
    assert not {"cell", "functions", "twin"} & set(cells.names())


def test_unknown_name():
    """The nearest match is named, or else all there are."""
    with pytest.raises(KeyError, match="no cell is called 'minimall': did you mean minimal"):
        cells.load("minimall")
    with pytest.raises(KeyError, match=f"there are {', '.join(cells.names())}"):
        cells.load("???")


@pytest.mark.parametrize("name", PAPERS)
def test_paper(name):
    """The equations read as the paper's own, written out by hand: outputs and gradients of everything."""
    p = problem(cells.load(name), 6, 3, 5, 7, dtype=torch.float64)
    literal, names = PAPERS[name]
    assert sorted(names.values()) == sorted(p.weights)
    given = {key: value.clone().requires_grad_() for key, value in p.given.items()}
    y = literal(given["x"], *(given[s] for s in p.cell.states), **{ours: given[key] for ours, key in names.items()})
    gradients = torch.autograd.grad(y, list(given.values()), p.upstream["y"])
    expected = {"y": y.detach()} | {f"d {key}": d for key, d in zip(given, gradients, strict=True)}
    found = solve(p, "eager", torch.float64, through=["y"])
    agree([{key: found[key] for key in expected}], [expected], TOLERANCE["paper", torch.float64])


def test_minimal_stays_between_what_it_was_given():
    """A state is a mean of the one before and z: it never leaves their range."""
    p = problem(cells.load("minimal"), 50, 4, 5, 7, dtype=torch.float64)
    z = torch.tanh(torch.nn.functional.linear(p.given["x"], p.given["W.z"], p.given["b.z"]))
    bound = torch.stack([p.given["h"].abs(), z.abs().amax(0)]).amax(0)
    assert (outputs(p, "eager")["y"].abs() <= bound).all()


def test_cfn_forgets_without_input():
    """The only attractor of CFN without input is zero, whatever its weights; with any input, a unit stays within ±2."""
    p = problem(cells.load("cfn"), 400, 4, 5, 7, dtype=torch.float64)
    p = p.with_given(**{key: 5 * torch.randn_like(value) for key, value in p.weights.items()})
    assert (outputs(p, "eager")["y"].abs() <= 2).all()
    sizes = outputs(p.with_given(x=torch.zeros_like(p.given["x"])), "eager")["y"].abs()
    assert (sizes[1:] <= sizes[:-1]).all() and sizes[-1].max() < 0.1
