"""Packed matrices are kept while parameters stand, and never longer: after any changes, a layer computes as a fresh one."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call

from kernels import RNN
from kernels.schedules.cpu import panels
from kernels.schedules.cpu.panels import KeptPanels
from tests.reference import error
from tests.tolerances import TOLERANCE

T, B, H = 3, 2, 40


def fresh_outputs(layer, x, values=None):
    """Returns the results of a layer that has kept nothing, from its values or from others."""
    fresh = RNN(layer.cell, H, H, dtype=x.dtype).requires_grad_(any(p.requires_grad for p in layer.parameters()))
    fresh.is_quantized = layer.is_quantized
    fresh.load_state_dict({name: value.detach().clone() for name, value in (values or layer.state_dict()).items()})
    return fresh(x)


def agrees(layer, calls=3):
    """The same with and without gradients, often enough that calls are prepared; and one more while panels are packed."""
    x = torch.randn(T, B, H, dtype=next(layer.parameters()).dtype)
    with torch.no_grad():
        right = leaves(fresh_outputs(layer, x))
    for _ in range(calls):
        with torch.no_grad():
            found = leaves(layer(x))
        assert all(error(f, r) <= TOLERANCE["schedule", torch.float32] for f, r in zip(found, right, strict=True))
    right = leaves(fresh_outputs(layer, x))
    assert all(error(f, r) <= TOLERANCE["schedule", torch.float32] for f, r in zip(leaves(layer(x)), right, strict=True))


def leaves(result):
    y, states = result
    return [y, *(states if isinstance(states, tuple) else (states,))]


def matrix(layer):
    return next(p for p in layer.parameters() if p.shape[-1] == H and p.dim() == 2)


def step(optimizer, **options):
    def change(layer):
        layer.requires_grad_()
        y, _ = layer(torch.randn(T, B, H, dtype=matrix(layer).dtype))
        y.sum().backward()
        with torch.no_grad():  # packed again before the step
            layer(torch.randn(T, B, H, dtype=matrix(layer).dtype))
        optimizer(layer.parameters(), lr=0.1, **options).step()
        layer.zero_grad()

    return change


def write(index, data):
    """Write past what torch counts if `data`, through .data; else under no_grad."""

    def change(layer):
        for p in layer.parameters():
            target = p.data if data else p
            with torch.no_grad():
                target[index[: p.dim()]] += 0.5

    return change


def assign(change):
    def changed(layer):
        for p in layer.parameters():
            p.data = change(p.data)

    return changed


def load(assigned):
    return lambda layer: layer.load_state_dict({k: v + 0.25 for k, v in layer.state_dict().items()}, assign=assigned) and None


def call_functionally(layer):
    """By other parameters, and others again at whatever addresses are free."""
    x = torch.randn(T, B, H, dtype=matrix(layer).dtype)
    for k in range(3):
        other = {name: p.detach() * k for name, p in layer.named_parameters()}
        with torch.no_grad():
            y, _ = functional_call(layer, other, (x,))
            assert torch.allclose(y, fresh_outputs(layer, x, other)[0], rtol=1e-5, atol=1e-6)


def write_in_inference_mode(layer):
    with torch.inference_mode():
        matrix(layer).mul_(-1)


def write_by_numpy(layer):
    matrix(layer).detach().view(torch.int16).numpy()[3] ^= 64  # NumPy has no bfloat16


def replace(layer):
    for name, p in [*layer.named_parameters()]:
        setattr(layer, name, nn.Parameter(p.detach() + 0.5))


CHANGES = {
    "sgd": step(torch.optim.SGD), "fused sgd": step(torch.optim.SGD, fused=True), "fused adam": step(torch.optim.Adam, fused=True),
    "an element": write((0, 1), False), "a row": write((2,), True), "a column": write((slice(None), 5), True), "all": write((), True),
    "data": assign(torch.neg), "other data": assign(lambda t: (t + 1).clone() - 0.5),
    "transposed": assign(lambda t: t.t() if t.dim() == 2 and t.shape[0] == t.shape[1] else t),
    "load": load(False), "assign": load(True), "double": lambda layer: layer.to(torch.float64) and None,
    "float": lambda layer: layer.float() and None, "deepcopy": copy.deepcopy, "pickle": lambda layer: pickle.loads(pickle.dumps(layer)),
    "functional_call": call_functionally, "inference mode": write_in_inference_mode, "numpy": write_by_numpy, "replace": replace,
    "share_memory": lambda layer: layer.share_memory() and None, "flatten": lambda layer: layer.flatten_parameters(),
    "frozen": lambda layer: layer.requires_grad_(False) and None,
}  # fmt: skip

KINDS = {"float32": lambda layer: layer, "bfloat16": RNN.bfloat16, "float16": RNN.half, "int8": RNN.quantize}


@settings(max_examples=30)
@given(st.sampled_from(["lstm", "gru", "minimal", "lstm_peephole"]), st.sampled_from([*KINDS]),
       st.lists(st.sampled_from([*CHANGES]), min_size=1, max_size=6), st.sampled_from([panels.CHECKED_BYTES, 128]))  # fmt: skip
def test_no_change_is_missed(name, kind, changes, checked_bytes):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(panels, "CHECKED_BYTES", checked_bytes)
        layer = KINDS[kind](RNN(name, H, H))
        agrees(layer)
        for change in changes:
            layer = CHANGES[change](layer) or layer
            agrees(layer)


def test_an_element_is_seen_after_some_calls(monkeypatch):
    """At most as many as a row has cache lines; all of a small parameter is compared by every call."""
    monkeypatch.setattr(panels, "CHECKED_BYTES", 128)
    layer, x = RNN("lstm", H, H), torch.randn(T, B, H)
    agrees(layer)
    layer.weight_hh_l0.data[7, 33] += 1
    right = fresh_outputs(layer, x)[0]
    with torch.no_grad():
        found = [torch.allclose(layer(x)[0], right, atol=1e-6) for _ in range(2 * -(-H * 4 // panels.LINE_BYTES))]
    assert found[-1] and found == sorted(found)


def test_an_element_that_torch_counts_is_seen_at_once(monkeypatch):
    """By its version: most calls don't read its cache line."""
    monkeypatch.setattr(panels, "CHECKED_BYTES", 128)
    layer, x = RNN("lstm", H, H), torch.randn(T, B, H)
    with torch.no_grad():
        for column in (0, 1, 17, 18, 33, 34):
            layer.weight_hh_l0[7, column] += 1
            assert torch.allclose(layer(x)[0], fresh_outputs(layer, x)[0], atol=1e-6)


def test_memory_is_used_again():
    """By each step of a training: the same memory for the same matrices."""
    layer, x = RNN("lstm", H, H), torch.randn(T, B, H)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    seen = set()
    for _ in range(4):
        layer(x)[0].sum().backward()
        optimizer.step()
        (kept,) = layer._kept_panels.entries.values()
        seen.add(frozenset(t.data_ptr() for panels in kept.panels.values() for t in panels.values()))
        del kept
    assert len(seen) == 1 and len(seen.pop()) == 3  # x needs no gradient


def test_calls_of_one_pass_share_their_panels():
    """Packed once for many forward passes, and once for all of their backward passes."""
    layer, state = RNN("gru", H, H, backend="compiled"), None
    total = 0
    for _ in range(3):
        y, state = layer(torch.randn(1, B, H), state)
        total = total + y.sum()
    (version,) = layer._kept_panels.entries.values()
    (kept,) = version.panels.values()
    before = {i: t.data_ptr() for i, t in kept.items()}
    total.backward()
    assert len(before) == 2 and len(kept) == 3 and before.items() <= {i: t.data_ptr() for i, t in kept.items()}.items()
    assert version.expired


def test_what_cannot_be_watched_is_not_kept():
    with torch.inference_mode():
        made = torch.randn(4, 4)
    kept, plain = KeptPanels(1), torch.randn(4, 4)
    assert kept.find([plain]) is kept.find([plain]) is not None
    shared = torch.randn(4, 4).share_memory_()
    for tensor in (made, shared, plain.t(), torch._efficientzerotensor(4, 4), torch._neg_view(plain)):
        assert kept.find([tensor]) is None
    assert kept.find([]) is None


def test_threads():
    """Each gets what one thread alone would, also while weights are exchanged for equal ones."""
    layer = RNN("lstm", H, H)
    xs = [torch.randn(T, B, H) for _ in range(8)]
    with torch.no_grad():
        right = [layer(x) for x in xs]

        def run(k):
            torch.set_grad_enabled(False)
            if k % 10 == 0:
                layer.weight_hh_l0.mul_(1)
            return layer(xs[k % 8])

        with ThreadPoolExecutor(4) as pool:
            found = [*pool.map(run, range(200))]
    assert all(torch.equal(a, b) for k, result in enumerate(found) for a, b in zip(leaves(result), leaves(right[k % 8]), strict=True))
