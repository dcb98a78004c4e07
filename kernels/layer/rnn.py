"""`RNN`: any cell as a torch module, used like nn.LSTM."""

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
from kernels.layer import checkpointing, custom_op, input_products, measured_layers, packed, select, torch_operator
from kernels.layer.inputs import Hidden, batched_input, packed_input, previous_input

MEMORY = ("full", "low")

Result = tuple[Tensor, tuple[Tensor, ...]]
Layer = Callable[[Tensor, Sequence[Tensor], Mapping[str, Tensor]], Result]
"""x, initial states (B, H) and parameters by name → outputs and final states."""


@cache
def _cell(step: Callable[..., Any]) -> Cell:
    """A function's cell: the same for the same function, so that its plan and its kernels are made once."""
    return Cell(step)


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
        backend: "auto", "eager", "torch", "compiled", "stepwise", "persistent", "scan" or "stencil". "torch" is torch's own
            operator, cuDNN's on a GPU, for the cells of torch.nn. Default: "auto", the fastest that can run; on a GPU that is "torch" where
            it was measured to be faster.
        memory: "full", or "low": a training step then saves the states only, and the backward pass recomputes the rest by large
            products, chunk by chunk; "eager" runs forward a second time. Default: "full"
        device, dtype: of the parameters.

    Inputs: input, hx, lengths, before
        * **input**: (T, B, D), (B, T, D) with `batch_first`, (T, D) without a batch, or a PackedSequence.
        * **hx**: the initial states, each (num_layers · directions, B, H), or (num_layers · directions, H) without a batch: a tensor for
          a cell with one state, a tuple for several. Default: where the cell starts, mostly zero.
        * **lengths**: (B) the lengths of the sequences of a padded batch, in any order. Nothing is computed past a sequence's end.
        * **before**: (B, D) the input one step before the first, which prev(x) reads in a single layer of one direction. Default: 0

    Outputs: output, h_n
        * **output**: (T, B, directions · H) in the layout of the input, or a PackedSequence; zero past the end of a sequence.
        * **h_n**: the final states, in the shape of `hx`, each after its sequence's own last step.

    Attributes:
        W_ih_l0, …: `W.ih` of the cell is `W_ih_l0` in the first layer, `W_ih_l0_reverse` in its reverse direction. The state dict of an
            nn.RNN, nn.LSTM or nn.GRU is loaded by the cell of the same equations.

    Raises:
        ValueError, TypeError, RuntimeError: as nn.LSTM does; RuntimeError also for a fused loop inside a transform of torch.func.
        CellError: `cell` is a function that is no cell.

    torch.compile and torch.export see one operator per layer and direction (`kernels.layer.custom_op`), always with memory "full";
    `lengths` break their graph. Under autocast the layer computes in the dtype of its weights. Results repeat bit by bit on the same
    machine with the same number of threads, but for cuDNN, which torch.use_deterministic_algorithms keeps "auto" from.

    Example::

        >>> rnn = RNN("lstm", 10, 20, num_layers=2)
        >>> input, h0, c0 = torch.randn(5, 3, 10), torch.randn(2, 3, 20), torch.randn(2, 3, 20)
        >>> output, (hn, cn) = rnn(input, (h0, c0))
    """

    derived = False
    """Whether "auto" is for derived loops alone, even where torch's operator is faster: for a study whose records name what ran."""

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
    ):
        super().__init__()
        for name, size in (("input_size", input_size), ("hidden_size", hidden_size), ("num_layers", num_layers)):
            if not isinstance(size, int):
                raise TypeError(f"{name} should be of type int, got: {type(size).__name__}")
            if size <= 0:
                raise ValueError(f"{name} must be greater than zero")
        if isinstance(dropout, bool) or not 0 <= dropout <= 1:
            raise ValueError(f"dropout should be a number in range [0, 1], not {dropout}")
        if proj_size:
            raise ValueError("proj_size is not supported: a cell's states have one width. Put an nn.Linear behind the layer instead")
        backend = select.resolve_name(backend)
        if backend not in select.names():
            raise ValueError(f"no backend is called {backend!r}: there are {', '.join(select.names())}")
        if memory not in MEMORY:
            raise ValueError(f"memory is {' or '.join(map(repr, MEMORY))}, not {memory!r}")
        self.cell = cells.load(cell) if isinstance(cell, str) else cell if isinstance(cell, Cell) else _cell(cell)
        if dropout and num_layers == 1:
            warnings.warn("dropout acts between layers: with num_layers=1 it does nothing", UserWarning, stacklevel=2)
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout, self.bidirectional = bias, batch_first, dropout, bidirectional
        self.backend, self.memory = backend, memory
        self._known = custom_op.register(self.cell)
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
        self._known = custom_op.register(self.cell)  # which another process may have pickled

    @property
    def plan(self) -> Plan:
        """The cell's plan; it is made once and shared by all layers of that cell."""
        return plan(self.cell, self.bias)

    @property
    def directions(self) -> int:
        return 2 if self.bidirectional else 1

    def suffixes(self, layer: int) -> list[str]:
        return [f"_l{layer}", f"_l{layer}_reverse"][: self.directions]

    def weights(self, suffix: str = "_l0") -> dict[str, Tensor]:
        """A layer's parameters by the names its equations use ("W.ih"); `suffix` is "_l0", "_l1_reverse", …"""
        return {name: getattr(self, name.replace(".", "_") + suffix) for name in self._names}

    def flatten_parameters(self) -> None:
        """Does nothing, as nn.LSTM's does on a CPU: no schedule wants its weights in one piece of memory."""

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """What nn.LSTM, nn.GRU or nn.RNN saved is taken too, by the cell of the same equations."""
        twin = self.cell.twin
        for layer in range(self.num_layers if twin else 0):
            for suffix in self.suffixes(layer):
                there = {key: prefix + key + suffix for key in KEYS if prefix + key + suffix in state_dict}
                taken = KEYS if self.bias and len(there) == len(KEYS) else KEYS[:2]  # what is left over, super() tells
                if twin and {*taken} <= {*there} and all(len(state_dict[there[key]]) % len(twin.gates) == 0 for key in taken):
                    found = twin.merge_biases({key: state_dict.pop(there[key]) for key in taken})
                    state_dict |= {prefix + name.replace(".", "_") + suffix: found[name] for name in self._names if name in found}
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def reset_parameters(self) -> None:
        """Initialise as the cell's paper says, otherwise as torch.nn does."""
        for layer in range(self.num_layers):
            for suffix in self.suffixes(layer):
                self.cell.initialise(self.weights(suffix))

    def forward(
        self, input: Tensor | PackedSequence, hx: Hidden | None = None, lengths: Tensor | Sequence[int] | None = None,
        before: Tensor | None = None,
    ) -> tuple[Any, Hidden]:  # fmt: skip
        if before is not None and (lengths is not None or isinstance(input, PackedSequence)):
            raise ValueError("before goes with sequences of one length")
        if lengths is not None:
            return self._padded(input, hx, lengths)
        if isinstance(input, PackedSequence):
            return self._packed(input, hx)
        x, states, batched = batched_input(self, input, hx)
        first = None if before is None else previous_input(self, before, x, batched)
        one = self._one if first is None else partial(self._one, before=first)
        y, finals = self._layers(x, states, one, lambda rows: rows.flip(0))
        if not batched:
            y, finals = y.squeeze(1), tuple(s.squeeze(1) for s in finals)
        elif self.batch_first:
            y = y.transpose(0, 1)
        return y, finals if len(finals) > 1 else finals[0]

    def _packed(self, input: PackedSequence, hx: Hidden | None) -> tuple[PackedSequence, Hidden]:
        data, sizes, order, back = input
        x, states = packed_input(self, input, hx)
        counts = sizes.tolist()
        place = packed.reversal_index(counts, data.device) if self.bidirectional else None

        def one(rows: Tensor, initial: Sequence[Tensor], weights: Mapping[str, Tensor]) -> Result:
            return packed.apply(lambda x, states, before: self._one(x, states, weights, before), rows, counts, initial)

        y, finals = self._layers(x, [s if order is None else s[:, order] for s in states], one, lambda rows: rows[place])
        finals = finals if back is None else tuple(s[:, back] for s in finals)
        return PackedSequence(y, sizes, order, back), finals if len(finals) > 1 else finals[0]

    def _padded(self, input: Tensor | PackedSequence, hx: Hidden | None, lengths: Tensor | Sequence[int]) -> tuple[Tensor, Hidden]:
        if not isinstance(input, Tensor) or input.dim() != 3:
            raise ValueError("lengths go with a padded batch of three dimensions: a packed one has its own")
        T, B = input.shape[:2] if not self.batch_first else input.shape[1::-1]
        given = torch.as_tensor(lengths).cpu()
        if given.shape == (B,) == (0,) or not T:
            return self.forward(input, hx)  # packed there would be nothing: of no sequence there is a result, of no step an error
        other = given.is_floating_point() or given.is_complex() or given.dtype == torch.bool
        if given.shape != (B,) or other or (counts := given.to(torch.int64)).gt(T).any():
            raise ValueError(f"lengths are {B} whole numbers up to {T}, one for each sequence of this batch: got {given.tolist()}")
        short = pack_padded_sequence(input, counts, self.batch_first, enforce_sorted=False)
        y, final = self._packed(short, hx)
        return pad_packed_sequence(y, self.batch_first, total_length=T)[0], final

    def _layers(
        self, x: Tensor, states: Sequence[Tensor], one: Layer, reverse: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """All layers: outputs and final states (num_layers · directions, B, H). `one` runs one of them, in one direction."""
        final: list[tuple[Tensor, ...]] = []
        for layer in range(self.num_layers):
            if layer and self.dropout:
                x = F.dropout(x, self.dropout, self.training)
            outputs = []
            for direction, suffix in enumerate(self.suffixes(layer)):
                y, last = one(reverse(x) if direction else x, [s[len(final)] for s in states], self.weights(suffix))
                outputs.append(reverse(y) if direction else y)
                final.append(last)
            x = outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=-1)
        return x, tuple(torch.stack(s) for s in zip(*final, strict=True))

    def _one(self, x: Tensor, states: Sequence[Tensor], weights: Mapping[str, Tensor], before: Tensor | None = None) -> Result:
        """One layer in one direction: x (T, B, D), states (B, H), and `before` (B, D) what prev(x) is in the first step."""
        if self.takes_torch(x, states, weights):
            return torch_operator.apply(self.cell, x, states, weights)
        low, backend = self.memory == "low", self.backend
        if backend == "torch" and self.cell.twin:
            backend = "auto"
        if torch.compiler.is_compiling() and backend != "eager":
            return custom_op.apply(self._known, self.bias, backend, x, states, weights, before)
        B, H = states[0].shape
        fused = B and backend != "eager"  # torch.compile, which sees an eager loop step by step, can't trace a plan being made
        schedule = select.choose(backend, self.plan, x.dtype, x.device, B, H) if fused else None
        if schedule is None:
            return (checkpointing.unroll if low else Cell.unroll)(self.cell, x, states, weights, before)
        if torch._C._are_functorch_transforms_active():  # what they pass on has no memory that a kernel could read
            raise RuntimeError(f"no fused loop runs inside torch.func (grad, vmap, …): make this {self.cell.name} with backend='eager'")
        return (checkpointing.apply if low else input_products.apply)(self.plan, schedule, x, states, weights, before)

    def takes_torch(self, x: Tensor, states: Sequence[Tensor], weights: Mapping[str, Tensor]) -> bool:
        """Returns whether torch's operator runs a layer of these sizes: as asked, or where that was measured to be
        faster. A graph, which is for any sizes, has no measurements."""
        if self.cell.twin is None or self.memory == "low":
            return False
        if self.backend == "torch":
            return len(states[0]) > 0
        if self.backend != "auto" or self.derived or torch.compiler.is_compiling():
            return False
        return measured_layers.prefers_torch(self.plan, x, states, weights)

    def extra_repr(self) -> str:
        shown = f"{self.cell.name}, {self.input_size}, {self.hidden_size}"
        defaults = {
            "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False, "backend": "auto",
            "memory": "full",
        }  # fmt: skip
        return shown + "".join(f", {k}={getattr(self, k)!r}" for k, v in defaults.items() if getattr(self, k) != v)
