"""What is declared of a backend's work, held to what it does."""

from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import cells
from bench.measure import numerics
from bench.measure.backends import Unsupported, Workload, build_workload, flatten_weights
from bench.measure.numerics import describe_numerics
from bench.measure.problem import make_problem
from kernels.derive.plan import plan
from tests.records import case

T, B, D, H = 13, 7, 5, 11
GPU = torch.device("cuda", 0)
HERE = ["eager", "eager-low", "compiled", "compiled-low", "vendor", "torchrecurrent"]


@pytest.fixture(autouse=True)
def flags():
    """torch's two, as a run in float32 has them, and as they were again."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def given(cell: str, backend: str, dtype: str = "float32", input_product: bool = True) -> Workload:
    try:
        return build_workload(backend, make_problem(cell, T, B, D, H, dtype, "cpu", 0), input_product)
    except (Unsupported, KeyError) as reason:
        pytest.skip(str(reason))


def elsewhere(*learned: torch.Tensor) -> SimpleNamespace:
    """A workload on a GPU, of which only its learned tensors are here."""
    return SimpleNamespace(problem=SimpleNamespace(device=GPU), learned=learned)


class Layouts(TorchDispatchMode):
    """Notes every copy of a sequence (T, B, ·) or a state (B, H) from one order of its dimensions into another."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, op, types, arguments=(), options=None):
        result = op(*arguments, **(options or {}))
        name = op.overloadpacket.__name__
        if name in ("copy_", "clone", "_to_copy", "contiguous"):
            target, source = (arguments[0], arguments[1]) if name == "copy_" else (result, arguments[0])
            if source.numel() in (T * B * D, T * B * H, B * H) and order(source) != order(target):
                self.found.append(f"{name} {tuple(source.shape)}")
        return result


def order(tensor: torch.Tensor) -> list[int]:
    """The dimensions from the outermost in memory to the innermost, without those of length 1."""
    return sorted((d for d in range(tensor.dim()) if tensor.shape[d] > 1), key=lambda d: -tensor.stride(d))


@pytest.mark.parametrize("mode", ["training", "inference"])
@pytest.mark.parametrize("backend", HERE)
@pytest.mark.parametrize("cell", ["lstm", "gru", "minimal"])
def test_no_input_state_or_output_is_copied_to_another_layout(cell, backend, mode):
    workload = given(cell, backend)
    with Layouts() as seen:
        (workload.train if mode == "training" else workload.infer)()
    assert bool(seen.found) == describe_numerics(case(cell, backend, mode), workload).copies is False


def test_a_batch_major_layer_would_be_seen():
    layer = torch.nn.LSTM(D, H, batch_first=True)
    with Layouts() as seen:
        layer(torch.randn(T, B, D).transpose(0, 1).contiguous())
    assert seen.found


@pytest.mark.parametrize("backend", HERE)
def test_all_outputs_are_computed(backend):
    workload = given("minimal" if backend == "torchrecurrent" else "lstm", backend)
    assert describe_numerics(case("lstm", backend), workload).outputs == "all"
    assert workload.infer().shape == (T, B, H)


@pytest.mark.parametrize("backend", ["eager", "compiled", "vendor"])
def test_biases_are_as_many_as_there_are_vectors_to_a_gate(backend):
    """Counted where each has a gradient; of torch.nn's two it is the same one, for they are only ever added."""
    workload = given("lstm", backend)
    gradients = [g for g, v in zip(workload.train()[1:], workload.learned, strict=True) if v.dim() == 1]
    assert sum(g.numel() for g in gradients) == describe_numerics(case("lstm", backend), workload).biases * 4 * H
    assert all(g.abs().max() > 0 for g in gradients)
    if backend == "vendor":
        assert torch.equal(*gradients)


@pytest.mark.parametrize("cell", cells.DEFAULT)
def test_given_rows_hold_the_biases_but_those_of_the_loop(cell):
    workload = given(cell, "compiled", input_product=False)
    left = describe_numerics(case(cell, "compiled", input_product=False), workload).biases
    assert left == int(cell == "gru")
    assert sum(n.op == "b" for n in plan(cells.load(cell)).vector_values) == left


@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize("backend", ["eager", "stepwise", "persistent", "persistent-low", "vendor", "torchrecurrent"])
def test_tf32_is_what_torch_is_set_to(backend, allowed):
    """cuDNN by its own flag, all others by cuBLAS's; 16 bit knows none."""
    cublas, cudnn = (not allowed, allowed) if backend == "vendor" else (allowed, not allowed)
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = cublas, cudnn
    float32 = describe_numerics(case(backend=backend), elsewhere())
    assert float32.tf32_hoisted == float32.tf32_recurrent == allowed
    assert not describe_numerics(case(backend=backend, dtype="bfloat16"), elsewhere()).tf32_recurrent


def test_a_cpu_has_no_tf32():
    torch.backends.cuda.matmul.allow_tf32 = True
    assert not describe_numerics(case("lstm", "compiled", precision="tf32"), given("lstm", "compiled")).tf32_hoisted


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("allowed", [True, False])
def test_accumulators_in_16_bit(monkeypatch, dtype, allowed):
    """cuBLAS's parts are added in what torch allows for that very dtype."""
    matmul, short = torch.backends.cuda.matmul, {"float16": "fp16", "bfloat16": "bf16"}
    name = f"allow_{short[dtype]}_reduced_precision_reduction"
    before = getattr(matmul, name)
    try:
        setattr(matmul, name, allowed)
        found = {
            b: describe_numerics(case(backend=b, dtype=dtype), elsewhere()).accumulators
            for b in ("stepwise", "persistent", "vendor", "eager")
        }
    finally:
        setattr(matmul, name, before)
    parts = f"; cuBLAS may add parts in {dtype}" if allowed else ""
    rounded = f"float32, each product rounded to {dtype}{parts}"
    assert found == {"stepwise": rounded, "persistent": f"float32{parts}", "vendor": "float32", "eager": rounded}


def test_a_product_in_16_bit_is_rounded_where_it_is_said_to_be():
    """`stepwise` multiplies into a tensor of the operands' dtype and carries its states in float32; `eager` carries what it computes."""
    steps = pytest.importorskip("kernels.schedules.stepwise.steps")
    from kernels.schedules.persistent.persistent import random_inputs
    from kernels.schedules.persistent.tiling import Pass

    made = plan(cells.load("lstm"))
    loop = random_inputs(Pass(made, "forward", B, H, torch.float16, False), 3, torch.device("cpu"))
    forward = steps.ForwardSteps(loop, loop.allocate_result())
    assert {p.dtype for p in forward.products} == {torch.float16} and {c.dtype for c in forward.carried} == {torch.float32}
    assert describe_numerics(case("lstm", "stepwise", dtype="float16"), elsewhere()).state == "float32"
    workload = given("lstm", "eager", "float16")
    assert {str(s.dtype) for s in workload.forward(workload.inputs, workload.states)[1]} == {"torch.float16"}
    assert describe_numerics(case("lstm", "eager", dtype="float16"), workload).state == "float16"


@pytest.mark.parametrize(
    ("backend", "dtype", "state"),
    [("compiled", "float64", "float64"), ("persistent", "bfloat16", "float32"), ("stepwise", "float32", "float32"),
     ("persistent-low", "bfloat16", "float32, rounded to bfloat16 every 128 steps"), ("stepwise-low", "float32", "float32"),
     ("vendor", "float32", "float32"), ("vendor", "bfloat16", "not documented"), ("torchrecurrent", "float16", "float16"),
     ("fla_chunk", "bfloat16", "float32"), ("fla_recurrent", "float16", "float32"), ("accelerated", "bfloat16", "bfloat16")],
)  # fmt: skip
def test_carried_state(backend, dtype, state):
    assert describe_numerics(case(backend=backend, dtype=dtype), elsewhere()).state == state


def test_rows_of_one_dtype_and_precision_are_alike():
    found = [describe_numerics(case(backend=b), elsewhere()) for b in ("eager", "stepwise", "persistent-low", "vendor", "torchrecurrent")]
    assert len({w.comparable for w in found}) == 1
    assert found[0].comparable != describe_numerics(case(dtype="bfloat16", backend="eager"), elsewhere()).comparable


def test_flat_weights_are_one_block():
    """Of cuDNN alone."""
    block = torch.zeros(100)
    assert describe_numerics(case(backend="vendor"), elsewhere(block[:60], block[60:])).flat_weights is True
    assert describe_numerics(case(backend="vendor"), elsewhere(block[:60], torch.zeros(100)[:40])).flat_weights is False
    assert describe_numerics(case(backend="persistent"), elsewhere(block)).flat_weights is None
    assert describe_numerics(case("lstm", "vendor"), given("lstm", "vendor")).flat_weights is None


@pytest.mark.parametrize(("dtype", "flattened"), [(torch.bfloat16, True), (torch.float16, False), (torch.float32, False)])
def test_bfloat16_is_put_into_one_block_where_torch_does_not(monkeypatch, dtype, flattened):
    """With the arguments in the order that torch's own operator has them."""
    names = [argument.name for argument in torch.ops.aten._cudnn_rnn_flatten_weight.default._schema.arguments]
    called = []
    monkeypatch.setattr(torch, "_cudnn_rnn_flatten_weight", lambda *given: called.append(dict(zip(names, given, strict=True))))
    monkeypatch.setattr(torch.backends.cudnn, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.cudnn.rnn, "get_cudnn_mode", {"GRU": 3}.get)
    layer = torch.nn.GRU(D, H)
    weight = SimpleNamespace(is_cuda=True, dtype=dtype, get_device=lambda: -1)
    kept = {k: getattr(layer, k) for k in ("mode", "input_size", "hidden_size", "num_layers", "batch_first", "bidirectional", "parameters")}
    flatten_weights(SimpleNamespace(weight_hh_l0=weight, **kept))
    assert bool(called) == flattened
    if flattened:
        found = called[0]
        assert all(a is b for a, b in zip(found.pop("weight_arr"), layer._flat_weights, strict=True))
        assert found == {
            "weight_stride0": 4, "input_size": D, "mode": 3, "hidden_size": H, "proj_size": 0, "num_layers": 1, "batch_first": False,
            "bidirectional": False,
        }  # fmt: skip


def test_nothing_is_declared_of_what_others_bring():
    for name in ("mine", "mine.py:make", "eager-mine.py:make"):
        assert describe_numerics(case(backend=name), elsewhere()) is None
    assert numerics.find_accumulator("eager", "bfloat16", gpu=False) == "not documented"
