"""A run of 1,000,000 jobs: what it takes to ask how it stands, and to take it over until the first launch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

from tests.benchmarks.measure import Figure, Ledger, ended_in_time, fresh, main, scratch, sshjobs, sshjobs_env, timed
from tests.lab import Lab

JOBS = 1_000_000


def until_launch(argv: list[str], env: dict[str, str], launches: int) -> tuple[float, float]:
    """Kill a manager after so many launches; return the seconds until the first, and its memory in MiB then."""
    began, first, memory = time.perf_counter(), 0.0, 0.0
    with subprocess.Popen(argv, env={**os.environ, **env}, stdout=subprocess.PIPE) as manager, ended_in_time(manager):
        assert manager.stdout is not None
        for line in manager.stdout:
            if json.loads(line)["event"] == "launch":
                first = first or time.perf_counter() - began
                launches -= 1
            if not launches:
                memory = _resident(manager.pid)
                manager.send_signal(signal.SIGKILL)
                break
    if not first:
        raise RuntimeError("nothing was launched")
    return first, memory


def _resident(pid: int) -> float:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(status["VmRSS"].split()[0]) / 1024


def measure(rounds: int) -> list[Figure]:
    ledger = Ledger()
    with scratch() as work, Lab(1) as lab:
        home = fresh(work)
        env, results = sshjobs_env(home), ("--results", home / "results")
        jobfile = home / "million.yaml"
        jobfile.write_text(f"jobs: [{{name: m, argv: [/bin/true], repeat: {JOBS}}}]\n")
        start, _ = until_launch(sshjobs("run", jobfile, "--hosts", lab.names[0], "-j", 2, "--ssh-config",
                                        lab.ssh_config, "--json", *results), env, 500)
        for _ in range(rounds):
            text = timed(sshjobs("status", "million-1", *results), env=env).seconds
            short = timed(sshjobs("status", "million-1", "--json", "--summary", *results), env=env).seconds
            resume, memory = until_launch(sshjobs("resume", "million-1", "--json", *results), env, 500)
            ledger.rounds.append({"text": text, "json": short, "resume": resume, "memory": memory})
    what = f"a run of {JOBS:,} jobs"
    return [Figure(f"{what}: `status`", ledger.column("text"), "s", 0.5),
            Figure(f"{what}: `status --json --summary`", ledger.column("json"), "s", 0.5),
            Figure(f"{what}: `resume` until the first launch", ledger.column("resume"), "s", 10),
            Figure(f"{what}: memory of the manager, a job", [one * 2**20 / JOBS for one in ledger.column("memory")],
                   "bytes", 1024),
            Figure(f"{what}: `run` until the first launch", [start], "s"),
            Figure(f"{what}: memory of the manager", ledger.column("memory"), "MiB")]


if __name__ == "__main__":
    main("big_run", measure, 3)
