"""What a GPU says of itself, from an NVML that a test can make say anything."""

import os
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch

from bench.measure import conditions
from bench.records import Reading

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
UUID = "1b2c"
WHOLE = {
    "nvmlDeviceGetClockInfo": lambda handle, kind: {"sm": 1755, "memory": 2619}[kind],
    "nvmlDeviceGetPowerUsage": lambda handle: 312_500,
    "nvmlDeviceGetTemperature": lambda handle, sensor: 41,
    "nvmlDeviceGetCurrentClocksEventReasons": lambda handle: 0x05,
    "nvmlDeviceGetMigMode": lambda handle: [0, 0],
    "nvmlDeviceGetTotalEnergyConsumption": lambda handle: 5_250_000,
    "nvmlDeviceGetComputeRunningProcesses": lambda handle: [SimpleNamespace(pid=pid) for pid in (4_000_001, os.getpid(), os.getppid())],
}


class NVMLError(Exception):
    pass


@pytest.fixture
def nvml(monkeypatch):
    """Makes a pynvml that knows the GPU `GPU-1b2c` and answers what it is told to, and nothing else."""

    def make(known: str = f"GPU-{UUID}", **answers: object) -> ModuleType:
        module = ModuleType("pynvml")
        opened: list[str] = []

        def handle(uuid: str) -> str:
            if uuid != known:
                raise NVMLError("Not Found")
            opened.append(uuid)
            return uuid

        facts = {
            "NVMLError": NVMLError, "NVML_CLOCK_SM": "sm", "NVML_CLOCK_MEM": "memory", "NVML_TEMPERATURE_GPU": 0, "opened": opened,
            "nvmlInit": lambda: None, "nvmlDeviceGetHandleByUUID": handle,
        }  # fmt: skip
        module.__dict__.update(facts | (answers or WHOLE))
        monkeypatch.setitem(sys.modules, "pynvml", module)
        return module

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=UUID))
    conditions.find_board.cache_clear()
    yield make
    conditions.find_board.cache_clear()


def refused(*arguments: object) -> None:
    raise NVMLError("Not Supported")


def test_a_reading_in_si_units(nvml):
    nvml()
    assert conditions.read_conditions(GPU) == Reading(
        clock=1.755e9, memory_clock=2.619e9, power=312.5, temperature=41, throttled=["software power cap"]
    )


def test_the_gpu_is_found_by_its_uuid_and_opened_once(nvml, monkeypatch):
    """Whatever number NVML has for it, however often it is asked; "cuda" is the current one."""
    module = nvml()
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    for device in (GPU, GPU, torch.device("cuda")):
        assert conditions.read_conditions(device)
    assert module.opened == [f"GPU-{UUID}"]


@pytest.mark.parametrize(
    ("bits", "words"),
    [(0x0, []), (0x1, []), (0x2, []), (0x100, []), (0x103, []), (0x60, ["software thermal slowdown", "hardware thermal slowdown"]),
     (0x88, ["hardware slowdown", "hardware power brake"]), (0x10, ["sync boost"])],
)  # fmt: skip
def test_idle_and_what_somebody_set_are_no_throttling(nvml, bits, words):
    nvml(**WHOLE | {"nvmlDeviceGetCurrentClocksEventReasons": lambda handle: bits})
    assert conditions.read_conditions(GPU).throttled == words


def test_the_bits_are_nvmls():
    """Of the package itself, where it is installed."""
    real = pytest.importorskip("pynvml")
    named = {
        "SwPowerCap": "software power cap", "HwSlowdown": "hardware slowdown", "SyncBoost": "sync boost",
        "SwThermalSlowdown": "software thermal slowdown", "HwThermalSlowdown": "hardware thermal slowdown",
        "HwPowerBrakeSlowdown": "hardware power brake",
    }  # fmt: skip
    assert {getattr(real, f"nvmlClocksEventReason{name}"): words for name, words in named.items()} == conditions.THROTTLING


def test_an_older_name_serves_where_the_newer_one_is_missing_or_fails(nvml):
    older = {k: v for k, v in WHOLE.items() if not k.endswith("EventReasons")} | {
        "nvmlDeviceGetCurrentClocksThrottleReasons": lambda handle: 0x40, "nvmlDeviceGetTemperature": refused,
        "nvmlDeviceGetTemperatureV": lambda handle, sensor: 55,
    }  # fmt: skip
    nvml(**older)
    found = conditions.read_conditions(GPU)
    assert (found.throttled, found.temperature) == (["hardware thermal slowdown"], 55)


def test_what_it_does_not_tell_is_none(nvml):
    nvml(**dict.fromkeys(WHOLE, refused))
    assert conditions.read_conditions(GPU) == Reading()
    assert conditions.list_other_processes(GPU) == []
    assert conditions.find_board(0).energy() is None


def test_a_part_of_a_gpu_has_its_clocks_and_not_its_power(nvml):
    """Opened by its own UUID, and asked as the whole GPU it is a part of."""
    asked = []
    part = WHOLE | {
        "nvmlDeviceGetDeviceHandleFromMigDeviceHandle": lambda handle: f"whole of {handle}",
        "nvmlDeviceGetClockInfo": lambda handle, kind: (asked.append(handle), 1000)[1],
    }
    nvml(f"MIG-{UUID}", **part)
    found = conditions.read_conditions(GPU)
    assert (found.clock, found.temperature, found.power) == (1e9, 41, None)
    assert set(asked) == {f"whole of MIG-{UUID}"} and conditions.find_board(0).energy() is None
    assert conditions.list_other_processes(GPU) == [], "who computes in another part takes nothing from this one"


def test_a_gpu_in_parts_is_known_by_its_mode(nvml):
    """Where CUDA gives a part the UUID of the whole."""
    nvml(**WHOLE | {"nvmlDeviceGetMigMode": lambda handle: [1, 1]})
    assert conditions.read_conditions(GPU).power is None


def test_nothing_is_said_of_a_cpu_or_without_nvml(nvml, monkeypatch):
    nvml()
    assert conditions.read_conditions(CPU) is None and conditions.list_other_processes(CPU) == []
    conditions.find_board.cache_clear()
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert conditions.read_conditions(GPU) is None and conditions.list_other_processes(GPU) == []


@pytest.mark.parametrize("broken", ["nvmlInit", "nvmlDeviceGetHandleByUUID"])
def test_an_nvml_that_fails_is_none(nvml, monkeypatch, broken):
    monkeypatch.setattr(nvml(), broken, refused)
    assert conditions.read_conditions(GPU) is None


def test_others_are_neither_this_process_nor_the_one_that_started_it(nvml):
    nvml()
    assert conditions.list_other_processes(GPU) == [4_000_001]


def test_in_a_container_one_of_the_numbers_is_this_process(nvml, monkeypatch):
    """Only once it computes there itself."""
    nvml(**WHOLE | {"nvmlDeviceGetComputeRunningProcesses": lambda handle: [SimpleNamespace(pid=pid) for pid in (4_000_001, 4_000_002)]})
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    assert len(conditions.list_other_processes(GPU)) == 1
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    assert conditions.list_other_processes(GPU) == [4_000_001, 4_000_002]
