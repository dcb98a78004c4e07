"""Chaos: the maps as their paper prints them, exponents against Benettin's method in a forward loop, and what is known to decay."""

import math

import pytest
import torch

import cells
from bench.render import chaos_report
from bench.studies.signals import chaos, lyapunov
from bench.studies.signals.chaotic_maps import MAPS
from bench.studies.signals.chunked_vjp import ChunkedVJP
from bench.studies.signals.initializations import initialize_as
from bench.studies.signals.single_thread import one_thread
from kernels import RNN


@pytest.fixture(autouse=True)
def quick():
    """Two units leave nothing to divide among threads."""
    with one_thread():
        yield


SMALL = chaos.ChaosSize(seeds=2, starts=40, settle=60, steps=150, copies=50, iterations=150)


def lstm_map(h: torch.Tensor, c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Laurent & von Brecht, section 2: one vector each."""
    A_i = A_f = torch.tensor([[-10.0, -10.0], [10.0, 10.0]], dtype=h.dtype)
    A_o = torch.tensor([[10.0, -10.0], [10.0, -10.0]], dtype=h.dtype)
    A_g = torch.tensor([[10.0, -80.0], [80.0, -10.0]], dtype=h.dtype)
    c = torch.sigmoid(A_f @ h) * c + torch.sigmoid(A_i @ h) * torch.tanh(A_g @ h)
    return torch.sigmoid(A_o @ h) * torch.tanh(c), c


def gru_map(u: torch.Tensor) -> torch.Tensor:
    A_z = torch.tensor([[0.0, 1.0], [1.0, 1.0]], dtype=u.dtype)
    A_r = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=u.dtype)
    R = torch.tensor([[-5.0, -8.0], [8.0, 5.0]], dtype=u.dtype)
    z, r = torch.sigmoid(A_z @ u), torch.sigmoid(A_r @ u)
    return (1 - z) * u + z * torch.tanh(R @ (r * u))


LITERAL = {"LSTM map": lambda h, c: lstm_map(h, c), "GRU map": lambda u: (gru_map(u),)}


@pytest.mark.parametrize("map", MAPS, ids=lambda m: m.name)
@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_a_map_is_that_of_the_paper(map, backend):
    states = map.draw_states(5, torch.Generator().manual_seed(1))
    found = lyapunov.advance(map.make_layer(backend), states, 3)
    for k in range(5):
        point = [s[k] for s in states]
        for _ in range(3):
            point = LITERAL[map.name](*point)
        assert all((f[k] - p).abs().max() < 1e-12 for f, p in zip(found, point, strict=True))


def jacobians(map, states):
    """Of the paper's own map at each point: (B, n, n) over all states, one after another."""
    literal = LITERAL[map.name]

    def step(point):
        return torch.cat(literal(*point.split(2)))

    return torch.func.vmap(torch.func.jacrev(step))(torch.cat(states, 1))


@pytest.mark.parametrize("map", MAPS, ids=lambda m: m.name)
def test_a_vector_goes_back_through_the_paper_s_jacobians(map):
    """ln ‖J₁ᵀ … J_Tᵀ v‖ over 40 steps, in which rounding errors grow by e⁹."""
    states, generator, T = map.draw_states(3, torch.Generator().manual_seed(0)), torch.Generator().manual_seed(1), 40
    upstream = [torch.randn(s.shape, generator=generator, dtype=s.dtype) for s in states]
    *_, last = ChunkedVJP(
        map.make_layer(), lyapunov.autonomous_input(map.make_layer(), T, 3), states, upstream, [0, 7, 21, T], unit=True
    ).pull_back()
    product, rnn = torch.eye(2 * len(states), dtype=torch.float64).expand(3, -1, -1), map.make_layer("eager")
    for _ in range(T):
        product = jacobians(map, states) @ product
        states = lyapunov.advance(rnn, states, 1)
    expected = (torch.cat(upstream, 1)[:, None] @ product).squeeze(1).norm(dim=1).log()
    assert (last.scale.squeeze(1) - expected).abs().max() < 1e-8


@pytest.mark.parametrize("map", MAPS, ids=lambda m: m.name)
def test_exponents_are_those_of_vectors_carried_forward(map):
    """Benettin's loop from 300 points over 200 steps, and ours from as many others."""
    generator, T, logs, rnn = torch.Generator().manual_seed(0), 200, [], map.make_layer("eager")
    states = lyapunov.advance(rnn, map.draw_states(300, generator), 100)
    found = lyapunov.measure_exponents(rnn, lyapunov.advance(rnn, map.draw_states(300, generator), 100), T, generator).mean().item()
    vectors = torch.randn(300, 2 * len(states), 1, generator=generator, dtype=torch.float64)
    for _ in range(T):
        vectors = jacobians(map, states) @ vectors
        states = lyapunov.advance(rnn, states, 1)
        logs.append(vectors.norm(dim=1).log().mean().item())
        vectors = vectors / vectors.norm(dim=1, keepdim=True)
    forward = sum(logs[T // 10 :]) / (T - T // 10)
    # Each has a standard error of 0.42/√(300·180) = 0.002, and the angles at their ends are worth a nat in 180 steps.
    assert found == pytest.approx(forward, abs=0.014)


def test_a_linear_map_has_the_exponent_of_its_largest_eigenvalue():
    def linear(h, x, W):
        return W.h(h)

    rnn = RNN(linear, 1, 3, backend="eager", dtype=torch.float64)
    with torch.no_grad():
        rnn.weights()["W.h"].copy_(torch.tensor([[0.5, 0.0, 0.0], [0.3, 0.9, 0.0], [0.1, 0.2, 0.1]]))
    found = lyapunov.measure_exponents(rnn, [torch.rand(4, 3, dtype=torch.float64)], 400, torch.Generator().manual_seed(0))
    assert found.tolist() == pytest.approx([math.log(0.9)] * 4, abs=1e-6)


def test_a_difference_that_dies_out_is_below_any_number():
    def forgets(h, x, W):
        return 0.0 * W.h(h)

    rnn = RNN(forgets, 2, 2, backend="eager", dtype=torch.float64)
    found = lyapunov.measure_exponents(rnn, [torch.rand(2, 2).double()], 50, torch.Generator())
    assert found.tolist() == [-math.inf] * 2


@pytest.mark.parametrize("map", MAPS, ids=lambda m: m.name)
def test_both_maps_are_chaotic(map):
    """0.219 and 0.220 nats per step, as `bench chaos` finds; here 2 seeds of 40 points over 135 steps: the standard deviation of one
    point's exponent over n steps is some 0.42/√n, so that of the mean of all is 0.006."""
    threads = torch.get_num_threads()
    record = chaos.measure_map(map, SMALL)
    assert torch.get_num_threads() == threads
    assert all(abs(value - 0.22) < 0.025 for value in record.exponents) and record.exponents[0] != record.exponents[1]
    assert record.exponents == chaos.measure_map(map, SMALL).exponents
    sides = torch.tensor(record.cloud).max(0).values - torch.tensor(record.cloud).min(0).values
    assert len(record.cloud) == SMALL.copies and sides.min() > 0.3
    assert 0 < record.distance[0] <= 1e-7 * 2**0.5 * 2 and max(record.distance) > 0.1 and len(record.times) == len(record.distance)


@pytest.mark.parametrize("init", ["default", "normal:5", "normal:40"])
def test_cfn_forgets_whatever_its_weights(init):
    found = chaos.measure_decay(initialize_as(cells.load("cfn"), init), init, 300, 4, 6, 0)
    assert found.norm[-1] < 1e-12 * found.norm[0] and max(found.exponent) < -0.1


def test_minimal_comes_to_rest_at_tanh_of_its_bias():
    cell = initialize_as(cells.load("minimal"), "normal:5")
    found = chaos.measure_decay(cell, "normal:5", 400, 4, 16, 3)
    torch.manual_seed(3)
    bias = RNN(cell, 16, 16, dtype=torch.float64).weights()["b.z"]
    assert found.norm[-1] == pytest.approx(torch.tanh(bias).norm().item() / 4, rel=1e-9)
    assert found.distance[-1] < 1e-12 and max(found.exponent) < 0


def test_others_can_be_chaotic_without_input():
    for cell in ("vanilla", "lstm", "gru"):
        found = chaos.measure_decay(initialize_as(cells.load(cell), "normal:8"), "normal:8", 200, 4, 32, 0)
        assert sum(found.exponent) / 4 > 0.05 and found.distance[-1] > 0.05, cell


@pytest.mark.parametrize(("init", "least"), [("normal:20", 2.0), ("normal:1e30", 60.0), ("normal:1e200", math.inf)])
def test_what_grows_beyond_numbers_is_counted(init, least):
    """And is said to grow: by the exponent of the steps before it is lost, or without bound."""
    found = chaos.measure_decay(initialize_as(cells.load("vanilla_relu"), init), init, 2000, 4, 16, 0)
    assert found.lost > 0 and len(found.times) == len(found.norm) == len(found.distance)
    assert all(math.isfinite(value) for value in found.norm)
    assert min(found.exponent) >= least and chaos_report.is_growing(found, 9)
    assert chaos_report.is_growing(found.model_copy(update={"exponent": []}), 9)  # as older records have it


def test_times_begin_at_0_and_end_at_T():
    found = chaos.measure_decay(cells.load("gru"), "default", 7, 2, 3, 0)
    assert found.times[0] == 0 and found.times[-1] == 7 and found.times == sorted(set(found.times))
    one = chaos.measure_decay(cells.load("gru"), "default", 2, 2, 3, 0)
    assert one.times == [0, 1, 2]
