"""Every kind of end, brought about on real hosts: ``sshjobs why`` names the cause of each, and of none a wrong one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sshjobs import Network
from sshjobs.model.spec import JobSpec
from sshjobs.model.states import FINAL_STATES
from sshjobs.running.manager import Manager
from sshjobs.running.requests import Target, carry_out
from tests.conftest import SshjobsCli
from tests.faults.scene import agents
from tests.faults.test_leases import drive
from tests.gjob.test_memory import GREEDY, _parent, small_memory  # noqa: F401 (a fixture)
from tests.lab import BaseLab, LabHost
from tests.lab.process import kill_all

pytestmark = [pytest.mark.lab, pytest.mark.skipif(os.geteuid() != 0, reason="namespaces and nft need root")]

#: By the cause that is to be named: what brings it about (lines of a script), and the job's keys.
SCRIPTS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "exit": (["echo 'assertion failed: x > 3' >&2", "exit 3"], {}),
    "signal": (["ulimit -c 0", "kill -SEGV $$", "sleep 60"], {}),
    "timeout": (["sleep 60"], {"timeout": 0.2}),
    "disk_full": (["head -c 9000000 /dev/zero > /dev/full"], {}),
    "not_executable": (["echo echo > fit.sh", "./fit.sh"], {}),
    "no_such_program": (["no-such-program --help"], {}),
    "missing_library": (["python3 -c 'import ctypes; ctypes.CDLL(\"libmissing.so.1\")'"], {}),
    "missing_input": (["sort data/input.csv"], {}),
    # No host of the lab has a GPU: this is what a program writes that needs one.
    "gpu_error": (["echo 'torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB.' >&2", "exit 1"], {}),
}
#: The same without a shell between.
WORDS = {"no_such_program": ["no-such-program"], "not_executable": ["/etc/passwd"], "exit": ["false"]}
FOREVER = ["touch begun", "sleep 300"]


def jobs(greedy: bool) -> list[JobSpec]:
    """Return the jobs; the name of each begins with the cause of its end, those on one host alone do that host's."""
    made = [JobSpec(lines, name=f"{cause}@1", hosts=["node01"], **keys) for cause, (lines, keys) in SCRIPTS.items()]
    made += [JobSpec(argv=words, name=f"{cause}@2", hosts=["node01"]) for cause, words in WORDS.items()]
    made += [JobSpec(FOREVER, name="cancelled@1", hosts=["node01"]), JobSpec(FOREVER, name="host_rebooted@1", hosts=["node03"], once=True),
             JobSpec(["sleep 2"], name="runner_lost@1", hosts=["node02"], once=True),
             JobSpec(["true"], name="setup_failed@1", hosts=["node04"]), JobSpec(["true"], name="skipped@1", hosts=["node01"], after="exit@1"),
             JobSpec(["true"], name="done@1", hosts=["node01"])]
    if greedy:
        python = f"python3 -c '{GREEDY}'"
        made += [JobSpec([python, "echo not reached"], name="out_of_memory@1", hosts=["node02"], after={"gate": {"when": "ended"}}),
                 JobSpec(argv=["python3", "-c", GREEDY], name="out_of_memory@2", hosts=["node02"], after={"gate": {"when": "ended"}}),
                 JobSpec(["true"], name="gate", hosts=["node01"], after={"runner_lost@1": {"when": "ended"}})]
    return made


def kill_far_side(host: LabHost) -> None:
    """kill -9 of the agents of a host and of their runners, but not of jobs."""
    kill_all([pid for pids in agents(host) for pid in pids])


@pytest.fixture
def ended(rough_lab: BaseLab, clean_home: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Manager]:
    """A run in which all of that has happened."""
    group: Path | None = request.getfixturevalue("small_memory") if _parent() is not None else None
    manager = Manager(0.2)
    network = Network(str(tmp_path / "results"), rough_lab.names, slots=8, ssh_config=str(rough_lab.ssh_config))
    # The host of node04 is not prepared; the others are.
    manager.Setup(jobs(group is not None), network, name="r",
                  options={"setup": ['test "$SSHJOBS_HOST" != node04 || { echo no image >&2; exit 4; }']})
    named = {job.name: job for job in manager.jobs.objects}

    def runs(*names: str) -> Callable[[], bool]:
        return lambda: all(named[name].attempts and named[name].attempts[-1].started for name in names)

    drive(manager, runs("cancelled@1", "host_rebooted@1", "runner_lost@1"), "those to run that are to be struck")
    carry_out({"do": "cancel", "jobs": ["cancelled@1"]}, Target.of(manager))
    rough_lab.host("node03").reboot()
    kill_far_side(rough_lab.host("node02"))
    if group is not None:
        drive(manager, lambda: named["runner_lost@1"].state in FINAL_STATES, "the end of what has lost its runner")
        # Before its first runner: that and its jobs are in the group of the agent.
        for pid in [pid for pids in agents(rough_lab.host("node02")) for pid in pids]:
            (group / "cgroup.procs").write_text(str(pid))
    drive(manager, lambda: all(job.state in FINAL_STATES for job in named.values()), "all jobs to end")
    manager.ProcessJobs()
    yield manager


def test_the_cause_of_every_kind_of_end_is_named(ended: Manager, sshjobs_cli: SshjobsCli) -> None:
    names = [job.name for job in ended.jobs.objects]
    told = sshjobs_cli("why", "r", *names, "--json", "--all")
    assert told.returncode == 0, told.stderr
    found = {job["job"]: job for job in json.loads(told.stdout)["jobs"]}
    wrong = {name: job for name, job in found.items()
             if name not in ("gate", "done@1") and job["cause"] != name.partition("@")[0]}
    assert wrong == {}
    assert {name.partition("@")[0] for name in found} >= {*SCRIPTS, "cancelled", "host_rebooted", "runner_lost", "setup_failed"}
    assert found["done@1"]["cause"] is None
    read = {name for name, job in found.items() if job["proved"] is False}
    assert read == {f"{cause}@1" for cause in ("disk_full", "not_executable", "no_such_program", "missing_library", "missing_input", "gpu_error")}
    assert found["setup_failed@1"]["setups"][0]["lines"] == ["no image"]
    by_cause = json.loads(sshjobs_cli("status", "r", "--cause", "no_such_program", "--json").stdout)["jobs"]
    assert [job["name"] for job in by_cause] == ["no_such_program@1", "no_such_program@2"]
    kinds = json.loads(sshjobs_cli("why", "r", "--json").stdout)
    assert {kind["cause"] for kind in kinds["kinds"]} == {job["cause"] for job in found.values()} - {None}
    assert [setup["host"] for setup in kinds["setups"]] == ["node04"]
