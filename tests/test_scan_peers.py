"""The scans of packages, as their documentation has them: each is given what it takes, and its answer is the cell's."""

import importlib
import re
import sys
import warnings
from types import ModuleType

import pytest
import torch
from torch import Tensor

from bench.harness.cases import is_planned
from bench.harness.settings import Settings
from bench.measure import environment
from bench.measure.backends import Unsupported, build_workload
from bench.measure.gate import check_inputs_unchanged, compare_answer
from bench.measure.numerics import describe_numerics
from bench.measure.problem import Problem, make_problem
from bench.measure.scan_peers import SCANS, Scan
from bench.records.backend_table import NAMES as BACKENDS
from bench.records.backend_table import list_defaults
from bench.render.table import write_markdown
from bench.render.tables import make_environment_table
from tests import custom
from tests.records import case
from tests.sampling import in_full
from tests.test_numerics import B, D, H, Layouts, T

PACKAGES = [name for name in SCANS if SCANS[name].module]
CELLS = ["mingru", "minlstm", "qrnn", f"{custom.__file__}:decaying"]
GPU = torch.device("cuda")


def walked(a: Tensor, b: Tensor, time: int) -> Tensor:
    h, found = torch.zeros_like(b.select(time, 0)), []
    for slope, offset in zip(a.unbind(time), b.unbind(time), strict=True):
        h = slope * h + offset
        found.append(h)
    return torch.stack(found, time)


def scan(forget: Tensor, inputs: Tensor) -> Tensor:
    """accelerated_scan.scalar.scan: x_t = a_t x_{t-1} + b_t of (B, C, T), "must be contiguous. T can be any length"."""
    assert forget.shape == inputs.shape == (forget.shape[0], H, T := forget.shape[2]) and T, "time last"
    assert forget.is_contiguous() and inputs.is_contiguous()
    return walked(forget, inputs, 2)


def hgrn(x: Tensor, g: Tensor, initial_state: Tensor | None = None, output_final_state: bool = False) -> tuple[Tensor, Tensor | None]:
    """fla.ops.hgrn: h_t = exp(g_t) h_{t-1} + x_t of (B, T, D). In chunks, an initial state and a final one have no gradient."""
    assert x.shape == g.shape and x.dim() == 3 and initial_state is None and not output_final_state
    return walked(g.exp(), x, 1), None


STAND_INS = {"accelerated_scan.scalar": {"scan": scan}, "fla.ops.hgrn": {"chunk_hgrn": hgrn, "fused_recurrent_hgrn": hgrn}}


@pytest.fixture
def packages(monkeypatch):
    """What isn't installed, on a device that isn't there."""
    for name, functions in STAND_INS.items():
        module = ModuleType(name)
        vars(module).update(functions)
        for part in (name.rpartition(".")[0], name.partition(".")[0]):
            monkeypatch.setitem(sys.modules, part, ModuleType(part))
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(Scan, "explain_unsupported", lambda *_: None)


def given(cell: str, T: int, B: int, dtype: str = "float64", H: int = H) -> Problem:
    return make_problem(cell, T, B, D, H, dtype, "cpu", 0)


@pytest.mark.parametrize("name", PACKAGES)
@pytest.mark.parametrize("cell", CELLS, ids=["mingru", "minlstm", "qrnn", "decaying"])
@pytest.mark.parametrize("size", [(1, 1), (2, 1), (7, 3)], ids=str)
def test_right(packages, name, cell, size):
    """Outputs, final states and every gradient, through initial states too."""
    p = given(cell, *size)
    errors, wrong = compare_answer(p, build_workload(name, p).answer(), 1e-12)
    assert not wrong, wrong
    assert errors.output < 1e-12 and errors.gradient < 1e-12


@pytest.mark.parametrize("name", PACKAGES)
def test_is_ready_to_be_timed(packages, name):
    """Its passes give what torch's scan gives, and it leaves what it is given alone."""
    p = given("qrnn", 6, 3)
    built, other = build_workload(name, p), build_workload("associative", p)
    torch.testing.assert_close(built.infer(), other.infer())
    torch.testing.assert_close(built.train(), other.train())
    assert not check_inputs_unchanged(p, built)


@pytest.mark.parametrize("name", SCANS)
@pytest.mark.parametrize("cell", ["mingru", "qrnn"])
def test_says_what_it_copies(packages, name, cell):
    """To another layout, in a training step: `accelerated` what it takes and what it is given back, the others nothing."""
    built = build_workload(name, given(cell, T, B))
    with Layouts() as layouts:
        built.train()
    declared = describe_numerics(case(cell, name, dtype="float64"), built)
    assert declared and declared.copies == bool(layouts.found) == (name == "accelerated"), layouts.found


@pytest.mark.parametrize("name", PACKAGES)
def test_where_it_can_not(name, monkeypatch):
    found, one = SCANS[name], torch.float32
    assert found.explain_unsupported(torch.device("cpu"), one) == "needs a GPU"
    assert found.explain_unsupported(GPU, torch.float64) == "takes no float64"
    monkeypatch.setitem(sys.modules, found.module, None)
    reason = found.explain_unsupported(GPU, one)
    assert reason and reason.startswith(f"{found.package} is not installed") and reason.endswith(f"pip install {found.package}")
    assert "\n" not in reason
    with pytest.raises(Unsupported, match="needs a GPU"):
        build_workload(name, given("mingru", 3, 2))
    with pytest.raises(Unsupported, match="affine in one state"):
        build_workload(name, given("lstm", 3, 2))
    with pytest.raises(Unsupported, match="always computes the input product"):
        build_workload(name, given("mingru", 3, 2), input_product=False)


def test_where_it_can(packages, monkeypatch):
    monkeypatch.undo()
    for found in SCANS.values():
        monkeypatch.setitem(sys.modules, found.module, ModuleType(found.module))
        assert found.explain_unsupported(GPU, torch.bfloat16) is None


@pytest.mark.parametrize("name", PACKAGES)
def test_a_coefficient_without_a_logarithm(packages, name):
    """A gate that is shut to the last bit: fla can't be told, and the others can."""
    p = given("mingru", 4, 2, "float32")
    p.weights["b.z"].fill_(200.0)
    if name.startswith("fla"):
        with pytest.raises(Unsupported, match=r"logarithm of a in h = a·h \+ b: mingru has an a here that isn't positive"):
            build_workload(name, p)
    else:
        assert not compare_answer(p, build_workload(name, p).answer(), 1e-5)[1]


def test_known_by_name():
    """On a GPU unasked, for the cells that they take; on a CPU for whoever asks, to be told why not."""
    assert set(PACKAGES) < set(BACKENDS) and set(PACKAGES) < set(list_defaults("cuda")) and not set(PACKAGES) & set(list_defaults("cpu"))
    settings = Settings(("mingru", "sru", "lstm"), tuple(PACKAGES), (4,), (2,), (8,), 8, "float32", "ieee", "cuda", 0, False)
    assert {(cell, name) for cell in settings.cells for name in PACKAGES if is_planned(settings, cell, name, True)} == {
        ("mingru", name) for name in PACKAGES
    }


def test_their_versions_are_on_record(monkeypatch):
    """Of those that are installed, and in the report."""
    known = {"accelerated-scan": "0.3.1"}
    monkeypatch.setattr(environment, "find_version", lambda package: known.get(package, ""))
    here = environment.read_environment(torch.device("cpu"), rates=False)
    assert here.packages == known and re.search(r"\| accelerated-scan +\| 0\.3\.1", write_markdown(make_environment_table(here)))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, and its tests have it")
@pytest.mark.parametrize("name", ["accelerated", in_full("fla_recurrent")])
def test_the_package_itself(name, monkeypatch):
    """In Triton's interpreter, which fla's chunks ask for more than it has. Of fla's cuts one is taken: to time them takes a GPU."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip(SCANS[name].module)
        importlib.import_module("fla.ops.hgrn.fused_recurrent") if name == "fla_recurrent" else None
    if name == "fla_recurrent" and not hasattr(torch.cpu, "device"):
        pytest.skip("fla asks for torch.cpu.device, which torch 2.11 lacks")
    if name == "fla_recurrent":
        module = sys.modules["fla.ops.hgrn.fused_recurrent"]
        for kernel in (module.fused_recurrent_hgrn_fwd_kernel, module.fused_recurrent_hgrn_bwd_kernel):
            monkeypatch.setattr(kernel.fn, "configs", kernel.fn.configs[:1])
    monkeypatch.setattr(Scan, "explain_unsupported", lambda *_: None)
    p = given("mingru", 5, 1, "float32", H=2)
    errors, wrong = compare_answer(p, build_workload(name, p).answer(), 1e-5)
    assert not wrong and errors.output < 1e-5 and errors.gradient < 1e-5
