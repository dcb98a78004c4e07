"""A history of newton changes how long a pass takes, not what comes out."""

import copy
import pickle
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from kernels import RNN
from kernels.layer import measured_layers
from kernels.schedules.cpu import compiled
from kernels.schedules.newton import cpu_form, newton
from kernels.schedules.newton.pass_history import MAX_PAUSE, PassHistory

T, B, D, H = 48, 2, 5, 17


def halve(h, x):
    """A cell without parameters."""
    return 0.5 * h + x


@pytest.fixture
def updates(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """A list that gets True for each update of gradients, and False for each of states."""
    found, run = list[bool](), cpu_form.Iteration.update
    monkeypatch.setattr(cpu_form.Iteration, "update", lambda self: (found.append(self.system.is_reversed), run(self))[1])
    yield found
    torch.use_deterministic_algorithms(False)


def train(rnn: RNN, x: Tensor, seed: int = 1) -> list[Tensor]:
    """Outputs, final states and gradients of a call, with initial states and upstream gradients drawn from the seed."""
    torch.manual_seed(seed)
    x, states = (
        x.detach().clone().requires_grad_(),
        [torch.randn(rnn.directions * rnn.num_layers, x.shape[1], H).to(x) for _ in rnn.plan.states],
    )
    y, final = rnn(x, tuple(states) if len(states) > 1 else states[0])
    sum((t * torch.randn(t.shape).to(t)).sum() for t in (y, *(final if isinstance(final, tuple) else (final,)))).backward()
    found = [y, x.grad, *(p.grad.clone() for p in rnn.parameters())]
    rnn.zero_grad()
    return [t.detach() for t in found]


def agree(found: list[Tensor], expected: list[Tensor]) -> bool:
    return all(float((a.double() - b.double()).abs().max()) <= 1e-5 * float(b.abs().max()) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("name", ["minimal", "lstm", "gru_reset_before"])
def test_a_warm_start(name, updates):
    """The solution again takes the fewest iterations there are; one nearby fewer than none; and it is that of the equations each time."""
    torch.manual_seed(0)
    rnn, x = RNN(name, D, H, backend="newton").keep_newton_history(warm_start=True), torch.randn(T, B, D)
    reference = RNN(name, D, H, backend="eager").double()
    reference.load_state_dict(rnn.state_dict())
    counts = []
    for inputs, seed in ((x, 1), (x, 1), (x + 1e-3 * torch.randn_like(x), 1), (x, 2), (x[:-1], 2), (-x[:, :1].expand(-1, 3, -1), 2)):
        updates.clear()
        assert agree(train(rnn, inputs, seed), train(reference, inputs.double(), seed))
        counts.append((updates.count(False), updates.count(True)))
    (cold, cold_back), same, near, _, shorter, wider = counts
    assert same[0] <= 2 < near[0] + 1 <= cold and same[1] <= 2 < cold_back, counts
    assert min(shorter) > 2 and min(wider) > 2, "of another shape: from zeros"


def test_layers_and_directions_keep_their_own(updates):
    torch.manual_seed(0)
    rnn, x = RNN("minimal", D, H, num_layers=2, bidirectional=True, backend="newton"), torch.randn(T, B, D)
    rnn.keep_newton_history(warm_start=True)
    first = train(rnn, x)
    updates.clear()
    assert agree(train(rnn, x), first) and len(updates) <= 2 * 2 * 4
    assert len(rnn._newton_history.entries) == 4
    for p in rnn.parameters():  # as a move to another device does
        p.data = p.data.clone()
    train(rnn, x)
    assert len(rnn._newton_history.entries) == 4, "of the former parameters nothing is left"


def test_a_pause(monkeypatch, updates):
    """After a pass that has not converged: 1, 2, 4 calls step by step, then one more trial each; forward and backward for themselves."""
    monkeypatch.setattr(newton, "BUDGET", 3)
    rnn, x = RNN("lstm", D, H, backend="newton").keep_newton_history(pause=True), torch.randn(T, B, D)
    expected = train(copy.deepcopy(rnn), x)
    tried = []
    for _ in range(10):
        updates.clear()
        assert agree(train(rnn, x), expected)
        tried.append((False in updates, True in updates))
    assert tried == [(n in (0, 2, 5),) * 2 for n in range(10)]


def test_pauses_end():
    """They are at most so long, and one pass that converges ends them."""
    kept, system = PassHistory(warm_start=False, pause=True), type("Of", (), {"T": 2, "trajectory": []})
    for _ in range(12):
        kept.note(system, 1)
    assert sum(kept.skips() for _ in range(2 * MAX_PAUSE)) == MAX_PAUSE
    kept.note(system, 2)
    assert not kept.skips()
    kept.note(system, 1)
    assert [kept.skips() for _ in range(3)] == [True, False, False]


def test_what_does_not_converge_is_no_guess(monkeypatch, updates):
    """Nor is NaN: the next call is as right as if nothing had been before."""
    rnn, x = RNN("minimal", D, H, backend="newton").keep_newton_history(warm_start=True), torch.randn(T, B, D)
    expected = train(copy.deepcopy(rnn), x)
    wrong = x.clone()
    wrong[7] = torch.nan
    assert train(rnn, wrong)[0].isnan().any()
    assert all(kept.trajectory is None for kept in rnn.find_history(rnn.tensors()))
    assert agree(train(rnn, x), expected)


def test_auto_takes_its_other_choice(monkeypatch):
    ran = list[str]()
    for schedule in (newton, compiled):
        run = schedule.forward
        monkeypatch.setattr(schedule, "forward", lambda *a, run=run, name=schedule.__name__: (ran.append(name.split(".")[-1]), run(*a))[1])
    monkeypatch.setattr(newton, "BUDGET", 3)
    monkeypatch.setattr(measured_layers, "find_fastest", lambda *given: "newton")
    rnn, x = RNN("lstm", D, H).keep_newton_history(pause=True), torch.randn(T, B, D)
    for _ in range(3):
        rnn(x)
    assert ran == ["newton", "compiled", "compiled", "newton", "compiled"], "a rest, a pause, and a trial with its rest"


def test_it_is_an_option(updates):
    """Off by default and under deterministic algorithms; copies begin without; and it can be ended."""
    rnn, x = RNN("minimal", D, H, backend="newton"), torch.randn(T, B, D)
    first = train(rnn, x)
    count = len(updates)
    assert all(torch.equal(a, b) for a, b in zip(train(rnn, x), first, strict=True)) and len(updates) == 2 * count
    rnn.keep_newton_history(warm_start=True)
    train(rnn, x)
    for copied in (copy.deepcopy(rnn), pickle.loads(pickle.dumps(rnn))):
        updates.clear()
        assert all(torch.equal(a, b) for a, b in zip(train(copied, x), first, strict=True)) and len(updates) == count
        updates.clear()
        train(copied, x)
        assert len(updates) < count
    rnn.keep_newton_history()
    updates.clear()
    assert all(torch.equal(a, b) for a, b in zip(train(rnn, x), first, strict=True)) and len(updates) == count
    torch.use_deterministic_algorithms(True)
    rnn.keep_newton_history(warm_start=True, pause=True)
    fixed = [train(rnn, x) for _ in range(2)]
    assert all(torch.equal(a, b) for a, b in zip(*fixed, strict=True))


def test_16_bit(updates):
    """Iterated in float32, and kept so."""
    rnn, x = RNN("cfn", D, H, backend="newton", dtype=torch.bfloat16).keep_newton_history(warm_start=True), torch.randn(T, B, D).bfloat16()
    first = train(rnn, x)
    updates.clear()
    again = train(rnn, x)
    assert len(updates) <= 4 and all(float((a - b).abs().max()) <= 1e-2 * float(b.abs().max()) for a, b in zip(again, first, strict=True))


def test_a_layer_without_parameters():
    rnn = RNN(halve, H, H, backend="newton").keep_newton_history(warm_start=True)
    x = torch.randn(T, B, H)
    assert torch.allclose(rnn(x)[0], rnn(x)[0])
