"""The lab's hosts are hosts of their own, and every fault that can be asked for really happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab import BaseLab, HostOptions, Lab, LabHost, LabUnsupported, LoopbackLab, wait_until
from tests.lab.process import is_alive

FreshLab = Callable[..., Lab]
BOOT_ID = "/proc/sys/kernel/random/boot_id"


def ask(host: LabHost, script: str) -> str:
    """What a command over ssh prints, and nothing else may go wrong."""
    done = host.ssh(script)
    assert (done.returncode, done.stderr) == (0, ""), f"{host.name}: {done}"
    return done.stdout.strip()


def reaches(host: LabHost) -> subprocess.CompletedProcess[str]:
    """Try to get in, with little patience."""
    short = ["-o", "BatchMode=yes", "-o", "ConnectTimeout=1"]
    return subprocess.run(
        ["ssh", "-F", str(host.ssh_config), *short, host.name, "true"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


def open_session(host: LabHost) -> subprocess.Popen[bytes]:
    """A session that is alive and answers each line with itself."""
    session = subprocess.Popen(
        ["ssh", "-F", str(host.ssh_config), "-o", "BatchMode=yes", host.name, "cat"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0,
    )  # fmt: skip
    assert echo(session) == b"hello\n"
    return session


def echo(session: subprocess.Popen[bytes]) -> bytes:
    assert session.stdin is not None and session.stdout is not None
    session.stdin.write(b"hello\n")
    return session.stdout.readline()


def left_running(host: LabHost, token: str) -> int:
    """Leave a process behind on the host, as its pid from here; ssh has returned long before its end."""
    ask(host, f"TOKEN={token} setsid sleep 600 </dev/null >/dev/null 2>&1 &")
    sleeps = ("sleep", "600")
    found = wait_until(
        lambda: [p for p in host.processes() if p.carries(token) and p.argv == sleeps], message="sleep"
    )
    return found[0].pid


def test_every_host_has_its_own_name_and_identities(lab: BaseLab) -> None:
    script = f"hostname; cat {BOOT_ID} /etc/machine-id; echo $HOME"
    told = [ask(host, script).splitlines() for host in lab.hosts]
    names, boots, machines, homes = zip(*told, strict=True)
    assert list(names) == lab.names == ["node01", "node02", "node03", "node04"]
    assert len(set(boots)) == len(set(machines)) == 4
    assert Path(BOOT_ID).read_text().strip() not in boots
    assert set(homes) == {"/home/lab"}


def test_a_host_sees_nothing_of_this_machine(lab_host: LabHost, tmp_path: Path) -> None:
    (tmp_path / "here").touch()
    repository = Path(__file__).parents[2]
    # A checkout below /tmp is not even an empty directory there.
    assert ask(lab_host, f"test ! -e {repository} || ls -A {repository}") == ""
    assert ask(lab_host, "id -un; id -u").split() == ["lab", "20000"]
    assert int(ask(lab_host, "ls -d /proc/[0-9]* | wc -l")) < 12


def test_the_home_is_seen_from_outside(lab_host: LabHost) -> None:
    ask(lab_host, "echo inside > note")
    note = lab_host.home / "note"
    assert note.read_text() == "inside\n"
    note.unlink()


def test_root_may_log_in_too(lab_host: LabHost) -> None:
    assert lab_host.ssh("id -un; pwd", user="root").stdout.split() == ["root", "/root"]


def test_hosts_reach_each_other_for_jumps(lab: BaseLab, tmp_path: Path) -> None:
    jump = lab.write_ssh_config(tmp_path / "cfg", {"node02": {"ProxyJump": "node01"}})
    argv = ["ssh", "-F", str(jump), "-o", "BatchMode=yes", "node02", "echo $SSH_CLIENT"]
    done = subprocess.run(argv, input="", capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.split()[0] == lab.host("node01").address


def test_run_works_without_ssh_and_as_either_user(lab_host: LabHost) -> None:
    done = lab_host.run(["sh", "-c", "id -u; pwd; hostname; cat; exit 3"], user="lab", input="in\n")
    assert (done.returncode, done.stdout.split()) == (3, ["20000", "/home/lab", "node01", "in"])
    assert lab_host.run(["id", "-u"]).stdout == "0\n"


def test_run_leaves_nothing_behind_when_time_is_up(lab_host: LabHost) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        lab_host.run(["sleep", "987654"], timeout=0.2)
    wait_until(lambda: not lab_host.pids_with("987654"), message="the end of sleep")


def test_processes_are_found_by_their_token_and_orphans_are_reaped(lab_host: LabHost) -> None:
    pid = left_running(lab_host, "t-4711")
    assert lab_host.pids_with("t-4711") == [pid]
    (found,) = [p for p in lab_host.processes() if p.pid == pid]
    assert found.inner_pid != pid
    wait_until(lambda: [p for p in lab_host.processes() if p.pid == pid and p.parent > 1], message="adoption")
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: pid not in [p.pid for p in lab_host.processes()], message="process 1 to reap it")


def test_a_reboot_kills_everything_and_keeps_home_and_key(fresh_lab: FreshLab) -> None:
    host = fresh_lab().hosts[0]
    before = ask(host, f"touch ~/kept /tmp/lost; cat {BOOT_ID}")
    pid = left_running(host, "t-1")
    host.reboot()
    assert not is_alive(pid)
    assert ask(host, f"ls ~ /tmp; cat {BOOT_ID}").split()[:3] == ["/home/lab:", "kept", "/tmp:"]
    after = ask(host, f"cat {BOOT_ID}")
    assert len(after) == 36 and after != before
    host.reboot(keep_boot_id=True)
    assert ask(host, f"cat {BOOT_ID}") == after


def test_a_host_that_is_off_does_not_answer(fresh_lab: FreshLab) -> None:
    host = fresh_lab().hosts[0]
    host.power_off()
    assert reaches(host).returncode == 255
    assert host.processes() == []
    host.power_on()
    assert reaches(host).returncode == 0


@pytest.mark.parametrize("kind", ["down", "drop", "drop_in", "drop_out", "reset"])
def test_a_cut_host_is_out_of_reach_until_it_heals(fresh_lab: FreshLab, kind: str) -> None:
    lab = fresh_lab(hosts=2)
    host, other = lab.hosts
    host.cut(kind)
    refused = reaches(host)
    assert refused.returncode == 255
    assert ("refused" in refused.stderr or "reset" in refused.stderr) == (kind == "reset"), refused.stderr
    assert host.run(["hostname"]).stdout == "node01\n"
    assert reaches(other).returncode == 0
    host.reboot()
    assert reaches(host).returncode == 255
    host.heal()
    assert reaches(host).returncode == 0


def test_a_reset_breaks_a_live_session_at_once_and_a_drop_does_not(fresh_lab: FreshLab) -> None:
    host = fresh_lab().hosts[0]
    session = open_session(host)
    host.cut("drop")
    host.heal()
    assert echo(session) == b"hello\n"
    host.cut("reset")
    session.communicate(timeout=20)
    assert session.returncode == 255


def test_sshd_settings_can_be_changed_under_a_live_session(fresh_lab: FreshLab) -> None:
    host = fresh_lab(options=HostOptions(sshd={"Banner": "/etc/hostname"})).hosts[0]
    assert "node01" in host.ssh("true").stderr
    session = open_session(host)
    host.restart_sshd(AllowUsers="nobody")
    assert "Permission denied" in host.ssh("true").stderr
    assert echo(session) == b"hello\n"
    host.restart_sshd(drop_sessions=True)
    session.communicate(timeout=20)
    assert session.returncode == 255
    assert host.ssh("true").returncode == 0
    assert host.sshd_log.read_text().count("Accepted publickey") == 3


def test_stock_limits_hold_unless_overridden(lab_host: LabHost) -> None:
    done = lab_host.run(["/usr/sbin/sshd", "-T"])
    assert {"maxstartups 10:30:100", "maxsessions 10"} <= set(done.stdout.splitlines()), done


def test_a_changed_host_key_looks_forged(fresh_lab: FreshLab) -> None:
    host = fresh_lab().hosts[0]
    host.new_host_key()
    refused = host.ssh("true")
    assert refused.returncode == 255
    assert "HOST IDENTIFICATION HAS CHANGED" in refused.stderr


def test_programs_break_and_are_restored(fresh_lab: FreshLab) -> None:
    host = fresh_lab().hosts[0]
    host.break_python()
    assert host.ssh("python3 -c 'print(1)'").returncode == 127
    host.reboot()
    assert host.ssh("python3 -c 'print(1)'").returncode == 127
    host.replace_program("bash", "#!/bin/sh\nexit 42\n")
    assert host.ssh("true").returncode == 42
    host.set_shell("/bin/sh")
    assert ask(host, "echo $0") == "sh"
    host.restore_programs()
    host.set_shell("/bin/bash")
    assert ask(host, "python3 -c 'print(1)'") == "1"


def test_an_interpreter_can_be_pinned(fresh_lab: FreshLab) -> None:
    python = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
    each = {"node02": HostOptions(python=str(python)), "node03": HostOptions(python="")}
    ordinary, pinned, bare = fresh_lab(hosts=3, each=each).hosts
    told = "import sys, json, ctypes; print(sys.version.split()[0], sys.prefix)"
    assert "/usr" in ask(ordinary, f"python3 -c '{told}'")
    version = ".".join(map(str, sys.version_info[:3]))
    assert ask(pinned, f"python3 -c '{told}'") == f"{version} {python.resolve().parents[1]}"
    assert bare.ssh("python3 -c pass").returncode == 127


def test_a_small_home_fills_and_is_freed(fresh_lab: FreshLab) -> None:
    host = fresh_lab(options=HostOptions(home_size="2M")).hosts[0]
    ask(host, "echo kept > kept")
    host.fill_disk()
    full = host.ssh("echo more > more")
    assert full.returncode != 0 and "No space left" in full.stderr
    host.free_disk()
    host.reboot()
    assert ask(host, "echo more >> kept; cat kept").split() == ["kept", "more"]
    assert (host.home / "kept").read_text().split() == ["kept", "more"]


def test_a_home_on_the_labs_disk_is_not_filled(lab_host: LabHost) -> None:
    with pytest.raises(LabUnsupported, match="would fill your disk"):
        lab_host.fill_disk()


def test_hosts_may_share_one_home(fresh_lab: FreshLab) -> None:
    one, two = fresh_lab(hosts=2, shared_home=True).hosts
    ask(one, "echo from one > note")
    assert ask(two, "cat note") == "from one"
    assert (two.home / "note").read_text() == "from one\n"


def test_labs_at_the_same_time_do_not_meet(lab: BaseLab, fresh_lab: FreshLab) -> None:
    other = fresh_lab()
    assert other.base != lab.base
    assert other.hosts[0].address.rpartition(".")[0] != lab.hosts[0].address.rpartition(".")[0]
    assert ask(other.hosts[0], "hostname") == ask(lab.hosts[0], "hostname") == "node01"


def test_without_root_hosts_are_processes_with_homes(loopback_lab: Callable[..., LoopbackLab]) -> None:
    host, other = loopback_lab(hosts=2).hosts
    assert ask(host, "pwd; echo $HOME").split() == [str(host.home)] * 2
    assert ask(other, "pwd") == str(other.home) != str(host.home)
    pid = left_running(host, "t-2")
    assert other.pids_with("t-2") == []
    host.reboot()
    assert not is_alive(pid)
    assert ask(host, "echo again") == "again"
    with pytest.raises(LabUnsupported, match="no network of its own"):
        host.cut("drop")
    host.new_host_key()
    assert "HOST IDENTIFICATION HAS CHANGED" in host.ssh("true").stderr


def test_waiting_says_what_for_when_it_is_in_vain() -> None:
    with pytest.raises(AssertionError, match=r"in vain for rain; last answer: False"):
        wait_until(lambda: False, 0.01, "rain")
    assert wait_until(lambda: "rain", 0.01, "rain") == "rain"
