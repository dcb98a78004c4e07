"""Checks the arguments of a layer's call as nn.LSTM does, and brings them into the layout (T, B, D) of the schedules."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from kernels.schedules.interface import describe, describe_tensor

if TYPE_CHECKING:
    from kernels.layer.rnn import RNN

Hidden = Tensor | tuple[Tensor, ...]

NO_STEPS = "Expected sequence length to be larger than 0 in RNN"


def batched_input(rnn: "RNN", input: Any, hx: Hidden | None) -> tuple[Tensor, Sequence[Tensor], bool]:
    """Returns x as (T, B, D), the states as (num_layers · directions, B, H), and whether the input had a batch dimension."""
    if not isinstance(input, Tensor):
        graph = ": torch.fx needs the layer as a leaf, Tracer.is_leaf_module, or use torch.export" * (type(input).__name__ == "Proxy")
        raise TypeError(f"expected a tensor or a PackedSequence, got {type(input).__name__}{graph}")
    check_layout(input)
    if input.dim() not in (2, 3):
        raise ValueError(f"RNN: Expected input to be 2D or 3D, got {input.dim()}D instead")
    input = check_input(rnn, input)
    batched = input.dim() == 3
    x = input.unsqueeze(1) if not batched else input.transpose(0, 1) if rnn.batch_first else input
    if x.size(0) == 0:
        raise RuntimeError(NO_STEPS)
    given = initial_states(rnn, x, x.size(1), hx, batched)
    return x, given if batched else [s.unsqueeze(1) for s in given], batched


def check_layout(input: Tensor) -> None:
    """Raises RuntimeError for a nested or sparse tensor."""
    if input.is_nested:
        raise RuntimeError("a layer takes no nested tensor: pack its sequences, pack_sequence(input.unbind(), enforce_sorted=False)")
    if input.layout != torch.strided:
        raise RuntimeError(f"Expected input to be dense, got {input.layout}: call .to_dense()")


def packed_input(rnn: "RNN", input: PackedSequence, hx: Hidden | None) -> tuple[Tensor, Sequence[Tensor]]:
    """Returns the packed rows (N, D), and the states as (num_layers · directions, B, H) in the caller's order of sequences."""
    x = check_input(rnn, input.data)
    return x, initial_states(rnn, x, int(input.batch_sizes[0]), hx, True)


def check_input(rnn: "RNN", input: Tensor) -> Tensor:
    """Checks that the input (…, D) has the dtype and device of the weights, and returns it."""
    input, (name, weight) = cast(rnn, input), first_weight(rnn)
    if weight is not None and input.dtype != weight.dtype:
        raise ValueError(
            f"RNN input dtype ({input.dtype}) does not match weight dtype ({weight.dtype}, {name}). "
            f"Convert input: input.to({weight.dtype}), or convert model: model.to({input.dtype})"
        )
    if weight is not None and input.device != weight.device:
        raise RuntimeError(
            f"Input and parameter tensors are not at the same device: {input.device}, {name} at {weight.device}. "
            f"Move the input, input.to({str(weight.device)!r}), or the module"
        )
    if input.size(-1) != rnn.input_size:
        raise RuntimeError(f"input.size(-1) must be equal to input_size. Expected {rnn.input_size}, got {input.size(-1)}")
    return input


def check_weights(
    weights: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], keys: Mapping[str, str], suffix: str, x: Tensor
) -> None:
    """Raises an error unless the weights of a layer are what its loop reads, Parameters or not.

    Args:
        weights: the tensors by name.
        shapes: the shape of each.
        keys: the attribute of the layer that each is, without the suffix.
        suffix: the layer and direction, for the message.
        x: the input of the layer, for dtype and device.

    Raises:
        TypeError: one is no tensor.
        RuntimeError: one has the wrong shape, dtype, device or layout.
    """
    dtype, device = x.dtype, x.device
    for name, shape in shapes.items():
        weight = weights[name]
        if not isinstance(weight, Tensor):
            raise TypeError(f"{keys[name]}{suffix} is a {type(weight).__name__}: set it to a tensor of shape {shape}")
        if weight.shape != shape or weight.dtype != dtype or weight.device != device or weight.layout != torch.strided:
            raise RuntimeError(
                f"Expected {keys[name]}{suffix} to be {describe(shape, dtype, device)}, got {describe_tensor(weight)}: convert it"
            )


def cast(rnn: "RNN", given: Tensor) -> Tensor:
    """Casts a tensor to the dtype of the weights under autocast, since the loops compute in that dtype."""
    return given.to(weights_dtype(rnn, given)) if given.is_floating_point() and is_autocast_on(given.device.type) else given


def weights_dtype(rnn: "RNN", given: Tensor) -> torch.dtype:
    """Returns the dtype of the weights, that of a given tensor if there are none."""
    weight = first_weight(rnn)[1]
    return given.dtype if weight is None else weight.dtype


def first_weight(rnn: "RNN") -> tuple[str, Tensor | None]:
    """Returns the name of the first weight, and the weight; None if the cell has none, or it is no tensor."""
    name = next((key + "_l0" for key in rnn._keys.values()), "")
    weight = getattr(rnn, name) if name else None
    return name, weight if isinstance(weight, Tensor) else None


def is_traced() -> bool:
    """Returns whether torch.jit.trace, or torch.onnx.export based on it, records what runs."""
    return not torch.compiler.is_compiling() and torch._C._is_tracing()


def is_autocast_on(kind: str) -> bool:
    """Returns whether autocast is on for a type of device.

    torch raises for a type without autocast, as meta, and Dynamo of torch 2.11 can't trace `is_autocast_available`.
    """
    known = kind != "meta" if torch.compiler.is_compiling() else torch.amp.is_autocast_available(kind)
    return known and torch.is_autocast_enabled(kind)


def initial_states(rnn: "RNN", x: Tensor, B: int, hx: Hidden | None, batched: bool) -> Sequence[Tensor]:
    """Returns the given initial states, or those that the cell starts with.

    Args:
        x: the input, for dtype and device.
        B: the batch size.
        hx: the given states, (num_layers · directions, B, H) each, or without B if not `batched`.
        batched: whether the input has a batch dimension.

    Raises:
        TypeError: a state is no tensor.
        RuntimeError: there are too many or too few states, or one has the wrong shape, dtype or device.
    """
    count = rnn.num_layers * rnn.directions
    expected = (count, B, rnn.hidden_size) if batched else (count, rnn.hidden_size)
    if hx is None:
        return rnn.cell.initial(x, *expected)
    names = rnn.cell.states
    given = [hx] if isinstance(hx, Tensor) else hx
    if not isinstance(given, (tuple, list)):
        raise TypeError(f"hx is a {type(given).__name__}: give {' and '.join(names)}, a tensor for one state, a tuple of them for several")
    if len(given) != len(names):
        raise RuntimeError(f"{rnn.cell.name} has the states {', '.join(names)}: got {len(given)} of {len(names)}")
    for name, state in zip(names, given, strict=True):
        if not isinstance(state, Tensor):
            raise TypeError(f"hx has a {type(state).__name__} for {name}: give a tensor of shape {expected}, or no hx at all")
        if state.dim() != len(expected):
            kind = "batched 3-D" if batched else "unbatched 2-D"
            raise RuntimeError(
                f"For {kind} input, {name} should also be {len(expected)}-D but got {state.dim()}-D tensor: give it the shape {expected}"
            )
    given = tuple(cast(rnn, state) for state in given)
    for name, state in zip(names, given, strict=True):
        if tuple(state.shape) != expected:
            raise RuntimeError(f"Expected hidden size {expected} for {name}, got {list(state.shape)}")
        if state.layout != torch.strided:
            raise RuntimeError(f"Expected {name} to be dense, got {state.layout}: call .to_dense()")
        if state.dtype != x.dtype or state.device != x.device:
            raise RuntimeError(f"Expected {name} to be {describe(expected, x.dtype, x.device)}, got {describe_tensor(state)}: convert it")
    return given


def previous_input(rnn: "RNN", before: Tensor, x: Tensor, batched: bool) -> Tensor:
    """Checks the input (B, D) one step before x (T, B, D), and returns it."""
    if rnn.num_layers * rnn.directions > 1:
        raise ValueError("before takes a single layer in one direction: give a deeper one its whole sequence")
    if not isinstance(before, Tensor):
        raise TypeError(f"before is a {type(before).__name__}: give a tensor, the input of the step before the first")
    before = cast(rnn, before if batched else before.unsqueeze(0))
    if before.shape != x.shape[1:] or before.dtype != x.dtype or before.device != x.device or before.layout != torch.strided:
        raise RuntimeError(
            f"Expected before to be {describe(tuple(x.shape[1:]), x.dtype, x.device)}, got {describe_tensor(before)}: convert it"
        )
    return before
