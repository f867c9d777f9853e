"""Every mistake in a jobfile: one line, the exact place, what, why and what to do."""

from __future__ import annotations

import os
import socket
import stat
import textwrap

import pytest

from sshjobs.errors import EXIT_USAGE, InputError
from sshjobs.inputs import jobfile
from sshjobs.inputs.jobfile import load_jobfile
from sshjobs.model import keys

SETTINGS = ", ".join(["repeat", *keys.KEYS])
DURATION = "write seconds (90) or units (1s, 2h30m, 1d)"


def said(text: str | bytes, path: str = "jobs.yaml") -> list[str]:
    """The lines that a jobfile with mistakes leads to."""
    data = text if isinstance(text, bytes) else textwrap.dedent(text).encode()
    with pytest.raises(InputError) as caught:
        load_jobfile(path, data)
    assert caught.value.exit_code == EXIT_USAGE
    return str(caught.value).split("\n")


TOP = [
    ("", "jobs.yaml: no jobs (the file is empty); write jobs: and a list"),
    ("# nothing\n", "jobs.yaml: no jobs (the file is empty); write jobs: and a list"),
    ("- commands: a", "jobs.yaml:1:1: a jobfile is a mapping with the key jobs, got a list; write jobs: above it"),
    ("a", "jobs.yaml:1:1: a jobfile is a mapping with the key jobs, got the text 'a'; write jobs: and a list"),
    ("null", "jobs.yaml:1:1: a jobfile is a mapping with the key jobs, got nothing; write jobs: and a list"),
    ("5", "jobs.yaml:1:1: a jobfile is a mapping with the key jobs, got the number 5; write jobs: and a list"),
    ("defaults: {nice: 1}", "jobs.yaml:1:1: no jobs: there is no key jobs; write jobs: and a list"),
    ("jobs:", "jobs.yaml:1:6: no jobs: got nothing; write jobs: and a list"),
    ("jobs: []", "jobs.yaml:1:7: no jobs: got an empty list; write jobs: and a list"),
    ("jobs: {a: b}", "jobs.yaml:1:7: no jobs: got a mapping; write jobs: and a list"),
    ("jobs: [{commands: a, repeat: 0}]",
     "jobs.yaml:1:7: no jobs: every entry has repeat: 0, or only changes the defaults"),
    ("jobs: [{defaults: {nice: 1}}]",
     "jobs.yaml:1:7: no jobs: every entry has repeat: 0, or only changes the defaults"),
    ("jobs: [{commands: a}]\njbs: 1", "jobs.yaml:2:1: unknown key 'jbs'; did you mean jobs?"),
    ("jobs: [{commands: a}]\nenv: {}", "jobs.yaml:2:1: unknown key 'env'; it belongs to a job, or under defaults"),
    ("jobs: [{commands: a}]\nname: x", "jobs.yaml:2:1: unknown key 'name'; it belongs to a job, under jobs"),
    ("jobs: [{commands: a}]\nzzz: x", "jobs.yaml:2:1: unknown key 'zzz'; there are max_failures, setup, manners, on_done, on_failure, on_host_lost, notify, notify_text, defaults, jobs"),
    ("jobs: [{commands: a}]\ndefaults: 5",
     "jobs.yaml:2:11: defaults must be a mapping, got the number 5; write key: value"),
    ("jobs: [{commands: a}]\ndefaults: {name: x}",
     "jobs.yaml:2:12: unknown key 'name'; it belongs to a job, under jobs"),
    ("jobs: [{commands: a}]\ndefaults: {tiemout: 5}", "jobs.yaml:2:12: unknown key 'tiemout'; did you mean timeout?"),
    ("jobs: [{commands: a}]\ndefaults: {zzz: 5}", f"jobs.yaml:2:12: unknown key 'zzz'; there are {SETTINGS}"),
    ("jobs:\n- echo hi", "jobs.yaml:2:3: a job is a mapping, got the text 'echo hi'; write - commands: …"),
    ("jobs:\n- [a]", "jobs.yaml:2:3: a job is a mapping, got a list; write - name: … and commands: …"),
    ("jobs:\n- 5", "jobs.yaml:2:3: a job is a mapping, got the number 5; write - name: … and commands: …"),
    ("jobs:\n-", "jobs.yaml:2:2: a job is a mapping, got nothing; write - name: … and commands: …"),
    ("jobs:\n- defaults: {nice: 1}\n  commands: a",
     "jobs.yaml:3:3: an entry changes the defaults or is a job, not both, got 'commands' too; make it two"),
    ("jobs:\n- defaults:\n- commands: a", "jobs.yaml:2:12: defaults must be a mapping, got nothing; write key: value"),
]


@pytest.mark.parametrize(("text", "expected"), TOP)
def test_a_file_of_the_wrong_shape_is_told_so(text, expected):
    assert said(text) == [expected]


#: What stands in a job beside ``commands: a`` on line 3, and what is said about line 4.
KEYS = [
    ("comands: b", "4:3: unknown key 'comands'; did you mean commands?"),
    ("Env: {}", "4:3: unknown key 'Env'; did you mean env?"),
    ("name: no", "4:9: name must be text, got the boolean no; quote it"),
    ("name: 1:30", "4:9: name must be text, got the number 1:30; quote it"),
    ("name: 007", "4:9: name must be text, got the number 007; quote it"),
    ("name: 1.5e+3", "4:9: name must be text, got the number 1.5e+3; quote it"),
    ("name: 2024-01-01", "4:9: name must be text, got the date 2024-01-01; quote it"),
    ("name:", "4:8: name has no value; give it one, or take the key out"),
    ("name: [a]", "4:9: name must be text, got a list; write one text"),
    ("name: ''", "4:9: name: a job's name cannot be empty; give it at least one letter or digit"),
    ("name: ' '", "4:9: name: a job's name cannot be empty; give it at least one letter or digit"),
    ("name: ../x", "4:9: name: a job's name cannot hold '/': it names a directory; use '-' or '_' instead"),
    ("name: a/b", "4:9: name: a job's name cannot hold '/': it names a directory; use '-' or '_' instead"),
    ("name: .", "4:9: name: a job's name cannot begin with '.'; begin with a letter or digit"),
    ("name: ..", "4:9: name: a job's name cannot begin with '.'; begin with a letter or digit"),
    ("name: -rf", "4:9: name: a job's name cannot begin with '-'; begin with a letter or digit"),
    ('name: "con\\n"', "4:9: name: a job's name cannot hold U+000A, a control or invisible character; take it out"),
    ('name: "a\\u202Eb"', "4:9: name: a job's name cannot hold U+202E, a control or invisible character; take it out"),
    (f"name: {'x' * 201}", "4:9: name: a job's name has more than 200 bytes; make it shorter"),
    (f"name: {'é' * 101}", "4:9: name: a job's name has more than 200 bytes; make it shorter"),
    (f"name: {'x' * 199}\n  repeat: 10",
     "4:9: a name has more than 200 bytes with the number of its repeat; make it shorter"),
    ("argv: [a]", "4:3: commands and argv exclude each other; keep one"),
    ("files: a", "4:10: files must be a list, got the text 'a'; write [one, two]"),
    ("files: [5]", "4:11: files, item 1, must be a path or a mapping, got 5; write {path: data, to: in/}"),
    ("files: ['']", "4:11: files, item 1, cannot be empty; leave the key out"),
    ("files: {a: b}", "4:10: files must be a list, got a mapping; write [one, two]"),
    ("repeat: -1", "4:11: repeat must be at least 0, got the number -1"),
    ("repeat: 010", "4:11: repeat must be a whole number, got the number 010; write a plain decimal number"),
    ("repeat: 1:30", "4:11: repeat must be a whole number, got the number 1:30; write a plain decimal number"),
    ("repeat: 2.5", "4:11: repeat must be a whole number, got the number 2.5"),
    ("repeat: many", "4:11: repeat must be a whole number, got the text 'many'"),
    ("repeat: true", "4:11: repeat must be a whole number, got the boolean true"),
    ("repeat: 1000000000",
     "4:11: this would make 1,000,000,000 jobs, the limit is 1,000,000; lower repeat, or use more runs"),
    ("env: [A=b]", "4:8: env must be a mapping, got a list; write {NAME: text}"),
    ("env:", "4:7: env has no value; give it one, or take the key out"),
    ("env: {A: true}", "4:12: env.A must be text, got the boolean true; quote it"),
    ("env: {A: 2024-01-01}", "4:12: env.A must be text, got the date 2024-01-01; quote it"),
    ("env: {A: }", "4:12: env.A has no value; write '' for empty text"),
    ("env: {A: [b]}", "4:12: env.A must be text, got a list; write one text"),
    ("env: {ON: b}", "4:9: a key must be text, got the boolean ON; quote it"),
    ("env: {'': b}", "4:9: env.: the name of a variable cannot be empty or hold '='; choose another"),
    ("env: {X: y, 'A=B': c}", "4:15: env.A=B: the name of a variable cannot be empty or hold '='; choose another"),
    ("env: {SSHJOBS_RUN: c}", "4:9: env.SSHJOBS_RUN: SSHJOBS_… are set by sshjobs; choose another name"),
    (f"env: {{A: '{'x' * 131070}'}}", "4:8: env cannot hold A: more than 131,071 bytes with its name; use a file"),
    ("cwd: ''", "4:8: cwd cannot be empty; leave the key out"),
    ("cwd: 5", "4:8: cwd must be text, got the number 5; quote it"),
    ("timeout: 1:30", "4:12: timeout: '1:30' is not a duration; write 1m30s or 1h30m"),
    ("lease: 5s", "4:10: lease must be at least 30s, because networks fail for moments; take minutes"),
    ("timeout: -5", f"4:12: timeout: '-5' is not a duration; {DURATION}"),
    ("timeout: 0", f"4:12: timeout: a duration must be above zero, got '0'; {DURATION}"),
    ("timeout: .nan", f"4:12: timeout: '.nan' is not a duration; {DURATION}"),
    ("timeout: .inf", f"4:12: timeout: '.inf' is not a duration; {DURATION}"),
    ("timeout: 1e400", f"4:12: timeout: '1e400' is not a duration; {DURATION}"),
    ("timeout: 5 parsecs", f"4:12: timeout: '5 parsecs' is not a duration; {DURATION}"),
    ("timeout: 999999999999", "4:12: timeout: '999999999999' is more than 3650d; leave it out for no limit"),
    ("timeout: yes", f"4:12: timeout must be a duration; {DURATION}"),
    ("timeout: [1]", f"4:12: timeout must be a duration; {DURATION}"),
    ("retries: 1000000000000", "4:12: retries must be at most 1000, got the number 1000000000000"),
    ("retries: true", "4:12: retries must be a whole number, got the boolean true"),
    ("retries: -1", "4:12: retries must be at least 0, got the number -1"),
    ("host_retries: x", "4:17: host_retries must be a whole number, got the text 'x'"),
    ("once: 1", "4:9: once must be true or false, got the number 1"),
    ("once: 'yes'", "4:9: once must be true or false, got the text 'yes'"),
    ("stdin: [a]", "4:10: stdin must be text, got a list; write one text"),
    ("nice: 20", "4:9: nice must be at most 19, got the number 20"),
    ("nice: -1", "4:9: nice must be at least 0, got the number -1"),
    ("login: maybe", "4:10: login must be true or false, got the text 'maybe'"),
    ("strict:", "4:10: strict has no value; give it one, or take the key out"),
    ("output: tube", "4:11: output must be file or pipe, got the text 'tube'"),
    ("output_limit: lots", "4:17: output_limit must be a size, got 'lots'; write 64K or 10M"),
    ("output_limit: -1", "4:17: output_limit must be from 0 to 1024T, got -1; write 64K or 10M"),
    ("output_limit: 2000T", "4:17: output_limit must be from 0 to 1024T, got '2000T'; write 64K or 10M"),
    ("output_limit: 1.5", "4:17: output_limit must be a size, got 1.5; write 64K or 10M"),
    ("output_limit: yes", "4:17: output_limit must be a size, got True; write 64K or 10M"),
    ("leftovers: kep", "4:14: leftovers must be kill or keep, got the text 'kep'"),
    ("hosts: gpu", "4:10: hosts must be a list, got the text 'gpu'; write [one, two]"),
    ("hosts: [gpu, 5]", "4:16: hosts, item 2, must be text, got the number 5; quote it"),
    ("per_host: 1", "4:13: per_host must be true or false, got the number 1"),
    ("nice: 1\n  nice: 2", "5:3: duplicate key 'nice' (first on line 4); keep one of them"),
    ("nice: !!int 1", "4:9: tags are not allowed, got !!int; take it out"),
]


@pytest.mark.parametrize(("line", "expected"), KEYS, ids=[line[:40] for line, _ in KEYS])
def test_a_wrong_value_is_told_at_its_place(line, expected):
    assert f"jobs.yaml:{expected}" in said(f"jobs:\n# a comment\n- commands: a\n  {line}\n")


#: How a job says what to run, on line 2, and what is said about it.
SCRIPTS = [
    ("name: x", "2:3: nothing to run; add commands or argv"),
    ("{}", "2:3: nothing to run; add commands or argv"),
    ("commands: []", "2:13: commands must hold at least one command"),
    ("commands: ''", "2:13: commands must hold at least one command"),
    ("commands: ['', ' ']", "2:13: commands must hold at least one command"),
    ("commands:", "2:12: commands has no value; give it one, or take the key out"),
    ("commands: {a: b}", "2:13: commands must be a list, got a mapping; write [one, two]"),
    ("commands: [a: b]", "2:14: commands, item 1, must be text, got a mapping; quote it"),
    ("commands: [a, yes]", "2:17: commands, item 2, must be text, got the boolean yes; quote it"),
    ("commands: [a, ~]", "2:17: commands, item 2, has no value; write '' for empty text"),
    ("commands: true", "2:13: commands must be a list, got the boolean true; write [one, two]"),
    ("argv: []", "2:9: argv must begin with a program; write [program, argument, …]"),
    ("argv: ['']", "2:9: argv must begin with a program; write [program, argument, …]"),
    ("argv: a", "2:9: argv must be a list, got the text 'a'; write [one, two]"),
    ("argv: [a, no]", "2:13: argv, item 2, must be text, got the boolean no; quote it"),
    (f"argv: [a, {'x' * 131072}]",
     "2:13: argv, item 2, has more than 131,071 bytes, which no program can be given; use a file"),
    (f"argv: [{', '.join(['x' * 100000] * 20)}]",
     "2:3: commands, argv and env together have more than 900,000 bytes; put text into files"),
    (f"commands: '{'é' * 160000}'",
     "2:3: commands, argv and env together have more than 900,000 bytes; put text into files"),
    ('argv: [a, "b\\0"]', "2:13: a NUL byte is not allowed; take \\0 out"),
]


@pytest.mark.parametrize(("line", "expected"), SCRIPTS, ids=[line[:40] for line, _ in SCRIPTS])
def test_a_job_without_anything_to_run_is_told_so(line, expected):
    assert said(f"jobs:\n- {line}\n") == [f"jobs.yaml:{expected}"]


def test_a_word_of_the_largest_size_is_let_through():
    (entry,) = load_jobfile("j", f"jobs: [{{argv: [a, {'x' * 131071}], env: {{A: {'x' * 131069}}}}}]".encode())
    assert entry.spec.argv is not None and len(entry.spec.argv[1]) == 131071


@pytest.mark.parametrize(("jobs", "expected"), [
    (["{name: a, commands: x}", "{name: a, commands: x}"],
     "3:10: the name 'a' is taken (first on line 2); choose another"),
    (["{name: s, repeat: 3, commands: x}", "{name: s-2, commands: x}"],
     "3:10: the name 's-2' is taken (first on line 2); choose another"),
    (["{name: s-2, commands: x}", "{name: s, repeat: 3, commands: x}"],
     "3:10: the name 's-2' is taken (first on line 2); choose another"),
    (["{name: s, repeat: 3, commands: x}", "{name: s, repeat: 2, commands: x}"],
     "3:10: the name 's-1' is taken (first on line 2); choose another"),
])
def test_a_name_taken_twice_names_both_lines(jobs, expected):
    assert said("jobs:\n" + "".join(f"- {job}\n" for job in jobs)) == [f"jobs.yaml:{expected}"]


@pytest.mark.parametrize(("jobs", "expected"), [
    (["{name: p, commands: x, repeat: 0}", "{name: f, commands: x, after: p}"], "3:33: after: 'p' makes no job, because of its repeat: 0"),
    (["{name: p, commands: x, repeat: 0, matrix: {a: [1]}}", "{name: f, commands: x, after: [p]}"], "3:33: after: 'p' makes no job"),
    (["{name: q, commands: x}", "{name: p, commands: x, repeat: 0}", "{name: f, commands: x, after: {q: {}, p: {when: ended}}}"],
     "4:33: after: 'p' makes no job"),
])
def test_waiting_for_an_entry_without_a_job_is_told(jobs, expected):
    (line,) = said("jobs:\n" + "".join(f"- {job}\n" for job in jobs))
    assert line.startswith(f"jobs.yaml:{expected}")


def test_an_entry_without_jobs_may_wait_for_another_and_one_of_several_of_a_name_may_be_empty():
    for jobs in (["{name: p, commands: x, repeat: 0}", "{name: f, commands: x, repeat: 0, after: p}", "{name: g, commands: x}"],
                 ["{name: p, commands: x, repeat: 0}", "{name: p, commands: x}", "{name: f, commands: x, after: p}"]):
        assert load_jobfile("j", ("jobs:\n" + "".join(f"- {job}\n" for job in jobs)).encode())


@pytest.mark.parametrize(("outputs", "path", "fits"), [
    ("[model.bin]", "modle.bin", False), ("[model.bin]", "model.bin", True), ("[plots/]", "plots/a.png", True), ("[plots]", "plot", False),
    ("[a/b]", "a", True), ("['*.bin']", "x", True), ("[x]", "'*'", True), ("[x, y]", "z", False), ("{x: {carry: true}}", "x/", True),
])
def test_files_that_no_output_of_the_other_entry_can_be_are_told(outputs, path, fits):
    text = f"jobs:\n- {{name: p, commands: x, outputs: {outputs}}}\n- {{name: f, commands: x, after: p, files: [{{from: p, path: {path}}}]}}\n"
    if fits:
        assert load_jobfile("j", text.encode())
    else:
        (line,) = said(text)
        assert line.startswith(f"jobs.yaml:3:51: files: from: no output of 'p' fits '{path}': it leaves ")


def test_outputs_with_placeholders_may_be_anything():
    assert load_jobfile("j", b"jobs:\n- {name: p, commands: x, matrix: {d: [a]}, outputs: ['${{ d }}']}\n"
                             b"- {name: f, commands: x, after: p, files: [{from: p, path: a}]}\n")


@pytest.mark.parametrize(("entry", "expected"), [
    ("{commands: x, retries: {timed_out: {times: 1, timeout: x2}}}", "2:26: retries would raise timeout, and the job has none; say how long"),
    ("{commands: x, setup: y}", "2:17: unknown key 'setup'; it belongs to the top of the jobfile, beside jobs"),
    ("{commands: x, max_failures: 3}", "2:17: unknown key 'max_failures'; it belongs to the top of the jobfile, beside jobs"),
    ("{commands: x, rows: absent.csv}", "2:23: rows: 'absent.csv' cannot be read: No such file or directory; correct the path, or make the file"),
    ("{commands: x, matrix: {a: {lines: absent.txt}}}", "2:37: matrix.a.lines: 'absent.txt' cannot be read: No such file or directory; cor"),
    ("{commands: x, matrix: {exclude: [{a: 1}]}}", "2:37: matrix.exclude: there is no parameter 'a'; give it values beside that"),
    ("{commands: x, matrix: {zip: [a, b]}}", "2:31: matrix.zip: there is no parameter 'a'; give it values beside that"),
])
def test_mistakes_of_sweeps_and_stages_say_what_to_write_instead(entry, expected, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    lines = said(f"jobs:\n- {entry}\n")
    assert len(lines) == 1 and lines[0].startswith(f"jobs.yaml:{expected}"), lines


@pytest.mark.parametrize(("entry", "expected"), [
    ("{commands: x, matrix: {d: ['..', a]}, outputs: ['${{ d }}/x']}", "2:50: outputs: '../x' leads out of the directory that the job runs in"),
    ("{commands: x, matrix: {d: [/a, a]}, outputs: {'${{ d }}': {every: 5s}}}", "2:48: outputs: '/a' leads out"),
    ("{commands: x, matrix: {d: ['', a]}, outputs: '${{ d }}/x'}", "2:48: outputs: '/x' leads out"),
    ("{commands: x, matrix: {t: [10m]}, outputs: {f: {every: '${{ t }}'}}}", "2:58: outputs 'f': every cannot be '${{ t }}'; write a time of a second"),
])
def test_outputs_that_a_parameter_leads_out_are_told_before_anything_starts(entry, expected):
    lines = said(f"jobs:\n- {entry}\n")
    assert len(lines) == 1 and lines[0].startswith(f"jobs.yaml:{expected}"), lines


def test_jobs_are_counted_over_the_whole_file_before_they_are_made():
    lines = said("jobs:\n- {commands: a, repeat: 999999}\n- {commands: b, repeat: 2}\n- commands: c\n")
    assert lines == [
        "jobs.yaml:3:25: this would make 1,000,001 jobs, the limit is 1,000,000; lower repeat, or use more runs"]


def test_all_mistakes_come_in_one_go_in_the_order_of_the_file():
    lines = said("""\
        defaults: {tiemout: 5}
        jobs:
          - comands: [x]
            name: a/b
          - commands: x
            env: {A: true, B: no}
            files: [missing]
            nice: 77
          - name: a
            commands: x
          - name: a
            argv: [x]
            nice: 1
            nice: 2
        """)
    places = [tuple(map(int, line.split(":")[1:3])) for line in lines]
    assert places == [(1, 12), (3, 5), (4, 11), (6, 14), (6, 23), (7, 13), (8, 11), (11, 11), (14, 5)]


def test_thousands_of_mistakes_are_shown_up_to_a_number():
    lines = said("jobs:\n" + "- x\n" * 1005)
    assert len(lines) == jobfile.MAX_PROBLEMS + 1
    assert lines[-1] == "jobs.yaml: 5 more mistakes; correct these first"


def test_a_mistake_that_comes_through_a_merge_is_told_where_it_was_written():
    assert said("jobs:\n- {name: a, commands: x}\n- {<<: {nice: 77}, commands: x}") == [
        "jobs.yaml:3:15: nice must be at most 19, got the number 77"]


def test_hostile_text_cannot_reach_the_terminal():
    assert said('jobs: [{commands: a, "\\e[2Jx": 1}]')[0].startswith("jobs.yaml:1:22: unknown key '\\x1b[2Jx'; ")


@pytest.mark.parametrize("data", [
    b"jobs: [{commands: a}]\n\xff", b"\xff\xfej\0", b"jobs: \x00", b"jobs:\n\t- a", b"a: b: c"])
def test_what_is_no_yaml_at_all_is_one_line(data):
    assert len(said(data)) == 1


# -- files -------------------------------------------------------------------------------------------------------------


def about_files(tmp_path, entry: str) -> list[str]:
    path = tmp_path / "j.yaml"
    path.write_text(f"jobs:\n- {{commands: a, {entry}}}\n")
    with pytest.raises(InputError) as caught:
        load_jobfile(path)
    return [line.removeprefix(f"{path}:2:") for line in str(caught.value).split("\n")]


def test_a_missing_file_is_told_before_anything_starts(tmp_path):
    assert about_files(tmp_path, "files: [no.txt]") == [
        f"25: files: 'no.txt' cannot be read: No such file or directory; looked for {tmp_path}/no.txt"]
    assert about_files(tmp_path, "stdin: no.txt") == [
        f"24: stdin: 'no.txt' cannot be read: No such file or directory; looked for {tmp_path}/no.txt"]


def test_a_tilde_is_told_to_be_no_path(tmp_path):
    assert about_files(tmp_path, "files: [~/x]")[0].endswith("~ is not expanded: write the whole path")


def test_a_named_pipe_a_socket_and_a_device_cannot_be_sent(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        assert about_files(tmp_path, "files: [pipe, s, /dev/zero], stdin: pipe") == [
            "25: files: 'pipe' is a named pipe, which cannot be sent; name a regular file",
            "31: files: 's' is a socket, which cannot be sent; name a regular file",
            "34: files: '/dev/zero' is a device, which cannot be sent; name a regular file",
            "53: stdin: 'pipe' is a named pipe, which cannot be sent; name a regular file",
        ]


def test_a_directory_can_be_sent_but_not_be_standard_input(tmp_path):
    (tmp_path / "d").mkdir()
    assert about_files(tmp_path, "files: [d], stdin: d") == ["36: stdin: 'd' is a directory; name a file"]


def test_a_file_that_may_not_be_read_is_told_so(tmp_path, monkeypatch):
    (tmp_path / "x").write_text("")
    # As root everything may be read, so the question itself is answered here.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert about_files(tmp_path, "files: [x]") == ["25: files: 'x' cannot be read: no permission; see chmod"]


@pytest.mark.parametrize("path", ["/", "..", "a/.."])
def test_a_path_without_a_last_name_has_no_place_to_land(tmp_path, path):
    (tmp_path / "a").mkdir()
    assert about_files(tmp_path, f"files: [{path}]") == [
        f"25: files: '{path}' has no last name to be placed under; name a file or directory in it"]


def test_two_files_that_would_land_in_one_place_are_refused(tmp_path):
    (tmp_path / "x").write_text("")
    assert about_files(tmp_path, f"files: [x, {tmp_path}/x]") == [
        f"28: files: 'x' and '{tmp_path}/x' would both be placed as 'x'; rename one"]


def test_files_in_the_defaults_are_looked_at_once_and_where_they_stand(tmp_path):
    path = tmp_path / "j.yaml"
    path.write_text("defaults: {files: [no]}\njobs: [{commands: a}, {commands: b}]\n")
    with pytest.raises(InputError) as caught:
        load_jobfile(path)
    assert [(problem.line, problem.column) for problem in caught.value.problems] == [(1, 20)]


def test_names_of_files_may_hold_anything(tmp_path):
    name = "a 'b' \"c\" $D\t\n漢"
    (tmp_path / name).write_text("")
    quoted = name.replace('"', '\\"').replace("\t", "\\t").replace("\n", "\\n")
    path = tmp_path / "j.yaml"
    path.write_text(f'jobs: [{{commands: a, files: [".", "./{quoted}"], stdin: "{quoted}"}}]')
    (entry,) = load_jobfile(path)
    assert entry.spec.files == [".", f"./{name}"]


# -- the jobfile itself ------------------------------------------------------------------------------------------------


def about(path) -> str:
    with pytest.raises(InputError) as caught:
        load_jobfile(path)
    return str(caught.value)


def test_a_jobfile_that_cannot_be_read_is_told_so(tmp_path):
    assert about(tmp_path / "no.yaml") == f"{tmp_path}/no.yaml: cannot be read: No such file or directory"
    assert about(tmp_path) == f"{tmp_path}: cannot be read: Is a directory"
    assert about("a\0b") == "a\\x00b: cannot be read: a NUL byte in its name"


def test_a_jobfile_without_end_is_cut_off(monkeypatch):
    monkeypatch.setattr("sshjobs.inputs.yamlevents.MAX_BYTES", 2**20)
    assert about("/dev/zero") == "/dev/zero: is larger than 1 MiB, the limit; split it into several files"


def test_a_named_pipe_that_nobody_writes_to_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode)
    assert about(tmp_path / "pipe").endswith("no jobs (the file is empty); write jobs: and a list")


def test_standard_input_is_named_in_messages():
    assert said("jobs: 5", "-") == ["<stdin>:1:7: no jobs: got the number 5; write jobs: and a list"]


@pytest.mark.parametrize(("line", "expected"), [
    ("ok_exit: [0, 256]", "3:16: ok_exit, item 2, must be at most 255, got the number 256"),
    ("ok_exit: -1", "3:12: ok_exit must be at least 0, got the number -1"),
    ("ok_exit: []", "3:12: ok_exit cannot be empty; leave the key out"),
    ("ok_exit: [two]", "3:13: ok_exit, item 1, must be a whole number, got the text 'two'"),
    ("memory: 4", "3:11: memory must be at least 1M, got 4 bytes; write a unit: 512M or 4G"),
    ("memory: 8 potatoes", "3:11: memory must be a size, got '8 potatoes'; write 512M or 4G"),
    ("scratch: -1", "3:12: scratch must be at least 1M, got -1 bytes; write a unit: 512M or 4G"),
    ("cpus: 0", "3:9: cpus must be at least 1, got the number 0"),
    ("cpus: -1", "3:9: cpus must be at least 1, got the number -1"),
    ("cpus: 1000000000", "3:9: cpus must be at most 4096, got the number 1000000000"),
    ("cpus: true", "3:9: cpus must be a whole number, got the boolean true"),
    ("cpus: 1.5", "3:9: cpus must be a whole number, got the number 1.5"),
    ("needs: [build]", "3:10: needs must be a mapping of counters to numbers, got ['build']; write needs: {license: 1}, "
     "or after: NAME where it waits for another job"),
    ("needs: 1", "3:10: needs must be a mapping of counters to numbers, got 1; write needs: {license: 1}"),
    ("needs: {license: 0}", "3:20: needs license must be a whole number from 1 to 1,000,000, got 0"),
    ("needs: {license: true}", "3:20: needs license must be a whole number from 1 to 1,000,000, got True"),
    ("needs: {license: 1.5}", "3:20: needs license must be a whole number from 1 to 1,000,000, got 1.5"),
    ("needs: {memory: 1}", "3:11: needs cannot count memory, which is a key of its own; write memory: beside needs:"),
    ("needs: {gpus: 1}", "3:11: needs cannot count gpus, which is a key of its own; write gpus: beside needs:"),
    ("gpus: -1", "3:9: gpus must be a whole number from 1 to 256, got -1"),
    ("gpus: {count: 0}", "3:17: gpus count must be a whole number from 1 to 256, got 0; leave the key out for none"),
    ("gpus: {cuont: 1}", "3:10: gpus has no 'cuont'; there are count, memory and type"),
    ("gpus: {memory: lots}", "3:18: gpus memory must be a size, got 'lots'; write 512M or 4G"),
    ("needs: {a b: 1}", "3:11: needs cannot count 'a b'; use letters, digits, '_' and '-', and begin with a letter"),
    ("memory: lots", "3:11: memory must be a size, got 'lots'; write 512M or 4G"),
    ("retries: {oom: 1}", "3:13: retries cannot count 'oom'; did you mean out_of_memory?"),
    ("retries: {failed: {times: 1, memory: 2G}}",
     "3:40: retries failed: memory must be a factor from x1 to x100, got '2G'; write x2"),
    ("retries: {out_of_memory: {memory: x2}}",
     "2:3: retries would raise memory, and the job says no memory; say how much it needs at first: memory: 4G"),
])
def test_what_follows_from_an_end_is_told_with_its_place(line, expected):
    assert said(f"jobs:\n- commands: a\n  {line}\n") == [f"jobs.yaml:{expected}"]


def test_all_mistakes_in_one_value_are_told_each_at_its_own_place():
    assert said("""jobs:
- commands: a
  outputs: [/etc/passwd, ok, ../x, 7]
  retries: {exit: 3, failed: {times: -1, memory: 2, size: 1}}
  needs: {license: 0, b c: 1}
  gpus: {count: -1, memory: lots, typ: 3}
  files: [{path: "", to: ../x, form: y}]
- commands: b
  outputs: {../y: {when: never}, ok: {every: 3 potatoes, carry: 1, when: x}}
  after: {c: {when: never, by: 1}, d: 5}
""") == [f"jobs.yaml:{line}" for line in (
        "3:13: outputs: '/etc/passwd' leads out of the directory that the job runs in; write a path below it",
        "3:30: outputs: '../x' leads out of the directory that the job runs in; write a path below it",
        "3:36: outputs must hold patterns, got 7; write outputs: [model.bin]",
        "4:13: retries cannot count 'exit'; did you mean failed?",
        "4:38: retries failed: times must be a whole number from 0 to 1,000, got -1",
        "4:53: retries failed has no 'size'; it takes times, memory, timeout",
        "5:20: needs license must be a whole number from 1 to 1,000,000, got 0",
        "5:23: needs cannot count 'b c'; use letters, digits, '_' and '-', and begin with a letter",
        "6:17: gpus count must be a whole number from 1 to 256, got -1",
        "6:29: gpus memory must be a size, got 'lots'; write 512M or 4G",
        "6:35: gpus has no 'typ'; there are count, memory and type",
        "7:18: files, item 1: path must be text, got ''; quote it",
        "7:26: files, item 1: to: '../x' leads out of the directory that the job runs in; write a path below it",
        "7:32: files, item 1, has no 'form'; it takes path, to, exclude, readonly",
        "9:19: outputs: '../y' leads out of the directory that the job runs in; write a path below it",
        "9:46: outputs 'ok': every cannot be '3 potatoes'; write a time of a second or more, as 10m",
        "9:65: outputs 'ok': carry cannot be 1; use true or false",
        "9:74: outputs 'ok': when cannot be 'x'; use success or always",
        "10:21: after c: when cannot be 'never'; use succeeded or ended",
        "10:28: after c has no 'by'; it takes when and jobs",
        "10:39: after d takes when and jobs, got 5; write d: {when: ended}",
    )]


def test_an_entry_with_mistakes_is_known_by_its_name():
    assert said("""jobs:
- {name: a, commands: x, files: [{from: q, path: x}]}
- {name: b, commands: x, after: [a, nope]}
""") == ["jobs.yaml:2:41: files: from: 'q' is not named by after; write after: q, or correct it",
         "jobs.yaml:3:33: after names 'nope', and no entry is called that; write the name of an entry"]
