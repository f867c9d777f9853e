"""``gjob remote`` over real sshd, the command as one file: every verb, odd names, odd hosts."""

from __future__ import annotations

import json
import os
import pty
import secrets
import select
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sshjobs.gjob import ship
from sshjobs.gjob.verbs import main as verbs
from sshjobs.gjob.verbs import remote, ssh
from sshjobs.gjob.verbs.remote import choose_worker
from sshjobs.gjob.verbs.say import Trouble
from sshjobs.network import payload
from tests.gjob.client import eventually
from tests.gjob.command import Gjob, refused, write_command
from tests.hints import tries
from tests.lab import BaseLab, LabHost

#: The results directory on the hosts: its name must survive every shell on the way.
RESULTS = "it's a \"$HOME\" `id`;* d\u00e9j\u00e0"


class RemoteGjob(Gjob):
    """Runs remote verbs against the lab."""

    def __init__(self, program: Path, where: Path, lab: BaseLab):
        super().__init__(program, where)
        self.lab = lab
        self.ssh = ["-F", str(lab.ssh_config)]

    def remote(self, verb: str, *words: str | bytes, input: str | None = None) -> subprocess.CompletedProcess[str]:
        return self.run("remote", verb, *self.ssh, *words, input=input, env={"GJOB_REMOTE_PATH": RESULTS})

    def good(self, verb: str, *words: str | bytes, input: str | None = None) -> str:
        done = self.remote(verb, *words, input=input)
        assert (done.returncode, done.stderr) == (0, ""), (verb, words, done)
        return done.stdout

    def begin(self, host: LabHost, script: str, *files: str | bytes) -> str:
        """Start a job and return its id."""
        name = self.good("start", host.name, *files, input=script).strip()
        return name

    def stands(self, name: str) -> str:
        return self.good("status", name).rpartition(" ")[2].strip()

    def ended(self, name: str) -> str:
        """Wait until a job has written down its end, and return its state."""
        done = self.job_dir(self.lab.host(name.partition("/")[0]), name) / ".done"
        eventually(done.exists, f"the end of {name}")
        return self.stands(name)

    def job_dir(self, host: LabHost, name: str) -> Path:
        return host.home / RESULTS / name

    def close(self) -> None:
        for host in self.lab.hosts:
            for record in (host.home / RESULTS).glob("*/*/.gjob"):
                if not {".done", "DELETED"} & set(os.listdir(record.parent)):
                    name = f"{record.parent.parent.name}/{record.parent.name}"
                    self.remote("kill", "--host", host.name, name, "-9")
            shutil.rmtree(host.home / RESULTS, ignore_errors=True)


@pytest.fixture
def gjob(lab: BaseLab, tmp_path: Path) -> Iterator[RemoteGjob]:
    made = RemoteGjob(write_command(tmp_path / "gjob"), tmp_path, lab)
    yield made
    made.close()


# -- every verb ------------------------------------------------------------------------------------------------------

def test_a_job_is_started_with_its_files_and_ends_with_its_exit_status(gjob: RemoteGjob, lab_host: LabHost) -> None:
    odd = b"a 'b' \"c\" $d\n\xff"
    (gjob.where / "tree/sub").mkdir(parents=True)
    (gjob.where / "tree/sub/run.sh").write_text("echo from the tree\n")
    (gjob.where / "tree/sub/run.sh").chmod(0o750)
    data = secrets.token_bytes(3_000_000)
    with open(os.fsencode(gjob.where) + b"/" + odd, "wb") as file:
        file.write(data)
    name = gjob.begin(lab_host, "sh tree/sub/run.sh; echo careful >&2; false; exit 3", odd, "tree")
    assert name.startswith(f"{lab_host.name}/{time.strftime('%Y-')}")
    assert gjob.ended(name) == "error"
    told = json.loads(gjob.good("status", "--json", name))
    assert (told["id"], told["outcome"], told["exit_status"]) == (name, "failed", 3)
    where = gjob.job_dir(lab_host, name)
    assert [(where / kind).read_text() for kind in ("log", "err", ".exit")] == ["from the tree\n", "careful\n", "3\n"]
    assert (where / "tree/sub/run.sh").stat().st_mode & 0o777 == 0o750
    with open(os.fsencode(where) + b"/" + odd, "rb") as file:
        assert file.read() == data


def test_states_come_in_the_order_asked_whatever_host_they_are_on(gjob: RemoteGjob) -> None:
    one, two = gjob.lab.hosts[:2]
    good, bad, busy = gjob.begin(one, "true"), gjob.begin(two, "exit 3"), gjob.begin(two, "sleep 600")
    gjob.ended(good), gjob.ended(bad)
    asked = [bad, good, busy, f"{one.name}/2001-01-01-7", good]
    printed = gjob.good("status", *asked).splitlines()
    states = ["error", "done", "busy", "unknown", "done"]
    assert printed == [f"{name} {state}" for name, state in zip(asked, states, strict=True)]


def test_a_host_that_cannot_be_reached_is_unknown_and_said(gjob: RemoteGjob, lab_host: LabHost) -> None:
    good = gjob.begin(lab_host, "true")
    gjob.ended(good)
    done = gjob.remote("status", "nowhere.invalid/2001-01-01", good)
    assert (done.returncode, done.stdout) == (1, f"nowhere.invalid/2001-01-01 unknown\n{good} done\n")
    assert done.stderr.startswith("gjob: nowhere.invalid: ssh could not connect: ") and done.stderr.count("\n") == 1


def test_kill_ends_the_whole_tree_on_the_host(gjob: RemoteGjob, lab_host: LabHost) -> None:
    mark = secrets.token_hex(8)
    name = gjob.begin(lab_host, f"export TAG={mark}; setsid sh -c 'setsid sleep 600 & sleep 600' & sleep 600")
    eventually(lambda: len(lab_host.pids_with(f"TAG={mark}")) >= 3, "the tree")
    assert gjob.good("kill", name) == ""
    assert lab_host.pids_with(f"TAG={mark}") == []
    assert gjob.stands(name) == "error"
    other = gjob.begin(lab_host, "sleep 600")
    gjob.good("kill", other, "-9")
    assert json.loads(gjob.good("status", "--json", other))["signal"] == signal.SIGKILL


def test_pause_unpause_and_is_paused(gjob: RemoteGjob, lab_host: LabHost) -> None:
    name = gjob.begin(lab_host, "until [ -e go ]; do sleep 0.01; done")
    gjob.good("pause", name)
    assert gjob.good("is-paused", name) == "yes\n"
    (gjob.job_dir(lab_host, name) / "go").touch()
    assert gjob.stands(name) == "busy"
    gjob.good("unpause", name)
    assert gjob.ended(name) == "done"
    told = gjob.remote("is-paused", name)
    assert (told.returncode, told.stdout, told.stderr) == (1, "no\n", "")


def test_delete_empties_the_directory_and_keeps_the_end(gjob: RemoteGjob, lab_host: LabHost) -> None:
    name = gjob.begin(lab_host, "exit 4")
    gjob.ended(name)
    gjob.good("delete", name)
    assert sorted(os.listdir(gjob.job_dir(lab_host, name))) == [".gjob", "DELETED"]
    assert gjob.stands(name) == "error"


def test_cmd_runs_in_the_jobs_directory_and_returns_its_status(gjob: RemoteGjob, lab_host: LabHost) -> None:
    name = gjob.begin(lab_host, "echo hello > made")
    gjob.ended(name)
    assert gjob.good("cmd", name, input="pwd; cat made\n") == f"/home/lab/{RESULTS}/{name}\nhello\n"
    for status in (3, 255):
        done = gjob.remote("cmd", name, input=f"echo so far; echo but >&2; exit {status}")
        assert (done.returncode, done.stdout, done.stderr) == (status, "so far\n", "but\n")
    assert gjob.remote("cmd", name, input="kill -9 $$").returncode == 128 + signal.SIGKILL


def test_cmd_passes_every_byte(gjob: RemoteGjob, lab_host: LabHost) -> None:
    name = gjob.begin(lab_host, "head -c 2000000 /dev/urandom > data")
    gjob.ended(name)
    done = subprocess.run([str(gjob.program), "remote", "cmd", "-r", RESULTS, *gjob.ssh, name], input=b"cat data",
                          capture_output=True, timeout=30)
    assert done.stdout == (gjob.job_dir(lab_host, name) / "data").read_bytes()


def test_cmd_ends_with_the_user_who_waits_for_it(gjob: RemoteGjob, lab_host: LabHost) -> None:
    name, mark = gjob.begin(lab_host, "true"), secrets.token_hex(8)
    waiting = subprocess.Popen([str(gjob.program), "remote", "cmd", "-r", RESULTS, *gjob.ssh, name],
                               stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               start_new_session=True)
    assert waiting.stdin is not None
    waiting.stdin.write(f"TAG={mark} sleep 600".encode())
    waiting.stdin.close()
    eventually(lambda: lab_host.pids_with(f"TAG={mark}"), "the command on the host")
    os.killpg(waiting.pid, signal.SIGKILL)
    waiting.wait(20)
    eventually(lambda: not lab_host.pids_with(f"TAG={mark}"), "the end of the command")


def test_cmd_i_is_a_shell_in_the_jobs_directory(gjob: RemoteGjob, lab_host: LabHost) -> None:
    name = gjob.begin(lab_host, "touch made")
    gjob.ended(name)
    ours, theirs = pty.openpty()
    shell = subprocess.Popen([str(gjob.program), "remote", "cmd", "-i", "-r", RESULTS, *gjob.ssh, name],
                             stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    os.write(ours, b"echo is $((6*7)) $(ls); test -t 0 && exit 5\n")
    seen = b""

    def read() -> bool:
        nonlocal seen
        while select.select([ours], [], [], 0)[0]:
            try:
                seen += os.read(ours, 4096)
            except OSError:
                return True
        return shell.poll() is not None

    eventually(read, "the shell's end")
    assert shell.wait(20) == 5
    eventually(read, "all that it wrote")
    os.close(ours)
    assert b"is 42 err log made" in seen, seen


def test_cmd_i_without_a_terminal_is_refused(gjob: RemoteGjob) -> None:
    assert "-i needs a terminal" in refused(gjob.remote("cmd", "-i", "node01/2001-01-01"), 2)


# -- start -----------------------------------------------------------------------------------------------------------

def test_start_t_shows_what_the_job_writes_until_it_is_over(gjob: RemoteGjob, lab_host: LabHost) -> None:
    script = "echo one; printf 'a\\0b'; echo odd >&2; until [ -e go ]; do sleep 0.01; done; printf 'last'"
    following = subprocess.Popen([str(gjob.program), "remote", "start", "-t", "-r", RESULTS, *gjob.ssh, lab_host.name],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
    assert following.stdin is not None and following.stdout is not None
    following.stdin.write(script.encode())
    following.stdin.close()
    following.stdin = None
    name = following.stdout.readline().decode().strip()
    assert following.stdout.readline() == b"one\n"
    (gjob.job_dir(lab_host, name) / "go").touch()
    out, err = following.communicate(timeout=20)
    assert (out, err, following.returncode) == (b"a\0blast", b"odd\n", 0)
    failing = gjob.remote("start", "-t", lab_host.name, input="exit 3")
    assert (failing.returncode, failing.stderr) == (1, "")


def test_a_job_outlives_the_connection_and_who_follows_it(gjob: RemoteGjob, lab_host: LabHost) -> None:
    following = subprocess.Popen([str(gjob.program), "remote", "start", "-t", "-r", RESULTS, *gjob.ssh, lab_host.name],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    assert following.stdin is not None and following.stdout is not None
    following.stdin.write(b"until [ -e go ]; do sleep 0.01; done; exit 6")
    following.stdin.close()
    name = following.stdout.readline().decode().strip()
    os.killpg(following.pid, signal.SIGKILL)
    following.wait(20)
    following.stdout.close()
    eventually(lambda: not [p for p in lab_host.processes() if p.argv[:1] == ("sshd: lab@notty",)], "the hang-up")
    assert gjob.stands(name) == "busy"
    (gjob.job_dir(lab_host, name) / "go").touch()
    assert gjob.ended(name) == "error"
    assert (gjob.job_dir(lab_host, name) / ".exit").read_text() == "6\n"
    # The far end that followed has seen that nobody is there any more.
    eventually(lambda: not [p for p in lab_host.processes() if "-ISc" in p.argv and p.state not in "ZX"], "none left")


def test_start_c_takes_a_worker_and_never_the_management_host(gjob: RemoteGjob, tmp_path: Path) -> None:
    one, two, three = (host.name for host in gjob.lab.hosts[:3])
    cluster = tmp_path / "cluster.txt"
    cluster.write_text(f"# ours\n\n{one}   # the manager\n{two}\n  \n# none\n{three} fast\n{one}\n")
    assert {choose_worker(str(cluster)) for _ in range(200)} == {two, three}
    name = gjob.good("start", "-c", str(cluster), input="true").strip()
    assert name.partition("/")[0] in (two, three)


@pytest.mark.parametrize(("text", "told"), [
    ("node01\n", "it names no worker"), ("", "it names no worker"), ("node01\nnode01\n", "it names no worker"),
    ("node01\n-oProxyCommand=id\n", ":2: '-oProxyCommand=id' is not a host"), (None, "it cannot be read"),
], ids=["manager only", "empty", "manager twice", "option", "absent"])
def test_a_cluster_file_that_is_of_no_use_is_refused(tmp_path: Path, text: str | None, told: str) -> None:
    path = tmp_path / "cluster"
    if text is not None:
        path.write_text(text)
    with pytest.raises(Trouble) as error:
        choose_worker(str(path))
    assert told in str(error.value) and error.value.code == 2


@pytest.mark.parametrize("make", [
    lambda where: ["no-such-file"], lambda where: [str(where / "log")], lambda where: [str(where / "pipe")],
    lambda where: [str(where / "a/same"), str(where / "b/same")],
], ids=["absent", "ours", "pipe", "twice"])
def test_files_that_cannot_be_taken_along_are_refused(gjob: RemoteGjob, make: Callable[[Path], list[str]]) -> None:
    for name in ("log", "a/same", "b/same"):
        (gjob.where / name).parent.mkdir(exist_ok=True)
        (gjob.where / name).touch()
    os.mkfifo(gjob.where / "pipe")
    refused(gjob.remote("start", "node01", *make(gjob.where), input="true"), 2)


def test_a_job_whose_files_do_not_all_arrive_never_starts(tmp_path: Path) -> None:
    nonce = "f" * 32
    request = {"verb": "start", "results": str(tmp_path / "r"), "follow": False,
               "files": [(".cmds", 4, 0o644), ("data", 100, 0o644)]}
    stage = ship.first_stage(nonce, "sshjobs.gjob.verbs.far", ship.pack(ship.sources(ship.FAR_MODULE)))
    done = subprocess.run(["sh", "-c", payload.remote_command(sys.executable)], capture_output=True, timeout=20,
                          input=stage + json.dumps(request).encode() + b"\ntrueonly this")
    answer = ship.Answer(nonce)
    assert (answer.feed(done.stdout), answer.status) == (b"", 1)
    assert b"the connection broke while files were sent; nothing was started" in done.stderr
    (left,) = (tmp_path / "r").glob("*/*")
    assert sorted(os.listdir(left)) == [".gjob", "DELETED"]


# -- hosts that are not as they should be ----------------------------------------------------------------------------

def test_noise_of_the_login_is_not_taken_for_an_answer(gjob: RemoteGjob, lab_host: LabHost) -> None:
    bashrc = lab_host.home / ".bashrc"
    bashrc.write_text("echo 'node01/2001-01-01 done'; echo noise >&2\nhead -c 1000000 /dev/zero\n")
    try:
        name = gjob.begin(lab_host, "true")
        assert gjob.ended(name) == "done"
    finally:
        bashrc.unlink()


@tries("try: ssh {} python3 --version")
def test_a_host_without_python_is_told_apart_from_one_that_is_down(gjob: RemoteGjob, lab_host: LabHost) -> None:
    lab_host.break_python()
    try:
        told = refused(gjob.remote("start", lab_host.name, input="true"))
        assert told.endswith(f"try: ssh {lab_host.name} python3 --version")
        assert lab_host.ssh("python3 --version").returncode != 0
    finally:
        lab_host.restore_programs()
    assert lab_host.ssh("python3 --version").returncode == 0
    assert told.startswith(f"{lab_host.name}: gjob did not come up there: ") and "python3" in told


@pytest.mark.parametrize("name", ["-oProxyCommand=touch pwned/2001-01-01", "node01/../../etc", "node01", "/2001-01-01",
                                  "node01/2001-01-01; id", "no de/2001-01-01", "node01/2001-01-01-0"])
@pytest.mark.parametrize("verb", ["status", "kill", "cmd"])
def test_what_is_no_id_never_reaches_ssh(verb: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)
    assert verbs.main(["remote", verb, "-r", "x", "--", name]) == 2


@pytest.mark.parametrize("host", ["-oProxyCommand=id", "a b", "$(id)", "node01;id", "", "@node01"])
def test_what_is_no_host_never_reaches_ssh(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)
    assert verbs.main(["remote", "start", "-r", "x", "--", host]) == 2


def test_the_directory_on_the_hosts_must_be_named(gjob: RemoteGjob) -> None:
    told = refused(gjob.run("remote", "status", "node01/2001-01-01", env={"GJOB_REMOTE_PATH": ""}), 2)
    assert "GJOB_REMOTE_PATH" in told


@pytest.mark.parametrize("words", [["fly"], ["start"], ["status"], ["kill"], ["pause", "a", "b"], ["cmd", "-x"]])
def test_bad_usage_is_one_line_and_exit_code_2(words: list[str], capfd: pytest.CaptureFixture[str],
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GJOB_REMOTE_PATH", "x")
    assert verbs.main(["remote", *words]) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.startswith("gjob: ") and err.count("\n") == 1


def test_nothing_is_left_on_a_host_but_the_jobs(gjob: RemoteGjob) -> None:
    host = gjob.lab.hosts[3]
    before = sorted(os.listdir(host.home)), sorted(os.listdir(host.path("/tmp")))
    name = gjob.begin(host, "true")
    gjob.ended(name)
    gjob.good("cmd", name, input="true")
    assert sorted(os.listdir(host.home)) == sorted([*before[0], RESULTS])
    assert sorted(os.listdir(host.path("/tmp"))) == before[1]
    eventually(lambda: not [p for p in host.processes() if "-ISc" in p.argv and p.state not in "ZX"], "no process")


def test_the_configuration_of_the_user_counts(gjob: RemoteGjob, lab: BaseLab, tmp_path: Path) -> None:
    config = lab.write_ssh_config(tmp_path / "config", extra=(
        "IgnoreUnknown UseKeychain\nHost *\n    UseKeychain yes\n    ConnectTimeout 77\n    ServerAliveInterval 88\n"))
    gjob.ssh = ["-F", str(config)]
    name = gjob.begin(lab.hosts[0], "echo hello")
    assert gjob.ended(name) == "done"
    from sshjobs.gjob.verbs.ssh import Target
    argv = Target(lab.hosts[0].name, str(config)).argv("true")
    said = subprocess.run([argv[0], "-G", *argv[1:-1]], capture_output=True, text=True, check=True).stdout
    assert "connecttimeout 77\n" in said and "serveraliveinterval 88\n" in said and "serveralivecountmax 3\n" in said


def test_a_master_that_stands_still_is_gone_past(gjob: RemoteGjob, lab: BaseLab, tmp_path: Path) -> None:
    path = tmp_path / "cm"
    config = lab.write_ssh_config(tmp_path / "config", extra=f"Host *\n    ControlPath {path}\n")
    master = subprocess.Popen(["ssh", "-F", config, "-M", "-N", lab.names[0]], stdin=subprocess.DEVNULL)
    try:
        eventually(path.exists, "the master's socket")
        master.send_signal(signal.SIGSTOP)
        gjob.ssh = ["-F", str(config)]
        done = gjob.remote("start", lab.names[0], input="true")
        assert done.returncode == 0, done
        assert f"the ControlMaster at {path} does not answer" in done.stderr
        assert f"ssh -O exit {lab.names[0]}" in done.stderr
    finally:
        master.kill()
        master.wait()


@pytest.mark.parametrize("user", ["user@corp.com", "corp\\user"])
def test_a_login_name_that_cannot_be_written_gets_the_way_out(gjob: RemoteGjob, user: str) -> None:
    done = gjob.remote("start", f"{user}@h0", input="true")
    assert done.returncode == 2 and "Host NAME, below it HostName and User" in done.stderr


@pytest.mark.parametrize("piece", [b"x" * 65536, b"\x1b[2J" * 13000 + b"/\n"])
def test_what_a_host_says_in_the_place_of_an_id_is_not_kept_and_not_told(piece, monkeypatch, capfd):
    passed = 0

    def call(target: object, request: object, out: Callable[[int, bytes], None], body: object) -> int:
        for _ in range(1000):
            out(1, piece)
        return 0

    def take(number: int, data: bytes) -> None:
        nonlocal passed
        passed += len(data)

    monkeypatch.setattr(remote, "call", call)
    monkeypatch.setattr(remote, "write_all", take)
    monkeypatch.setattr(remote, "_script", lambda: b"true\n")
    tracemalloc.start()
    try:
        assert verbs.main(["remote", "start", "-t", "-r", "x", "node01"]) == 0
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    assert passed == 1000 * len(piece)
    assert capfd.readouterr().err == ""


def test_a_host_that_never_comes_to_its_first_word_is_given_up(tmp_path, monkeypatch):
    (tmp_path / "ssh").write_text("#!/bin/sh\ncase \"$*\" in *-G*) exit 1;; esac\nexec yes\n")
    (tmp_path / "ssh").chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(Trouble, match="said what it must not say: more than 16 MiB before its first word"):
        ssh.call(ssh.Target("node01", None), {"verb": "is-paused"}, lambda number, data: None)
