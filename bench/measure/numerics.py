"""The numerics of a backend, and the work inside its time: from its code, and from torch's flags as they stand now.

Sources: `kernels/`; torch's notes on numerical accuracy, for cuBLAS; for cuDNN what torch asks of it (RNN.cpp in
pytorch/aten/src/ATen/native/cudnn: `promote_rnn_math_type` makes it float32 for 16-bit operands, and TF32 follows
`torch.backends.cudnn`) and cuDNN's documentation, which doesn't say what the state is carried in within a sequence.

`copies` are of what goes into a loop or comes out of it to another layout, such as batch-major and back: `accelerated` alone makes
any, as it takes time last. Not among them is what a call does to its weights (ours join the matrices of one product; cuDNN, where
`flat_weights` is False, puts all into one block), what is copied as it lies (chunks that `stepwise` replays, rows that training writes
into, gradients that low memory gathers, sequences that get an initial state), and that eager backends stack their outputs.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from bench.measure.backends import Workload
from bench.records import Case, Numerics
from bench.records.backend_table import TABLE, find_backend
from cells import load
from kernels.derive.cost_formulas import parameter_sizes
from kernels.derive.plan import plan
from kernels.layer.checkpointing import CHUNK
from kernels.layer.select import SCHEDULES

UNKNOWN = "not documented"
SIXTEEN = ("float16", "bfloat16")


def describe_numerics(case: Case, workload: Workload) -> Numerics | None:
    """Describe what a call of the case does. Reads torch's flags as they stand when the case is timed. None for a backend that isn't
    one of this project's."""
    backend, _, memory = case.backend.partition("-")
    if not (backend in TABLE or SCHEDULES.get(backend)) or memory not in ("", "low"):
        return None
    gpu = workload.problem.device.type == "cuda"
    tf32 = gpu and case.dtype == "float32" and is_tf32_allowed(backend)
    return Numerics(
        outputs="all", copies=backend == "accelerated", operands=case.dtype, tf32_hoisted=tf32, tf32_recurrent=tf32,
        biases=count_biases(case, backend),
        accumulators=accumulator_type(backend, case.dtype, gpu), state=state_type(backend, case, gpu, memory == "low"),
        flat_weights=is_flat(workload.learned) if backend == "vendor" and gpu else None,
    )  # fmt: skip


def is_tf32_allowed(backend: str) -> bool:
    """Return whether float32 may be multiplied in tf32: cuDNN has a flag of its own; `persistent` does what cuBLAS does."""
    return torch.backends.cudnn.allow_tf32 if backend == "vendor" else torch.backends.cuda.matmul.allow_tf32


def count_biases(case: Case, backend: str) -> int:
    """Vectors added for a gate; where the rows in front of the loop are given, those left in the loop. A GRU that resets after its
    product has one more in its candidate, as its equation has."""
    if not any(name.startswith("b.") for name in parameter_sizes(plan(load(case.cell)))):
        return 0
    if not case.input_product:
        return int(any(node.op == "b" for node in plan(load(case.cell)).vector_values))
    return 2 if backend == "vendor" else 1


def accumulator_type(backend: str, dtype: str, gpu: bool) -> str:
    """Return the type that accumulates the terms of a product. cuBLAS, which runs every product outside of cuDNN and of `persistent`'s
    loop, may split a sum; in 16 bit torch lets it add the parts in the operands' type."""
    if dtype not in SIXTEEN:
        return dtype
    if not gpu:
        return UNKNOWN
    if backend == "vendor":
        return "float32"
    words = "float32" if backend == "persistent" else f"float32, each product rounded to {dtype}"
    matmul = torch.backends.cuda.matmul
    split = matmul.allow_fp16_reduced_precision_reduction if dtype == "float16" else matmul.allow_bf16_reduced_precision_reduction
    return f"{words}; cuBLAS may add parts in {dtype}" if split else words


def state_type(backend: str, case: Case, gpu: bool, low: bool) -> str:
    """Return the type of the state between steps. What later products and the backward pass read of it has the operands' dtype."""
    if backend == "vendor":
        return UNKNOWN if gpu and case.dtype in SIXTEEN else case.dtype
    if not find_backend(backend).float32_state:
        return case.dtype
    return f"float32, rounded to {case.dtype} every {CHUNK} steps" if low and case.dtype in SIXTEEN else "float32"


def is_flat(learned: Sequence[Tensor]) -> bool:
    """Return whether all lie in one block of memory, as cuDNN takes them. Otherwise torch copies them into one in every call, and warns."""
    return len({tensor.untyped_storage().data_ptr() for tensor in learned}) == 1
