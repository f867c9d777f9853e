"""``gjob remote`` over an ssh that runs what it is given on this machine: every verb, and all that may come instead of an answer."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from sshjobs.gjob.verbs import main as verbs
from sshjobs.gjob.verbs import ssh, sshoptions
from tests.gjob.client import alive, eventually

HERE = socket.gethostname().partition(".")[0]
SSH = """#!/bin/sh
case "$1" in -V) echo OpenSSH_9.6 >&2; exit 0;; esac
case "$*" in *-G*) exit 1;; esac
echo "$*" >> {log}
while [ "$1" != -- ]; do shift; done
case "$2" in
  down) echo 'ssh: no route' >&2; exit 255;;
  bare) echo 'welcome' ; echo 'sh: python3: not found' >&2; exit 127;;
  silent) exec sleep 0;;
esac
cd {home} && HOME={home} exec sh -c "$3"
"""


class Called:
    """Calls remote verbs in this process.

    :ivar log: of how ssh was called
    """

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
        self.home, self.log = tmp_path / "home", tmp_path / "log"
        self._patch, self._capfd = monkeypatch, capfd
        (tmp_path / "bin").mkdir()
        self.home.mkdir()
        (tmp_path / "bin/ssh").write_text(SSH.format(log=self.log, home=self.home))
        (tmp_path / "bin/ssh").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{Path(sys.executable).resolve().parent}:{os.environ['PATH']}")
        monkeypatch.setenv("GJOB_REMOTE_PATH", "~/r")
        monkeypatch.setattr(sshoptions, "_version", None)
        monkeypatch.chdir(tmp_path)

    def __call__(self, *words: str, input: str = "") -> tuple[int, str, str]:
        """Return exit status, output and errors of a verb."""
        self._patch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: False, buffer=io.BytesIO(input.encode())))
        self._capfd.readouterr()
        status = verbs.main(["remote", *words])
        said = self._capfd.readouterr()
        return status, said.out, said.err

    def good(self, *words: str, input: str = "") -> str:
        status, out, err = self(*words, input=input)
        assert (status, err) == (0, ""), (words, status, out, err)
        return out.strip()

    def over(self, name: str) -> str:
        """Wait for the end of a job and return its state."""
        eventually((self.home / "r" / name / ".done").exists, f"the end of {name}")
        return self.good("status", name).partition(" ")[2]


@pytest.fixture
def gjob(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Called]:
    called = Called(tmp_path, monkeypatch, capfd)
    yield called
    for pid in map(int, (path.read_text() for path in called.home.glob("r/*/*/.pid"))):
        if alive(pid):
            os.killpg(pid, signal.SIGKILL)


def test_a_script_runs_with_its_files_and_both_its_outputs_are_kept(gjob: Called, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"abc\n" * 100_000)
    (tmp_path / "in").chmod(0o640)
    (tmp_path / "d").mkdir(mode=0o750)
    (tmp_path / "d/tool").write_text("#!/bin/sh\necho tool\n")
    (tmp_path / "d/tool").chmod(0o755)
    name = gjob.good("start", HERE, "in", "d", input="wc -l < in; d/tool; echo err >&2; false; exit 7\n")
    assert re.fullmatch(r"[\w.-]+/\d{4}-\d\d-\d\d(-\d+)?", name)
    assert gjob.over(name) == "error"
    where = gjob.home / "r" / name
    assert (where / "log").read_text() == "100000\ntool\n" and (where / "err").read_text() == "err\n"
    assert (where / ".exit").read_text() == "7\n"
    assert [(where / path).stat().st_mode & 0o777 for path in ("in", "d", "d/tool")] == [0o640, 0o750, 0o755]


@pytest.mark.parametrize(("script", "status", "out", "err"), [
    ("echo out; echo err >&2", 0, "out\n", "err\n"), ("printf x; exit 3", 1, "x", ""), ("kill -9 $$", 1, "", "")])
def test_what_is_followed_is_passed_on_until_the_end(gjob: Called, script: str, status: int, out: str, err: str) -> None:
    found, said, errors = gjob("start", "-t", HERE, input=script)
    name, _, rest = said.partition("\n")
    assert (found, rest, errors) == (status, out, err)
    expected = {"exit 3": "3", "kill -9 $$": "137"}.get(script.rpartition("; ")[2], "0")
    assert (gjob.home / "r" / name / ".exit").read_text() == expected + "\n"


def test_a_job_is_stopped_let_go_on_and_killed(gjob: Called) -> None:
    name = gjob.good("start", HERE, input="exec sleep 600\n")
    assert gjob("is-paused", name)[:2] == (1, "no\n")
    assert gjob.good("pause", name) == ""
    assert gjob("is-paused", name)[:2] == (0, "yes\n")
    assert gjob.good("unpause", name) == "" and gjob("is-paused", name)[:2] == (1, "no\n")
    assert gjob.good("status", name) == f"{name} busy"
    assert gjob.good("kill", name) == "" and gjob.over(name) == "error"
    assert gjob.good("delete", name) == "" and (gjob.home / "r" / name / "DELETED").exists()
    status, out, err = gjob("unpause", name)
    assert status == 1 and err.startswith("gjob: ") and not out


def test_states_of_several_jobs_come_in_order_as_words_or_as_facts(gjob: Called) -> None:
    names = [gjob.good("start", HERE, input=script) for script in ("true", "exit 4")]
    assert [gjob.over(name) for name in names] == ["done", "error"]
    assert gjob.good("status", *names[::-1]).splitlines() == [f"{names[1]} error", f"{names[0]} done"]
    facts = [json.loads(line) for line in gjob.good("status", "--json", *names).splitlines()]
    assert [(one["state"], one["outcome"], one["exit_status"]) for one in facts] == [("done", "succeeded", 0), ("error", "failed", 4)]


def test_commands_are_run_in_the_directory_of_a_job_and_their_status_is_ours(gjob: Called) -> None:
    name = gjob.good("start", HERE, input="echo 1 > made\n")
    gjob.over(name)
    assert gjob("cmd", name, input="cat made; pwd; echo e >&2; exit 5")[:2] == (5, f"1\n{gjob.home / 'r' / name}\n")
    assert gjob("cmd", name, input="kill -9 $$")[0] == 137


@pytest.mark.parametrize(("host", "told"), [
    ("down", "down: ssh could not connect: ssh: no route"), ("bare", "bare: gjob did not come up there: sh: python3: not found"),
    ("silent", "silent: gjob did not come up there")])
def test_a_host_that_gives_no_answer_is_told_in_a_line(gjob: Called, host: str, told: str) -> None:
    status, out, err = gjob("start", host, input="true")
    assert (status, out) == (1, "") and told in err and err.count("\n") == 1 and err.startswith("gjob: ")


def test_ssh_is_called_with_what_keeps_the_stream_clean(gjob: Called) -> None:
    gjob.good("start", HERE, input="true")
    line = gjob.log.read_text()
    assert line.startswith("-T ") and " -o BatchMode=yes " in line and " -o SessionType=default " in line
    assert re.search(rf" -- {re.escape(HERE)} exec python3 -ISc \S", line)


def test_a_worker_of_a_cluster_file_is_never_its_first_host(gjob: Called, tmp_path: Path) -> None:
    (tmp_path / "cluster").write_text("boss\nw1\nboss\n")
    for _ in range(3):
        status, name, err = gjob("start", "-c", "cluster", input="true")
        assert status == 0 and err.endswith("add: --host w1\n"), err
    assert set(re.findall(r" -- (\S+) ", gjob.log.read_text())) == {"w1"}


class Noise:
    """A conversation that has ended without an answer."""

    def __init__(self, out: bytes, err: bytes, status: int, ready: bool = False):
        self.answers = {1: SimpleNamespace(noise=out, ready=ready), 2: SimpleNamespace(noise=err)}
        self.process = SimpleNamespace(returncode=status)


NONCE = b"0" * 32


@pytest.mark.parametrize(("talk", "told"), [
    (Noise(b"", b"", 1, ready=True), "h: the connection broke"), (Noise(b"x\nSSHJOBS-OLD " + NONCE + b" 2.7.18\n", b"", 3), "h: its python3 is 2.7.18"),
    (Noise(b"SSHJOBS-NOT-LINUX " + NONCE + b" Darwin\n", b"", 3), "h: it runs Darwin"), (Noise(b"last words\n\n", b"", 255), "ssh could not connect"),
    (Noise(b"only here\n", b" \n", 1), "did not come up there")])
def test_why_no_end_came_is_told_from_what_came_instead(talk: Noise, told: str) -> None:
    trouble = ssh._explain("h", talk)  # type: ignore[arg-type]
    assert told in str(trouble)


@pytest.mark.parametrize(("noise", "line"), [
    (b"", None), (b"\n \n", None), (b"a\nb\n\n", "b"), (b"x" * 300, "x" * 200)])
def test_the_last_line_that_says_anything_is_told(noise: bytes, line: str | None) -> None:
    find: Callable[[bytes], str | None] = ssh._last_line
    assert find(noise) == line
