"""Sweeps: a table of 10,000 jobs, a dry run of 100,000, pairs by equal parameters, and many files placed by link."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from pathlib import Path

from sshjobs.inputs.builder import Builder
from sshjobs.model.host import Host
from sshjobs.running.newrun import new_run
from sshjobs.store import ManagerIdentity
from tests.benchmarks.measure import Figure, Ledger, ended_in_time, fresh, main, scratch, sshjobs, sshjobs_env, timed
from tests.lab import Lab
from tests.store.helpers import finish, launch

TABLE, MATRIX, PAIRS, FILES, READERS = 10_000, 100_000, 100, 10_000, 100
SWEEP = f"""\
jobs:
  - name: train
    matrix: {{lr: 1..{MATRIX // 100}, seed: 1..10, part: [a, b, c, d, e, f, g, h, i, j]}}
    commands: train --lr ${{{{ lr }}}} --seed ${{{{ seed }}}} ${{{{ part }}}}
"""
PAIRED = f"""\
jobs:
  - {{name: first, matrix: {{n: 1..{PAIRS}}}, commands: "sleep 0.$(({{{{n}}}} % 10))"}}
  - {{name: second, matrix: {{n: 1..{PAIRS}}}, after: first, commands: "true"}}
""".replace("{{n}}", "${{ n }}")
LINKED = f"""\
jobs:
  - name: read
    repeat: {READERS}
    files: [{{path: data, readonly: true}}]
    commands: find data -type f -printf '%i\\n' | sort -u
"""


def with_memory(argv: list[str], env: dict[str, str]) -> tuple[float, float]:
    """Run a command; return its seconds and the most memory that it had, in MiB."""
    began = time.perf_counter()
    with subprocess.Popen(argv, env={**os.environ, **env}, stdout=subprocess.DEVNULL) as process, ended_in_time(process):
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{argv}: exit {process.returncode}")
    return time.perf_counter() - began, usage.ru_maxrss / 1024


def make_results(results: Path) -> str:
    """Make a run whose jobs have parameters and results; return its name."""
    specs = Builder().AddJob("x", name="t", matrix={"lr": list(range(TABLE // 100)), "seed": list(range(100))}).MakeJobSpecs()
    made = new_run(specs, [Host("a")], results, name="table", manager=ManagerIdentity.this_process())
    for job in made.jobs:
        launch(made.store, job)
        job.attempts[-1].result_json = f'{{"loss":{job.index / TABLE},"accuracy":0.5,"epoch":{job.index % 7}}}'
        finish(made.store, job)
    made.store.set_run_state("done")
    made.store.commit()
    made.store.close(1.0)
    return "table"


def gaps(told: str) -> list[float]:
    """Return for each pair the seconds between its halves, by the clock of the hosts, which is one."""
    jobs = {job["name"]: job["attempts"][-1] for job in json.loads(told)["jobs"]}
    return [jobs[f"second-{n}"]["started"] - jobs[f"first-{n}"]["ended"] for n in range(1, PAIRS + 1)]


def measure(rounds: int) -> list[Figure]:
    ledger = Ledger()
    with scratch() as work, Lab(4) as lab:
        hosts = ("--hosts", ",".join(lab.names), "--ssh-config", lab.ssh_config, "--quiet")
        for _ in range(rounds):
            home = fresh(work)
            env, results = sshjobs_env(home), ("--results", home / "results")
            run = make_results(home / "results")
            table = timed(sshjobs("table", run, *results), env=env).seconds
            some = timed(sshjobs("table", run, "--where", "loss<0.3 and lr=7", "--sort", "loss", *results), env=env).seconds
            (home / "sweep.yaml").write_text(SWEEP)
            dry, memory = with_memory(sshjobs("run", home / "sweep.yaml", "--dry-run", *results), env)
            (home / "pairs.yaml").write_text(PAIRED)
            timed(sshjobs("run", home / "pairs.yaml", "-j", PAIRS // 4, *hosts, *results), env=env)
            told = subprocess.run(sshjobs("status", "pairs-1", "--json", *results), env={**os.environ, **env},
                                  capture_output=True, text=True, check=True).stdout
            (home / "data").mkdir()
            for number in range(FILES):
                (home / "data" / f"{number:05}").write_text(f"{number}\n")
            (home / "linked.yaml").write_text(LINKED)
            linked = timed(sshjobs("run", home / "linked.yaml", "-j", 4, *hosts, *results), env=env).seconds
            # A host numbers inodes of one file system: what all jobs of all hosts saw has as many as there are files.
            seen = {line for path in (home / "results/linked-1/jobs").glob("*/stdout") for line in path.read_text().splitlines()}
            pairs = gaps(told)
            ledger.rounds.append({"table": table, "some": some, "dry": dry, "memory": memory, "pairs": statistics.median(pairs),
                                  "worst": max(pairs), "linked": linked, "inodes": float(len(seen))})
    sweep, linked_what = f"`run --dry-run` of a matrix of {MATRIX:,}", f"{FILES:,} files, `readonly`, for {READERS} jobs on 4 hosts"
    return [Figure(f"`table` of {TABLE:,} jobs", ledger.column("table"), "s", 1),
            Figure(sweep, ledger.column("dry"), "s", 5),
            Figure(f"{sweep}: memory", ledger.column("memory"), "MiB", 300),
            Figure(f"{PAIRS} pairs by equal parameters: between the halves, the median", ledger.column("pairs"), "s", 0.1),
            Figure(f"{linked_what}: inodes", ledger.column("inodes"), "", 4 * FILES),
            Figure(f"{linked_what}: whole command", ledger.column("linked"), "s"),
            Figure(f"`table` of {TABLE:,} jobs, with `--where` and `--sort`", ledger.column("some"), "s"),
            Figure(f"{PAIRS} pairs by equal parameters: between the halves, the longest", ledger.column("worst"), "s")]


if __name__ == "__main__":
    main("sweeps", measure, 3)
