"""All trainings of a plan, one run: what is done is not trained again."""

import dataclasses

from bench.studies.training import trainings as run
from tests.single_thread import one_thread
from tests.small_trainings import CPU, EASY, runner

__all__ = ["one_thread"]


def test_what_is_done_is_not_trained_again(tmp_path):
    task = dataclasses.replace(EASY, steps=20, every=10, rates=(1e-3,))
    left, records, lines = runner(task, tmp_path, ("gru", "minimal"), equal=("hidden", "parameters"))
    assert left == 0 and len(records) == 4 and sum(line.kind == "learned" for line in lines) == 2
    gru = [r for r in records if r.trial.cell == "gru"]
    assert gru[0].curve == gru[1].curve and [r.trial.equal for r in gru] == ["hidden", "parameters"]
    assert runner(task, tmp_path, ("gru", "minimal"), equal=("hidden", "parameters"), done=records)[1] == []
    more = runner(dataclasses.replace(task, steps=30), tmp_path, ("gru",), done=records)[1]
    assert [r.steps for r in more] == [30] and more[0].curve[:3] == gru[0].curve


def test_a_short_part_for_a_run_of_everything():
    said = []
    minimal, vanilla = run.preview_training(CPU, said.append)
    assert minimal.final < vanilla.final and len(said) == 2
