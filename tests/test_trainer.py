"""Training: that it learns, that it can be put down and taken up, why it ends, and what it says of a trained layer."""

import dataclasses
import itertools
import json
import math

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

import cells
from bench.errors import UsageError
from bench.harness import training_view
from bench.records import read_records
from bench.records.training_record import Point, Trial
from bench.studies.training import load_task, training_checkpoint, unit_analysis
from bench.studies.training import trainings as run
from bench.studies.training.adding import Adding
from bench.studies.training.copying import Copying
from bench.studies.training.layer_check import WrongResult, check_layer
from bench.studies.training.learning_rate_search import Search
from bench.studies.training.noise_robustness import NoisyLayer, add_noise
from bench.studies.training.recommend import Recommend
from bench.studies.training.round_robin import round_robin
from bench.studies.training.trainer import Training
from bench.studies.training.training_plan import TrainingPlan, count_recurrent_parameters, matching_width
from cells.grammar.functions import prev
from kernels import RNN

CPU = torch.device("cpu")
EASY = Adding(T=10, B=32, H=16, steps=250, every=50, rates=(2e-2,))


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """What is this small is slower in two, and far slower where others compute at the same time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


CLICKS = {"users": 60, "T": 12, "vocabulary": 200, "S": 32, "B": 8, "H": 8, "every": 4}


def trial(task, cell="minimal", **changes) -> Trial:
    known = {"task": task.name, "cell": cell, "H": task.H, "seed": 0, "rate": task.rates[0], "steps": task.steps}
    return Trial.model_validate(known | changes)


def quiet(trial: Trial, point: Point) -> None:
    pass


@pytest.mark.parametrize("cell", ["minimal", "gru"])
def test_adding_is_learned(cell):
    """Ten steps, a few seconds: an answer that is always 1 has an error of 0.167."""
    record = Training(EASY, trial(EASY, cell), CPU).run(quiet)
    assert record.end == "target" and record.final < 0.02
    assert record.curve[0].value > 0.1 and record.curve[0].step == 0 and record.curve[0].loss is None
    assert record.backend == "compiled" and record.error < 5e-5
    assert [p.step for p in record.curve] == list(range(0, record.steps + 1, 50))
    assert all(a.seconds < b.seconds for a, b in itertools.pairwise(record.curve)) and record.seconds == record.curve[-1].seconds


def test_copying_is_learned_beyond_chance():
    task = Copying(T=2, B=32, H=32, steps=300, every=300)
    assert Training(task, trial(task, "gru"), CPU).run(quiet).final > 1.5 / 8  # 5000 symbols: one deviation of chance is 0.04 / 8


def test_the_recommender_learns_transitions():
    task = Recommend(users=150, T=12, vocabulary=60, B=32, H=32, S=64, steps=80, every=80, rates=(2e-2,))
    record = Training(task, trial(task), CPU).run(quiet)
    assert record.final > 1.5 * task.baselines()["most popular"]


@pytest.mark.parametrize(
    "task", [dataclasses.replace(EASY, steps=24, every=8), Recommend(**CLICKS, steps=24, rates=(1e-2,))], ids=["adding", "recommend"]
)
@pytest.mark.parametrize("killed", [3, 17])
def test_a_training_killed_anywhere_ends_where_it_would_have(task, killed, tmp_path, monkeypatch):
    """Bit by bit: the same weights, losses and looks; seconds are those of the clock. What was done since the last look is done again."""
    monkeypatch.setattr("bench.studies.training.trainer.PAUSE", 0.0)
    whole = Training(task, trial(task), CPU)
    expected = whole.run(quiet)

    class Killed(Exception):
        pass

    first = Training(task, trial(task), CPU, tmp_path / "a.pt")
    advance = first.advance

    def counted() -> None:
        if first.step == killed:
            raise Killed
        advance()

    first.advance = counted  # type: ignore[method-assign]
    with pytest.raises(Killed):
        first.run(quiet)
    second = Training(task, trial(task), CPU, tmp_path / "a.pt")
    assert 0 <= second.step <= killed and (second.step or killed < 8)
    found = second.run(quiet)
    assert [(p.step, p.loss, p.value) for p in found.curve] == [(p.step, p.loss, p.value) for p in expected.curve]
    assert found.final == expected.final and found.clipped == expected.clipped and found.largest == expected.largest
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name]), name


def test_time_that_a_process_was_stopped_is_no_training():
    """Nine steps of a tenth of a second and one that Ctrl-Z came into; a long step among long ones is one."""
    training = Training(EASY, trial(EASY), CPU)
    training.durations = [0.1] * 9 + [30.0]
    training.add_elapsed()
    assert training.seconds == pytest.approx(1.0) and training.paused == pytest.approx(29.9)
    training.durations = [0.001] * 9 + [0.9]
    training.add_elapsed()
    assert training.seconds == pytest.approx(1.909) and training.paused == pytest.approx(29.9)


def test_by_turns_each_ends_where_it_would_have_alone():
    task = dataclasses.replace(EASY, steps=30, every=10, rates=(1e-3,))
    told, every = [], [trial(task, cell, seed=seed) for cell in ("minimal", "gru") for seed in (0, 1)]
    alone = [Training(task, t, CPU).run(quiet) for t in every]
    rng = np.random.default_rng(0)
    together = {
        training.trial: training.record(end)
        for training, end in round_robin(
            [Training(task, t, CPU) for t in every], rng, lambda t, point: told.append((t, point.step)), math.inf
        )
    }
    for record in alone:
        found = together[record.trial]
        assert [(p.step, p.loss, p.value) for p in found.curve] == [(p.step, p.loss, p.value) for p in record.curve]
        assert (found.final, found.end, found.largest) == (record.final, record.end, record.largest)
    rounds = [told[k : k + 4] for k in range(0, 16, 4)]
    assert [{step for _, step in found} for found in rounds] == [{0}, {10}, {20}, {30}]  # none is ahead of another by more than a look
    assert all({t for t, _ in found} == set(every) for found in rounds) and len({tuple(t for t, _ in found) for found in rounds}) > 1


def test_a_live_table_has_those_that_were_last_told_of():
    """Twenty by turns, of which eight have ended."""
    shown = training_view.TrainingView("accuracy", None)
    every = [trial(EASY, seed=seed) for seed in range(20)]
    for step, told in ((0, every), (50, every[8:])):
        for one in told:
            shown.add_point(one, Point(seconds=0.0, step=step, loss=None, value=0.5))
    seeds = list(shown.make_table().columns[2].cells)
    assert seeds == [str(seed) for seed in range(8, 20)] and len(seeds) == training_view.ROWS


def test_out_of_time_all_end_where_they_are():
    task = dataclasses.replace(EASY, steps=30, every=10, rates=(1e-3,))
    trainings = [Training(task, trial(task, cell), CPU) for cell in ("minimal", "gru")]
    ended = list(round_robin(trainings, np.random.default_rng(0), quiet, 0.0))
    assert [end for _, end in ended] == ["time", "time"] and [t.step for t in trainings] == [0, 0]


def test_out_of_time_and_gone_on_with(tmp_path):
    task = dataclasses.replace(EASY, steps=20, every=10, rates=(1e-3,))
    path = tmp_path / "a.pt"
    assert Training(task, trial(task), CPU, path).run(quiet, until=0.0).end == "time"
    assert Training(task, trial(task), CPU, path).run(quiet).end == "steps"
    longer = Training(task, trial(task, steps=40), CPU, path)
    assert longer.step == 20 and longer.run(quiet).steps == 40
    with pytest.raises(UsageError, match="with cell minimal, not gru"):
        Training(task, trial(task, "gru"), CPU, path)


def test_a_broken_checkpoint_is_one_line(tmp_path):
    path = tmp_path / "a.pt"
    path.write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(UsageError, match="is no checkpoint") as caught:
        training_checkpoint.load_file(path)
    assert "\n" not in str(caught.value)
    (tmp_path / "search.json").write_text('{"gru')
    with pytest.raises(UsageError, match=r"search\.json is no JSON"):
        Search(tmp_path, CPU, quiet)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda content: {"model": content["model"], "epoch": 3}, "it has no 'trial'"),
        (lambda content: {key: value for key, value in content.items() if key != "clipped"}, "it has no 'clipped'"),
        (lambda content: content | {"trial": 3}, "'int' object has no attribute"),
        (lambda content: content | {"model": {}}, "Error\\(s\\) in loading state_dict"),
        (lambda content: content | {"optimisers": []}, "zip"),
        (lambda content: content | {"optimisers": [{"state": {}, "param_groups": []}]}, "param"),
        (lambda content: content | {"curve": [{"step": 3}]}, "validation error"),
        (lambda content: content | {"step": "3"}, "its step is a str"),
        (lambda content: torch.zeros(3), ""),
        (lambda content: None, "NoneType"),
    ],
)
def test_a_checkpoint_of_another_program_is_one_line(change, told, tmp_path):
    """What torch can read, but no training goes on from."""
    path = tmp_path / "a.pt"
    Training(EASY, trial(EASY, steps=2), CPU, path).run(quiet)
    torch.save(change(training_checkpoint.load_file(path)), path)
    message = rf"a\.pt is no checkpoint of this training \(.*{told}.*\): delete it, and --resume begins that training again$"
    with pytest.raises(UsageError, match=message) as caught:
        Training(EASY, trial(EASY, steps=2), CPU, path)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_is_whole_or_what_it_was(tmp_path, monkeypatch):
    path = tmp_path / "a.pt"
    training_checkpoint.save_file(path, {"step": 1})

    def full(content, stream) -> None:
        stream.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError):
        training_checkpoint.save_file(path, {"step": 2})
    assert training_checkpoint.load_file(path) == {"step": 1}


def test_it_stops_where_nothing_gets_better():
    task = dataclasses.replace(EASY, steps=500, every=5, patience=3, rates=(1e-9,))
    record = Training(task, trial(task), CPU).run(quiet)
    assert record.end == "stopped" and len(record.curve) < 20
    values = [p.value for p in record.curve]
    assert min(values) == values[-4]


def test_it_says_where_it_diverged():
    task = dataclasses.replace(EASY, rates=(1e30,))
    record = Training(task, trial(task), CPU).run(quiet)
    assert record.end == "diverged" and record.steps < 10
    assert math.isfinite(record.final)  # of the best look, the first


def test_the_final_value_is_that_of_the_best_look():
    """A rate that does harm: the first look is the best, and not the last."""
    task = dataclasses.replace(EASY, every=2, patience=2)
    training = Training(task, trial(task, rate=1.0), CPU)
    record = training.run(quiet)
    values = [p.value for p in record.curve]
    assert task.measure(training.model, "valid") == min(values) < values[-1]


def test_a_layer_that_is_wrong_is_not_trained(monkeypatch):
    rnn = RNN("minimal", 3, 5)
    x = torch.randn(7, 2, 3)
    assert check_layer(rnn, x)[0] == "compiled" and check_layer(rnn, x)[1] < 1e-5
    forward = RNN.forward
    monkeypatch.setattr(RNN, "forward", lambda self, *given: (forward(self, *given)[0] * 1.001, None))
    with pytest.raises(WrongResult, match=r"minimal \(compiled\) is off by"):
        check_layer(rnn, x)


def test_equal_parameters():
    for cell in cells.SEED:
        width = matching_width(cell, 10, count_recurrent_parameters("gru", 10, 64))
        off = [
            abs(count_recurrent_parameters(cell, 10, H) - count_recurrent_parameters("gru", 10, 64)) for H in (width - 1, width, width + 1)
        ]
        assert min(off) == off[1]
    assert matching_width("gru", 10, count_recurrent_parameters("gru", 10, 64)) == 64


def test_a_plan_gives_every_cell_its_turn_before_the_next_seed():
    trials = [t for _, t in TrainingPlan(EASY, ("gru", "minimal"), 2, ("hidden", "parameters")).trials()]
    assert [(t.seed, t.equal, t.cell) for t in trials] == list(itertools.product((0, 1), ("hidden", "parameters"), ("gru", "minimal")))
    assert len({t.H for t in trials}) == 2


def runner(task, tmp_path, cells=("minimal",), seeds=1, equal=("hidden",), done=(), tell=quiet):
    lines = []
    made = run.TrainingRunner(TrainingPlan(task, cells, seeds, equal), CPU, tmp_path, lines.append, tell, math.inf, list(done))
    return made.run_all(), [line for line in lines if line.kind == "training"], lines


def test_a_search_takes_the_best_rate_for_all_seeds(tmp_path):
    task = dataclasses.replace(EASY, rates=(1e-9, 2e-2), steps=40, every=10)
    _, records, _ = runner(task, tmp_path, seeds=2)
    assert [r.trial.rate for r in records] == [2e-2, 2e-2] and records[0].search == records[1].search
    assert records[0].search["0.02"] < records[0].search["1e-09"]


def test_rates_that_look_alike_are_two_and_one_said_twice_is_one(tmp_path):
    task = dataclasses.replace(EASY, rates=(2.0000001e-2, 2.0000002e-2, 2.0000001e-2), steps=4, every=2)
    _, (record,), _ = runner(task, tmp_path)
    assert set(record.search) == {"0.020000001", "0.020000002"} and record.trial.rate in task.rates
    again = dataclasses.replace(EASY, rates=(1e-3, 1e-3), steps=4, every=2)
    assert runner(again, tmp_path, ("gru",))[1][0].search == {}


def test_a_search_is_by_turns_and_is_not_repeated(tmp_path, monkeypatch):
    """Killed within it, it goes on from its checkpoints; killed after it, its rates stay, whatever is found now."""
    monkeypatch.setattr("bench.studies.training.trainer.PAUSE", 0.0)
    task = dataclasses.replace(EASY, rates=(1e-3, 2e-2), steps=10, every=5)
    told = []

    class Killed(Exception):
        pass

    def tell(trial: Trial, point: Point) -> None:
        told.append((trial.cell, trial.rate, point.step))
        if len(told) == killed:
            raise Killed

    killed = 7
    with pytest.raises(Killed):
        runner(task, tmp_path, ("minimal", "gru"), tell=tell)
    assert {step for *_, step in told[:4]} == {0} and not (tmp_path / "search.json").exists()
    killed = 7 + 6 + 1
    with pytest.raises(Killed):
        runner(task, tmp_path, ("minimal", "gru"), tell=tell)
    assert sorted(step for *_, step in told[7:13]) == [0, 5, 10, 10, 10, 10] and told[13][2] == 0
    assert {path.name for path in tmp_path.glob("*search*")} == {"search.json"}
    found = json.loads((tmp_path / "search.json").read_text())
    assert set(found) == {"minimal H=16", "gru H=16"} and set(found["gru H=16"]) == {"0.001", "0.02"}
    found["gru H=16"] = {"0.001": 0.0, "0.02": 1.0}
    (tmp_path / "search.json").write_text(json.dumps(found))
    (tmp_path / "gru-H16-seed0.pt").unlink(missing_ok=True)  # of its first look, at the other rate
    killed = 0
    _, records, _ = runner(task, tmp_path, ("minimal", "gru"), tell=tell)
    assert {r.trial.cell: r.trial.rate for r in records}["gru"] == 1e-3 and all(r.steps == 10 for r in records)


def test_what_is_done_is_not_trained_again(tmp_path):
    task = dataclasses.replace(EASY, steps=20, every=10, rates=(1e-3,))
    left, records, lines = runner(task, tmp_path, ("gru", "minimal"), equal=("hidden", "parameters"))
    assert left == 0 and len(records) == 4 and sum(line.kind == "learned" for line in lines) == 2
    gru = [r for r in records if r.trial.cell == "gru"]
    assert gru[0].curve == gru[1].curve and [r.trial.equal for r in gru] == ["hidden", "parameters"]
    assert runner(task, tmp_path, ("gru", "minimal"), equal=("hidden", "parameters"), done=records)[1] == []
    more = runner(dataclasses.replace(task, steps=30), tmp_path, ("gru",), done=records)[1]
    assert [r.steps for r in more] == [30] and more[0].curve[:3] == gru[0].curve


def test_noise_of_zero_is_none_and_more_is_more():
    torch.manual_seed(0)
    for cell in ("lstm", "minimal"):
        rnn, x = RNN(cell, 3, 5), torch.randn(9, 4, 3)
        y, _ = rnn(x)
        assert torch.equal(NoisyLayer(rnn)(x)[0], y)
        still, _ = NoisyLayer(rnn, states=1e-12)(x)  # the loop step by step
        assert torch.allclose(still, y, atol=1e-6)
        off = [(NoisyLayer(rnn, inputs=i, states=s)(x)[0] - y).std().item() for i, s in ((0.1, 0), (1.0, 0), (0, 0.1), (0, 1.0))]
        assert 0 < off[0] < off[1] and 0 < off[2] < off[3]


def test_noise_is_over_after_its_context():
    model = EASY.model("minimal", 8)
    rnn, clean = model.rnn, EASY.measure(model, "test")
    with add_noise(model, inputs=1.0):
        assert EASY.measure(model, "test") != clean
    assert model.rnn is rnn and EASY.measure(model, "test") == clean


class Around(nn.Module):
    def __init__(self, rnn: RNN):
        super().__init__()
        self.rnn = rnn


def shares_of(step, weights=None):
    """The shares of a cell whose matrices are set, at inputs and states of deviation 1 or so."""
    torch.manual_seed(0)
    rnn = RNN(step, 4, 4)
    with torch.no_grad():
        for name, value in (weights or {}).items():
            rnn.weights()[name].copy_(value)
    x = torch.randn(40, 8, 4)
    return unit_analysis.variance_shares(rnn.cell, x, unit_analysis.run_states(rnn, x), rnn.weights())


def test_what_moves_a_unit_in_cells_where_it_is_known():
    def input(h, x, W):
        return W.x(x)

    def turned(h, x, W):
        return W.h(h) + W.x(x)

    shift = torch.eye(4).roll(1, 0)
    assert shares_of(input) == (0.0, 0.0, 1.0)
    own, neighbours, of_input = shares_of(turned, {"W.h": 0.5 * shift, "W.x": torch.eye(4)})
    assert own == 0.0 and 0.2 < neighbours < 0.3 and own + neighbours + of_input == pytest.approx(1)  # (4/3)/4 over that and 1
    own, neighbours, _ = shares_of(turned, {"W.h": 0.5 * torch.eye(4), "W.x": torch.eye(4)})
    assert neighbours == pytest.approx(0, abs=1e-12) and 0.2 < own < 0.3


@pytest.mark.parametrize("cell", ["lstm", "gru", "gru_reset_before", "cfn", "minimal", "vanilla", "qrnn", "fastgrnn"])
def test_gates_are_those_of_the_equations(cell):
    torch.manual_seed(0)
    rnn, x = RNN(cell, 3, 5), torch.randn(6, 4, 3)
    path = unit_analysis.run_states(rnn, x)
    assert torch.allclose(path[0][1:], rnn(x)[0], atol=1e-6)
    with torch.no_grad():
        found = unit_analysis.measure_gates(rnn, x, path)
    names = {
        "lstm": ["i", "f", "o"],
        "gru": ["r", "z"],
        "gru_reset_before": ["r", "u"],
        "cfn": ["theta", "eta"],
        "minimal": ["u"],
        "vanilla": [],
        "qrnn": ["f", "o"],
        "fastgrnn": ["nu", "z", "zeta"],
    }
    assert sorted(g.name for g in found) == sorted(names[cell])
    assert all(0 < low <= middle <= high < 1 for g in found for low, middle, high in zip(g.low, g.middle, g.high, strict=True))
    if cell == "minimal":
        W = rnn.weights()
        z = torch.tanh(x[3] @ W["W.z"].T + W["b.z"])
        u = torch.sigmoid(path[0][3] @ W["W.uh"].T + z @ W["W.uz"].T + W["b.u"])
        assert found[0].middle[3] == pytest.approx(u.quantile(0.5).item(), abs=1e-6)


def test_shares_of_a_state_that_begins_at_minus_infinity():
    """m of sLSTM: it counts from where it is finite."""
    torch.manual_seed(0)
    rnn, x = RNN("slstm", 3, 8), torch.randn(6, 4, 3)
    path = unit_analysis.run_states(rnn, x)
    assert path[3][0].isinf().all()
    assert sum(unit_analysis.variance_shares(rnn.cell, x, path, rnn.weights())) == pytest.approx(1)


def test_the_input_before_moves_no_share_of_the_input():
    """It is given, not varied: of a cell that reads nothing else, nothing moves a unit."""

    def late(h, x, W):
        return W.x(prev(x)) + 0.5 * h

    assert shares_of(late) == pytest.approx((1, 0, 0), abs=1e-12)


def test_noise_on_states_leaves_the_input_before_as_it_is():
    """Step by step, as it is for noise on states, prev(x) is still the step before."""
    rnn = RNN("qrnn", 3, 5)
    x = torch.randn(7, 2, 3)
    found, _ = NoisyLayer(rnn, states=1e-6)(x)
    assert torch.allclose(found, rnn(x)[0], atol=1e-4)


@pytest.mark.parametrize("cell", ["qrnn", "fastgrnn", "slstm"])
def test_cells_are_checked_before_they_are_trained(cell):
    torch.manual_seed(0)
    assert check_layer(RNN(cell, 3, 8), torch.randn(20, 5, 3))[0] == "compiled"


def test_a_short_part_for_a_run_of_everything():
    said = []
    minimal, vanilla = run.preview_training(CPU, said.append)
    assert minimal.final < vanilla.final and len(said) == 2


@pytest.fixture
def known_machine(monkeypatch):
    """Its rates aren't measured again for every run: that takes seconds."""
    from bench.measure import device_constants

    monkeypatch.setattr(device_constants, "measure_constants", lambda device: None)


def bench(*arguments: object):
    from bench import cli

    return CliRunner().invoke(cli.app, [*map(str, arguments)], catch_exceptions=True)


TINY = ("--cells", "minimal,gru", "--steps", "20", "--hidden", "4", "--device", "cpu")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["addign"], "did you mean adding?"),
        (["adding", "--cells", "minmal"], "did you mean minimal?"),
        (["adding", "--seeds", "0"], "--seeds must be at least 1"),
        (["adding", "--equal", "width"], "no --equal is called 'width'"),
        (["adding", "--rates", "0.1,-1"], "--rates takes positive numbers"),
        (["adding", "--data", "x"], "are for recommend"),
        (["digits", "--seq-lens", "3"], "a length of their own"),
        (["recommend", "--data", "nowhere.dat"], "nowhere.dat can't be read"),
        (["recommend", "--data", "x", "--items", "500"], "of the click stream"),
        (["adding", "--budget", "5"], "--budget takes a time with its unit"),
        (["adding", "--resume"], "name its folder with --out"),
    ],
)
def test_bad_input_is_one_line(arguments, says):
    caught = bench("train", *arguments).exception
    assert isinstance(caught, UsageError) and says in str(caught) and "\n" not in str(caught)


def test_the_verb_writes_records_and_a_report_and_goes_on(tmp_path, known_machine):
    out = tmp_path / "run"
    first = bench("train", "adding", *TINY, "--seq-lens", 6, "--out", out)
    assert first.exit_code == 0, first.exception
    assert "Adding, at equal hidden width" in first.stdout and "minimal H=4 seed 0" in first.stderr
    records = read_records(out)
    assert [r.trial.cell for r in records.training] == ["minimal", "gru"] and len(records.learned) == 2
    text = (out / "report.md").read_text()
    assert text.startswith("# Recurrent cells learn: adding")
    assert "always 1 0.167" in text and "## What drives a unit's update" in text and "python -m bench" in text
    assert "2 trainings" in bench("report", out).stdout and bench("report", out, "--md").stdout.startswith("# Recurrent cells learn")
    more = bench("train", "adding", *TINY, "--seq-lens", 6, "--seeds", 2, "--out", out, "--resume")
    assert more.exit_code == 0, more.exception
    again = read_records(out)
    assert len(again.training) == 4 and again.training[:2] == records.training
    other = bench("train", "adding", *TINY, "--seq-lens", 7, "--out", out, "--resume")
    assert isinstance(other.exception, UsageError) and "was measured with T 6, not 7" in str(other.exception)


class InOrder:
    """A generator for which every turn is in the order of the plan."""

    def permutation(self, count: int) -> range:
        return range(count)


def test_interrupted_it_says_how_to_go_on_and_does(tmp_path, known_machine, monkeypatch):
    out = tmp_path / "run"
    advance = Training.advance

    def interrupted(self: Training) -> None:
        if self.trial.cell == "gru":
            raise KeyboardInterrupt
        advance(self)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "advance", interrupted)
        patch.setattr("bench.studies.training.trainings.make_rng", lambda *numbers: InOrder())
        done = bench("train", "adding", *TINY, "--seq-lens", 6, "--out", out)
    assert done.exit_code == 130 and f"interrupted: --out {out} --resume continues" in done.stderr
    assert [r.trial.cell for r in read_records(out).training] == ["minimal"] and (out / "report.md").exists()
    assert bench("train", "adding", *TINY, "--seq-lens", 6, "--out", out, "--resume").exit_code == 0
    assert [r.trial.cell for r in read_records(out).training] == ["minimal", "gru"]


def test_a_wrong_layer_is_said_and_the_others_are_trained(tmp_path, known_machine, monkeypatch):
    def checked(rnn: RNN, x: torch.Tensor) -> tuple[str, float]:
        if rnn.cell.name == "minimal":
            raise WrongResult("minimal is off")
        return "compiled", 1e-6

    monkeypatch.setattr("bench.studies.training.trainer.check_layer", checked)
    done = bench("train", "adding", *TINY, "--seq-lens", 6, "--out", tmp_path / "run")
    assert done.exit_code == 1 and "minimal is off\n" in done.stderr
    assert [r.trial.cell for r in read_records(tmp_path / "run").training] == ["gru"]


def test_the_verb_without_time_says_how_to_go_on(tmp_path, known_machine):
    done = bench("train", "adding", *TINY, "--seq-lens", 6, "--budget", "0.001s", "--out", tmp_path / "run")
    assert done.exit_code == 0 and "--resume continues" in done.stderr
    assert [r.end for r in read_records(tmp_path / "run").training] in ([], ["time"])
    assert "--resume continues" in done.stderr and (tmp_path / "run" / "records.jsonl").exists()


def test_a_sequence_of_examples_is_of_its_sizes():
    trials = [t for _, t in TrainingPlan(load_task("sizes"), ("gru",), 1).trials()]
    assert [t.examples for t in trials] == [100, 300, 1000, 4000] and np.all([t.steps == trials[0].steps for t in trials])
