"""Lists the warnings about a machine, a run and a comparison. Each says what is wrong, and what to do with the flags that are in use."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.analysis.comparison import Comparison
from bench.analysis.verdict import WIDEST, is_throttled, measure_noise
from bench.records import CaseRecord, Environment, Records
from bench.render.formatting import count_noun, format_number

BUSY_CPUS, BUSY_SHARE = 0.3, 0.1
"""A machine is busy if other processes use more CPUs than this, and more than this share of all."""
SLOW_GOVERNORS = ("powersave", "conservative", "ondemand", "schedutil")


def list_machine_warnings(here: Environment) -> list[str]:
    """Returns the warnings that are known before anything is measured."""
    return [found for found in (warn_of_load(here), warn_of_governor(here), warn_of_gpu_processes(here)) if found]


def list_warnings(records: Records) -> list[str]:
    """Returns the warnings about a finished run, the machine's first if the run timed anything."""
    cases, settings = records.cases, records.run.settings
    is_timed = cases or records.training or records.scale
    found = (warn_of_noise(cases, settings), warn_of_throttling(cases))
    return [*(list_machine_warnings(records.run.environment) if is_timed else []), *(warning for warning in found if warning)]


def list_comparison_warnings(comparison: Comparison) -> list[str]:
    """Returns the warnings about two runs side by side."""
    settings = comparison.b.runs[0].run.settings
    found = [f"CAUTION: A and B differ in {', '.join(comparison.unlike)}. The ratios do not measure the code alone."]
    return (found if comparison.unlike else []) + [f"CAUTION: {noisy}" for noisy in [warn_of_margin(comparison.margin, settings)] if noisy]


def warn_of_load(here: Environment) -> str:
    cpus = here.cpus or here.cores
    if here.load is None or here.load <= max(BUSY_CPUS, BUSY_SHARE * cpus):
        return ""
    used = f"Other processes kept {format_number(here.load, 2)} of {count_noun(cpus, 'CPU')} busy as the run began"
    return f"{used}: the times include their interference. End them, or wait until they are done, and measure again."


def warn_of_governor(here: Environment) -> str:
    slow = [word for word in here.governor.split(", ") if word in SLOW_GOVERNORS]
    if here.device_kind != "cpu" or not slow:
        return ""
    return f"The CPU's clock follows the load (governor {', '.join(slow)}): cpupower frequency-set --governor performance holds it."


def warn_of_gpu_processes(here: Environment) -> str:
    count = here.other_processes
    used = "1 other process uses" if count == 1 else f"{count} other processes use"
    return f"{used} this GPU and may slow down what is timed: end them, or wait until they are done." if count else ""


def warn_of_noise(cases: Sequence[CaseRecord], settings: Mapping[str, Any]) -> str:
    return warn_of_margin(measure_noise(cases).margin, settings) if cases else ""


def warn_of_margin(margin: float, settings: Mapping[str, Any]) -> str:
    if margin <= WIDEST:
        return ""
    return f"Differences within {margin:.1%} count as noise, too much to detect one of 10%: {advise_samples(settings)}."


def advise_samples(settings: Mapping[str, Any]) -> str:
    """Returns how a run with these settings is measured with less noise."""
    for flag in ("quick", "lean", "samples"):
        if settings.get(flag):
            return f"measure again without --{flag}, which takes few samples"
    calm = "reduce the load of the machine and measure again"
    return calm if settings.get("thorough") else f"{calm}, with --thorough for more samples"


def warn_of_throttling(cases: Sequence[CaseRecord]) -> str:
    found = [record for record in cases if is_throttled(record)]
    words = sorted({word for record in found for reading in record.readings for word in reading.throttled})
    return f"The GPU throttled its clock ({', '.join(words)}) in {count_noun(len(found), 'case')}: no verdict there." if found else ""
