"""Jobfiles that are right: what every key means."""

from __future__ import annotations

import io
import os
import textwrap
from pathlib import Path

import pytest

from sshjobs.inputs import jobfile
from sshjobs.inputs.jobfile import Entry, load_jobfile
from sshjobs.model.spec import JobSpec


def entries(text: str, path: str = "jobs.yaml") -> list[Entry]:
    return load_jobfile(path, textwrap.dedent(text).encode())


def only(text: str) -> JobSpec:
    (entry,) = entries(text)
    return entry.spec


def names(text: str) -> list[str | None]:
    return [spec.name for entry in entries(text) for spec in entry.specs()]


def test_every_key_arrives_in_the_spec(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "in.txt").write_text("x")
    path = tmp_path / "jobs.yaml"
    path.write_text(textwrap.dedent("""\
        jobs:
          - name: all
            commands: [echo a, echo b]
            files: [data, in.txt]
            env: {A: b}
            cwd: /work
            timeout: 2h30m
            lease: 45m
            retries: 2
            host_retries: 1
            once: true
            stdin: in.txt
            nice: 5
            login: true
            strict: false
            leftovers: keep
            hosts: [gpu, "node*"]
            per_host: true
            repeat: 4
        """))
    (entry,) = load_jobfile(path)
    assert (entry.repeat, entry.line) == (4, 2)
    assert entry.spec.as_dict() == {
        **JobSpec("x").as_dict(), "argv": None, "base_dir": str(tmp_path), "cmds": ["echo a", "echo b"], "cwd": "/work", "env": {"A": "b"},
        "files": ["data", "in.txt"], "host_retries": 1, "hosts": ["gpu", "node*"], "index": 1, "leftovers": "keep",
        "login": True, "name": "all", "nice": 5, "once": True, "per_host": True, "retries": 2, "stdin": "in.txt",
        "strict": False, "timeout": 9000.0, "lease": 2700.0,
    }


def test_what_is_not_said_is_as_in_a_bare_spec():
    spec = only("jobs: [{name: x, commands: a}]")
    assert spec.as_dict() == JobSpec(["a"], name="x", base_dir=os.getcwd()).as_dict()


def test_one_string_is_a_script_of_several_lines():
    assert only("jobs:\n- commands: |\n    a\n      b\n").cmds == ["a\n  b\n"]


def test_argv_takes_words_as_they_are():
    assert only("jobs: [{argv: [printf, '%s', '$HOME *', '', 'a\"b']}]").argv == ["printf", "%s", "$HOME *", "", 'a"b']


def test_numbers_in_commands_arguments_and_variables_are_the_text_that_was_written():
    spec = only("jobs: [{argv: [x, 5, 0755, 1:30, 1_000, 3.10, 1e3, 0x1F, .5], env: {A: 0755, B: 3.10, C: 1:30}}]")
    assert spec.argv == ["x", "5", "0755", "1:30", "1_000", "3.10", "1e3", "0x1F", ".5"]
    assert spec.env == {"A": "0755", "B": "3.10", "C": "1:30"}
    assert only("jobs: [{commands: [007, 1.0]}]").cmds == ["007", "1.0"]
    assert only("jobs: [{commands: 007}]").cmds == ["007"]


def test_text_arrives_to_the_byte():
    odd = "a 'b' \"c\" $D `e` \\ \t|&;<>(){}*?[]#~=% \n\r\x1b é 漢 \N{GRINNING FACE}"
    quoted = '"' + odd.encode("unicode_escape").decode().replace('"', '\\"') + '"'
    spec = only(f"jobs: [{{argv: [x, {quoted}], env: {{A: {quoted}}}}}]")
    assert spec.argv == ["x", odd]
    assert spec.env == {"A": odd}


@pytest.mark.parametrize("written", ["90", "'90'", "1m30s", "90.0", "90s"])
def test_a_timeout_is_seconds_or_units(written):
    assert only(f"jobs: [{{commands: a, timeout: {written}}}]").timeout == 90


def test_a_repeated_job_is_numbered_and_a_single_one_is_not():
    assert names("jobs: [{name: sim, commands: a, repeat: 3}]") == ["sim-1", "sim-2", "sim-3"]
    assert names("jobs: [{name: sim, commands: a, repeat: 1}]") == ["sim"]
    assert names("jobs: [{name: a, commands: a, repeat: 0}, {name: b, commands: b}]") == ["b"]


def test_repeats_share_their_contents_and_know_their_number():
    (entry,) = entries("jobs: [{name: sim, commands: a, repeat: 3, env: {A: b}}]")
    specs = list(entry.specs())
    assert [spec.index for spec in specs] == [1, 2, 3]
    assert specs[0].env is specs[2].env


def test_a_job_without_a_name_is_called_by_its_place():
    assert names("jobs: [{commands: a}, {name: b, commands: b}, {commands: c, repeat: 2}]") == [
        "job-1", "b", "job-3-1", "job-3-2"]


def test_a_name_by_place_gives_way_to_one_that_was_chosen():
    assert names("jobs: [{commands: a}, {name: job-1, commands: b}]") == ["job-1_2", "job-1"]
    assert names("jobs: [{commands: a}, {name: job, repeat: 2, commands: b}]") == ["job-1_2", "job-1", "job-2"]
    assert names("jobs: [{commands: a, repeat: 2}, {name: job-1-2, commands: b}]") == [
        "job-1_2-1", "job-1_2-2", "job-1-2"]


def test_entries_that_change_the_defaults_have_no_place_of_their_own():
    assert names("jobs: [{commands: a}, {defaults: {nice: 1}}, {commands: b}]") == ["job-1", "job-2"]


def test_defaults_hold_for_every_job_that_does_not_say_otherwise():
    first, second = entries("""\
        defaults: {timeout: 5m, retries: 2, repeat: 3}
        jobs:
          - commands: a
          - {commands: b, timeout: 1h, repeat: 1}
        """)
    assert (first.spec.timeout, first.spec.retries, first.repeat) == (300, 2, 3)
    assert (second.spec.timeout, second.spec.retries, second.repeat) == (3600, 2, 1)


def test_defaults_at_the_end_of_the_file_hold_too():
    assert only("jobs: [{commands: a}]\ndefaults: {nice: 3}").nice == 3


def test_an_entry_changes_the_defaults_from_there_on():
    found = entries("""\
        defaults: {repeat: 2, nice: 1}
        jobs:
          - commands: a
          - defaults: {repeat: 5}
          - commands: b
          - defaults: {repeat: 1, nice: 3}
          - commands: c
        """)
    assert [(entry.repeat, entry.spec.nice) for entry in found] == [(2, 1), (5, 1), (1, 3)]


def test_variables_are_merged_one_by_one():
    first, second = entries("""\
        defaults: {env: {A: a, B: b}}
        jobs:
          - {commands: a, env: {B: x, C: c}}
          - defaults: {env: {A: y}}
          - commands: b
        """)
    assert first.spec.env == {"A": "a", "B": "x", "C": "c"}
    assert second.spec.env == {"A": "y", "B": "b"}


def test_null_takes_a_default_away():
    spec = only("defaults: {timeout: 1s, cwd: /x}\njobs: [{commands: a, timeout: null, cwd: ~}]")
    assert (spec.timeout, spec.cwd) == (None, None)


def test_lists_take_the_place_of_the_defaults():
    assert only("defaults: {hosts: [a, b]}\njobs: [{commands: a, hosts: [c]}]").hosts == ["c"]
    assert only("defaults: {hosts: [a, b]}\njobs: [{commands: a, hosts: []}]").hosts == []


def test_merge_keys_and_anchors_may_be_used():
    found = entries("""\
        jobs:
          - &first {name: a, commands: x, nice: 4}
          - {<<: *first, name: b}
        """)
    assert [(one.spec.name, one.spec.cmds, one.spec.nice) for one in found] == [("a", ["x"], 4), ("b", ["x"], 4)]


@pytest.mark.parametrize("name", [
    "a b", "it's", 'say "hi"', "$HOME", "größe", "漢字", "a,b=c@d+e", "x;y|z", "a\\b", "1", "_", "*", "a'; rm -rf x",
    "\N{GRINNING FACE}", "a-1", "job-01", "x" * 200, "é" * 100, "a.b", "~x", "#x", "null",
])
def test_names_that_people_have_are_kept_to_the_byte(name):
    quoted = name.replace("'", "''")
    assert names(f"jobs: [{{name: '{quoted}', commands: a}}]") == [name]


def test_names_with_numbers_that_are_no_repeat_are_free():
    assert names("jobs: [{name: s, commands: a, repeat: 2}, {name: s-3, commands: a}, {name: s-01, commands: a}, "
                 "{name: s, commands: a}]") == ["s-1", "s-2", "s-3", "s-01", "s"]


def test_a_million_repeats_are_one_entry():
    (entry,) = entries("jobs: [{commands: a, repeat: 1000000}]")
    assert entry.repeat == jobfile.MAX_JOBS


def test_standard_input_is_read_and_its_files_are_those_here(tmp_path, monkeypatch):
    (tmp_path / "in.txt").write_text("x")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"jobs: [{commands: a, files: [in.txt]}]")))
    (entry,) = load_jobfile("-")
    assert entry.spec.base_dir == str(tmp_path)


def test_a_relative_jobfile_has_an_absolute_directory(tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "j.yaml").write_text("jobs: [{commands: a}]")
    monkeypatch.chdir(tmp_path)
    (entry,) = load_jobfile(Path("sub/j.yaml"))
    assert entry.spec.base_dir == str(tmp_path / "sub")


def test_a_jobfile_may_come_through_a_pipe():
    reading, writing = os.pipe()
    try:
        os.write(writing, b"jobs: [{commands: a}]")
        os.close(writing)
        assert len(load_jobfile(f"/dev/fd/{reading}")) == 1
    finally:
        os.close(reading)
