"""`RNN` as people use it: in torch.nn's place, with torch.nn's shapes, habits and errors."""

import copy
import io
import pickle

import pytest
import torch
from torch import Tensor, nn

import cells
from cells import CellError
from cells.grammar.functions import tanh
from kernels import RNN, from_torch, to_torch
from kernels.layer import select as backends
from kernels.schedules.cpu import library
from tests.reference import error
from tests.tolerances import TOLERANCE

EVERY = pytest.mark.parametrize("name", cells.SEED)
BACKENDS = pytest.mark.parametrize("backend", ["eager", "compiled", "stepwise"])
MODULES = {
    "LSTM": nn.LSTM,
    "GRU": nn.GRU,
    "RNN tanh": nn.RNN,
    "RNN relu": lambda *sizes, **options: nn.RNN(*sizes, nonlinearity="relu", **options),
}
LAYERS = [
    {},
    {"bias": False, "batch_first": True},
    {"num_layers": 2, "bidirectional": True},
    {"num_layers": 3, "bidirectional": True, "batch_first": True},
]
T, B, D, H = 5, 3, 4, 6


def flat(states: Tensor | tuple[Tensor, ...]) -> list[Tensor]:
    return [states] if isinstance(states, Tensor) else list(states)


def states_of(rnn: RNN, *batch: int) -> Tensor | tuple[Tensor, ...]:
    found = tuple(torch.randn(rnn.num_layers * rnn.directions, *batch, rnn.hidden_size) for _ in rnn.cell.states)
    return found if len(found) > 1 else found[0]


@EVERY
@pytest.mark.parametrize("options", LAYERS, ids=str)
def test_shapes(name, options):
    """Those of nn.GRU, or of nn.LSTM for two states, batched and not, with and without initial states."""
    rnn = RNN(name, D, H, **options)
    like = (nn.LSTM if len(rnn.cell.states) == 2 else nn.GRU)(D, H, **options)
    for x, batch in ((torch.randn(T, D), ()), (torch.randn(B, T, D) if rnn.batch_first else torch.randn(T, B, D), (B,))):
        for given in ([], [states_of(rnn, *batch)]):
            (y, final), (z, last) = rnn(x, *given), like(x, *given)
            assert y.shape == z.shape and [h.shape for h in flat(final)] == [h.shape for h in flat(last)]
            assert type(final) is type(last)


@BACKENDS
@EVERY
def test_final_states(name, backend):
    """The last output of each direction is a final state of the last layer; layouts only move numbers about."""
    rnn = RNN(name, D, H, num_layers=2, bidirectional=True, backend=backend)
    x, hx = torch.randn(T, B, D), states_of(RNN(name, D, H, num_layers=2, bidirectional=True), B)
    y, final = rnn(x, hx)
    h = flat(final)[0]
    assert torch.equal(y[-1, :, :H], h[-2]) and torch.equal(y[0, :, H:], h[-1])
    rnn.batch_first = True
    z, last = rnn(x.transpose(0, 1), hx)
    assert error(z.transpose(0, 1), y) <= TOLERANCE["two ways", torch.float32]
    assert all(error(a, b) <= TOLERANCE["two ways", torch.float32] for a, b in zip(flat(last), flat(final), strict=True))
    one = tuple(s[:, 0] for s in flat(hx))
    z, last = rnn(x[:, 0], one if len(one) > 1 else one[0])
    assert error(z, y[:, 0]) <= TOLERANCE["two ways", torch.float32]


@EVERY
def test_zero_states_are_the_default(name):
    rnn = RNN(name, D, H, num_layers=2)
    x = torch.randn(T, B, D)
    zeros = tuple(torch.zeros_like(s) for s in flat(states_of(rnn, B)))
    assert torch.equal(rnn(x)[0], rnn(x, zeros if len(zeros) > 1 else zeros[0])[0])


def gradients_by_name(rnn: RNN, module: nn.RNNBase) -> dict[str, tuple[Tensor, Tensor]]:
    """Every parameter's gradient with that of its twin."""
    found = {}
    for layer in range(rnn.num_layers):
        for suffix in rnn.suffixes(layer):
            packed = {k.removesuffix(suffix): v.grad for k, v in module.named_parameters() if k.endswith(suffix)}
            for name, theirs in rnn.cell.twin.split(packed).items():
                if name in rnn.weights(suffix):
                    found[name + suffix] = rnn.weights(suffix)[name].grad, theirs
    return found


def parity(module: nn.RNNBase, backend: str) -> None:
    """The module's own outputs, final states and gradients, from its weights and its input."""
    rnn = from_torch(module, backend)
    dtype = next(module.parameters()).dtype
    x = torch.randn(T, B, D, dtype=dtype)
    x = x.transpose(0, 1) if module.batch_first else x
    hx = [s.to(dtype) for s in flat(states_of(rnn, B))]
    runs = []
    for run in (rnn, module):
        leaves = [t.clone().requires_grad_() for t in (x, *hx)]
        y, final = run(leaves[0], tuple(leaves[1:]) if len(hx) > 1 else leaves[1])
        torch.manual_seed(1)
        torch.autograd.backward([y, *flat(final)], [torch.randn_like(out) for out in (y, *flat(final))])
        runs.append(([y, *flat(final)], [leaf.grad for leaf in leaves]))
    (ours, d_ours), (theirs, d_theirs) = runs
    gradients = gradients_by_name(rnn, module)
    assert len(gradients) == len(list(rnn.parameters()))
    assert all(error(a, b) <= TOLERANCE["torch.nn outputs", dtype] for a, b in zip(ours, theirs, strict=True))
    for a, b in [*zip(d_ours, d_theirs, strict=True), *gradients.values()]:
        assert error(a, b) <= TOLERANCE["torch.nn gradients", dtype]


@pytest.mark.parametrize("options", LAYERS, ids=str)
@pytest.mark.parametrize("kind", MODULES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_torch(kind, options, dtype, backend):
    """In place of the torch.nn module, layers and directions included."""
    parity(MODULES[kind](D, H, dtype=dtype, **options), backend)


@pytest.mark.parametrize("kind", MODULES)
def test_torch_stepwise(kind):
    parity(MODULES[kind](D, H, num_layers=2, bidirectional=True), "stepwise")


@pytest.mark.parametrize("options", LAYERS, ids=str)
@pytest.mark.parametrize("kind", MODULES)
def test_back_to_torch(kind, options):
    """The round trip gives a module of the same kind, arguments and outputs, and the weights survive it."""
    module = MODULES[kind](D, H, dropout=0.0, **options).eval()
    rnn = from_torch(module)
    back = to_torch(rnn)
    assert type(back) is type(module) and back.extra_repr() == module.extra_repr()
    assert not back.training and not rnn.training
    x = torch.randn(B, T, D) if module.batch_first else torch.randn(T, B, D)
    assert error(back(x)[0].detach(), module(x)[0].detach()) <= TOLERANCE["torch.nn outputs", torch.float32]
    again = from_torch(back).state_dict()
    assert all(torch.equal(again[key], value) for key, value in rnn.state_dict().items())


def test_weights_are_copies():
    module = nn.GRU(D, H)
    rnn = from_torch(module)
    before = module.weight_hh_l0.clone()
    with torch.no_grad():
        rnn.W_nh_l0.zero_()
        to_torch(rnn).weight_ih_l0.zero_()
    assert torch.equal(module.weight_hh_l0, before) and rnn.W_rx_l0.any()


def test_no_twin():
    with pytest.raises(TypeError, match=r"torch\.nn has no module that computes cfn"):
        to_torch(RNN("cfn", D, H))
    with pytest.raises(TypeError, match="no cell computes what Linear"):
        from_torch(nn.Linear(2, 3))
    with pytest.raises(ValueError, match="proj_size is not supported"):
        from_torch(nn.LSTM(D, H, proj_size=2))


@EVERY
def test_state_dict(name):
    """Named by cell, layer and direction; what is saved loads, into whichever dtype."""
    options = {"num_layers": 2, "bidirectional": True}
    rnn, other = RNN(name, D, H, **options), RNN(name, D, H, dtype=torch.float64, **options)
    learned = rnn.cell.shapes(D, H)
    assert set(rnn.state_dict()) == {k.replace(".", "_") + s for k in learned for s in ("_l0", "_l0_reverse", "_l1", "_l1_reverse")}
    file = io.BytesIO()
    torch.save(rnn.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file))
    x = torch.randn(T, B, D)
    assert error(rnn(x)[0].detach(), other(x.double())[0].detach()) <= TOLERANCE["schedule", torch.float32]


@EVERY
def test_moves_and_copies(name):
    """`.to(dtype)`, deepcopy and pickle keep the numbers; a copy has parameters of its own."""
    rnn, x = RNN(name, D, H, num_layers=2, backend="compiled"), torch.randn(T, B, D)
    y = rnn(x)[0].detach()
    for made in (copy.deepcopy(rnn), pickle.loads(pickle.dumps(rnn))):
        assert torch.equal(made(x)[0], y)
        assert not {p.data_ptr() for p in made.parameters()} & {p.data_ptr() for p in rnn.parameters()}
    wide = rnn.to(torch.float64)(x.double())[0]
    assert wide.dtype == torch.float64 and error(y, wide.detach()) <= TOLERANCE["schedule", torch.float32]


def test_copies_share_their_plan():
    """A copy builds nothing anew: plans are the keys of what is built."""
    rnn = RNN("minimal", D, H)
    assert copy.deepcopy(rnn).plan is rnn.plan


def test_own_cell():
    """A function in the grammar is enough."""

    def mine(h, x, W, b):
        return tanh(W.x(x) + W.h(h) + b.h)

    rnn, twin = RNN(mine, D, H), RNN("vanilla", D, H)
    twin.load_state_dict({"W_hx_l0": rnn.W_x_l0, "W_hh_l0": rnn.W_h_l0, "b_h_l0": rnn.b_h_l0})
    x = torch.randn(T, B, D)
    assert torch.equal(rnn(x)[0], twin(x)[0])
    assert repr(rnn) == f"RNN(mine, {D}, {H})"


def test_own_cell_of_equal_widths():
    def mine(h, x, W, b):
        return tanh(W.h(h) + x)

    assert RNN(mine, H, H, num_layers=2)(torch.randn(T, B, H))[0].shape == (T, B, H)
    with pytest.raises(ValueError, match="mine uses x unit by unit: input_size must equal hidden_size"):
        RNN(mine, D, H)


def test_own_cell_that_is_none():
    def mine(h, c, x, W, b):
        return tanh(W.h(h) + c)

    with pytest.raises(CellError, match="mine: returns 1 states, its signature has 2"):
        RNN(mine, D, H)


def test_initialisation_is_the_cells():
    """As torch.nn's by default, as the paper says where it does, and again on reset_parameters."""
    rnn = RNN("cfn", D, H, num_layers=2)
    assert all((p == 1).all() for n, p in rnn.named_parameters() if n.startswith("b_theta"))
    before = rnn.W_x_l1.clone()
    rnn.reset_parameters()
    assert not torch.equal(rnn.W_x_l1, before) and rnn.W_x_l1.abs().max() <= 0.07


@BACKENDS
@EVERY
def test_training(name, backend):
    """`y.sum().backward()` reaches every parameter, in every layer and direction."""
    rnn = RNN(name, D, H, num_layers=2, bidirectional=True, backend=backend)
    y, _ = rnn(torch.randn(3, B, D))
    y.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in rnn.parameters())


@BACKENDS
def test_only_a_final_state(backend):
    """A loss of the final cell state alone."""
    rnn, eager = (RNN("lstm", D, H, backend=b) for b in (backend, "eager"))
    eager.load_state_dict(rnn.state_dict())
    x = torch.randn(T, B, D)
    for run in (rnn, eager):
        _, (_, c) = run(x)
        c.square().sum().backward()
    for p, q in zip(rnn.parameters(), eager.parameters(), strict=True):
        assert error(p.grad, q.grad) <= TOLERANCE["schedule", torch.float32]


@BACKENDS
def test_frozen_weights(backend):
    """A frozen layer gets no gradient and passes one on."""
    rnn = RNN("gru", D, H, num_layers=2, backend=backend)
    for p in rnn.weights("_l1").values():
        p.requires_grad_(False)
    rnn(torch.randn(T, B, D))[0].sum().backward()
    assert all(p.grad is None for p in rnn.weights("_l1").values())
    assert all(p.grad.any() for p in rnn.weights("_l0").values())


@pytest.mark.parametrize("name", ["minimal", "gru", "lstm"])
def test_weights_however_they_lie(name):
    """Parameters that are views, as transposed or sliced ones are."""
    rnn = RNN(name, D, H, backend="compiled")
    other = copy.deepcopy(rnn)
    for key, p in rnn.named_parameters():
        view = p.data.t().contiguous().t() if p.dim() == 2 else torch.stack([p.data, p.data], 1)[:, 0]
        assert not view.is_contiguous()
        setattr(other, key, nn.Parameter(view))
    x = torch.randn(T, B, D)
    results = []
    for run in (rnn, other):
        y, _ = run(x)
        y.sum().backward()
        results.append([y.detach(), *(p.grad for p in run.parameters())])
    for a, b in zip(*results, strict=True):
        assert error(b, a) <= TOLERANCE["two ways", torch.float32]


@BACKENDS
def test_dropout(backend):
    """Between layers, in training only: with p = 1 the second layer sees zeros."""
    rnn, x = RNN("minimal", D, H, num_layers=2, dropout=1.0, backend=backend), torch.randn(T, B, D)
    second = RNN("minimal", H, H, backend=backend)
    second.load_state_dict({key.replace("l1", "l0"): value for key, value in rnn.state_dict().items() if "l1" in key})
    assert torch.equal(rnn(x)[0], second(torch.zeros(T, B, H))[0])
    without = copy.deepcopy(rnn)
    without.dropout = 0.0
    assert torch.equal(rnn(x)[1][0], without(x)[1][0]), "what the first layer is given stays whole"
    assert torch.equal(rnn.eval()(x)[0], without(x)[0]) and not torch.equal(rnn.train()(x)[0], without(x)[0])


@BACKENDS
@EVERY
def test_empty_batch(name, backend):
    """B = 0 gives empty outputs and zero gradients, as torch.nn does."""
    rnn = RNN(name, D, H, backend=backend)
    y, final = rnn(torch.randn(T, 0, D))
    assert y.shape == (T, 0, H) and all(h.shape == (1, 0, H) for h in flat(final))
    y.sum().backward()
    assert all(p.grad is None or not p.grad.any() for p in rnn.parameters())


@BACKENDS
@pytest.mark.parametrize("memory", ["full", "low"])
@pytest.mark.parametrize("given", [{}, {"lengths": []}, {"before": torch.zeros(0, D)}], ids=["", "lengths", "before"])
def test_no_schedule_is_asked_for_no_sequence(backend, memory, given, monkeypatch):
    """None of them has to know what zero rows are."""
    for schedule in backends.SCHEDULES.values():
        monkeypatch.delattr(schedule, "forward")
    y, _ = RNN("minimal", D, H, backend=backend, memory=memory)(torch.randn(T, 0, D), **given)
    assert y.shape == (T, 0, H)


def sequence(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape).to(dtype)


BAD = {
    "no steps": lambda rnn: rnn(sequence(0, B, D)),
    "no steps, unbatched": lambda rnn: rnn(sequence(0, D)),
    "no steps and no rows": lambda rnn: rnn(sequence(0, 0, D)),
    "wrong width": lambda rnn: rnn(sequence(T, B, D + 1)),
    "wrong dtype": lambda rnn: rnn(sequence(T, B, D, dtype=torch.float64)),
    "integers": lambda rnn: rnn(sequence(T, B, D, dtype=torch.int64)),
    "one dimension": lambda rnn: rnn(sequence(D)),
    "four dimensions": lambda rnn: rnn(sequence(1, T, B, D)),
    "hidden of another batch": lambda rnn: rnn(sequence(T, B, D), sequence(1, B + 1, H)),
    "hidden of another width": lambda rnn: rnn(sequence(T, B, D), sequence(1, B, H + 1)),
    "hidden of more layers": lambda rnn: rnn(sequence(T, B, D), sequence(2, B, H)),
    "hidden without layers": lambda rnn: rnn(sequence(T, B, D), sequence(B, H)),
    "batched hidden": lambda rnn: rnn(sequence(T, D), sequence(1, 1, H)),
    "hidden of another dtype": lambda rnn: rnn(sequence(T, B, D), sequence(1, B, H, dtype=torch.float64)),
}


@pytest.mark.parametrize("bad", BAD)
def test_bad_input(bad):
    """The kind of error that nn.GRU raises."""
    with pytest.raises(Exception, match=r".") as theirs:
        BAD[bad](nn.GRU(D, H))
    with pytest.raises(type(theirs.value), match=r"."):
        BAD[bad](RNN("gru", D, H))


@pytest.mark.parametrize("count", [1, 3])
def test_wrong_number_of_states(count):
    with pytest.raises((ValueError, RuntimeError), match=f"lstm has the states h, c: got {count} of 2"):
        RNN("lstm", D, H)(sequence(T, B, D), (sequence(1, B, H),) * count)


def test_wrong_second_state():
    """The state at fault is named."""
    with pytest.raises(RuntimeError, match=r"Expected hidden size \(1, 3, 6\) for c, got \[1, 3, 7\]"):
        RNN("lstm", D, H)(sequence(T, B, D), (sequence(1, B, H), sequence(1, B, H + 1)))


def test_not_a_tensor():
    for input in ([[1.0]], None):
        with pytest.raises(TypeError, match=r"expected a tensor or a PackedSequence, got (list|NoneType)"):
            RNN("gru", D, H)(input)


@pytest.mark.parametrize(
    "wrong",
    [
        {"hidden_size": 0}, {"hidden_size": -1}, {"hidden_size": 2.5}, {"input_size": 0}, {"input_size": -3}, {"input_size": 1.5},
        {"num_layers": 0}, {"num_layers": 1.5}, {"dropout": 1.5}, {"dropout": -0.1}, {"dropout": True},
    ],
    ids=str,
)  # fmt: skip
def test_bad_arguments(wrong):
    """The kind of error that nn.GRU raises."""
    arguments = {"input_size": D, "hidden_size": H, **wrong}
    with pytest.raises(Exception, match=r".") as theirs:
        nn.GRU(**arguments)
    with pytest.raises(type(theirs.value), match=r"."):
        RNN("gru", **arguments)


def test_unknown_names():
    with pytest.raises(KeyError, match="no cell is called 'minimall': did you mean minimal"):
        RNN("minimall", D, H)
    with pytest.raises(ValueError, match=r"no backend is called 'compield': .*compiled"):
        RNN("minimal", D, H, backend="compield")


@BACKENDS
def test_outputs_changed_in_place(backend):
    """Either the gradients are right, or autograd says what happened; nothing in between."""
    rnn, x = RNN("gru", D, H, backend=backend), torch.randn(T, B, D)
    right = torch.autograd.grad(rnn(x)[0].sum(), list(rnn.parameters()))
    y, _ = rnn(x)
    y += 1
    try:
        found = torch.autograd.grad(y.sum(), list(rnn.parameters()))
    except RuntimeError as raised:
        assert "modified by an inplace operation" in str(raised)
    else:
        assert all(torch.equal(a, b) for a, b in zip(found, right, strict=True))


@BACKENDS
def test_final_states_changed_in_place(backend):
    """The final states are nobody else's: changing them changes no gradient."""
    rnn, x = RNN("lstm", D, H, backend=backend), torch.randn(T, B, D)
    right = torch.autograd.grad(rnn(x)[0].sum(), list(rnn.parameters()))
    y, (h, c) = rnn(x)
    with torch.no_grad():
        h.zero_()
        c.zero_()
    assert all(torch.equal(a, b) for a, b in zip(torch.autograd.grad(y.sum(), list(rnn.parameters())), right, strict=True))


@pytest.mark.parametrize("backend", ["compiled", "stepwise"])
@pytest.mark.parametrize("loss", [torch.Tensor.sum, lambda y: y.square().sum()], ids=["sum", "square"])
def test_second_derivatives(backend, loss):
    """A fused schedule has none, and says so."""
    rnn, x = RNN("gru", D, H, backend=backend), torch.randn(T, B, D, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"twice|second"):
        torch.autograd.grad(loss(rnn(x)[0]), x, create_graph=True)[0].sum().backward()


def test_second_derivatives_eager():
    rnn, x = RNN("gru", D, H, backend="eager"), torch.randn(T, B, D, requires_grad=True)
    torch.autograd.grad(rnn(x)[0].square().sum(), x, create_graph=True)[0].sum().backward()
    assert x.grad.isfinite().all()


@BACKENDS
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", ["lstm", "minimal"])
def test_autocast(name, dtype, backend):
    """Under autocast the result is right to the lower precision, whichever dtype the layer before it hands on, and gradients
    are of the parameters' dtype."""
    rnn, x = RNN(name, D, H, backend=backend), torch.randn(T, B, D)
    expected = rnn(x)[0].detach()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, _ = rnn(x.to(dtype))
    y.float().sum().backward()
    assert error(y.detach().float(), expected) <= TOLERANCE["schedule", torch.bfloat16]
    assert all(p.grad.dtype == p.dtype for p in rnn.parameters())


@pytest.fixture
def fresh_warnings():
    backends._warn.cache_clear()
    yield
    backends._warn.cache_clear()


@pytest.mark.parametrize("backend", ["auto", "compiled"])
def test_no_compiler(backend, monkeypatch, fresh_warnings):
    """Without a C++ compiler the eager reference runs, and it is said once."""
    monkeypatch.setattr("kernels.schedules.cpu.compiled.compiler", lambda: None)
    rnn, eager = RNN("minimal", D, H, backend=backend), RNN("minimal", D, H, backend="eager")
    eager.load_state_dict(rnn.state_dict())
    x = torch.randn(T, B, D)
    with pytest.warns(RuntimeWarning, match=r"'compiled' finds no C\+\+ compiler: install g\+\+.*eager reference") as said:
        y = rnn(x)[0]
    assert torch.equal(y, eager(x)[0]) and len(said) == 1
    assert torch.equal(rnn(x)[0], y)


@pytest.mark.parametrize(
    ("backend", "dtype", "reason"),
    [
        ("compiled", torch.float16, "computes in float32 or float64, not float16"),
        ("stepwise", torch.float64, "computes in float32, float16 or bfloat16, not float64"),
    ],
)
def test_dtype_that_a_backend_lacks(backend, dtype, reason, fresh_warnings):
    with pytest.warns(RuntimeWarning, match=f"{backend}.*{reason}"):
        y, _ = RNN("minimal", D, H, backend=backend, dtype=dtype)(torch.randn(T, B, D).to(dtype))
    assert y.dtype == dtype


def test_stepwise_needs_a_gpu_or_the_interpreter(monkeypatch, fresh_warnings):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.warns(RuntimeWarning, match=r"'stepwise' needs a GPU, not a cpu \(TRITON_INTERPRET=1"):
        RNN("minimal", D, H, backend="stepwise")(torch.randn(T, B, D))


def test_compiler_that_fails(monkeypatch, tmp_path):
    """Its words are passed on."""

    def mine(h, x, W, b):
        return tanh(W.x(x) + h)

    broken = tmp_path / "g++"
    broken.write_text("#!/bin/sh\necho the compiler is broken >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(library, "compiler", lambda: str(broken))
    with pytest.raises(RuntimeError, match="could not build the loop of mine:\nthe compiler is broken"):
        RNN(mine, D, H, backend="compiled")(torch.randn(T, B, D))
    assert not list(tmp_path.rglob("*.so"))


def test_compiler_of_choice(monkeypatch, tmp_path):
    """$CXX goes first, where there is such a program."""
    mine = tmp_path / "my-cxx"
    mine.touch(0o755)
    monkeypatch.setenv("CXX", str(mine))
    assert library.compiler() == str(mine)
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert library.compiler() != "no-such-compiler"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert library.compiler() is None


def test_repr():
    """What differs from the defaults."""
    rnn = RNN("gru", D, H, num_layers=2, batch_first=True, backend="eager")
    assert repr(rnn) == "RNN(gru, 4, 6, num_layers=2, batch_first=True, backend='eager')"
