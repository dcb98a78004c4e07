"""The report: what it claims, and that nothing is left out."""

import re
from pathlib import Path

import pytest

from bench.analysis.summary import CaseIndex, find_peers
from bench.records import Constants, LowerBound, Records, read_records
from bench.records.methods import EARLIER
from bench.render import run_report
from bench.render.markdown import escape, pipe_table
from tests.records import ENVIRONMENT, RUN, case, detailed, gradient, records, timed, whole


@pytest.fixture(scope="module")
def markdown() -> str:
    return run_report.render_report(whole(), ["throughput.svg"])


def rows(markdown: str, heading: str) -> list[list[str]]:
    """The cells of the first table under a heading."""
    _, _, rest = markdown.partition(f"{heading}\n")
    lines = re.search(r"(?:^\|.*\n)+", rest, re.M).group().splitlines()
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_the_headline(markdown):
    """Like for like first, then at equal parameters with equal width beside it; the rules are tested in test_claims.py."""
    claim = markdown.split("\n\n")[1]
    same, lacking = claim.split(" minimal, minimal_deep, which torch.nn lacks: ")
    assert same.startswith("**compiled trains 1.82× [1.80, 1.84] as fast as torch.nn's own gru, lstm, vanilla, vanilla_relu**")
    assert "the geometric mean of 16 cases from " in same and lacking.startswith("**compiled trains 1.56× [1.5")
    assert "as fast as torch.nn's GRU of equal parameters**" in lacking and "as fast as its GRU of equal H, which has" in lacking
    assert "cfn, gru_reset_before, which torch.nn lacks: not compared at equal parameters; compiled trains" in lacking


def test_the_header_counts_and_says_what_machine_it_is(markdown):
    assert "360 cases: 272 ok, 8 verified, 80 unsupported, no failures." in markdown
    assert "Measured on AMD EPYC 7B13: 2 threads on 2 cores" in markdown
    assert "No GPU: the run has no GPU times. Triton kernels were checked in the interpreter, without a time." in markdown
    gpu = RUN.model_copy(
        update={"environment": ENVIRONMENT.model_copy(update={"device_kind": "cuda", "device": "NVIDIA H100", "cudnn": "91002"})}
    )
    assert "No GPU" not in (there := run_report.render_report(Records(run=gpu, cases=[], gradients=[]), []))
    assert "cuDNN 91002" in there


def test_times_are_medians_with_their_interval_and_speed(markdown):
    found = {(row[0], row[1]): row[2:] for row in rows(markdown, "## Training including the input projection")}
    assert found["cell", "T"] == ["vendor", "eager", "compiled", "stepwise", "torchrecurrent"]
    assert len(found) == 2 + 8 * 4
    minimal = found["minimal", "128"]
    assert minimal[0] == "no such cell" and minimal[3] == "verified"
    assert re.fullmatch(r"★ 37\.6 ±0\.\d+ \(3\.77× gru\)", minimal[2])
    assert found["lstm", "64"][4] == "not compared"


def test_cells_that_torch_lacks_are_held_against_two_grus(markdown):
    found = {tuple(row[:2]): row[2:] for row in rows(markdown, "### Speedup over torch.nn's gru, T=128")}
    assert set(found) >= {("minimal", "compiled"), ("cfn", "torchrecurrent"), ("gru_reset_before", "eager")}
    T, width, parameters, H = found["minimal", "compiled"]
    assert (T, H) == ("128", "155") and width.startswith("3.77× [") and parameters.startswith("1.3")
    assert ("lstm", "compiled") not in found


def test_share_errors_memory_parameters_gradients(markdown):
    shares = {row[0]: row[1:] for row in rows(markdown, "### Share of the measured sgemm rate, T=128")}
    assert shares["lstm"] == ["67%", "49%", "92%", "not compared"]
    errors = rows(markdown, "float64</summary>")
    assert errors[2][-4:] == ["3.0e-07", "2.2e-06", "W.uh", "1.30"]
    assert {row[-4] for row in errors[2:]} == {"3.0e-07"}
    assert next(row for row in rows(markdown, "## Memory") if row[:2] == ["lstm", "128"])[2:4] == ["2.00", "12.0 / 24.0"]
    assert ["minimal", "2\\*D\\*H + 1\\*H^2 + 2\\*H", "256", "256", "197,120", "395,520"] in rows(markdown, "## Parameters")
    lstm = next(row for row in rows(markdown, "## Gradient norms") if row[0] == "lstm")
    assert lstm[1].startswith("██▇") and lstm[2:] == ["-0.0700", "5.2e+00", "1.7e+00", "1.8e-01", "2.1e-03", "0"]
    assert ["lstm", "b.u", *["3.0e-03"] * 4] in rows(markdown, "trainable parameter</summary>")


def test_light(markdown):
    """lstm trains 4·(2 + 2)·256²·128·32·3 flops here, at 140 Gflop/s; the stand-ins and all other cases have their own floor."""
    found = {row[0]: row[1:] for row in rows(markdown, "### × hardware lower bound, T=128")}
    assert found["cell"] == ["lower bound, ms", "set by", "vendor", "eager", "compiled", "torchrecurrent"]
    assert found["lstm"] == ["92.0", "products", "1.50×", "2.06×", "1.09×", "–"]
    assert found["minimal"][:3] == ["34.5", "products", "–"]
    assert markdown.count("### × hardware lower bound, T=128") == 4
    every = rows(markdown, "float64</summary>")
    at = every[0].index("× lower bound")
    assert all(re.fullmatch(r"!?\d+(\.\d+)?×", row[at]) for row in every[2:])
    assert "The hardware lower bound of a case is the longest of three times" in markdown
    assert ["product, float32", "140 Gflop/s"] in rows(markdown, "## Environment")
    assert ["copy (bytes read and written)", "20.0 GB/s"] in rows(markdown, "## Environment")


def test_a_time_below_its_floor_is_marked():
    demand = LowerBound(hoisted=0, recurrent=int(1.4e11), bytes=0, resident_bytes=4, grid_syncs=1)
    below = run_report.render_report(
        records(timed(case(), 0.5, lower_bound=demand), timed(case(backend="eager"), 2.0, lower_bound=demand)), []
    )
    assert rows(below, "### × hardware lower bound, T=128")[2] == ["gru", "1,000", "products", "2.00×", "!0.50×"]
    assert "! marks a time below the lower bound" in below
    above = run_report.render_report(records(timed(case(), 1.5, lower_bound=demand)), [])
    assert "! marks" not in above


@pytest.mark.full
def test_a_report_from_before_the_floor_still_renders():
    """The committed one: its records know neither demand nor constants."""
    folders = [path for path in sorted((Path(run_report.__file__).parents[2] / "reports").iterdir()) if path.is_dir()]
    assert folders
    for folder in folders:
        found = read_records(folder)
        made = run_report.render_report(found, [])
        assert "## Environment" in made
        if found.cases:
            assert "share of sgemm" in made and ("### × hardware lower bound" in made) == (found.run.environment.constants is not None)
    old = whole().run.environment.model_copy(update={"constants": None, "sgemm_flops": 1.4e11})
    cases = [r.model_copy(update={"lower_bound": None}) for r in whole().cases]
    made = run_report.render_report(Records(run=RUN.model_copy(update={"environment": old}), cases=cases, gradients=[]), [])
    assert "### × hardware lower bound" not in made and ["product, float32", "140 Gflop/s"] in rows(made, "## Environment")


def test_the_constants_of_a_gpu_are_in_the_environment():
    known = Constants(
        products={"bfloat16": 7e14, "tf32": 4e14}, copy_rate=3e12, cache=50 * 2**20, chip=484 * 2**10,
        barriers={1: 7e-7, 132: 1.2e-6}, l2=2.7e-7, launch=1.5e-6, product_launch=2.5e-6,
    )  # fmt: skip
    gpu = RUN.model_copy(update={"environment": ENVIRONMENT.model_copy(update={"constants": known})})
    found = dict(rows(run_report.render_report(Records(run=gpu, cases=[], gradients=[]), []), "## Environment"))
    assert found["product, bfloat16"] == "700,000 Gflop/s" and found["copy (bytes read and written)"] == "3,000 GB/s"
    assert found["grid-wide barrier (programs)"] == "0.70 (1), 1.20 (132) µs" and found["load from L2"] == "0.27 µs"
    assert found["capacity of all caches"] == "50.0 MiB" and found["shared memory and registers of a multiprocessor"] == "484 KiB"
    assert found["empty kernel in a graph"] == "1.50 µs" and found["tiny product in a graph"] == "2.50 µs"


def test_geometric_means_say_over_how_many(markdown):
    assert "- compiled: 1.82× [1.80, 1.84] the speed of torch.nn's own cell (geometric mean of 16 cases)" in markdown


def test_a_term_is_defined_once_and_where_it_occurs(markdown, full):
    """Both GRUs, the marks and the bounds, in one section at the end."""
    method = markdown.split("## Method and terms")[1]
    for term in ("gru_reset_before applies it before the product", "★ marks the fastest", "† marks"):
        assert markdown.count(term) == method.count(term) == (term != "† marks")
    assert "gru_reset_before" not in full and "? an inconclusive result" in full


def test_every_case_without_a_time_keeps_its_reason(markdown):
    assert rows(markdown, "## Not timed")[3][:2] == ["unsupported", "vendor"]
    assert sum(int(row[-1]) for row in rows(markdown, "## Not timed")[2:]) == 80
    assert len(rows(markdown, "## Checked without a time")) == 2 + 8
    faults = ("incorrect", "oom", "timeout", "crashed", "failed")
    run = records(*(timed(case(backend=status), status=status, reason=f"a|b <{status}>\nline") for status in faults), timed(case()))
    made = run_report.render_report(run, [])
    assert "6 cases: 1 ok, 1 incorrect, 1 oom, 1 timeout, 1 crashed, 1 failed." in made
    for status in faults:
        assert f"a\\|b &lt;{status}&gt; line" in made
        assert status in [cell for row in rows(made, "## Training including the input projection") for cell in row]
    assert ["ok", "compiled", "gru", "training including the input projection", "128", "no samples", "1"] in rows(made, "## Not timed")
    assert "NaN" not in made and "nan" not in made


def test_empty_gradients_and_one_sample():
    run = records(timed(case(), 0.5), gradients=(gradient("lstm", 8).model_copy(update={"by_lag": [], "parameters": {}}),))
    made = run_report.render_report(run, [])
    assert ["gru", "128", "500"] in rows(made, "## Training including the input projection")
    assert "too few samples" in made
    assert ["lstm", "none", "unknown", "–", "0"] in rows(made, "## Gradient norms")


def test_written_twice_it_is_the_same(tmp_path):
    run = records(*(timed(case(cell), 1.0, 2.0) for cell in ("lstm", "gru")), gradients=(gradient("lstm", 8),))
    first = run_report.write_report(tmp_path, run)
    assert [path.name for path in first] == ["report.md", "throughput.svg", "gradients.svg"]
    before = [path.read_bytes() for path in first]
    assert before == [path.read_bytes() for path in run_report.write_report(tmp_path, run)]
    for plot in first[1:]:
        assert f"]({plot.name})" in first[0].read_text()


def test_markdown_escapes_what_it_would_read():
    assert escape("a|b\n`c` <d> *e*") == r"a\|b \`c\` &lt;d&gt; \*e\*"
    assert pipe_table(("a", "b"), [("1e5", "007")], (True, False)).splitlines()[-1] == "| 1e5 | 007 |"
    assert pipe_table(("a",), [], (True,)) == ""


@pytest.fixture(scope="module")
def full() -> str:
    return run_report.render_report(detailed(), [])


def test_controls_give_the_noise_floor_and_are_nowhere_else(full):
    assert "relative to its repetition is off 1 by at most 3.0% (1 pair). Differences within 3.0% count as noise." in full
    (pair,) = rows(full, "## A/A")[2:]
    assert pair == [
        "gru",
        "stepwise",
        "training including the input projection",
        "16",
        "4",
        "8",
        "8",
        "float32",
        "0.971×",
        "0.97 to 0.97",
        "9",
    ]
    table = rows(full, "## Training including the input projection")
    assert [row[0] for row in table[2:]] == ["cfn", "gru"] and "(control)" not in full
    every = rows(full, "float64</summary>")
    assert [row[1] for row in every[2:]] == ["eager", "persistent", "stepwise", "vendor"]
    assert "- stepwise: 2.00× [2.00, 2.00] the speed of torch.nn's own cell (geometric mean of 1 case)" in full
    bare = run_report.render_report(records(timed(case(), 1.0)), [])
    assert "Noise floor: not measured, because the run has no A/A pairs. Differences within 2.0% count as noise." in bare
    assert "## A/A" not in bare


def test_a_run_that_is_too_noisy_says_so(full):
    times = [1.0] * 6
    wild = run_report.render_report(records(timed(case(), *times), timed(case(aa_repeat=True), *(1.3 * t for t in times))), [])
    assert "is off 1 by at most 30.0% (1 pair). Differences within 30.0% count as noise.\n" in wild
    assert "too much to detect one of 10%" in wild and "too much" not in full


def test_a_control_that_failed_is_told_like_any_case():
    made = run_report.render_report(records(timed(case(), 1.0), timed(case(aa_repeat=True), status="crashed", reason="signal 9")), [])
    assert "2 cases: 1 ok, 1 crashed." in made and rows(made, "## Not timed")[2][2:] == [
        "gru (A/A repeat)", "training including the input projection", "128", "signal 9", "1",
    ]  # fmt: skip


def test_unequal_work_and_held_back_clocks_are_said(full):
    found = {row[0]: row for row in rows(full, "## Training including the input projection")}
    at = found["cell"].index
    assert found["gru"][at("eager")].endswith("(no ratio)") and "(2.00×)" in found["gru"][at("stepwise")]
    assert found["gru"][at("persistent")].startswith("☆") and found["gru"][at("persistent")].endswith("(?1.05×)")
    assert "The GPU throttled its clock (power cap, thermal) in 1 case: no verdict there." in full
    work = {row[0]: row[1:] for row in rows(full, "## Work and numerics")}
    assert work["persistent, stepwise"] == ["included", "all", "no", "1", "float32", "float32", "float32", "no", "no", "–"]
    assert work["vendor"][3] == "2" and work["vendor"][-1] == "yes" and work["eager"][8] == "yes"


def test_conditions_have_a_column_where_one_is_known(full):
    headers, _, *below = rows(full, "float64</summary>")
    found = {row[1]: dict(zip(headers, row, strict=True)) for row in below}
    assert found["stepwise"] | {
        "samples": "9", "outliers": "2", "stopped because": "precise", "cold, ms": "1.20", "graph, ms": "0.900",
        "host, µs per step": "25.0",
        "launches per step": "4.00", "J per step": "0.0200", "clock, MHz": "1,972 to 1,980", "power, W": "350 to 358", "°C": "60.0 to 68.0",
        "throttled": "–",
    } == found["stepwise"]  # fmt: skip
    assert found["persistent"]["throttled"] == "power cap, thermal" and found["persistent"]["graph, ms"] == "it is launched cooperatively"
    assert found["persistent"]["memory clock, MHz"] == "2,600" and found["vendor"]["cold, ms"] == "–"
    plain = run_report.render_report(records(timed(case(), *[1.0] * 5)), [])
    assert not {"outliers", "cold, ms", "throttled", "stopped because", "× lower bound"} & set(rows(plain, "float64</summary>")[0])


def test_where_the_time_went(full):
    parts = "timing 50.0 s, correctness checks 35.0 s, memory 5.0 s, overhead 10.0 s"
    assert f"Wall time: 100.0 s ({parts}). Overhead is 10.0% of it." in full
    assert "Wall time" not in run_report.render_report(whole(), [])


@pytest.mark.parametrize(("factor", "says"), [
    (1.5, "**compiled trains 1.50× [1.50, 1.50] as fast as torch.nn's own gru**, the geometric mean of 2 cases from 1.50× to 1.50×"),
    (1.01, "**No float32 training time is significantly faster than torch.nn's own gru:** compiled trains 1.01× [1.01, 1.01] as fast"),
])  # fmt: skip
def test_the_headline_of_a_suite(factor, says):
    cases = [timed(case(backend=b, H=H, D=H), *[t] * 6) for H in (64, 128) for b, t in (("vendor", factor), ("compiled", 1.0))]
    assert says in run_report.render_report(records(*cases), []).split("\n\n")[1]


def test_peers_are_found_without_a_search_through_all_cases():
    """Twice the cases are twice the look-ups, and none of them compares cases one by one."""
    index = CaseIndex.from_records(whole().cases)
    asked = [find_peers(index, record.case) for record in whole().cases if record.case.cell == "minimal"]
    assert sum(bool(found.parameters) for found in asked) > 10 and "stand_ins" in vars(index)
    assert {found.parameters.case.H for found in asked if found.parameters} == {155}


def test_how_a_run_was_measured_is_in_its_record():
    """A later program says the same of it; of a run that doesn't say, what its schema meant."""
    cases = (timed(case(), *[1.0] * 6), timed(case(backend="vendor"), *[2.0] * 6))
    run = RUN.model_copy(update={"method": {"cases": "- By a sundial.", "scale": "- Not here."}})
    told = records(*cases).model_copy(update={"run": run})
    text = run_report.render_report(told, [])
    assert "- By a sundial." in text and "Not here" not in text and EARLIER["cases"] not in text
    assert EARLIER["cases"] in run_report.render_report(records(*cases), [])
