"""Two persons on one host over real ssh: together they have its slots, and the second gets one as soon as a job ends."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.conftest import SshjobsCli, cli_environment, sshjobs_argv
from tests.gjob.client import eventually
from tests.lab import BaseLab

_LEDGER = "/tmp/ledger-of-sharing"


def test_a_colleague_gets_a_slot_as_soon_as_a_job_ends(lab: BaseLab, sshjobs_cli: SshjobsCli, tmp_path: Path,
                                                       clean_home: Path) -> None:
    host = lab.hosts[0]
    host.run(["sh", "-c", f"rm -f {_LEDGER}; touch {_LEDGER}; chmod 666 {_LEDGER}; rm -f /tmp/stop-sharing"])
    job = f"echo + $$ $USER >> {_LEDGER}; {{}}; echo - $$ $USER >> {_LEDGER}"
    long = {"jobs": [{"name": "fit", "repeat": 200, "commands": [job.format("sleep 0.2")]}]}
    (tmp_path / "long.yaml").write_text(json.dumps(long))
    asks = "while [ ! -e /tmp/stop-sharing ]; do sleep 0.05; done"
    (tmp_path / "short.yaml").write_text(json.dumps({"jobs": [{"name": "one", "commands": [job.format(asks)]}]}))
    ssh = ("--ssh-config", str(lab.ssh_config), "--slots", "2")
    env = {**cli_environment(), "HOME": str(clean_home), "PATH": "/usr/local/bin:/usr/bin:/bin"}
    first = subprocess.Popen(sshjobs_argv(["run", "long.yaml", "--hosts", host.name, "-q", *ssh]), cwd=tmp_path, env=env,
                             stdout=subprocess.DEVNULL)
    second = None
    try:
        eventually(lambda: "+" in host.path(_LEDGER).read_text(), "the first job of the first person")
        second = subprocess.Popen(sshjobs_argv(["run", "short.yaml", "--hosts", f"root@{host.name}", "-q", *ssh]),
                                  cwd=tmp_path, env=env, stdout=subprocess.DEVNULL)
        eventually(lambda: "root" in host.path(_LEDGER).read_text(), "the job of the second person", 40.0)
        assert first.poll() is None, "the first run has jobs left"
        both = {("lab", "long-1", 1), ("root", "short-1", 1)}

        def who_holds_what() -> bool:
            asked = sshjobs_cli("hosts", "who", "--json", "--hosts", host.name, "--ssh-config", lab.ssh_config)
            return {(one["user"], one["run"], one["slots"]) for one in json.loads(asked.stdout)["holders"]} == both

        # Between two of its jobs a run may hold nothing for a moment.
        eventually(who_holds_what, "what each holds", 40.0)
        host.path("/tmp/stop-sharing").touch()
        assert second.wait(60) == 0
    finally:
        for process in filter(None, (first, second)):
            if process.poll() is None:
                process.terminate()
            process.wait(60)
        sshjobs_cli("cancel", "long-1")
    running: set[str] = set()
    for line in host.path(_LEDGER).read_text().splitlines():
        sign, pid, _ = line.split()
        (running.add if sign == "+" else running.discard)(pid)
        assert len(running) <= 2, line
