"""Runs sequences of different lengths in one loop: in packed rows, or by a cell that a mask lets keep its states past a sequence's end."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from cells.grammar.cell import Cell, count_steps
from cells.grammar.functions import in_onnx_export
from cells.grammar.masked import KEEP, LENGTHS, RESETS, masked, with_noise
from kernels.layer import equations, input_products, masks, torch_operator
from kernels.layer.bound_parameters import read_weights
from kernels.layer.inputs import Hidden, check_input, check_layout, initial_states, is_traced, packed_input
from kernels.layer.loop_plan import choose_plan
from kernels.layer.random_masks import step_columns
from kernels.schedules.packed_steps import PackedSteps

if TYPE_CHECKING:
    from kernels.layer.rnn import RNN

States = Sequence[Tensor]
Result = tuple[Tensor, tuple[Tensor, ...]]
Loop = Callable[..., Result]
"""Maps the rows (N, 1, D), the initial states (B, H), the parameters and `packed` steps to y (N, 1, H) and the final states."""


def forward_packed(
    rnn: "RNN", input: PackedSequence, hx: Hidden | None, reset: Tensor | PackedSequence | None = None, start: float = 0
) -> tuple[PackedSequence, Hidden]:
    """Runs a layer on a PackedSequence; `RNN` describes inputs and outputs."""
    refuse_export()
    data, sizes, order, back = input
    x, states = packed_input(rnn, input, hx)
    steps = PackedSteps(sizes.tolist(), data.device)
    rows = None if reset is None else masks.packed_reset(rnn, reset, input, steps)
    y, finals = run_rows(rnn, x, [s if order is None else s[:, order] for s in states], steps, rows, start)
    finals = finals if back is None else tuple(s[:, back] for s in finals)
    return PackedSequence(y, sizes, order, back), finals if len(finals) > 1 else finals[0]


def forward_padded(
    rnn: "RNN", input: Tensor | PackedSequence, hx: Hidden | None, lengths: Tensor | Sequence[int], reset: Any = None, start: float = 0
) -> tuple[Tensor, Hidden]:
    """Runs a layer on a padded batch; `RNN` describes inputs and outputs.

    Raises:
        ValueError: the lengths don't fit the batch.
    """
    refuse_export()
    if isinstance(input, Tensor):
        check_layout(input)
    if not isinstance(input, Tensor) or input.dim() != 3:
        raise ValueError("`lengths` needs a padded 3-D input: a PackedSequence already contains its lengths")
    T, B = input.shape[:2] if not rnn.batch_first else input.shape[1::-1]
    given = torch.as_tensor(lengths).cpu()
    if given.shape == (B,) == (0,) or not T:
        y, final = rnn.forward(input, hx, reset=reset, start=start)  # no rows: B = 0 gives an empty result, T = 0 raises
        return y, final
    other = given.is_floating_point() or given.is_complex() or given.dtype == torch.bool
    if given.shape != (B,) or other or ((counts := given.to(torch.int64)) > T).any() or (counts < 0).any():
        raise ValueError(f"lengths are {B} whole numbers from 0 to {T}, one for each sequence of this batch: got {given.tolist()}")
    x = check_input(rnn, input.transpose(0, 1) if rnn.batch_first else input).flatten(0, 1)
    states = initial_states(rnn, x, B, hx, True)
    anew = None if reset is None else masks.check_reset(rnn, reset, (T, B), x).flatten()
    order = counts.argsort(descending=True, stable=True)[: counts.count_nonzero()]
    y, finals = x.new_zeros(T * B, rnn.directions * rnn.hidden_size), tuple(states)
    if len(order):
        steps = PackedSteps((counts > torch.arange(int(counts.max()), device="cpu")[:, None]).sum(1).tolist(), x.device)
        place, order = steps.padded_index(order, B), order.to(x.device)
        rows, ends = run_rows(rnn, x[place], [s[:, order] for s in states], steps, None if anew is None else anew[place], start)
        y = y.index_copy(0, place, rows)
        finals = tuple(s.index_copy(1, order, end) for s, end in zip(states, ends, strict=True))
    y = y.view(T, B, -1)
    return y.transpose(0, 1) if rnn.batch_first else y, finals if len(finals) > 1 else finals[0]


def refuse_export() -> None:
    """Raises RuntimeError in a trace and in torch.export and torch.onnx.export, where the lengths of the example would become constants."""
    if is_traced() or in_onnx_export() or torch.compiler.is_exporting():
        raise RuntimeError(
            "torch.jit.trace, torch.export and torch.onnx.export would take the lengths of the example for those of every batch: export "
            "the layer on a padded batch without lengths, or to_torch(rnn) by dynamo=False for torch.nn's cells"
        )


def run_rows(rnn: "RNN", x: Tensor, states: States, steps: PackedSteps, reset: Tensor | None = None, start: float = 0) -> Result:
    """Runs all layers on packed rows.

    Args:
        x: the rows, (N, D).
        states: the initial states, (num_layers · directions, B, H) each, the longest sequence first.
        reset: where states begin anew, (N).
        start: the number of the first step.

    Returns:
        y (N, directions · H), and the final states in the shape of the initial ones.
    """

    def run_layer(
        rows: Tensor, initial: States, tensors: Mapping[str, Tensor], reset: Tensor | None = None, drawn: Tensor | None = None
    ) -> Result:
        kind, mask = RESETS if reset is not None else "", rows.new_zeros(steps.N)
        if reset is not None:
            mask, initial = masks.begin_anew(rnn, initial, reset, steps)
        numbers = count_steps(x[: steps.T].view(steps.T, 1, -1), start) if rnn.plan.uses_time else None
        if numbers is not None and reset is not None:
            numbers = masks.restart(numbers, steps.pad(reset, False))
        loop = find_loop(rnn, rows, initial, tensors, steps, kind if drawn is None else with_noise(kind))
        if loop is not None:
            rows, initial, tensors = masks.add_mask(rnn, kind, mask, rows, initial, tensors)
            numbers = None if numbers is None else numbers.expand(-1, steps.B, -1).flatten(0, 1)[steps.places].unsqueeze(1)
            numbers = numbers if drawn is None else step_columns(drawn.unsqueeze(1), numbers)
            y, ends = loop(rows.unsqueeze(1), initial, tensors, numbers=numbers, packed=steps)
            return y.squeeze(1), ends[-len(rnn.cell.states) :]
        operands = masks.add_mask(rnn, kind or LENGTHS, steps.pad(mask, KEEP), steps.pad(rows), initial, tensors)
        padded = None if drawn is None else steps.pad(drawn)
        y, ends = rnn.run_layer(*operands, mask=kind or LENGTHS, numbers=numbers, drawn=padded)
        return y.flatten(0, 1).index_select(0, steps.places), ends[-len(rnn.cell.states) :]

    return rnn.run_layers(x, states, run_layer, lambda rows: rows[steps.reversal], reset)


def find_loop(rnn: "RNN", x: Tensor, states: States, tensors: Mapping[str, Tensor], steps: PackedSteps, mask: str = "") -> Loop | None:
    """Returns what runs packed rows (N, D) of a layer in one loop, its cell rewritten by `mask`; None if they must be padded."""
    cell = masked(rnn.cell, mask)
    transformed = torch._C._are_functorch_transforms_active()  # torch's operator reads the memory of batch sizes, which have none there
    if not mask and not transformed and rnn.uses_torch_operator(x[:1].expand(steps.T, steps.B, -1), states, tensors):
        return partial(torch_operator.apply, cell)
    if torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack() > 0 or rnn.memory == "low":
        return None
    schedule = rnn.select_schedule(x, states, mask)
    reason = equations.reason_for_equations((x, *states, *tensors.values()))
    if schedule is None or reason:
        if schedule is not None and reason:
            equations.warn_once(cell.name, reason)
        by_torch = rnn.backend != "eager" and cell.torch_equivalent is not None and reason is None
        return partial(torch_operator.apply if by_torch else unroll, cell)
    if not getattr(schedule, "RUNS_PACKED", False):
        return None
    made = choose_plan(cell, rnn.bias, schedule, steps.T, x, states, tensors)
    return partial(input_products.apply, made, rnn.keep_state(schedule, tensors, mask))


def unroll(cell: Cell, x: Tensor, states: States, tensors: Mapping[str, Tensor], numbers: Tensor | None, packed: PackedSteps) -> Result:
    """Runs packed rows step by step on tensors of any dtype, as `Cell.unroll` does."""
    learned, before = Cell.bind_parameters(read_weights(cell, tensors)), None
    outputs: list[Tensor] = []
    ended: list[list[Tensor]] = []
    counts = packed.counts.tolist()
    given = map(float, range(packed.T)) if numbers is None else numbers.squeeze(1).split(counts)
    for rows, number in zip(x.squeeze(1).split(counts), given, strict=True):
        if len(rows) < len(states[0]):
            ended.insert(0, [s[len(rows) :] for s in states])
            states, before = [s[: len(rows)] for s in states], None if before is None else before[: len(rows)]
        states, before = cell(states, rows, learned, before, number), rows
        outputs.append(states[0])
    return torch.cat(outputs).unsqueeze(1), tuple(map(torch.cat, zip(states, *ended, strict=True)))
