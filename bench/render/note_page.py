"""Writes docs/note.md: the statements of the study note, and for each what was tried, the number, and the verdict."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.render import note_evidence as cells
from bench.render import note_trainings as trainings
from bench.render.note_evidence import Judge
from bench.render.published import Published

ABOUT = """\
# The study note, row by row

This project exists because of a study note about MinimalRNN and its neighbours, LSTM and GRU, gradients, and waves as recurrent networks.
Each row is a statement of the note, the command that tries it from a fresh clone (after `make setup`), the number, and the verdict: yes,
no, or not shown. `python -m bench publish` writes the page; all numbers are read from the newest published run that has them, and a test
computes every verdict again. As good means at most 10% worse, by 95% intervals over seeds. The rows at the end follow from the equations
alone, and a test proves each."""


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
SPEED = "python -m bench all --thorough --seq-lens 16,32,128 --batch 32 --hidden 256"
STUDY = "python -m bench gradients"
STATEMENTS = (
    Statement("MinimalRNN has the fewest parameters of the gated cells", SPEED, cells.judge_parameters),
    Statement("MinimalRNN needs the fewest operations in a step", SPEED, cells.judge_operations),
    Statement("MinimalRNN trains faster than CFN, and CFN faster than the GRU", SPEED, cells.judge_step_times),
    Statement("The GRU trains faster than the LSTM, in the derived kernels", SPEED, cells.judge_gru_and_lstm("compiled")),
    Statement("The GRU trains faster than the LSTM, in torch.nn", SPEED, cells.judge_gru_and_lstm("vendor")),
    Statement(
        "The units of MinimalRNN are nearly independent: neighbours move them less than those of GRU and LSTM",
        "for task in adding counting digits recommend; do python -m bench train $task --seeds 3; done",
        trainings.judge_neighbours,
    ),
    Statement("Gradients change least in MinimalRNN, as cells start by default", STUDY, cells.judge_start("default")),
    Statement("Gradients change least in MinimalRNN, with open gates", STUDY, cells.judge_start("open")),
    Statement("Gradients change least in MinimalRNN, at critical starts", STUDY, cells.judge_start("critical")),
    Statement("Mean-field theory predicts how a signal grows, within 5%", "python -m bench theory", cells.judge_theory),
    Statement(
        "Training makes gradients reach further back",
        TRAIN.format("adding"),
        trainings.judge_jacobian,
    ),
    Statement("LSTM and GRU can be chaotic", "python -m bench chaos", cells.judge_maps),
    Statement("CFN is not chaotic: without input it comes to rest", "python -m bench chaos", cells.judge_rest("cfn")),
    Statement("MinimalRNN is not chaotic: without input it comes to rest", "python -m bench chaos", cells.judge_rest("minimal")),
    Statement(
        "MinimalRNN and CFN bear noise in their inputs better than GRU and LSTM",
        TRAIN.format("adding"),
        trainings.judge_noise("inputs"),
    ),
    Statement(
        "MinimalRNN and CFN bear noise in their states better than GRU and LSTM",
        TRAIN.format("adding"),
        trainings.judge_noise("states"),
    ),
    *(
        Statement(f"MinimalRNN is as good as GRU and LSTM: {task}", TRAIN.format(task), trainings.judge_quality(task))
        for task in trainings.TASKS
    ),
    Statement("A deeper Φ helps", TRAIN.format("digits"), trainings.judge_depth),
    Statement("An LSTM counts, a GRU can't", TRAIN.format("counting"), trainings.judge_counting),
    Statement("The GRU overfits less than the LSTM on little data", "python -m bench train sizes --seeds 5", trainings.judge_small_data),
    Statement("Vanilla doesn't learn what gated cells learn over 200 steps", TRAIN.format("adding"), trainings.judge_vanilla),
    Statement(
        "Vanilla fails early, by exploding gradients", "python -m bench train adding --seeds 3 --clip none", trainings.judge_explosion
    ),
    Statement("A wave equation is a recurrent network that classifies vowels", TRAIN.format("vowels"), trainings.judge_wave),
)

PROVEN = (
    ("Φ puts the input into the space of the state: MinimalRNN's states stay within the range of the z's so far", "range"),
    ("The gate u of MinimalRNN keeps the state (u = 1) or replaces it by z (u = 0)", "gate"),
    ("An LSTM's memory is a conveyor belt: with f = 1 and i = 0, c is unchanged for 500 steps", "conveyor"),
    ("From GRU to CFN the candidate loses the state: only gates have a product with h", "gru_to_cfn"),
    ("From CFN to MinimalRNN one gate goes, and with it a product with h: the other is 1 - u", "cfn_to_minimal"),
    ("The state of a GRU or MinimalRNN is bounded by 1, so n counts lie within 2/n of each other", "counts"),
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
            said, verdict, run = found
            rows.append([statement.words, f"`{statement.command}`", said, verdict, f"[{run.day}](../reports/{run.name}/report.md)"])
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
