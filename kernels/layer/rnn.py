"""`RNN`: a torch module that runs any cell, with the interface of nn.LSTM."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

import cells
from cells.grammar.cell import Cell
from cells.grammar.torch_equivalent import KEYS
from kernels.derive.plan import Plan, plan
from kernels.layer import checkpointing, custom_op, equations, input_products, measured_layers, options, packed, select, torch_operator
from kernels.layer.inputs import Hidden, batched_input, check_weights, packed_input, previous_input

Result = tuple[Tensor, tuple[Tensor, ...]]
Layer = Callable[[Tensor, Sequence[Tensor], Mapping[str, Tensor]], Result]
"""Maps x, the initial states (B, H) and the parameters by name to the outputs and the final states."""


@cache
def _make_cell(step: Callable[..., Any]) -> Cell:
    """Makes a cell of a function: the same cell for the same function, so that its plan and its kernels are made once."""
    return Cell(step)


@cache
def parameter_shapes(cell: Cell, D: int, H: int, bias: bool) -> Mapping[str, tuple[int, ...]]:
    """Returns the shapes of a layer's parameters, as `Cell.shapes` does."""
    return cell.shapes(D, H, bias)


class RNN(nn.Module):
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
        backend: "auto", "eager", "torch", "compiled", "stepwise", "persistent", "scan" or "stencil". "torch" is torch's own operator
            (cuDNN on a GPU), for the cells of torch.nn. Default: "auto", the fastest backend that can run; on a GPU this includes
            "torch" for sizes at which it was measured to be faster.
        memory: "full", or "low". With "low" the forward pass saves only the states, and the backward pass recomputes the rest by large
            products, chunk by chunk; "eager" runs the forward pass a second time. Default: "full"
        device, dtype: the device and dtype of the parameters. Default: torch's
        nonlinearity: for the cell "vanilla", "tanh" or "relu" as in nn.RNN; "relu" is the cell "vanilla_relu". Default: the cell's own

    Inputs: input, hx, lengths, before
        * **input**: (T, B, D), (B, T, D) with `batch_first`, (T, D) without a batch, or a PackedSequence.
        * **hx**: the initial states, each (num_layers · directions, B, H), or (num_layers · directions, H) without a batch: a tensor for
          a cell with one state, a tuple for several. Default: the cell's own start, zero for most cells.
        * **lengths**: (B), the lengths of the sequences of a padded batch, in any order. Nothing is computed past a sequence's end.
        * **before**: (B, D), the value of prev(x) in the first step, for a single layer in one direction. Default: 0

    Outputs: output, h_n
        * **output**: (T, B, directions · H) in the layout of the input, or a PackedSequence; zero past the end of a sequence.
        * **h_n**: the final states, in the shape of `hx`, each after the last step of its own sequence.

    Attributes:
        W_ih_l0, …: the parameters. `W.ih` of the cell is `W_ih_l0` in the first layer, and `W_ih_l0_reverse` in its reverse direction.
            A cell with the equations of an nn.RNN, nn.LSTM or nn.GRU also loads the state dict of that module.
        cell: the `Cell`.
        plan: its plan, shared by all layers of the cell.

    Raises:
        ValueError, TypeError, RuntimeError: as nn.LSTM does.
        CellError: the function `cell` breaks the grammar of `cells.grammar.cell`.

    torch.compile and torch.export see one operator per layer and direction (`kernels.layer.custom_op`), always with memory "full";
    `lengths` break their graph. Under autocast the layer computes in the dtype of its weights. Results are bitwise reproducible on one
    machine with the same number of threads, except those of cuDNN; "auto" avoids it under torch.use_deterministic_algorithms.

    Example::

        >>> rnn = RNN("lstm", 10, 20, num_layers=2)
        >>> input, h0, c0 = torch.randn(5, 3, 10), torch.randn(2, 3, 20), torch.randn(2, 3, 20)
        >>> output, (hn, cn) = rnn(input, (h0, c0))
    """

    exclude_torch_operator = False
    """If True, "auto" never selects torch's own operator."""

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
        options.check_options(sizes, dropout, proj_size, backend, memory)
        cell = options.choose_nonlinearity(cell, nonlinearity)
        self.cell = cells.load(cell) if isinstance(cell, str) else cell if isinstance(cell, Cell) else _make_cell(cell)
        if dropout and num_layers == 1:
            warnings.warn("dropout acts between layers: with num_layers=1 it does nothing", UserWarning, stacklevel=2)
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout, self.bidirectional = bias, batch_first, dropout, bidirectional
        self.backend, self.memory = backend, memory
        self._registered_name = custom_op.register(self.cell)
        if self.plan.elementwise_input and input_size != hidden_size:
            raise ValueError(f"{self.cell.name} uses x unit by unit: input_size must equal hidden_size")
        if self.plan.elementwise_input and bidirectional and num_layers > 1:
            raise ValueError(f"{self.cell.name} uses x unit by unit: no layer can follow a bidirectional one, which is twice as wide")
        self._names = tuple(self.cell.shapes(input_size, hidden_size, bias))
        for layer in range(num_layers):
            width = input_size if layer == 0 else hidden_size * self.directions
            for suffix in self.suffixes(layer):
                for name, shape in self.cell.shapes(width, hidden_size, bias).items():
                    empty = torch.empty(shape, device=device, dtype=dtype)
                    self.register_parameter(name.replace(".", "_") + suffix, nn.Parameter(empty))
        self.reset_parameters()

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        self._registered_name = custom_op.register(self.cell)  # another process may have pickled the layer

    def __prepare_scriptable__(self) -> Any:
        raise RuntimeError(
            "torch.jit.script can't compile an RNN: use torch.export, torch.jit.trace, or to_torch(rnn) for torch.nn's cells"
        )

    @property
    def plan(self) -> Plan:
        """Returns the cell's plan, which is made once and shared by all layers of the cell."""
        return plan(self.cell, self.bias)

    @property
    def directions(self) -> int:
        """Returns 2 if the layer is bidirectional, else 1."""
        return 2 if self.bidirectional else 1

    def suffixes(self, layer: int) -> list[str]:
        """Returns the suffixes of a layer's parameter names: "_l0" and, if it is bidirectional, "_l0_reverse"."""
        return [f"_l{layer}", f"_l{layer}_reverse"][: self.directions]

    def weights(self, suffix: str = "_l0") -> dict[str, Tensor]:
        """Returns all parameters of a layer, weights and biases, by their names in the equations ("W.ih", "b.i").

        Args:
            suffix: a layer and direction, one of `suffixes`: "_l0" or "_l1_reverse". Default: "_l0"
        """
        return {name: getattr(self, name.replace(".", "_") + suffix) for name in self._names}

    def flatten_parameters(self) -> None:
        """Does nothing; exists because nn.LSTM has it. No schedule needs its weights in one buffer."""

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Loads the state dict of the equivalent nn.LSTM, nn.GRU or nn.RNN too."""
        equivalent = self.cell.torch_equivalent
        for layer in range(self.num_layers if equivalent else 0):
            for suffix in self.suffixes(layer):
                present = {key: prefix + key + suffix for key in KEYS if prefix + key + suffix in state_dict}
                used = KEYS if self.bias and len(present) == len(KEYS) else KEYS[:2]  # super() reports unexpected keys
                if equivalent and {*used} <= {*present} and all(len(state_dict[present[key]]) % len(equivalent.gates) == 0 for key in used):
                    found = equivalent.merge_biases({key: state_dict.pop(present[key]) for key in used})
                    state_dict |= {prefix + name.replace(".", "_") + suffix: found[name] for name in self._names if name in found}
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def reset_parameters(self) -> None:
        """Initializes the parameters as the cell's paper does; otherwise as torch.nn does, from U(-1/√H, 1/√H)."""
        for layer in range(self.num_layers):
            for suffix in self.suffixes(layer):
                self.cell.initialise(self.weights(suffix))

    def forward(
        self, input: Tensor | PackedSequence, hx: Hidden | None = None, lengths: Tensor | Sequence[int] | None = None,
        before: Tensor | None = None,
    ) -> tuple[Any, Hidden]:  # fmt: skip
        """Runs the layer; the class describes inputs and outputs."""
        if before is not None and (lengths is not None or isinstance(input, PackedSequence)):
            raise ValueError("`before` can't be used with `lengths` or a PackedSequence")
        if lengths is not None:
            return self._forward_padded(input, hx, lengths)
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, hx)
        x, states, batched = batched_input(self, input, hx)
        first = None if before is None else previous_input(self, before, x, batched)
        run_layer = self._run_layer if first is None else partial(self._run_layer, before=first)
        y, finals = self._run_layers(x, states, run_layer, lambda rows: rows.flip(0))
        if not batched:
            y, finals = y.squeeze(1), tuple(s.squeeze(1) for s in finals)
        elif self.batch_first:
            y = y.transpose(0, 1)
        return y, finals if len(finals) > 1 else finals[0]

    def _forward_packed(self, input: PackedSequence, hx: Hidden | None) -> tuple[PackedSequence, Hidden]:
        data, sizes, order, back = input
        x, states = packed_input(self, input, hx)
        counts = sizes.tolist()
        place = packed.reversal_index(counts, data.device) if self.bidirectional else None

        def run_layer(rows: Tensor, initial: Sequence[Tensor], weights: Mapping[str, Tensor]) -> Result:
            return packed.apply(lambda x, states, before: self._run_layer(x, states, weights, before), rows, counts, initial)

        y, finals = self._run_layers(x, [s if order is None else s[:, order] for s in states], run_layer, lambda rows: rows[place])
        finals = finals if back is None else tuple(s[:, back] for s in finals)
        return PackedSequence(y, sizes, order, back), finals if len(finals) > 1 else finals[0]

    def _forward_padded(self, input: Tensor | PackedSequence, hx: Hidden | None, lengths: Tensor | Sequence[int]) -> tuple[Tensor, Hidden]:
        if not isinstance(input, Tensor) or input.dim() != 3:
            raise ValueError("`lengths` needs a padded 3-D input: a PackedSequence already contains its lengths")
        T, B = input.shape[:2] if not self.batch_first else input.shape[1::-1]
        given = torch.as_tensor(lengths).cpu()
        if given.shape == (B,) == (0,) or not T:
            return self.forward(input, hx)  # nothing to pack: B = 0 gives an empty result, T = 0 raises
        other = given.is_floating_point() or given.is_complex() or given.dtype == torch.bool
        if given.shape != (B,) or other or (counts := given.to(torch.int64)).gt(T).any():
            raise ValueError(f"lengths are {B} whole numbers up to {T}, one for each sequence of this batch: got {given.tolist()}")
        short = pack_padded_sequence(input, counts, self.batch_first, enforce_sorted=False)
        y, final = self._forward_packed(short, hx)
        return pad_packed_sequence(y, self.batch_first, total_length=T)[0], final

    def _run_layers(
        self, x: Tensor, states: Sequence[Tensor], run_layer: Layer, reverse: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Runs all layers and returns the outputs and the final states (num_layers · directions, B, H).

        Args:
            run_layer: runs one layer in one direction.
            reverse: reverses the sequences of an input.
        """
        final: list[tuple[Tensor, ...]] = []
        for layer in range(self.num_layers):
            if layer and self.dropout:
                x = F.dropout(x, self.dropout, self.training)
            outputs = []
            for direction, suffix in enumerate(self.suffixes(layer)):
                weights = self.weights(suffix)
                if not torch.compiler.is_compiling():  # a graph checks the tensors that reach its operator
                    check_weights(weights, parameter_shapes(self.cell, x.shape[-1], self.hidden_size, self.bias), suffix, x)
                y, last = run_layer(reverse(x) if direction else x, [s[len(final)] for s in states], weights)
                outputs.append(reverse(y) if direction else y)
                final.append(last)
            x = outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=-1)
        return x, tuple(torch.stack(s) for s in zip(*final, strict=True))

    def _run_layer(self, x: Tensor, states: Sequence[Tensor], weights: Mapping[str, Tensor], before: Tensor | None = None) -> Result:
        """Runs one layer in one direction: x (T, B, D), states (B, H) each, and prev(x) in the first step, `before` (B, D)."""
        if self.uses_torch_operator(x, states, weights):
            return torch_operator.apply(self.cell, x, states, weights)
        low, backend = self.memory == "low", self.backend
        if backend == "torch" and self.cell.torch_equivalent:
            backend = "auto"  # torch's operator has no memory="low" and takes no empty batch
        if select.unrolls_in_graph(backend, x.dtype, x.device):
            backend = "eager"
        if (torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack()) and backend != "eager":
            return custom_op.apply(self._registered_name, self.bias, backend, x, states, weights, before)
        B, H = states[0].shape
        runs_schedule = B > 0 and backend != "eager"  # torch.compile traces an eager loop, and can't trace `self.plan`
        schedule = select.select_schedule(backend, self.plan, x.dtype, x.device, B, H) if runs_schedule else None
        if schedule is None:
            return (checkpointing.unroll if low else Cell.unroll)(self.cell, x, states, weights, before)
        if reason := equations.reason_for_equations((x, *states, *weights.values())):
            equations.warn_once(self.cell.name, reason)
            return Cell.unroll(self.cell, x, states, weights, before)
        return (checkpointing.apply if low else input_products.apply)(self.plan, schedule, x, states, weights, before)

    def uses_torch_operator(self, x: Tensor, states: Sequence[Tensor], weights: Mapping[str, Tensor]) -> bool:
        """Returns whether torch's operator runs a layer: if it is the backend, or if "auto" has measured it to be faster.

        Measurements are not used in a graph, which is for any sizes.
        """
        if self.cell.torch_equivalent is None or self.memory == "low":
            return False
        if self.backend == "torch":
            return len(states[0]) > 0
        if self.backend != "auto" or self.exclude_torch_operator or torch.compiler.is_compiling():
            return False
        return measured_layers.prefers_torch(self.plan, x, states, weights)

    def extra_repr(self) -> str:
        shown = f"{self.cell.name}, {self.input_size}, {self.hidden_size}"
        defaults = {
            "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False, "backend": "auto",
            "memory": "full",
        }  # fmt: skip
        return shown + "".join(f", {k}={getattr(self, k)!r}" for k, v in defaults.items() if getattr(self, k) != v)
