"""Hints about programs that cannot be started: what they say is done, and the job runs."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sshjobs.model.spec import JobSpec
from sshjobs.running.run import Run
from tests.hints import matches


class Row(NamedTuple):
    """A hint, a job that leads to it, and the job that does as it says."""

    hint: str
    wrong: dict[str, Any]
    right: dict[str, Any]


ROWS = [
    Row("that is a word of the shell: write the whole line as one text (commands; for exec, in quotes)",
        {"argv": ["ulimit", "-n"]}, {"cmds": "ulimit -n"}),
    Row("that is a line, not one word: write it as commands, or each word of it by itself",
        {"argv": ["echo a b"]}, {"argv": ["echo", "a", "b"]}),
    Row("only a shell sets variables so: write env, or the whole line as one text",
        {"argv": ["A=1", "env"]}, {"argv": ["env"], "env": {"A": "1"}}),
    Row("variables are not expanded in argv: write commands, a line of shell",
        {"argv": ["$SHELL"]}, {"cmds": "$SHELL -c true"}),
    Row("~ is not expanded in argv: write the whole path, or use commands",
        {"argv": ["~/program"]}, {"cmds": "~/program"}),
    Row("PATH is {}", {"argv": ["program"]}, {"cmds": "PATH=~:$PATH; program"}),
    Row("it lies in the working directory: write ./{}",
        {"argv": ["here.sh"], "files": ["here.sh"]}, {"argv": ["./here.sh"], "files": ["here.sh"]}),
    Row("a job runs in a directory of its own: send the file too (files, --send)",
        {"argv": ["./here.sh"]}, {"argv": ["./here.sh"], "files": ["here.sh"]}),
    Row("chmod +x it, or run it as: {} {}",
        {"argv": ["./plain.sh"], "files": ["plain.sh"]}, {"argv": ["/bin/sh", "./plain.sh"], "files": ["plain.sh"]}),
    Row("correct it, or install that",
        {"argv": ["./venv.sh"], "files": ["venv.sh"]}, {"argv": ["./here.sh"], "files": ["here.sh"]}),
    Row("write the whole path there, or #!/usr/bin/env {}",
        {"argv": ["./short.sh"], "files": ["short.sh"]}, {"argv": ["./env.sh"], "files": ["env.sh"]}),
    Row("take them out: sed -i 's/\\r$//' {}",
        {"argv": ["./win.sh"], "files": ["win.sh"]}, {"argv": ["./mended.sh"], "files": ["mended.sh"]}),
    Row("variables are not expanded in cwd: write ~ or the whole path",
        {"cmds": "pwd", "cwd": "$HOME"}, {"cmds": "pwd", "cwd": "~"}),
    Row("a relative cwd is within the job's own directory: write the whole path",
        {"cmds": "pwd", "cwd": "absent"}, {"cmds": "pwd", "cwd": "/tmp"}),
]


def script(name: str, text: str, mode: int = 0o755) -> None:
    Path(name).write_text(text)
    Path(name).chmod(mode)


def test_a_job_that_does_as_it_was_told_runs(tmp_path: Path, clean_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    script("here.sh", "#!/bin/sh\necho ran\n")
    script("plain.sh", "#!/bin/sh\necho ran\n", 0o644)
    script("venv.sh", "#!/nowhere/python\n")
    script("short.sh", "#!sh\necho ran\n")
    script("env.sh", "#!/usr/bin/env sh\necho ran\n")
    script("win.sh", "#!/bin/sh\r\necho ran\r\n")
    script(str(clean_home / "program"), "#!/bin/sh\necho ran\n")
    wrong = Run.start([JobSpec(name=f"job-{n}", base_dir=tmp_path, **row.wrong) for n, row in enumerate(ROWS)], name="wrong")
    assert wrong.wait(60) == 1
    for job, row in zip(wrong.jobs, ROWS, strict=True):
        assert matches(row.hint, str(job.reason)) and len(job.attempts) == 1, (row, job.reason)
    # As it stands in the reason.
    (line,) = [str(job.reason).partition("take them out: ")[2] for job in wrong.jobs if "Windows line ends" in str(job.reason)]
    subprocess.run(line, shell=True, check=True)
    Path("win.sh").rename("mended.sh")
    right = Run.start([JobSpec(name=f"job-{n}", base_dir=tmp_path, **row.right) for n, row in enumerate(ROWS)], name="right")
    assert right.wait(60) == 0, [(job.name, job.reason) for job in right.jobs]
