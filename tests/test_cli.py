"""The command line as its users meet it: what it prints, its exit codes, and that nothing measured is lost."""

import errno
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import cells
from bench.commands.cell_report import derived_functions
from bench.errors import UsageError
from bench.harness.runner import Runner
from bench.records import read_records
from bench.records.resume import check_resumable
from kernels.derive.plan import plan
from tests.command_line import bench
from tests.inline import Inline
from tests.records import whole
from tests.sampling import in_full
from tests.started import finish

__all__ = ["bench"]

ROOT = Path(__file__).parents[1]
BACKENDS = "compiled,compiled-low,vendor,stepwise"
QUICK = ("all", "--quick", "--cells", "minimal,lstm", "--backends", BACKENDS, "--seq-lens", "3", "--device", "cpu")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["all", "--cells", "minmal"], "did you mean minimal?"),
        (["all", "--backends", "cudnn"], "there are eager, compiled"),
        (["all", "--backends", "eagre"], "did you mean eager?"),
        (["all", "--cells", ","], "no cell named"),
        (["all", "--seq-lens", "8,0"], "--seq-lens must be at least 1, not 0"),
        (["all", "--seq-lens", "8,,9"], "--seq-lens takes whole numbers"),
        (["all", "--batch", "-3"], "--batch must be at least 1, not -3"),
        (["all", "--hidden", "1e3"], "--hidden takes whole numbers"),
        (["all", "--input", "99999999999"], "--input must be below"),
        (["all", "--dtype", "float8"], "no dtype is called 'float8'"),
        (["all", "--dtype", "float32,float64"], "one dtype at a time"),
        (["all", "--device", "tpu"], "no device is called 'tpu'"),
        (["all", "--precision", "tf32", "--device", "cpu"], "needs a GPU"),
        (["all", "--seed", "x"], "--seed takes whole numbers"),
        (["all", "--out", "/proc/nowhere"], "can't be written"),
        (["all", "--frobnicate"], "No such option"),
        (["al"], "No such command"),
        (["show", "gruu"], "did you mean gru?"),
        (["show"], "Missing argument"),
        (["report", "nowhere"], "can't be read"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(bench, arguments, says):
    code, out, err = bench(*arguments)
    assert (code, out) == (2, "")
    assert says in err and err.startswith("bench: ") and err.count("\n") == 1


@pytest.mark.skipif("__import__('torch').cuda.is_available()", reason="there is a GPU")
def test_cuda_without_a_gpu(bench):
    code, _, err = bench("all", "--device", "cuda")
    assert code == 2 and "no GPU" in err and "--device cpu" in err


def test_every_input_of_the_step_is_said(bench):
    """What is made of learned vectors alone as well, which is made once."""
    assert "in front of the loop, once:\n    zeta = sigmoid(s.zeta)\n    nu = sigmoid(s.nu)\n" in bench("show", "fastgrnn")[1]
    assert "once:" not in bench("show", "lstm_peephole")[1]


def test_what_is_shown_is_whole(bench, monkeypatch):
    """In eighty columns the code of a step goes on in the next line."""
    monkeypatch.setenv("COLUMNS", "80")
    wide = derived_functions(plan(cells.load("slstm")))
    assert max(map(len, wide.splitlines())) > 80
    assert "".join(wide.split()) in "".join(bench("show", "slstm")[1].split())


def test_help_list_show_doctor(bench):
    assert "Usage" in bench()[1] and "--seq-lens" in bench("all", "--help")[1]
    assert all(name in bench("list")[1] for name in ("cfn", "gru_reset_before", "minimal_deep", "vanilla_relu"))
    shown = bench("show", "minimal")[1]
    for part in ("u_t = σ(U_h h_{t-1} + U_z z_t + b_u)", "D·H + 2·H² + 2·H", "W.uz(z) + b.u", "def step(", "def step_adjoint("):
        assert part in shown
    assert "def linearised_step(" in shown and "inline void linearised_step(" in shown and "void" not in bench("show", "wave")[1]
    assert "2·B·H²·(3·T - 1) in it" in shown and "barriers  2·T - 2" in shown
    assert all(part in bench("doctor")[1] for part in ("torch", "triton", "C++ compiler", "GPU", "cuDNN", "compiled"))


def test_dry_run_measures_nothing(bench, tmp_path):
    code, out, _ = bench("all", "--dry-run", "--cells", "minimal", "--device", "cpu", "--out", tmp_path / "new")
    assert code == 0 and "none measured" in out and not (tmp_path / "new").exists()
    assert "gru" in out, "MinimalRNN is compared with the vendor's GRU"
    assert "-low" not in out, "low memory is measured where it is asked for, and on a GPU"


def test_a_run_from_end_to_end(bench, tmp_path):
    code, out, err = bench(*QUICK, "--out", tmp_path / "run")
    assert code == 0, err
    records = read_records(tmp_path / "run")
    statuses = {(r.case.cell, r.case.backend, r.case.mode, r.case.input_product, r.case.matched_params_of): r.status for r in records.cases}
    assert statuses["lstm", "vendor", "training", True, ""] == "ok"
    assert statuses["lstm", "compiled", "inference", False, ""] == "ok"
    assert statuses["lstm", "compiled-low", "training", True, ""] == "ok"
    assert ("lstm", "compiled-low", "training", False, "") not in statuses
    assert statuses["minimal", "vendor", "training", True, ""] == "unsupported"
    assert statuses["gru", "vendor", "training", True, "minimal"] == "ok"
    assert statuses["minimal", "stepwise", "training", True, ""] == "verified"
    for r in records.cases:
        assert bool(r.samples) == (r.status == "ok")
        assert r.status == "unsupported" or r.errors.gradient < 1e-5
    assert records.run.environment.constants.products.keys() == {"float32", "float64"} and all(r.lower_bound for r in records.cases)
    assert "× hardware lower bound, T=3" in out and "### × hardware lower bound, T=3" in (tmp_path / "run" / "report.md").read_text()
    assert {g.cell for g in records.gradients} == {"minimal", "lstm"}
    assert "minimal" in out and (tmp_path / "run" / "report.md").read_text().startswith("# ")
    report = (tmp_path / "run" / "report.md").read_bytes()
    code, _, err = bench("report", tmp_path / "run")
    assert code == 0 and (tmp_path / "run" / "report.md").read_bytes() == report, err
    code, _, err = bench(*QUICK, "--out", tmp_path / "run")
    assert code == 2 and "exists already" in err and (tmp_path / "run" / "report.md").read_bytes() == report


@pytest.mark.full
def test_without_a_compiler_the_rows_say_so(bench, tmp_path, monkeypatch):
    monkeypatch.setattr("bench.harness.speed_experiment.Worker", Inline)
    monkeypatch.setattr("kernels.schedules.cpu.compiled.compiler", lambda: None)
    monkeypatch.setattr("bench.measure.environment.compiler", lambda: None)
    code, *_ = bench(
        "all",
        "--quick",
        "--cells",
        "vanilla",
        "--backends",
        "compiled,eager",
        "--seq-lens",
        "2",
        "--device",
        "cpu",
        "--out",
        tmp_path / "o",
    )
    cases = read_records(tmp_path / "o").cases
    assert code == 0 and {r.status for r in cases if r.case.backend == "eager"} == {"ok"}
    assert all("install g++" in r.reason for r in cases if r.case.backend == "compiled")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda text: text[:-40], "cut short"),
        (lambda text: text.replace('"schema_version":5', '"schema_version":7', 1), "schema 7"),
        (lambda text: "\n".join(text.split("\n")[1:]), "line 1 is not a run"),
        (lambda text: text.replace('"status":"ok"', '"status":"fine"', 1), "status"),
        (lambda text: "", "line 1 is not a run"),
        (lambda text: "[1, 2]\n", "line 1"),
    ],
)
def test_a_spoiled_records_file_is_named_with_its_line(bench, tmp_path, spoil, says):
    built = whole()
    lines = [built.run, *built.cases, *built.gradients]
    path = tmp_path / "records.jsonl"
    path.write_text(spoil("".join(line.model_dump_json() + "\n" for line in lines)))
    code, _, err = bench("report", path)
    assert code == 2 and says in err and str(path) in err and err.count("\n") == 1


def limit_files() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (17_000, 17_000))


def test_a_full_disk_loses_nothing(tmp_path):
    """Files may grow to so many bytes: the run ends with one line, and what was written before reads back. It fills while the records of
    a group are written, each of which has the samples of all builds."""
    done = finish(*QUICK, "--backends", "vendor,eager", "--out", tmp_path / "full", before=limit_files)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr and "records before are in it" in done.stderr
    kept = read_records(tmp_path / "full")
    timed = [record for record in kept.cases if record.samples]
    assert len(kept.gradients) == 2 and len(kept.cases) < kept.plans[0].count
    assert timed and all(set(record.builds) == {0, 1} for record in timed)


@pytest.mark.full
def test_a_disk_too_full_for_the_report_loses_no_record(bench, tmp_path, monkeypatch):
    def fail(*_: object) -> None:
        raise OSError(errno.EFBIG, "File too large")

    monkeypatch.setattr("bench.harness.speed_experiment.Worker", Inline)
    monkeypatch.setattr("bench.render.run_report.write_page", fail)
    code, _, err = bench(*QUICK, "--backends", "vendor,eager", "--out", tmp_path / "full")
    assert code == 2 and "no report, File too large; all" in err
    assert read_records(tmp_path / "full").gradients


@pytest.mark.parametrize(("shell", "says"), [(">/dev/full", "No space left on device"), in_full(">&-", "stdout is closed")])
def test_where_nothing_can_be_printed_one_line_says_so(shell, says):
    """Whatever the verb: this one is quick."""
    done = subprocess.run(f"{sys.executable} -m bench list {shell}", shell=True, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and says in done.stderr and done.stderr.count("\n") == 1


def test_a_run_is_not_resumed_on_another_machine():
    here = whole().run.environment
    run = whole().run.model_copy(update={"settings": {"batch": 4}})
    check_resumable(Path("run"), run, {"batch": 4}, here)
    for name, other in (("threads", here.threads + 1), ("processor", "another"), ("python", "2.7"), ("compiler", "none"), ("dirty", True)):
        with pytest.raises(UsageError, match=f"was measured with {name}"):
            check_resumable(Path("run"), run, {"batch": 4}, here.model_copy(update={name: other}))


def test_interrupted_it_keeps_and_renders_what_it_has(bench, tmp_path, monkeypatch):
    measured = Runner.time_group

    def stop(self, job):
        measured(self, job)
        raise KeyboardInterrupt

    monkeypatch.setattr("bench.harness.speed_experiment.Worker", Inline)
    monkeypatch.setattr(Runner, "time_group", stop)
    code, _, err = bench(*QUICK[:-4], "--seq-lens", "2,3", "--device", "cpu", "--out", tmp_path / "cut")
    assert code == 130 and "interrupted" in err and str(tmp_path / "cut" / "records.jsonl") in err
    assert {r.case.T for r in read_records(tmp_path / "cut").cases if r.status == "ok"} == {2}
    assert (tmp_path / "cut" / "report.md").exists()


def test_a_report_rendered_again_is_the_same_to_the_byte(bench, tmp_path):
    """Its pictures, too: none is drawn before the last record is written."""
    code, _, err = bench(*QUICK[:-6], "--backends", "vendor", "--seq-lens", "2", "--device", "cpu", "--out", tmp_path / "run")
    assert code == 0, err
    assert bench("report", tmp_path / "run", "--out", tmp_path / "again")[0] == 0
    again = [path.relative_to(tmp_path / "again") for path in (tmp_path / "again").rglob("*.*")]
    assert {path.suffix for path in again} == {".md", ".svg", ".csv"}
    for path in again:
        assert (tmp_path / "again" / path).read_bytes() == (tmp_path / "run" / path).read_bytes(), path
