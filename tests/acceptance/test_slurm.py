"""Allocations of a real Slurm as hosts: what holds for hosts over ssh holds there, and Slurm is left as it was found."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.mixed import differences, mixed_jobs
from tests.conftest import SshjobsCli, cli_environment, sshjobs_argv
from tests.hints import tries
from tests.lab import HostOptions
from tests.lab.process import all_pids, read_process
from tests.lab.slurm import SlurmCluster
from tests.lab.waiting import wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a cluster of Slurm is started by root")


@pytest.fixture(scope="module")
def made() -> Iterator[SlurmCluster]:
    """One cluster of two nodes for the tests of this file."""
    with SlurmCluster() as cluster:
        yield cluster


@pytest.fixture
def cluster(made: SlurmCluster, clean_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlurmCluster]:
    """The same, found by Slurm's programs; a test has to leave nothing in it."""
    monkeypatch.setenv("SLURM_CONF", str(made.conf))
    yield made
    left = made.jobs("pending,running,suspended")
    if left:
        made.call("scancel", "--me")
    assert left == []
    wait_until(lambda: not made.jobs(), 20, "all of it to be gone")
    assert leftovers(clean_home) == []


def leftovers(home: Path) -> list[Path]:
    """Return what runs have left on the nodes, whose homes are this one."""
    place = home / ".sshjobs"
    return [path for path in place.iterdir() if path.name != "cache"] if place.exists() else []


class Background:
    """A run of ours in the background, with what it printed."""

    def __init__(self, directory: Path, *words: str, env: Mapping[str, str] | None = None,
                 command: Sequence[str] = ("run", "jobs.yaml")):
        self.out = directory / "told.txt"
        with open(self.out, "wb") as out:
            self._process = subprocess.Popen(sshjobs_argv([*command, *words]), cwd=directory,
                                             env={**os.environ, **cli_environment(), **(env or {})}, stdin=subprocess.DEVNULL,
                                             stdout=out, stderr=subprocess.STDOUT)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def wait(self, seconds: float = 60.0) -> int:
        return self._process.wait(seconds)

    @property
    def told(self) -> str:
        return self.out.read_text()

    def __enter__(self) -> Background:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def write(directory: Path, *jobs: Mapping[str, Any]) -> None:
    (directory / "jobs.yaml").write_text(json.dumps({"jobs": list(jobs)}))


def held(directory: Path, count: int, **more: Any) -> dict[str, Any]:
    """Jobs that note their beginning in a ledger of their own and run until ``go`` is there."""
    return {"name": "job", "repeat": count, **more, "commands": [
        f'echo "$SSHJOBS_JOB $SSHJOBS_ATTEMPT $SSHJOBS_HOST" >> {directory}/ledger',
        f"until [ -e {directory}/go ]; do sleep 0.05; done", 'echo "out of $SSHJOBS_JOB"']}


def ledger(directory: Path) -> list[list[str]]:
    path = directory / "ledger"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def status(sshjobs_cli: SshjobsCli) -> dict[str, Any]:
    told = sshjobs_cli("status", "--json")
    found: dict[str, Any] = json.loads(told.stdout)
    return found


def test_a_run_in_an_allocation_of_one_node(cluster, sshjobs_cli, tmp_path):
    write(tmp_path, {"name": "node", "commands": 'echo "$SLURMD_NODENAME $SSHJOBS_HOST"'})
    done = sshjobs_cli("run", "jobs.yaml", "--hosts", "slurm:partition=main,time=5m")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.fullmatch(r"n[12] slurm1-1\n", (tmp_path / "results/jobs-1/jobs/node/stdout").read_text())
    verified = sshjobs_cli("verify")
    assert verified.returncode == 0, verified.stdout


def test_two_hundred_jobs_of_every_kind_end_in_an_allocation_as_on_hosts_over_ssh(cluster, sshjobs_cli, tmp_path):
    mixed = mixed_jobs(tmp_path, 200, nice=0)
    done = sshjobs_cli("run", mixed.write(tmp_path / "mixed.yaml"), "--hosts", "slurm:nodes=2,time=10m slots=4")
    assert done.returncode == 1, done.stdout + done.stderr
    told = status(sshjobs_cli)
    assert differences(mixed, tmp_path / "results" / "mixed-1", told) == []
    assert {job["host"] for job in told["jobs"]} == {"slurm1-1", "slurm1-2"}


def test_a_manager_that_is_killed_finds_its_allocation_and_its_jobs_again(cluster, sshjobs_cli, tmp_path):
    write(tmp_path, held(tmp_path, 12))
    with Background(tmp_path, "--hosts", "slurm:nodes=2,time=10m", "--slots", "4") as run:
        wait_until(lambda: len(ledger(tmp_path)) == 8, 30, lambda: run.told)
        run.kill()
    jobs = cluster.jobs()
    assert len(jobs) == 1 and "RUNNING" in jobs[0]
    (tmp_path / "go").touch()
    done = sshjobs_cli("resume")
    assert done.returncode == 0, done.stdout + done.stderr
    assert Counter(line[0] for line in ledger(tmp_path)) == Counter({f"job-{n}": 1 for n in range(1, 13)})
    assert {(tmp_path / f"results/jobs-1/jobs/job-{n}/stdout").read_text() for n in range(1, 13)} == {
        f"out of job-{n}\n" for n in range(1, 13)}
    # It was the same allocation.
    assert [line.split()[0] for line in cluster.jobs("all")].count(jobs[0].split()[0]) == 1


def test_jobs_outlive_the_link(cluster, sshjobs_cli, tmp_path):
    write(tmp_path, held(tmp_path, 4))
    with Background(tmp_path, "--hosts", "slurm:time=10m", "--slots", "4") as run:
        wait_until(lambda: len(ledger(tmp_path)) == 4, 30, lambda: run.told)
        links = [pid for pid in all_pids() if (found := read_process(pid)) is not None and found.parent == run._process.pid]
        assert links
        for pid in links:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: "the connection broke" in run.told, 30, lambda: run.told)
        wait_until(lambda: len(re.findall(r"up +slurm1-1", run.told)) == 2, 30, lambda: run.told)
        (tmp_path / "go").touch()
        assert run.wait() == 0, run.told
    assert len(ledger(tmp_path)) == 4
    assert {len(job["attempts"]) for job in status(sshjobs_cli)["jobs"]} == {1}


@tries("for another one: sshjobs hosts add slurm:…")
def test_jobs_of_an_allocation_that_somebody_ends_run_elsewhere(cluster, sshjobs_cli, tmp_path):
    write(tmp_path, held(tmp_path, 4))
    with Background(tmp_path, "--hosts", "slurm:time=10m", "--slots", "4") as run:
        wait_until(lambda: len(ledger(tmp_path)) == 4, 30, lambda: run.told)
        added = sshjobs_cli("hosts", "add", "jobs-1", "slurm:nodes=1,time=5m")
        assert "slurm2-1 added" in added.stdout, added.stdout + added.stderr
        wait_until(lambda: "up     slurm2-1" in run.told, 30, lambda: run.told)
        cluster.call("scancel", cluster.jobs(form="%i")[0])
        wait_until(lambda: len(ledger(tmp_path)) == 8, 30, lambda: run.told)
        (tmp_path / "go").touch()
        assert run.wait() == 0, run.told
        assert "slurm1-1: its allocation is over: Slurm says CANCELLED" in run.told
    told = status(sshjobs_cli)["jobs"]
    assert [[one["outcome"] for one in job["attempts"]] for job in told] == [["lost", "succeeded"]] * 4
    assert {job["host"] for job in told} == {"slurm2-1"}
    # What was ended with the allocation is gone from its node, too: the test's end sees to that.


def begin_and_end_unmanaged(cluster: SlurmCluster, tmp_path: Path) -> None:
    """Begin the run that is written there, kill its manager when two jobs run, and end its allocation."""
    with Background(tmp_path, "--hosts", "slurm:time=10m", "--slots", "2") as run:
        wait_until(lambda: len(ledger(tmp_path)) == 2, 30, lambda: run.told)
        run.kill()
    cluster.call("scancel", cluster.jobs(form="%i")[0])
    wait_until(lambda: not cluster.jobs(), 20, "its end")


def test_a_run_whose_allocation_ended_while_nobody_managed_it_gets_another_one(cluster, sshjobs_cli, tmp_path):
    write(tmp_path, held(tmp_path, 3))
    begin_and_end_unmanaged(cluster, tmp_path)
    (tmp_path / "go").touch()
    done = sshjobs_cli("resume")
    assert done.returncode == 0, done.stdout + done.stderr
    assert Counter(line[0] for line in ledger(tmp_path)) == Counter({"job-1": 2, "job-2": 2, "job-3": 1})


def read_environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def forget(cluster: SlurmCluster) -> None:
    """Have Slurm forget all jobs, as it does some minutes after they have ended."""
    cluster.stop_controller()
    cluster.start_controller(forgetful=True)


def test_an_allocation_that_slurm_has_forgotten_is_over_where_its_node_answers(cluster, sshjobs_cli, tmp_path):
    write(tmp_path, held(tmp_path, 3))
    begin_and_end_unmanaged(cluster, tmp_path)
    forget(cluster)
    wait_until(cluster.is_idle, 60, "nodes that answer")
    (tmp_path / "go").touch()
    done = sshjobs_cli("resume")
    assert done.returncode == 0, done.stdout + done.stderr
    assert Counter(line[0] for line in ledger(tmp_path)) == Counter({"job-1": 2, "job-2": 2, "job-3": 1})


@tries("if you know that it is: sshjobs hosts lost RUN {}")
def test_what_slurm_has_forgotten_is_not_over_while_its_node_is_cut_off(cluster, sshjobs_cli, tmp_path, clean_home):
    write(tmp_path, held(tmp_path, 2))
    with Background(tmp_path, "--hosts", "slurm:time=10m", "--slots", "2") as run:
        wait_until(lambda: len(ledger(tmp_path)) == 2, 30, lambda: run.told)
        run.kill()
    (node,) = cluster.call("squeue", "--noheader", "--format=%N").split()
    cluster.stop_node(node)
    try:
        forget(cluster)
        # The jobs are at work, whatever Slurm knows of them.
        with Background(tmp_path, command=["resume"]) as resumed:
            wait_until(lambda: "no proof that it is over" in resumed.told, 60, lambda: resumed.told)
            assert f"Slurm does not say that it hears of {node}" in resumed.told
            assert len(ledger(tmp_path)) == 2
            (tmp_path / "go").touch()
            assert sshjobs_cli("hosts", "lost", "jobs-1", "slurm1-1").returncode == 0
            wait_until(lambda: resumed.told.count("attempt 1 ended lost") == 2, 30, lambda: resumed.told)
            assert sshjobs_cli("cancel", "jobs-1", "--all").returncode == 0
            resumed.wait()
    finally:
        cluster.start_node(node)
    wait_until(cluster.is_idle, 60, "the node again, which ends what Slurm does not know")
    # It ends it at once, so that nothing can be tidied up.
    wait_until(lambda: not any(b"SLURM_JOB_ID=" in read_environment(pid) for pid in all_pids()), 30, "the end of it")
    for left in leftovers(clean_home):
        shutil.rmtree(left)


@pytest.mark.parametrize("word, said", [
    ("slurm:partition=nowhere", "Slurm does not take the allocation: Batch job submission failed: Invalid partition name"),
    ("slurm:gres=gpu:1", "Slurm does not take the allocation: Invalid generic resource"),
    ("slurm:partition=closed", "Slurm does not start the allocation: "),
    ("slurm:partition=short,time=2h", "Slurm does not start the allocation: Partition"),
])
def test_a_host_is_set_aside_whose_allocation_slurm_refuses(cluster, sshjobs_cli, tmp_path, word, said):
    write(tmp_path, {"name": "job", "commands": "echo here"})
    refused = sshjobs_cli("run", "jobs.yaml", "--hosts", word)
    assert refused.returncode == 3
    assert len([line for line in refused.stderr.splitlines() if said in line]) == 1, refused.stderr


@tries("correct the slurm: word, or ask who runs the cluster")
def test_other_hosts_go_on_where_slurm_refuses_and_all_do_when_the_word_is_corrected(cluster, sshjobs_cli, tmp_path):
    write(tmp_path, {"name": "job", "commands": "echo here"})
    done = sshjobs_cli("run", "jobs.yaml", "--hosts", "slurm:partition=mian,localhost")
    assert done.returncode == 0 and "done   job on localhost" in done.stdout, done.stdout + done.stderr
    refused = sshjobs_cli("run", "jobs.yaml", "--hosts", "slurm:partition=mian")
    assert "correct the slurm: word, or ask who runs the cluster" in refused.stderr
    assert sshjobs_cli("run", "jobs.yaml", "--hosts", "slurm:partition=main").returncode == 0


def test_a_slurmctld_that_is_down_is_waited_for(cluster, sshjobs_cli, tmp_path):
    write(tmp_path, held(tmp_path, 2))
    cluster.stop_controller()
    try:
        with Background(tmp_path, "--hosts", "slurm:time=5m", "--slots", "2") as run:
            wait_until(lambda: "Slurm cannot be asked on this machine: " in run.told, 40, lambda: run.told)
            cluster.start_controller()
            wait_until(lambda: len(ledger(tmp_path)) == 2, 60, lambda: run.told)
            (tmp_path / "go").touch()
            assert run.wait() == 0, run.told
    finally:
        if "slurmctld" not in cluster._processes:
            cluster.start_controller()


def test_an_allocation_leaves_with_its_last_host_and_with_a_run_that_is_cancelled(cluster, sshjobs_cli, tmp_path):
    write(tmp_path, held(tmp_path, 2, hosts=["slurm1-*", "localhost"]))
    with Background(tmp_path, "--hosts", "slurm:nodes=2,time=5m,localhost slots=1", "--slots", "1") as run:
        wait_until(lambda: len(re.findall(r"up +slurm1-", run.told)) == 2 and len(ledger(tmp_path)) == 2, 30, lambda: run.told)
        on = {line[2] for line in ledger(tmp_path)}
        assert sshjobs_cli("hosts", "remove", "jobs-1", "slurm1-1,slurm1-2").returncode == 0
        if on & {"slurm1-1", "slurm1-2"}:
            assert cluster.jobs()
        assert sshjobs_cli("cancel", "jobs-1", "--all").returncode == 0
        run.wait()


def test_the_environment_of_the_manager_stays_with_it(cluster, sshjobs_cli, tmp_path):
    write(tmp_path, {"name": "job", "commands": "env"})
    done = sshjobs_cli("run", "jobs.yaml", "--hosts", "slurm:time=5m", env={"SECRET_TOKEN": "hush", "SLURM_JOB_ID": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "hush" not in (tmp_path / "results/jobs-1/jobs/job/stdout").read_text()


@tries("name the login node of the cluster: slurm:login=HOST,…")
def test_slurm_is_reached_through_its_login_node(cluster, loopback_lab, sshjobs_cli, tmp_path, monkeypatch):
    lab = loopback_lab(hosts=1, options=HostOptions(sshd={"AcceptEnv": "LANG LC_* SLURM_CONF"}))
    config = lab.write_ssh_config(tmp_path / "config", extra="Host *\n    SendEnv SLURM_CONF\n")
    write(tmp_path, held(tmp_path, 2))
    (tmp_path / "bin").mkdir()
    for name in ("ssh", "env", "true", "sh"):
        (tmp_path / "bin" / name).symlink_to(f"/usr/bin/{name}")
    # Here are no programs of Slurm.
    without = {"PATH": str(tmp_path / "bin")}
    told = sshjobs_cli("run", "jobs.yaml", "--hosts", "slurm:", env=without)
    assert told.returncode == 3 and "name the login node of the cluster" in told.stderr, told.stderr
    with Background(tmp_path, "--hosts", f"slurm:nodes=2,login={lab.names[0]}", "--ssh-config", str(config),
                    "--slots", "1", env=without) as run:
        wait_until(lambda: len(ledger(tmp_path)) == 2, 30, lambda: run.told)
        (tmp_path / "go").touch()
        assert run.wait() == 0, run.told
    assert {line[2] for line in ledger(tmp_path)} == {"slurm1-1", "slurm1-2"}


def late(sshjobs_cli: SshjobsCli) -> str:
    """Return what status says once it says that what waits would not be over in time; nothing before."""
    shown = sshjobs_cli("status").stdout
    return shown if "likely to be over by then" in shown else ""


def wrapped(directory: Path, name: str, script: str) -> dict[str, str]:
    """Put a script in the place of a program of Slurm; return what finds it. ``real`` in it is the real one."""
    (directory / "wrapped").mkdir(exist_ok=True)
    path = directory / "wrapped" / name
    path.write_text(f"#!/bin/sh\nreal=/usr/bin/{name}\nonce() {{ mkdir {directory}/{name}.once 2>/dev/null; }}\n{script}\n")
    path.chmod(0o755)
    return {"PATH": f"{directory}/wrapped:{os.environ['PATH']}"}


def test_a_submission_whose_answer_is_lost_is_found_by_its_name(cluster, sshjobs_cli, tmp_path):
    write(tmp_path, {"name": "job", "repeat": 4, "commands": f"echo $SSHJOBS_JOB >> {tmp_path}/ledger"})
    lost = ('"$real" "$@" > out || exit; once || exec cat out\n'
            'echo "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation" >&2; exit 1')
    before = cluster.jobs("all")
    done = sshjobs_cli("run", "jobs.yaml", "--hosts", "slurm:nodes=2,time=5m", env=wrapped(tmp_path, "sbatch", lost))
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(line[0] for line in ledger(tmp_path)) == ["job-1", "job-2", "job-3", "job-4"]
    assert len(cluster.jobs("all")) == len(before) + 1


def test_nothing_is_started_that_would_not_end_within_the_time_limit(cluster, sshjobs_cli, tmp_path):
    write(tmp_path, {"name": "job", "repeat": 2, "commands": f"echo $SSHJOBS_JOB >> {tmp_path}/ledger; sleep 6"})
    # Slurm counts in minutes.
    soon = '"$real" "$@" | sed -E "s/\\|[0-9]+:[0-9]+\\|/|0:10|/"'
    with Background(tmp_path, "--hosts", "slurm:time=5m slots=1", env=wrapped(tmp_path, "squeue", soon)) as run:
        wait_until(lambda: "done   job-1" in run.told, 40, lambda: run.told)
        told = wait_until(lambda: late(sshjobs_cli), 20,
                          lambda: run.told)
        assert [line[0] for line in ledger(tmp_path)] == ["job-1"], told
        assert sshjobs_cli("cancel", "jobs-1", "--all").returncode == 0
        run.wait()
    assert [line[0] for line in ledger(tmp_path)] == ["job-1"]


def test_a_manager_that_dies_between_a_submission_and_its_answer_leaves_one_allocation(cluster, sshjobs_cli, tmp_path):
    write(tmp_path, {"name": "job", "repeat": 4, "commands": f"echo $SSHJOBS_JOB >> {tmp_path}/ledger"})
    before = cluster.jobs("all")
    with Background(tmp_path, "--hosts", "slurm:time=5m",
                    env=wrapped(tmp_path, "sbatch", '"$real" "$@" > out; once && kill -9 $PPID; cat out')) as run:
        assert run.wait() == -signal.SIGKILL
    done = sshjobs_cli("resume")
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(line[0] for line in ledger(tmp_path)) == ["job-1", "job-2", "job-3", "job-4"]
    assert len(cluster.jobs("all")) == len(before) + 1
