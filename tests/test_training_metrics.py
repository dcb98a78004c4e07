"""What is said of trainings: means over seeds, times to a common quality, the report and its plots."""

import math
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from scipy import stats

from bench.analysis import training_metrics
from bench.analysis.mean_ci import geometric_mean_ci, mean_ci
from bench.records import Records, read_records, write_record
from bench.records.training_record import Gate, LearnedRecord, Point, TrainingRecord, Trial
from bench.render import console, run_report, training_plots, training_report
from tests.records import RUN

SPEED = {"gru": 46.0, "minimal": 30.0, "vanilla": 20.0}
BEST = {"gru": 0.10, "minimal": 0.09, "vanilla": 0.03}


def record(cell: str, seed: int = 0, **changes) -> TrainingRecord:
    """Ten looks a hundred steps apart: quality grows to its best in a straight line, faster or slower by seed, as SPEED says."""
    seconds = SPEED[cell] * (1 + 0.1 * seed)
    curve = [Point(seconds=k * seconds / 10, step=100 * k, loss=None if k == 0 else 5 / k, value=k / 10 * BEST[cell]) for k in range(11)]
    trial = Trial(task="recommend", cell=cell, H=64, seed=seed, rate=3e-3, steps=1000)
    known = {
        "trial": trial, "metric": "MAP@20", "higher": True, "target": None, "D": 64, "parameters": 10**6, "recurrent": 24_768,
        "backend": "compiled", "error": 1e-6, "curve": curve, "final": BEST[cell] - 0.001 * seed, "end": "steps", "steps": 1000,
        "seconds": seconds, "clipped": 100, "largest": 3.5, "baselines": {"most popular": 0.05, "item transitions": 0.06},
        "sizes": {"B": 32, "items": 5000},
    }  # fmt: skip
    return TrainingRecord.model_validate(known | changes)


def learned(cell: str) -> LearnedRecord:
    gates = [] if cell == "vanilla" else [Gate(name="u", low=[0.2, 0.3], middle=[0.5, 0.6], high=[0.7, 0.8])]
    noise = {"none": 0.1, "inputs 0.1": 0.09, "states 0.1": 0.08}
    trial = record(cell).trial
    return LearnedRecord(trial=trial, own=0.7, neighbours=0.1, input=0.2, gates=gates, trajectories=[[0.0, 0.5], [0.1, -0.2]], noise=noise)


def whole() -> Records:
    runs = [record(cell, seed) for seed in range(3) for cell in SPEED]
    return Records(run=RUN, cases=[], gradients=[], training=runs, learned=[learned(cell) for cell in SPEED])


def test_a_mean_is_students():
    values = [1.0, 2.0, 4.0]
    found = mean_ci(values)
    low, high = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    assert (found.value, found.low, found.high) == pytest.approx((np.mean(values), low, high))
    assert math.isinf(mean_ci([1.0]).high)
    assert geometric_mean_ci([1.0, 4.0]).value == pytest.approx(2)


def test_the_common_quality_leaves_out_what_learned_nothing():
    records = whole().training
    assert training_metrics.common_quality(records) == pytest.approx(0.09)  # vanilla's 0.03 is below what the baselines reach
    assert training_metrics.common_quality([record("vanilla")]) is None
    assert training_metrics.common_quality([record("gru", target=0.02)]) == 0.02
    assert training_metrics.common_quality([record("gru", higher=False, baselines={"always": 1.0}), record("minimal", higher=False)]) == 0.0


def test_an_interval_stays_where_an_extra_can_be():
    def of(name, *values, **sizes):
        return training_metrics.extra_ci([record("gru", extras={name: value}, sizes=sizes) for value in values], name)

    counts = of("counts to", 90.0, 30.0, 96.0, N=24)
    assert 0 < counts.low < counts.value < counts.high < 96 and of("counts to", 0.0, 1.0, N=24).high > 1
    gap = of("gap, training - test", 0.9, 0.1, 0.5)
    assert -1 < gap.low < gap.high < 1
    assert of("share of the right one", 0.99, 0.4).high < 1
    fixed = of("set by hand: off after 100,000 up and down", 1060.3, 1060.3, 1060.3)
    assert training_report.format_mean(fixed) == "1,060"


def test_what_learned_layers_do_is_averaged_over_their_seeds():
    layers = [learned("gru"), learned("gru").model_copy(update={"trial": record("gru", 1).trial, "own": 0.5, "noise": {"none": 0.9}})]
    table = training_report.make_drive_table(layers)
    assert table.rows[0][2] == pytest.approx(0.6) and "means over seeds 0, 1" in table.caption and len(table.rows) == 1
    noise = training_report.make_noise_table(layers, record("gru"))
    assert 0 < noise.rows[0][1].low < noise.rows[0][1].high < 1


def test_times_to_a_quality_are_paired_by_seed():
    records = whole().training
    gru, minimal = training_metrics.group_by_cell(records)["gru"], training_metrics.group_by_cell(records)["minimal"]
    assert training_metrics.first_reaching(gru[0], 0.05) == gru[0].curve[5] and training_metrics.first_reaching(gru[0], 0.2) is None
    ratio = training_metrics.compare_times(minimal, gru, 0.05, lambda p: p.seconds)
    # 0.05 takes minimal the sixth tenth of its time, gru the fifth; the seeds' own pace cancels out
    assert (ratio.value, ratio.low, ratio.high, ratio.n) == pytest.approx((30 * 6 / (46 * 5),) * 3 + (3,))
    assert training_metrics.compare_times(minimal, gru, 0.095, lambda p: p.seconds) is None


def test_what_diverged_is_no_better_than_the_worst():
    nan = record("gru", curve=[Point(seconds=0, step=0, loss=None, value=math.nan)], final=math.nan)
    assert training_metrics.best_value(nan) == -math.inf and not training_metrics.beats_baselines([nan])


def test_the_report_says_who_failed_and_what_the_paper_had():
    text = run_report.render_report(whole(), ["training.svg"])
    assert "Without a recurrent layer, on the test data: most popular 0.0500, item transitions 0.0600." in text
    assert "No better than the baselines: vanilla." in text
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| ")]
    found = {row[1].strip(): [cell.strip() for cell in row[2:-1]] for row in rows if len(row) == 13 and "of 3" in row[5]}
    assert found["minimal"][3] == "3 of 3" and found["vanilla"][3] == "0 of 3"
    assert (found["gru"][-2:], found["minimal"][-1], found["vanilla"][-2:]) == (["46.0", "46"], "30", ["–", "–"])
    assert found["minimal"][-2] == "33.3"  # at 0.09: the whole of its 30 against nine tenths of the gru's 46
    assert "70.0% |" in text and "u 0.55" in text and "0.0990 [0.0965, 0.102]" in text


@pytest.mark.full
def test_the_plots_are_drawn_and_are_the_same_each_time(tmp_path):
    (tmp_path / "again").mkdir()
    drawn = training_plots.draw(whole(), tmp_path)
    assert [path.name for path in drawn] == ["training.svg", "learned.svg", "noise.svg"]
    for path, again in zip(drawn, training_plots.draw(whole(), tmp_path / "again"), strict=True):
        assert path.read_bytes() == again.read_bytes() and ET.parse(path).getroot().tag.endswith("svg")
    assert all(f">{cell}</text>" in drawn[0].read_text() for cell in SPEED)


def test_quality_over_examples_has_a_plot(tmp_path):
    def few(count: int, seed: int) -> TrainingRecord:
        one = record("gru", seed)
        return one.model_copy(update={"trial": one.trial.model_copy(update={"examples": count}), "final": count / 1000})

    records = Records(run=RUN, cases=[], gradients=[], training=[few(count, seed) for count in (100, 400) for seed in (0, 1)])
    assert [path.name for path in training_plots.draw(records, tmp_path)] == ["training1.svg", "training2.svg", "examples.svg"]
    assert "with 400 examples" in run_report.render_report(records, [])


def test_records_are_read_as_they_were_written(tmp_path):
    lost = record("gru", 3, final=math.nan, largest=math.inf)
    longer = record("gru").model_copy(update={"steps": 2000})
    with (tmp_path / "records.jsonl").open("wb", buffering=0) as stream:
        for line in (RUN, record("gru"), lost, learned("gru"), longer):
            write_record(stream, line)
    found = read_records(tmp_path)
    assert found.training[0] == longer and len(found.training) == 2 and found.learned == [learned("gru")]
    assert math.isnan(found.training[1].final) and found.training[1].largest == math.inf
    text = run_report.render_report(found, [])
    assert "not finite" in text or "nan" not in text.lower()
    written = run_report.write_report(tmp_path, found)
    assert written[0].name == "report.md" and not (tmp_path / "table.svg").exists()


def test_a_run_of_everything_has_its_trainings_too():
    text = run_report.render_report(Records(run=RUN, cases=[], gradients=[], training=[record("gru")]), [])
    assert "## Recommend, at equal hidden width" in text
    assert len(console.list_renderables(whole())) == 2 and len(training_report.make_result_tables(whole())[0].rows) == 3


def test_expected_baselines_of_old_records_are_not_measured_ones(tmp_path):
    """Schema 4's baseline "always 1" is 1/6, the expected error over all numbers."""
    old = record("gru", baselines={"always 1": 1 / 6, "item transitions": 0.06})
    run = RUN.model_copy(update={"schema_version": 4})
    (tmp_path / "records.jsonl").write_text("".join(line.model_dump_json() + "\n" for line in (run, old)))
    (found,) = read_records(tmp_path).training
    assert (found.baselines, found.expected) == ({"item transitions": 0.06}, {"always 1": 1 / 6})
    text = run_report.render_report(read_records(tmp_path), [])
    assert "Expected without a recurrent layer, not measured on the test data: always 1 0.167." in text


def test_the_band_of_a_share_over_examples_stays_below_one(tmp_path, monkeypatch):
    """With three seeds at 0.99, 0.6 and 0.98, Student's interval of the mean would reach 1.4."""
    bands = []
    monkeypatch.setattr("matplotlib.axes.Axes.fill_between", lambda axis, x, low, high, **look: bands.extend(high))
    base = record("gru")
    found = [
        base.model_copy(update={"final": final, "trial": base.trial.model_copy(update={"seed": k, "examples": count})})
        for count in (10, 100) for k, final in enumerate((0.99, 0.6, 0.98))
    ]  # fmt: skip
    training_plots.draw_examples(found, tmp_path / "examples.svg")
    assert len(bands) == 2 and max(bands) < 1
