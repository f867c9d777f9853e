"""4,000 times ``/bin/true`` on four hosts: jobs a second of the whole command, and CPU of the manager and its ssh."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from sshjobs.store import RunReader
from sshjobs.store.rundir import RunPaths
from tests.benchmarks.measure import Cost, Figure, Ledger, fresh, main, peer, scratch, sshjobs, sshjobs_env, timed
from tests.lab import BaseLab, Lab

JOBS = 4000
#: Those that start an ssh or a channel for each job are so slow that fewer jobs tell as much.
FEWER = {"parallel": 60, "parallel, ControlMaster": 300, "fabric": 400, "asyncssh": 2000}
HOSTS = 4


def ours(lab: BaseLab, slots: int, work: Path, jobs: int = JOBS) -> Cost:
    """Run the whole command, and see that nothing of the result is missing."""
    home = fresh(work)
    jobfile = home / "short.yaml"
    jobfile.write_text(f"jobs: [{{name: short, argv: [/bin/true], repeat: {jobs}}}]\n")
    cost = timed(sshjobs("run", jobfile, "--hosts", ",".join(lab.names), "-j", slots, "--ssh-config",
                         lab.ssh_config, "--results", home / "results", "-q"), env=sshjobs_env(home))
    check(home / "results" / "short-1", jobs)
    return cost


def check(directory: Path, jobs: int) -> None:
    """See that every job succeeded and has its two files.

    :raises RuntimeError: the figure would be that of a run that did less
    """
    with RunReader.open(RunPaths(directory.parent, directory.name)) as reader:
        outcomes = reader.summary().outcomes
    files = sum(1 for _ in (directory / "jobs").glob("*/std*"))
    if outcomes.get("succeeded") != jobs or files != 2 * jobs:
        raise RuntimeError(f"{outcomes}, {files} files, of {jobs} jobs")


def xargs(workers: int) -> Cost:
    """The bare limit: a process for each job, and nothing else."""
    return timed(["xargs", f"-P{workers}", "-n1", "/bin/true"],
                 input="".join(f"{n}\n" for n in range(JOBS)).encode())


def parallel(lab: BaseLab, slots: int, jobs: int, *, master: bool) -> float:
    """GNU parallel, over connections that are open before with ``master``."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        config = lab.ssh_config
        if master:
            options = f"Host *\n    ControlMaster auto\n    ControlPath {home}/%n\n    ControlPersist 60\n"
            config = lab.write_ssh_config(home / "config", extra=options)
            for name in lab.names:
                timed(["ssh", "-F", config, name, "true"])
        ssh = shlex.join(["ssh", "-F", str(config)])
        where = ",".join(f"1/{name}" for name in lab.names)
        try:
            return timed(["parallel", "--ssh", ssh, "-S", where, "-j", str(slots), "-n0", "/bin/true"],
                         input="".join(f"{n}\n" for n in range(jobs)).encode(), env={"HOME": str(home)}).seconds
        finally:
            for name in lab.names if master else ():
                timed(["ssh", "-F", config, "-O", "exit", name])


def round_of(lab: BaseLab, slots: int, work: Path, *, backwards: bool) -> dict[str, float]:
    """Jobs a second of everybody, and CPU in milliseconds a job: of our manager and its ssh, and of all processes.

    :param backwards: begin with the last, so that nobody is always the first after a pause
    """
    over_ssh = (slots, lab.ssh_config, *lab.names)
    told: dict[str, float] = {}

    def run_ours() -> float:
        cost = ours(lab, slots, work)
        told.update(cpu=1000 * cost.cpu / JOBS, machine=1000 * cost.machine / JOBS)
        return JOBS / cost.seconds

    def run_xargs() -> float:
        cost = xargs(4)
        told["machine of xargs"] = 1000 * cost.machine / JOBS
        return JOBS / cost.seconds

    contestants: dict[str, Callable[[], float]] = {
        "sshjobs": run_ours,
        "hyperqueue": lambda: JOBS / peer("hyperqueue", JOBS, HOSTS, slots),
        "xargs": run_xargs,
        "dask": lambda: JOBS / peer("dask", JOBS, HOSTS, slots),
        **{name: partial(lambda name: FEWER[name] / parallel(lab, slots, FEWER[name], master=name != "parallel"), name)
           for name in ("parallel", "parallel, ControlMaster")},
        **{name: partial(lambda name: FEWER[name] / peer(name, FEWER[name], *over_ssh), name)
           for name in ("fabric", "asyncssh")},
    }
    rates = {name: contestants[name]() for name in (reversed(contestants) if backwards else contestants)}
    return {**{name: rates[name] for name in contestants}, **told}


def measure(rounds: int) -> list[Figure]:
    figures = []
    with scratch() as work, Lab(HOSTS) as lab:
        for slots in (1, 2):
            ledger = Ledger([round_of(lab, slots, work, backwards=bool(n % 2)) for n in range(rounds)])
            what = f"{JOBS:,} × `/bin/true`, {HOSTS} hosts × {slots} slot{'s' * (slots > 1)}"
            figures += [
                Figure(f"{what}: against the best of HyperQueue and Dask", ledger.ratios("sshjobs", "hyperqueue", "dask"), "×", 1.5,
                       at_least=True),
                Figure(f"{what}: against `xargs -P4`", ledger.ratios("sshjobs", "xargs"), "×", 0.6, at_least=True),
                Figure(f"{what}: against parallel with ControlMaster", ledger.ratios("sshjobs", "parallel, ControlMaster"), "×",
                       15, at_least=True),
                Figure(f"{what}: CPU of manager and ssh", ledger.column("cpu"), "ms a job", 0.35),
                Figure(f"{what}: CPU of all processes, hosts and jobs too", ledger.column("machine"), "ms a job"),
                Figure(f"{what}: CPU of all processes with xargs", ledger.column("machine of xargs"), "ms a job"),
                *(Figure(f"{what}: {name}", ledger.column(name), "jobs/s") for name in ledger.rounds[0]
                  if name not in ("cpu", "machine", "machine of xargs")),
            ]
    return figures


if __name__ == "__main__":
    main("short_jobs", measure, 3)
