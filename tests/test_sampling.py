"""A sample has every value, and of three axes every pair of the longest two."""

import pytest

from tests.sampling import choose, each_kind, kind_of, of_each_kind, sample


@pytest.mark.parametrize("lengths", [(7,), (3, 8), (4, 4), (3, 4, 2), (2, 3, 4, 5)], ids=str)
def test_every_value_is_in_the_sample(lengths):
    found = choose(lengths)
    assert [len({member[k] for member in found}) for k in range(len(lengths))] == ([3] if len(lengths) == 1 else [*lengths])
    *_, second, longest = 1, *sorted(lengths)
    assert len(found) == {1: 3, 2: longest}.get(len(lengths), longest * second)


def test_the_rest_is_marked():
    rows = sample("a, b", ["x", "y"], [1, 2, 3]).args[1]
    assert [row.id for row in rows] == ["x-1", "x-2", "x-3", "y-1", "y-2", "y-3"]
    assert [row.id for row in rows if not row.marks] == ["x-1", "x-3", "y-2"]
    assert {mark.name for row in rows for mark in row.marks} == {"full"}


def test_the_rest_of_an_axis_is_marked():
    rows = sample("a, b", ["x", "y", "z"], [1, 2], taken=["x", "z"]).args[1]
    assert [row.id for row in rows if not row.marks] == ["x-1", "z-2"]


def test_a_cell_of_each_kind_is_in_the_sample():
    """The first of the names."""
    assert kind_of("gru") == kind_of("vanilla") != kind_of("lstm") and kind_of("sru") != kind_of("indrnn") != kind_of("wave")
    assert of_each_kind(["vanilla", "gru", "lstm", "gru_reset_before"]).count("gru") == 0
    assert [row for row in each_kind(["vanilla", "gru", "lstm", "slstm"]).args[1] if isinstance(row, str)] == ["vanilla", "lstm", "slstm"]
