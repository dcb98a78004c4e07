"""The cells: what a signature means, what each cell counts and how it starts, and that it is what its paper or torch.nn says."""

import importlib
import math

import pytest
import sympy
import torch

import cells
from cells import Cell, CellError, cell
from cells.grammar.functions import sigmoid, tanh
from cells.grammar.torch_equivalent import Twin
from kernels.derive.cost_formulas import D, H, parameter_count, parameter_sizes
from kernels.derive.plan import plan
from tests import papers
from tests.reference import agree, outputs, problem, solve
from tests.tolerances import TOLERANCE

EVERY = pytest.mark.parametrize("name", cells.names())
TWINS = [name for name in cells.names() if cells.load(name).twin]
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
    with pytest.raises(KeyError, match=r"there are cfn, .*gru, gru_reset_before"):
        cells.load("???")


@EVERY
def test_parameter_count(name):
    """The paper's formula, the plan's, and what there is to learn agree."""
    found = cells.load(name)
    formula = sympy.sympify(found.parameters, locals={"D": D, "H": H})
    assert sympy.expand(formula - parameter_count(plan(found))) == 0
    for d, h in ((1, 1), (256, 256)) if plan(found).elementwise_input else ((1, 1), (3, 5), (7, 3), (256, 256)):
        h = found.round_up_width(h)
        shapes = found.shapes(d, h)
        assert sum(map(math.prod, shapes.values())) == formula.subs({D: d, H: h})
        assert {key: math.prod(shape) for key, shape in shapes.items()} == {
            k: v.subs({D: d, H: h}) for k, v in parameter_sizes(plan(found)).items()
        }


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("vanilla", 131_328), ("lstm", 525_312), ("cfn", 328_192), ("minimal", 197_120), ("ugrnn", 262_656), ("mgu", 262_656),
        ("janet", 262_656), ("sru", 197_632), ("mingru", 131_584), ("minlstm", 197_376), ("indrnn", 66_048), ("ligru", 262_656),
        ("lstm_peephole", 526_080), ("slstm", 328_704), ("qrnn", 393_984), ("fastgrnn", 131_586), ("wave", 66_048),
    ],
)  # fmt: skip
def test_counts_of_the_papers(name, count):
    """At D = H = 256, one bias per gate."""
    assert parameter_count(plan(cells.load(name))).subs({D: 256, H: 256}) == count


@pytest.mark.parametrize(("units", "count"), [(224, 4_992_656), (731, 19_976_534)])
def test_language_models_of_the_cfn_paper(units, count):
    """Two layers, an embedding and a softmax over 10,000 words: the paper's own totals."""
    layers = 2 * parameter_count(plan(cells.load("cfn"))).subs({D: units, H: units})
    assert layers + 10_000 * (2 * units + 1) == count


@EVERY
@pytest.mark.parametrize("bias", [True, False])
def test_shapes(name, bias):
    """Every learned value in the order the equations use it: matrices (H, width of what they are applied to) or the blocks of one,
    vectors (H), scalars (1)."""
    found = cells.load(name)
    H = found.round_up_width(5)
    shapes = found.shapes(H if plan(found).elementwise_input else 3, H, bias)
    for key, shape in shapes.items():
        heads = found.heads.get(key, 1)
        square = (heads, H // heads, H // heads) if heads > 1 else (H, H)
        assert shape in {"W": ((H, 3), square), "s": ((1,),)}.get(key[0], ((H,),))
    assert any(key.startswith("b.") for key in shapes) == (bias and not plan(found).stencil_inputs)
    assert list(shapes) == list(parameter_sizes(plan(found, bias)))


def test_peepholes_stay_without_bias():
    """`bias=False` drops `b` and leaves `p`."""

    @cell()
    def peeping(h, x, W, b, p):
        return tanh(W.x(x) + p.h * h + b.h)

    assert peeping.shapes(3, 5) == {"W.x": (5, 3), "p.h": (5,), "b.h": (5,)}
    assert peeping.shapes(3, 5, bias=False) == {"W.x": (5, 3), "p.h": (5,)}


@pytest.mark.parametrize("name", [name for name in cells.names() if not plan(cells.load(name)).stencil_inputs])
def test_initialisation(name):
    """Everything from U(-1/√H, 1/√H), filling it, but for what the paper says."""
    found = cells.load(name)
    if name == "fastgrnn":
        return  # none of it: see test_the_initialisation_of_fastgrnn
    values = {key: torch.empty(shape) for key, shape in found.shapes(300 if plan(found).elementwise_input else 150, 300).items()}
    found.initialise(values)
    for key, value in values.items():
        if key in ("b.theta", "b.eta"):
            assert (value == {"b.theta": 1, "b.eta": -1}[key]).all()
            continue
        bound = 0.07 if name == "cfn" else 300**-0.5
        assert -bound <= value.min() < -0.95 * bound and 0.95 * bound < value.max() <= bound
        assert value.mean().abs() < 5 * bound / math.sqrt(3 * value.numel())


def test_the_initialisation_of_fastgrnn():
    """Its authors' code: matrices from N(0, 0.1²), biases of 1, and ζ, ν the sigmoids of 1 and -4."""
    found = cells.load("fastgrnn")
    values = {key: torch.empty(shape) for key, shape in found.shapes(150, 300).items()}
    found.initialise(values)
    assert all(abs(values[key].std() - 0.1) < 1e-3 and abs(values[key].mean()) < 1e-3 for key in ("W.ax", "W.ah"))
    assert (values["b.z"] == 1).all() and (values["b.h"] == 1).all()
    assert (values["s.zeta"].item(), values["s.nu"].item()) == (1, -4)


def test_initialisation_is_seeded():
    """From torch's global generator; the rules of `init` by name go before those by kind."""
    rules = Cell(cells.load("minimal").step, init={"W": (2.0, 3.0), "W.uz": 0.5, "b.u": (-1.0, 0.0)})
    draws = []
    for _ in range(2):
        torch.manual_seed(3)
        values = {key: torch.empty(shape) for key, shape in rules.shapes(4, 6).items()}
        rules.initialise(values)
        draws.append(values)
    first, second = draws
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert ((first["W.z"] >= 2) & (first["W.z"] <= 3)).all() and (first["W.uz"] == 0.5).all()
    assert ((first["b.u"] >= -1) & (first["b.u"] <= 0)).all() and (first["b.z"].abs() <= 6**-0.5).all()


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


@pytest.mark.parametrize("name", TWINS)
@pytest.mark.parametrize("bias", [True, False])
def test_torch(name, bias):
    """The equations are those of the torch.nn module, with its weights by the cell's names."""
    p = problem(cells.load(name), 6, 3, 5, 7, dtype=torch.float64, bias=bias)
    twin, states = p.cell.twin, p.cell.states
    module = twin.build(5, 7, bias=bias, dtype=torch.float64)
    p = p.with_given(**{key: value for key, value in twin.read(module).items() if key in p.weights})
    x = p.given["x"].clone().requires_grad_()
    initial = [p.given[s][None].clone().requires_grad_() for s in states]
    y, final = module(x, tuple(initial) if len(states) > 1 else initial[0])
    final = final if len(states) > 1 else (final,)
    upstream = [p.upstream["y"], *(p.upstream[f"final {s}"][None] for s in states)]
    dx, *rest = torch.autograd.grad([y, *final], [x, *initial, *module.parameters()], upstream)
    packed = {key.removesuffix("_l0"): d for (key, _), d in zip(module.named_parameters(), rest[len(states) :], strict=True)}
    expected = {"y": y.detach(), **{f"final {s}": v.detach()[0] for s, v in zip(states, final, strict=True)}, "d x": dx}
    expected |= {f"d {s}": d[0] for s, d in zip(states, rest, strict=False)}
    expected |= {f"d {key}": d for key, d in twin.split(packed).items() if key in p.weights}
    agree([solve(p, "eager", torch.float64)], [expected], TOLERANCE["torch.nn gradients", torch.float64])


@pytest.mark.parametrize("name", TWINS)
@pytest.mark.parametrize("bias", [True, False])
def test_twin_writes_what_it_reads(name, bias):
    """Weights written to a module and read back are the same, in whichever layer and direction."""
    found = cells.load(name)
    weights = {key: torch.randn(shape) for key, shape in found.shapes(10, 5, bias).items()}
    module = found.twin.build(3, 5, num_layers=2, bidirectional=True, bias=bias)
    found.twin.write(weights, module, "_l1_reverse")
    read = found.twin.read(module, "_l1_reverse")
    assert all(torch.equal(read[key], weights[key]) for key in weights)


def test_twin_refuses():
    """Another module, another nonlinearity, and projections, which the cells don't have."""
    twin = cells.load("vanilla").twin
    with pytest.raises(TypeError, match=r"expected nn\.RNN"):
        twin.read(torch.nn.GRU(3, 5))
    with pytest.raises(TypeError, match="nonlinearity"):
        twin.read(torch.nn.RNN(3, 5, nonlinearity="relu"))
    with pytest.raises(ValueError, match="proj_size"):
        Twin("LSTM", tuple("ifgo")).read(torch.nn.LSTM(3, 5, proj_size=2))


@EVERY
def test_unroll(name):
    """Time-major shapes, the final state the last output, and nothing but the initial states at T = 0."""
    H = cells.load(name).round_up_width(7)
    p = problem(cells.load(name), 4, 3, H if plan(cells.load(name)).elementwise_input else 5, H)
    found = outputs(p, "eager")
    assert found["y"].shape == (4, 3, H)
    assert torch.equal(found["y"][-1], found[f"final {p.cell.states[0]}"])
    y, final = p.cell.unroll(p.given["x"][:0], [p.given[s] for s in p.cell.states], p.weights)
    assert y.shape == (0, 3, H) and all(torch.equal(f, p.given[s]) for f, s in zip(final, p.cell.states, strict=True))


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


def one_state(h, x, W, b):
    return tanh(W.x(x) + W.h(h) + b.h)


def two_states(h, c, x, W, b):
    return sigmoid(W.h(h)), c


def test_states():
    """What stands before x are the states, the output first."""
    assert Cell(one_state).states == ("h",)
    assert Cell(two_states).states == ("h", "c")
    assert Cell(one_state).name == "one_state"


def no_input(h, W, b):
    return tanh(W.h(h) + b.h)


def no_state(x, W, b):
    return tanh(W.x(x) + b.h)


def strange(h, x, W, b, q):
    return tanh(W.h(h) + q)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (no_input, r"no_input: write the states, then `x`: def no_input\(h, x, W, b\)"),
        (no_state, r"no_state: write the states, then `x`"),
        (strange, "strange: after `x` come only W, b, p and s, not q"),
    ],
)
def test_wrong_signatures(step, message):
    with pytest.raises(CellError, match=message):
        _ = Cell(step).states


def one_of_two(h, c, x, W, b):
    return tanh(W.h(h) + W.x(x))


def two_of_one(h, x, W, b):
    return tanh(W.h(h)), tanh(W.x(x))


@pytest.mark.parametrize("step", [one_of_two, two_of_one])
def test_wrong_returns(step):
    """The message says what to return, and it comes before anything is computed."""
    with pytest.raises(CellError, match=rf"{step.__name__}: returns . states, its signature has ."):
        Cell(step).shapes(3, 5)
    with pytest.raises(CellError, match="return the next h"):
        plan(Cell(step))


def test_one_matrix_of_two_shapes():
    def doubly(h, x, W, b):
        return tanh(W.a(x) + W.a(h))

    with pytest.raises(CellError, match=r"W\.a is applied to widths 3 and 5: use two names"):
        Cell(doubly).shapes(3, 5)


def test_facts():
    """`@cell(…)` makes a Cell of a function and keeps what is known about it."""
    made = cell(paper="Someone 2020", parameters="H")(one_state)
    assert (made.name, made.paper, made.parameters, made.twin) == ("one_state", "Someone 2020", "H", None)
