"""A run that never was, for the tests of what renders one: eight cells, five backends, four lengths, on a CPU without a GPU."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from bench.records import (
    Case,
    CaseRecord,
    Constants,
    End,
    Environment,
    Errors,
    GradientRecord,
    LowerBound,
    Memory,
    Numerics,
    Reading,
    Records,
    Run,
)

B, D, H = 32, 256, 256
LENGTHS = (16, 32, 64, 128)
BACKENDS = ("eager", "compiled", "stepwise", "vendor", "torchrecurrent")
PRODUCTS = {
    "cfn": (3, 2), "gru": (3, 3), "gru_reset_before": (3, 3), "lstm": (4, 4),
    "minimal": (2, 1), "minimal_deep": (3, 1), "vanilla": (1, 1), "vanilla_relu": (1, 1),
}  # fmt: skip
"""Products with an H×H or H×D matrix in a step: hoisted, and left in the loop."""

VENDOR = {"gru": 1.12, "lstm": 1.08, "vanilla": 0.4, "vanilla_relu": 0.4}
"""Milliseconds of the vendor's training step, per time step; cells that aren't here it doesn't have."""

SPEED = {"eager": 0.9, "compiled": 1.7, "torchrecurrent": 0.8}
"""Times as fast as one millisecond per gate and step."""

DECAY = {"cfn": 0.31, "lstm": 0.07, "minimal": 0.02, "vanilla_relu": 0.9}
"""Nats that a gradient loses in a step, where not a fifth."""

ENVIRONMENT = Environment(
    device="AMD EPYC 7B13", device_kind="cpu", processor="AMD EPYC 7B13", cores=2, threads=2, memory_bytes=24 * 2**30,
    system="Linux-6.1-glibc2.36", python="3.11.2", torch="2.13.0+cpu", triton="3.9.0", compiler="g++ 12.2.0",
    torchrecurrent="0.2.5", commit="0123456789abcdef",
    constants=Constants(products={"float32": 1.4e11}, copy_rate=2e10, cache=2**25),
)  # fmt: skip
RUN = Run(started="2026-03-01T12:00:00Z", command="python -m bench all", seed=0, environment=ENVIRONMENT)


def case(cell: str = "gru", backend: str = "compiled", mode: str = "training", T: int = 128, **changes: object) -> Case:
    return Case.model_validate(
        {"cell": cell, "backend": backend, "mode": mode, "T": T, "B": B, "D": D, "H": H, "dtype": "float32", "precision": "ieee", **changes}
    )


def timed(case: Case, *seconds: float, **known: object) -> CaseRecord:
    """A case that took these seconds, one sample a round."""
    given = {"case": case, "status": "ok", "samples": list(seconds), "rounds": list(range(len(seconds)))}
    return CaseRecord.model_validate(given | known)


def records(*cases: CaseRecord, gradients: tuple[GradientRecord, ...] = ()) -> Records:
    return Records(run=RUN, cases=list(cases), gradients=list(gradients))


def whole() -> Records:
    """What a run of everything leaves."""
    return Records(run=RUN, cases=[*verified(), *measured()], gradients=[gradient(cell, T) for cell in PRODUCTS for T in LENGTHS])


WORK = Numerics(
    outputs="all", copies=False, operands="float32", tf32_hoisted=False, tf32_recurrent=False, biases=1, accumulators="float32",
    state="float32",
)  # fmt: skip
"""What a backend of ours does."""


def detailed() -> Records:
    """A small run on a GPU, with all that a record can say: one A/A pair that differs by 3%, a throttled case, one whose work is another,
    every status, and where the time went."""
    gru = {"T": 16, "B": 4, "D": 8, "H": 8}
    hot = [Reading(clock=1.7e9, power=401.5, temperature=71)] * 7 + [
        Reading(clock=1.2e9, memory_clock=2.6e9, power=699.0, temperature=84, throttled=["thermal", "power cap"])
    ] * 2
    cool = [Reading(clock=1.98e9 - 1e6 * k, power=350.0 + k, temperature=60 + k) for k in range(9)]
    times = (1e-3, 1.01e-3, 1.02e-3, 0.99e-3, 1e-3, 0.98e-3, 1.01e-3, 1e-3, 1.6e-3)
    errors = Errors(output=3e-7, gradient=2.2e-6, worst="W.uh")

    def of(backend: str, slower: float, **known: object) -> CaseRecord:
        which = {"aa_repeat": known.pop("aa_repeat", False), "cell": known.pop("cell", "gru")}
        given = {"stopped": "precise", "errors": errors, "numerics": WORK, **known}
        return timed(case(backend=backend, **gru, **which), *(slower * t for t in times), **given)

    more = {
        "cold": [1.2e-3] * 3, "graph": [0.9e-3] * 3, "host": [4e-4] * 9, "launches": 64, "energy": 0.32,
        "memory": Memory(weights=2**20, saved=2**21, peak=3 * 2**20),
    }  # fmt: skip
    vendor = WORK.model_copy(update={"biases": 2, "flat_weights": True})
    cases = [
        of("vendor", 2.0, numerics=vendor, readings=cool, algorithm="standard"),
        of("stepwise", 1.0, readings=cool, **more),
        of("stepwise", 1.03, aa_repeat=True),
        of("persistent", 1.9, readings=hot, no_graph="it is launched cooperatively"),
        of("eager", 9.0, numerics=WORK.model_copy(update={"tf32_recurrent": True})),
        *(
            timed(case(backend=word, **gru), status=word, reason=f"why {word}")
            for word in ("oom", "timeout", "crashed", "failed", "skipped")
        ),
        timed(case("cfn", "stepwise", **gru), status="incorrect", reason="h is wrong", errors=Errors(output=float("nan")), numerics=WORK),
        timed(case("cfn", "vendor", **gru), status="unsupported", reason="torch.nn has no such cell"),
        timed(case("cfn", "persistent", **gru), status="verified", reason="in Triton's interpreter"),
    ]
    here = ENVIRONMENT.model_copy(
        update={"device": "NVIDIA H100", "device_kind": "cuda", "cuda": "13.0", "cudnn": "91002", "driver": "580.1"}
    )
    spent = {"gates": 30.0, "timing": 50.0, "memory": 5.0, "overhead": 10.0}
    settings = {"cells": ["gru", "cfn"], "quick": False, "precision": "ieee"}
    run = RUN.model_copy(update={"environment": here, "settings": settings})
    return Records(
        run=run, cases=cases, gradients=[gradient("gru", 16)], ends=[End(wall=95.0, spent=spent), End(wall=5.0, spent={"gates": 5.0})]
    )


def lines(found: Records) -> str:
    """As its file has them."""
    return "".join(line.model_dump_json() + "\n" for line in (found.run, *found.cases, *found.gradients, *found.ends))


def verified() -> Iterator[CaseRecord]:
    for cell in PRODUCTS:
        small = case(cell, "stepwise", T=5, B=3, D=7, H=17)
        errors = Errors(output=1.1e-7, gradient=4e-7, worst="W.uh")
        yield CaseRecord(case=small, status="verified", reason="in Triton's interpreter at T=5 B=3 D=7 H=17", errors=errors)


def measured() -> Iterator[CaseRecord]:
    for T in LENGTHS:
        for mode in ("training", "inference"):
            for cell in PRODUCTS:
                yield from (outcome(case(cell, backend, mode, T)) for backend in BACKENDS if backend != "stepwise")
                yield outcome(case(cell, "compiled", mode, T, input_product=False))
                if cell not in VENDOR:
                    yield outcome(case("gru", "vendor", mode, T, H=20 + 45 * sum(PRODUCTS[cell]), matched_params_of=cell))


def outcome(case: Case) -> CaseRecord:
    if case.backend == "vendor" and case.cell not in VENDOR:
        return CaseRecord(case=case, status="unsupported", reason="torch.nn has no such cell", **counts(case))
    if case.backend == "torchrecurrent" and case.cell not in ("minimal", "cfn"):
        return CaseRecord(case=case, status="unsupported", reason="not compared: only its MinimalRNN and CFN are", **counts(case))
    gates = sum(PRODUCTS[case.cell]) / 6 if case.input_product else PRODUCTS[case.cell][1] / 6
    per_step = VENDOR[case.cell] * (case.H / H) ** 2 if case.backend == "vendor" else gates / SPEED[case.backend]
    typical = per_step * case.T * (1 if case.mode == "training" else 0.4) / 1e3
    draw = np.random.default_rng([case.T, len(case.cell), len(case.backend)])
    count = 9 if typical > 0.05 else 20
    known = counts(case)
    memory = Memory(weights=4 * known["parameters"], saved=case.T * B * H * 12, peak=case.T * B * H * 4 * len(case.backend))
    errors = Errors(output=3e-7, gradient=2.2e-6, worst="W.uh")
    return timed(case, *(typical * draw.normal(1, 0.01, count)), build_seconds=1.3, errors=errors, memory=memory, **known)


def counts(case: Case) -> dict[str, Any]:
    x, h = PRODUCTS[case.cell]
    steps = case.T * B * (3 if case.mode == "training" else 1)
    hoisted, recurrent = 2 * x * D * case.H * steps * case.input_product, 2 * h * case.H**2 * steps
    demand = LowerBound(
        hoisted=hoisted, recurrent=recurrent, bytes=8 * steps * case.H, resident_bytes=4 * h * case.H**2, grid_syncs=case.T - 1
    )
    return {
        "parameters": x * D * case.H + h * case.H**2 + x * case.H,
        "formula": f"{x}*D*H + {h}*H^2 + {x}*H",
        "flops": 2 * x * D * case.H + 2 * h * case.H**2 + 9 * case.H,
        "lower_bound": demand,
    }


def gradient(cell: str, T: int) -> GradientRecord:
    return GradientRecord(
        cell=cell, T=T, B=B, D=D, H=H, dtype="float32", seed=0, loss="L_b = y_T,b · g_b with g_b standard normal",
        by_lag=[16 * math.exp(-DECAY.get(cell, 0.2) * k) for k in range(T + 1)], parameters={"W.uh": 0.5, "b.u": 3e-3},
    )  # fmt: skip
