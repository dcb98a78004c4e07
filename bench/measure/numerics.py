"""Describes the numerics of a backend and the work inside its timed call, from its code and from torch's current flags.

Sources: `kernels/`; torch's notes on numerical accuracy for cuBLAS; for cuDNN what torch requests (`promote_rnn_math_type` in
pytorch/aten/src/ATen/native/cudnn/RNN.cpp selects float32 for 16-bit operands, and TF32 follows `torch.backends.cudnn`) and cuDNN's
documentation, which does not state the dtype of the state within a sequence.

`copies` counts changes of layout of a loop's inputs or outputs, such as batch-major and back. Only `accelerated`, which needs time as the
last dimension, and `pararnn`, which needs the batch first, make any. Not counted: what a call does to weights (kernels/ concatenates
matrices; cuDNN flattens weights if `flat_weights` is False), copies without a change of layout (chunks that `stepwise` replays, rows that
training writes into, gradients that low memory collects, initial states), and the stacking of outputs by eager backends.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from bench.measure.workload import Workload
from bench.records import Case, Numerics
from bench.records.backend_table import TABLE, find_backend
from cells import load
from kernels.derive.cost_formulas import parameter_sizes
from kernels.derive.plan import plan
from kernels.layer.checkpointing import CHUNK
from kernels.layer.select import SCHEDULES, backend_names

UNKNOWN = "not documented"
SIXTEEN = ("float16", "bfloat16")


def describe_numerics(case: Case, workload: Workload) -> Numerics | None:
    """Describes the work and numerics of a case, from torch's flags at the time of the call. Returns None for a user's backend."""
    backend, _, memory = case.backend.partition("-")
    if not (backend in TABLE or SCHEDULES.get(backend)) or memory not in ("", "low"):
        return None
    gpu = workload.problem.device.type == "cuda"
    tf32 = gpu and case.dtype == "float32" and is_tf32_allowed(backend)
    operands = "float32, matrices in int8" if backend == "int8" else case.dtype
    return Numerics(
        outputs="all", copies=backend in ("accelerated", "pararnn"), operands=operands, tf32_hoisted=tf32, tf32_recurrent=tf32,
        biases=count_biases(case, backend),
        accumulators=find_accumulator(backend, case.dtype, gpu), state=find_state_type(backend, case, gpu, memory == "low"),
        flat_weights=is_flat(workload.learned) if backend == "vendor" and gpu else None,
    )  # fmt: skip


def is_tf32_allowed(backend: str) -> bool:
    """Returns whether float32 products may use TF32. cuDNN has its own flag; `persistent` follows that of cuBLAS."""
    return torch.backends.cudnn.allow_tf32 if backend == "vendor" else torch.backends.cuda.matmul.allow_tf32


def count_biases(case: Case, backend: str) -> int:
    """Returns the number of bias vectors per gate, two in a layer of torch.nn's cells, ours or torch's; with a precomputed input
    projection, those left in the loop. A GRU that resets after its product has one more in its candidate, as in its equation."""
    if not any(name.startswith("b.") for name in parameter_sizes(plan(load(case.cell)))):
        return 0
    if not case.input_product:
        return int(any(node.op == "b" for node in plan(load(case.cell)).vector_values))
    return 2 if load(case.cell).torch_equivalent and (backend == "vendor" or backend in backend_names()) else 1


def find_accumulator(backend: str, dtype: str, gpu: bool) -> str:
    """Returns the dtype that accumulates a product. cuBLAS, which runs all products outside cuDNN and outside the loop of `persistent`, may
    split a sum; for 16 bits torch lets it add the parts in the dtype of the operands."""
    if dtype not in SIXTEEN:
        return dtype
    if not gpu:
        return "float32" if backend in ("compiled", "auto") else UNKNOWN
    if backend == "vendor":
        return "float32"
    words = "float32" if backend == "persistent" else f"float32, each product rounded to {dtype}"
    matmul = torch.backends.cuda.matmul
    split = matmul.allow_fp16_reduced_precision_reduction if dtype == "float16" else matmul.allow_bf16_reduced_precision_reduction
    return f"{words}; cuBLAS may add parts in {dtype}" if split else words


def find_state_type(backend: str, case: Case, gpu: bool, low: bool) -> str:
    """Returns the dtype of the state between steps. Later products and the backward pass read it in the dtype of the operands."""
    if backend == "vendor":
        return UNKNOWN if case.dtype in SIXTEEN else case.dtype
    if case.dtype == "float64" or not find_backend(backend).float32_state:
        return case.dtype
    return f"float32, rounded to {case.dtype} every {CHUNK} steps" if low and case.dtype in SIXTEEN else "float32"


def is_flat(learned: Sequence[Tensor]) -> bool:
    """Returns whether all weights lie in one block of memory, as cuDNN needs them. Otherwise torch copies them in every call and warns."""
    return len({tensor.untyped_storage().data_ptr() for tensor in learned}) == 1
