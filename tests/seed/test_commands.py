"""The seed's four helpers, over real sshd."""

from __future__ import annotations

import inspect
import os
import shlex
import shutil
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

import sshjobs
from sshjobs import (
    CheckLocalCommand,
    CheckRemoteCommands,
    CommandError,
    CopyLocalFilesToRemoteHost,
    InputError,
    UsageError,
    WriteRemoteFile,
)
from tests.acceptance.mixed import HOSTILE, HOSTILE_NAMES
from tests.hints import tries
from tests.lab.process import is_alive
from tests.lab.waiting import wait_until
from tests.network.meeting import with_known_hosts

SHELLS = ["bash", "dash", "zsh", "csh", "tcsh", "fish"]


@pytest.fixture(scope="module")
def host(lab):
    return lab.hosts[0]


@pytest.fixture
def config(lab) -> dict[str, str]:
    return {"ssh_config": str(lab.ssh_config)}


@pytest.fixture
def clean(host):
    """What is in the home of the host is gone afterwards."""
    yield host.home
    host.run(["sh", "-c", "rm -rf ./* .bashrc .profile .cshrc .tcshrc .zshenv .config"], user=host.user)


def test_the_signatures_are_the_seeds():
    seeds = {
        "CheckLocalCommand": "(cmd, verbose=False", "CheckRemoteCommands": "(host, cmds, verbose=False",
        "CopyLocalFilesToRemoteHost": "(host, remote_path, *files", "WriteRemoteFile":
        "(host, remote_path, contents, verbose=False",
    }
    for name, start in seeds.items():
        parameters = inspect.signature(getattr(sshjobs, name)).parameters.values()
        bare = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in parameters]
        assert str(inspect.Signature(bare)).startswith(start)
        assert all(p.kind in (p.KEYWORD_ONLY, p.VAR_KEYWORD) for p in bare[start.count(",") + 1:])


# -- here ------------------------------------------------------------------------------------------------------------


def test_a_local_command_returns_what_it_wrote():
    assert CheckLocalCommand(["printf", "%s|", *HOSTILE]) == "".join(f"{text}|" for text in HOSTILE)


def test_a_local_command_is_judged_by_its_exit_status_alone():
    assert CheckLocalCommand(["sh", "-c", "echo careful >&2; echo fine"]) == "fine\n"
    with pytest.raises(CommandError, match="ended with status 3: the reason") as caught:
        CheckLocalCommand(["sh", "-c", "echo out; echo the reason >&2; exit 3"])
    assert caught.value.status == 3
    with pytest.raises(CommandError, match="ended by signal 9"):
        CheckLocalCommand(["sh", "-c", "kill -9 $$"])


@pytest.mark.parametrize("cmd", ["ls -l", [], [1]])
def test_what_is_no_list_of_words_is_no_local_command(cmd):
    with pytest.raises(UsageError, match="list of words"):
        CheckLocalCommand(cmd)


@pytest.mark.parametrize("cmd", [["no-such-program-anywhere"], ["/"], ["printf", "a\0b"]])
def test_a_local_command_that_cannot_be_started_is_named(cmd):
    with pytest.raises(CommandError, match="could not be started") as caught:
        CheckLocalCommand(cmd)
    assert caught.value.status is None


def test_a_local_command_that_runs_out_of_time_is_killed_with_its_children(tmp_path):
    script = f"sleep 300 & echo $! > {tmp_path}/child; echo $$ > {tmp_path}/parent; wait"
    with pytest.raises(CommandError, match="ran out of time"):
        CheckLocalCommand(["sh", "-c", script], timeout=0.5)
    for name in ("child", "parent"):
        pid = int((tmp_path / name).read_text())
        wait_until(lambda: not is_alive(pid), 10, f"the end of the {name}")  # noqa: B023


def test_a_local_command_may_write_as_much_as_it_likes_and_of_its_errors_the_end_is_kept():
    assert len(CheckLocalCommand(["head", "-c", "20000000", "/dev/zero"])) == 20_000_000
    with pytest.raises(CommandError, match="ended with status 3: the reason"):
        CheckLocalCommand(["sh", "-c", "head -c 20000000 /dev/zero >&2; echo >&2; echo the reason >&2; exit 3"])


def test_verbose_tells_what_is_run_on_standard_error(capsys):
    CheckLocalCommand(["sh", "-c", "echo seen >&2"], True)
    told = capsys.readouterr()
    assert "sh -c 'echo seen >&2'" in told.err and "seen\n" in told.err and told.out == ""


# -- on a host -------------------------------------------------------------------------------------------------------


def test_remote_commands_run_in_one_shell_and_return_what_they_wrote(host, config):
    assert CheckRemoteCommands(host.name, ["x=5", "cd /usr", "echo $x $PWD", "wc -c"], **config) == "5 /usr\n0\n"
    assert CheckRemoteCommands(host.name, ["printf 'no newline'"], **config) == "no newline"
    assert CheckRemoteCommands(host.name, ["true"], **config) == ""


def test_remote_commands_are_judged_by_their_exit_status_alone(host, config):
    assert CheckRemoteCommands(host.name, ["echo careful >&2", "echo fine"], **config) == "fine\n"
    for commands, status in ((["exit 3"], 3), (["false", "true"], 1), (["false | cat"], 1), (["exit 255"], 255)):
        with pytest.raises(CommandError, match=f"status {status}") as caught:
            CheckRemoteCommands(host.name, commands, **config)
        assert caught.value.status == status
    with pytest.raises(CommandError, match="the reason"):
        CheckRemoteCommands(host.name, ["echo the reason >&2", "exit 4"], **config)


def test_hostile_text_arrives_as_it_is(host, config):
    quoted = [f"printf '%s|' {shlex.quote(text)}" for text in HOSTILE]
    assert CheckRemoteCommands(host.name, quoted, **config) == "".join(f"{text}|" for text in HOSTILE)


@pytest.mark.parametrize("shell", SHELLS)
def test_noise_of_any_login_shell_stays_out(lab, clean, shell, request):
    host = lab.hosts[0]
    request.addfinalizer(lambda: host.set_shell(host.options.shell))
    host.set_shell(shutil.which(shell))
    for name in (".bashrc", ".profile", ".zshenv", ".cshrc", ".config/fish/config.fish"):
        path = host.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("echo 'Welcome! no newline at the end of this:'\nprintf 'sshjobs-0 0'\n")
    given: dict[str, Any] = {"ssh_config": str(lab.ssh_config)}
    assert CheckRemoteCommands(host.name, ["echo \"it's\" $((1 + 1)) \\\\n", "exit 0"], **given) == "it's 2 \\n\n"
    with pytest.raises(CommandError, match="status 7"):
        CheckRemoteCommands(host.name, ["exit 7"], **given)
    WriteRemoteFile(host.name, "it's ! a \\n $file", "one\ntwo", **given)
    assert (host.home / "it's ! a \\n $file").read_text() == "one\ntwo"


def test_remote_commands_that_run_out_of_time_are_killed_there(host, config):
    with pytest.raises(CommandError, match="ran out of time"):
        CheckRemoteCommands(host.name, ["sleep 271 & sleep 272"], timeout=1.5, **config)
    wait_until(lambda: host.run(["pgrep", "-f", "sleep 27[12]"]).returncode == 1, 20, "the end of the commands")


def test_a_host_that_dies_meanwhile_is_no_exit_status(fresh_lab):
    lab = fresh_lab(hosts=1)
    with pytest.raises(CommandError) as caught:
        CheckRemoteCommands(lab.hosts[0].name, ["echo x", "pkill -9 sshd -u lab; sleep 60"],
                            ssh_config=str(lab.ssh_config), timeout=60)
    assert caught.value.status is None and "connection broke" in str(caught.value)


def test_what_keeps_a_host_from_being_used_is_named(lab, host, tmp_path):
    refused = lab.write_ssh_config(tmp_path / "refused", {host.name: {"Port": "9"}})
    unknown = with_known_hosts(lab, tmp_path, [])
    for call in (lambda **more: CheckRemoteCommands(host.name, ["true"], **more),
                 lambda **more: WriteRemoteFile(host.name, "x", "", **more),
                 lambda **more: CopyLocalFilesToRemoteHost(host.name, ".", __file__, **more)):
        with pytest.raises(CommandError, match="refused") as caught:
            call(ssh_config=str(refused))
        assert caught.value.status != 0
        with pytest.raises(CommandError, match="host key is not known"):
            call(ssh_config=str(unknown))


@pytest.mark.parametrize("name", ["-oProxyCommand=touch pwned", "a;b", "", "h1,h2", "node[01-02]", "$(id)",
                                  "h\n", "h x"])
def test_what_is_no_host_name_is_refused_before_anything_is_run(name, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    for call in (lambda: CheckRemoteCommands(name, ["true"]), lambda: WriteRemoteFile(name, "x", ""),
                 lambda: CopyLocalFilesToRemoteHost(name, "x", __file__)):
        with pytest.raises((InputError, UsageError)):
            call()


def test_a_script_that_cannot_be_sent_is_refused(host, config):
    for commands in (["a\0b"], ["x" * 100_001]):
        with pytest.raises(UsageError, match="cannot be sent"):
            CheckRemoteCommands(host.name, commands, **config)
    long = "x" * 99_000
    assert CheckRemoteCommands(host.name, [f"echo {long}"], **config) == long + "\n"


# -- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*HOSTILE_NAMES, "-rf", "a:b", "~", "{x,y}"])
def test_files_of_any_name_are_written_and_copied(host, config, clean, tmp_path, name):
    (tmp_path / name).write_text(f"copy of {name}")
    (clean / f"in {name}").mkdir()
    os.chown(clean / f"in {name}", 20000, 20000)
    WriteRemoteFile(host.name, f"in {name}/{name}.txt", f"text of {name}", **config)
    assert (clean / f"in {name}" / f"{name}.txt").read_text() == f"text of {name}"
    assert CopyLocalFilesToRemoteHost(host.name, f"in {name}", str(tmp_path / name), **config) == ""
    assert (clean / f"in {name}" / name).read_text() == f"copy of {name}"


def test_bytes_arrive_as_they_are(host, config, clean):
    data = bytes(range(256)) * 5000
    WriteRemoteFile(host.name, "~/data", data, **config)
    assert (clean / "data").read_bytes() == data
    WriteRemoteFile(host.name, "data", "", **config)
    assert (clean / "data").read_bytes() == b""


def test_directories_are_copied_whole(host, config, clean, tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "x").write_text("deep")
    (tmp_path / "a").write_text("a")
    CopyLocalFilesToRemoteHost(host.name, "~", str(tmp_path / "deep"), str(tmp_path / "a"), verbose=False, timeout=60,
                               **config)
    assert (clean / "deep" / "er" / "x").read_text() == "deep" and (clean / "a").read_text() == "a"


def test_nothing_to_copy_is_fine_and_what_is_not_there_is_refused(host, config, tmp_path):
    assert CopyLocalFilesToRemoteHost(host.name, "nowhere", **config) == ""
    with pytest.raises(UsageError, match="no such file"):
        CopyLocalFilesToRemoteHost(host.name, ".", str(tmp_path / "absent"), **config)


def test_a_directory_that_is_not_there_is_an_error(host, config, clean):
    with pytest.raises(CommandError, match="not copied"):
        CopyLocalFilesToRemoteHost(host.name, "absent", __file__, **config)
    with pytest.raises(CommandError, match="could not be written"):
        WriteRemoteFile(host.name, "absent/file", "x", **config)
    assert not list(clean.glob("absent*"))


def test_an_interrupt_leaves_nothing_running(host, config, tmp_path):
    code = ("import sys, sshjobs; print('go', flush=True); "
            "sshjobs.CheckRemoteCommands(sys.argv[1], ['sleep 273'], ssh_config=sys.argv[2])")
    program = subprocess.Popen([sys.executable, "-c", code, host.name, config["ssh_config"]], stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, cwd=Path(__file__).parents[2])
    try:
        wait_until(lambda: host.run(["pgrep", "-f", "sleep 273"]).returncode == 0, 20, "the command to run")
        program.send_signal(2)
        assert program.wait(30) != 0
    finally:
        program.kill()
        program.communicate()
    wait_until(lambda: host.run(["pgrep", "-f", "sleep 273"]).returncode == 1, 20, "the end of the command")


@tries("have it write to a file, or run it as a job: sshjobs exec")
@pytest.mark.parametrize(("command", "words"), [("yes", "writes too much: more than 8 MiB"), ("yes >&2", "ran out of time")])
def test_a_host_that_writes_without_end_costs_little_memory(host, config, command, words):
    tracemalloc.start()
    try:
        with pytest.raises(CommandError, match=words):
            CheckRemoteCommands(host.name, [command], timeout=8, **config)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()
    wait_until(lambda: "yes" not in host.run(["ps", "-e", "-o", "comm="], user=host.user).stdout, 20, "the end of yes there")
    assert CheckRemoteCommands(host.name, ["head -c 9000000 /dev/zero > big", "wc -c < big", "rm big"], **config) == "9000000\n"
