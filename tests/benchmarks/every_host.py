"""``true`` once on each of 32 hosts, all of them new: the agents are started first."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.measure import Figure, Ledger, fresh, main, scratch, sshjobs, sshjobs_env, timed
from tests.benchmarks.short_jobs import check
from tests.lab import BaseLab, Lab

HOSTS = 32


def round_of(lab: BaseLab, work: Path) -> dict[str, float]:
    """Seconds of each."""
    home = fresh(work)
    where = ",".join(lab.names)
    ours = timed(sshjobs("exec", "--per-host", "--hosts", where, "-j", 1, "--ssh-config", lab.ssh_config, "--results",
                         home / "results", "-q", "true"), env=sshjobs_env(home))
    check(home / "results" / "exec-1", HOSTS)
    clush = timed(["clush", "-w", where, "-f", str(HOSTS), "-o", f"-F {lab.ssh_config}", "true"])
    pdsh = timed(["pdsh", "-R", "ssh", "-f", str(HOSTS), "-l", lab.hosts[0].user, "-w", where, "true"],
                 env={"PDSH_SSH_ARGS_APPEND": f"-F {lab.ssh_config}"})
    return {"sshjobs": ours.seconds, "clush": clush.seconds, "pdsh": pdsh.seconds, "cpu": ours.cpu}


def measure(rounds: int) -> list[Figure]:
    with scratch() as work, Lab(HOSTS) as lab:
        ledger = Ledger([round_of(lab, work) for _ in range(rounds)])
    what = f"`true` once on each of {HOSTS} hosts"
    return [
        Figure(f"{what}: against clush", ledger.ratios("sshjobs", "clush"), "×", 1.3),
        Figure(f"{what}: against pdsh", ledger.ratios("sshjobs", "pdsh"), "×"),
        *(Figure(f"{what}: {name}", ledger.column(name), "s") for name in ("sshjobs", "clush", "pdsh")),
    ]


if __name__ == "__main__":
    main("every_host", measure, 5)
