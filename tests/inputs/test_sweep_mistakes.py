"""Every mistake about parameters: one line, the exact place, what, why and what to write instead."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from sshjobs.errors import InputError
from sshjobs.inputs.jobfile import load_jobfile


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(text: str | bytes) -> list[str]:
    data = text if isinstance(text, bytes) else textwrap.dedent(text).encode()
    with pytest.raises(InputError) as caught:
        load_jobfile("jobs.yaml", data)
    return str(caught.value).split("\n")


#: The keys of an entry, and what is said of them.
KEYS = [
    ("commands: a, matrix: {}",
     "1:31: matrix must be a mapping of parameters to lists, got an empty one; write {lr: [0.1, 1]}"),
    ("commands: a, matrix: [a]", "1:31: matrix must be a mapping of parameters to lists, got a list; write {lr: [0.1, 1]}"),
    ("commands: a, matrix: null", "1:31: matrix must be a mapping of parameters to lists, got nothing; write {lr: [0.1, 1]}"),
    ("commands: a, matrix: {a: []}", "1:35: matrix.a is empty; give it one value at least"),
    ("commands: a, matrix: {a: 5}",
     "1:35: matrix.a must be a list, got the number 5; write [a, b], 1..100, {glob: 'data/*.csv'} or {lines: list.txt}"),
    ("commands: a, matrix: {a: x..y}",
     "1:35: matrix.a must be a list, got the text 'x..y'; write [a, b], 1..100, {glob: 'data/*.csv'} or {lines: list.txt}"),
    ("commands: a, matrix: {a: {globs: x}}",
     "1:35: matrix.a must be a list, got a mapping; write [a, b], 1..100, {glob: 'data/*.csv'} or {lines: list.txt}"),
    ("commands: a, matrix: {a: [1, [2]]}", "1:39: matrix.a, item 2, must be text or a number, got a list; write one text or number"),
    ("commands: a, matrix: {a: [1, null]}", "1:39: matrix.a, item 2, must be text or a number, got nothing; write '' for empty text"),
    ("commands: a, matrix: {a-b: [1]}",
     "1:32: matrix: a parameter cannot be called 'a-b'; use letters, digits and _, and begin with no digit"),
    ("commands: a, matrix: {a: 1..1000, b: 1..1000, c: 1..1000}",
     "1:31: this would make 1,000,000,000 jobs, the limit is 1,000,000; take fewer values, or use more runs"),
    ("commands: a, matrix: {a: 1..100000000000}",
     "1:35: matrix.a: this has 100,000,000,000 values, the limit is 10,000,000; take a larger step"),
    ("commands: a, matrix: {a: 1..1000}, repeat: 2000",
     "1:53: this would make 2,000,000 jobs, the limit is 1,000,000; lower repeat, or use more runs"),
    ("commands: a, matrix: {a: 1..9/0}",
     "1:35: matrix.a: the step must be above 0, got 0; write 1..100/10, or 100..1/10 to count down"),
    ("commands: a, matrix: {a: 01..10}", "1:35: matrix.a: 01 begins with 0; write the number without it"),
    ("commands: a, matrix: {a: {glob: 'no*'}}", "1:42: matrix.a.glob: nothing in HERE fits 'no*'; correct the pattern, or make the files first"),
    ("commands: a, matrix: {a: {lines: empty.txt}}", "1:43: matrix.a.lines: 'empty.txt' has no lines; write one value a line"),
    ("commands: a, matrix: {a: [1, 2], b: [1], zip: [a, b]}",
     "1:56: matrix.zip takes lists of one length, got a 2, b 1 values; complete the shorter one"),
    ("commands: a, matrix: {a: [1], zip: [a, lr]}", "1:45: matrix.zip: there is no parameter 'lr'; there are a"),
    ("commands: a, matrix: {a: [1], zip: [a]}", "1:45: matrix.zip takes two parameters or more, each once; write [a, b]"),
    ("commands: a, matrix: {a: [1], zip: a}",
     "1:45: matrix.zip must be a list of parameters, got the text 'a'; write [a, b]"),
    ("commands: a, matrix: {a: [1], exclude: {a: 1}}",
     "1:49: matrix.exclude must be a list of mappings, got a mapping; write [{lr: 0.1}]"),
    ("commands: a, matrix: {a: [1], exclude: [a]}",
     "1:50: matrix.exclude, item 1, must be a mapping of parameters to values; write {lr: 0.1}"),
    ("commands: a, matrix: {width: [1, 2], exclude: [{widht: 1}]}",
     "1:58: matrix.exclude: there is no parameter 'widht'; did you mean width?"),
    ("commands: a, matrix: {a: [1, 2], b: [x], exclude: [{a: 1}, {a: 3, b: x}]}",
     "1:69: matrix.exclude, item 2, fits no combination: there is no a: 3; correct it, or take it out"),
    ("commands: a, matrix: {a: [1, 2], exclude: [{a: 1}, {a: 2}]}",
     "1:52: matrix.exclude leaves no combination; take fewer out"),
    ("commands: a, matrix: {a: [1], include: [{a.b: 1}]}",
     "1:51: matrix.include: a parameter cannot be called 'a.b'; use letters, digits and _, and begin with no digit"),
    ("commands: a, rows: 5", "1:29: rows must be the path of a table, got the number 5; write rows: params.csv"),
    ("commands: a, rows: [{a: 1}]", "1:29: rows must be the path of a table, got a list; write rows: params.csv"),
    ("commands: a, rows: t.txt", "1:29: rows: 't.txt' must end in .csv, .tsv or .jsonl; rename it"),
    ("commands: a, rows: t.csv, matrix: {b: [1], a: [2]}", "1:53: matrix: 'a' is a column of rows already; rename one"),
    ('commands: "run ${{ seed }}", matrix: {seeds: [1]}',
     "1:20: commands: there is no parameter 'seed'; did you mean seeds?"),
    ('commands: [a, "run ${{ lr }}"]',
     "1:24: commands, item 2: there is no parameter 'lr'; the entry has no matrix; write $${{ for the text ${{"),
    ('argv: [a, "${{ b }}"], matrix: {c: [1]}', "1:20: argv, item 2: there is no parameter 'b'; there are c"),
    ('commands: a, env: {X: "${{ b }}"}, matrix: {c: [1]}', "1:32: env.X: there is no parameter 'b'; there are c"),
    ('commands: a, env: {"${{ c }}": x}, matrix: {c: [1]}',
     "1:29: env: the name of a variable cannot hold a placeholder; choose another"),
    ('commands: "a ${{ c", matrix: {c: [1]}',
     "1:20: commands: '${{ c' is not closed; write ${{ NAME }}, or $${{ for the text ${{"),
    ('commands: "a ${{ c + 1 }}", matrix: {c: [1]}',
     "1:20: commands: '${{ c + 1 }}' does not hold the name of a parameter; write ${{ NAME }}, or $${{ for the text ${{"),
    ('commands: "echo ${X:-${{ c }}}", matrix: {c: [1]}',
     "1:20: commands: ${{ c }} cannot stand in ${…}; put it into a variable first: value=${{ c }}"),
    ('commands: "echo $(( ${{ c }} ))", matrix: {c: [1, x]}',
     "1:20: commands: where bash does arithmetic only a whole number can stand for c, and one is 'x': it would obey "
     "anything else; check the values, or compare texts: [[ $x == 1 ]]"),
    ('commands: a, name: "t-${{ c }}", matrix: {c: [1, a/b]}',
     "1:29: name: a job's name cannot hold '/': it names a directory; use '-' or '_' instead (with c=a/b)"),
    ('commands: a, name: "t-${{ c }}", matrix: {c: [1, 2], d: [1, 2]}',
     "1:29: name: two jobs would be called 't-1' (c=1, d=1 and c=1, d=2); name them by all parameters, or leave name to numbers"),
    ('commands: a, files: ["${{ c }}.txt"], matrix: {c: [empty, no]}',
     "1:30: files: 'no.txt' cannot be read: No such file or directory; looked for HERE/no.txt (with c=no)"),
    ('commands: a, cwd: "${{ c }}", matrix: {c: [x, ""]}', "1:28: cwd cannot be empty; leave the key out (with c=)"),
    ('argv: ["${{ c }}"], matrix: {c: [x, ""]}',
     "1:16: argv must begin with a program; write [program, argument, …] (with c=)"),
    ('commands: a, timeout: "${{ c }}", matrix: {c: [1]}', "1:32: timeout: '${{ c }}' is not a duration; write seconds (90) or units (1s, 2h30m, 1d)"),
]


@pytest.mark.parametrize(("keys", "line"), KEYS, ids=[keys for keys, _ in KEYS])
def test_each_mistake_is_told_at_its_place(keys: str, line: str, here: Path) -> None:
    (here / "empty.txt").write_text("\n")
    (here / "t.csv").write_text("a\n1\n")
    assert said(f"jobs:  [{{{keys}}}]") == [f"jobs.yaml:{line}".replace("HERE", str(here))]


TABLES = [
    ("t.csv", b"a,b\n1,2\n3\n4,5,6\n", ["3:1: 1 column, and the first row has 2; complete the row",
                                      "4:1: 3 columns, and the first row has 2; complete the row"]),
    ("t.csv", b"a,a\n1,2\n", ["1:1: two columns are called 'a'; rename one"]),
    ("t.csv", b"a,b c\n1,2\n", ["1:1: a column cannot be called 'b c': it is a parameter, whose name has letters, digits "
                               "and _, and begins with no digit; rename it"]),
    ("t.csv", b"a,b\n1,\"x\"y\n", ["2:1: no table: ',' expected after '\"'; a column with \" in it is written \"…\"\"…\""]),
    ("t.csv", b"a\n\xff\n", ["2:1: not valid UTF-8 at byte 2 (0xff); save it as UTF-8"]),
    ("t.csv", b"\xff\xfea\x00", ["1:1: not valid UTF-8 at byte 0 (0xff); it is UTF-16; save it as UTF-8"]),
    ("t.csv", b"a,a,9x\n1,2\n", ["1:1: two columns are called 'a'; rename one",
                               "1:1: a column cannot be called '9x': it is a parameter, whose name has letters, digits "
                               "and _, and begins with no digit; rename it",
                               "2:1: 2 columns, and the first row has 3; complete the row"]),
    ("t.tsv", b"a\tb\n1\n", ["2:1: 1 column, and the first row has 2; complete the row"]),
    ("t.jsonl", b'{"a": 1}\n{"b": 2}\n', ["2:1: the names are b, and in the first line a; give each line the same"]),
    ("t.jsonl", b'{"a": 1}\n[1]\n{"a"', ["2:1: no object; write {\"lr\": 0.1, \"seed\": 1}",
                                       "3:1: no JSON: Expecting ':' delimiter; write one object a line"]),
    ("t.jsonl", b'{"a": null}\n{"a": [1]}\n', ["1:1: a must be text, a number, true or false; put it into quotes",
                                             "2:1: a must be text, a number, true or false; put it into quotes"]),
    ("t.jsonl", b'{"a": 1, "a": 2}\n', ["1:1: two columns are called 'a'; rename one"]),
    ("t.jsonl", b"{}\n", ["1:1: an object without names; write one parameter at least"]),
]


@pytest.mark.parametrize(("name", "data", "lines"), TABLES)
def test_mistakes_in_a_table_are_told_with_its_lines(name: str, data: bytes, lines: list[str], here: Path) -> None:
    (here / name).write_bytes(data)
    found = said(f"jobs: [{{commands: a, rows: {name}}}]")
    assert found == [f"{name}:{line}" for line in lines]


@pytest.mark.parametrize(("name", "data"), [("t.csv", b""), ("t.csv", b"a,b\n"), ("t.jsonl", b"\n")])
def test_a_table_without_rows_is_told(name: str, data: bytes, here: Path) -> None:
    (here / name).write_bytes(data)
    assert said(f"jobs: [{{commands: a, rows: {name}}}]") == [
        f"jobs.yaml:1:28: rows: '{name}' has no rows; write one combination a line, below the names of the columns"]


def test_all_mistakes_are_told_at_once(here: Path) -> None:
    (here / "t.csv").write_text("a,b\n1\n")
    assert said("""\
        jobs:
          - name: a
            matrix: {lr: [], x: 5}
            comands: a
          - rows: t.csv
            commands: b
          - matrix: {lr: [1]}
            commands: "echo ${{ lrr }} ${{ lr }}"
            argv: [x]
          - matrix: {lr: [1]}
            argv: [echo, "${{ lrr }}"]
            env: {A: "${{ x y }}"}
        """) == [
        "jobs.yaml:3:18: matrix.lr is empty; give it one value at least",
        "jobs.yaml:3:25: matrix.x must be a list, got the number 5; write [a, b], 1..100, {glob: 'data/*.csv'} or {lines: list.txt}",
        "jobs.yaml:4:5: unknown key 'comands'; did you mean commands?",
        "jobs.yaml:8:15: commands: there is no parameter 'lrr'; did you mean lr?",
        "jobs.yaml:9:5: commands and argv exclude each other; keep one",
        "jobs.yaml:11:18: argv, item 2: there is no parameter 'lrr'; did you mean lr?",
        "jobs.yaml:12:14: env.A: '${{ x y }}' does not hold the name of a parameter; write ${{ NAME }}, or $${{ for the text ${{",
        "t.csv:2:1: 1 column, and the first row has 2; complete the row"]


def test_an_entry_is_read_to_its_end_whatever_is_wrong_with_its_combinations(here: Path) -> None:
    (here / "t.csv").write_text("part,lr\n1,2\n")
    assert said("""\
        jobs:
          - name: prep
            matrix: {part: [a, b], exclude: [{part: z}]}
            commands: "echo ${{ prt }}"
          - after: [prep, perp]
            rows: t.csv
            matrix: {x: [], include: [{y: 1}, {y: 2}]}
            ok_exit: [300]
            files: [{from: nobody, path: sum}]
            commands: "echo ${{ part }} ${{ x }} ${{ y }} ${{ lrr }}"
          - {name: a, after: a, commands: x}
        """) == [
        "jobs.yaml:3:38: matrix.exclude, item 1, fits no combination: there is no part: z; correct it, or take it out",
        "jobs.yaml:4:15: commands: there is no parameter 'prt'; did you mean part?",
        "jobs.yaml:5:12: after names 'perp', and no entry is called that; did you mean 'prep'?",
        "jobs.yaml:7:17: matrix.x is empty; give it one value at least",
        "jobs.yaml:8:15: ok_exit, item 1, must be at most 255, got the number 300",
        "jobs.yaml:9:20: files: from: 'nobody' is not named by after; write after: nobody, or correct it",
        "jobs.yaml:10:15: commands: there is no parameter 'lrr'; did you mean lr?",
        "jobs.yaml:11:22: after makes a circle: a waits for a; leave one of them out"]


def test_of_parameters_that_nobody_knows_no_placeholder_is_wrong(here: Path) -> None:
    assert said("jobs: [{rows: none.csv, matrix: {x: []}, commands: \"echo ${{ y }}\"}]") == [
        "jobs.yaml:1:15: rows: 'none.csv' cannot be read: No such file or directory; correct the path, or make the file first",
        "jobs.yaml:1:37: matrix.x is empty; give it one value at least"]


@pytest.mark.parametrize("line", ["argv: [echo, ${{ lr }}]", "env: {LR: ${{ lr }}}", "commands: [${{ lr }}]",
                                  "hosts: [a, x${{ lr }}]"])
def test_a_placeholder_that_yaml_takes_for_its_own_is_to_be_quoted(line: str) -> None:
    (found,) = said(f"jobs:\n  - matrix: {{lr: [1]}}\n    {line}\n")
    assert found.startswith("jobs.yaml:3:") and found.endswith('; put the text with ${{ lr }} into quotes: "${{ lr }}"')


def test_names_that_two_entries_have_are_told() -> None:
    assert said("""\
        jobs:
          - {name: t, commands: a, matrix: {a: [1, 2]}}
          - {name: t-2, commands: a}
          - {name: "u-${{ a }}", commands: a, matrix: {a: [x, y]}}
          - {name: u-y, commands: a}
          - {name: v, commands: a, matrix: {a: [1]}}
          - {name: v-1, commands: a}
          - {name: "w-${{ a }}", commands: a, matrix: {a: [x]}}
          - {name: "w_${{ a }}", commands: a, matrix: {a: [y]}}
        """) == [
        "jobs.yaml:3:12: the name 't-2' is taken (first on line 2); choose another",
        "jobs.yaml:5:12: the name 'u-y' is taken (first on line 4); choose another",
        "jobs.yaml:7:12: the name 'v-1' is taken (first on line 6); choose another",
        "jobs.yaml:9:12: an entry is called 'w' already (on line 8); choose another"]
