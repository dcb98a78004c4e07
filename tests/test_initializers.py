"""Laws that matrices are drawn from, and the other initialisations of a cell."""

import copy
import math
import pickle

import pytest
import torch

import cells
from cells import Cell, CellError
from cells.grammar.initializers import Normal, Orthogonal
from kernels import RNN
from kernels.derive.plan import plan


@pytest.mark.parametrize("shape", [(300, 400), (400, 300)])
def test_a_normal_matrix_keeps_the_size_of_what_it_is_applied_to(shape):
    W, v = torch.empty(shape), torch.randn(shape[1])
    Normal(1.5)(W)
    # 300 entries of variance 2.25: a standard error of 1.5·√(1/600)
    assert abs((W @ v).square().mean().sqrt() / v.square().mean().sqrt() - 1.5) < 4 * 1.5 * (1 / 600) ** 0.5
    assert abs(W.std() * shape[1] ** 0.5 - 1.5) < 0.02


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_an_orthogonal_matrix_is_one(dtype):
    W = torch.empty(7, 7, dtype=dtype)
    Orthogonal(0.5)(W)
    assert (4 * W.double() @ W.double().T - torch.eye(7)).abs().max() < (1e-12 if dtype == torch.float64 else 2e-2)


def test_a_vector_has_no_fan_in():
    with pytest.raises(IndexError):
        Normal(1.0)(torch.empty(3))


def test_the_critical_initialisation_is_one_of_the_same_cell():
    critical = cells.load("minimal").with_init("critical")
    assert critical.name == "minimal" and critical.step is cells.load("minimal").step
    rnn = RNN(critical, 200, 200)
    weights = rnn.weights()
    assert abs(weights["W.uh"].std() * 200**0.5 - 6.88) < 0.15 and not weights["b.u"].any()
    z = torch.tanh(torch.randn(2000, 200) @ weights["W.z"].T)
    assert abs(z.square().mean() - 0.46) < 0.03  # a matrix of 200 rows is off by a few percent
    x = torch.randn(5, 2, 200)
    assert torch.equal(rnn(x)[0], copy.deepcopy(rnn)(x)[0])


def test_an_orthogonal_block_is_one():
    """Each block of a block-diagonal matrix, and so the whole; and N(0, gain²/n) by the width that a block sees."""
    W = torch.empty(3, 5, 5)
    Orthogonal(2.0)(W)
    assert (torch.block_diag(*W) @ torch.block_diag(*W).T - 4 * torch.eye(15)).abs().max() < 1e-5
    wide = torch.empty(4, 200, 200)
    Normal(3.0)(wide)
    assert abs(wide.std() * 200**0.5 - 3.0) < 0.05


def test_janet_remembers_as_long_as_its_sequences_are():
    """b_f = log U(1, 783), and all else as by default."""
    weights = RNN(cells.load("janet").with_init("chrono"), 2, 4000).weights()
    steps = weights["b.f"].exp()
    assert steps.min() >= 1 and steps.max() <= 783 and abs(steps.mean() - 392) < 4 * 226 / 4000**0.5
    assert all(0 < weights[name].abs().max() <= 4000**-0.5 for name in ("b.c", "W.fh"))


def test_vanilla_at_the_edge_is_orthogonal():
    W = RNN(cells.load("vanilla").with_init("critical"), 5, 9).weights()["W.hh"]
    assert (W @ W.T - torch.eye(9)).abs().max() < 1e-6


def test_rules_by_name_and_unknown_names():
    given = cells.load("lstm").with_init({"W": 0.25, "b": -1.0})
    values = RNN(given, 2, 3).weights()
    assert all((v == (0.25 if n.startswith("W") else -1.0)).all() for n, v in values.items())
    with pytest.raises(CellError, match=r"no initialisation is called 'chrono'.*there is open, critical"):
        cells.load("lstm").with_init("chrono")


def test_a_variant_is_pickled_by_its_cell():
    critical = cells.load("vanilla").with_init("critical")
    back = pickle.loads(pickle.dumps(critical))
    assert isinstance(back, Cell) and back.init == critical.init and back.step is critical.step
    assert pickle.loads(pickle.dumps(cells.load("vanilla"))) is cells.load("vanilla")


@pytest.mark.parametrize("name", [name for name in cells.names() if not plan(cells.load(name)).stencil_inputs])
def test_initialisation(name):
    """Everything from U(-1/√H, 1/√H), filling it, but for what a rule of the cell says: a number fills it, a range is filled."""
    found = cells.load(name)
    H = plan(found).round_up_width(300)
    values = {key: torch.empty(shape) for key, shape in found.shapes(H if plan(found).elementwise_input else 150, H).items()}
    found.initialise(values)
    for key, value in values.items():
        rule = found.init.get(key, found.init.get(key[0], 1.0 if key[0] == "s" else (-(H**-0.5), H**-0.5)))
        if not isinstance(rule, tuple):
            assert value.isfinite().all() and (callable(rule) or (value == rule).all())
            continue
        middle, bound = sum(rule) / 2, (rule[1] - rule[0]) / 2
        value = value - middle
        assert -bound <= value.min() < -0.95 * bound and 0.95 * bound < value.max() <= bound
        assert value.mean().abs() < 5 * bound / math.sqrt(3 * value.numel())


def test_the_initialisation_of_cfn():
    """The paper's: everything from U(-0.07, 0.07), b_θ of 1 and b_η of -1."""
    assert cells.load("cfn").init == {"W": (-0.07, 0.07), "b.theta": 1.0, "b.eta": -1.0}


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
