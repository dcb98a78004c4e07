"""Names that were replaced and must not come back: (path prefix, name), one section for each top folder.

A name is a module, class, function, method, property, field or parameter that a file under the prefix defines. Local variables are free.
"""

KERNELS = [
    ("kernels/derive/plan.py", "square"), ("kernels/derive/plan.py", "looks_back"), ("kernels/derive/plan.py", "units"),
    ("kernels/derive", "Near"), ("kernels/derive", "near"),
    ("kernels/derive/buffers.py", "alone"), ("kernels/derive/buffers.py", "written"), ("kernels/derive/buffers.py", "leads"),
    ("kernels/derive/buffers.py", "place"),
    ("kernels/schedules", "Loop"), ("kernels/schedules", "Trajectory"), ("kernels/schedules/interface.py", "whole"),
    ("kernels/schedules/interface.py", "keep"),
    ("kernels/layer/autograd.py", "once"), ("kernels/layer/autograd.py", "prepare"), ("kernels/layer/autograd.py", "after"),
    ("kernels/layer/autograd.py", "runs"), ("kernels/layer/autograd.py", "split"),
    ("kernels/layer", "run"), ("kernels/layer", "plain"), ("kernels/layer", "whole"), ("kernels/layer", "join"),
    ("kernels/layer", "pull"), ("kernels/layer", "around"), ("kernels/layer/checkpointing.py", "rows"), ("kernels/layer", "lead"),
    ("kernels/layer", "early"),
    ("kernels/layer", "prove"), ("kernels/layer", "met"), ("kernels/layer", "wrong"),
    ("kernels/layer", "there"), ("kernels/layer", "what"), ("kernels/layer", "shaped"), ("kernels/layer", "placed"),
    ("kernels/layer", "rectangular"), ("kernels/layer", "alike"), ("kernels/layer", "earlier"),
    ("kernels/schedules/scan", "reach"), ("kernels/schedules/scan", "passed"), ("kernels/schedules/scan", "stretch"),
    ("kernels/schedules/scan", "from_above"), ("kernels/schedules", "replay"), ("kernels/schedules", "walks"),
    ("kernels/schedules", "resident"), ("kernels/schedules/persistent", "cut"), ("kernels/schedules/persistent", "settled"),
    ("kernels/schedules/persistent", "warm"), ("kernels/schedules/persistent", "sides"), ("kernels/schedules/persistent", "apart"),
    ("kernels/schedules/persistent", "passed"), ("kernels/schedules/persistent", "FLIGHT"), ("kernels/schedules/persistent", "tall"),
    ("kernels/schedules/persistent", "plainly"), ("kernels/schedules/persistent", "WRITTEN"), ("kernels/schedules/persistent", "power"),
    *(("kernels/schedules", name) for name in ("INTO", "FROM", "OF", "TO", "WHEN", "TALL", "UNITS", "LINE")),
]  # fmt: skip

CELLS = [
    ("cells/grammar", name) for name in (
        "located", "fault", "own", "executed", "initialised", "applied", "shaped", "bear", "stepping", "rated", "innermost", "merged",
    )
]  # fmt: skip

SECTIONS = {"kernels": KERNELS, "cells": CELLS}
