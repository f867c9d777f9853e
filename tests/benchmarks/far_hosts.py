"""40 jobs of 0.2 s on four hosts that are 100 milliseconds of round trip away: nobody may wait for the line."""

from __future__ import annotations

import sqlite3
from contextlib import ExitStack
from pathlib import Path

from tests.benchmarks.measure import Figure, Ledger, fresh, main, scratch, sshjobs, sshjobs_env, timed
from tests.benchmarks.short_jobs import check
from tests.lab import BaseLab, DelayProxy, Lab

HOSTS, JOBS, SECONDS = 4, 40, 0.2
IDEAL = JOBS * SECONDS / HOSTS
#: One way.
DELAY_MS = 50


def round_of(lab: BaseLab, config: Path, work: Path) -> dict[str, float]:
    """Seconds of a login, of the whole command, and from the first start to the last end by the hosts' clock."""
    home = fresh(work)
    login = timed(["ssh", "-F", config, lab.names[0], "true"]).seconds
    jobfile = home / "far.yaml"
    jobfile.write_text(f"jobs: [{{name: far, argv: [sleep, '{SECONDS}'], repeat: {JOBS}}}]\n")
    whole = timed(sshjobs("run", jobfile, "--hosts", ",".join(lab.names), "-j", 1, "--ssh-config", config,
                          "--results", home / "results", "-q"), env=sshjobs_env(home)).seconds
    run = home / "results" / "far-1"
    check(run, JOBS)
    with sqlite3.connect(run / "run.db") as store:
        (span,) = store.execute("SELECT max(ended) - min(started) FROM attempts").fetchone()
    return {"login": login, "whole": whole, "span": span, "over": whole - IDEAL - login}


def measure(rounds: int) -> list[Figure]:
    with scratch() as work, Lab(HOSTS) as lab, ExitStack() as stack:
        proxies = {host.name: stack.enter_context(DelayProxy(host.address, host.port, delay_ms=DELAY_MS))
                   for host in lab.hosts}
        config = lab.write_ssh_config(work / "ssh_config", {
            name: {"HostName": proxy.host, "Port": str(proxy.port)} for name, proxy in proxies.items()})
        ledger = Ledger([round_of(lab, config, work) for _ in range(rounds)])
    what = f"{JOBS} × {SECONDS} s on {HOSTS} hosts × 1 slot, {2 * DELAY_MS} ms away"
    return [
        Figure(f"{what}: first start to last end", [one / IDEAL for one in ledger.column("span")], "× ideal", 1.1),
        Figure(f"{what}: whole command, beyond ideal and one login", ledger.column("over"), "s", 0.8),
        Figure(f"{what}: whole command", ledger.column("whole"), "s"),
        Figure(f"{what}: `ssh host true`", ledger.column("login"), "s"),
    ]


if __name__ == "__main__":
    main("far_hosts", measure, 5)
