"""Tasks: their data against what they say, by brute force; splits, epochs, and that everything follows from the seed and the step."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.studies.training import TASKS, load_task
from bench.studies.training import digits as digits_data
from bench.studies.training import mnist1d as mnist1d_data
from bench.studies.training.adding import Adding, Masked
from bench.studies.training.copying import BLANK, MARK, RECALLED, SYMBOLS, Copying
from bench.studies.training.counting import Counting
from bench.studies.training.task import shuffled_indices, split_indices
from kernels import RNN

SMALL = {"recommend": {"users": 60, "T": 12, "vocabulary": 200}}


def test_adding_is_the_sum_of_one_number_in_each_half():
    x, y = Adding(T=9, B=40).batch(3, 5)
    assert x.shape == (9, 40, 2)
    for b in range(40):
        marked = [t for t in range(9) if x[t, b, 1] == 1]
        assert len(marked) == 2 and marked[0] < 4 <= marked[1]
        assert y[b].item() == pytest.approx(sum(x[t, b, 0].item() for t in marked), abs=1e-6)
    assert set(x[..., 1].unique().tolist()) == {0.0, 1.0}


def test_always_one_has_the_mean_squared_error_of_the_baseline():
    task = Adding(T=2)
    _, y = task.held_out("test")
    off = ((y - 1) ** 2).mean().item()
    assert off == pytest.approx(task.baselines()["best constant answer"], rel=0.15)  # of 1000 draws: one deviation is 0.04 of it


def test_masked_marks_where_exactly_one_bit_is_set():
    x, y = Masked(T=12, B=30).batch(0, 1)
    wanted = [sum(x[t, b, 0].item() for t in range(12) if x[t, b, 1] != x[t, b, 2]) for b in range(30)]
    assert torch.allclose(y[:, 0], torch.tensor(wanted), atol=1e-6)
    for bit in (1, 2):  # neither bit alone tells: where nothing counts it is set as often as not
        assert 0.4 < x[..., bit][x[..., 1] == x[..., 2]].mean() < 0.6


def test_copy_asks_for_the_first_ten_symbols_at_the_end():
    task = Copying(T=7, B=20)
    x, y = (part.numpy() for part in task.batch(1, 2))
    assert x.shape == (27, 20, SYMBOLS + 2) and (x.sum(-1) == 1).all()
    symbols = x.argmax(-1)
    for b in range(20):
        first, rest = symbols[:RECALLED, b], list(symbols[RECALLED:, b])
        assert (first < SYMBOLS).all() and rest == [BLANK] * 6 + [MARK] + [BLANK] * RECALLED
        assert list(y[:, b]) == [BLANK] * 17 + list(first)


def test_copy_counts_recalled_symbols_alone():
    task = Copying(T=3)
    _, y = task.held_out("test")
    perfect = torch.nn.functional.one_hot(y, SYMBOLS + 1).float()
    assert task.score(perfect, y) == 1.0
    blanks = torch.zeros_like(perfect)
    blanks[..., BLANK] = 9.0
    blanks[..., 0] = 1.0
    assert task.score(blanks, y) == pytest.approx(1 / SYMBOLS, abs=0.02)  # 5000 symbols: one deviation is 0.005


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_counting_by_brute_force(counts):
    x, y = Counting().words(np.array(counts))
    for b, n in enumerate(counts):
        letters = ["a"] * n + ["b"] * n + [""] * (len(x) - 2 * n)
        shown = ["ab"[x[t, b].argmax()] if x[t, b].any() else "" for t in range(len(x))]
        assert shown == letters
        left = [n - k for k in range(1, n + 1)]
        assert list(y[:, b]) == [-1] * n + [int(more == 0) for more in left] + [-1] * (len(x) - 2 * n)


class Counter(torch.nn.Module):
    """Counts up on a and down on b, and is wrong beyond `most`."""

    def __init__(self, most: float):
        super().__init__()
        self.most, self.rnn = torch.nn.Parameter(torch.tensor(float(most))), RNN("vanilla", 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        up = x[..., 0].cumsum(0).clamp(max=self.most)
        left = up - x[..., 1].cumsum(0)
        return torch.stack([left.abs(), torch.full_like(left, 0.5)], dim=-1)


@pytest.mark.parametrize(("most", "to"), [(7, 7), (16, 16), (99, 16), (1, 1)])
def test_counts_to(most, to):
    task = Counting(T=4)
    model = Counter(most)
    assert task.extras(model)["counts to"] == to
    assert task.measure(model, "test") == pytest.approx(to / 16)


def test_digits_are_those_of_scikit_learn_in_three_parts():
    from sklearn.datasets import load_digits

    parts = [digits_data.load_digits_data(split) for split in ("train", "valid", "test")]
    assert [len(y) for _, y in parts] == [1258, 269, 270]
    mine = {(tuple((x[:, k, 0] * 16).astype(int)), int(y[k])) for x, y in parts for k in range(len(y))}
    pixels, digits = load_digits(return_X_y=True)
    assert mine == {(tuple(p.astype(int)), int(d)) for p, d in zip(pixels, digits, strict=True)}


def test_digits_are_trained_on_in_noise_and_read_without():
    x, y = load_task("digits", B=64).batch(0, 3)
    clean, digits = digits_data.load_digits_data("train")
    off = np.stack([np.square(clean[:, :, 0] - x[:, [k], 0].numpy()).mean(0) for k in range(64)])  # of each from every picture
    nearest = off.argmin(1)
    assert np.array_equal(digits[nearest], y) and len(set(nearest)) == 64
    assert (x[:, :, 0].numpy() - clean[:, nearest, 0]).std() == pytest.approx(digits_data.NOISE, rel=0.05)  # 4096 draws
    assert set(np.unique(digits_data.load_digits_data("valid")[0] * digits_data.DARKEST)) <= set(range(17))


def test_without_scikit_learn_digits_say_so(monkeypatch):
    import sys

    from bench.errors import UsageError

    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    digits_data.load_digits_data.cache_clear()
    with pytest.raises(UsageError, match="pip install scikit-learn"):
        digits_data.load_digits_data("train")


def test_mnist1d_is_balanced_normal_and_in_parts():
    parts = [mnist1d_data.load_mnist1d(split) for split in ("train", "valid", "test")]
    assert [x.shape for x, _ in parts] == [(40, 4000, 1), (40, 1000, 1), (40, 1000, 1)]
    heights, digits = np.concatenate([x for x, _ in parts], axis=1), np.concatenate([y for _, y in parts])
    assert heights.mean() == pytest.approx(0, abs=1e-12) and heights.std() == pytest.approx(1)
    assert np.bincount(digits).tolist() == [600] * 10


def test_an_mnist1d_outline_begins_and_ends_at_zero():
    for digit in range(10):
        outline = mnist1d_data.digit_outline(digit)
        assert outline[0] == outline[-1] == 0 and outline.std() == pytest.approx(1 / 6)


def test_an_mnist1d_example_without_noise_is_its_outline_somewhere(monkeypatch):
    """Without noise, shear and scale, what is left of an example is the outline, stretched and turned round."""
    for name in ("SCALE", "SHEAR", "SMOOTH_NOISE", "NOISE"):
        monkeypatch.setattr(mnist1d_data, name, 0.0)
    outline = mnist1d_data.digit_outline(7)
    for seed in range(20):
        x = mnist1d_data.make_example(outline, np.random.default_rng(seed))
        stretched = 72 / (len(outline) + 48)  # at the padding's mean
        area = np.abs(x).sum() / 40 * 72
        assert area == pytest.approx(np.abs(outline).sum() * stretched, rel=0.35)  # 36 to 60 of padding, and 40 points of 72
        assert x.max() <= outline.max() + 1e-12 and x.min() >= outline.min() - 1e-12


def test_fewer_examples_are_the_first_ones():
    few = mnist1d_data.Mnist1d(examples=10, B=10)
    x, _ = few.batch(0, 0)
    first = torch.from_numpy(mnist1d_data.load_mnist1d("train")[0][:, :10].astype(np.float32))
    assert {tuple(row.tolist()) for row in x[..., 0].T} == {tuple(row.tolist()) for row in first[..., 0].T}
    assert [task.examples for task in load_task("sizes").variants()] == list(mnist1d_data.SIZES)


@pytest.mark.parametrize("name", TASKS)
def test_a_batch_follows_from_the_seed_and_the_step(name):
    task, again = (load_task(name, B=4, **SMALL.get(name, {})) for _ in range(2))
    one = task.batch(1, 2)
    assert all(torch.equal(a, b) for a, b in zip(one, again.batch(1, 2), strict=True))
    for seed, step in ((0, 2), (1, 3)):
        other = task.batch(seed, step)
        assert any(a.shape != b.shape or not torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("name", TASKS)
def test_a_new_model_does_no_better_than_chance(name):
    """And its loss has a gradient for every learned value."""
    task = load_task(name, B=4, H=8, **SMALL.get(name, {}))
    model = task.model("minimal", 8)
    task.loss(model, task.batch(0, 0)).backward()
    assert all(p.grad is not None for p in model.parameters())
    chance = max(task.baselines().values(), default=0.2)
    value = task.measure(model, "test")
    assert value < chance + 0.1 if task.higher else value > 0.9 * min(task.baselines().values())
    assert task.inputs(model).shape[-1] == task.D


@given(st.integers(1, 30), st.integers(1, 8), st.integers(0, 3))
def test_an_epoch_has_each_example_at_most_once(count, B, seed):
    per_epoch = max(1, count // B)
    epoch = np.concatenate([shuffled_indices(count, B, seed, step) for step in range(per_epoch)])
    assert len(set(epoch)) == len(epoch) == (min(count, B) if count < B else per_epoch * B)
    assert set(epoch) <= set(range(count))


def test_a_split_has_everything_once():
    parts = split_indices(range(10), (0.7, 0.2))
    assert [list(parts[split]) for split in ("train", "valid", "test")] == [[0, 1, 2, 3, 4, 5, 6], [7, 8], [9]]
