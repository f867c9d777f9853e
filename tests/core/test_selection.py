"""Jobs named by their parameters."""

from __future__ import annotations

import pytest

from sshjobs.model.selection import Selection, selection_of


@pytest.mark.parametrize(("word", "entry", "values"), [
    ("train[lr=0.1]", "train", {"lr": "0.1"}), ("train[lr=0.1,seed=3]", "train", {"lr": "0.1", "seed": "3"}),
    ("a b[ lr = 0.1 , x=]", "a b", {"lr": "0.1", "x": ""}), ("t[f=a,b=c/d]", "t", {"f": "a", "b": "c/d"}),
    ("t[f=a,b,c]", "t", {"f": "a,b,c"}), ("t[f=[1]]", "t", {"f": "[1]"}), ("t[f=a=b]", "t", {"f": "a=b"}),
])
def test_a_word_may_select_jobs(word: str, entry: str, values: dict[str, str]) -> None:
    assert selection_of(word) == Selection(entry, values)


@pytest.mark.parametrize("word", ["train", "train-1", "train[1]", "train[lr]", "[lr=1]", "t[1x=3]", "t[a=1", "fit-[0-9]", "t[a=1]x"])
def test_other_words_are_names_or_patterns(word: str) -> None:
    assert selection_of(word) is None


def test_values_are_compared_by_number_where_both_are_numbers() -> None:
    chosen = Selection("t", {"lr": "1e-1", "x": "a"})
    assert chosen.selects({"lr": "0.10", "x": "a", "more": "1"})
    assert not chosen.selects({"lr": "0.10"}) and not chosen.selects({"lr": "0.2", "x": "a"})
