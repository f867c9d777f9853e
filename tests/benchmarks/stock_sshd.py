"""10,000 jobs on one host with a stock sshd (MaxStartups 10:30:100, MaxSessions 10) and 16 slots, over one login."""

from __future__ import annotations

from tests.benchmarks.measure import Figure, main, scratch
from tests.benchmarks.short_jobs import ours
from tests.lab import Lab

JOBS, SLOTS = 10_000, 16


def measure(rounds: int) -> list[Figure]:
    logins, rates = [], []
    for _ in range(rounds):
        with scratch() as work, Lab(1) as lab:
            # Anything but JOBS successes is an error there.
            rates.append(JOBS / ours(lab, SLOTS, work, JOBS).seconds)
            logins.append(float(lab.hosts[0].sshd_log.read_text().count("Accepted publickey")))
    what = f"{JOBS:,} jobs on one stock sshd, {SLOTS} slots"
    return [Figure(f"{what}: failures", [0.0] * rounds, "", 0), Figure(f"{what}: logins", logins, "", 1),
            Figure(f"{what}: rate", rates, "jobs/s")]


if __name__ == "__main__":
    main("stock_sshd", measure, 2)
