"""Standard streams that are closed, full, or read by somebody who goes."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
from pathlib import Path

import pytest

from sshjobs.cli import streams
from tests.cli.runs import edit
from tests.conftest import SshjobsCli, cli_environment, sshjobs_argv
from tests.hints import tries
from tests.lab.waiting import wait_until

JOBFILE = "jobs: [{name: x, repeat: 3, commands: [echo hello]}]\n"
ON_PYTHON = {"PYTHONUNBUFFERED": "", "COLUMNS": "80"}


@pytest.fixture
def there(tmp_path: Path, clean_home: Path) -> Path:
    """A directory with a jobfile and a run whose one job is done."""
    (tmp_path / "jobs.yaml").write_text(JOBFILE)
    with edit(tmp_path / "results", "r", ["j"]) as store:
        store.done("j", b"out of j\n")
    return tmp_path


def shell(line: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a line of shell in which ``sshjobs`` is our command."""
    command = f'sshjobs() {{ {" ".join(sshjobs_argv([]))} "$@"; }}\n{line}'
    return subprocess.run(["bash", "-c", command], cwd=cwd, env={**os.environ, **cli_environment(), **ON_PYTHON, **env},
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)


COMMANDS = ["run jobs.yaml", "run jobs.yaml --json", "run jobs.yaml --dry-run", "run jobs.yaml --output line",
            "run jobs.yaml --detach", "exec 'echo {}' ::: 1 2", "status r", "status r --json", "logs r j", "attach r",
            "resume r", "retry r", "cancel r --all", "ls", "verify r", "gc --dry-run", "rm r --yes", "version", "--help", "no-such"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_closed_stream_changes_nothing_but_what_is_seen(there: Path, command: str) -> None:
    codes = {closed: shell(f"sshjobs {command} {closed}", there) for closed in ("", "<&-", ">&-", "2>&-", "<&- >&- 2>&-")
             if closed in ("", "<&- >&- 2>&-") or command in COMMANDS[:1]}
    usual = codes.pop("")
    for closed, told in codes.items():
        if "rm " not in command:
            assert told.returncode == usual.returncode, (closed, told)
        assert "Traceback" not in told.stdout + told.stderr, (closed, told)
        if " >&-" in f" {closed}":
            assert told.stdout == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has it")
@pytest.mark.parametrize("command", ["run jobs.yaml", "run jobs.yaml --json", "run jobs.yaml --output line",
                                     "run jobs.yaml --dry-run", "exec 'seq 1 {}' ::: 20000", "exec 'seq 1 {}' ::: 3 20 100",
                                     "status r", "status r --json", "logs r j", "ls", "ls --json", "verify r", "version", "--help"])
def test_output_that_cannot_be_written_is_told_in_a_line_and_the_exit_code_is_not_0(there: Path, command: str) -> None:
    told = shell(f"sshjobs {command} > /dev/full", there)
    assert told.returncode == 1, told
    assert len(told.stderr.splitlines()) == 1 and "No space left on device" in told.stderr, told


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(("jobfile", "code"), [(JOBFILE, 0), (JOBFILE.replace("echo hello", "exit 3"), 1)])
def test_a_run_whose_reader_goes_ends_with_its_own_code(there: Path, jobfile: str, code: int, unbuffered: str) -> None:
    (there / "jobs.yaml").write_text(jobfile)
    told = shell("{ sshjobs run jobs.yaml --slots 1; echo $? >&2; } | head -n 1", there, PYTHONUNBUFFERED=unbuffered)
    assert told.stderr.splitlines() == [str(code)]


def test_a_run_whose_terminal_is_closed_ends_with_its_own_code(there: Path) -> None:
    master, slave = pty.openpty()
    (there / "jobs.yaml").write_text(JOBFILE.replace("echo hello", "until test -e ../../go; do sleep 0.05; done"
                                                     .replace("../..", str(there))))
    process = subprocess.Popen(sshjobs_argv(["run", "jobs.yaml"]), cwd=there, stdin=subprocess.DEVNULL, stdout=slave,
                               stderr=slave, start_new_session=True,
                               env={**os.environ, **cli_environment(), **ON_PYTHON, "TERM": "dumb"})
    os.close(slave)
    assert b"run" in os.read(master, 1000)
    os.close(master)
    (there / "go").touch()
    assert process.wait(60) == 0


@tries("see: sshjobs logs {} JOB")
def test_what_stands_in_the_way_of_printing_one_output_is_told_and_counts(there: Path, sshjobs_cli: SshjobsCli) -> None:
    spoil = ("import pathlib, sys, sshjobs.views.output as output\n"
             "real = output.Printer.print_whole\n"
             "def spoilt(self, name):\n"
             "    if name == 'x-2': raise OSError(5, 'Input/output error', 'x-2')\n"
             "    real(self, name)\n"
             "output.Printer.print_whole = spoilt\n"
             "from sshjobs.cli import main\n"
             "sys.exit(main(['run', 'jobs.yaml', '--output', 'grouped']))\n")
    told = subprocess.run([sys.executable, "-c", spoil], cwd=there, env={**os.environ, **cli_environment()}, text=True,
                          capture_output=True, timeout=60, check=False, stdin=subprocess.DEVNULL)
    assert (told.returncode, told.stdout) == (1, "hello\nhello\n")
    assert told.stderr == "sshjobs: x-2: an output cannot be printed: Input/output error; see: sshjobs logs results/jobs-1 JOB\n"
    assert sshjobs_cli("logs", "results/jobs-1", "x-2").stdout == "hello\n"


def test_what_an_interrupted_write_has_written_is_not_written_again():
    reading, writing = os.pipe()
    room, text = os.fpathconf(writing, "PC_PIPE_BUF"), "".join(f"{number:07}\n" for number in range(1000))
    full = fcntl.fcntl(writing, fcntl.F_GETPIPE_SZ)
    os.write(writing, bytes(full - room))
    stream = io.TextIOWrapper(io.BufferedWriter(streams._Raw(writing, lambda error: None), 1 << 14), "ascii", write_through=False)

    def interrupt() -> None:
        wait_until(lambda: struct.unpack("i", fcntl.ioctl(reading, termios.FIONREAD, bytes(4)))[0] == full, 30, "a full pipe")
        os.kill(os.getpid(), signal.SIGINT)

    interrupter = threading.Thread(target=interrupt)
    stream.write(text)
    interrupter.start()
    with pytest.raises(KeyboardInterrupt):
        stream.flush()
    interrupter.join()
    seen = bytearray()
    reader = threading.Thread(target=lambda: seen.extend(b"".join(iter(lambda: os.read(reading, 1 << 16), b""))))
    reader.start()
    stream.write("the end")
    stream.flush()
    os.close(writing)
    reader.join(30)
    os.close(reading)
    assert seen[full - room:].decode() == text + "the end"


def test_after_an_interrupted_write_other_bytes_are_written():
    reading, writing = os.pipe()
    raw = streams._Raw(writing, lambda error: None)
    raw._untold = b"abc"
    assert raw.write(b"abd") == 3
    raw._untold = b"abc"
    assert raw.write(b"abcd") == 3 and raw.write(b"d") == 1
    assert os.read(reading, 100) == b"abdd"
    os.close(reading)
    os.close(writing)
