"""A call without gradients on a CPU, prepared once for a shape of its input: from call to call only addresses change.

It is taken where nothing is unusual. Otherwise `find_outputs` returns None, and `RNN.forward` goes its general way, to the same results.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from kernels.derive.graph import Node
from kernels.layer.autograd import align, make_pass_inputs
from kernels.layer.bound_parameters import bind
from kernels.layer.input_products import GraphEvaluator, bind_inputs, recurrence_operands
from kernels.layer.inputs import Hidden, batched_input, check_weights
from kernels.layer.loop_plan import fuse_inputs
from kernels.schedules.cpu import compiled
from kernels.schedules.cpu.library import build_library
from kernels.schedules.cpu.panels import Version, make_stamp
from kernels.schedules.cpu.pass_arguments import WORDS, PassArguments
from kernels.schedules.interface import PassInputs

if TYPE_CHECKING:
    from kernels.layer.rnn import RNN

TURN = WORDS["turn"]
MAX_SHAPES = 32
"""The maximum number of shapes of which a layer keeps prepared calls."""


def find_outputs(rnn: "RNN", input: Any, hx: Hidden | None) -> tuple[Tensor, Hidden] | None:
    """Returns what `rnn.forward(input, hx)` does; None if the call is unusual in any way, or of a shape that is seen for the first time."""
    if torch.compiler.is_compiling() or not is_plain(input) or is_watched():
        return None
    if hx is None:
        states: Sequence[Tensor] = ()
    else:
        states = (hx,) if isinstance(hx, Tensor) else hx
        if not isinstance(states, (tuple, list)) or not all(map(is_plain, states)):
            return None
    if torch.is_grad_enabled() and any(t.requires_grad for t in (*rnn._parameters.values(), input, *states) if t is not None):
        return None
    if (rnn.dropout or rnn._masks) and rnn.training:
        return None
    calls = rnn._kept_panels.calls
    key = input.shape, input.dtype, rnn.backend, rnn.memory, rnn.batch_first, hx is None, torch.get_num_threads()
    prepared = calls.get(key)
    if prepared is None:
        if len(calls) >= MAX_SHAPES:
            calls.clear()
        calls[key] = []
        return None
    try:
        call = prepared.pop()  # no other thread has it now
    except IndexError:
        made = prepare(rnn, input, hx)
        if made is None:
            return None
        call = made
    found = call(rnn._parameters, input, states)
    if found is not None:
        prepared.append(call)
    return found


def is_plain(tensor: Any) -> bool:
    """Returns whether a tensor is one of torch's own, in memory of a CPU."""
    dense = type(tensor) is Tensor and tensor.is_cpu and tensor.layout is torch.strided and not tensor.is_nested
    return dense and not tensor.is_neg() and tensor.is_contiguous()


def is_watched() -> bool:
    """Returns whether something sees, records or replaces torch's operations, or autocast is on."""
    return bool(
        torch._C._are_functorch_transforms_active() or torch._C._len_torch_dispatch_stack() or torch._C._len_torch_function_stack()
        or forward_ad._current_level >= 0 or torch._C._get_tracing_state() is not None or torch.is_autocast_enabled("cpu")
    )  # fmt: skip


def prepare(rnn: "RNN", input: Tensor, hx: Hidden | None) -> "PreparedCall | None":
    """Prepares a call; returns None if it must go the general way, or its matrices are not packed yet."""
    alike = rnn.memory == "full" and rnn.backend in ("auto", "compiled") and not rnn.bidirectional
    if not alike or (rnn.batch_first and input.dim() == 3 and min(input.shape[:2]) > 1):
        return None
    x, states, _ = batched_input(rnn, input, hx)
    if rnn.select_schedule(x, [s[0] for s in states]) is not compiled:
        return None
    layers = []
    for k, suffix in enumerate(rnn.suffixes()):
        layer = prepare_layer(rnn, suffix, x, [s[k] for s in states])
        if layer is None:
            return None
        layers.append(layer)
        x = x.new_zeros(*x.shape[:2], rnn.hidden_size)
    finals = (len(layers), *x.shape[1:-1], rnn.hidden_size) if input.dim() == 3 else (len(layers), rnn.hidden_size)
    return PreparedCall(layers, input, finals)


def prepare_layer(rnn: "RNN", suffix: str, x: Tensor, states: Sequence[Tensor]) -> "PreparedLayer | None":
    """Prepares one layer: `make_pass_inputs` checks all that its loop reads."""
    tensors = rnn.tensors(suffix)
    check_weights(tensors, rnn.tensor_shapes(x.shape[-1]), rnn._keys, suffix, x)
    version, storage = rnn._kept_panels.find([*tensors.values()]), rnn.choose_storage(x.dtype) or x.dtype
    if version is None or version.expired:
        return None
    made = fuse_inputs(rnn.cell, rnn.bias, len(x), x.shape[1], rnn.hidden_size, trains=False)
    with torch.no_grad():
        operands = recurrence_operands(made, x, rnn.hidden_size, tensors, wide_vectors=True)
        inputs = make_pass_inputs(made, compiled, False, len(x), [t if t is None else align(t) for t in (*operands, *states)]).widen()
    arguments = compiled.prepare_forward(inputs, version.find(made, storage), storage)
    return None if arguments is None else PreparedLayer(rnn, suffix, version, inputs, arguments, build_library(made, storage))


class PreparedLayer:
    """One layer of a prepared call: the arguments of its loop, and what must stand for them to be used again."""

    def __init__(self, rnn: "RNN", suffix: str, version: Version, inputs: PassInputs, arguments: PassArguments, library: Any):
        self.plan, self.version, self.arguments = inputs.plan, version, arguments
        self.words, self.pointer = arguments.words, arguments.pointer
        self.forward, self.dtype = library.forward, inputs.states[0].dtype
        self.names = {name: key + suffix for name, key in rnn._keys.items()}
        self.stamps = dict(zip(self.names.values(), make_stamp([*rnn.tensors(suffix).values()]) or (), strict=True))
        self.read = inputs.vectors, inputs.states, [b for _, _, b in inputs.projections]  # by the loop, where they are
        self.shape = *inputs.rows, inputs.shape[2]
        starts, projections = arguments.starts, inputs.layout.projections
        nodes: list[tuple[int, Node | None, bool]] = [
            (starts["inputs"] + f, p.operand, p.operand_index >= 0) for f, p in enumerate(projections)
        ]
        for k, i in enumerate(inputs.layout.elementwise_terms, starts["hoisted"] + len(projections)):
            nodes.append((k, self.plan.terms[i].hoisted, True))
        given = self.plan.graph.leaf("x", "x", "D")
        self.input_words = [k for k, node, _ in nodes if node is given]
        self.value_words = [slot for slot in nodes if slot[1] is not given]
        kept = [arguments.words[starts["keeps"] + k] for k in range(len(inputs.states))]
        self.initial, self.history = starts["initial"], starts["history"]
        self.finals = [starts["finals" if keeps else "history"] + k for k, keeps in enumerate(kept)]  # kept states are copied from the last

    def stands(self, parameters: Mapping[str, Tensor | None]) -> bool:
        """Returns whether the parameters are those that the call was prepared for."""
        for name, (address, version, shape, stride, dtype) in self.stamps.items():
            t = parameters.get(name)
            if t is None or t.data_ptr() != address or t._version != version:
                return False
            if t.shape != shape or t.stride() != stride or t.dtype != dtype:
                return False
        return not self.version.expired

    def __call__(self, parameters: Mapping[str, Any], x: Tensor, initial: Sequence[int], y: int, finals: Sequence[int]) -> bool:
        """Runs the loop; returns False if a parameter turns out to have changed.

        Args:
            parameters: those of the `RNN`.
            x: the input, contiguous. The loop reads and writes everything in its own dtype.
            initial: the addresses of the initial states. Empty: those that the call was prepared with
            y: the address of the output.
            finals: the addresses of the final states.
        """
        wide, words = x.to(self.dtype), self.words
        address = wide.data_ptr()
        for k in self.input_words:
            words[k] = address
        if self.value_words:
            T, B, H = self.shape
            bound = bind(self.plan, {name: parameters[key] for name, key in self.names.items()})
            values = GraphEvaluator(bind_inputs(self.plan, x.view(T, B, -1)), bound)
            found = [values[node].to(self.dtype).expand(T, B, H if is_term else -1).contiguous() for _, node, is_term in self.value_words]
            for (k, _, _), value in zip(self.value_words, found, strict=True):
                words[k] = value.data_ptr()
        words[self.history] = y
        for k, final in zip(self.finals, finals, strict=True):
            words[k] = final
        for k, state in enumerate(initial, self.initial):
            words[k] = state
        words[TURN] += 1
        if self.forward(self.pointer):
            self.version.expired = True
            return False
        return True


class PreparedCall:
    """All layers of a call, prepared.

    Args:
        input: an input of the shape and dtype.
        finals: the shape of the final states.
    """

    def __init__(self, layers: list[PreparedLayer], input: Tensor, finals: tuple[int, ...]):
        self.layers, self.finals, self.dtype = layers, finals, input.dtype
        self.wide = layers[0].dtype
        one = input.new_empty(1, dtype=self.wide)  # `empty_like` of an expanded tensor is faster than `empty` of a shape
        self.output, self.final = one.expand(*input.shape[:-1], finals[-1]), one.expand(finals)
        self.count, self.bytes = len(layers[0].plan.states), self.final[0].numel() * one.element_size()

    def __call__(self, parameters: Mapping[str, Any], x: Tensor, states: Sequence[Tensor]) -> tuple[Tensor, Hidden] | None:
        """Returns the output and the final states; None if the parameters have changed, or the states are not as they must be.

        Args:
            parameters: those of the `RNN`.
            x: the input.
            states: the initial states, if the call was prepared for one that is given some.
        """
        if len(states) not in (0, self.count) or any(s.shape != self.finals or s.dtype != self.dtype for s in states):
            return None
        for layer in self.layers:
            if not layer.stands(parameters):
                return None
        if self.wide != self.dtype:
            states = [s.to(self.wide) for s in states]
        finals = [torch.empty_like(self.final) for _ in range(self.count)]
        initial, ends = [s.data_ptr() for s in states], [s.data_ptr() for s in finals]
        for k, layer in enumerate(self.layers):
            if k:
                initial, ends = [address + self.bytes for address in initial], [address + self.bytes for address in ends]
            y = torch.empty_like(self.output)
            if not layer(parameters, x, initial, y.data_ptr(), ends):
                return None
            x = y.to(self.dtype)
        if self.wide != self.dtype:
            finals = [s.to(self.dtype) for s in finals]
        return x, tuple(finals) if self.count > 1 else finals[0]
