"""The verbs of dynamics, tried small: what they write, what their reports say, and what they refuse."""

import math
import re
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

import cells
from bench import cli
from bench.analysis.mean_ci import mean_ci
from bench.analysis.summary import growth_rate
from bench.errors import UsageError
from bench.harness import device
from bench.measure.problem import Problem, make_problem
from bench.records import DecayRecord, GradientRecord, JacobianRecord, Spectrum, TheoryRecord, read_records, write_record
from bench.render import chaos_report, run_report
from bench.render import gradient_report as gradients_report
from bench.render import jacobian_report as jacobians_report
from bench.render.table import write_table
from bench.studies.signals import chaos, gradient_norms, jacobians, signal_plan, trained_layer
from bench.studies.signals.chaos import ChaosSize
from bench.studies.signals.single_thread import one_thread
from kernels import RNN
from kernels.derive.plan import plan as planned
from tests.records import RUN, gradient


def bench(*arguments: str) -> str:
    """What a verb prints on stdout."""
    done = CliRunner().invoke(cli.app, [str(a) for a in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_gradients(tmp_path):
    out = tmp_path / "run"
    printed = bench("gradients", "--cells", "lstm,minimal", "--init", "default,critical", "--seq-lens", "5,70", "--hidden", 4, "--batch", 2,
                    "--seeds", 2, "--dtype", "float32,bfloat16", "--out", out)  # fmt: skip
    found = read_records(out).gradients
    assert len(found) == 3 * 2 * 2 * 2 and {r.init for r in found if r.cell == "minimal"} == {"default", "critical"}
    assert all(r.lags[0] == 0 and r.lags[-1] == r.T and len(r.by_lag) == len(r.errors) == len(r.lags) for r in found)
    exact = [r.errors[1] for r in found if r.dtype == "float32"]
    rough = [r.errors[1] for r in found if r.dtype == "bfloat16"]
    assert max(exact) < 1e-5 and min(rough) > 1e-4 and max(rough) < 0.2
    assert "Gradient norms" in printed and " ± " in printed and "Against float64" in printed
    text = (out / "report.md").read_text()
    assert "Nothing was timed" not in text and "gradients.svg" in text and "## Again" in text
    assert sorted(path.name for path in out.iterdir()) == ["gradients.svg", "records.jsonl", "report.md", "tables"]


def test_jacobian_theory_and_chaos(tmp_path, monkeypatch):
    printed = bench("jacobian", "--cells", "vanilla,gru", "--seq-lens", 6, "--hidden", 3, "--seeds", 2, "--out", tmp_path / "j")
    assert re.search("vanilla +critical", printed) and not re.search("gru +critical", printed)
    printed = bench("theory", "--cells", "vanilla", "--hidden", 32, "--steps", 4, "--out", tmp_path / "t")
    assert len(read_records(tmp_path / "t").theory) == 3 and "Mean-field theory" in printed
    monkeypatch.setattr("bench.studies.signals.chaos.PREVIEW", ChaosSize(1, 3, 20, 40, 9, 20))
    printed = bench(
        "chaos", "--quick", "--cells", "cfn,vanilla_relu", "--init", "normal:9", "--seq-lens", 600, "--hidden", 4, "--out", tmp_path / "c"
    )
    found = read_records(tmp_path / "c")
    assert [m.name for m in found.maps] == ["LSTM map", "GRU map"] and [d.cell for d in found.decays] == ["cfn", "vanilla_relu"]
    assert "Chaotic maps" in printed and "Without input" in printed
    drawn = {path.name for folder in "jtc" for path in (tmp_path / folder).glob("*.svg")}
    assert drawn == {"jacobians.svg", "theory.svg", "attractors.svg", "silence.svg"}


def test_a_report_is_rendered_again_to_the_same_bytes(tmp_path):
    bench("chaos", "--quick", "--cells", "cfn", "--init", "default", "--seq-lens", 9, "--hidden", 2, "--out", tmp_path / "c")
    before = {path: path.read_bytes() for path in (tmp_path / "c").rglob("*.*")}
    run_report.write(tmp_path / "c", read_records(tmp_path / "c"))
    assert {path: path.read_bytes() for path in (tmp_path / "c").rglob("*.*")} == before


def saved(path: Path, cell: str = "cfn") -> RNN:
    """A layer of D=3 and H=4 with a state dict of its own."""
    torch.manual_seed(5)
    rnn = RNN(cell, 3, 4)
    torch.save(rnn.state_dict(), path)
    return rnn


def test_gradients_of_a_trained_layer(tmp_path):
    """Its own weights, and not those of an initialisation, alone or in a model; D and H are its own."""
    rnn = saved(tmp_path / "alone.pt")
    within = {"step": 7, "model": torch.nn.ModuleDict({"rnn": rnn}).state_dict(), "optimisers": [{"state": {0: torch.ones(4)}}]}
    torch.save(within, tmp_path / "within.pt")
    for name in ("alone", "within"):
        bench("gradients", "--cells", "cfn", "--checkpoint", tmp_path / f"{name}.pt", "--seq-lens", 6, "--seeds", 1, "--batch", 2,
              "--dtype", "float64", "--out", tmp_path / name)  # fmt: skip
        record = read_records(tmp_path / name).gradients[0]
        assert (record.D, record.H) == (3, 4) and record.init.startswith(f"{name}.pt ")
        assert record.by_lag == pytest.approx(gradient_norms.measure_gradients(trained(rnn, 6, 2)).by_lag, rel=1e-12)


def test_a_model_of_two_layers(tmp_path):
    """Values of one are not mixed with those of another, and which of two is meant is not guessed."""
    two = torch.nn.ModuleDict({"first": RNN("minimal", 3, 4), "second": RNN("cfn", 3, 4), "third": RNN("minimal", 3, 4)})
    torch.save(two.state_dict(), tmp_path / "two.pt")
    found = trained_layer.read_weights(tmp_path / "two.pt", "cfn")
    assert all(torch.equal(found[name], value) for name, value in two["second"].weights().items())
    with pytest.raises(UsageError, match=r"two\.pt holds first and third: save the state dict of one minimal"):
        trained_layer.read_weights(tmp_path / "two.pt", "minimal")


def trained(rnn: RNN, T: int, B: int) -> Problem:
    made = make_problem(rnn.cell.name, T, B, rnn.input_size, rnn.hidden_size, "float64", "cpu", 0)
    for key, value in made.weights.items():
        value.copy_(rnn.weights()[key])
    return made


@pytest.mark.parametrize("cell", ["minimal_deep", "lstm"])
def test_jacobians_of_a_trained_layer(tmp_path, cell):
    rnn = saved(tmp_path / "model.pt", cell)
    bench("jacobian", "--cells", cell, "--checkpoint", tmp_path / "model.pt", "--seq-lens", 5, "--seeds", 1, "--out", tmp_path / "run")
    found, expected = read_records(tmp_path / "run").jacobians[0], jacobians.measure_jacobians(trained(rnn, 5, 1))
    assert (found.D, found.H) == (3, 4) and found.init.startswith("model.pt ") and found.state == expected.state
    assert found.latent == expected.latent and (found.latent is None) == (cell == "lstm")


def test_a_trained_layer_without_input(tmp_path):
    rnn = saved(tmp_path / "model.pt", "gru").double()
    arguments = "--cells", "gru", "--checkpoint", tmp_path / "model.pt", "--seq-lens", 40
    printed = bench("chaos", *arguments, "--out", tmp_path / "run")
    found = read_records(tmp_path / "run")
    assert found.decays == [chaos.measure_autonomous(rnn, found.decays[0].init, 40, signal_plan.TRAJECTORIES, 0)] and not found.maps
    assert found.decays[0].norm[-1] != chaos.measure_decay(rnn.cell, "default", 40, signal_plan.TRAJECTORIES, 4, 0).norm[-1]
    assert re.search("gru +model.pt", printed) and "silence.svg" in (tmp_path / "run" / "report.md").read_text()
    rnn.weights()["b.r"].data += 1
    torch.save(rnn.state_dict(), tmp_path / "model.pt")
    with pytest.raises(UsageError, match=r"measured with checkpoint model\.pt"):
        bench("chaos", *arguments, "--out", tmp_path / "run", "--resume")


@pytest.mark.parametrize("cell", cells.names())
def test_sizes_of_every_cell_are_read_in_its_weights(cell):
    H = cells.load(cell).round_up_width(5)
    D = H if planned(cells.load(cell)).elementwise_input else 3
    weights = RNN(cell, D, H).weights()
    assert trained_layer.find_sizes(cell, weights, Path("a.pt")) == (D, H)
    some = next(name for name in weights if name.startswith("W."))
    with pytest.raises(UsageError, match="shapes are not those"):
        trained_layer.find_sizes(cell, weights | {some: torch.zeros(7, 11)}, Path("a.pt"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("gradients", "--cells", "lstmm"), "did you mean lstm"),
        (("gradients", "--init", "critcal"), "no initialisation of"),
        (("gradients", "--init", ","), "names no initialisation"),
        (("gradients", "--cells", "lstm", "--init", "critical"), "no initialisation of lstm"),
        (("gradients", "--seeds", "0"), "at least 1"),
        (("gradients", "--checkpoint", "nowhere.pt"), "say which with --cells"),
        (("gradients", "--checkpoint", "nowhere.pt", "--cells", "gru"), "can't be read"),
        (("chaos", "--checkpoint", "nowhere.pt", "--cells", "gru,lstm"), "say which with --cells"),
        (("jacobian", "--checkpoint", "nowhere.pt", "--cells", "gru", "--init", "default"), "leave out --init"),
        (("theory", "--resume"), "name its folder with --out"),
        (("jacobian", "--budget", "5"), "takes a time with its unit"),
        (("jacobian", "--init", "normal:x"), "normal:1.5"),
        (("chaos", "--init", "default,orthogonal:nan"), "no initialisation of"),
        (("gradients", "--init", "normal:-1"), "no initialisation of"),
        (("jacobian", "--dtype", "int8"), "no dtype is called"),
        (("jacobian", "--cells", "lstm,slstm", "--hidden", "9"), "the heads of slstm share the units: take --hidden 12, not 9"),
        (("gradients", "--cells", "slstm", "--hidden", "2"), "take --hidden 4"),
        (("theory", "--cells", "cfn"), "no cell with a theory"),
        (("chaos", "--seq-lens", "1"), "at least 2"),
    ],
)
def test_faults_are_one_line(arguments, said, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["bench", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    err = capsys.readouterr().err
    assert stop.value.code == 2 and said in err and len(err.splitlines()) == 1
    assert not list(tmp_path.rglob("records.jsonl"))


@pytest.mark.parametrize(("content", "said"), [(b"", "EOFError"), (b"hello", "can't be read")])
def test_what_is_no_checkpoint_is_refused(tmp_path, content, said):
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(UsageError, match=said):
        bench("chaos", "--cells", "gru", "--checkpoint", tmp_path / "a.pt", "--out", tmp_path / "run")


@pytest.mark.parametrize("cell", ["qrnn", "fastgrnn", "slstm", "mingru", "minimal_deep"])
def test_a_trained_layer_of_any_cell(cell, tmp_path):
    """Whatever its matrices are called, blocks and scalars among them."""
    torch.save(RNN(cell, 3, 8).state_dict(), tmp_path / "saved.pt")
    bench("gradients", "--cells", cell, "--checkpoint", tmp_path / "saved.pt", "--seq-lens", 6, "--seeds", 1, "--batch", 2,
          "--dtype", "float64", "--out", tmp_path / "run")  # fmt: skip
    record = read_records(tmp_path / "run").gradients[0]
    assert (record.D, record.H) == (3, 8) and not record.non_finite


def test_initialisations_are_those_of_the_cells_that_have_them(tmp_path):
    """--init chrono is janet's, and of the other cells it is left out."""
    bench("jacobian", "--cells", "janet,gru,qrnn", "--init", "default,chrono", "--seq-lens", 5, "--hidden", 3, "--seeds", 1,
          "--out", tmp_path / "j")  # fmt: skip
    found = {(r.cell, r.init) for r in read_records(tmp_path / "j").jacobians}
    assert found == {("janet", "default"), ("janet", "chrono"), ("gru", "default"), ("qrnn", "default")}


def test_another_cells_checkpoint_is_refused(tmp_path):
    torch.save(RNN("gru", 2, 3).state_dict(), tmp_path / "gru.pt")
    with pytest.raises(UsageError, match=r"has no W\.ffh|has no .*W\.fh.*: is it a lstm"):
        bench("gradients", "--cells", "lstm", "--checkpoint", tmp_path / "gru.pt", "--out", tmp_path / "run")


def test_a_short_part_of_everything(monkeypatch):
    """Named and callable, every kind of it; one of each is measured."""
    device.resolve_device("cpu")
    pieces = dict(signal_plan.preview_pieces("cpu", 0))
    with one_thread():
        kinds = {type(pieces[name]()).__name__ for name in ("lstm default seed 0", "gru σ_w=1 σ_v=1 μ=0", "GRU map")}
    assert kinds == {"JacobianRecord", "TheoryRecord", "MapRecord"} and len(pieces) == 8 + 5 + 2


def test_every_kind_survives_its_file(tmp_path):
    spectrum = Spectrum(values=[[1.0], []], mean_square=[1.0, math.inf])
    one = Spectrum(mean_square=[1.0])
    lines = [
        JacobianRecord(cell="gru", T=2, D=1, H=1, dtype="float64", seed=0, init="default", backend="eager", lags=[0, 2],
                       state=spectrum, input=one),
        TheoryRecord(cell="gru", w=1, v=1, mu=0, phi=1, N=8, seed=0, q=1, Q=0.5, chi=1.5, xi=math.inf, untied=[0.1, 0.2]),
        DecayRecord(cell="gru", init="default", T=2, B=2, H=1, seed=0, exponent=[-math.inf], times=[0], norm=[1.0], distance=[1.0]),
    ]  # fmt: skip
    with (tmp_path / "records.jsonl").open("ab", buffering=0) as stream:
        for line in (RUN, *lines):
            write_record(stream, line)
    found = read_records(tmp_path)
    assert [*found.jacobians, *found.theory, *found.decays] == lines
    text = run_report.render(found, [])
    assert "below any number" in text and "infinite" in text and "not finite" not in text.split("## Mean-field")[1].split("## Without")[0]


def test_the_interval_of_a_mean_is_students():
    """The 97.5% quantile of t with two degrees of freedom is 4.3027."""
    found = mean_ci([1.0, 2.0, 3.0])
    assert (found.value, found.n, found.sign) == (2.0, 3, 0) and found.half == pytest.approx(4.302653 / 3**0.5, rel=1e-6)
    assert mean_ci([1.0]).half == math.inf and mean_ci([2.0, 2.1, 2.05]).sign == 1 and mean_ci([-2.0, -2.1]).sign == -1


def test_where_a_gradient_is_lost():
    record = GradientRecord(
        cell="lstm", T=4, B=1, D=1, H=1, dtype="bfloat16", seed=0, loss="L", by_lag=[1.0, 0.5, 0.25, 0.0], lags=[0, 1, 2, 4],
        errors=[0.0, 0.01, 0.7, 1.0], parameters={"W.uh": 0.5}, backend="eager", init="default",
    )  # fmt: skip
    exact = record.model_copy(update={"dtype": "float32", "errors": [0.0, 1e-7, 1e-7, 1e-7], "by_lag": [1.0, 0.5, 0.25, 0.0625]})
    rows = write_table(gradients_report.lost_table([record, exact])).splitlines()
    assert [cell.strip() for cell in rows[2].split("|")[5:-1]] == ["1.0e-02", "1.0e+00", "2", "4"]
    assert [cell.strip() for cell in rows[3].split("|")[5:-1]] == ["1.0e-07", "1.0e-07", "–", "–"]
    assert "-0.6931" in write_table(gradients_report.flow_table([exact], True, ""))  # by 2 in each step


def test_what_no_number_of_a_dtype_tells_underflows():
    """Of a gradient that stays where float32 rounds it to, and is nothing in float64: neither a norm nor a finite error."""
    stays = GradientRecord(
        cell="cfn", T=300, B=1, D=1, H=1, dtype="float32", seed=0, loss="L", by_lag=[1.0, 1e-20, 2e-45, 2e-45], lags=[0, 16, 256, 300],
        errors=[0.0, 1e-6, 0.3, math.inf], parameters={}, backend="compiled", init="default",
    )  # fmt: skip
    gone = stays.model_copy(update={"cell": "gru", "by_lag": [1.0, 1e-20, 0.0, 0.0], "errors": [0.0, 1e-6, 1.0, 0.0]})
    rows = write_table(gradients_report.lost_table([stays, gone])).splitlines()
    assert "error at lag 16 | " in rows[0] and "at lag 128" not in rows[0]
    assert [cell.strip() for cell in rows[2].split("|")[5:-1]] == ["1.0e-06", "infinite", "300", "256"]
    assert [cell.strip() for cell in rows[3].split("|")[5:-1]] == ["1.0e-06", "–", "256", "256"]
    flow = write_table(gradients_report.flow_table([stays], True, ""))
    assert "below 1.2e-38" in flow and "-2.8782" in flow


def test_a_column_of_the_picture_for_every_initialisation(tmp_path):
    record = GradientRecord(
        cell="lstm", T=70, B=1, D=1, H=1, dtype="float32", seed=0, loss="L", by_lag=[1.0, 0.5, 0.25], lags=[0, 1, 70],
        errors=[0.0, 1e-7, math.inf], parameters={}, backend="eager", init="default",
    )  # fmt: skip
    others = [{"init": "critical", "cell": "minimal"}, {"dtype": "bfloat16"}, {"T": 5, "init": "never"}, {"seed": 1, "by_lag": [0.0] * 3}]
    (path,) = gradients_report.draw([record, *(record.model_copy(update=change) for change in others)], tmp_path)
    text = path.read_text()
    assert all(f">{words}</text>" in text for words in ("critical", "default", "lstm", "minimal", "error against float64"))
    assert ">never</text>" not in text and "dotted bfloat16; below, its error" in text
    plain = record.model_copy(update={"errors": [], "T": 2, "lags": [0, 1, 2]})
    assert "error against float64" not in gradients_report.draw([plain], tmp_path)[0].read_text()


@pytest.mark.parametrize(("norms", "said"), [([2.0, 2.2], "exploding"), ([0.5, 0.45], "vanishing"), ([1.1, 0.9], "neither")])
def test_rates_are_named_by_their_interval(norms, said):
    records = [
        gradient("gru", 3).model_copy(update={"by_lag": [norm**k for k in range(4)], "seed": seed}) for seed, norm in enumerate(norms)
    ]
    growth = gradients_report.name_growth(mean_ci([growth_rate(record) for record in records]))
    assert growth.endswith(said) and " ± " in growth
    assert "," not in gradients_report.name_growth(mean_ci([growth_rate(records[0])]))


def test_growth_of_a_jacobian_is_that_of_its_root_mean_square():
    found = Spectrum(mean_square=[1.0, math.exp(-0.4), math.exp(-0.8), 0.0])
    assert jacobians_report.growth([0, 1, 2, 4], found) == pytest.approx(-0.2)
    assert jacobians_report.growth([0, 1], Spectrum(mean_square=[1.0, 2.0])) is None
    assert jacobians_report.jacobian_tables([]) == chaos_report.chaos_tables([], []) == []
