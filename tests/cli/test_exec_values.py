"""Where values come from, and what is refused before anything starts."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sshjobs.cli import main
from sshjobs.errors import UsageError
from sshjobs.inputs import arguments
from sshjobs.inputs.arguments import MAX_VALUE, Arguments, Source, split_words
from sshjobs.inputs.expansion import Expansion
from sshjobs.inputs.placeholders import TextTemplate
from sshjobs.model.spec import JobSpec
from tests.conftest import cli_environment


def rows(*words: str, **options: object) -> list[tuple[str, ...]]:
    """Return the rows of values that words after a command mean."""
    return list(Arguments(split_words(["command", *words])[1], **options).rows())  # type: ignore[arg-type]


def test_sources_are_multiplied_and_the_last_changes_fastest() -> None:
    assert rows(":::", "a", "b", ":::", "1", "2") == [("a", "1"), ("a", "2"), ("b", "1"), ("b", "2")]


def test_paired_sources_go_together() -> None:
    assert rows(":::", "a", "b", ":::+", "1", "2", ":::", "x", "y") == [
        ("a", "1", "x"), ("a", "1", "y"), ("b", "2", "x"), ("b", "2", "y")]


def test_values_are_lines_of_files_and_each_file_is_a_source(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"a b\n\n \xff\r\n")
    two.write_bytes(b"1\n2")
    assert rows("::::", str(two), str(two))[:2] == [("1", "1"), ("1", "2")]
    assert rows("::::", str(one)) == [("a b",), ("",), (" \udcff\r",)]
    assert rows(":::", "x", "y", "::::+", str(two)) == [("x", "1"), ("y", "2")]


def test_values_may_end_with_a_nul_byte(tmp_path: Path) -> None:
    (tmp_path / "names").write_bytes(b"new\nline\0\0last")
    assert rows("::::", str(tmp_path / "names"), nul=True) == [("new\nline",), ("",), ("last",)]


def test_values_are_split_into_columns() -> None:
    assert rows(":::", "a,b", "c", columns=",") == [("a", "b"), ("c",)]
    assert rows(":::", "a \t b", columns=r"\s+") == [("a", "b")]


def test_a_command_without_sources_is_one_row_of_nothing() -> None:
    assert rows() == [()]
    assert rows(":::") == []
    assert rows(":::", "a", ":::") == []


@pytest.mark.parametrize(("words", "complaint"), [
    ([":::+", "a"], ":::+ pairs values with those before it, and there are none; begin with :::"),
    (["::::"], ":::: wants the names of files, and there is none"),
    ([":::", "a", "b", ":::+", "c"], ":::+ pairs 1 values with 2; paired sources need as many values as each other"),
    (["::::", "absent"], "absent: the file of values cannot be read: No such file or directory"),
    (["::::", "."], ".: the file of values cannot be read: Is a directory"),
    (["::::", "-", "-"], "standard input can be one source only; name - once"),
])
def test_a_mistake_in_sources_is_one_line(words: list[str], complaint: str) -> None:
    with pytest.raises(UsageError) as error:
        rows(*words)
    assert str(error.value) == complaint


def test_a_nul_byte_and_an_endless_value_are_told_with_their_number(tmp_path: Path) -> None:
    file = tmp_path / "values"
    file.write_bytes(b"a\nb\0c\n")
    with pytest.raises(UsageError, match=r"values: value 2 holds a NUL byte; use -0 if NUL bytes separate the values"):
        rows("::::", str(file))
    with pytest.raises(UsageError, match=f"value 1 has more than {MAX_VALUE:,} bytes"):
        rows("::::", "/dev/zero")


@pytest.mark.parametrize("pattern", ["[", "(,)"])
def test_a_bad_pattern_for_columns_is_refused(pattern: str) -> None:
    with pytest.raises(UsageError, match="--colsep"):
        rows(":::", "a", columns=pattern)


def test_too_many_jobs_are_told_before_they_are_made() -> None:
    digits = [str(n) for n in range(1000)]
    with pytest.raises(UsageError) as error:
        Arguments([Source(digits)] * 4)
    assert str(error.value) == ("this would make 1,000,000,000,000 jobs: the limit is 10,000,000 in all; "
                                "use fewer values, or more runs")
    assert Arguments([Source(digits)] * 2, hosts=10).count == 1_000_000
    with pytest.raises(UsageError, match="on each host"):
        Arguments([Source(digits)] * 2, hosts=11)


def test_too_many_values_of_a_stream_are_told_when_they_have_come(monkeypatch: pytest.MonkeyPatch,
                                                                  tmp_path: Path) -> None:
    monkeypatch.setattr(arguments, "MAX_JOBS", 3)
    (tmp_path / "values").write_text("1\n2\n3\n4\n")
    with pytest.raises(UsageError, match="this would make more than 3 jobs"):
        rows("::::", str(tmp_path / "values"))


def test_a_stream_is_turned_into_jobs_as_it_comes(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"first\nsec")
    specs = Expansion(["echo"], Arguments([Source(file=f"/dev/fd/{reader}")]), JobSpec("x")).specs()
    assert next(specs).cmds == ["sshjobs_1=first", 'echo "${sshjobs_1}"']
    os.write(writer, b"ond\n")
    assert next(specs).name == "2-second"
    os.close(writer)
    assert list(specs) == []
    os.close(reader)


def test_jobs_are_called_after_their_number_and_values() -> None:
    made = Expansion(["echo"], Arguments([Source(["../a b/Grüße.log", "", "\n\x1b", "x" * 300, "漢" * 300])]),
                     JobSpec("x")).specs()
    names = [spec.name for spec in made]
    assert names == ["1-a_b_Grüße.log", "2", "3", "4-" + "x" * 40, "5-" + "漢" * 40]
    assert [spec.name for spec in Expansion(["/bin/up time"], Arguments([]), JobSpec("x")).specs()] == ["up"]


@pytest.mark.parametrize(("files", "complaint"), [
    (["{}"], "job 2: --send: 'absent' cannot be read: No such file or directory; looked for "),
    (["{1}", "../{1}"], "job 1: --send: 'here' and '../here' would both be placed as 'here'; rename one"),
    (["{2}"], "{2} asks for value 2, and a job has 1 value"),
    (["x{%}"], "{%} is known on the host only, so no option can hold it; the job has it as $SSHJOBS_SLOT"),
])
def test_a_file_that_cannot_be_sent_is_told_with_its_job(files: list[str], complaint: str, tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    for directory in (base, tmp_path):
        (directory / "here").touch()
    with pytest.raises(UsageError) as error:
        list(Expansion(["cat"], Arguments([Source(["here", "absent"])]), JobSpec("x", base_dir=base),
                       files=files).specs())
    assert str(error.value).startswith(complaint)


def test_a_word_that_no_program_can_be_given_is_refused(tmp_path: Path) -> None:
    arguments = Arguments([Source(["x" * 131_072])])
    with pytest.raises(UsageError, match="job 1: a word would have more than 131,071 bytes"):
        list(Expansion(["echo", "{}"], arguments, JobSpec("x")).specs())
    assert len(list(Expansion(["echo {}"], arguments, JobSpec("x")).specs())) == 1
    with pytest.raises(UsageError, match="job 1: its commands and env together"):
        list(Expansion(["echo {}"], Arguments([Source(["x" * 900_001])]), JobSpec("x")).specs())
    with pytest.raises(UsageError, match="job 1: a job would have an empty name of a program"):
        list(Expansion(["{}", "x"], Arguments([Source([""])]), JobSpec("x")).specs())


def test_text_keeps_what_is_no_placeholder() -> None:
    assert TextTemplate("a{b}{}{1.}{x}").fill(["v.w"], 1) == "a{b}v.wv{x}"


def test_jobs_are_made_one_at_a_time(tmp_path: Path) -> None:
    program = ("import resource, sys\n"
               "from sshjobs.inputs.arguments import Arguments, Source\n"
               "from sshjobs.inputs.expansion import Expansion\n"
               "from sshjobs.model.spec import JobSpec\n"
               "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
               "made = sum(1 for _ in Expansion(['echo {}'], Arguments([Source(file='-')]), JobSpec('x')).specs())\n"
               "print(made, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n")
    values = tmp_path / "values"
    values.write_text("".join(f"{n}\n" for n in range(200_000)))
    with open(values, "rb") as file:
        told = subprocess.run([sys.executable, "-c", program], stdin=file, capture_output=True, text=True, check=True,
                              env={**os.environ, **cli_environment()}, timeout=60)
    made, grown = map(int, told.stdout.split())
    assert made == 200_000
    assert grown * 1024 < 16 * 2**20, f"{grown} KiB"


@pytest.mark.parametrize(("words", "complaint"), [
    ([], "there is no command; write: sshjobs exec -- COMMAND ::: VALUE…; where the values are commands: "
         "sshjobs exec -- bash -c {} < FILE"),
    ([":::", "a"], "there is no command; write: sshjobs exec -- COMMAND ::: VALUE…; where the values are commands: "
                   "sshjobs exec -- bash -c {} < FILE"),
    (["echo", "{2}", ":::", "a"],
     "{2} asks for value 2, and a job has 1 value; add a source, or write \\{2} for the text itself"),
    (["echo", "{%}", ":::", "a"],
     "{%} is known on the host only, so it needs a shell; write the whole command as one word, in quotes"),
    (["echo", "::::", "absent"], "absent: the file of values cannot be read: No such file or directory"),
    (["--env", "NOT_SET_HERE", "echo", ":::", "a"],
     "--env NOT_SET_HERE: there is no such variable here; write --env NOT_SET_HERE=VALUE"),
    (["--timeout", "soon", "echo", ":::", "a"], None),
    (["--retries", "-1", "echo", ":::", "a"], None),
    (["--lease", "5s", "echo", ":::", "a"], None),
    (["--env", "SSHJOBS_SLOT=1", "echo", ":::", "a"], None),
    (["-k", "--output", "line", "echo", ":::", "a"],
     "-k is --output ordered, and --output line was said too; leave one out"),
    (["--json", "--output", "line", "echo", ":::", "a"],
     "--json prints events, and no outputs; leave out --output, or --json"),
    (["--tag", "--output", "none", "echo", ":::", "a"],
     "--tag belongs to lines of outputs, and none are printed; say --output too"),
    (["--hosts", "absent.txt", "echo", ":::", "a"], None),
    (["--name", "../x", "echo", ":::", "a"], None),
    (["-j", "0", "echo", ":::", "a"], None),
])
def test_bad_usage_is_one_line_and_nothing_is_started(words: list[str], complaint: str | None,
                                                      clean_home: Path, monkeypatch: pytest.MonkeyPatch,
                                                      capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(clean_home)
    # In this process, which keeps its own ways to tell of trouble.
    monkeypatch.setattr("sshjobs.cli.exec.configure", lambda verbosity: None)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    code = main(["exec", *words])
    told = capfd.readouterr()
    assert (code, told.out, told.err.count("\n")) == (2, "", 1), told.err
    assert list(clean_home.iterdir()) == []
    if complaint is not None:
        assert told.err == f"sshjobs: {complaint}\n"
