"""One ``true`` on one host, the whole command; and what it takes to say how the command is used."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.benchmarks.measure import Figure, Ledger, fresh, main, scratch, sshjobs, sshjobs_env, timed
from tests.benchmarks.short_jobs import check
from tests.lab import BaseLab, Lab


def round_of(lab: BaseLab, work: Path) -> dict[str, float]:
    """Seconds of each command."""
    home = fresh(work)
    env = sshjobs_env(home)
    ours = timed(sshjobs("exec", "--per-host", "--hosts", lab.names[0], "--ssh-config", lab.ssh_config, "--results",
                         home / "results", "-q", "true"), env=env).seconds
    check(home / "results" / "exec-1", 1)
    return {"ours": ours, "ssh": timed(["ssh", "-F", lab.ssh_config, lab.names[0], "true"]).seconds,
            "help": timed(sshjobs("--help"), env=env).seconds,
            "python": timed([sys.executable, "-c", "pass"], env=env).seconds}


def measure(rounds: int) -> list[Figure]:
    with scratch() as work, Lab(1) as lab:
        round_of(lab, work)
        ledger = Ledger([round_of(lab, work) for _ in range(rounds)])
    return [
        Figure("one `true` on one host: beyond `ssh host true`", [
            one["ours"] - one["ssh"] for one in ledger.rounds], "s", 0.35),
        Figure("one `true` on one host: whole command", ledger.column("ours"), "s"),
        Figure("one `true` on one host: `ssh host true`", ledger.column("ssh"), "s"),
        Figure("`sshjobs --help` against `python3 -c pass`", ledger.ratios("help", "python"), "×", 6),
    ]


if __name__ == "__main__":
    main("one_job", measure, 9)
