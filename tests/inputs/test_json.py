"""Jobfiles as JSON and JSON Lines: they mean what the same as YAML means, and mistakes are told at line and column."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from sshjobs.errors import InputError
from sshjobs.inputs import jsontree
from sshjobs.inputs.jobfile import Entry, load_jobfile
from sshjobs.inputs.yamltree import Map, Seq
from tests.inputs.test_pages import JOBFILE_PAGE

EXAMPLE = """\
{"defaults": {"timeout": "1h", "env": {"MODE": "fast"}},
 "jobs": [
   {"name": "a", "commands": ["./simulate", 5], "repeat": 2, "retries": 1},
   {"defaults": {"nice": 10}},
   {"name": "b", "argv": ["echo", 1e3, true], "env": {"SEED": 0.10}, "timeout": 90.5}
 ]}
"""


def plain(entries: list[Entry]) -> list[Any]:
    return [(entry.spec.as_dict(), entry.repeat) for entry in entries]


def told(name: str, text: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        load_jobfile(name, text.encode())
    return [str(problem) for problem in caught.value.problems]


def test_it_means_what_the_same_yaml_means() -> None:
    text = EXAMPLE.replace(", true]", "]")
    a, b = load_jobfile("jobs.json", text.encode())
    assert (a.spec.cmds, a.spec.retries, a.repeat, a.spec.env, a.spec.timeout) == (["./simulate", "5"], 1, 2, {"MODE": "fast"}, 3600)
    # Numbers are the text that was written.
    assert (b.spec.argv, b.spec.env, b.spec.timeout, b.spec.nice) == (["echo", "1e3"], {"MODE": "fast", "SEED": "0.10"}, 90.5, 10)
    assert (a.line, b.line) == (3, 5)
    assert plain(load_jobfile("jobs.yaml", text.encode())) == plain([a, b])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("train.py", "config.toml", "words.txt"):
        (tmp_path / name).touch()
    (tmp_path / "data").mkdir()
    return tmp_path


def examples() -> list[str]:
    return [block.partition("\n```")[0] for block in JOBFILE_PAGE.split("```yaml jobfile\n")[1:]]


@pytest.mark.parametrize("text", examples(), ids=range(len(examples())))
def test_every_example_of_the_page_may_be_written_as_json(text: str, here: Path) -> None:
    held = yaml.safe_load(text)
    wanted = plain(load_jobfile("jobs.yaml", text.encode()))
    assert plain(load_jobfile("jobs.json", json.dumps(held, indent=1).encode())) == wanted
    if held.keys() == {"jobs"}:
        lines = "".join(f"{json.dumps(job)}\n" for job in held["jobs"])
        assert plain(load_jobfile("jobs.jsonl", lines.encode())) == wanted


def test_mistakes_are_told_at_their_place_all_at_once() -> None:
    text = """{
  "jobz": 1,
  "jobs": [
    {"name": "a", "comands": ["x"]},
    {"name": "b", "commands": ["x"], "nice": 20, "once": "yes"},
    {"name": "b", "commands": [{"echo": "a"}], "name": "c"},
\t{"name": "a", "commands": ["\\ud800"], "env": {"A": null}, "repeat": 1e1},
    5
  ]
}
"""
    assert told("jobs.json", text) == [
        "jobs.json:2:3: unknown key 'jobz'; did you mean jobs?",
        "jobs.json:4:19: unknown key 'comands'; did you mean commands?",
        "jobs.json:5:46: nice must be at most 19, got the number 20",
        "jobs.json:5:58: once must be true or false, got the text 'yes'",
        "jobs.json:6:14: the name 'b' is taken (first on line 5); choose another",
        "jobs.json:6:32: commands, item 1, must be text, got a mapping; quote it",
        "jobs.json:6:48: duplicate key 'name' (first on line 6); keep one of them",
        "jobs.json:7:11: the name 'a' is taken (first on line 4); choose another",
        "jobs.json:7:29: half a surrogate pair is no character; write the character itself",
        "jobs.json:7:53: env.A has no value; write '' for empty text",
        "jobs.json:7:70: repeat must be a whole number, got the number 1e1",
        "jobs.json:8:5: a job is a mapping, got the number 5; write - name: … and commands: …",
    ]


@pytest.mark.parametrize(("text", "place", "message"), [
    ('{"jobs": [1,]}', "1:13", "a comma stands before the ]; take it out"),
    ('{"jobs": [1],}', "1:14", "a comma stands before the }; take it out"),
    ('{"jobs" []}', "1:9", "a colon should stand here, got '['"),
    ("{'jobs': []}", "1:2", "a key in double quotes should stand here, got '''; text stands in double quotes"),
    ('{"jobs": [True]}', "1:11", "a value should stand here, got 'True'; JSON knows null, true, false, numbers, and text in double quotes"),
    ('{"jobs": [NaN]}', "1:11", "a value should stand here, got 'NaN'; JSON knows null, true, false, numbers, and text in double quotes"),
    ('{"jobs": ["a\nb"]}', "1:11", "a value should stand here, got '\"'; a text that begins here does not end on its line"),
    ('{\n // no\n "jobs": []}', "2:2", "a key in double quotes should stand here, got '/'; JSON has no comments: take it out, or write YAML"),
    ('{"jobs": [007]}', "1:11", "a number should stand here, got '007'; JSON knows null, true, false, numbers, and text in double quotes"),
    ('{"jobs": [1 2]}', "1:13", "a comma or ] should stand here, got '2'; JSON knows null, true, false, numbers, and text in double quotes"),
    ('{"jobs": [', "1:11", "a value should stand here, got the end"),
    ('{"jobs": [1]}\n{}', "2:1", "something stands behind the end of it; a file is one value"),
    ('{"jobs": ["\\x"]}', "1:11", "a backslash stands before 'x'; write two of them for one"),
    ("[" * 100, "1:65", "nested more than 64 deep; make it flatter"),
    ('{"jobs": [1e999]}', "1:11", "'1e999' is more than any number can be; quote it"),
])
def test_what_is_no_json_is_told_at_its_place(text: str, place: str, message: str) -> None:
    (first, *_) = told("jobs.json", text)
    assert first.removeprefix(f"jobs.json:{place}: ").removeprefix("not valid JSON: ") == message


def test_a_line_that_cannot_be_read_does_not_hide_the_others() -> None:
    text = '{"name": "a", "commands": ["x"]}\n\n{"name": "b", }\r\n  {"name": "a", "argv": "x"}\n["c"]\n{"jobs": []}\n'
    *first, last = told("jobs.jsonl", text)
    assert last.startswith("jobs.jsonl:6:2: unknown key 'jobs'; ")
    assert first == [
        "jobs.jsonl:3:15: not valid JSON: a comma stands before the }; take it out",
        "jobs.jsonl:4:12: the name 'a' is taken (first on line 1); choose another",
        "jobs.jsonl:4:25: argv must be a list, got the text 'x'; write [one, two]",
        "jobs.jsonl:5:1: a job is a mapping, got a list; write - name: … and commands: …",
    ]
    assert told("jobs.jsonl", "{\n}\n") == [
        "jobs.jsonl:1:2: not valid JSON: a key in double quotes should stand here, got the end",
        "jobs.jsonl:2:1: not valid JSON: a value should stand here, got '}'"]


def test_empty_files_have_no_jobs() -> None:
    for name in ("a.json", "a.jsonl"):
        assert told(name, " \n\n") == [f"{name}: no jobs (the file is empty); write jobs: and a list"]
    assert told("a.json", "[{}]") == ['a.json:1:1: a jobfile is a mapping with the key jobs, got a list; write {"jobs": […]}']


@pytest.mark.parametrize(("name", "text", "kind"), [
    ("a.json", "jobs:", "json"), ("A.JSON", "", "json"), ("a.jsonl", "", "jsonl"), ("a.ndjson", "", "jsonl"), ("a.yaml", "{}", "yaml"),
    ("-", '{"jobs": []}', "json"), ("-", '\n{"name": "a"}\n{"name": "b"}', "jsonl"), ("-", '{\n "jobs": []\n}', "json"),
    ("-", "{jobs: []}", "yaml"), ("-", '{"jobs": [a]}', "yaml"), ("-", "jobs: []", "yaml"), ("-", "", "yaml"), ("/dev/fd/63", '{"name": "a"}', "jsonl"),
    ("-", '{"a":' * 100_000, "yaml"),
])
def test_without_a_name_that_says_so_the_first_line_does(name: str, text: str, kind: str) -> None:
    assert jsontree.kind_of(name, text.encode()) == kind


@pytest.mark.parametrize("seed", range(20))
def test_what_python_reads_is_read_and_nothing_else_escapes(seed: int) -> None:
    rng = random.Random(seed)

    def made(depth: int) -> Any:
        kind = rng.randrange(8 if depth else 6)
        if kind == 6:
            return [made(depth - 1) for _ in range(rng.randrange(4))]
        if kind == 7:
            return {rng.choice(["a", "é", "k\n", '"', "\\", ""]) + str(n): made(depth - 1) for n in range(rng.randrange(4))}
        return rng.choice([None, True, False, rng.randint(-10**20, 10**20), rng.uniform(-1e10, 1e10), "x\t\u20ac\U0001f600\\\"/\n"])

    for _ in range(100):
        value = made(4)
        text = json.dumps(value, ensure_ascii=rng.random() < 0.5, indent=rng.choice((None, 1, "\t")))
        document = jsontree.load(text.encode(), "x.json")
        assert (document.root, document.problems, document.broken) == (value, [], False)
        cut = list(text)
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(cut))
            cut[at] = rng.choice(['"', "{", "}", "[", ",", ":", "\\", "x", " ", "1", "\n", "é"])
        broken = "".join(cut)
        if not broken.strip():  # an empty file is told of as that
            continue
        document = jsontree.load(broken.encode(), "x.json")
        try:
            value = json.loads(broken)
        except ValueError:
            assert document.problems, broken
        else:
            assert document.root == value or document.problems, broken


def test_every_key_and_item_knows_its_place() -> None:
    lines = EXAMPLE.split("\n")

    def check(value: Any) -> None:
        if isinstance(value, Map):
            for key in value:
                line, column = value.key_place(key)
                assert lines[line - 1][column - 1:].startswith(json.dumps(key))
                check(value[key])
        elif isinstance(value, Seq):
            line, column = value.place
            assert lines[line - 1][column - 1] == "["
            for one in value:
                check(one)
    check(jsontree.load(EXAMPLE.encode(), "x.json").root)
