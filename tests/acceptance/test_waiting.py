"""What a job waits for, as its hosts told it over real ssh: hours, load, memory, the owner, and what colleagues hold."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.conftest import SshjobsCli, cli_environment, sshjobs_argv
from tests.gjob.client import eventually
from tests.lab import BaseLab


def closed_hours() -> str:
    """Return hours that are not now, whatever the time is."""
    hour = time.localtime().tm_hour
    return f"{(hour + 3) % 24:02}:00-{(hour + 5) % 24:02}:00"


def waits(sshjobs_cli: SshjobsCli, run: str, job: str) -> dict:
    asked = sshjobs_cli("why", run, job, "--json")
    told = json.loads(asked.stdout)["jobs"][0]["waits"] if asked.returncode == 0 else None
    return told or {"for": None, "words": "", "hosts": []}


def says(sshjobs_cli: SshjobsCli, run: str, job: str, *words: str) -> Callable[[], bool]:
    return lambda: all(word in waits(sshjobs_cli, run, job)["words"] for word in words)


def test_each_manner_of_a_host_is_told_of_the_job_that_waits_for_it(fresh_lab: Callable[..., BaseLab], sshjobs_cli: SshjobsCli,
                                                                     tmp_path: Path) -> None:
    lab = fresh_lab(hosts=4)
    names, hours = lab.names, closed_hours()
    lab.hosts[3].run(["sh", "-c", "mkdir -p -m 700 ~lab/.sshjobs; touch ~lab/.sshjobs/away; chown -R lab ~lab/.sshjobs"])
    (tmp_path / "hosts.txt").write_text(f"{names[0]} only={hours}\n{names[1]} max_load=0.0001\n{names[2]} min_free=900T\n{names[3]}\n")
    (tmp_path / "jobs.json").write_text(json.dumps({"jobs": [
        *({"name": f"on-{n}", "hosts": [name], "commands": "true"} for n, name in enumerate(names)), {"name": "any", "commands": "true"}]}))
    told = sshjobs_cli("run", "jobs.json", "--hosts", "hosts.txt", "--ssh-config", lab.ssh_config, "--name", "r", "--detach")
    assert told.returncode == 0, told.stderr
    try:
        for n, words in enumerate([f"it takes jobs from {hours.replace('-', ' to ')} by its own clock, so again at ", "is above max_load=",
                                   "too little of its memory is free: ", "its owner wants it, by the file ~/.sshjobs/away or /etc/sshjobs/away there"]):
            eventually(says(sshjobs_cli, "r", f"on-{n}", f"{names[n]}: ", words), f"what is to be said of {words}", 40)
            found = waits(sshjobs_cli, "r", f"on-{n}")
            assert (found["for"], [(one["host"], one["state"]) for one in found["hosts"]]) == ("host", [(names[n], "closed")])
        found = waits(sshjobs_cli, "r", "any")
        assert [one["host"] for one in found["hosts"]] == list(names) and "and 1 more host" in found["words"]
        lines = sshjobs_cli("status", "r").stdout
        assert all(f"{name}: " in lines for name in names) and "its owner wants it" in lines
        lab.hosts[3].run(["sh", "-c", "rm ~lab/.sshjobs/away"])
        eventually(lambda: "on-3 is done" in sshjobs_cli("why", "r", "on-3").stdout, "the job of the host that is free again", 90)
    finally:
        sshjobs_cli("cancel", "r", "--all")


def test_a_job_that_waits_for_a_share_says_who_holds_it(lab: BaseLab, sshjobs_cli: SshjobsCli, tmp_path: Path, clean_home: Path) -> None:
    host = lab.hosts[0]
    host.run(["sh", "-c", "rm -f /tmp/go-waiting"])
    hold = {"jobs": [{"name": "hold", "repeat": 2, "commands": "until [ -e /tmp/go-waiting ]; do sleep 0.05; done"}]}
    (tmp_path / "hold.json").write_text(json.dumps(hold))
    ssh = ("--ssh-config", str(lab.ssh_config), "--slots", "2")
    told = sshjobs_cli("run", "hold.json", "--hosts", host.name, "--name", "first", "--detach", *ssh)
    assert told.returncode == 0, told.stderr
    second = None
    try:
        assert sshjobs_cli("wait", "first", "--until", "started=2", "--timeout", "40").returncode == 0
        env = {**cli_environment(), "HOME": str(clean_home), "PATH": "/usr/local/bin:/usr/bin:/bin"}
        (tmp_path / "one.json").write_text('{"jobs": [{"name": "one", "commands": "true"}]}')
        second = subprocess.Popen(sshjobs_argv(["run", "one.json", "--name", "second", "--hosts", f"root@{host.name}", "-q", *ssh]),
                                  cwd=tmp_path, env=env, stdout=subprocess.DEVNULL)
        eventually(says(sshjobs_cli, "second", "one", "waits for a share of it: lab (first) holds 2 slots"), "who holds the slots", 40)
        assert waits(sshjobs_cli, "second", "one")["hosts"][0]["host"] == f"root@{host.name}"
        assert "lab (first) holds 2 slots" in sshjobs_cli("why", "second", "one").stdout
        assert "waits for a share of it: lab (first) holds 2 slots" in sshjobs_cli("status", "second").stdout
        host.path("/tmp/go-waiting").touch()
        assert second.wait(60) == 0
    finally:
        host.path("/tmp/go-waiting").touch()
        if second is not None and second.poll() is None:
            second.terminate()
            second.wait(60)
        sshjobs_cli("wait", "first", "--timeout", "60")
