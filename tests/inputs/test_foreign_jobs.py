"""What people bring who know other tools: each key and file of theirs is told with what to write, and that works."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from sshjobs.errors import MAX_LINE, InputError, SshjobsError
from sshjobs.inputs.foreignjobs import FOREIGN_KEYS
from sshjobs.inputs.jobfile import load_jobfile
from sshjobs.inputs.jobmodel import JobEntry, Jobfile
from tests.cli.here import call_here
from tests.conftest import SshjobsCli, cli_environment, sshjobs_argv
from tests.hints import tries


def said(text: str) -> list[str]:
    """Return what is told about a jobfile."""
    with pytest.raises(InputError) as caught:
        load_jobfile("jobs.yaml", text.encode())
    return str(caught.value).split("\n")


@pytest.mark.parametrize("key", sorted(FOREIGN_KEYS))
def test_a_key_of_another_tool_is_told_with_ours(key: str) -> None:
    assert key not in JobEntry.model_fields and key not in Jobfile.model_fields
    way = FOREIGN_KEYS[key]
    assert said(f"jobs:\n- commands: a\n  {key}: x\n") == [f"jobs.yaml:3:3: unknown key '{key}'; {way}"]
    assert said(f"jobs:\n- commands: a\n  {key.upper()}: x\n") == [f"jobs.yaml:3:3: unknown key '{key.upper()}'; {way}"]


#: A job that does what each advice says.
ADVISED = {
    "write commands": "commands: echo", "write argv": "argv: [echo, x]", "write env": "commands: a\n  env: {A: b}",
    "write gpus": "commands: a\n  gpus: 1", "write cwd": "commands: a\n  cwd: /tmp", "write hosts": "commands: a\n  hosts: [gpu]",
    "write timeout": "commands: a\n  timeout: 2h30m", "write retries": "commands: a\n  retries: 3",
    "write memory": "commands: a\n  memory: 4G", "write cpus": "commands: a\n  cpus: 2",
    "write files": "commands: a\n  files: [jobs.yaml]", "write name": "commands: a\n  name: x",
    "write after": "commands: a\n  name: x\n- commands: b\n  after: [x]",
    "write max_parallel": "commands: a\n  max_parallel: 2", "write priority": "commands: a\n  priority: 7\n  nice: 3",
    "write strict": "commands: a\n  strict: false", "write a comment": "commands: a  # why",
    "write it into commands": "commands: module load x\n  login: true",
    "write outputs": "commands: a\n  outputs: [model.bin, logs/]", "write wrap": "commands: a\n  wrap: [apptainer, exec, IMAGE]",
    "write repeat: N, or matrix": "commands: a ${{ lr }}\n  matrix: {lr: [0.1, 1]}\n  repeat: 3",
}


def test_what_each_advice_names_is_a_key_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("jobs.yaml").touch()
    for way in sorted(set(FOREIGN_KEYS.values())):
        for advice, job in ADVISED.items():
            if way.startswith(advice):
                assert load_jobfile("jobs.yaml", f"jobs:\n- {job}\n".encode())
                break
        else:
            # These point elsewhere than into the job.
            assert way.startswith(("jobs do not wait", "a host's line",
                                   "what a job prints", "the hosts file says", "jobs start in",
                                   "a jobfile has defaults")), way


@pytest.mark.parametrize(("text", "expected"), [
    ("jobs:\n  first:\n    commands: a\n  second:\n    commands: b\n",
     "jobs.yaml:2:3: no jobs: got a mapping; write each as an item of a list: - name: first"),
    ("jobs:\n- commands: a\n  repeat: '3'\n",
     "jobs.yaml:3:11: repeat must be a whole number, got the text '3'; write it without quotes"),
    ("jobs:\n- commands: a\n  once: 'true'\n",
     "jobs.yaml:3:9: once must be true or false, got the text 'true'; write it without quotes"),
])
def test_a_small_slip_is_told_with_the_way(text: str, expected: str) -> None:
    assert said(text) == [expected]


@pytest.mark.parametrize(("path", "words"), [
    ("*.txt", "patterns are not expanded: name each file, or the directory that they are in"),
    ("$HOME/x", "variables are not expanded: write the whole path"),
    ("~/x", "~ is not expanded: write the whole path"),
])
def test_what_a_shell_would_have_expanded_is_told(path: str, words: str) -> None:
    (line,) = said(f"jobs:\n- commands: a\n  files: ['{path}']\n")
    assert line.endswith(f"files: '{path}' cannot be read: No such file or directory; {words}")


# -- files that are no jobfiles ---------------------------------------------------------------------------------------


@tries("run each line as a job: sshjobs exec bash -c {} < {}", "run it as a job: sshjobs exec --send {} bash {}",
       "run it as a job: sshjobs exec --send {} {} {}",
       "run a command for each row: sshjobs exec --csv --header : COMMAND {{}} :::: {}")
@pytest.mark.parametrize(("name", "text", "words", "printed"), [
    ("list", "echo one\necho two | cat\n", "this is a list of commands, no jobfile; run each line as a job: "
                                         "sshjobs exec bash -c {} < list", "one\ntwo\n"),
    ("list.txt", "# mine\n\necho 'a: b' one\n[ 1 = 1 ] && echo two\n",
     "this is a list of commands, no jobfile; run each line as a job: sshjobs exec bash -c {} < list.txt", "a: b one\ntwo\n"),
    ("t.csv", "reps,seed\n3,1\n5,2\n", "this is a table, no jobfile; run a command for each row: "
                                       "sshjobs exec --csv --header : COMMAND {reps} :::: t.csv", "3\n5\n"),
    ("job.sh", "#!/bin/bash\n#SBATCH --ntasks=1\n#SBATCH --time=1:00\necho batch\n",
     "this is a batch script for Slurm, no jobfile; run it as a job: sshjobs exec --send job.sh bash job.sh", "batch\n"),
    ("job.pbs", "#PBS -l nodes=1\necho batch\n",
     "this is a batch script for PBS, no jobfile; run it as a job: sshjobs exec --send job.pbs bash job.pbs", "batch\n"),
    ("s.sh", "#!/bin/bash\nset -e\necho it ran\n",
     "this is a script, no jobfile; run it as a job: sshjobs exec --send s.sh bash s.sh", "it ran\n"),
    ("s.py", "#!/usr/bin/env python3\nprint('it ran')\n",
     "this is a script, no jobfile; run it as a job: sshjobs exec --send s.py python3 s.py", "it ran\n"),
])
def test_a_file_that_is_no_jobfile_is_told_in_one_line_and_its_command_works(
        name: str, text: str, words: str, printed: str, sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    told = sshjobs_cli("run", name)
    assert (told.returncode, told.stdout, told.stderr) == (2, "", f"{name}:1:1: {words}\n")
    command = re.split(r": (?=sshjobs )", words)[1].replace("COMMAND", "echo")
    told = subprocess.run(["sh", "-c", shell_line(command)], cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, env={**os.environ, **cli_environment()}, timeout=60, check=False)
    assert "".join(sorted(told.stdout.splitlines(keepends=True))) == printed, told.stderr


def shell_line(command: str) -> str:
    """Return a line of ours for a shell in which no ``sshjobs`` is installed."""
    return shlex.join(sshjobs_argv([])) + command.removeprefix("sshjobs")


@pytest.mark.parametrize("text", ["a", "5", "- commands: a", "{}", "jobs: [", "x: [\n", "jobs:\n\t- a", "# only\n"])
def test_what_may_be_a_jobfile_is_told_as_one(text: str) -> None:
    assert not any("no jobfile" in line for line in said(text))


# -- length -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [
    "jobs: *" + "a" * 2**20, "jobs:\n- commands: a\n  " + "k" * 2**20 + ": 1\n", "jobs:\n- name: " + "n" * 2**20 + "\n  commands: a\n",
    "jobs:\n- commands: a\n  files: [" + "f" * 2**20 + "]\n", "jobs:\n- commands: a\n  hosts: " + "h" * 2**20 + "\n",
    "%" + "d" * 2**20, "!" + "t" * 2**20 + " x",
], ids=lambda text: text[:12])
def test_no_message_is_longer_than_a_line(text: str) -> None:
    assert all(len(line) <= MAX_LINE for line in said(text))


def test_a_long_message_keeps_its_beginning_and_what_to_do() -> None:
    text = str(SshjobsError("it went wrong", where="x" * 5000, hint="mend it"))
    assert len(text) <= MAX_LINE and text.startswith("xxx") and text.endswith("it went wrong; mend it")
    told = call_here("exec", "--" + "o" * 100_000, "x")
    assert told.returncode == 2 and len(told.stderr) < 2 * MAX_LINE
