"""Energy from counters that jump, on a clock that only the calls move."""

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch

from bench.measure import conditions, energy
from bench.measure.energy import Packages, measure_energy

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


class Machine:
    """Each call takes so many seconds, at so many watts; its counter shows what it has used as of its last jump."""

    def __init__(self, seconds: float, watts: float, jump: float):
        self.seconds, self.watts, self.jump = seconds, watts, jump
        self.now, self.calls, self.looks = 0.0, 0, 0

    def call(self) -> None:
        self.now += self.seconds
        self.calls += 1

    def count(self) -> float:
        self.looks += 1
        self.now += 1e-6
        return self.now // self.jump * self.jump * self.watts


@pytest.fixture
def machine(monkeypatch) -> Callable[..., Machine]:
    def make(seconds: float = 0.002, watts: float = 300.0, jump: float = 0.1) -> Machine:
        made = Machine(seconds, watts, jump)
        monkeypatch.setattr(energy.time, "perf_counter", lambda: made.now)
        monkeypatch.setattr(energy, "find_counter", lambda device: made.count)
        return made

    return make


@pytest.mark.parametrize("seconds", [0.00005, 0.002, 0.3, 2.5])
@pytest.mark.parametrize("jump", [0.001, 0.02, 0.1])
def test_watts_by_seconds(machine, seconds, jump):
    """What a call takes, however its length and the counter's jumps fall together: within a batch and a jump over a second."""
    made = machine(seconds, 300.0, jump)
    assert measure_energy(made.call, CPU, 1.0) == pytest.approx(300.0 * seconds, rel=0.03)


def test_a_counter_that_jumps_once_in_the_time_is_awaited(machine):
    """From jump to jump: a jump of 0.1 s is neither missed nor counted twice in 0.05 s."""
    assert measure_energy(machine().call, CPU, 0.05) == pytest.approx(0.6, rel=0.11)


def test_it_looks_every_ten_milliseconds_and_not_after_each_call(machine):
    made = machine(seconds=0.0001)
    measure_energy(made.call, CPU, 1.0)
    assert made.looks < made.calls / 50


def test_a_counter_that_stands_still_is_none(machine):
    made = machine(jump=1e9)
    assert measure_energy(made.call, CPU, 0.5) is None
    assert made.now == pytest.approx(energy.PATIENCE, rel=0.1)


def test_a_counter_that_fails_is_none(machine, monkeypatch):
    made = machine()
    monkeypatch.setattr(energy, "find_counter", lambda device: lambda: None)
    assert measure_energy(made.call, CPU, 0.5) is None


def zone(folder, name: str, used: int = 0, most: int = 1000) -> None:
    folder.mkdir(parents=True)
    for file, value in (("name", name), ("energy_uj", used), ("max_energy_range_uj", most)):
        (folder / file).write_text(f"{value}\n")


def test_packages_are_added_up_and_start_again_at_zero(tmp_path, monkeypatch):
    """Two packages; not their cores, which are within, nor the platform, which they are within."""
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    for folder, name in (
        ("intel-rapl:0", "package-0"),
        ("intel-rapl:1", "package-1"),
        ("intel-rapl:0:0", "core"),
        ("intel-rapl:2", "psys"),
    ):
        zone(tmp_path / folder, name, used=900)
    count = energy.find_counter(CPU)
    assert isinstance(count, Packages) and len(count.zones) == 2
    seen = [count()]
    for used in (950, 1000, 0, 49, 940, 10):
        (tmp_path / "intel-rapl:0" / "energy_uj").write_text(f"{used}\n")
        seen.append(count())
    assert [after - before for before, after in pairwise(seen)] == pytest.approx([5e-5, 5e-5, 1e-6, 4.9e-5, 8.91e-4, 7.1e-5])
    (tmp_path / "intel-rapl:1" / "energy_uj").write_text("1000\n")
    assert count() - seen[-1] == pytest.approx(1e-4)


def test_without_a_counter_there_is_no_energy(tmp_path, monkeypatch):
    monkeypatch.setattr(energy, "POWERCAP", tmp_path / "nowhere")
    assert energy.find_counter(CPU) is None and measure_energy(lambda: None, CPU, 0.5) is None
    zone(tmp_path / "intel-rapl:0", "package-0")
    (tmp_path / "intel-rapl:0" / "energy_uj").unlink()  # as good as one that may not be read
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    assert energy.find_counter(CPU) is None
    monkeypatch.setattr(conditions, "open_board", lambda device: None)
    assert energy.find_counter(GPU) is None


@pytest.mark.parametrize(("millijoules", "wanted"), [(None, None), (1500, 1.5)])
def test_a_gpu_counts_in_millijoules(monkeypatch, millijoules, wanted):
    board = conditions.Board(None, None, False)
    monkeypatch.setattr(conditions.Board, "ask", lambda self, question: millijoules)
    monkeypatch.setattr(conditions, "open_board", lambda device: board)
    count = energy.find_counter(GPU)
    assert (count and count()) == wanted
