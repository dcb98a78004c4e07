"""The constants of a machine: positive, plausible, and none made up."""

import pytest
import torch

from bench.measure import device_constants
from bench.records import Constants

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def here() -> Constants:
    return device_constants.measure_constants(CPU)


@pytest.mark.full
def test_a_processor(here):
    assert set(here.products) == {"float32", "float64"}
    assert all(1e8 < rate < 1e14 for rate in here.products.values())
    assert here.products["float32"] > here.products["float64"]
    assert 1e8 < here.copy_rate < 1e13
    assert here.cache is None or 2**15 < here.cache < 2**34
    assert all(here.first_level < size and 1e8 < rate < 1e13 for size, rate in here.reads.items())


def test_what_only_a_gpu_has_is_not_there(here):
    assert (here.chip, here.barriers, here.l2, here.launch, here.product_launch) == (None, {}, None, None, None)


def test_they_come_back_from_a_file(here):
    known = here.model_copy(update={"barriers": {1: 7e-7, 132: 1e-6}})
    assert Constants.model_validate_json(known.model_dump_json()) == known


def test_rates_count_what_was_done(monkeypatch):
    """Half a second a call: 2·n³ flops, and every byte read and written."""
    calls = []
    monkeypatch.setattr(device_constants, "time_fastest", lambda call, device, samples: (calls.append(call()), 0.5)[1])
    assert device_constants.measure_product_rate(torch.float64, 10, CPU) == 4000
    assert (calls[0].shape, calls[0].dtype) == ((10, 10), torch.float64)
    assert device_constants.measure_copy_rate(1000, CPU) == 4000
    assert calls[1].sum() == 1000
    monkeypatch.setattr(device_constants, "measure_product_rate", lambda dtype, n, device: n % 1000)
    assert device_constants.measure_fastest_product(torch.float64, CPU) == 536
    assert device_constants.measure_fastest_product(torch.float64, CPU, quick=True) == 512, "not the largest"


def test_reads_count_the_difference_of_two_matrices(monkeypatch):
    """1 s a call and 1 µs for each row of 500 numbers: 2000 bytes in 1 µs."""
    rows = lambda call: call.args[0].shape[0]  # noqa: E731
    monkeypatch.setattr(device_constants, "time_fastest", lambda call, device, samples: 1 + 1e-6 * rows(call))
    assert device_constants.measure_read_rate(10**6, CPU) == pytest.approx(2e9)


def test_caches_are_counted_once(tmp_path, monkeypatch):
    """Two processors with a 32 KiB cache each for data and for instructions, and one of 8 MiB that they share."""
    for processor in (0, 1):
        for index, kind, level, size, shared in (
            (0, "Data", 1, "32K", processor), (1, "Instruction", 1, "32K", processor), (2, "Unified", 3, "8M", "0-1"),
        ):  # fmt: skip
            folder = tmp_path / f"cpu{processor}" / "cache" / f"index{index}"
            folder.mkdir(parents=True)
            for name, value in (("type", kind), ("level", level), ("size", size), ("shared_cpu_list", shared)):
                (folder / name).write_text(f"{value}\n")
    monkeypatch.setattr(device_constants, "CACHES", tmp_path)
    assert device_constants.count_cache_bytes() == 2 * 32 * 2**10 + 8 * 2**20
    assert device_constants.list_cache_levels({1}) == {1: 32 * 2**10, 3: 8 * 2**20}, "those of the processors that may be used"
    (tmp_path / "cpu1" / "cache" / "index2" / "size").write_text("many\n")
    assert device_constants.count_cache_bytes() is None
    monkeypatch.setattr(device_constants, "CACHES", tmp_path / "nowhere")
    assert device_constants.count_cache_bytes() is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu():
    before = torch.backends.cuda.matmul.allow_tf32
    found = device_constants.measure_constants(torch.device("cuda"))
    assert torch.backends.cuda.matmul.allow_tf32 == before
    assert set(found.products) == {"float16", "bfloat16", "float64", "float32", "tf32"}
    assert found.products["float16"] > found.products["float32"] > 1e11
    assert found.copy_rate > 1e10 and found.cache > 2**20 and found.chip > 2**18
    assert min(found.barriers) == 1 and all(seconds > 0 for seconds in found.barriers.values())
    assert found.l2 > 0 and found.launch > 0 and found.product_launch > 0
