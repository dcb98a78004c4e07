"""The cells that enter a benchmark: the eight by default, all of them, and functions in files of one's own."""

import re

import pytest

import cells
from bench.commands.cell_arguments import parse_cells
from bench.commands.cell_report import describe_plan
from bench.records import read_records
from cells import Cell
from cells.grammar.functions import sigmoid
from kernels.derive.plan import plan
from tests import custom
from tests.command_line import bench

__all__ = ["bench"]

MINE = '''
from cells import cell
from cells.grammar.functions import sigmoid, tanh, where


def mine(h, c, k, x, W, b, p):
    """Three states, two products, an elementwise weight and a choice."""
    k = tanh(p.k * k + W.k(c) + W.x(x))
    c = where(k > 0, sigmoid(W.c(h) + b.c) * c, k)
    return c * tanh(k), c, k


@cell(paper="Someone 2020", parameters="H*D + H")
def known(h, x, W, b):
    return tanh(W.x(x) + b.h) * h


def square(h, c, x, W, b):
    """Its output is never read, and x unit by unit."""
    c = tanh(W.c(c)) * x
    return c * x, c
'''


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """In a folder of its own, named as its user would name it."""
    (tmp_path / "my_cells.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    return "my_cells.py:mine"


def test_default_is_the_seed_and_all_is_all(mine):
    assert parse_cells(None) == cells.DEFAULT == tuple(name for name in cells.names() if name in cells.DEFAULT)
    assert parse_cells("all") == cells.names() and parse_cells("lstm,all,lstm")[0] == "lstm"
    assert parse_cells(f"gru, {mine},gru") == ("gru", mine)


def test_the_list_begins_with_the_eight(bench):
    lines = [line.split()[0] for line in bench("list")[1].splitlines() if line.strip()]
    listed = [word for word in lines if word in cells.names()]
    assert listed[:8] == list(cells.DEFAULT) and sorted(listed) == list(cells.names())


def test_a_task_takes_no_cell_of_one_width(bench):
    code, out, err = bench("train", "adding", "--cells", "sru", "--device", "cpu")
    assert (code, out) == (2, "") and "sru uses its input unit by unit" in err


def test_own_cells_are_cells(mine):
    found = cells.load(mine)
    assert found is cells.load(mine) and found.name == "mine" and found.states == ("h", "c", "k")
    assert isinstance(cells.load("my_cells.py:known"), Cell) and cells.load("my_cells.py:known").paper == "Someone 2020"


def test_a_file_of_the_same_name_elsewhere_is_another(mine, tmp_path, monkeypatch):
    cells.load(mine)
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "my_cells.py").write_text("def mine(h, x, W):\n    return W.x(x)\n")
    monkeypatch.chdir(tmp_path / "below")
    assert cells.load(mine).states == ("h",)


def test_show(bench, mine):
    code, out, err = bench("show", mine)
    assert code == 0, err
    for part in ("Three states, two products", "where(k > 0", "where(less(0.0, ", "D·H + 2·H² + 2·H", "def step_adjoint("):
        assert part in out


def test_a_matrix_has_brackets_and_a_value_a_name_of_its_own():
    """Brackets surround the argument of a matrix; a product that is named like a state, or like a vector, shows that it is a product."""

    def twice(h, m, x, W, b, p):
        drive = W.x(x) + b.h
        first = (h + sigmoid(W.h(h) + drive)) * p.m
        return first + W.h(first) + W.m(m), m * first

    lines = describe_plan(plan(cells.Cell(twice))).splitlines()
    (step,) = [line for line in lines if line.startswith("    step:")]
    named = step.partition("F(")[2].rstrip(")").split(", ")
    assert len({*named}) == len(named) and {"h", "m", "p.m", "W_h", "W_m"} <= {*named}
    assert any(re.search(r"stage 2:  h_\d+ = W\.h\(\(h \+ sigmoid\(W_h\)\) \* p\.m\)$", line) for line in lines), lines


def test_what_is_hoisted_is_shown_as_it_is_written():
    """Brackets where they are needed, and comparisons by their signs."""

    def normalised(h, x, W, b):
        f, i = sigmoid(W.f(x) + b.f), sigmoid(W.i(x) + b.i)
        n = W.n(x) + b.n
        return f / (f + i) * W.h(h) + i / (f + i) * n

    shown = describe_plan(plan(cells.Cell(normalised)))
    assert "f / (f + i)" in shown and "i / (f + i) * n" in shown
    assert "affine in its states" in describe_plan(plan(cells.load("mingru"))) and "affine" not in describe_plan(plan(cells.load("sru")))
    assert "0.0 <= W.x(x)" in describe_plan(plan(custom.CELLS["chosen"]))


def test_a_run_with_a_cell_of_ones_own(bench, mine, tmp_path):
    """From a file to rows of every schedule, each within 1e-5 of float64, without touching the tree."""
    backends = "eager,compiled,compiled-low,stepwise,persistent"
    sized = ("--quick", "--seq-lens", "3", "--device", "cpu")
    code, out, err = bench("all", *sized, "--cells", f"{mine},my_cells.py:square", "--backends", backends, "--out", tmp_path / "run")
    assert code == 0, err
    records = read_records(tmp_path / "run")
    statuses = {(r.case.cell, r.case.backend): r.status for r in records.cases}
    assert set(statuses) == {(cell, name) for cell in (mine, "my_cells.py:square") for name in backends.split(",")}
    assert all(status == ("verified" if name in ("stepwise", "persistent") else "ok") for (_, name), status in statuses.items())
    assert all(max(r.errors.output, r.errors.gradient) < 1e-5 for r in records.cases)
    assert {g.cell for g in records.gradients} == {mine, "my_cells.py:square"}
    assert mine in out and mine in (tmp_path / "run" / "report.md").read_text()
