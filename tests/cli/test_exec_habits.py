"""What people write who know other tools: options and placeholders of GNU parallel, options of clush."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest

from sshjobs.cli.foreign_options import FOREIGN_OPTIONS, ForeignOption
from sshjobs.inputs.foreign import FOREIGN, Foreign
from tests.cli.here import call_here
from tests.conftest import SshjobsCli
from tests.hints import tries
from tests.house.source import ROOT

PAGE = ROOT / "docs" / "parallel.md"
#: Examples that do not begin a run, and so take no --dry-run.
_OTHERS = ("resume", "retry", "status", "logs", "version", "hosts")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the files that the examples name, and a run called letters."""
    where = tmp_path_factory.mktemp("place")
    (where / "a.txt").write_text("a\n")
    (where / "names.txt").write_text("Alice\nBob\n")
    (where / "table.csv").write_text("a,1\nb,2\n")
    (where / "hosts.txt").write_text("localhost big\nnode01 big\n")
    (where / "config").write_text("Host *\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(where)
        told = call_here("exec", "--output", "none", "--name", "letters", "exit {#}", ":::", "A")
        assert told.returncode == 1, told.stderr
    return where


@pytest.mark.parametrize("option", FOREIGN_OPTIONS, ids=lambda option: option.names.split()[0])
def test_an_option_of_another_program_leads_to_ours_and_ours_works(option: ForeignOption, place: Path,
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setenv("HOME", os.environ.get("HOME", str(place)))  # an example hands it on
    before = sorted(place.iterdir())
    for name in option.names.split():
        told = call_here("exec", name, "x", "echo", ":::", "a")
        assert (told.returncode, told.stdout) == (2, "")
        assert told.stderr == (f"sshjobs: {name} is an option of {option.program}, and none of sshjobs exec; "
                               f"{option.advice}\n")
    assert sorted(place.iterdir()) == before
    if option.example:
        words = shlex.split(option.example)
        if words[0] not in _OTHERS and "--dry-run" not in words:
            words[1:1] = ["--dry-run"]
        told = call_here(*words)
        assert told.returncode in ((0, 1) if words[0] in ("resume", "retry") else (0,)), told.stderr
        # What is to be written is what was tried.
        for flag in re.findall(r"write (--?[a-z-]+)", option.advice):
            assert flag in words


def test_no_option_is_led_away_that_exec_has() -> None:
    from sshjobs.cli.exec import command

    own = {name for parameter in command.params for name in parameter.opts}
    names = [name for option in FOREIGN_OPTIONS for name in option.names.split()]
    assert not own.intersection(names)
    assert len(names) == len(set(names)) >= 40


def test_an_option_that_nobody_knows_is_told_as_before() -> None:
    told = call_here("exec", "--nonsense", "echo", ":::", "a")
    assert told.returncode == 2 and "no such option" in told.stderr.lower()


@pytest.mark.parametrize("foreign", FOREIGN, ids=lambda foreign: foreign.example)
def test_a_placeholder_of_gnu_parallel_leads_to_ours_and_ours_works(foreign: Foreign, tmp_path: Path, sshjobs_cli: SshjobsCli,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = foreign.example.replace("…", "s/a/b/")
    for words in (["echo", text], [f"echo {text}"], ["echo", f"x{text}y"], [f"echo \"{text}\" '{text}'"]):
        told = call_here("exec", *words, ":::", "a/b.tar.gz")
        assert (told.returncode, told.stdout, told.stderr.count("\n")) == (2, "", 1)
        assert f"{text} is a placeholder of GNU parallel ({foreign.meaning}), and none here; " in told.stderr
    assert not (tmp_path / "results").exists()
    assert sshjobs_cli("exec", "echo", f"\\{text}", ":::", "a").stdout == f"{text} a\n"
    told = sshjobs_cli("exec", f"printf %s '\\{text}'; : {{}}", ":::", "a")
    assert told.stdout == text
    if foreign.instead is not None:
        told = sshjobs_cli("exec", *shlex.split(foreign.instead), ":::", "a/b.tar.gz.old")
        assert told.returncode == 0, told.stderr
        wanted = {"{..}": "a/b.tar", "{...}": "a/b", "{/..}": "b.tar", "{/...}": "b", "{+.}": "old", "{+..}": "gz.old",
                  "{+...}": "tar.gz.old", "{:}": "a/b", "{+/}": "a", "{0#}": "001", "{0%}": "001", "{##}": "1 of 3",
                  "{-1}": "a/b.tar.gz.old", "{= … =}": "b/b.tar.gz.old"}
        assert told.stdout == f"{wanted[foreign.example]}\n"


def test_the_page_lists_every_option_and_placeholder() -> None:
    page = PAGE.read_text()
    for option in FOREIGN_OPTIONS:
        row = f"| `{option.names.replace(' ', '` `')}` | {option.advice.replace('|', chr(92) + '|')} |"
        assert row in page, row
    for foreign in FOREIGN:
        shown = foreign.instead.replace("|", "\\|") if foreign.instead else ""
        row = f"| `{foreign.example}` | {foreign.meaning} | {f'`{shown}`' if shown else 'nothing: it is text here'} |"
        assert row in page, row


# -- placeholders in options ------------------------------------------------------------------------------------------


def test_a_placeholder_in_any_option_uses_the_value(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text(f"{name}'s content\n")
    values = (":::", "one", "two")
    assert sshjobs_cli("exec", "-k", "--stdin", "{}", "cat -", *values).stdout == "one's content\ntwo's content\n"
    assert sshjobs_cli("exec", "-k", "--stdin", "{}", "cat", "-", *values).stdout == "one's content\ntwo's content\n"
    assert sshjobs_cli("exec", "-k", "--send", "{}", "ls", *values).stdout == "one\ntwo\n"
    assert sshjobs_cli("exec", "-k", "--env", "X={}-{#}", "env | grep ^X=", *values).stdout == "X=one-1\nX=two-2\n"
    assert sshjobs_cli("exec", "-k", "--cwd", "/{}", "pwd", ":::", "usr", "tmp").stdout == "/usr\n/tmp\n"
    assert sshjobs_cli("exec", "-k", "--stdin", "{}", "cat", input="one\ntwo\n").stdout == "one's content\ntwo's content\n"
    told = sshjobs_cli("exec", "--env", "X=\\{} {1}", "--env", "Y=\\{}", 'echo "$X $Y"', ":::", "v")
    assert told.stdout == "{} v {}\n"


def test_variables_of_here_are_named_together_and_hold_no_placeholders(sshjobs_cli: SshjobsCli) -> None:
    told = sshjobs_cli("exec", "--env", "A1,B2", "echo $A1 $B2", ":::", "x", env={"A1": "{}", "B2": "\\{}"})
    assert told.stdout == "{} \\{} x\n"
    told = sshjobs_cli("exec", "--env", "A1,NOT_HERE", "echo", ":::", "x", env={"A1": "a"})
    assert told.stderr == "sshjobs: --env NOT_HERE: there is no such variable here; write --env NOT_HERE=VALUE\n"
    assert sshjobs_cli("exec", "--env", "NOT_HERE=VALUE", "echo $NOT_HERE", ":::", "x").stdout == "VALUE x\n"


@pytest.mark.parametrize(("words", "complaint"), [
    (["--cwd", "{}", "pwd", ":::", ""], "job 1: --cwd would be empty; take the empty value out"),
    (["--cwd", "{%}", "pwd", ":::", "a"],
     "{%} is known on the host only, so no option can hold it; the job has it as $SSHJOBS_SLOT"),
    (["--env", "X={2}", "pwd", ":::", "a"],
     "{2} asks for value 2, and a job has 1 value; add a source, or write \\{2} for the text itself"),
])
def test_what_an_option_cannot_hold_is_told(words: list[str], complaint: str, tmp_path: Path,
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told = call_here("exec", *words)
    assert (told.returncode, told.stderr) == (2, f"sshjobs: {complaint}\n")


# -- standard input ---------------------------------------------------------------------------------------------------


def test_each_host_is_given_what_comes_in(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    (tmp_path / "hosts.txt").write_text("localhost\n")
    told = sshjobs_cli("exec", "--per-host", "--no-tag", "bash", "-s", "arg", input='echo "from the script: $1"\n')
    assert (told.returncode, told.stdout) == (0, "from the script: arg\n")
    # It belongs to the run, so that a further attempt has it too.
    assert (tmp_path / "results" / "exec-1" / "stdin").read_text() == 'echo "from the script: $1"\n'


def test_every_job_is_given_what_comes_in_where_that_is_said(sshjobs_cli: SshjobsCli) -> None:
    told = sshjobs_cli("exec", "-k", "--stdin", "-", "echo {}; cat", ":::", "a", "b", input="same\n")
    assert (told.returncode, told.stdout) == (0, "a\nsame\nb\nsame\n")


def test_what_comes_in_and_nothing_reads_is_refused(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    told = sshjobs_cli("exec", "cat", ":::", "a", input="for whom?\n")
    assert told.returncode == 2 and told.stdout == ""
    assert told.stderr == ("sshjobs: nothing reads standard input, and there is something in it; "
                           "--stdin - gives it to each job, < /dev/null leaves it out\n")
    assert not (tmp_path / "results").exists()
    assert sshjobs_cli("exec", "cat; echo", ":::", "a").stdout == "a\n"
    assert sshjobs_cli("exec", "--stdin", "-", "cat; : {}", ":::", "a", input="for whom?\n").stdout == "for whom?\n"


@pytest.mark.parametrize("words", [["--stdin", "-", "echo", "{}"], ["--stdin", "-", "echo", "::::", "-"]])
def test_standard_input_is_one_thing_only(words: list[str], sshjobs_cli: SshjobsCli) -> None:
    told = sshjobs_cli("exec", *words, input="a\n")
    assert told.returncode == 2
    assert told.stderr.startswith("sshjobs: standard input cannot be both the values and the input of the jobs; ")


# -- tables -----------------------------------------------------------------------------------------------------------


def test_columns_may_be_called_by_their_names(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('reps,file name\n3,"a, b.txt"\n5,"say ""hi"""\n')
    told = sshjobs_cli("exec", "-k", "--csv", "--header", ":", "printf '<%s>' {reps} {file name} {2.}; echo", "::::",
                       "t.csv")
    assert told.stdout == '<3><a, b.txt><a, b>\n<5><say "hi"><say "hi">\n'
    told = sshjobs_cli("exec", "-k", "--colsep", ",", "--header", ":", "echo", "--reps", "{reps}", "::::", "t.csv")
    assert told.stdout == "--reps 3\n--reps 5\n"
    told = sshjobs_cli("exec", "-k", "--header", ":", "echo {x}-{y}", ":::", "x", "1", "2", ":::", "y", "a")
    assert told.stdout == "1-a\n2-a\n"


@tries("to leave it out and write {{}}: --header :")
def test_a_row_that_looks_like_names_is_told(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("reps,seed\n3,1\n")
    told = sshjobs_cli("exec", "-k", "--colsep", ",", "echo {1}", "::::", "t.csv")
    assert told.stdout == "reps\n3\n"
    assert "t.csv: the first row looks like the names of its columns, and is run like the others; to leave it out " \
        "and write {reps}: --header :" in told.stderr
    told = sshjobs_cli("exec", "-k", "--colsep", ",", "--header", ":", "echo {reps}", "::::", "t.csv")
    assert (told.stdout, told.stderr) == ("3\n", "")


@pytest.mark.parametrize(("words", "complaint"), [
    (["--colsep", ",", "echo {2}", "::::", "short.csv"],
     "short.csv: row 2 has 1 column, and {2} asks for column 2; complete the row, or see how --colsep splits it"),
    (["--csv", "echo {2}", "::::", "short.csv"],
     "short.csv: row 2 has 1 column, and {2} asks for column 2; complete the row, or see how --colsep splits it"),
    (["--csv", "echo", "::::", "broken.csv"],
     'broken.csv: line 1 is no CSV: \',\' expected after \'"\'; a column with " in it is written "…""…"'),
    (["--csv", "--colsep", ", ", "echo", "::::", "short.csv"],
     "with --csv columns are separated by one character, not by ', '; write --csv --colsep ';', or leave one out"),
    (["--header", "x", "echo", ":::", "a"], "--header takes : and nothing else, not 'x'; write --header :"),
    (["--header", ":", "--csv", "echo", "::::", "twice.csv"],
     "twice.csv: two columns are called 'a'; rename one, or leave out --header"),
])
def test_a_mistake_in_a_table_is_told_with_its_place(words: list[str], complaint: str, tmp_path: Path,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "short.csv").write_text("a,1\nb\n")
    (tmp_path / "broken.csv").write_text('"a"b,1\n')
    (tmp_path / "twice.csv").write_text("a,a\n1,2\n")
    told = call_here("exec", *words)
    assert (told.returncode, told.stdout, told.stderr) == (2, "", f"sshjobs: {complaint}\n")
