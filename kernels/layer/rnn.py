"""`RNN`: a torch module that runs any cell, with the interface of nn.LSTM."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from cells.grammar.cell import Cell, count_steps
from cells.grammar.functions import in_onnx_export
from cells.grammar.masked import masked, with_noise
from kernels.derive.plan import plan
from kernels.layer import (
    checkpointing,
    custom_op,
    equations,
    input_products,
    masks,
    measured_layers,
    options,
    packed,
    random_masks,
    select,
    torch_operator,
)
from kernels.layer.bound_parameters import read_weights
from kernels.layer.c_export import c_files
from kernels.layer.inference import find_outputs
from kernels.layer.inputs import Hidden, batched_input, check_weights, is_traced, previous_input
from kernels.layer.layer_parameters import LayerParameters
from kernels.layer.loop_plan import choose_plan
from kernels.layer.traced_loop import apply as apply_in_trace

Result = tuple[Tensor, tuple[Tensor, ...]]
Layer = Callable[..., Result]
"""Maps x, the initial states (B, H), `LayerParameters.tensors`, a given `reset`, and its masks `drawn` to the outputs and final states."""


class RNN(LayerParameters):
    r"""Applies a multi-layer recurrent cell to a sequence, with the arguments, shapes and state dict of nn.LSTM.

    Args:
        cell: the cell's name ("minimal", see `cells.names()`), a `Cell`, or a function in the grammar of `cells.grammar.cell`.
        input_size: the size D of the input at a time step.
        hidden_size: the size H of each state.
        num_layers: the number of stacked layers. Default: 1
        bias: if False, the cell has no biases `b`. Default: True
        batch_first: if True, input and output are (B, T, ·) instead of (T, B, ·); states are not affected. Default: False
        dropout: the probability of dropout on the output of each layer but the last. Default: 0
        bidirectional: if True, each layer runs in both directions. Default: False
        proj_size: not supported; must be 0.
        backend: "auto", "eager", "torch", "compiled", "stepwise", "persistent", "scan", "stencil" or "newton". "torch" is torch's own
            operator (cuDNN on a GPU), for the cells of torch.nn. Default: "auto", the fastest backend that can run; on a GPU this includes
            "torch" and "newton" for sizes at which they were measured to be faster; on a CPU one training step is torch's.
        memory: "full", or "low". With "low" the forward pass saves only the states, and the backward pass recomputes the rest by large
            products, chunk by chunk; "eager" runs the forward pass a second time. Default: "full"
        device, dtype: the device and dtype of the parameters. Default: torch's
        nonlinearity: for the cell "vanilla", "tanh" or "relu" as in nn.RNN; "relu" is the cell "vanilla_relu". Default: the cell's own

    Inputs: input, hx, lengths, before, reset, start
        * **input**: (T, B, D), (B, T, D) with `batch_first`, (T, D) without a batch, or a PackedSequence.
        * **hx**: the initial states, each (num_layers · directions, B, H), or (num_layers · directions, H) without a batch: a tensor for
          a cell with one state, a tuple for several. Default: the cell's own start, zero for most cells.
        * **lengths**: (B), the lengths of the sequences of a padded batch, in any order. A sequence may be empty (0).
          What stands past a sequence's end is not read.
        * **before**: (B, D), the value of prev(x) in the first step, for a single layer in one direction. Default: 0
        * **reset**: bools (T, B), (B, T) with `batch_first`, (T) without a batch; for a PackedSequence (T, B), or packed as it is. Where
          it is True, all states begin anew before that step, from the cell's own start and not from `hx`, and prev(x) is 0. The reverse
          direction reads it in its own order. Default: none
        * **start**: the number of the first step, for a cell with time(), as of a stream; 0 again after a reset. Default: 0

    Outputs: output, h_n
        * **output**: (T, B, directions · H) in the layout of the input, or a PackedSequence; zero past the end of a sequence.
        * **h_n**: the final states, in the shape of `hx`, each after the last step of its own sequence.

    Attributes:
        weight_ih_l0, …: the parameters. Those of "lstm", "gru", "vanilla" and "vanilla_relu" are torch's: names, shapes, both biases,
            order and initial values. For other cells `W.uh` of the equations is `weight_uh_l0` in the first layer and
            `weight_uh_l0_reverse` in its reverse direction, and `b.u` is `bias_u_l0` (`kernels.layer.parameter_names`).
        cell: the `Cell`.
        plan: its plan, shared by all layers of the cell.

    Raises:
        ValueError, TypeError, RuntimeError: as nn.LSTM does.
        CellError: the function `cell` breaks the grammar of `cells.grammar.cell`.

    On a CPU a layer keeps packed copies of its matrices while its parameters stand: `kernels.schedules.cpu.panels`. torch.compile and
    torch.export see one operator per layer and direction (`kernels.layer.custom_op`), always with memory "full"; `lengths` break their
    graph, `reset` doesn't. torch.onnx.export and torch.jit.trace record a loop for any T and B, and refuse lengths. Under autocast the
    layer computes in the dtype of its weights; a CPU packs matrices of float32 in autocast's. Results are bitwise reproducible on one
    machine with the same number of threads, except those of cuDNN; "auto" avoids it under torch.use_deterministic_algorithms.

    Example::

        >>> rnn = RNN("lstm", 10, 20, num_layers=2)
        >>> input, h0, c0 = torch.randn(5, 3, 10), torch.randn(2, 3, 20), torch.randn(2, 3, 20)
        >>> output, (hn, cn) = rnn(input, (h0, c0))
    """

    def __init__(
        self,
        cell: str | Cell | Callable[..., Any],
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        backend: str = "auto",
        memory: str = "full",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        nonlinearity: str | None = None,
    ):
        super().__init__()
        sizes = {"input_size": input_size, "hidden_size": hidden_size, "num_layers": num_layers}
        backend = select.resolve_name(backend)
        switches = {"bias": bias, "batch_first": batch_first, "bidirectional": bidirectional}
        options.check_options(sizes, switches, dropout, proj_size, backend, memory)
        self.cell = options.find_cell(cell, nonlinearity)
        if dropout and num_layers == 1:
            warnings.warn("dropout acts between layers: with num_layers=1 it does nothing", UserWarning, stacklevel=2)
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout, self.bidirectional = bias, batch_first, dropout, bidirectional
        self.backend, self.memory = backend, memory
        if self.plan.elementwise_input and input_size != hidden_size:
            raise ValueError(f"{self.cell.name} uses x unit by unit: input_size must equal hidden_size")
        if self.plan.elementwise_input and bidirectional and num_layers > 1:
            raise ValueError(f"{self.cell.name} uses x unit by unit: no layer can follow a bidirectional one, which is twice as wide")
        self.make_parameters(device, dtype)

    def __prepare_scriptable__(self) -> Any:
        raise RuntimeError(
            "torch.jit.script can't compile an RNN: use torch.export, torch.jit.trace, or to_torch(rnn) for torch.nn's cells"
        )

    def forward(
        self, input: Tensor | PackedSequence, hx: Hidden | None = None, lengths: Tensor | Sequence[int] | None = None,
        before: Tensor | None = None, reset: Tensor | PackedSequence | None = None, start: float | None = None,
    ) -> tuple[Any, Hidden]:  # fmt: skip
        """Runs the layer; the class describes inputs and outputs."""
        if before is not None and (lengths is not None or isinstance(input, PackedSequence)):
            raise ValueError("`before` can't be used with `lengths` or a PackedSequence")
        first_step = options.check_start(start)
        plain = type(self) is RNN and lengths is before is reset is None and first_step == 0
        if plain and (found := find_outputs(self, input, hx)) is not None:
            return found
        if lengths is not None:
            return packed.forward_padded(self, input, hx, lengths, reset, first_step)
        if isinstance(input, PackedSequence):
            return packed.forward_packed(self, input, hx, reset, first_step)
        x, states, batched = batched_input(self, input, hx)
        first = None if before is None else previous_input(self, before, x, batched)
        run_layer: Layer = self.run_layer if reset is None else partial(masks.run_layer, self)
        run_layer = run_layer if first is None else partial(run_layer, before=first)
        run_layer = partial(run_layer, numbers=count_steps(x, first_step)) if self._uses_time else run_layer
        rows = None if reset is None else masks.check_reset(self, reset, x.shape[: 1 + batched], x)
        y, finals = self.run_layers(x, states, run_layer, lambda rows: rows.flip(0), rows)
        if not batched:
            y, finals = y.squeeze(1), tuple(s.squeeze(1) for s in finals)
        elif self.batch_first:
            y = y.transpose(0, 1)
        return y, finals if len(finals) > 1 else finals[0]

    def run_layers(
        self, x: Tensor, states: Sequence[Tensor], run_layer: Layer, reverse: Callable[[Tensor], Tensor], reset: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Runs all layers and returns the outputs and the final states (num_layers · directions, B, H).

        Args:
            run_layer: runs one layer in one direction.
            reverse: reverses the sequences of an input.
            reset: where states begin anew, in the layout of x but for its last dimension.
        """
        final: list[tuple[Tensor, ...]] = []
        for layer in range(self.num_layers):
            if layer and self.dropout:
                x = F.dropout(x, self.dropout, self.training)
            outputs = []
            for direction, suffix in enumerate(self.suffixes(layer)):
                tensors = self.tensors(suffix)
                if not torch.compiler.is_compiling():  # a graph checks the tensors that reach its operator
                    check_weights(tensors, self.tensor_shapes(x.shape[-1]), self._keys, suffix, x)
                rows = [x] if reset is None else [x, reset]
                rows = [*map(reverse, rows)] if direction else rows
                y, last = run_layer(rows[0], [s[len(final)] for s in states], tensors, *rows[1:], **self.draw_masks(rows[0]))
                outputs.append(reverse(y) if direction else y)
                final.append(last)
            x = outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=-1)
        return x, tuple(torch.stack(s) for s in zip(*final, strict=True))

    def draw_masks(self, x: Tensor) -> dict[str, Tensor]:
        """Returns the masks `drawn` of a layer and direction (`random_masks.draw`) for its input; {} if it needs none."""
        return {"drawn": random_masks.draw(self._masks, x, self.hidden_size)} if self._masks and self.training else {}

    def run_layer(
        self, x: Tensor, states: Sequence[Tensor], tensors: Mapping[str, Tensor], before: Tensor | None = None, mask: str = "",
        numbers: Tensor | None = None, drawn: Tensor | None = None,
    ) -> Result:  # fmt: skip
        """Runs one layer in one direction.

        Args:
            x: the input, (T, B, D).
            states: the initial states, (B, H) each.
            before, numbers: as in `Cell.unroll`.
            mask: the rewriting of the cell whose operands these are (`masks.add_mask`), "" for none.
            drawn: the masks of zoneout and dropout in it, None in evaluation.
        """
        if drawn is not None:
            mask, numbers = with_noise(mask), random_masks.step_columns(drawn, numbers)
        if not mask and self.uses_torch_operator(x, states, tensors):
            return torch_operator.apply(self.cell, x, states, tensors)
        if is_traced():
            return apply_in_trace(plan(masked(self.cell, mask), self.bias), x, states, tensors, before, numbers)
        low, backend = self.memory == "low", self._fused_backend
        if (torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack()) and backend != "eager":
            name = custom_op.masked_name(self._registered_name, mask)
            return custom_op.apply(name, self.bias, backend, x, states, tensors, before, numbers)
        cell = masked(self.cell, mask)
        schedule = None if backend == "eager" else self.select_schedule(x, states, mask, tensors)
        reason = None if backend == "eager" else equations.reason_for_equations((x, *states, *tensors.values()))
        if schedule is None:
            by_torch = len(states[0]) > 0 and backend != "eager" and cell.torch_equivalent is not None and reason is None
            unroll: Callable[..., Result] = torch_operator.apply if by_torch else Cell.unroll
            given = tensors if by_torch else read_weights(cell, tensors)
            return (partial(checkpointing.unroll, unroll) if low else unroll)(cell, x, states, given, before, numbers)
        if reason:
            equations.warn_once(cell.name, reason)
            return Cell.unroll(cell, x, states, read_weights(cell, tensors), before, numbers)
        run = checkpointing.apply if low else input_products.apply
        made = plan(cell, self.bias) if low else choose_plan(cell, self.bias, schedule, len(x), x, states, tensors)
        return run(made, self.keep_state(schedule, tensors, mask), x, states, tensors, before, numbers)

    @property
    def _fused_backend(self) -> str:
        """Returns the backend of a call that torch's operator can't take: to ONNX, with memory="low", or of an empty batch."""
        return "auto" if in_onnx_export() or (self.backend == "torch" and self.cell.torch_equivalent) else self.backend

    def select_schedule(self, x: Tensor, states: Sequence[Tensor], mask: str = "", tensors: Any = None) -> ModuleType | None:
        """Returns the schedule that runs a layer, or None for the eager loop. Measured layers count if its tensors are given."""
        (B, H), backend = states[0].shape, self._fused_backend
        if B == 0 or self.backend == "eager":  # torch.compile traces an eager loop, and can't trace `self.plan`
            return None
        if (fastest := "" if tensors is None or mask else self.find_measured(x, states, tensors)) == "eager":
            return None
        if fastest == "newton" and not self.find_history(tensors)[0].skips():
            backend = "newton"
        return select.select_schedule(backend, plan(masked(self.cell, mask), self.bias), x.dtype, x.device, B, H)

    def find_measured(self, x: Tensor, states: Sequence[Tensor], tensors: Mapping[str, Tensor]) -> str:
        """Returns the backend that was measured to be the fastest for a call, "" if none was or "auto" isn't to go by it."""
        known = self.backend == "auto" and self.memory == "full" and not self.exclude_torch_operator
        return measured_layers.find_fastest(self.plan, x, states, tensors) if known else ""

    def uses_torch_operator(self, x: Tensor, states: Sequence[Tensor], tensors: Mapping[str, Tensor]) -> bool:
        """Returns whether torch's operator is to run a layer: if it is the backend, if "auto" has measured it to be faster (but in a graph,
        which is for any sizes), or where torch.jit.trace or torch.func lets no fused loop run."""
        if self.cell.torch_equivalent is None:
            return False
        compiling = torch.compiler.is_compiling()
        if not compiling and torch_operator.must_run(self.backend):
            return len(states[0]) > 0
        if self.memory == "low" or in_onnx_export():
            return False
        if self.backend == "torch":
            return len(states[0]) > 0
        return not compiling and self.find_measured(x, states, tensors) == "torch"

    def export_c(self, folder: str | Path, name: str = "", origin: str = "a layer of this process") -> tuple[Path, ...]:
        """Writes one time step of the layer, with its weights, as C that needs no library: for a stream, in a program without Python.

        Args:
            folder: where to write. It is made if it doesn't exist, and files of these names in it are replaced.
            name: the prefix of the files and of every name in them. Default: the cell's name
            origin: what the weights are those of, for a comment.

        Returns:
            The paths of NAME.c, the states and the functions `NAME_reset(state)` and `NAME_step(state, x, y)`; its header NAME.h; and
            NAME_main.c, an example that reads numbers from stdin. All layers make one step; dropout is left out, as in evaluation.

        Raises:
            ValueError: the layer is bidirectional, or in another dtype than float32 and float64; or the name can't be one in C.
        """
        return c_files.export(self, Path(folder), name, origin)

    def extra_repr(self) -> str:
        shown = f"{self.cell.name}, {self.input_size}, {self.hidden_size}"
        defaults = {
            "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False, "backend": "auto",
            "memory": "full", "is_quantized": False,
        }  # fmt: skip
        return shown + "".join(f", {k}={getattr(self, k)!r}" for k, v in defaults.items() if getattr(self, k) != v)
