"""The recommender's parts: its file, its histories, what it is measured by, its softmax, and what it is compared with."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import UsageError
from bench.studies.training import average_precision, clicks, histories, ratings, sampled_softmax
from bench.studies.training.baselines import PopularityScorer, TransitionScorer
from bench.studies.training.histories import UNKNOWN, Histories
from bench.studies.training.recommend import Recommend

LINES = "2::b::7::30\n1::a::8::20\n1::b::8::10\n2::c::1.5::30\n\n1::c::9::20\n"


def written(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "ratings.dat"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_ratings_file_by_user_and_time(tmp_path):
    assert ratings.read_ratings(written(tmp_path, LINES)) == [["b", "c"], ["b", "a", "c"]]
    assert ratings.read_ratings(written(tmp_path, LINES.replace("\n", "\r\n"))) == [["b", "c"], ["b", "a", "c"]]
    assert ratings.read_ratings(written(tmp_path, "\ufeff" + LINES)) == [["b", "c"], ["b", "a", "c"]]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("1::2::3::4\n1::2::3\n", "line 2 has 3 fields, not 4"),
        ("1,2,3,4\n", "line 1 has 1 fields, not 4"),
        ("1::2::good::4\n", "line 1: the rating 'good' is no number"),
        ("1::2::3::4\n\n1::2::3::today\n", "line 3: the time 'today' is no number"),
        ("1::2::3::nan\n", "the time 'nan' is no number"),
        ("1::::3::4\n", "line 1 has a field with nothing in it"),
        ("", "is empty"),
        (b"1::\xff\xfe::3::4\n", "not UTF-8 at byte 3"),
    ],
)
def test_a_bad_file_is_one_line_with_its_place(tmp_path, content, says):
    path = written(tmp_path, content)
    with pytest.raises(UsageError) as caught:
        ratings.read_ratings(path)
    assert says in str(caught.value) and str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(UsageError, match=r"nowhere can't be read \(No such file"):
        ratings.read_ratings(tmp_path / "nowhere")


def test_users_with_too_few_items(tmp_path):
    path = written(tmp_path, "".join(f"{user}::{user}::5::1\n" for user in range(30)))
    with pytest.raises(UsageError, match="0 of its 30 users have 5 items or more"):
        histories.read_histories(path)


def file(tmp_path: Path, users: int = 20) -> Path:
    rows = (f"{u}::{'rare' if (u, k) == (0, 2) else k + u % 3}::5::{k}" for u in range(users) for k in range(5 + u % 2))
    return written(tmp_path, "\n".join(rows))


def test_histories_of_a_file(tmp_path):
    found = histories.read_histories(file(tmp_path))
    assert [len(found.users[split]) for split in ("train", "valid", "test")] == [16, 2, 2]
    flat = np.concatenate(found.users["train"])
    assert set(flat) == set(range(1, found.items))  # every item of training has a number, 0 is left for the others
    assert found.counts[1] == found.counts.max() and found.counts[UNKNOWN] == 0
    assert not found.repeats


def test_the_longest_history_is_500_items_and_the_next(tmp_path):
    rows = "\n".join(f"{u}::{k}::5::{k}" for u in range(10) for k in range(600))
    assert {len(user) for user in histories.read_histories(written(tmp_path, rows)).users["train"]} == {501}


def literal_average_precision(ranked: list[int], relevant: set[int], k: int) -> float:
    """AP@k as it is defined: the mean of the precisions at the ranks of what is relevant, over at most k."""
    hits, total = 0, 0.0
    for rank, item in enumerate(ranked[:k], start=1):
        if item in relevant:
            hits += 1
            total += hits / rank
    return total / min(len(relevant), k)


def tiny(items: int, users: list[list[int]], train: list[list[int]]) -> Histories:
    parts = {"train": [np.array(user) for user in train], "valid": [], "test": [np.array(user) for user in users]}
    return Histories("made for a test", parts, items)


@given(st.integers(2, 60), st.integers(0, 10_000), st.booleans())
def test_map_at_20_is_its_definition(items, seed, repeats):
    """By sorting, without ties, over every prefix of every user, with and without what was seen."""
    rng = np.random.default_rng(seed)
    users = [list(rng.permutation(np.arange(1, items + 1))[: int(rng.integers(2, 2 + min(items - 1, 6)))]) for _ in range(3)]
    table = rng.permutation((items + 1) * 7).reshape(7, items + 1).astype(np.float32)
    found = tiny(items + 1, users, [[1, 1] if repeats else [1, 2]])

    def score(questions):
        return torch.from_numpy(table[[t for _, t in questions]])

    per_user = []
    for user in users:
        values = []
        for t in range(len(user) - 1):
            seen = set() if repeats else set(user[: t + 1])
            ranked = sorted((i for i in range(1, items + 1) if i not in seen), key=lambda i: -table[t, i])
            values.append(literal_average_precision(ranked, {user[t + 1]}, average_precision.AT))
        per_user.append(sum(values) / len(values))
    assert average_precision.mean_average_precision(found, found.users["test"], score) == pytest.approx(sum(per_user) / 3)


def test_a_tie_stands_before_the_right_one_and_the_unknown_is_never_right():
    scores = torch.tensor([[0.0, 1.0, 1.0, 0.5], [-torch.inf, 1.0, 2.0, 3.0], [-torch.inf, 0.0, 0.0, 1.0]])
    assert average_precision.precision_of_rows(scores, torch.tensor([1, UNKNOWN, 3])).tolist() == [0.5, 0.0, 1.0]


def test_chunks_change_nothing(monkeypatch):
    found = tiny(9, [[1, 5, 2, 8, 3]], [[1, 2]])
    scores = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 9)))

    def score(questions):
        return scores[[t for _, t in questions]]

    whole = average_precision.mean_average_precision(found, found.users["test"], score)
    monkeypatch.setattr(average_precision, "SCORES", 9)
    assert average_precision.mean_average_precision(found, found.users["test"], score) == whole > 0
    monkeypatch.setattr(average_precision, "MOST", 18)  # then the last two questions alone are asked
    user = found.users["test"][0]
    last = average_precision.average_precision(found, [(user, 2), (user, 3)], score).mean().item()
    assert average_precision.mean_average_precision(found, found.users["test"], score) == pytest.approx(last) and last != pytest.approx(
        whole
    )


def test_baselines_by_brute_force():
    train = [[1, 2, 3], [1, 2, 1, 2], [3, 1], [2, 3]]
    found = tiny(5, [], train)
    user = np.array([3, 1])
    popular = PopularityScorer(found)([(user, 0), (user, 1)])
    assert popular.tolist() == [[float(sum(user.count(item) for user in train)) for item in range(5)]] * 2
    scores = TransitionScorer(found)([(np.array([1, 2, 4]), t) for t in range(3)])
    followed = [[sum(pair == (a, b) for u in train for pair in pairwise(u)) for b in range(5)] for a in (1, 2, 4)]
    assert scores.floor().tolist() == followed  # what decides between equals is below 1
    assert scores[2].argsort(descending=True, stable=True).tolist() == [
        1,
        2,
        3,
        0,
        4,
    ]  # nothing ever followed 4: by how often each is there


def full(scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(scores, targets)


def test_a_softmax_that_draws_every_item_once_is_the_full_one():
    """With q = 1/V each correction S·q is 1; value and gradients."""
    torch.manual_seed(0)
    asked, items = torch.randn(6, 4, dtype=torch.double, requires_grad=True), torch.randn(9, 4, dtype=torch.double, requires_grad=True)
    targets, drawn = torch.tensor([0, 3, 3, 8, 1, 2]), torch.arange(9)
    positive = (asked * items[targets]).sum(-1)
    few = sampled_softmax.sampled_softmax_loss(positive, asked @ items[drawn].T, targets, drawn)
    exact = full(asked @ items.T, targets)
    assert few.item() == pytest.approx(exact.item(), abs=1e-12)
    for one, two in zip(torch.autograd.grad(few, (asked, items)), torch.autograd.grad(exact, (asked, items)), strict=True):
        assert torch.allclose(one, two, atol=1e-12)


def test_many_draws_tend_to_the_full_softmax():
    torch.manual_seed(0)
    V, S = 12, 200_000
    scores, targets = torch.randn(3, V), torch.tensor([0, 5, 11])
    q = sampled_softmax.proposal_distribution(np.arange(V) ** 2)
    drawn, correction = map(torch.from_numpy, sampled_softmax.draw_negatives(q, np.cumsum(q), S, np.random.default_rng(0)))
    few = sampled_softmax.sampled_softmax_loss(scores.gather(1, targets[:, None])[:, 0], scores[:, drawn] + correction, targets, drawn)
    assert few.item() == pytest.approx(full(scores, targets).item(), abs=0.02)  # 1/√S times a deviation of some 5


def test_an_item_that_is_drawn_twice_counts_twice():
    """Against the sum over all draws as it is written; a question of which every draw is the answer has no others."""
    torch.manual_seed(0)
    q = np.array([0.5, 0.3, 0.1, 0.1])
    S, scores, targets = 40, torch.randn(3, 4, dtype=torch.double, requires_grad=True), torch.tensor([0, 1, 3])
    every = q.cumsum().searchsorted(np.random.default_rng(1).random(S))
    log_Z = [
        torch.logsumexp(torch.stack([row[target], *(row[j] - np.log(S * q[j]) for j in every if j != target)]), 0)
        for row, target in zip(scores, targets, strict=True)
    ]
    positive = scores.gather(1, targets[:, None])[:, 0]
    exact = (torch.stack(log_Z) - positive).mean()
    drawn, correction = map(torch.from_numpy, sampled_softmax.draw_negatives(q, q.cumsum(), S, np.random.default_rng(1)))
    found = sampled_softmax.sampled_softmax_loss(positive, scores[:, drawn] + correction, targets, drawn)
    assert found.item() == pytest.approx(exact.item(), abs=1e-6)  # the correction is float32
    for one, two in zip(*(torch.autograd.grad(value, scores, retain_graph=True) for value in (found, exact)), strict=True):
        assert torch.allclose(one, two, atol=1e-6)
    sure = sampled_softmax.sampled_softmax_loss(positive[:1], scores[:1, :1] * 1, targets[:1], torch.tensor([0]))
    assert sure.item() == 0 and torch.isfinite(torch.autograd.grad(sure, scores)[0]).all()


def test_what_is_drawn_is_drawn_as_the_proposal_says():
    task = Recommend(users=60, T=12, vocabulary=100, S=20_000, B=4)
    _, _, drawn, correction = task.batch(0, 0)
    assert len(drawn) == len(set(drawn.tolist()))
    share = np.bincount(drawn.numpy(), np.exp(correction.numpy()) * task.q[drawn.numpy()], minlength=101)  # n/S
    assert share.sum() == pytest.approx(1, abs=1e-6)
    assert np.abs(share - task.q).max() < 5 * np.sqrt(task.q.max() / 20_000)  # five deviations of the most frequent


def test_a_batch_pads_hides_and_shifts(monkeypatch):
    monkeypatch.setattr("bench.studies.training.recommend.HIDDEN", 0.0)
    task = Recommend(B=3)
    train = [[1, 2, 3, 4], [2, 3], [5, 1, 2]]
    object.__setattr__(task, "histories", tiny(6, [], train))
    history, target, _, _ = task.batch(0, 0)
    columns = {(tuple(history[:, k].tolist()), tuple(target[:, k].tolist())) for k in range(3)}
    assert columns == {((1, 2, 3), (2, 3, 4)), ((2, 0, 0), (3, -1, -1)), ((5, 1, 0), (1, 2, -1))}


def test_every_user_is_in_an_epoch_once():
    task = Recommend(users=100, T=12, vocabulary=100, B=7)
    seen = np.concatenate([task.choose_users(2, step) for step in range(80 // 7)])
    assert len(seen) == len(set(seen)) == 77


def test_the_model_is_measured_as_if_user_by_user():
    """Padding behind a shorter history changes nothing before it."""
    torch.manual_seed(0)
    task = Recommend(H=8)
    rng = np.random.default_rng(0)
    users = [list(rng.permutation(np.arange(1, 30))[:n]) for n in (2, 9, 5)]
    object.__setattr__(task, "histories", tiny(30, users, [[k, k + 1] for k in range(1, 29)]))
    model = task.model("gru", 8).eval()

    def score(questions):
        (user, _), *_ = questions
        return model.scores(model(torch.from_numpy(user[:-1, None]))[:, 0])

    with torch.no_grad():
        every = [average_precision.last_questions(user, 99) for user in task.histories.users["test"]]
        alone = [average_precision.average_precision(task.histories, questions, score).mean().item() for questions in every]
        assert task.measure(model, "test") == pytest.approx(np.mean(alone)) and len(set(alone)) > 1


def test_a_new_model_knows_what_is_popular_and_little_more():
    """Its biases are the logarithms of the counts but for a constant; its embeddings are of length 1 or so."""
    torch.manual_seed(0)
    task = Recommend(users=60, T=12, vocabulary=200, H=16)
    model = task.model("gru", 16)
    bias, counts = model.bias.weight.detach()[:, 0].numpy(), np.maximum(task.histories.counts, 1)
    assert np.ptp(bias - np.log(counts)) < 1e-5 and np.ptp(bias) > 1
    assert model.items.weight.norm(dim=1).mean().item() == pytest.approx(1, abs=0.1)


def test_the_click_stream_has_its_laws():
    stream = clicks.draw_sessions(400, 60, 1000, np.random.default_rng(0))
    assert stream.shape == (400, 60) and stream.min() >= 0 and stream.max() < 1000
    themes = stream % clicks.THEMES
    assert (themes[:, 1:] != themes[:, :-1]).all()
    # a theme returns after two steps with one of the other two liked ones, unless it has changed
    assert (themes[:, 2:] == themes[:, :-2]).mean() == pytest.approx(0.5 * (1 - clicks.CHANGES), abs=0.02)
    assert np.median([len(set(row[:10])) for row in themes]) == clicks.LIKED
    shares = np.bincount(clicks.draw_zipf(np.random.default_rng(1).random(100_000), 50), minlength=50)[:3] / 1e5
    assert shares == pytest.approx(zipf(50), abs=0.007)  # five deviations of a share of 100,000


def test_the_click_stream_needs_a_longer_memory_than_a_pair():
    """Counted transitions are no better than what is popular; those who know a user's themes of the last ten clicks are, four times."""
    task = Recommend(users=600, T=20, vocabulary=1000)
    task.histories.counts[0] = 0
    by_theme = [np.argsort(-np.where((np.arange(task.histories.items) - 1) % clicks.THEMES == k, task.histories.counts, 0), kind="stable")
                for k in range(clicks.THEMES)]  # fmt: skip

    def known(questions) -> torch.Tensor:
        scores = torch.zeros(len(questions), task.histories.items)
        for row, (user, t) in zip(scores, questions, strict=True):
            seen = (user[max(0, t - 9) : t + 1] - 1) % clicks.THEMES
            for theme in {*seen} - {seen[-1]}:
                row[by_theme[theme][:10].copy()] = torch.arange(10, 0, -1).float()
        return scores

    found = task.baselines()
    informed = average_precision.mean_average_precision(task.histories, task.histories.users["test"], known)
    assert found["item transitions"] < 1.5 * found["most popular"] and informed > 4 * max(found.values())


def zipf(items: int) -> list[float]:
    """The first three probabilities: the law integrated from r to r + 1."""
    power = 1 - clicks.EXPONENT
    whole = 1 - (items + 1) ** power
    return [(r**power - (r + 1) ** power) / whole for r in (1, 2, 3)]
