"""512 MiB of standard output of one job, into its file."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.disk import settle
from tests.benchmarks.measure import Figure, Ledger, fresh, main, scratch, sshjobs, sshjobs_env, timed
from tests.lab import BaseLab, Lab

MIB = 512
#: The same for both: what is read comes from memory, and what is written is no hole in a file.
COMMAND = f"head -c {MIB}M /dev/zero | tr '\\0' x"


def round_of(lab: BaseLab, work: Path) -> dict[str, float]:
    """Seconds of each, and our CPU."""
    home = fresh(work)
    settle()
    with open(home / "by-ssh", "wb") as file:
        ssh = timed(["ssh", "-F", lab.ssh_config, lab.names[0], COMMAND], stdout=file)
    settle()
    ours = timed(sshjobs("exec", "--per-host", "--hosts", lab.names[0], "--ssh-config", lab.ssh_config, "--results",
                         home / "results", "--output", "none", "-q", COMMAND), env=sshjobs_env(home))
    (found,) = (home / "results").glob("exec-1/jobs/*/stdout")
    if {found.stat().st_size, (home / "by-ssh").stat().st_size} != {MIB << 20}:
        raise RuntimeError("bytes are missing")
    found.unlink()
    (home / "by-ssh").unlink()
    return {"sshjobs": ours.seconds, "ssh": ssh.seconds, "cpu": ours.cpu}


def measure(rounds: int) -> list[Figure]:
    with scratch() as work, Lab(1) as lab:
        ledger = Ledger([round_of(lab, work) for _ in range(rounds)])
    what = f"{MIB} MiB of stdout into its file"
    return [Figure(f"{what}: against `ssh host cat`", ledger.ratios("sshjobs", "ssh"), "×", 1.5),
            Figure(f"{what}: sshjobs", ledger.column("sshjobs"), "s"),
            Figure(f"{what}: ssh", ledger.column("ssh"), "s"),
            Figure(f"{what}: CPU of manager and ssh", ledger.column("cpu"), "s")]


if __name__ == "__main__":
    main("big_output", measure, 5)
