"""On a CPU: the loop of `kernels.schedules.cpu`, and with it the products in front of it and their gradients."""

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from kernels.derive.plan import Plan
from kernels.schedules.cpu.library import REAL, build_library, compiler
from kernels.schedules.interface import ForwardResult, Gradients, PassInputs, Products

ROWS = 128  # that a thread's chunk of steps holds in reverse: enough for a matrix's gradient to be read and written seldom
COMPUTES_FEEDS = True
RECOMPUTE_COLUMNS = 32  # a feed of at most so many columns is sooner computed again than read from memory


def unsupported_reason(plan: Plan, dtype: torch.dtype, device: torch.device, B: int, H: int) -> str | None:
    if device.type != "cpu":
        return f"runs on a CPU, not on {device.type}"
    if dtype not in REAL:
        return f"computes in float32 or float64, not {str(dtype).removeprefix('torch.')}"
    if compiler() is None:
        return "finds no C++ compiler: install g++, or set CXX to one"
    return None


class Call(ctypes.Structure):
    """`struct Call` of thread.h."""

    SIZES = ("T", "B", "H", "block", "threads", "reach", "steps")
    TABLES = (
        "inputs", "depth", "feed", "bias", "hoisted", "terms", "vectors", "weights", "initial", "history", "stride", "arguments",
        "offsets", "taps", "turned", "d_inputs", "d_feed", "d_bias", "d_weights", "shares",
    )  # fmt: skip
    _fields_ = [(name, ctypes.c_int64) for name in SIZES] + [(name, ctypes.c_void_p) for name in TABLES]


def pointer_array(tensors: Sequence[Tensor | None]) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * (len(tensors) + 1))(*(None if t is None else t.data_ptr() for t in tensors), None)


def make_call(loop: PassInputs, trajectory: ForwardResult, products: Products[Tensor | None]) -> Call:
    """The arguments of both directions. Rows are dealt out in blocks of at most 32, at least one for every thread."""
    T, B, H = loop.shape
    threads = min(torch.get_num_threads(), B)
    rounds = -(-B // (32 * threads))
    block = -(-B // (threads * rounds))
    strides = [B * H if len(h) == T else 0 for h in trajectory.history]
    offsets = [n.stencil.offsets(H) for n in loop.plan.stencil_inputs]
    reach = max((abs(k) for near in offsets for k in near), default=0)
    made = Call(T, B, H, block, threads, reach, max(1, ROWS // block))
    feeds = list(zip(*products.feeds, strict=True)) or [(), (), ()]
    made.held = {  # the arrays live as long as the call
        "inputs": pointer_array([v for v, _, _ in loop.feeds]),
        "depth": (ctypes.c_int64 * (len(loop.feeds) + 1))(*(v.shape[-1] for v, _, _ in loop.feeds)),
        "feed": pointer_array([W for _, W, _ in loop.feeds]),
        "bias": pointer_array([b for _, _, b in loop.feeds]),
        "hoisted": pointer_array(loop.hoisted),
        "terms": pointer_array(loop.terms) if loop.save_for_backward else None,
        "vectors": pointer_array(loop.vectors),
        "weights": pointer_array(loop.weights),
        "initial": pointer_array(loop.states),
        "history": pointer_array(trajectory.history),
        "stride": (ctypes.c_int64 * len(strides))(*strides),
        "arguments": pointer_array(trajectory.arguments) if loop.save_for_backward else None,
        "offsets": (ctypes.c_int64 * (sum(map(len, offsets)) + 1))(*(k for near in offsets for k in near)),
        "taps": pointer_array([n.stencil.weights(loop.states[0]) for n in loop.plan.stencil_inputs]),
        "turned": pointer_array([n.stencil.transposed.weights(loop.states[0]) for n in loop.plan.stencil_inputs]),
        "d_inputs": pointer_array(feeds[0]),
        "d_feed": pointer_array(feeds[1]),
        "d_bias": pointer_array(feeds[2]),
        "d_weights": pointer_array(products.weights),
    }
    for name, value in made.held.items():
        setattr(made, name, ctypes.cast(value, ctypes.c_void_p))
    return made


def forward(loop: PassInputs) -> ForwardResult:
    trajectory = loop.allocate_result()
    build_library(loop.plan, loop.states[0].dtype).forward(ctypes.byref(make_call(loop, trajectory, no_gradients(loop))))
    return trajectory


def backward(loop: PassInputs, trajectory: ForwardResult, dy: Tensor | None, d_final: list[Tensor]) -> Gradients:
    T, B, H = loop.shape
    follow = fuses_weight_gradients(loop)
    products = allocate_gradients(loop) if follow else no_gradients(loop)
    made = make_call(loop, trajectory, products)
    built = build_library(loop.plan, loop.states[0].dtype)
    shares = loop.states[0].new_empty(made.threads * built.shares(ctypes.byref(made)))
    made.shares = shares.data_ptr()
    d_states = [d.clone() for d in d_final]
    values = range(len(loop.feeds), len(loop.feeds) + len(loop.layout.values))
    leave = [not follow or k in values or (k < len(loop.feeds) and loop.feeds[k][1] is None) for k in range(len(loop.layout.widths))]
    d_terms = [shares.new_empty(T, B, width, H) if out else None for width, out in zip(loop.layout.widths, leave, strict=True)]
    d_vectors = [v.new_zeros(-(-B // made.block), H) for v in loop.vectors]
    built.backward(
        ctypes.byref(made), ctypes.c_void_p(None if dy is None else dy.data_ptr()),
        pointer_array(d_states), pointer_array(d_terms), pointer_array(d_vectors),
    )  # fmt: skip
    return Gradients(d_terms, [d.sum(0) for d in d_vectors], d_states, products if follow else None)


def fuses_weight_gradients(loop: PassInputs) -> bool:
    """Whether the gradients of the products follow the loop, step by step: where every thread has rows, and more of them than a matrix
    has columns. Else the threads' shares of its gradient would be larger than what they are summed from."""
    T, B, H = loop.shape
    threads = torch.get_num_threads()
    columns = max([H, *(v.shape[-1] for v, _, _ in loop.feeds)])
    return loop.wanted is not None and threads <= B and threads * columns <= T * B


def no_gradients(loop: PassInputs) -> Products[Tensor | None]:
    return Products([(None, None, None) for _ in loop.feeds], [None for _ in loop.weights])


def allocate_gradients(loop: PassInputs) -> Products[Tensor | None]:
    """Room for the gradients that are wanted, and of a feed's weight and its bias for both where one is."""
    assert loop.wanted is not None

    def room(like: Tensor | None, want: bool) -> Tensor | None:
        return None if like is None or not want else torch.empty_like(like)

    found = no_gradients(loop)
    for k, (feed, (v, W, b), (x, *both)) in enumerate(zip(loop.layout.feeds, loop.feeds, loop.wanted.feeds, strict=True)):
        if W is not None:
            found.feeds[k] = room(v, x and feed.value < 0), room(W, any(both)), room(b, any(both))
    found.weights = [room(W, want) for W, want in zip(loop.weights, loop.wanted.weights, strict=True)]
    return found
