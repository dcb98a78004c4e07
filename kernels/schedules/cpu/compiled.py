"""Runs a whole sequence on a CPU in one call of the C++ loop, which also computes the input projections and their gradients.

It runs any plan in float32 and float64, and packed rows in the order that they are in. Matrices may be packed in a narrower dtype, their
storage; sums and carried states stay in float32. A pass in 16 bit runs so, with its other tensors widened before and rounded after it.
"""

import ctypes
import math
from array import array

import torch
from torch import Tensor

from kernels.derive.plan import Plan
from kernels.schedules.cpu.library import REAL, build_library, compiler
from kernels.schedules.cpu.panels import PANEL_COLUMNS, Panels, StalePanels, Version
from kernels.schedules.cpu.pass_arguments import WORDS, PassArguments, list_addresses, make_pass_arguments
from kernels.schedules.cpu.threads import Shares, share_work
from kernels.schedules.interface import SIXTEEN_BIT, ForwardResult, Gradients, PassInputs, Products

WATCHED_COUNT, PARTIAL_SUMS = WORDS["watched_count"], WORDS["partial_sums"]
COMPUTES_PROJECTIONS = True
RUNS_PACKED = True
RUNS_BLOCKS = True
WIDE_VECTORS = True
RECOMPUTE_COLUMNS = 32
"""Maximum number of columns of a projection that is recomputed in the backward pass: that is faster than to read it from memory."""


def unsupported_reason(plan: Plan, dtype: torch.dtype, device: torch.device, B: int, H: int) -> str | None:
    """Returns None if this schedule can run a plan on a device, else a verb phrase that completes "the backend 'x' …"."""
    if device.type != "cpu":
        return f"runs on a CPU, not on {device.type}"
    if dtype not in (*REAL, *SIXTEEN_BIT):
        return f"computes in float32, float64, bfloat16 or float16, not {str(dtype).removeprefix('torch.')}"
    if compiler() is None:
        return "finds no C++ compiler: install g++, or set CXX to one"
    return None


def forward(inputs: PassInputs, panels: Panels | None = None, storage: torch.dtype | None = None) -> ForwardResult:
    """Runs the forward pass: one call of the C++ loop, which also computes the input projections.

    Args:
        panels: the packed matrices of the weights. Default: they are packed in this call
        storage: the dtype of packed matrices. Default: that of the inputs

    Raises:
        StalePanels: the panels are of other weights.
    """
    result, storage = inputs.allocate_result(), storage or inputs.states[0].dtype
    wide = inputs.widen()
    computed, shares = result if wide is inputs else wide.allocate_result(), share_work(wide)
    keep_operands(wide, computed, shares)
    panels = Panels(Version()) if panels is None else panels
    matrices = packed_shapes(wide)
    with panels.packing(matrices):
        arguments = make_pass_arguments(wide, computed, no_gradients(wide), panels, storage, matrices, shares)
        arguments.words[WATCHED_COUNT] = panels.checksums.count if matrices else 0
        if build_library(wide.plan, storage).forward(arguments.pointer):
            raise StalePanels
        panels.update(arguments.matrices)
    if wide is not inputs:
        inputs.store(result, wide, computed)
    return result


def packed_shapes(inputs: PassInputs) -> dict[int, tuple[int, int]]:
    """Returns the columns and rows of each packed matrix, by its number. Diagonal blocks are packed one by one, in panels of their own."""
    found = {}
    for i, W in enumerate(inputs.list_weights()):
        if W is not None:
            blocks = len(W) // W.shape[1] if i < len(inputs.weights) and W.shape[1] < inputs.shape[2] else 0
            found[i] = (blocks * -(-W.shape[1] // PANEL_COLUMNS) * PANEL_COLUMNS or len(W), W.shape[1])
    return found


def keep_operands(inputs: PassInputs, result: ForwardResult, shares: Shares) -> None:
    """Allocates all steps of a state that products read, in place of the last, if threads share units: a fast thread writes the next
    state while a slow one reads this one."""
    for s in {group.state for group in inputs.layout.groups if group.state >= 0}:
        if shares.unit_starts is not None and len(result.history[s]) != inputs.rows[0]:
            result.history[s] = result.history[s].new_empty(*inputs.rows, inputs.shape[2])


def backward(
    inputs: PassInputs, result: ForwardResult, dy: Tensor | None, d_final: list[Tensor], panels: Panels | None = None,
    storage: torch.dtype | None = None,
) -> Gradients:  # fmt: skip
    """Runs the backward pass: one call of the C++ loop, which computes the weight gradients too if `fuses_weight_gradients`.

    `panels` and `storage` are those of `forward`; gradients of a pass in 16 bit are in float32.
    """
    storage = storage or inputs.states[0].dtype
    inputs, result = inputs.widen(), result.widen()
    dy = None if dy is None else dy.to(inputs.states[0].dtype)
    fused = fuses_weight_gradients(inputs)
    products = allocate_gradients(inputs) if fused else no_gradients(inputs)
    values = range(len(inputs.projections), len(inputs.projections) + len(inputs.layout.elementwise_terms))
    precomputed = [k for k, (_, W, _) in enumerate(inputs.projections) if W is None]
    returned = [not fused or k in values or k in precomputed for k in range(len(inputs.layout.widths))]
    shapes = [(*inputs.rows, width, inputs.shape[2]) for width in inputs.layout.widths]
    weights, groups, blocks = inputs.list_weights(), len(inputs.weights), packed_shapes(inputs)
    heads = [group.heads for group in inputs.layout.groups]
    matrices = {len(weights) + g: blocks[g] if heads[g] > 1 else (W.shape[1], len(W)) for g, W in enumerate(inputs.weights)}
    for f, (_, W, _) in enumerate(inputs.projections):
        if W is not None and not returned[f]:
            matrices[len(weights) + groups + f] = W.shape[1], len(W)
        if W is not None and inputs.terms[f] is None:  # its rows are recomputed
            matrices[groups + f] = len(W), W.shape[1]
    library = build_library(inputs.plan, storage)
    panels = Panels(Version()) if panels is None else panels
    d_states = [d.to(inputs.states[0].dtype, copy=True) for d in d_final]
    with panels.packing(matrices):
        shares = share_work(inputs)
        arguments = make_pass_arguments(inputs, result, products, panels, storage, matrices, shares)
        partial_sums = inputs.states[0].new_empty(shares.threads * library.partial_sums_size(arguments.pointer))
        arguments.words[PARTIAL_SUMS] = partial_sums.data_ptr()
        d_terms = [partial_sums.new_empty(shape) if out else None for shape, out in zip(shapes, returned, strict=True)]
        d_vectors = [v.new_zeros(shares.blocks, v.shape[0]) for v in inputs.vectors]
        gradients = [array("q", list_addresses(tensors)) for tensors in (d_states, d_terms, d_vectors)]
        given = [0 if dy is None else dy.data_ptr(), *(addresses.buffer_info()[0] for addresses in gradients)]
        library.backward(arguments.pointer, *map(ctypes.c_void_p, given))
        panels.update(arguments.matrices)
    return Gradients(d_terms, [d.sum(0) for d in d_vectors], d_states, products if fused else None)


def prepare_forward(inputs: PassInputs, panels: Panels, storage: torch.dtype) -> PassArguments | None:
    """Makes the arguments of a forward pass, of widened inputs, that packs nothing; None if it reads no matrices, or some are not packed
    yet."""
    matrices = packed_shapes(inputs)
    if not matrices or not panels.holds(matrices):
        return None
    result, shares = inputs.allocate_result(), share_work(inputs)
    keep_operands(inputs, result, shares)
    arguments = make_pass_arguments(inputs, result, no_gradients(inputs), panels, storage, matrices, shares)
    arguments.words[WATCHED_COUNT] = panels.checksums.count
    return arguments


class OnPanels:
    """This schedule for one call of a layer: forward and backward pass read the panels that the layer keeps.

    Args:
        version: that of the layer's parameters, from `KeptPanels.find`.
        storage: the dtype of packed matrices; int8 is for inference alone. Default: that of the inputs
    """

    COMPUTES_PROJECTIONS, RUNS_PACKED, RUNS_BLOCKS = COMPUTES_PROJECTIONS, RUNS_PACKED, RUNS_BLOCKS
    RECOMPUTE_COLUMNS, WIDE_VECTORS = RECOMPUTE_COLUMNS, WIDE_VECTORS

    def __init__(self, version: Version, storage: torch.dtype | None = None):
        self.version, self.storage = version, storage

    def forward(self, inputs: PassInputs) -> ForwardResult:
        """Runs the forward pass."""
        try:
            return forward(inputs, *self.find_panels(inputs))
        except StalePanels:
            self.version.expired = True
            self.version = Version()
            return forward(inputs, *self.find_panels(inputs))

    def backward(self, inputs: PassInputs, result: ForwardResult, dy: Tensor | None, d_final: list[Tensor]) -> Gradients:
        """Runs the backward pass. If a weight needs a gradient, the next call packs anew: a fused optimizer changes no version."""
        needs = inputs.needs_grad
        if needs is not None and any([*needs.weights, *(W for _, W, _ in needs.projections)]):
            self.version.expired = True
        return backward(inputs, result, dy, d_final, *self.find_panels(inputs))

    def find_panels(self, inputs: PassInputs) -> tuple[Panels, torch.dtype]:
        """Returns the panels that a pass reads, and the dtype that they are stored in."""
        is_inference = not inputs.save_for_backward
        storage = self.storage if self.storage and (is_inference or self.storage != torch.int8) else inputs.states[0].dtype
        return self.version.find(inputs.plan, storage), storage


def fuses_weight_gradients(inputs: PassInputs) -> bool:
    """Returns whether the loop computes the gradients of the products, chunk by chunk.

    It does if every thread has rows, and more rows than a matrix has columns. Otherwise the threads' partial sums of a weight gradient
    would be larger than the tensors that they are computed from.
    """
    _, B, H = inputs.shape
    threads = torch.get_num_threads()
    columns = max([H, *(v.shape[-1] for v, _, _ in inputs.projections)])
    return inputs.needs_grad is not None and threads <= B and threads * columns <= math.prod(inputs.rows)


def no_gradients(inputs: PassInputs) -> Products[Tensor | None]:
    """Returns gradients of the products that are all None."""
    return Products([(None, None, None) for _ in inputs.projections], [None for _ in inputs.weights])


def allocate_gradients(inputs: PassInputs) -> Products[Tensor | None]:
    """Allocates the gradients that are needed; for a projection, those of both weight and bias if either is needed."""
    assert inputs.needs_grad is not None

    def allocate(like: Tensor | None, needed: bool) -> Tensor | None:
        return None if like is None or not needed else inputs.states[0].new_empty(like.shape)

    found = no_gradients(inputs)
    needs = inputs.needs_grad
    for k, (projection, (v, W, b), (x, *both)) in enumerate(
        zip(inputs.layout.projections, inputs.projections, needs.projections, strict=True)
    ):
        if W is not None:
            found.projections[k] = allocate(v, x and projection.operand_index < 0), allocate(W, any(both)), allocate(b, any(both))
    found.weights = [allocate(W, needed) for W, needed in zip(inputs.weights, needs.weights, strict=True)]
    return found
