"""Builds the time loop of a plan as a C++ library: prints its step and adjoint in front of `loop.cpp` and compiles them.

T, B, D and H are run-time values. The loop is an object file for each cell and dtype; the products, which no cell changes, are one for each
dtype and storage of packed matrices. A library is linked of two of them. All are stored in the user's cache folder by a hash of source,
compiler and processor: each is built when it is first needed, once on a machine.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import torch

from kernels.derive.adjoint import CPP, adjoint, print_source
from kernels.derive.buffers import layout
from kernels.derive.passes import Passes, split_passes
from kernels.derive.plan import Plan
from kernels.derive.plan_types import Pointwise

HERE = Path(__file__).parent
REAL = {torch.float32: "float", torch.float64: "double"}
NARROW = {torch.bfloat16: "bfloat16", torch.float16: "float16", torch.int8: "int8"}
"""The types of `storage.h` that packed matrices of a float32 loop may have."""
PROJECTION_CHUNK_STEPS = 8
"""Time steps for which input projections are computed at once, ahead of the loop."""
FLAGS = ["-std=c++17", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fopenmp", "-fPIC"]


def compiler() -> str | None:
    """Returns the path of the C++ compiler: $CXX, which may not hold options, else g++ or clang++; None if there is none."""
    return find_compiler(os.environ.get("CXX"), os.environ.get("PATH"))


@cache
def find_compiler(chosen: str | None, path: str | None) -> str | None:
    """Searches `path` once for each setting: a layer that is called step by step asks in every call."""
    return next((found for name in ([chosen] if chosen else ["g++", "clang++"]) if (found := shutil.which(name, path=path))), None)


@cache
def compiler_version(cxx: str) -> str:
    """Returns the first line of the compiler's --version."""
    return subprocess.run([cxx, "--version"], capture_output=True, text=True).stdout.partition("\n")[0]


def cache_folder() -> Path:
    """Returns the folder of compiled loops: in the user's cache, or a temporary one of this process if that is not writable."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "recurrent-bench"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Path(tempfile.mkdtemp(prefix="recurrent-bench-"))
    return folder if os.access(folder, os.W_OK) else Path(tempfile.mkdtemp(prefix="recurrent-bench-"))


def read_headers(dtype: torch.dtype) -> str:
    """Returns what the loops and the products of a dtype both begin with."""
    return "\n".join([f"typedef {REAL[dtype]} real;", *((HERE / name).read_text() for name in ("vector.h", "product.h"))])


def generate_source(plan: Plan, dtype: torch.dtype) -> str:
    """Returns the C++ source for a plan: its tables and functions, then the time loop."""
    buffer_layout = layout(plan)
    kinds = {"state": "STATE", "term": "TERM", "vector": "VECTOR", "stencil_input": "STENCIL"}
    value_buffers = [
        projection.operand_index if projection.operand_index < 0 else len(buffer_layout.projections) + projection.operand_index
        for projection in buffer_layout.projections
    ]
    index = {leaf: i for leaves in (plan.states, plan.term_leaves, plan.vectors, plan.stencil_leaves) for i, leaf in enumerate(leaves)}

    def struct(name: str, f: Pointwise, is_step: bool) -> str:
        leaves = ", ".join(f"{{{kinds[n.op]}, {index[n]}}}" for n in f.inputs)
        functions = write_passes("Evaluate", split_passes(f)) + write_passes("Adjoint", split_passes(adjoint(f)))
        return (
            f"struct {name} {{\nstatic constexpr int count = {len(f.inputs)}, outputs = {len(f.outputs)};\n"
            f"static constexpr bool is_step = {str(is_step).lower()};\nstatic constexpr Leaf inputs[] = {{{leaves}}};\n{functions}}};\n"
        )

    def slot(i: int) -> str:
        buffer, slot = buffer_layout.slots[i]
        term = plan.terms[i]
        return f"{{{buffer}, {slot}, {buffer_layout.widths[buffer]}, {int(term.hoisted is not None)}, {int(bool(term.matrix))}}}"

    def stencil_input(k: int) -> str:
        counts = [len(n.stencil.taps) for n in plan.stencil_inputs]
        return f"{{{plan.stencil_inputs[k].state}, {counts[k]}, {sum(counts[:k])}}}"

    longest = max([len(g.terms) for g in buffer_layout.groups], default=1)
    groups = ", ".join(
        f"{{{g.stage}, {g.state}, {g.computed}, {int(g.runs_stage_function)}, {len(g.terms)}, {{{', '.join(map(str, g.terms))}}}}}"
        for g in buffer_layout.groups
    )
    stencil_inputs = ", ".join(stencil_input(k) for k in range(len(plan.stencil_inputs)))
    stages = [(k, s.argument) for k, s in enumerate(plan.stages) if s.argument]
    rows = max(len(split_passes(g).rows) for f in (plan.step, *(f for _, f in stages)) for g in (f, adjoint(f)))
    return "\n".join([
        read_headers(dtype),
        "namespace {  // keeps equal names in the libraries of several cells apart",
        f"constexpr int STATES = {len(plan.states)}, TERMS = {len(plan.terms)}, GROUPS = {len(buffer_layout.groups)};",
        f"constexpr int COMPUTED = {sum(g.computed >= 0 for g in buffer_layout.groups)}, PROJECTIONS = {len(buffer_layout.projections)};",
        f"constexpr int PROJECTION_CHUNK_STEPS = {PROJECTION_CHUNK_STEPS};",
        f"constexpr int STENCILS = {len(plan.stencil_inputs)}, VECTORS = {len(plan.vectors)};",
        f"constexpr int BUFFERS = {len(buffer_layout.widths)}, ROWS = {rows};  // ROWS: of values between the passes of a function",
        f"constexpr int widths[BUFFERS + 1] = {{{', '.join(map(str, buffer_layout.widths))}}};",
        "// the buffer that holds the input of a projection, or -1",
        f"constexpr int value_buffers[PROJECTIONS + 1] = {{{', '.join(map(str, value_buffers))}}};",
        "enum Kind { STATE, TERM, VECTOR, STENCIL };",
        "struct Leaf { Kind kind; int index; };",
        "struct Slot { int buffer, slot, width; bool hoisted, product; };",
        f"struct Group {{ int stage, state, computed; bool runs_stage_function; int count, terms[{longest}]; }};",
        "struct StencilInput { int state, taps, first; };",
        f"static constexpr StencilInput stencil_inputs[STENCILS + 1] = {{{stencil_inputs}}};",
        f"static constexpr Slot slots[] = {{{', '.join(slot(i) for i in range(len(plan.terms)))}}};",
        f"static constexpr Group groups[GROUPS + 1] = {{{groups}}};",
        (HERE / "passes.h").read_text(),
        *(struct(f"Stage{k}", f, False) for k, f in stages),
        struct("Step", plan.step, True),
        "template <class Body> static void with_stage(int stage, Body body) {",
        *(f"    if (stage == {k}) body(Stage{k}{{}});" for k, _ in stages),
        "}",
        *((HERE / name).read_text() for name in ("checksum.h", "team.h", "outer.h", "thread.h", "loop.cpp")),
    ])  # fmt: skip


def write_passes(name: str, passes: Passes) -> str:
    """Returns the struct of a function's passes, as `run_passes` of passes.h takes it."""
    functions = [replace(f, name=f"pass{k}") for k, f in enumerate(passes.functions)]
    counts, rows = [len(f.outputs) for f in functions], len(passes.rows)
    ends = ", ".join(str(sum(counts[:k])) if k < len(counts) else str(rows) for k in range(1, len(counts) + 1))
    sums = ", ".join("{SUM, 0}" if row is None else f"{{{row.kind.upper()}, {row.heads}}}" for row in passes.rows) or "{SUM, 0}"
    runs = " ".join(f"if constexpr (K == {k}) pass{k}(in, out);" for k in range(len(functions)))
    return (
        f"struct {name} {{\nstatic constexpr int count = {len(functions[0].inputs) - rows}, passes = {len(functions)}, rows = {rows}, "
        f"most = {max(counts)};\nstatic constexpr int ends[] = {{{ends}}};\nstatic constexpr Sum sums[] = {{{sums}}};\n"
        + "".join("static " + print_source(f, CPP) for f in functions)
        + f"template <int K> static inline void run(const V* in, V* out) {{ {runs} }}\n}};\n"
    )


def openmp_flags() -> list[str]:
    """Returns link flags for the OpenMP runtime of torch: two runtimes in one process would compete for the cores."""
    bundled = sorted((Path(torch.__file__).parent / "lib").glob("libgomp*.so*")) + sorted(
        (Path(torch.__file__).parents[1] / "torch.libs").glob("libgomp*.so*")
    )
    return [str(bundled[0]), f"-Wl,-rpath,{bundled[0].parent}"] if bundled else []


def build(name: str, suffix: str, text: str, flags: list[str]) -> Path:
    """Compiles a C++ source, or links what `flags` name if it is "", unless the cache folder holds its result; returns that one's path.

    Raises:
        RuntimeError: the compiler failed; the message holds its output.
    """
    cxx = compiler()
    assert cxx is not None
    machine = [platform.machine(), cpu_flags(), compiler_version(cxx)]
    key = hashlib.sha256("\0".join([text, cxx, *FLAGS, *flags, *machine]).encode()).hexdigest()[:16]
    folder = cache_folder()
    built = folder / f"{name}-{key}{suffix}"
    if not built.exists():
        with tempfile.TemporaryDirectory(dir=folder) as work:
            source, result = Path(work) / "source.cpp", Path(work) / f"result{suffix}"
            source.write_text(text)
            given = [str(source)] if text else []
            done = subprocess.run([cxx, *FLAGS, *given, *flags, "-o", str(result)], capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(f"{cxx} could not build {name}:\n{done.stderr}")
            os.replace(result, built)
    return built


def computed_in(storage: torch.dtype) -> torch.dtype:
    """Returns the dtype that a loop computes in, from that of its packed matrices."""
    return storage if storage in REAL else torch.float32


def build_products(storage: torch.dtype) -> Path:
    """Compiles the products with matrices packed in a dtype, which all loops share, and returns their object file."""
    stored = f"#define STORED {NARROW[storage]}\n#define NARROW\n" if storage in NARROW else "#define STORED real\n"
    text = "\n".join([read_headers(computed_in(storage)), stored, *((HERE / name).read_text() for name in ("storage.h", "product.cpp"))])
    return build("products", ".o", text, ["-c"])


def build_loop(plan: Plan, storage: torch.dtype) -> Path:
    """Compiles the time loop of a plan, with matrices packed in a dtype, and returns its library.

    Raises:
        RuntimeError: the compiler failed; the message holds its output.
    """
    parts = [build_products(storage), build(plan.cell.name, ".o", generate_source(plan, computed_in(storage)), ["-c"])]
    return build(plan.cell.name, ".so", "", ["-shared", *map(str, parts), *openmp_flags()])


@cache
def build_library(plan: Plan, storage: torch.dtype) -> ctypes.CDLL:
    """Builds and loads the time loop of a plan, as `build_loop` does.

    Raises:
        RuntimeError: the compiler failed; the message holds its output.
    """
    loaded = ctypes.CDLL(str(build_loop(plan, storage)))
    loaded.partial_sums_size.restype = loaded.forward.restype = ctypes.c_int64
    return loaded


def cpu_flags() -> str:
    """Returns the feature flags of the processor, which `-march=native` depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")
