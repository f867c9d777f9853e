"""Settings of the user: what counts before what, where each comes from, and every mistake with its line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.cli.here import call_here
from tests.cli.runs import edit
from tests.hints import tries


@pytest.fixture
def file(tmp_path: Path, clean_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place of the file, in a home of one's own; the present directory has a run."""
    for name in ("SSHJOBS_CONFIG", "SSHJOBS_PROFILE", "SSHJOBS_HOSTS", "SSHJOBS_RESULTS", "ACCESSIBLE"):
        # Also what the command itself sets is undone.
        monkeypatch.setenv(name, "x")
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    for results, name in (("results", "here"), ("elsewhere", "there")):
        with edit(Path(results), name, ["x"]) as made:
            made.done("x", b"1\n2\n3\n")
    path = tmp_path / "config" / "sshjobs" / "config.toml"
    path.parent.mkdir(parents=True)
    return path


EXAMPLE = """\
results = "elsewhere"

[commands.logs]
tail = 1
[commands."hosts check"]
slots = 3

[profiles.lab]
results = "~/lab"
accessible = true
[profiles.lab.commands.logs]
tail = 2
tag = true
[profiles."two words".commands.run]
output = "line"
continue = ["a", "b"]
verbose = 1
"""


def test_options_come_from_the_command_line_the_environment_the_profile_and_the_file(file: Path, clean_home: Path,
                                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    assert call_here("logs", "here", "x").stdout == "1\n2\n3\n"
    file.write_text(EXAMPLE)
    assert call_here("logs", "there", "x").stdout == "3\n"
    monkeypatch.delenv("SSHJOBS_RESULTS")
    assert call_here("logs", "--tail", "3", "there", "x").stdout == "1\n2\n3\n"
    monkeypatch.setenv("SSHJOBS_RESULTS", "results")
    assert call_here("logs", "here", "x").stdout == "3\n"
    assert call_here("--profile", "lab", "logs", "here", "x").stdout == "x | 2\nx | 3\n"
    monkeypatch.setenv("SSHJOBS_PROFILE", "lab")
    assert call_here("logs", "here", "x").stdout == "x | 2\nx | 3\n"
    monkeypatch.delenv("SSHJOBS_RESULTS")
    assert call_here("ls").stdout == f"there are no runs in {clean_home}/lab\n"
    assert os.environ["ACCESSIBLE"] == "1"


def test_config_says_where_each_value_comes_from(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call_here("config").stdout == f"{file} is not there\n"
    file.write_text('profile = "lab"\n' + EXAMPLE)
    monkeypatch.setenv("SSHJOBS_HOSTS", "h1,h2")
    assert call_here("config").stdout.splitlines() == [
        f"{file}; profiles: lab, two words", "profile lab holds", "hosts                h1,h2  (environment: SSHJOBS_HOSTS)",
        "results              ~/lab  (line 10, profile lab)", "accessible           true  (line 11, profile lab)",
        "logs --tail          2  (line 13, profile lab)", "hosts check --slots  3  (line 7)", "logs --tag           true  (line 14, profile lab)"]
    told = json.loads(call_here("--profile", "two words", "config", "--json").stdout)
    assert (told["profile"], told["profiles"], told["exists"]) == ("two words", ["lab", "two words"], True)
    assert {"name": "run --continue", "value": ["a", "b"], "from": "file", "file": str(file), "line": 17,
            "profile": "two words"} in told["settings"]


@tries("write it: [profiles.{}]", "write [profiles.NAME]", "write [commands.run]", "write [profiles.{}]", 'write [commands."{}"]', "did you mean {}?", "they are {}", "have one of your own")
@pytest.mark.parametrize(("text", "lines"), [
    ("hsots = 'x'", ["1:1: unknown key 'hsots'; did you mean hosts?"]),
    ("[profiles.a]\nresults = 3\n\n[profiles.b]\nzzz = 1", [
        "2:1: results must be a text", "5:1: unknown key 'zzz'; there are hosts, results, accessible, on_done, on_failure, on_host_lost, notify, notify_text, commands"]),
    ("accessible = 'yes'", ["1:1: accessible must be true or false"]),
    ("[commands.runn]\nx = 1", ["1:1: no command is called 'runn'; did you mean run?"]),
    ("commands.run = 3", ['1:1: options of a command must be a table; write [commands."run"]']),
    ("commands = 3", ["1:1: commands must be tables; write [commands.run]"]), ("profiles = 3", ["1:1: profiles must be tables; write [profiles.NAME]"]),
    ("[profiles]\na = 1", ["2:1: a profile must be a table; write [profiles.a]"]), ("profile = 3", ["1:1: profile must be a text: the name of one"]),
    ("profile = 'labb'\n[profiles.lab]", ["1:1: there is no profile 'labb'; did you mean lab?"]),
    ("\nx = ", ["2:1: is no TOML: Invalid value"]), ("a = 1\na = 2", ["2:1: is no TOML: Cannot overwrite a value"]),
    ("[commands.logs]\n# tial = 1\ntial = 1", ["3:1: logs has no option --tial; did you mean tail?"]),
    ("[commands.logs]\ntail = 'x'", ["2:1: 'x' is not a valid integer range."]), ("[commands.logs]\ntail = true", ["2:1: tail must be a text or a number"]),
    ("[commands.logs]\ntag = 1\n[profiles.p.commands.logs]\n'zzzzzz' = 1", ["2:1: tag must be true or false"]),
    ("[commands.logs]\nresults = ['a']", ["2:1: results must be a text or a number"]),
])
def test_a_mistake_is_told_with_its_line_and_nothing_is_done(file: Path, text: str, lines: list[str]) -> None:
    file.write_text(text)
    told = call_here("logs", "here", "x")
    assert (told.returncode, told.stdout) == (2, "")
    shown = told.stderr.replace("Invalid value for '-n' / '--tail': ", "").replace("Invalid value for '--tail': ", "")
    assert shown.splitlines() == [f"{file}:{line}" for line in lines]
    checked = call_here("config")
    assert checked.returncode == 2 and checked.stderr.startswith(told.stderr)
    assert call_here("version").returncode == 0, "what helps to mend it works"


def test_a_profile_that_is_not_there_is_told(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = call_here("--profile", "lab", "ls")
    assert (told.returncode, told.stderr) == (
        2, f"sshjobs: {file}: there is no profile 'lab': there is no such file; write it: [profiles.lab]\n")
    file.write_text("[profiles.labs]")
    assert call_here("--profile", "lab", "ls").stderr == f"{file}: there is no profile 'lab'; did you mean labs?\n"
    monkeypatch.setenv("SSHJOBS_PROFILE", "labs")
    assert call_here("ls").returncode == 0
    monkeypatch.setenv("SSHJOBS_CONFIG", str(file.parent / "zzz"))
    assert call_here("ls").stderr == f"{file.parent / 'zzz'}: cannot be read: No such file or directory\n"


def test_a_file_that_others_may_change_is_refused(file: Path) -> None:
    file.write_text("accessible = true")
    file.chmod(0o666)
    told = call_here("ls")
    assert told.returncode == 2 and told.stderr.endswith(f"see whether all in it is yours, then: chmod go-w {file}\n")


@pytest.mark.parametrize("data", [b"\xff", b"x = '\x1b[31m'", b"[" * 20000, b"x = " + b"[" * 20000, b"\x00" * 100, b"=" * 1000, b'""=1',
                                  b"a." * 30000 + b"b = 1", "[profiles.'\u202ex']\nz=1".encode(), b"\n" * 1000 + b"[profiles.a.commands]\nrun=1"])
def test_a_hostile_file_is_lines_and_never_a_traceback(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    told = call_here("ls")
    assert told.returncode == 2 and told.stdout == ""
    assert all(line.startswith(str(file)) and line.isprintable() for line in told.stderr.splitlines()), told.stderr
