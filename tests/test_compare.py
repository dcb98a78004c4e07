"""Two runs side by side: verdicts, what is refused, exit codes, and revisions measured by turns."""

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.analysis.comparison import RunSet, Threshold, compare, list_differences, pool_samples
from bench.errors import UsageError
from bench.harness import revisions
from bench.records import Reading, Records
from tests.command_line import bench
from tests.records import RUN, case, detailed, lines, records, timed

__all__ = ["bench"]

TIMES = (1.0, 1.01, 0.99, 1.0, 1.02, 0.98, 1.0)


def run(**slower: float) -> Records:
    """A run of so many cells, each so many times as slow as another."""
    return records(*(timed(case(cell), *(factor * t for t in TIMES)) for cell, factor in slower.items()))


def verdicts(a: Records, b: Records) -> dict[str, str]:
    found = compare(RunSet("a", (a,)), RunSet("b", (b,)))
    return {pair.case.cell: pair.speed.verdict if pair.speed else pair.why for pair in found.pairs}


def test_each_case_has_a_verdict_and_the_slowest_is_first():
    a, b = run(gru=1, lstm=2, cfn=1, vanilla=1), run(gru=1.06, lstm=1.8, cfn=1.005, vanilla=1)
    assert verdicts(a, b) == {"gru": "slower", "lstm": "faster", "cfn": "tie", "vanilla": "tie"}
    found = compare(RunSet("a", (a,)), RunSet("b", (b,)))
    assert [pair.case.cell for pair, _ in found.compared] == ["gru", "cfn", "vanilla", "lstm"]
    assert found.geomean.value == pytest.approx((2 / 1.8 / 1.06 / 1.005) ** 0.25) and found.count("tie") == 2


def test_the_same_records_are_all_ties():
    a = run(gru=1, lstm=2)
    assert set(verdicts(a, a).values()) == {"tie"}


def test_the_noisier_run_sets_the_margin():
    quiet = run(gru=1, lstm=1)
    pair = [timed(case("lstm", aa_repeat=True), *(1.08 * t for t in TIMES))]
    noisy = records(*run(gru=1.06, lstm=1).cases, *pair)
    assert verdicts(quiet, quiet.model_copy(update={"cases": noisy.cases[:2]}))["gru"] == "slower"
    assert verdicts(quiet, noisy)["gru"] == verdicts(noisy, quiet)["gru"] == "tie"
    assert set(verdicts(quiet, noisy)) == {"gru", "lstm"}, "a control is in no pair"


def test_nothing_is_dropped():
    a = records(*run(gru=1, lstm=1, cfn=1).cases, timed(case("vanilla"), status="oom"), timed(case("minimal"), status="oom"))
    work = detailed().cases[0].numerics
    other = work.model_copy(update={"tf32_hoisted": True})
    b = records(
        timed(case("gru"), *TIMES, numerics=other), timed(case("lstm"), status="crashed"), timed(case("minimal"), status="oom"),
        timed(case("vanilla"), status="timeout"), timed(case("minimal_deep"), *TIMES),
    )  # fmt: skip
    a.cases[0] = timed(case("gru"), *TIMES, numerics=work)
    found = compare(RunSet("a", (a,)), RunSet("b", (b,)))
    assert {pair.case.cell: pair.why for pair in found.changed} == {
        "gru": "different work or numerics", "lstm": "no time in B", "vanilla": "no time in A and B",
    }  # fmt: skip
    assert {pair.case.cell: pair.why for pair in found.one_sided} == {"cfn": "only in A", "minimal_deep": "only in B"}
    assert found.geomean is None and len(found.pairs) == 6


def test_runs_of_one_side_are_pooled_and_a_failure_stays_one():
    one, two = run(gru=1).cases[0], timed(case(), 2.0, 3.0, readings=[Reading(throttled=["thermal"])])
    both = pool_samples([one, two])
    assert both.samples == [*TIMES, 2.0, 3.0] and both.rounds == list(range(9)) and both.readings == two.readings
    assert pool_samples([one, timed(case(), status="oom")]).status == "oom"
    slow = RunSet("b", (run(gru=1.3), records(timed(case(), status="failed"))))
    assert compare(RunSet("a", (run(gru=1),)), slow).changed


def test_throttled_and_few_samples_are_ambiguous():
    hot = run(gru=2)
    hot.cases[0] = hot.cases[0].model_copy(update={"readings": [Reading(throttled=["thermal"])]})
    assert verdicts(run(gru=1), hot) == {"gru": "ambiguous"}
    assert verdicts(run(gru=1), records(timed(case(), 2.0, 2.0))) == {"gru": "ambiguous"}


def changed(found: Records, **what: object) -> Records:
    """The same run on another machine, or with other settings or seed."""
    return found.model_copy(update={"run": found.run.model_copy(update=what)})


def test_unlike_machines_and_settings_are_named():
    a = changed(run(gru=1), settings={"cells": ["gru"], "precision": "ieee", "old": 1})
    here = RUN.environment.model_copy(update={"torch": "2.14.0", "driver": "580", "commit": "another", "dirty": True})
    b = changed(a, environment=here, settings={"cells": ["lstm"], "precision": "tf32", "new": 2}, seed=3)
    assert list(list_differences(a, b)) == ["torch (2.13.0+cpu, 2.14.0)", "driver (none, 580)", "precision (ieee, tf32)", "seed (0, 3)"]
    assert list(list_differences(a, changed(a, settings={}))) == ["settings (known, unknown)"]
    assert list(list_differences(a, a)) == []


def test_a_slow_hour_of_one_machine():
    """Twice as slow as an hour ago, and so is torch.nn."""
    a, b = (RunSet(name, (records(*(timed(case("gru", n), *[k * s] * 9) for n, s in (("compiled", 1.0), ("vendor", 3.0)))),))
            for name, k in (("a", 1.0), ("b", 2.0)))  # fmt: skip
    speeds = [
        dict((pair.case.backend, speed.ratio.value) for pair, speed in compare(a, b, relative).compared) for relative in (False, True)
    ]
    assert speeds == [{"compiled": 0.5, "vendor": 0.5}, {"compiled": pytest.approx(1.0)}]


def test_no_case_in_common():
    with pytest.raises(UsageError, match="no case in common"):
        compare(RunSet("a", (run(gru=1),)), RunSet("b", (run(lstm=1),)))


@pytest.mark.parametrize("text", ["5%", "median", "median:5", "median:-1%", "mode:5%", "median:nan%", "median:1e9%", "", "median:5%x"])
def test_a_threshold_that_can_not_be_read(text):
    with pytest.raises(UsageError, match="for example --fail-slower median:5%"):
        Threshold.parse(text)


@pytest.mark.parametrize(("text", "factor", "broken"), [
    ("median:5%", 1.06, True), ("median:7%", 1.06, False), ("mean:5%", 1.06, True), ("min:5.5%", 1.06, True), ("min:6.5%", 1.06, False),
    ("median:0%", 1.01, False),  # slower by more, but a tie
])  # fmt: skip
def test_thresholds(text, factor, broken):
    found = compare(RunSet("a", (run(gru=1, lstm=1),)), RunSet("b", (run(gru=factor, lstm=0.5),)))
    lines = Threshold.parse(text).list_violations(found)
    assert len(lines) == broken and all("gru compiled training T=128: 6.0% slower by its" in line for line in lines)


def test_each_statistic_is_its_own():
    b = records(timed(case(), *[1.2] * 7, 5.0, 1.0, 1.2))
    found = compare(RunSet("a", (run(gru=1),)), RunSet("b", (b,)))
    assert [bool(Threshold.parse(text).list_violations(found)) for text in ("min:5%", "median:21%", "median:19%", "mean:50%")] == [
        False,
        False,
        True,
        True,
    ]


def test_a_time_that_is_lost_breaks_any_threshold():
    gone = compare(RunSet("a", (run(gru=1, lstm=1, cfn=1),)), RunSet("b", (records(*run(gru=1).cases, timed(case("lstm"), status="oom")),)))
    assert Threshold.parse("median:900%").list_violations(gone) == [
        "lstm compiled training T=128: had a time, now oom",
        "B lacks 1 of A's cases that had a time: --all lists them, --cells and --backends choose",
    ]


def kept(path: Path, found: Records) -> Path:
    path.mkdir()
    (path / "records.jsonl").write_text(lines(found))
    return path


def test_from_the_command_line(bench, tmp_path):
    a, b = kept(tmp_path / "a", run(gru=1, lstm=1)), kept(tmp_path / "b", run(gru=1.2, lstm=1))
    code, out, err = bench("compare", a, b)
    assert (code, err) == (0, "")
    for words in ("2 cases compared: 1 slower, 0 faster, 1 tie, 0 ambiguous", "Slower: 1 case", "0.83× [0.8", "Ties: 1 case", "≈1.00×"):
        assert words in out
    assert max(map(len, out.splitlines())) <= 120
    code, again, err = bench("compare", a, b / "records.jsonl", "--fail-slower", "median:5%")
    assert code == 1 and err == "gru compiled training T=128: 20.0% slower by its median\n" and "Slower: 1 case" in again
    assert bench("compare", b, a, "--fail-slower", "median:5%")[0] == 0
    code, out, _ = bench("compare", a, a)
    assert code == 0 and "the same records: there is nothing to compare" in out and "Ties: 2 cases" in out


def test_what_one_run_lacks_is_a_count(bench, tmp_path):
    """A subset against a whole run: what is in both is listed, the rest with --all, in every format."""
    both = run(gru=1, lstm=1, cfn=1, vanilla=1)
    more = [timed(case("minimal", T=T), *TIMES) for T in range(1, 61)]
    a, b = kept(tmp_path / "a", records(*both.cases, *more)), kept(tmp_path / "b", run(gru=1.2, lstm=0.8, cfn=1, vanilla=1))
    out = bench("compare", a, b)[1]
    assert "60 cases only in A: --all lists them." in out and "minimal" not in out and out.count("\n") < 40
    assert bench("compare", a, b, "--all")[1].count("only in A") == 61
    assert [len(json.loads(bench("compare", a, b, "--json", *more)[1])["cases"]) for more in ((), ("--all",))] == [4, 64]
    code, _, err = bench("compare", a, b, "--fail-slower", "median:5%", "--csv")
    assert code == 1 and err.splitlines() == [
        "gru compiled training T=128: 20.0% slower by its median",
        "B lacks 60 of A's cases that had a time: --all lists them, --cells and --backends choose",
    ]


@pytest.mark.parametrize(("given", "listed"), [
    (("--only-changed",), {"gru", "lstm", "vanilla"}), (("--only-slower",), {"gru", "vanilla"}), (("--cells", "lstm,cfn"), {"lstm", "cfn"}),
    (("--cells", "gru", "--cells", "cfn", "--only-changed"), {"gru"}), (("--backends", "eager"), {"minimal"}),
    (("--all", "--only-slower"), {"gru", "vanilla", "ugrnn"}),
])  # fmt: skip
def test_filters(bench, tmp_path, given, listed):
    same, gone = timed(case("minimal", "eager"), *TIMES), timed(case("ugrnn"), *TIMES)
    a = kept(tmp_path / "a", records(*run(gru=1, lstm=1, cfn=1, vanilla=1).cases, same, gone))
    b = kept(tmp_path / "b", records(*run(gru=1.2, lstm=0.8, cfn=1).cases, timed(case("vanilla"), status="oom"), same))
    code, out, _ = bench("compare", a, b, "--json", *given)
    assert code == 0 and {row["cell"] for row in json.loads(out)["cases"]} == listed
    assert bench("compare", a, b, *given)[0] == 0


def test_a_filter_that_chooses_nothing(bench, tmp_path):
    a = kept(tmp_path / "a", run(gru=1))
    code, out, err = bench("compare", a, a, "--cells", "gur")
    assert (code, out, err) == (2, "", "bench: --cells: neither run has gur: there are gru\n")


def test_unlike_is_refused_or_said_aloud(bench, tmp_path):
    here = RUN.environment.model_copy(update={"threads": 8})
    a, b = kept(tmp_path / "a", run(gru=1)), kept(tmp_path / "b", changed(run(gru=1), environment=here))
    code, out, err = bench("compare", a, b)
    assert (code, out) == (2, "") and err == "bench: A and B differ in threads (2, 8): compare like with like, or --force\n"
    code, out, _ = bench("compare", a, b, "--force")
    assert code == 0 and out.startswith("CAUTION: A and B differ in threads (2, 8).")
    assert json.loads(bench("compare", a, b, "--force", "--json")[1])["unlike"] == ["threads (2, 8)"]
    assert "**CAUTION: A and B differ" in bench("compare", a, b, "--force", "--md")[1].split("\n\n")[1]


@pytest.mark.parametrize(("arguments", "says"), [
    (["nowhere-at-all", "{a}"], "neither a records file or its folder nor a git revision"),
    (["--upload-pack=x", "{a}"], "No such option"),
    (["{a}", "{a}", "--fail-slower", "5"], "for example --fail-slower median:5%"),
    (["{a}", "{a}", "--", "--quick"], "leave out -- --quick"),
    (["HEAD", "{a}", "--", "--out=x"], "--out=x after -- is for compare itself"),
    (["{a}", "{b}"], "no case in common"),
    ([], "Missing argument"),
])  # fmt: skip
def test_bad_input_is_one_line_and_exit_2(bench, tmp_path, arguments, says):
    places = {"a": kept(tmp_path / "a", run(gru=1)), "b": kept(tmp_path / "b", run(lstm=1))}
    code, out, err = bench("compare", *(text.format(**places) for text in arguments))
    assert (code, out) == (2, "") and says in err and err.startswith("bench: ") and err.count("\n") == 1


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A git repository whose `python -m bench all` writes down which revision ran, and is slower in the second."""
    root = tmp_path / "repository"
    (root / "bench").mkdir(parents=True)
    (root / "bench/__init__.py").touch()

    def git(*arguments: str) -> None:
        subprocess.run(
            ["git", "-C", str(root), "-c", "user.name=n", "-c", "user.email=e", "-c", "commit.gpgsign=false", *arguments],
            check=True,
            capture_output=True,
        )

    def commit(factor: float) -> None:
        made = lines(run(gru=factor)).replace("'", "")
        (root / "bench/__main__.py").write_text(
            "import pathlib, sys\n"
            "assert sys.argv[1] == 'all' and '--fail' not in sys.argv\n"
            f"pathlib.Path({str(tmp_path / 'log')!r}).open('a').write('{factor} ' + ' '.join(sys.argv[2:-2]) + chr(10))\n"
            "out = pathlib.Path(sys.argv[-1]); out.mkdir()\n"
            f"(out / 'records.jsonl').write_text({made!r})\nprint('a table')\n"
        )
        git("add", "-A")
        git("commit", "-m", f"{factor}")

    git("init", "-b", "main")
    commit(1.0)
    git("tag", "old")
    commit(1.5)
    monkeypatch.setattr(revisions, "ROOT", root)
    return SimpleNamespace(root=root, log=tmp_path / "log", git=git)


def test_revisions_are_measured_by_turns(bench, repository):
    code, out, err = bench("compare", "old", "HEAD", "--json", "--", "--cells", "gru")
    assert code == 0, err
    assert repository.log.read_text().splitlines() == [f"{factor} --cells gru" for factor in (1.0, 1.5, 1.5, 1.0)]
    found = json.loads(out)
    assert found["cases"][0]["a_samples"] == 2 * len(TIMES) and found["cases"][0]["verdict"] == "slower" and found["a"]["runs"] == 2
    assert [line.split(": ")[1] for line in err.splitlines()] == ["old", "HEAD", "HEAD", "old"]
    trees = subprocess.run(["git", "-C", str(repository.root), "worktree", "list"], capture_output=True, text=True, check=True)
    assert trees.stdout.count("\n") == 1, "the worktrees are gone"


def test_a_revision_against_the_working_tree_and_a_file(bench, repository, tmp_path):
    source = repository.root / "bench/__main__.py"
    source.write_text(source.read_text().replace("1.5", "3.5"))
    code, out, err = bench("compare", "old", "--fail-slower", "median:5%")
    assert code == 1 and "the working tree" in out and "50.0% slower" in err
    assert [line.split()[0] for line in repository.log.read_text().splitlines()] == ["1.0", "3.5", "3.5", "1.0"]
    code, out, _ = bench("compare", kept(tmp_path / "a", run(gru=1.5)), "old")
    assert code == 0 and "Faster: 1 case" in out and repository.log.read_text().count("\n") == 5


def test_a_revision_that_can_not_be_measured(bench, repository):
    code, out, err = bench("compare", "old", "--", "--fail")
    assert (code, out) == (2, "") and err.splitlines()[-1] == "bench: old could not be measured: bench all --fail ended with exit code 1"
    trees = subprocess.run(["git", "-C", str(repository.root), "worktree", "list"], capture_output=True, text=True, check=True)
    assert trees.stdout.count("\n") == 1
