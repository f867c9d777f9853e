"""``sshjobs exec --per-host``: one command on many hosts, as administrators expect it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sshjobs.inputs import hostchoice
from sshjobs.inputs.hostranges import fold
from sshjobs.views.output import Layout, OutputsView
from sshjobs.views.perhost import Folded
from tests.cli.runs import edit
from tests.cli.terminal import Terminal, plain
from tests.cli.test_exec_output import Bytes, Messages
from tests.conftest import SshjobsCli, sshjobs_argv
from tests.lab import BaseLab


@pytest.fixture
def on_hosts(lab: BaseLab, tmp_path: Path) -> list[str]:
    """Options for the hosts of the lab, the first two of which have the tag ``big``."""
    lines = [f"{host.name}{' big' if n < 2 else ''}\n" for n, host in enumerate(lab.hosts)]
    (tmp_path / "hosts.txt").write_text("".join(lines))
    return ["--hosts", "hosts.txt", "--ssh-config", str(lab.ssh_config), "--per-host"]


def test_each_line_says_which_host_it_is_of(lab: BaseLab, on_hosts: list[str], sshjobs_cli: SshjobsCli) -> None:
    told = sshjobs_cli("exec", *on_hosts, "echo one; echo two; printf three; echo err >&2")
    names = [host.name for host in lab.hosts]
    assert told.returncode == 0
    # A line that one host has not ended is none that the next one goes on with.
    assert sorted(told.stdout.splitlines()) == sorted(f"{name}: {line}" for name in names
                                                      for line in ("one", "two", "three"))
    assert sorted(told.stderr.splitlines()) == sorted(f"{name}: err" for name in names)


def test_outputs_are_as_they_are_where_that_is_wanted(lab: BaseLab, on_hosts: list[str],
                                                      sshjobs_cli: SshjobsCli) -> None:
    told = sshjobs_cli("exec", *on_hosts, "--no-tag", "printf x")
    assert (told.returncode, told.stdout) == (0, "x" * len(lab.hosts))


def test_on_a_terminal_equal_outputs_stand_under_their_hosts(lab: BaseLab, on_hosts: list[str], tmp_path: Path,
                                                             clean_home: Path) -> None:
    first, *others = (host.name for host in lab.hosts)
    line = f'[ "$SSHJOBS_HOST" = {first} ] && echo odd || printf "the same\\nof all"'
    with Terminal(sshjobs_argv(["exec", *on_hosts, line]), tmp_path) as terminal:
        shown = plain(terminal.read_to_end())
        assert terminal.wait() == 0
    wanted = f"---- {first} ----\nodd\n---- {fold(others)} ({len(others)} hosts) ----\nthe same\nof all\n"
    assert shown.endswith(wanted), shown


def test_where_the_run_stands_is_shown_while_nothing_has_ended(on_hosts: list[str], tmp_path: Path,
                                                               clean_home: Path) -> None:
    line = f"until [ -e {tmp_path}/go ]; do sleep 0.05; done; echo done"
    with Terminal(sshjobs_argv(["exec", "--per-host", f"{line}"]), tmp_path) as terminal:
        terminal.read_until(lambda text: "1 busy of 1 job on this machine, " in text)
        (tmp_path / "go").touch()
        shown = terminal.read_to_end()
        assert terminal.wait() == 0
    # It gives way: nothing of it is left before or behind what is printed.
    assert shown.endswith("\r\x1b[K---- localhost ----\r\ndone\r\n")


def test_each_failure_is_told_once(lab: BaseLab, on_hosts: list[str], sshjobs_cli: SshjobsCli) -> None:
    first = lab.hosts[0].name
    told = sshjobs_cli("exec", *on_hosts, f'[ "$SSHJOBS_HOST" != {first} ] || {{ echo broken >&2; exit 3; }}')
    assert told.returncode == 1
    lines = told.stderr.splitlines()
    assert [line for line in lines if "broken" in line] == [f"{first}: broken"]
    assert len([line for line in lines if "exit 3" in line]) == 1
    assert len(lines) == 3, told.stderr


def test_a_host_that_cannot_be_used_is_told_with_the_reason(lab: BaseLab, sshjobs_cli: SshjobsCli,
                                                            tmp_path: Path) -> None:
    (tmp_path / "config").write_text(f"Include {lab.ssh_config}\nHost gone\n  Hostname 127.0.0.1\n  Port 1\n")
    told = sshjobs_cli("exec", "--hosts", f"gone,{lab.hosts[0].name}", "--ssh-config", tmp_path / "config", "--per-host",
                       "echo here")
    assert told.stdout == f"{lab.hosts[0].name}: here\n", told.stderr
    assert told.returncode == 1
    line, summary = told.stderr.splitlines()
    assert "error  echo@gone skipped: gone: the connection was refused: " in line
    assert summary.startswith("exec-1 failed: 1 done, 1 error of 2 jobs in ")


def test_hosts_are_left_out_by_name_range_glob_and_tag(lab: BaseLab, on_hosts: list[str],
                                                       sshjobs_cli: SshjobsCli) -> None:
    names = [host.name for host in lab.hosts]
    for unwanted, left in ((["-x", names[0]], names[1:]), (["-x", f"{names[0]},{names[3]}"], names[1:3]),
                           (["-x", "big"], names[2:]), (["--exclude", "@big"], names[2:]),
                           (["-x", "*1"], [name for name in names if not name.endswith("1")]),
                           (["-x", fold(names[:2]), "-x", names[2]], names[3:])):
        told = sshjobs_cli("exec", *on_hosts, *unwanted, "echo x")
        assert sorted(told.stdout.splitlines()) == sorted(f"{name}: x" for name in left), (unwanted, told.stderr)


@pytest.mark.parametrize(("unwanted", "complaint"), [
    ("absent", "-x absent: no such host is among those to run on; see: sshjobs hosts check"),
    ("*", "-x leaves no host to run on; leave out fewer"),
])
def test_a_slip_in_what_is_left_out_runs_nothing(unwanted: str, complaint: str, sshjobs_cli: SshjobsCli,
                                                 tmp_path: Path) -> None:
    told = sshjobs_cli("exec", "--hosts", "h1,h2", "-x", unwanted, "--per-host", "echo")
    assert (told.returncode, told.stderr) == (2, f"sshjobs: {complaint}\n")
    assert not (tmp_path / "results").exists()


# -- groups -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def groups(clean_home: Path) -> Path:
    """ClusterShell groups of the user, as clush reads them."""
    where = clean_home / ".config" / "clustershell"
    where.mkdir(parents=True)
    (where / "groups.conf").write_text("[Main]\ndefault: local\n\n[local]\n"
                                       "map: sed -n 's/^$GROUP:\\(.*\\)/\\1/p' $CFGDIR/groups\n")
    (where / "groups").write_text("rack: n[1-3],h9\n")
    return where


def names(*values: str) -> list[str]:
    """Return the names of the hosts that values of ``--hosts`` mean."""
    return [host.name for host in hostchoice.choose_hosts(values)]


def test_a_name_with_an_at_sign_is_a_tag_of_the_file_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                              groups: Path) -> None:
    monkeypatch.chdir(tmp_path)
    Path("hosts.txt").write_text("h1 gpu\nh2\nh3 gpu slots=4\nh9 slots=7\n")
    assert names("hosts.txt", "@gpu") == ["h1", "h3"]
    assert names("hosts.txt", "other,@gpu") == ["h1", "h3", "other"]
    assert names("@gpu,other", "hosts.txt") == ["other", "h1", "h3"]
    # What no host has for a tag is a group of ClusterShell; what the file says of its hosts counts.
    assert names("@rack") == ["h9", "n1", "n2", "n3"]
    assert names("h1", "@rack") == ["h1", "h9", "n1", "n2", "n3"]
    chosen = hostchoice.choose_hosts(["hosts.txt", "@rack"])
    assert {host.name: host.slots for host in chosen} == {"h9": 7, "n1": None, "n2": None, "n3": None}
    assert [host.name for host in hostchoice.leave_out(hostchoice.choose_hosts(["n[1-4]"]), ["@rack"])] == ["n4"]


def test_a_tag_alone_chooses_from_the_usual_hosts(sshjobs_cli: SshjobsCli, tmp_path: Path, lab: BaseLab) -> None:
    first, second = (host.name for host in lab.hosts[:2])
    (tmp_path / "usual.txt").write_text(f"{first} gpu\n{second}\n")
    told = sshjobs_cli("exec", "--hosts", "@gpu", "--ssh-config", lab.ssh_config, "--per-host", "echo x",
                       env={"SSHJOBS_HOSTS": "usual.txt"})
    assert told.stdout == f"{first}: x\n", told.stderr


@pytest.mark.parametrize(("value", "complaint"), [
    ("@absent", "no host has the tag 'absent', and ClusterShell has no group of that name; "
                "name the hosts file with the tag too: --hosts FILE --hosts @absent"),
    ("@a;b", "'@a;b' cannot be a tag or a group; write --hosts @NAME, and further hosts behind a comma"),
    ("@", "'@' cannot be a tag or a group; write --hosts @NAME, and further hosts behind a comma"),
])
def test_a_group_that_is_not_there_is_told(value: str, complaint: str, sshjobs_cli: SshjobsCli, groups: Path) -> None:
    told = sshjobs_cli("exec", "--hosts", value, "--per-host", "echo")
    assert (told.returncode, told.stderr) == (2, f"sshjobs: {complaint}\n")


# -- folding ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("hosts", "folded"), [
    (["h1", "h2", "h3"], "h[1-3]"), (["n01", "n02", "gpu"], "gpu,n[01-02]"),
    (["lab@10.0.0.7:22", "h1"], "h1,lab@10.0.0.7:22"), (["[::1]", "h"], "[::1],h"),
])
def test_names_are_folded_only_where_they_mean_the_same(hosts: list[str], folded: str) -> None:
    assert fold(hosts) == folded


def test_outputs_are_equal_where_both_streams_are(tmp_path: Path) -> None:
    jobs = [f"1-x@{host}" for host in "abcd"]
    with edit(tmp_path, "r", jobs) as made:
        paths = made.paths
    out, err = Bytes(), Bytes()
    view = OutputsView((out, err), Messages(), lambda text: None, way="grouped", layout=Layout(whole_lines=True),
                       printer=Folded)
    view({"event": "run", "run": "r", "directory": str(paths.root), "jobs": 4, "hosts": list("abcd")})
    for job, stdout, stderr in zip(jobs, (b"x", b"x", b"", b""), (b"", b"", b"x", b""), strict=True):
        paths.job(job).mkdir()
        (paths.job(job) / "stdout").write_bytes(stdout)
        (paths.job(job) / "stderr").write_bytes(stderr)
        view({"event": "done", "job": job})
    view({"event": "end", "exit_code": 0})
    view.close()
    # A host that wrote nothing is not in it.
    assert (out.data, err.data) == (b"---- a,b (2 hosts) ----\nx\n---- c ----\n", b"x\n")
