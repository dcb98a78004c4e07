"""The backend of a call: a warning and the eager reference where the one asked for can't run."""

import warnings

import pytest
import torch

from kernels import RNN
from kernels.layer import select as backends
from kernels.schedules.cpu import compiled
from tests.reference import error

T, B, D, H = 5, 3, 4, 6


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
        ("compiled", torch.complex64, "computes in float32, float64, bfloat16 or float16, not complex64"),
        ("stepwise", torch.float64, "computes in float32, float16 or bfloat16, not float64"),
    ],
)
def test_dtype_that_a_backend_lacks(backend, dtype, reason, fresh_warnings):
    with pytest.warns(RuntimeWarning, match=f"{backend}.*{reason}"):
        y, _ = RNN("minimal", D, H, backend=backend, dtype=dtype)(torch.randn(T, B, D).to(dtype))
    assert y.dtype == dtype


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sixteen_bit_on_a_cpu(dtype, fresh_warnings):
    """A module in 16 bit runs by the fused loop, without a warning, and so does its graph."""
    rnn, x = RNN("minimal", D, H).to(dtype), torch.randn(T, B, D).to(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y, _ = rnn(x)
    torch._dynamo.reset()
    assert torch.allclose(torch.compile(rnn, backend="aot_eager", fullgraph=True)(x)[0], y, atol=1e-2)
    assert y.dtype == dtype and rnn.select_schedule(x, [y[0]]) is compiled


def test_stepwise_needs_a_gpu_or_the_interpreter(monkeypatch, fresh_warnings):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.warns(RuntimeWarning, match=r"'stepwise' needs a GPU, not a cpu \(TRITON_INTERPRET=1"):
        RNN("minimal", D, H, backend="stepwise")(torch.randn(T, B, D))


@pytest.mark.parametrize("name", ["gru", "lstm", "minimal", "slstm", "wave"])
def test_one_training_step_on_a_cpu(name, monkeypatch):
    """Torch's operator or the equations run it, right with all gradients; the loop runs anything else."""
    loops, run = [], compiled.forward
    monkeypatch.setattr(compiled, "forward", lambda inputs, *rest: (loops.append(inputs.T), run(inputs, *rest))[1])
    rnn = RNN(name, 16, 16, num_layers=2)
    reference = RNN(name, 16, 16, num_layers=2, backend="eager").double()
    reference.load_state_dict(rnn.state_dict())
    x = torch.randn(1, 3, 16)
    for layer, given in ((rnn, x), (reference, x.double())):
        layer(given)[0].square().sum().backward()
    assert not loops
    for found, expected in zip(rnn.parameters(), reference.parameters(), strict=True):
        assert expected.grad is None or error(found.grad, expected.grad) <= 1e-5
    with torch.no_grad():
        rnn(x)
    rnn(torch.randn(2, 3, 16))
    rnn.bfloat16()(x.bfloat16())
    assert loops == [1, 1, 2, 2, 1, 1]
    with torch.autocast("cpu", torch.bfloat16):
        rnn.float()(x)
    assert loops[6:] == [1, 1], "which packs in autocast's dtype"
    del loops[6:]
    for options in ({"memory": "low"}, {"backend": "compiled"}, {"hidden_size": 256} if name == "lstm" else {"backend": "compiled"}):
        RNN(name, **{"input_size": 16, "hidden_size": 16, **options})(x)
    assert loops[6:] == [1, 1, 1]


@pytest.mark.parametrize("name", ["lstm", "minimal"])
def test_one_training_step_in_torch_func(name):
    """The equations run it: they have all rules."""
    rnn, x = RNN(name, D, H), torch.randn(2, 1, B, D)
    expected = torch.stack([rnn(part)[0] for part in x])
    weights = dict(rnn.named_parameters())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = torch.func.vmap(lambda part: torch.func.functional_call(rnn, weights, (part,))[0])(x)
        _, slope = torch.func.jvp(lambda part: rnn(part)[0], (x[0],), (torch.ones_like(x[0]),))
    assert error(found, expected) <= 1e-5 and slope.shape == expected[0].shape and slope.abs().max() > 0
