"""Checkpoints of a training: whole, and a broken one is reported in one line."""

import pytest
import torch

from bench.errors import UsageError
from bench.studies.training import training_checkpoint
from bench.studies.training.learning_rate_search import Search
from bench.studies.training.trainer import Training
from tests.single_thread import one_thread
from tests.small_trainings import CPU, EASY, quiet, trial

__all__ = ["one_thread"]


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
    message = rf"a\.pt is no checkpoint of this training \(.*{told}.*\): move it away, and --resume begins that training again$"
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
