"""The table of a sweep as data: which columns there are, which rows fulfil a condition, what groups come to."""

from __future__ import annotations

import random
import statistics
from typing import Any

import pytest

from sshjobs.errors import UsageError
from sshjobs.model.params import same_value
from sshjobs.store.rows import ResultRow
from sshjobs.tables import conditions, grouping
from sshjobs.tables.sheet import MOST_RESULTS, Sheet, sheet_of
from sshjobs.views.sheets import FORMS, printed


def row(number: int, params: dict[str, str] | None = None, result: str | None = None, **keys: Any) -> ResultRow:
    held = {"name": f"fit-{number}", "entry": "fit", "state": "done", "outcome": "succeeded", "exit_status": 0,
            "signal": None, "reason": None, "host": "a", "attempts": 1, "started": 1.0, "ended": 3.5, "cpu": 0.25,
            "rss": 1 << 20, "origin": None, **keys}
    return ResultRow(number=number, params=params or {}, result=result, **held)


def sheet(*rows: ResultRow) -> Sheet:
    return sheet_of([("r", rows)], several=False)


SWEEP = [row(1, {"lr": "0.1", "seed": "1"}, '{"loss":0.5,"note":"a|b"}'), row(2, {"lr": "1e-1", "seed": "2"}, '{"loss":0.3}'),
         row(3, {"lr": "0.2", "seed": "1"}, '{"loss":0.1,"ok":true}'),
         row(4, {"lr": "auto", "seed": "2"}, None, outcome="failed", host="node 1"),
         row(5, {"seed": "10"}, None, state="free", outcome=None, host=None, attempts=0, started=None, ended=None, cpu=None, rss=None)]


def chosen(condition: str, rows: list[ResultRow] = SWEEP) -> list[int]:
    made = sheet(*rows)
    test = conditions.parse(condition, made)
    return [number for number, one in enumerate(made.rows, 1) if test(one)]


def test_columns_are_parameters_how_it_went_and_results() -> None:
    made = sheet(*SWEEP)
    assert made.names == ["job", "entry", "lr", "seed", "outcome", "host", "seconds", "cpu", "memory", "state",
                          "exit_status", "signal", "attempts", "started", "from", "reason", "loss", "note", "ok"]
    assert made.shown == ["job", "lr", "seed", "outcome", "host", "seconds", "cpu", "memory", "loss", "note", "ok"]
    assert made.rows[0][made.place("seconds", "")] == 2.5
    assert all(len(one) == len(made.names) for one in made.rows)
    assert sheet_of([("r", SWEEP), ("s", SWEEP)], several=True).rows[5][:3] == ["s", "fit-1", "fit"]


def test_a_name_that_is_a_column_already_says_what_kind_of_name_it_is() -> None:
    made = sheet(row(1, {"host": "h", "lr": "1"}, '{"lr":2,"host":3,"result.lr":4,"job":5}'))
    assert made.parameters == ["param.host", "lr"]
    assert made.results == ["result.lr", "result.host", "result.result.lr", "result.job"]
    for name, value in (("param.host", "h"), ("param.lr", "1"), ("lr", "1"), ("host", "a"), ("result.job", 5)):
        assert made.rows[0][made.place(name, "")] == value
    made = sheet(row(1, {"lr": "1"}, '{"loss":2}'))
    assert made.place("result.loss", "") == made.place("loss", "") and made.place("param.lr", "") == made.place("lr", "")
    with pytest.raises(UsageError, match=r"--x: no column is called 'result.lr'"):
        made.place("result.lr", "--x")


def test_there_are_only_so_many_columns_whatever_jobs_leave() -> None:
    rows = [row(n, None, "{" + ",".join(f'"k{n * 400 + i}":1' for i in range(400)) + "}") for n in range(5)]
    made = sheet(*rows)
    assert (len(made.results), made.left_out) == (MOST_RESULTS, 1000)


def test_conditions_choose_rows() -> None:
    cases = {
        "loss<0.3": [3], "loss <= .3": [2, 3], "loss>0.3": [1], "lr=0.1": [1, 2], "lr == 0.10": [1, 2], "lr!=0.1": [3, 4, 5],
        "lr=auto": [4], "lr<1": [1, 2, 3], "lr>abc": [4], "loss=''": [4, 5], "loss!=''": [1, 2, 3], "outcome=''": [5],
        "host='node 1'": [4], 'host="node 1" or seed=10': [4, 5], "not lr=0.1 and seed=1": [3],
        "not (lr=0.1 and seed=1)": [2, 3, 4, 5], "seed=1 or seed=2 and lr=0.1": [1, 2, 3],
        "(seed=1 or seed=2) and lr=0.1": [1, 2], "NOT ok=true AND loss<1": [1, 2], "ok=true": [3], "ok>0": [],
        "seconds>=2.5 and cpu<1": [1, 2, 3, 4], "'lr'=0.1": [1, 2], "note='a|b'": [1], "result.loss=0.1": [3], "param.seed=1.0": [1, 3],
    }
    for condition, rows in cases.items():
        assert chosen(condition) == rows, condition


@pytest.mark.parametrize(("condition", "told"), [
    ("", "--where, character 1: a column should stand here, got the end"),
    ("loss", "--where, character 5: =, !=, <, <=, > or >= should stand here, got the end"),
    ("loss<", "--where, character 6: a value (in quotes if it is such a word, or empty) should stand here, got the end"),
    ("loss<0.3 lr=1", "--where, character 10: and, or, or the end should stand here, got 'lr'"),
    ("(loss<1", "--where, character 8: ) should stand here, got the end"),
    ("loss<1)", "--where, character 7: and, or, or the end should stand here, got ')'"),
    ("loss<1 and", "--where, character 11: a column should stand here, got the end"),
    ("and=1", "--where, character 1: a column should stand here, got 'and'"),
    ("loss = or", "--where, character 8: a value (in quotes if it is such a word, or empty) should stand here, got 'or'"),
    ("lr='a", "--where, character 4: a quote that is not closed; write a condition such as: loss<0.3 and host='node 1'"),
    ("lr ! 1", "--where, character 4: '!' cannot stand here; write a condition such as: loss<0.3 and host='node 1'"),
    ("lr=1 and los<3", "--where, character 10: no column is called 'los'; did you mean loss?"),
    ("lr=1=2", "--where, character 5: and, or, or the end should stand here, got '='"),
    ("(" * 60 + "lr=1", "--where, character 51: more than 50 deep; take parentheses out"),
    ("not " * 60 + "lr=1", "--where, character 201: more than 50 deep; take parentheses out"),
    ("lr=" + "1" * 10_000, "--where: a condition of 10,003 characters; the limit is 10,000"),
    ("__import__('os')=1", "--where, character 1: no column is called '__import__'"),
])
def test_a_mistake_in_a_condition_is_told_with_its_place(condition: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        conditions.parse(condition, sheet(*SWEEP))
    assert str(caught.value).startswith(told)


@pytest.mark.parametrize("seed", range(5))
def test_conditions_mean_what_their_words_say_and_nothing_else_escapes(seed: int) -> None:
    rng = random.Random(seed)
    words = ["loss", "lr", "seed", "=", "<", "!=", ">=", "(", ")", "and", "or", "not", "0.1", "'x y'", "\"", "!", "é", ""]
    for _ in range(2000):
        text = " ".join(rng.choices(words, k=rng.randint(1, 12)))
        try:
            chosen(text)
        except UsageError as error:
            assert "\n" not in str(error) and str(error).startswith("--where"), (seed, text)
    values = ["0.1", "1e-1", ".1", "1", "1.0", "x", "", "010", "nan"]
    for one in values:
        for other in values:
            assert bool(chosen(f"lr='{other}'", [row(1, {"lr": one})])) == same_value(one, other), (one, other)


def test_rows_are_sorted_by_numbers_then_by_texts_and_what_is_missing_is_last() -> None:
    def sorted_by(words: str) -> list[str]:
        made = sheet(*SWEEP)
        grouping.sort(made, words)
        return [one[0][-1] for one in made.rows]
    assert sorted_by("lr") == ["1", "2", "3", "4", "5"]
    assert sorted_by("-lr") == ["4", "3", "1", "2", "5"]
    assert sorted_by("seed,-loss") == ["1", "3", "2", "4", "5"]
    assert sorted_by("loss") == ["3", "2", "1", "4", "5"]
    with pytest.raises(UsageError, match="--sort: no column is called 'los'; did you mean loss"):
        sorted_by("lr,-los")


def test_groups_are_of_equal_values_and_have_figures_of_what_is_a_number() -> None:
    made = grouping.group(sheet(*SWEEP), "lr", "mean,std,min,max,median,sum,count", "loss,note")
    figures = ["mean", "std", "min", "max", "median", "sum", "count"]
    assert made.names == ["lr", "jobs", *(f"loss.{one}" for one in figures), *(f"note.{one}" for one in figures)]
    numbers = [0.5, 0.3]
    assert made.rows[0][:2] == ["0.1", 2]
    assert made.rows[0][2:9] == pytest.approx([statistics.mean(numbers), statistics.stdev(numbers), 0.3, 0.5, 0.4, 0.8, 2])
    assert made.rows[1][:9] == ["0.2", 1, 0.1, None, 0.1, 0.1, 0.1, 0.1, 1]
    assert made.rows[2][:9] == ["auto", 1, None, None, None, None, None, None, 0]
    assert made.rows[3][:2] == [None, 1] and made.rows[0][9:] == [None] * 6 + [0]
    assert grouping.group(sheet(*SWEEP), "", "count").names == ["jobs", "seconds.count", "cpu.count", "memory.count", "loss.count"]
    assert grouping.group(sheet(row(1, {"jobs": "3"})), "jobs", "max", "cpu").names == ["jobs", "group.jobs", "cpu.max"]
    with pytest.raises(UsageError, match="--agg: there is no figure 'avg'; take of mean, std"):
        grouping.group(sheet(*SWEEP), "lr", "avg")
    with pytest.raises(UsageError, match="--group-by: no column is called 'lrr'; did you mean lr"):
        grouping.group(sheet(*SWEEP), "lrr", "mean")


def test_columns_are_chosen_by_name_and_pattern() -> None:
    made = sheet(*SWEEP)
    assert made.matching("loss, s*,loss,job", "") == ["loss", "seed", "seconds", "state", "signal", "started", "job"]
    assert made.with_columns(["loss", "job"]).rows[0] == [0.5, "fit-1"]
    with pytest.raises(UsageError, match="--columns: no column is called 'x\\*'"):
        made.matching("x*", "--columns")


def test_each_format_shows_the_same() -> None:
    made = sheet(*SWEEP[:1], SWEEP[4]).with_columns(["job", "lr", "memory", "loss", "note"])
    assert "".join(printed(made, "text")) == (
        "job     lr   memory  loss  note\nfit-1  0.1  1.0 MiB   0.5  a|b\nfit-5    -        -     -  -\n")
    assert "".join(printed(made, "csv")) == "job,lr,memory,loss,note\nfit-1,0.1,1048576,0.5,a|b\nfit-5,,,,\n"
    assert "".join(printed(made, "tsv")).splitlines()[1] == "fit-1\t0.1\t1048576\t0.5\ta|b"
    assert "".join(printed(made, "md")).splitlines() == [
        "| job | lr | memory | loss | note |", "| --- | ---: | ---: | ---: | --- |",
        "| fit-1 | 0.1 | 1.0 MiB | 0.5 | a\\|b |", "| fit-5 |  |  |  |  |"]
    assert "".join(printed(made, "json")).splitlines()[1] == (
        '{"job": "fit-1", "lr": 0.1, "memory": 1048576, "loss": 0.5, "note": "a|b"},')
    assert "".join(printed(sheet(), "json")) == "[]\n"


def test_what_jobs_write_is_text_to_terminals_and_spreadsheets() -> None:
    import json

    odd = {"=cmd": "=1+2", "\x1b]0;t\x07": "\x1b[2J\u202e\x9b", "n": "-3", "f": "-x", "g": "+y", "h": "@z", "i": -3, "tab": "a\tb\nc\r,\"",
           "list": ["=1", {"a": None}], "é": "日本", "<b>": "a|<b>\\"}
    made = sheet(row(1, None, json.dumps(odd)), row(2))
    for form in FORMS:
        text = "".join(printed(made, form))
        assert all(letter.isprintable() or letter == "\n" or (letter == "\t" and form == "tsv") for letter in text), form
        lines = {"text": 3, "csv": 3, "tsv": 3, "md": 4, "json": 4}
        assert len(text.splitlines()) == lines[form]
    cells = "".join(printed(made, "tsv")).splitlines()
    found = dict(zip(cells[0].split("\t"), cells[1].split("\t"), strict=True))
    assert {name: found[name] for name in ("'=cmd", "n", "f", "g", "h", "i", "list")} == {
        "'=cmd": "'=1+2", "n": "-3", "f": "'-x", "g": "'+y", "h": "'@z", "i": "-3", "list": '"[""=1"", {""a"": null}]"'}
    assert "a|&lt;b>" not in "".join(printed(made, "md"))


def test_a_long_text_widens_no_column_for_a_person_without_end() -> None:
    made = sheet(row(1, None, '{"note":"%s"}' % ("x" * 5000))).with_columns(["job", "note"])
    assert len("".join(printed(made, "text")).splitlines()[1]) == len("fit-1") + 2 + 100
    assert len("".join(printed(made, "csv"))) > 5000


def test_rows_for_python_have_the_same_keys_and_numbers_where_a_parameter_is_one() -> None:
    rows = sheet(*SWEEP).as_dicts()
    assert all(list(one) == list(rows[0]) for one in rows)
    assert [one["lr"] for one in rows] == ["0.1", "1e-1", "0.2", "auto", None]
    assert [one["seed"] for one in rows] == [1, 2, 1, 2, 10]


def test_a_data_frame_takes_the_rows_as_they_are() -> None:
    import pandas

    rows = sheet(*SWEEP).as_dicts()
    frame = pandas.DataFrame(rows)
    assert list(frame.columns) == list(rows[0]) and len(frame) == len(rows)
    assert frame["loss"].dtype.kind == "f" and frame["seed"].dtype.kind == "i"
    assert frame.groupby("seed")["loss"].mean().dropna().to_dict() == pytest.approx({1: 0.3, 2: 0.3})
    back = frame.astype(object).where(frame.notna(), None).to_dict("records")
    assert back == rows
