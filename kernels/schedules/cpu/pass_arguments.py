"""The arguments of a pass of the C++ loop, `struct PassArguments` of thread.h and the tables that it points to, in one array of 8-byte
words: made at little cost, and changed word by word for the next call of a kind."""

import ctypes
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from kernels.schedules.cpu.panels import Panels
from kernels.schedules.cpu.threads import Shares, sequence_starts
from kernels.schedules.interface import ForwardResult, PassInputs, Products

MIN_GRADIENT_CHUNK_ROWS = 128
"""Minimum number of rows of a thread's chunk of steps in the backward pass: a weight gradient is read and written once a chunk."""
FIELDS = (
    "T", "H", "rows_per_block", "threads", "max_offset", "chunk_steps", "blocks", "patience", "allowance", "watched_count", "turn",
    "row_starts", "block_starts", "unit_starts", "heads", "inputs", "projection_sizes", "projection_weights", "projection_bias", "hoisted",
    "terms", "vectors", "weights", "initial", "history", "keeps", "arguments", "offsets", "taps", "transposed_taps", "d_inputs",
    "d_projection_weights", "d_projection_bias", "d_weights", "finals", "panels", "unpacked", "watched", "watched_sizes", "checksums",
    "partial_sums", "scratch",
)  # fmt: skip
"""The fields of the struct, in the same order."""
WORDS = {name: k for k, name in enumerate(FIELDS)}
"""The word of each field."""


class PassArguments:
    """The arguments of a pass.

    Args:
        numbers: the fields that are numbers or addresses; others are 0.
        tables: those that point to a table, and its words.
        kept: what must live as long as these arguments, because they hold its address.

    Attributes:
        words: the fields, then the tables.
        starts: the first word of each table.
        pointer: the address of the words, for the loop.
        matrices: the packed matrices that the pass reads or packs, by their number.
    """

    def __init__(self, numbers: Mapping[str, int], tables: Mapping[str, Sequence[int]], kept: Any, matrices: Mapping[int, Tensor]):
        self.kept, self.matrices = kept, matrices
        words, self.starts = [0] * len(FIELDS), dict[str, int]()
        for name, number in numbers.items():
            words[WORDS[name]] = number
        for name, table in tables.items():
            self.starts[name] = len(words)
            words += table
        self.words = array("q", words)
        address, size = self.words.buffer_info()[0], self.words.itemsize
        for name, start in self.starts.items():
            self.words[WORDS[name]] = address + size * start
        self.pointer = ctypes.c_void_p(address)


def list_addresses(tensors: Iterable[Tensor | None]) -> list[int]:
    """Returns the addresses of tensors, 0 for None and at the end."""
    return [*[0 if t is None else t.data_ptr() for t in tensors], 0]


def make_pass_arguments(
    inputs: PassInputs, result: ForwardResult, products: Products[Tensor | None], panels: Panels, storage: torch.dtype,
    matrices: Mapping[int, tuple[int, int]], shares: Shares,
) -> PassArguments:  # fmt: skip
    """Makes the arguments of a pass.

    Args:
        inputs: the inputs, in float32 or float64 but for the weights.
        products: the gradients of the products that the pass computes.
        panels: the matrices that are packed already.
        storage: the dtype of packed matrices.
        matrices: (N, K) of those that the pass reads, by their number.
        shares: how threads share it.
    """
    T, B, H = inputs.shape
    rows, groups, like = inputs.rows[0], len(inputs.weights), inputs.states[0]
    row_starts = sequence_starts(T, B) if inputs.packed is None else inputs.packed.starts
    offsets = [n.stencil.offsets(H) for n in inputs.plan.stencil_inputs]
    packed, weights = {**panels}, inputs.list_weights()
    slots = range(2 * len(weights))
    memory = {i: packed[i] if i in packed else panels.allocate(*size, storage) for i, size in matrices.items()}
    is_packed = packed.keys() >= matrices.keys()
    if not is_packed:
        unpacked = {i % len(weights) for i in matrices.keys() - packed.keys()}
        weights = [W.to(like.dtype) if W is not None and i in unpacked else W for i, W in enumerate(weights)]
    numbers = {
        "T": T, "H": H, "rows_per_block": shares.rows_per_block, "threads": shares.threads, "blocks": shares.blocks,
        "max_offset": max((abs(k) for neighbours in offsets for k in neighbours), default=0),
        "chunk_steps": max(1, MIN_GRADIENT_CHUNK_ROWS // shares.rows_per_block), "patience": shares.patience, "allowance": shares.allowance,
        "turn": next(panels.turns) if is_packed else -1,
        "row_starts": row_starts.data_ptr(), "block_starts": shares.block_starts.data_ptr(),
    }  # fmt: skip
    scratch = None
    if shares.unit_starts is not None:
        values = len(inputs.states) + len(inputs.vectors) + 2 + groups + 2 * sum(len(g.terms) for g in inputs.layout.groups)
        scratch = like.new_zeros(shares.rows_per_block * values * H)
        numbers |= {"unit_starts": shares.unit_starts.data_ptr(), "scratch": scratch.data_ptr()}
    d_inputs, d_weights, d_biases = zip(*products.projections, strict=True) if products.projections else ((), (), ())
    tables: dict[str, list[int]] = {
        "heads": [*[H // W.shape[1] for W in inputs.weights], 0],
        "inputs": list_addresses([v for v, _, _ in inputs.projections]),
        "projection_sizes": [*[v.shape[-1] for v, _, _ in inputs.projections], 0],
        "projection_weights": list_addresses(weights[groups:]),
        "projection_bias": list_addresses([b for _, _, b in inputs.projections]),
        "hoisted": list_addresses(inputs.hoisted),
        "vectors": list_addresses(inputs.vectors),
        "weights": list_addresses(weights[:groups]),
        "initial": list_addresses(inputs.states),
        "history": list_addresses(result.history),
        "keeps": [h.shape[0] == rows for h in result.history],
        "offsets": [*[k for neighbours in offsets for k in neighbours], 0],
        "taps": list_addresses([n.stencil.weights(like) for n in inputs.plan.stencil_inputs]),
        "transposed_taps": list_addresses([n.stencil.transposed.weights(like) for n in inputs.plan.stencil_inputs]),
        "d_inputs": list_addresses(d_inputs),
        "d_projection_weights": list_addresses(d_weights),
        "d_projection_bias": list_addresses(d_biases),
        "d_weights": list_addresses(products.weights),
        "finals": [0] * len(inputs.states),
        "panels": list_addresses([memory.get(i) for i in slots]),
        "unpacked": [*[i in matrices and i not in packed for i in slots], 0],
        "watched": panels.checksums.addresses,
        "watched_sizes": panels.checksums.sizes,
        "checksums": panels.checksums.sum_addresses,
    }
    if inputs.save_for_backward:
        tables |= {"terms": list_addresses(inputs.terms), "arguments": list_addresses(result.arguments)}
    return PassArguments(numbers, tables, (row_starts, shares, weights, scratch, result, panels.checksums), memory)
