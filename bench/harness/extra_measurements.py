"""Measures of a case what isn't the time of its calls: cold caches, energy, CUDA graphs and launches."""

from functools import cache
from typing import Any

import torch

from bench.harness.settings import Settings
from bench.measure.cache_flush import Flush
from bench.measure.clock import Contestant, time_calls
from bench.measure.energy import measure_energy
from bench.measure.launches import NoGraph, capture_graph, count_launches
from bench.measure.peer_process import RemoteWorkload
from bench.measure.workload import Workload
from bench.records import Mode

SAMPLES = 5
"""The number of samples of each."""

ENERGY_SECONDS = 0.5
"""The seconds of calls over which energy is measured."""

make_flush = cache(Flush)


def measure_extras(work: Workload, mode: Mode, settings: Settings, device: torch.device) -> dict[str, Any]:
    """Returns fields of a record: times with cold caches and energy if asked for; on a GPU also the time as one graph, and the launches."""
    call, found = work.infer if mode == "inference" else work.train, dict[str, Any]()
    if settings.lean or isinstance(work, RemoteWorkload):  # what runs in another process isn't measured from here
        return found
    if settings.thorough:
        found["cold"] = time_calls(work.make_contestant(mode), device, SAMPLES, make_flush(device))
        found["energy"] = measure_energy(call, device, ENERGY_SECONDS) if mode != "backward" else None
    if device.type == "cuda" and mode != "backward":
        try:
            found["graph"] = time_calls(Contestant(capture_graph(call, device)), device, SAMPLES)
        except NoGraph as reason:
            found["no_graph"] = str(reason)
        found["launches"] = count_launches(call, device)
    return found
