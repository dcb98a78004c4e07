"""Writes docs/note.md: the statements of the study note, and for each what was tried, the number, and the verdict."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.render import note_evidence as cells
from bench.render import note_jacobians as jacobians
from bench.render import note_trainings as trainings
from bench.render.note_evidence import Judge
from bench.render.published import Published

ABOUT = """\
# The study note, row by row

This project exists because of a study note about MinimalRNN and its neighbours, LSTM and GRU, gradients, and waves as recurrent networks.
Each row is a statement of the note, the command that tries it from a fresh clone, the number, and the verdict: yes, no, or not shown. The
commands need `make setup && . .venv/bin/activate`; the digits also `make .venv/.installed-tasks`, recommendations the 100,000 ratings of
[MovieTweetings](https://github.com/sidooms/MovieTweetings), and the rows at the end, each of which follows from the equations and has a
test, `make .venv/.installed-test`. `python -m bench publish` writes the page from the newest published
run that has what a row needs, and a test writes it again from the same records and compares.

- **Intervals** of 95% decide: over seeds, corrected for the number of cells in the row, so they can be wider than in the linked table; one
  seed shows nothing. Those of times are over builds, and a difference within the noise of the run shows nothing. Two cells that are not
  shown to differ are "not shown".
- **No interval** is used for parameters, operations, equations, weights set by hand, mean-field theory (the largest error of any point), a
  cell at rest (the largest exponent of any trajectory), exploding gradients (the median over seeds) and seeds that reach a target.
- **As good** means at most 10% worse. Where trainings stop at a target, it means that every seed reaches it, and in no more steps: a tie in
  steps is as good.
- **Exploded** means over 100 times the GRU's largest gradient norm; under 10 times is a no.
- **Trainings** are at equal hidden width, of a run without any at equal parameters, and with a limit of 1 on the gradient's norm unless the
  row says otherwise."""


@dataclass(frozen=True)
class Statement:
    """A statement of the note.

    Attributes:
        words: The statement.
        command: The command that tries it.
        judge: The judge of published runs.
    """

    words: str
    command: str
    judge: Judge


TRAIN = "python -m bench train {} --seeds 3"
RATINGS = "python -m bench train recommend --data ratings.dat --seeds 5"
SPEED = "python -m bench all --thorough --seq-lens 16,32,128 --batch 32 --hidden 256"
STUDY = "python -m bench gradients"
ADDING, UNCLIPPED = TRAIN.format("adding"), "python -m bench train adding --seeds 3 --clip none"
LIKE = "of LSTM, GRU, CFN and MinimalRNN"
STATEMENTS = (
    Statement(f"{LIKE[0].upper()}{LIKE[1:]}, MinimalRNN has the fewest parameters", SPEED, cells.judge_parameters),
    Statement(f"{LIKE[0].upper()}{LIKE[1:]}, MinimalRNN needs the fewest operations in a step", SPEED, cells.judge_operations),
    Statement(
        "MinimalRNN trains faster than CFN, and CFN faster than the GRU",
        SPEED,
        cells.judge_order(("eager", "compiled"), ("minimal", "cfn", "gru")),
    ),
    Statement("The GRU trains faster than the LSTM, in the derived kernels", SPEED, cells.judge_order(("compiled",), ("gru", "lstm"))),
    Statement("The GRU trains faster than the LSTM, in torch.nn", SPEED, cells.judge_order(("vendor",), ("gru", "lstm"))),
    Statement(
        "The units of MinimalRNN are nearly independent: neighbours move them less than those of GRU and LSTM",
        f"for task in adding counting digits; do python -m bench train $task --seeds 3; done; {RATINGS}",
        trainings.judge_neighbours,
    ),
    Statement("Gradients change least in MinimalRNN, as cells start by default", STUDY, cells.judge_start("default")),
    Statement("Gradients change least in MinimalRNN, with open gates (a bias of 5)", STUDY, cells.judge_start("open")),
    Statement("Gradients change least in MinimalRNN, at critical starts", STUDY, cells.judge_start("critical")),
    Statement(
        "Mean-field theory predicts how a signal grows, within 5%, with weights drawn anew at each step",
        "python -m bench theory",
        cells.judge_theory,
    ),
    Statement("Training makes gradients reach further back", ADDING, jacobians.judge_jacobian),
    Statement(
        "MinimalRNN's input-output Jacobians reach further back than those of GRU and LSTM, once trained", UNCLIPPED, jacobians.judge_reach
    ),
    Statement("LSTM and GRU can be chaotic", "python -m bench chaos", cells.judge_maps),
    Statement("Without input, CFN comes to rest", "python -m bench chaos", cells.judge_rest("cfn")),
    Statement("Without input, MinimalRNN comes to rest", "python -m bench chaos", cells.judge_rest("minimal")),
    *(
        Statement(f"{name} bears noise in its {noise.split()[0]} better than GRU and LSTM", ADDING, trainings.judge_noise(cell, noise))
        for noise in ("inputs 0.3", "states 0.1")
        for name, cell in (("MinimalRNN", "minimal"), ("CFN", "cfn"))
    ),
    *(
        Statement(
            f"MinimalRNN is as good as GRU and LSTM: {task}",
            RATINGS if task == "recommend" else TRAIN.format(task),
            trainings.judge_quality(task),
        )
        for task in trainings.TASKS
    ),
    Statement("A deeper Φ helps", TRAIN.format("digits"), trainings.judge_depth),
    Statement(
        "Set by hand, an LSTM counts 100,000 up and down exactly, a GRU with a constant gate doesn't",
        TRAIN.format("counting"),
        trainings.judge_counters,
    ),
    Statement("Trained, an LSTM counts further than a GRU", TRAIN.format("counting"), trainings.judge_counting),
    Statement("The GRU overfits less than the LSTM on little data", "python -m bench train sizes --seeds 5", trainings.judge_small_data),
    Statement("Vanilla doesn't learn what gated cells learn over 200 steps", ADDING, trainings.judge_vanilla),
    Statement(
        "Without a limit on the gradient's norm, vanilla learns nothing, and its gradients explode", UNCLIPPED, trainings.judge_explosion
    ),
    Statement("A wave equation is a recurrent network that classifies synthetic vowels", TRAIN.format("vowels"), trainings.judge_wave),
)

PROVEN = (
    (
        "Φ puts the input into the space of the state: MinimalRNN's states stay within the range of 0, their start, and the z's so far",
        "range",
    ),
    ("The gate u of MinimalRNN keeps the state (u = 1) or replaces it by z (u = 0)", "gate"),
    ("An LSTM's memory is a conveyor belt: with f = 1 and i = 0, c is unchanged for 500 steps", "conveyor"),
    ("From GRU to CFN the candidate loses the state: only gates have a product with h", "gru_to_cfn"),
    ("From CFN to MinimalRNN one gate goes, and with it a product with h: the other is 1 - u", "cfn_to_minimal"),
    ("The state of a GRU or MinimalRNN is bounded by 1, so in one unit some two of n counts lie at most 2/(n - 1) apart", "counts"),
)
"""Statements that follow from the equations, and the name of the test of each in tests/test_note_page.py."""


def render_note(runs: Sequence[Published]) -> str:
    """Returns the page as markdown."""
    rows = []
    for statement in STATEMENTS:
        found = statement.judge(runs)
        if found is None:
            rows.append([statement.words, f"`{statement.command}`", f"not shown yet: run `{statement.command}`", "not shown", "–"])
        else:
            said, verdict, *used = found
            links = ", ".join(f"[{run.day}](../reports/{run.name}/report.md)" for run in used)
            rows.append([statement.words, f"`{statement.command}`", said, verdict, links])
    proven = [[words, f"`pytest tests/test_note_page.py -k {name}`", "yes"] for words, name in PROVEN]
    measured = write_rows(["statement", "command", "number", "verdict", "run"], rows)
    followed = write_rows(["statement", "command", "verdict"], proven)
    return "\n\n".join([ABOUT, "## Measured", measured, "## From the equations", followed]) + "\n"


def write_rows(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a pipe table of markdown, whose cells have no vertical bar."""
    return "\n".join("| " + " | ".join(row) + " |" for row in (headers, [":--"] * len(headers), *rows))


def write_note(docs: Path, runs: Sequence[Published]) -> Path:
    """Writes the page into the folder of the documents and returns its path."""
    path = docs / "note.md"
    path.write_text(render_note(runs), encoding="utf-8")
    return path
