"""The parameters of an `RNN`: what they are called, how they start, how they are saved, loaded, moved and copied.

A layer of one of torch.nn's cells has exactly the parameters of nn.LSTM, nn.GRU or nn.RNN, both biases included: two where the equations
have one. A layer of another cell has those of its equations.
"""

import math
import warnings
from collections.abc import Mapping
from functools import cache
from typing import Any, Self

import torch
from torch import Tensor, nn

from cells.grammar.cell import Cell
from cells.grammar.torch_equivalent import KEYS
from kernels.derive.plan import Plan, plan
from kernels.layer import custom_op, quantization
from kernels.layer.bound_parameters import flatten, operand_groups, read_weights
from kernels.layer.parameter_names import former_names, name_parameters
from kernels.schedules.cpu import compiled
from kernels.schedules.cpu.panels import KeptPanels, Version
from kernels.schedules.newton import newton
from kernels.schedules.newton.pass_history import History, PassHistory


@cache
def find_shapes(cell: Cell, D: int, H: int, bias: bool) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of the tensors that a layer holds, which a call compares with those that it finds."""
    return (cell.torch_equivalent or cell).shapes(D, H, bias)


class LayerParameters(nn.Module):
    """The parameters of all layers and directions of a cell."""

    cell: Cell
    input_size: int
    hidden_size: int
    num_layers: int
    bias: bool
    bidirectional: bool
    memory: str
    proj_size = 0
    """For code that reads nn.LSTM's: there is no projection."""
    exclude_torch_operator = False
    """If True, "auto" selects neither torch's own operator, nor the equations for one training step, nor "newton"."""
    is_quantized = False
    """True if matrices are on the grid of `quantize`, and a CPU reads them as int8."""

    _newton_history: History | None = None

    def make_parameters(self, device: torch.device | str | None, dtype: torch.dtype | None) -> None:
        """Registers and initializes the parameters."""
        self._trace()
        self._name_parameters()
        for layer in range(self.num_layers):
            width = self.input_size if layer == 0 else self.hidden_size * self.directions
            for suffix in self.suffixes(layer):
                for name, shape in self.tensor_shapes(width).items():
                    self.register_parameter(self._keys[name] + suffix, nn.Parameter(torch.empty(shape, device=device, dtype=dtype)))
        self.flatten_parameters()
        self.reset_parameters()

    def _trace(self) -> None:
        self._registered_name, self._uses_time, self._masks = custom_op.register(self.cell), self.plan.uses_time, self.plan.masks

    def _name_parameters(self) -> None:
        self._names = tuple(self.cell.shapes(self.input_size, self.hidden_size, self.bias))
        keys = KEYS[: 4 if self.bias else 2]
        self._keys = {key: key for key in keys} if self.cell.torch_equivalent else name_parameters(self.plan, self._names)

    @property
    def plan(self) -> Plan:
        """Returns the cell's plan, which is made once and shared by all layers of the cell."""
        return plan(self.cell, self.bias)

    @property
    def mode(self) -> str:
        """Returns nn.LSTM's `mode`: "LSTM", "GRU", "RNN_TANH" or "RNN_RELU"; the name of a cell that torch.nn lacks."""
        return self.cell.torch_equivalent.mode if self.cell.torch_equivalent else self.cell.name

    @property
    def directions(self) -> int:
        """Returns 2 if the layer is bidirectional, else 1."""
        return 2 if self.bidirectional else 1

    def suffixes(self, layer: int | None = None) -> list[str]:
        """Returns the suffixes of a layer's parameter names, "_l0" and, if it is bidirectional, "_l0_reverse"; by default of all layers."""
        layers = range(self.num_layers) if layer is None else [layer]
        return [suffix for k in layers for suffix in [f"_l{k}", f"_l{k}_reverse"][: self.directions]]

    def tensor_shapes(self, width: int) -> dict[str, tuple[int, ...]]:
        """Returns the shapes of a layer's `tensors` for an input of that width."""
        return find_shapes(self.cell, width, self.hidden_size, self.bias)

    def tensors(self, suffix: str = "_l0") -> dict[str, Tensor]:
        """Returns the parameters of a layer and direction, by torch's names ("weight_ih") if it is a cell of torch.nn, else by their
        names in the equations ("W.uh")."""
        return {name: getattr(self, key + suffix) for name, key in self._keys.items()}

    def weights(self, suffix: str = "_l0") -> dict[str, Tensor]:
        """Returns all parameters of a layer, weights and biases, by their names in the equations ("W.ih", "b.i").

        For a cell of torch.nn they are views of torch's tensors, and sums of its two biases; `set_weights` changes them.

        Args:
            suffix: a layer and direction, one of `suffixes`: "_l0" or "_l1_reverse". Default: "_l0"
        """
        return self.read_weights(self.tensors(suffix))

    def read_weights(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns a layer's parameters by their names in the equations, from its `tensors`."""
        return read_weights(self.cell, tensors)

    def set_weights(self, values: Mapping[str, Tensor], suffix: str = "_l0") -> None:
        """Copies values into parameters of a layer, by their names in the equations. Of torch's two biases the second becomes 0.

        Args:
            values: the values, of all parameters or some.
            suffix: a layer and direction, one of `suffixes`. Default: "_l0"
        """
        tensors, equivalent = self.tensors(suffix), self.cell.torch_equivalent
        for name, value in values.items():
            if equivalent:
                equivalent.write(name, value, tensors)
            else:
                with torch.no_grad():
                    tensors[name].copy_(value)

    def gradients_of_weights(self, gradients: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns a layer's gradients by the names in the equations, from those of its `tensors` by theirs."""
        equivalent = self.cell.torch_equivalent
        return {name: equivalent.rows_of(name, gradients)[0] for name in self._names} if equivalent else dict(gradients)

    @property
    def all_weights(self) -> list[list[Tensor]]:
        """Returns the parameters as nn.LSTM's `all_weights` does: a list for each layer and direction."""
        return [[*self.tensors(suffix).values()] for suffix in self.suffixes()]

    @property
    def _flat_weights(self) -> list[Tensor]:
        return [weight for weights in self.all_weights for weight in weights]

    @property
    def _flat_weights_names(self) -> list[str]:
        return [key + suffix for suffix in self.suffixes() for key in self._keys.values()]

    def reset_parameters(self) -> None:
        """Initializes the parameters as the cell's paper does; otherwise as torch.nn does, from U(-1/√H, 1/√H)."""
        for suffix in self.suffixes():
            if self.cell.torch_equivalent is None:
                self.cell.initialise(self.tensors(suffix))
                continue
            bound = 1 / math.sqrt(self.hidden_size)
            for tensor in self.tensors(suffix).values():
                nn.init.uniform_(tensor, -bound, bound)
            ruled = {name for name in self._names if name in self.cell.init or name[0] in self.cell.init}
            values = {name: value.detach().clone() for name, value in self.weights(suffix).items() if name in ruled}
            self.cell.initialise(values)
            self.set_weights(values, suffix)

    def flatten_parameters(self) -> None:
        """Moves parameters that are used together into one buffer, where they aren't in one: as cuDNN takes them, for a cell of torch.nn
        on a GPU, and matrices with a common operand otherwise. Moving, loading and copying a layer does this too. The next call on a CPU
        packs all matrices anew: `kernels.schedules.cpu.panels` says which writes it would miss otherwise."""
        self._kept_panels = KeptPanels(len(self.suffixes()))
        for suffix in self.suffixes():
            tensors = self.tensors(suffix)
            if not self.cell.torch_equivalent:
                for run in operand_groups(self.plan):
                    flatten([tensors[name] for name in run])
            elif tensors["weight_ih"].is_cuda:
                flatten([*tensors.values()], 0 if self.bias else 2 * len(tensors["weight_ih"]))

    def _apply(self, *arguments: Any, **options: Any) -> Any:
        applied = super()._apply(*arguments, **options)
        self.flatten_parameters()
        return applied

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        self._trace()  # another process may have pickled the layer
        if "_keys" not in state:  # pickled by an earlier version
            self._name_parameters()
            self._rename_former(self._parameters, "")
            for name, value in self._parameters.items():
                self._parameters[name] = value if value is None or type(value) is nn.Parameter else nn.Parameter(value)
        self.flatten_parameters()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Loads the state dict of an earlier version of this project too, and says so."""
        self._rename_former(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def _rename_former(self, given: dict[str, Any], prefix: str) -> None:
        """Replaces parameters under their former names ("W_uh_l0") in a state dict, and warns if there are any."""
        equivalent, former = self.cell.torch_equivalent, former_names(self._names)
        found = False
        for suffix in self.suffixes():
            old = {name: prefix + key + suffix for name, key in former.items()}
            if not all(key in given for key in old.values()):
                continue  # loading reports what is missing and what is unexpected
            values = {name: given.pop(key) for name, key in old.items()}
            values = equivalent.pack(values) if equivalent else values
            given |= {prefix + self._keys[name] + suffix: value for name, value in values.items()}
            found = True
        if found:
            names = f"{former[self._names[0]]}_l0, now {next(iter(self._keys.values()))}_l0"
            again = ", and start its optimizer anew: torch's parameters are others" if equivalent else ""
            warnings.warn(f"loaded {self.cell.name} by its former names ({names}, …): save it again{again}", FutureWarning, stacklevel=2)

    def quantize(self) -> Self:
        """Returns a copy for inference whose matrices are rounded to 8 bits, a scale for each row. On a CPU, calls without gradients, one
        step or many, read a quarter of the bytes.

        The copy's parameters are in float32 on that grid: its state dict is that of any layer of the cell, and `quantize()` of a layer
        that has loaded it is the same layer again. Values off the grid are rounded as int8 is read.

        Raises:
            ValueError: the layer is not in float32.
        """
        return quantization.quantize(self)

    def keep_newton_history(self, warm_start: bool = False, pause: bool = False) -> Self:
        """Lets the schedule `newton` go by the layer's earlier calls, and returns the layer. Results then depend on those calls, within the
        tolerance of `newton`; they don't under torch.use_deterministic_algorithms, with memory="low" or in a graph, which keep no history.
        torch.utils.checkpoint may find that a second forward pass saves other tensors than the first: use memory="low" instead.

        Args:
            warm_start: whether a pass begins with the solution of the last one of the same shape instead of zeros, as in training steps
                that change little. It keeps T·B·H elements for each state, forward and backward. Default: False
            pause: whether, after a pass that has not converged within its budget of iterations, the next 1, 2, 4, … up to 64 run step by
                step: with backend="auto" by the schedule that "auto" takes otherwise. Default: False
        """
        self._newton_history = History(len(self.suffixes()), warm_start, pause) if warm_start or pause else None
        return self

    def find_history(self, tensors: Mapping[str, Tensor]) -> tuple[PassHistory, PassHistory]:
        """Returns what a layer and direction keeps of its forward and backward passes by `newton`."""
        if self._newton_history is None or torch.are_deterministic_algorithms_enabled():
            return newton.NO_HISTORY, newton.NO_HISTORY
        return self._newton_history.find([*tensors.values()])

    def keep_state(self, schedule: Any, tensors: Mapping[str, Tensor], mask: str = "") -> Any:
        """Returns a schedule that uses what the layer keeps from call to call: packed matrices on a CPU while its tensors stand, those of a
        cell that is rewritten by `mask` packed in every call; or the history of `newton`."""
        if schedule is newton and self.memory == "full" and self._newton_history is not None:
            return newton.OnHistory(*self.find_history(tensors))
        if schedule is not compiled:
            return schedule
        version = None if mask else self._kept_panels.find([*tensors.values()])
        storage = self.choose_storage(next(iter(tensors.values())).dtype) if tensors else None
        return compiled.OnPanels(version or Version(), storage)

    def choose_storage(self, dtype: torch.dtype) -> torch.dtype | None:
        """Returns the dtype in which a CPU stores packed matrices, None for that of the layer: int8 for a quantized layer of float32, and
        that of autocast for any other one of float32."""
        if dtype != torch.float32:
            return None
        return torch.int8 if self.is_quantized else torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None
