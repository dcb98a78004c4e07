"""torch.onnx.export by both exporters: the operators of the file, and its numbers in onnxruntime, at another T and B than the example's."""

import io
import warnings
from collections import Counter
from collections.abc import Iterator

import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from cells.grammar.functions import maximum, prev, softplus, tanh, where
from kernels import RNN
from kernels.layer import custom_op, onnx_operators
from tests.reference import error
from tests.sampling import in_full
from tests.tolerances import TOLERANCE

T, B, D, H = 5, 3, 4, 6


def own(h, c, x, W, b, p):
    u = where(tanh(W.u(x) + W.h(h)) > 0.1, softplus(W.v(prev(x)) + b.u), maximum(c, 0.25))
    return tanh(u * p.o + W.c(c * h)), u


def without_input(h, c, x, W):
    return tanh(W.h(h) + W.c(c)), h


MORE = ("wave", {}), ("slstm", {}), (without_input, {})
"""A stencil, heads, and no input; by dynamo each adds a second to an export."""


def flat(result: tuple) -> list[Tensor]:
    return [part for given in result for part in (given if isinstance(given, tuple) else (given,))]


class Layers(nn.Module):
    """Layers of many options that read one input; the first one is given its initial states."""

    def __init__(self, *more: tuple) -> None:
        super().__init__()
        self.given = RNN("lstm", D, H, 2, batch_first=True)
        options: list[tuple] = [("gru", {"backend": "eager", "bias": False}), ("vanilla", {"backend": "torch", "bidirectional": True})]
        options += [("minimal", {"bidirectional": True}), ("cfn", {"memory": "low"}), (own, {"bias": False}), *more]
        self.layers = nn.ModuleList(RNN(cell, D, 8, **kind) for cell, kind in options)

    def forward(self, x: Tensor, h: Tensor) -> list[Tensor]:
        return [*flat(self.given(x.transpose(0, 1), (h, h * 2))), *(part for layer in self.layers for part in flat(layer(x)))]


@pytest.fixture(autouse=True)
def without_warnings() -> Iterator[None]:
    """The exporters warn about themselves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def export(model: nn.Module, inputs: tuple, dynamo: bool) -> bytes:
    """A model as an ONNX file, with T and B free in an input (T, B, D), and the second axis of initial states."""
    file, names = io.BytesIO(), ["x", "h"][: len(inputs)]
    if dynamo:
        rows = torch.export.Dim("rows")
        shapes = ({0: torch.export.Dim("steps"), 1: rows}, {1: rows})[: len(inputs)]
        torch.onnx.export(model, inputs, dynamo=True, dynamic_shapes=shapes, input_names=names, verbose=False).save(file)
    else:
        axes = {"x": {0: "steps", 1: "rows"}, "h": {1: "rows"}}
        torch.onnx.export(model, inputs, file, dynamo=False, input_names=names, dynamic_axes={name: axes[name] for name in names})
    return file.getvalue()


def compare(file: bytes, model: nn.Module, inputs: tuple) -> None:
    session = onnxruntime.InferenceSession(file)
    found = session.run(None, {node.name: tensor.numpy() for node, tensor in zip(session.get_inputs(), inputs, strict=True)})
    right = flat(model(*inputs))
    assert len(found) == len(right)
    for value, reference in zip(found, right, strict=True):
        assert value.shape == reference.shape
        assert error(torch.from_numpy(value), reference.detach()) <= TOLERANCE["schedule", torch.float32]


def operators(file: bytes) -> Counter[str]:
    """The operators of a file that run more than one time step."""
    kinds = Counter(node.op_type for node in onnx.load_from_string(file).graph.node)
    return Counter({kind: count for kind, count in kinds.items() if kind in ("LSTM", "GRU", "RNN", "Scan", "Loop")})


@pytest.mark.parametrize(("dynamo", "more"), [in_full(True, MORE[:1], id="dynamo"), pytest.param(False, MORE, id="TorchScript")])
def test_every_kind_of_cell(dynamo, more):
    """torch's cells as ONNX's operators, others as a loop, whatever backend they have; T and B are free."""
    model = Layers(*more).eval()
    file = export(model, (torch.randn(T, B, D), torch.randn(2, B, H)), dynamo)
    assert operators(file) == {"LSTM": 2, "GRU": 1, "RNN": 2, "Scan" if dynamo else "Loop": 4 + len(more)}
    compare(file, model, (torch.randn(9, 2, D), torch.randn(2, 2, H)))
    compare(file, model, (torch.randn(1, 1, D), torch.randn(2, 1, H)))


class Tagger(nn.Module):
    """A layer among others."""

    def __init__(self, cell: str) -> None:
        super().__init__()
        self.embed, self.rnn, self.out = nn.Linear(D, D), RNN(cell, D, H), nn.Linear(H, 2)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (self.out(self.rnn(self.embed(x).relu())[0]),)


def free_program(model: nn.Module) -> torch.export.ExportedProgram:
    free = torch.export.Dim.DYNAMIC
    return torch.export.export(model, (torch.randn(T, B, D),), dynamic_shapes=({0: free, 1: free},))


@pytest.mark.full
@pytest.mark.parametrize(("cell", "operator"), [("lstm", "LSTM"), ("wave", "Scan")])
def test_an_exported_program(cell, operator):
    """An ExportedProgram becomes the same file as its model."""
    model, file = Tagger(cell).eval(), io.BytesIO()
    torch.onnx.export(free_program(model), dynamo=True, verbose=False).save(file)
    assert operators(file.getvalue()) == {operator: 1}
    compare(file.getvalue(), model, (torch.randn(9, 2, D),))


def test_the_decomposition_is_of_an_export(monkeypatch):
    """The operator of this package stays in a graph that is decomposed for anything but ONNX."""
    program = free_program(RNN("gru", D, H))
    for exporting in (False, True):
        monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda exporting=exporting: exporting)
        decomposed = program.run_decompositions({torch.ops.recurrent_bench.recurrence.default: custom_op.decompose})
        found = {str(node.target).partition(".")[0] for node in decomposed.graph.nodes}
        assert ("onnx_symbolic" in found, "recurrent_bench" in found) == (exporting, not exporting)
    assert torch._decomp.decomposition_table[torch.ops.recurrent_bench.recurrence.default] is custom_op.decompose


class Padded(nn.Module):
    """A layer with lengths."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = RNN("gru", D, H)

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(x, lengths=[T, 1, 2])[0]


def test_lengths_are_refused(monkeypatch):
    """They would be constants; torch.jit.trace is the TorchScript-based exporter's first step, and the other one sets a flag."""
    with pytest.raises(RuntimeError, match=r"lengths of the example .*: export the layer on a padded batch without lengths"):
        export(Padded(), (torch.randn(T, B, D),), False)
    packed = nn.utils.rnn.pack_padded_sequence(torch.randn(T, B, D), [5, 4, 1])
    with pytest.raises(RuntimeError, match="lengths of the example"):
        torch.jit.trace(lambda data: RNN("minimal", D, H)(packed._replace(data=data))[0].data, packed.data)
    monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: True)
    with pytest.raises(RuntimeError, match="lengths of the example"):
        RNN("minimal", D, H)(packed)


def test_every_mode_of_torch_has_an_operator():
    assert {RNN(name, D, H).mode for name in ("lstm", "gru", "vanilla", "vanilla_relu")} == onnx_operators.OPERATORS.keys()
