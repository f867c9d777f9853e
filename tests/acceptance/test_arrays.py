"""Jobs as elements of job arrays of a real Slurm: outcomes, bytes and claims are those of hosts, whatever is lost."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.acceptance.mixed import differences, mixed_jobs
from tests.acceptance.test_slurm import Background, cluster, held, ledger, made, status, wrapped, write
from tests.conftest import cli_environment, sshjobs_argv
from tests.hints import tries
from tests.lab import HostOptions
from tests.lab.waiting import wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a cluster of Slurm is started by root")
__all__ = ["cluster", "made"]

WORD = "slurm:mode=array,partition=main,time=5m"
ONE_LINE = 'echo "$SSHJOBS_JOB $SSHJOBS_ATTEMPT" >> {}/ledger'


def outcomes(sshjobs_cli) -> list[list[str]]:
    return [[one["outcome"] for one in job["attempts"]] for job in status(sshjobs_cli)["jobs"]]


def elements(cluster) -> list[str]:
    """Return what Slurm has of jobs, an element a line, as ID_INDEX and state."""
    return cluster.call("squeue", "--noheader", "--array", "--format=%i %T %j").splitlines()


def kill_agent(home: Path) -> None:
    """Kill the agent that has its files in a home."""
    (told,) = home.glob(".sshjobs/*/*/agent")
    (pid,) = re.findall(r'"pid":([0-9]+)', told.read_text())
    os.kill(int(pid), signal.SIGKILL)


def test_jobs_of_every_kind_end_in_an_array_as_on_hosts_over_ssh(cluster, sshjobs_cli, tmp_path):
    mixed = mixed_jobs(tmp_path, 60, nice=0)
    before = len(cluster.jobs("all", form="%F"))
    done = sshjobs_cli("run", mixed.write(tmp_path / "mixed.yaml"), "--hosts", WORD)
    assert done.returncode == 1, done.stdout + done.stderr
    told = status(sshjobs_cli)
    assert differences(mixed, tmp_path / "results" / "mixed-1", told) == []
    assert {job["host"] for job in told["jobs"]} == {"slurm1-1"}
    # They are elements of few arrays, which Slurm counts as one job each.
    assert len(set(cluster.jobs("all", form="%F"))) - before < 20
    verified = sshjobs_cli("verify")
    assert verified.returncode == 0, verified.stdout


def test_jobs_outlive_the_manager_and_the_agent(cluster, sshjobs_cli, tmp_path, clean_home):
    write(tmp_path, held(tmp_path, 6))
    with Background(tmp_path, "--hosts", WORD) as run:
        wait_until(lambda: len(ledger(tmp_path)) == 6, 60, lambda: run.told)
        run.kill()
    kill_agent(clean_home)
    (tmp_path / "go").touch()
    done = sshjobs_cli("resume")
    assert done.returncode == 0, done.stdout + done.stderr
    assert Counter(line[0] for line in ledger(tmp_path)) == Counter({f"job-{n}": 1 for n in range(1, 7)})
    assert {(tmp_path / f"results/jobs-1/jobs/job-{n}/stdout").read_text() for n in range(1, 7)} == {
        f"out of job-{n}\n" for n in range(1, 7)}


def test_a_submission_whose_answer_is_lost_starts_no_job_twice(cluster, sshjobs_cli, tmp_path):
    write(tmp_path, {"name": "job", "repeat": 5, "commands": ONE_LINE.format(tmp_path)})
    # The first of the jobs' own, behind the one that tries whether nodes see the directory.
    lost = ('"$real" "$@" > out$$ || exit; case "$*" in *array=0-4*) once || exec cat out$$;; *) exec cat out$$;; esac\n'
            'echo "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation" >&2; exit 1')
    done = sshjobs_cli("run", "jobs.yaml", "--hosts", WORD, env=wrapped(tmp_path, "sbatch", lost))
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "sbatch.once").exists()
    assert sorted(map(tuple, ledger(tmp_path))) == [(f"job-{n}", "1") for n in range(1, 6)]


def test_a_submission_that_comes_twice_starts_no_job_twice(cluster, sshjobs_cli, tmp_path):
    write(tmp_path, held(tmp_path, 3))
    with Background(tmp_path, "--hosts", WORD, env=wrapped(tmp_path, "sbatch", '"$real" "$@" >/dev/null; exec "$real" "$@"')) as run:
        wait_until(lambda: len(ledger(tmp_path)) == 3, 60, lambda: run.told)
        # The elements of one of the two have ended, and nothing of theirs is told.
        wait_until(lambda: len([line for line in elements(cluster) if "RUNNING" in line]) == 3, 30, lambda: str(elements(cluster)))
        assert "ended" not in run.told
        (tmp_path / "go").touch()
        assert run.wait() == 0, run.told
    assert sorted(line[:2] for line in ledger(tmp_path)) == [[f"job-{n}", "1"] for n in range(1, 4)]


def test_an_element_that_somebody_cancels_is_lost_and_runs_again(cluster, sshjobs_cli, tmp_path):
    write(tmp_path, held(tmp_path, 3))
    with Background(tmp_path, "--hosts", WORD) as run:
        wait_until(lambda: len(ledger(tmp_path)) == 3, 60, lambda: run.told)
        (one, *_) = [line.split()[0] for line in elements(cluster) if "RUNNING" in line]
        cluster.call("scancel", one)
        wait_until(lambda: len(ledger(tmp_path)) == 4, 60, lambda: run.told)
        (tmp_path / "go").touch()
        assert run.wait() == 0, run.told
    assert sorted(outcomes(sshjobs_cli)) == [["lost", "succeeded"], ["succeeded"], ["succeeded"]]


def test_cancelled_jobs_leave_nothing_in_slurm_whether_they_have_begun_or_not(cluster, sshjobs_cli, tmp_path):
    # The cluster has eight cores: of ten jobs with two, some wait.
    write(tmp_path, held(tmp_path, 10, cpus=2))
    with Background(tmp_path, "--hosts", WORD) as run:
        wait_until(lambda: len(ledger(tmp_path)) == 4, 60, lambda: run.told)
        assert len([line for line in elements(cluster) if "PENDING" in line]) == 6
        assert sshjobs_cli("cancel", "jobs-1", "--all").returncode == 0
        run.wait()
    assert len(ledger(tmp_path)) == 4
    assert {job["outcome"] for job in status(sshjobs_cli)["jobs"]} == {"cancelled"}


@tries("share the home with the nodes, or leave mode=array out", "make the home writable")
def test_nothing_is_submitted_where_the_nodes_do_not_see_the_home(cluster, sshjobs_cli, tmp_path, clean_home):
    write(tmp_path, {"name": "job", "commands": f"echo here >> {tmp_path}/ledger"})
    words = " ".join(map(shlex.quote, sshjobs_argv(["run", "jobs.yaml", "--hosts", WORD])))
    # What is mounted there is seen by this process alone, and by no node.
    script = f"mount -t tmpfs none {shlex.quote(str(clean_home))} && exec {words}"
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False,
                          env={**os.environ, **cli_environment()}, stdin=subprocess.DEVNULL, timeout=120)
    assert done.returncode == 3, done.stdout + done.stderr
    assert len([line for line in done.stderr.splitlines() if "nodes do not see" in line]) == 1, done.stderr
    assert "share the home with the nodes" in done.stderr and ledger(tmp_path) == []
    unwritable = sshjobs_cli("run", "jobs.yaml", "--hosts", WORD, env={"HOME": "/proc"})
    assert unwritable.returncode == 3 and "make the home writable" in unwritable.stderr and ledger(tmp_path) == []
    assert sshjobs_cli("run", "jobs.yaml", "--hosts", WORD).returncode == 0
    assert sshjobs_cli("run", "jobs.yaml", "--hosts", "slurm:partition=main").returncode == 0


@tries("correct the word of this host, or ask who runs the cluster")
def test_a_host_is_set_aside_whose_jobs_slurm_refuses(cluster, sshjobs_cli, tmp_path):
    write(tmp_path, {"name": "job", "commands": "echo here"})
    refused = sshjobs_cli("run", "jobs.yaml", "--hosts", "slurm:mode=array,partition=nowhere")
    assert refused.returncode == 3
    said = "Slurm does not take the jobs: Batch job submission failed: Invalid partition name"
    assert len([line for line in refused.stderr.splitlines() if said in line]) == 1, refused.stderr
    assert "correct the word of this host" in refused.stderr
    assert sshjobs_cli("run", "jobs.yaml", "--hosts", WORD).returncode == 0


def test_what_an_agent_had_submitted_is_the_next_ones(cluster, sshjobs_cli, tmp_path, clean_home):
    write(tmp_path, held(tmp_path, 10, cpus=2))
    with Background(tmp_path, "--hosts", WORD) as run:
        wait_until(lambda: len(ledger(tmp_path)) == 4, 60, lambda: run.told)
        kill_agent(clean_home)
        wait_until(lambda: "the connection broke" in run.told, 30, lambda: run.told)
        (tmp_path / "go").touch()
        assert run.wait(90) == 0, run.told
    assert sorted(line[:2] for line in ledger(tmp_path)) == sorted([f"job-{n}", "1"] for n in range(1, 11))


def test_an_array_is_submitted_on_the_login_node(cluster, loopback_lab, tmp_path):
    lab = loopback_lab(hosts=1, options=HostOptions(sshd={"AcceptEnv": "LANG LC_* SLURM_CONF"}))
    config = lab.write_ssh_config(tmp_path / "config", extra="Host *\n    SendEnv SLURM_CONF\n")
    write(tmp_path, held(tmp_path, 3))
    (tmp_path / "bin").mkdir()
    for name in ("ssh", "env", "true", "sh"):
        (tmp_path / "bin" / name).symlink_to(f"/usr/bin/{name}")
    # Here are no programs of Slurm.
    with Background(tmp_path, "--hosts", f"{WORD},login={lab.names[0]}", "--ssh-config", str(config),
                    env={"PATH": str(tmp_path / "bin")}) as run:
        wait_until(lambda: len(ledger(tmp_path)) == 3, 60, lambda: run.told)
        assert any(" RUNNING " in line for line in elements(cluster))
        (tmp_path / "go").touch()
        assert run.wait() == 0, run.told
    assert {line[2] for line in ledger(tmp_path)} == {"slurm1-1"}
    assert {(tmp_path / f"results/jobs-1/jobs/job-{n}/stdout").read_text() for n in range(1, 4)} == {
        f"out of job-{n}\n" for n in range(1, 4)}
