"""The cells beside the seed: each is its paper's, transcribed by hand, and torchrecurrent's, and runs on every schedule that takes it.

A cell's transcription is a file of tests/transcriptions, or a function of tests/papers.py."""

import pytest
import torch

import cells
from bench.measure import torchrecurrent_cells
from kernels.derive.plan import plan
from tests import papers, transcriptions
from tests.reference import agree, check, draws, problem, solve
from tests.sampling import of_each_kind, sample
from tests.tolerances import TOLERANCE

PAPERS = {
    "ugrnn": (papers.update_gate_rnn, {"W_ch": "W.ch", "W_cx": "W.cx", "b_c": "b.c", "W_gh": "W.gh", "W_gx": "W.gx", "b_g": "b.g"}),
    "mgu": (
        papers.minimal_gated_unit, {"W_f": "W.fx", "U_f": "W.fh", "b_f": "b.f", "W_h": "W.nx", "U_h": "W.nh", "b_h": "b.n"},
    ),
    "janet": (
        papers.just_another_network, {"W_f": "W.fx", "U_f": "W.fh", "b_f": "b.f", "W_c": "W.cx", "U_c": "W.ch", "b_c": "b.c"},
    ),
    "indrnn": (papers.independently_recurrent, {"W": "W.x", "u": "p.u", "b": "b.h"}),
    "sru": (
        papers.simple_recurrent_unit,
        {"W": "W.x", "W_f": "W.f", "v_f": "p.f", "b_f": "b.f", "W_r": "W.r", "v_r": "p.r", "b_r": "b.r"},
    ),
    "paragru": (
        papers.para_gru, {f"{k}_{g}": f"{o}.{g.replace('c', 'n')}" for g in "zrc" for k, o in (("A", "p"), ("B", "W"), ("b", "b"))},
    ),
    "paralstm": (
        papers.para_lstm,
        {f"{k}_{g}": f"{o}.{ours}" for g, ours in zip("fzo", "fgo", strict=True) for k, o in (("B", "W"), ("b", "b"))}
        | {"A_f": "p.fh", "A_z": "p.gh", "A_o": "p.oh", "C_f": "p.fc", "C_o": "p.oc"},
    ),
    "mingru": (papers.min_gru, {"W_z": "W.z", "b_z": "b.z", "W_h": "W.h", "b_h": "b.h"}),
    "minlstm": (papers.min_lstm, {"W_f": "W.f", "b_f": "b.f", "W_i": "W.i", "b_i": "b.i", "W_h": "W.h", "b_h": "b.h"}),
    "ligru": (
        papers.light_gated_recurrent_unit,
        {"W_z": "W.zx", "U_z": "W.zh", "b_z": "b.z", "W_h": "W.nx", "U_h": "W.nh", "b_h": "b.n"},
    ),
    "lstm_peephole": (
        papers.peephole_lstm,
        {f"{kind}_{g}": f"{ours}.{g}{side}" for g in "ifog" for kind, ours, side in (("W", "W", "x"), ("U", "W", "h"), ("b", "b", ""))}
        | {f"p_{g}": f"p.{g}" for g in "ifo"},
    ),
    "fastgrnn": (
        papers.fast_gated, {"W": "W.ax", "U": "W.ah", "b_z": "b.z", "b_h": "b.h", "zeta": "s.zeta", "nu": "s.nu"},
    ),
    "qrnn": (
        papers.quasi_recurrent,
        {f"W{k}_{g}": f"W.{g}{k}" for g in "zfo" for k in (1, 2)} | {f"b_{g}": f"b.{g}" for g in "zfo"},
    ),
    "slstm": (
        papers.scalar_lstm,
        {f"{kind}_{g}": f"{ours}.{g}{side}" for g in "zifo" for kind, ours, side in (("W", "W", "x"), ("R", "W", "h"), ("b", "b", ""))},
    ),
    "damped_string": (papers.string_in_air, {"source": "W.source", "c": "p.c", "b": "p.b"}),
    "klein_gordon": (papers.coupled_pendulums, {"source": "W.source", "c": "p.c", "m": "p.m"}),
    "wave": (papers.wave_equation, {"source": "W.source", "c": "p.c", "b": "p.b"}),
} | {name: (file.transcription, file.NAMES) for name, file in transcriptions.CELLS.items()}  # fmt: skip

PEERS = torchrecurrent_cells.PEERS | {name: file.PEER for name, file in transcriptions.CELLS.items() if hasattr(file, "PEER")} | {
    "janet": ("JANET", {"recurrent_bias": False}, {
        "weight_ih": ["W.fx", "W.cx"], "weight_hh": ["W.fh", "W.ch"], "bias_ih": ["b.f", "b.c"],
    }),
}  # fmt: skip
"""What a benchmark measures against, and torchrecurrent's JANET, which has h beside c: they are given the same start. By default
its FastGRNN has a gate of tanh, which the paper doesn't; it has no QRNN, SRU, minGRU, minLSTM or sLSTM."""

FAMILY = [name for name in cells.names() if name not in cells.DEFAULT]
SIZES = [(5, 1, 3, 17), (3, 9, 7, 40)]


def sized(name: str, T: int, B: int, D: int, H: int) -> tuple[int, int, int, int]:
    """D = H for a cell that takes no other, and an H that its heads can share."""
    H = plan(cells.load(name)).round_up_width(H)
    return T, B, H if plan(cells.load(name)).elementwise_input else D, H


def test_all_are_here():
    assert set(PAPERS) == set(cells.names()) - set(cells.DEFAULT) and set(cells.DEFAULT) <= set(cells.names())


@pytest.mark.parametrize("name", PAPERS)
def test_paper(name):
    """Outputs and the gradients of everything, in float64."""
    p = problem(cells.load(name), *sized(name, 6, 3, 5, 7), dtype=torch.float64)
    literal, names = PAPERS[name]
    assert sorted(names.values()) == sorted(p.weights)
    given = {key: value.clone().requires_grad_() for key, value in p.given.items()}
    y = literal(given["x"], *(given[s] for s in p.cell.states), **{ours: given[key] for ours, key in names.items()})
    gradients = torch.autograd.grad(y, list(given.values()), p.upstream["y"], materialize_grads=True, allow_unused=True)
    expected = {"y": y.detach()} | {f"d {key}": d for key, d in zip(given, gradients, strict=True)}
    found = solve(p, "eager", torch.float64, through=["y"])
    agree([{key: found[key] for key in expected}], [expected], TOLERANCE["paper", torch.float64])


@pytest.mark.parametrize("name", PEERS)
def test_torchrecurrent(name):
    """Outputs and the gradients of what is learned and of the input, in float64."""
    package = pytest.importorskip("torchrecurrent")
    p = problem(cells.load(name), 6, 3, 5, 7, dtype=torch.float64)
    kind, options, names = PEERS[name]
    module = getattr(package, kind)(5, 7, **options).double()
    parameters = dict(module.cells[0].named_parameters())
    with torch.no_grad():
        for value in parameters.values():
            value.fill_(1.0 if value.dim() == 0 else 0.0)
        for key, parts in names.items():
            parameters[key].copy_(torch.cat([p.weights[part] for part in parts]))
    x = p.given["x"].clone().requires_grad_()
    states = [p.given[s][None] for s in p.cell.states] * (2 if name == "janet" else 1)
    y, _ = module(x, tuple(states) if len(states) > 1 else states[0])
    dx, *rest = torch.autograd.grad(y, [x, *(parameters[key] for key in names)], p.upstream["y"])
    expected = {"y": y.detach(), "d x": dx}
    for parts, d in zip(names.values(), rest, strict=True):
        expected |= {f"d {part}": piece for part, piece in zip(parts, d.chunk(len(parts)), strict=True)}
    found = solve(p, "eager", torch.float64, through=["y"])
    agree([{key: found[key] for key in expected}], [expected], TOLERANCE["paper", torch.float64])


@sample("name, backend", FAMILY, ["compiled", "stepwise", "persistent or scan", "compiled-low"], taken=of_each_kind(FAMILY))
def test_schedules(name, backend):
    """In float32 against the equations in float64, interpreted where it is Triton."""
    made = plan(cells.load(name))
    if backend == "persistent or scan":
        backend = "persistent" if made.stages else "stencil" if made.stencil_inputs else "scan"
        backend = "stepwise" if made.reduces_states else backend
    for size in SIZES if backend == "compiled" else SIZES[:1]:
        check(draws(cells.load(name), *sized(name, *size)), backend, torch.float32)


@pytest.mark.parametrize("name", ["fastgrnn", "lstm_peephole", "slstm"])
def test_compiled_in_double(name):
    check(draws(cells.load(name), *sized(name, 9, 33, 5, 17), dtype=torch.float64), "compiled", torch.float64)


@sample("name", FAMILY)
def test_from_nothing(name):
    """From the zero states that a layer starts from: no NaN, over a length at which an exponential would have run away. Their own
    gradients are left out: that of slstm's m is zero there but for rounding."""
    steps = 50 if plan(cells.load(name)).reduces_states else 200  # a norm of seven units amplifies what is rounded, in torch as here
    steps = 20 if name == "sine_gordon" else steps  # its swings are chaotic, in torch as here
    p = problem(cells.load(name), *sized(name, steps, 2, 5, 7))
    start = dict(zip(p.cell.states, p.cell.initial(p.given["x"], 2, p.given[p.cell.states[0]].shape[1]), strict=True))
    zero = p.with_given(**start)
    found = check([zero], "compiled", torch.float32, frozen=p.cell.states)
    assert all(value.isfinite().all() for value in found[0].values())


def test_the_stabiliser_of_slstm_holds_what_would_overflow():
    """Gates of e^±100, which float32 has no numbers for, and still the output is a mean of z."""
    p = problem(cells.load("slstm"), 20, 2, 5, 8)
    p = p.with_given(**{"b.i": torch.tensor([100.0, -100.0] * 3 + [0.0] * 2), "b.f": torch.full((8,), -50.0)})
    found = check([p], "compiled", torch.float32)
    assert found[0]["y"].abs().max() <= 1
