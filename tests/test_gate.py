"""The gate: what is right passes, and every way of being wrong is named and gets no time."""

import dataclasses

import pytest
import torch

from bench.harness import runner
from bench.harness.cases import timing_groups
from bench.harness.settings import Settings
from bench.harness.work_unit import Checked, WorkUnit
from bench.measure import backends, gate
from bench.measure import failure as fault
from bench.measure.backends import Unsupported, build_workload
from bench.measure.problem import Answer, make_problem
from bench.measure.workload import Workload


def small(cell="lstm", **sizes):
    return make_problem(cell, **{"T": 6, "B": 3, "D": 5, "H": 4} | sizes, dtype="float32", device="cpu", seed=1)


@pytest.mark.parametrize("backend", ["eager", "compiled", "vendor"])
def test_right_answers_pass(backend):
    given = small()
    errors, wrong = gate.compare_answer(given, build_workload(backend, given).answer(), 1e-5)
    assert wrong == "" and errors.output < 1e-6 and errors.gradient < 1e-5 and errors.worst in given.answer.gradients


@pytest.mark.parametrize("cell", ["minimal", "cfn"])
def test_the_peers_compute_the_papers_equations(cell):
    pytest.importorskip("torchrecurrent")
    given = small(cell)
    assert gate.compare_answer(given, build_workload("torchrecurrent", given).answer(), 1e-5)[1] == ""


@pytest.mark.parametrize("cell", ["minimal", "lstm", "gru", "cfn", "gru_reset_before", "minimal_deep", "vanilla"])
def test_the_loop_alone_is_held_to_the_same_answer(cell):
    given = small(cell)
    work = build_workload("compiled", given, input_product=False)
    before = [t.clone() for t in work.inputs]
    assert gate.compare_answer(given, work.answer(), 1e-5)[1] == ""
    assert torch.allclose(work.infer().double(), given.answer.outputs[0], atol=1e-6)
    work.train()
    assert all(torch.equal(a, b) for a, b in zip(before, work.inputs, strict=True)), "what is given stays as it is"


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda a: a.outputs[0].mul_(1.001), "outputs"),
        (lambda a: a.outputs[1].add_(1.0), "outputs"),
        (lambda a: a.outputs[0][0, 0].fill_(float("nan")), "outputs"),
        (lambda a: a.gradients["W.fh"].mul_(1.01), "W.fh"),
        (lambda a: a.gradients["x"][-1].zero_(), "gradient of x"),
        (lambda a: a.gradients["c_0"].neg_(), "c_0"),
        (lambda a: a.gradients["b.o"].fill_(float("inf")), "b.o"),
    ],
)
def test_wrong_answers_are_named(spoil, says):
    given = small()
    right = build_workload("eager", given).answer()
    answer = Answer([o.clone() for o in right.outputs], {k: g.clone() for k, g in right.gradients.items()})
    spoil(answer)
    assert says in gate.compare_answer(given, answer, 1e-5)[1]


def test_a_missing_gradient_is_not_overlooked():
    given = small()
    answer = build_workload("eager", given).answer()
    with pytest.raises(KeyError):
        gate.compare_answer(given, Answer(answer.outputs, {k: v for k, v in answer.gradients.items() if k != "W.ix"}), 1e-5)


def test_a_scalar_whose_gradient_is_zero_by_accident():
    """Upstream gradients under which that of ζ vanishes: what is left of it is rounding, and no error; what is more is one."""
    given = small("fastgrnn", T=20, B=3, D=4, H=5)
    gradient = given.answer.gradients["s.zeta"]
    x, states, dy, d_final = given._tensors
    other = small("fastgrnn", T=20, B=3, D=4, H=5)
    other.__dict__["_tensors"] = (x, states, dy.flip(0), [d.flip(0) for d in d_final])
    part = gradient / other.answer.gradients["s.zeta"]
    balanced = small("fastgrnn", T=20, B=3, D=4, H=5)
    upstream = (dy - part * dy.flip(0)).float(), [(d - part * d.flip(0)).float() for d in d_final]
    balanced.__dict__["_tensors"] = (x, states, *upstream)
    answer = build_workload("compiled", balanced).answer()
    off = gate.compute_error(answer.gradients["s.zeta"], balanced.answer.gradients["s.zeta"])
    assert balanced.answer.gradients["s.zeta"].abs() < 1e-5 and off > 1e-3
    assert gate.compare_answer(balanced, answer, 5e-5)[1] == ""
    spoiled = Answer(answer.outputs, answer.gradients | {"s.zeta": answer.gradients["s.zeta"] + 0.01})
    assert "the gradient of s.zeta is off" in gate.compare_answer(balanced, spoiled, 5e-5)[1]


def measured(records):
    """The messages of the first build of one group are added to `records`: without the results that later builds are compared with."""

    def emit(line):
        if not isinstance(line, Checked):
            records.append(line)

    settings = Settings(("vanilla",), ("eager", "compiled"), (3,), (2,), (4,), 4, "float32", "ieee", "cpu", 0, True)
    (group,) = timing_groups(settings)
    runner.Runner(settings, emit, lambda *_: None).run_unit(WorkUnit("timing group", group.name, group.cases))


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "oom"),
        (MemoryError(), "oom"),
        (ValueError("bad shape\nand more"), "failed"),
        (Unsupported("not here"), "unsupported"),
    ],
)
def test_a_fault_is_a_status_and_the_others_go_on(monkeypatch, fault, status):
    honest = backends.build_workload

    def build(backend, problem, input_product=True):
        if backend == "compiled":
            raise fault
        return honest(backend, problem, input_product)

    monkeypatch.setattr(runner, "build_workload", build)
    records: list = []
    measured(records)
    assert {r.status for r in records if r.case.backend == "compiled"} == {status}
    assert {r.status for r in records if r.case.backend == "eager"} == {"ok"}
    assert all("\n" not in r.reason and r.reason for r in records if r.status == status)


def test_inference_has_a_layer_of_its_own(monkeypatch):
    """A layer packs its matrices again after a backward pass, which inference by itself doesn't pay."""
    made, honest = [], Workload.make_contestant
    monkeypatch.setattr(Workload, "make_contestant", lambda self, mode: (made.append((self, mode)), honest(self, mode))[1])
    measured([])
    trained, inferring = ([work for work, m in made if m == mode] for mode in ("training", "inference"))
    assert trained and inferring and not any(a is b for a in trained for b in inferring)


def test_a_wrong_kernel_gets_no_time(monkeypatch):
    honest = backends.build_workload

    def build(backend, problem, input_product=True):
        work = honest(backend, problem, input_product)
        if backend == "eager":
            return work
        forward = work.forward
        return dataclasses.replace(work, forward=lambda *a: (lambda y, f: (y * 1.001, f))(*forward(*a)), check=None)

    monkeypatch.setattr(runner, "build_workload", build)
    records: list = []
    measured(records)
    wrong = [r for r in records if r.case.backend == "compiled" and r.case.input_product]
    assert {r.status for r in wrong} == {"incorrect"} and not any(r.samples for r in wrong)
    assert all(r.errors.output > 5e-4 and "off by" in r.reason for r in wrong)


def test_a_call_that_fails_while_it_is_timed(monkeypatch):
    calls, honest = [], backends.Workload.train

    def train(self):
        calls.append(1)
        if len(calls) > 12:
            raise RuntimeError("device lost")
        return honest(self)

    monkeypatch.setattr(backends.Workload, "train", train)
    records: list = []
    measured(records)
    assert "device lost" in {r.reason.removeprefix("RuntimeError: ") for r in records if r.status == "failed"}
    assert {r.status for r in records if r.case.mode == "inference"} == {"ok"}


def spoiled(monkeypatch, spoil):
    """The statuses of a run in which `spoil` makes a workload of the compiled backend dishonest."""
    honest = backends.build_workload

    def build(backend, problem, input_product=True):
        work = honest(backend, problem, input_product)
        return spoil(work) if backend == "compiled" and input_product else work

    monkeypatch.setattr(runner, "build_workload", build)
    records: list = []
    measured(records)
    assert all(r.status == "ok" for r in records if r.case.backend == "eager")
    return {r.case.mode: (r.status, r.reason) for r in records if r.case.backend == "compiled" and r.case.input_product}


def test_a_path_of_its_own_without_gradients(monkeypatch):
    def spoil(work):
        forward = work.forward
        zero = lambda y: y if torch.is_grad_enabled() else torch.zeros_like(y)  # noqa: E731
        return dataclasses.replace(work, forward=lambda *a: (lambda y, f: (zero(y), f))(*forward(*a)))

    assert "without gradients" in spoiled(monkeypatch, spoil)["inference"][1]


def test_an_output_from_an_earlier_call(monkeypatch):
    def spoil(work):
        forward, kept = work.forward, {}

        def cached(*a):
            mode = torch.is_grad_enabled()
            if mode:
                return forward(*a)
            return kept.setdefault(mode, forward(*a))

        return dataclasses.replace(work, forward=cached)

    status, reason = spoiled(monkeypatch, spoil)["inference"]
    assert status == "incorrect" and "after the timing" in reason


def test_an_output_that_is_written_to_after_its_call(monkeypatch):
    """As by another stream: what is there when the call ends is right."""
    work, made = build_workload("eager", small()), []
    before = gate.copy_outputs(work, work.infer())

    def call():
        made.append(work.infer().clone())
        return made[-1]

    assert gate.recheck_after_timing(work, call, before, 1e-5) == ""
    monkeypatch.setattr(gate, "synchronize", lambda device: made[-1].add_(1e-7))
    assert "still written to after the call has ended" in gate.recheck_after_timing(work, call, before, 1e-5)


def test_of_long_sequences_some_steps_are_kept_and_the_last_among_them(monkeypatch):
    monkeypatch.setattr(gate, "STEPS", 16)
    given = small(T=100)
    work = build_workload("eager", given)
    dx, *learned = gate.copy_outputs(work, work.train())
    assert len(dx) == gate.STEPS and torch.equal(dx[-1], work.train()[0][-1]) and len(learned) == len(work.learned)
    assert gate.recheck_after_timing(work, work.train, [dx, *learned], 1e-5) == ""
    assert "after the timing" in gate.recheck_after_timing(work, work.train, [dx, *learned[:-1], learned[-1] * 1.01], 1e-5)
    (y,) = gate.copy_outputs(work, work.infer())
    assert torch.equal(y[[0, -1]], work.infer()[[0, -1]])
    assert "after the timing" in gate.recheck_after_timing(work, work.infer, [y.roll(1, 1)], 1e-5)


def test_without_a_reference_the_backend_is_not_blamed(monkeypatch):
    def reference(self):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("bench.measure.problem.Problem.reference", reference)
    records: list = []
    measured(records)
    assert {r.status for r in records} == {"oom"} and all("no reference to compare it with" in r.reason for r in records)


@pytest.mark.parametrize("words", ["CUDA error: out of memory", "cuDNN error: CUDNN_STATUS_ALLOC_FAILED", "can't allocate memory: 1 byte"])
def test_memory_that_ran_out_is_known_by_its_words(words):
    assert fault.is_out_of_memory(RuntimeError(words)) and not fault.is_out_of_memory(RuntimeError("out of resource: shared memory"))


def test_inputs_that_a_call_changes(monkeypatch):
    def spoil(work):
        forward = work.forward

        def changing(inputs, states):
            result = forward(inputs, states)
            with torch.no_grad():
                states[0].mul_(1.5)
            return result

        return dataclasses.replace(work, forward=changing)

    assert {status for status, _ in spoiled(monkeypatch, spoil).values()} != {"ok"}


def test_a_wrong_scale_in_sixteen_bits_is_an_error():
    """The tolerance of bfloat16 is ten times larger than what is found here: 1% of scale, which noise in the entries doesn't hide."""
    given = make_problem("vanilla", 8, 16, 32, 32, "bfloat16", "cpu", 1)
    right = build_workload("eager", given).answer()
    assert gate.compare_answer(given, right, 0.1)[1] == ""
    for factor in (0.99, 1.01):
        spoiled = Answer(right.outputs, right.gradients | {"W.hh": right.gradients["W.hh"].double() * factor})
        assert "the gradient of W.hh is" in gate.compare_answer(given, spoiled, 0.1)[1]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda y: y.double(), "an output is (6, 3, 4) of float64, not (6, 3, 4) of float32"),
        (lambda y: y[:, :1], "an output is (6, 1, 4) of float32"),
    ],
)
def test_an_output_of_another_shape_or_dtype(change, says):
    given = small()
    right = build_workload("eager", given).answer()
    assert says in gate.compare_answer(given, Answer([change(right.outputs[0]), *right.outputs[1:]], right.gradients), 1e-5)[1]
