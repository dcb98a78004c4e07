"""The CPUs' state: what is read where the system says it, and nothing made up where it doesn't."""

import pytest

from bench.measure import cpu_state


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A tree of files as Linux has it; returns a function that writes one."""
    monkeypatch.setattr(cpu_state, "SYSTEM", tmp_path)
    monkeypatch.setattr(cpu_state, "STAT", tmp_path / "stat")

    def write(name: str, words: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(words + "\n")

    return write


def test_nothing_is_made_up(system):
    found = cpu_state.read_cpu_state()
    assert (found["load"], found["governor"], found["turbo"], found["smt"]) == (None, "", "", "")


def test_what_sets_the_clock_is_read(system):
    for k, word in enumerate(("powersave", "performance", "powersave")):
        system(f"cpufreq/policy{k}/scaling_governor", word)
    system("cpufreq/boost", "0")
    system("smt/active", "1")
    found = cpu_state.read_cpu_state()
    assert (found["governor"], found["turbo"], found["smt"]) == ("performance, powersave", "off", "on")
    system("intel_pstate/no_turbo", "0")
    assert cpu_state.read_turbo() == "on"
    system("intel_pstate/no_turbo", "1")
    assert cpu_state.read_turbo() == "off"


def test_the_load_is_that_of_other_processes(system, monkeypatch):
    """3 of 4 CPUs are busy meanwhile, one of them by time that the host took away; waiting for a disk isn't work."""
    monkeypatch.setattr(cpu_state.os, "sysconf", lambda name: 100)
    system("stat", "cpu  100 0 50 9000 7 0 0 10 999 0\ncpu0 1 1 1 1")
    assert cpu_state.read_busy_seconds() == 1.6
    ticks, now = iter((1.6, 4.6)), iter((0.0, 1.0))
    monkeypatch.setattr(cpu_state, "read_busy_seconds", lambda: next(ticks))
    monkeypatch.setattr(cpu_state.time, "perf_counter", lambda: next(now))
    monkeypatch.setattr(cpu_state.time, "process_time", iter((5.0, 5.5)).__next__)
    monkeypatch.setattr(cpu_state.time, "sleep", lambda seconds: None)
    assert cpu_state.measure_load() == 2.5


def test_here_it_is_a_number_of_cpus():
    found = cpu_state.measure_load()
    assert found is None or 0 <= found <= (cpu_state.os.cpu_count() or 1) * 1.5
