"""256 MiB of input to each of eight hosts, and the same file again: for other jobs of the run, and for another run."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

from sshjobs.store import RunReader
from sshjobs.store.rundir import RunPaths
from tests.benchmarks.disk import settle
from tests.benchmarks.measure import LIMIT, Figure, Ledger, fresh, main, scratch, sshjobs, sshjobs_env, timed
from tests.lab import Lab, wait_until

HOSTS, MIB = 8, 256
#: What is on a host as long as a run is: a directory of 32 hex digits. What outlives runs is called otherwise.
RUN = "[0-9a-f]" * 32 + "/*"


def sent(lab: Lab) -> int:
    """Bytes that this machine has sent to the lab."""
    return int(Path(f"/sys/class/net/{lab.entry.uplink}/statistics/tx_bytes").read_text())


def scp(lab: Lab, big: Path) -> float:
    """Seconds of one scp a host, all at once."""
    began = time.perf_counter()
    copies = [subprocess.Popen(["scp", "-q", "-F", lab.ssh_config, big, f"{name}:copy"]) for name in lab.names]
    if any(copy.wait(LIMIT) for copy in copies):
        raise RuntimeError("scp failed")
    seconds = time.perf_counter() - began
    for host in lab.hosts:
        (host.home / "copy").unlink()
    return seconds


def succeeded(results: Path) -> int:
    """How many jobs of the queue have succeeded."""
    with RunReader.open(RunPaths(results, "q")) as reader:
        return reader.summary().outcomes.get("succeeded", 0)


def round_of(lab: Lab, big: Path, work: Path) -> dict[str, float]:
    """Seconds and bytes of each."""
    home = fresh(work)
    env, results = sshjobs_env(home), home / "results"
    jobfile = home / "input.yaml"
    jobfile.write_text(f"jobs: [{{name: input, argv: ['true'], per_host: true, files: [{big}]}}]\n")

    def add_and_wait(jobs: int) -> None:
        timed(sshjobs("add", "q", jobfile, "--results", results), env=env)
        wait_until(lambda: succeeded(results) == jobs, LIMIT, "the jobs to end")

    settle()
    seconds = {"scp": scp(lab, big)}
    settle()
    began = time.perf_counter()
    timed(sshjobs("queue", "start", "--detach", "--name", "q", "--hosts", ",".join(lab.names), "-j", 1, "--ssh-config",
                  lab.ssh_config, "--results", results), env=env)
    add_and_wait(HOSTS)
    seconds["first"] = time.perf_counter() - began
    settle()
    began, before = time.perf_counter(), sent(lab)
    add_and_wait(2 * HOSTS)
    seconds |= {"again": time.perf_counter() - began, "bytes": float(sent(lab) - before)}
    timed(sshjobs("queue", "finish", "q", "--results", results), env=env)
    wait_until(lambda: not any(True for host in lab.hosts for _ in (host.home / ".sshjobs").glob(RUN)), LIMIT,
               "the hosts to be clean again")
    settle()
    began, before = time.perf_counter(), sent(lab)
    timed(sshjobs("run", jobfile, "--hosts", ",".join(lab.names), "-j", 1, "--ssh-config", lab.ssh_config, "--results",
                  results), env=env)
    seconds |= {"another": time.perf_counter() - began, "another bytes": float(sent(lab) - before)}
    for host in lab.hosts:
        shutil.rmtree(host.home / ".sshjobs")
    return seconds


def measure(rounds: int) -> list[Figure]:
    with scratch() as work, Lab(HOSTS) as lab:
        big = work / "big"
        with open(big, "wb") as file:
            for _ in range(MIB):
                file.write(os.urandom(1 << 20))
        ledger = Ledger([round_of(lab, big, work) for _ in range(rounds)])
    what = f"{MIB} MiB of input to {HOSTS} hosts"
    whole = HOSTS * MIB << 20
    return [Figure(f"{what}: against {HOSTS} scp in parallel", ledger.ratios("first", "scp"), "×", 1.2),
            Figure(f"{what}: again, unchanged", ledger.column("again"), "s", 1),
            Figure(f"{what}: again, of the bytes", [100 * one / whole for one in ledger.column("bytes")], "%", 1),
            Figure(f"{what}: again, in another run, whole command", ledger.column("another"), "s"),
            Figure(f"{what}: again, in another run, of the bytes",
                   [100 * one / whole for one in ledger.column("another bytes")], "%", 1),
            Figure(f"{what}: sshjobs", ledger.column("first"), "s"), Figure(f"{what}: scp", ledger.column("scp"), "s")]


if __name__ == "__main__":
    main("big_input", measure, 3)
