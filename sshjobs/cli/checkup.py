"""Checks hosts the way a run would use them: ``sshjobs hosts check``."""

from __future__ import annotations

import os
import secrets
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sshjobs.errors import HostError, UsageError
from sshjobs.model.gpus import BUSY_FROM, GpuReport, selected
from sshjobs.model.host import Host
from sshjobs.model.spec import Job
from sshjobs.model.states import FINAL_STATES, Outcome
from sshjobs.network import HostDown, HostUp, Network, RunIdentity, Warned
from sshjobs.running.setups import FIRST_NUMBER, setup_job, why_failed
from sshjobs.store.rundir import RunPaths, create_run
from sshjobs.views.hostnews import describe
from sshjobs.views.wording import count, duration, size

#: After how many seconds without an answer of any host the remaining hosts count as silent.
PATIENCE = 45.0
#: Causes that may go away when sshd is less busy, so that a first refusal is not final.
PASSING = ("throttled",)
#: Up to how many seconds clock skew is not reported; it contains the time of a round trip to the host.
SKEW = 2.0
#: How many warnings of a host are noted.
MOST_NOTES = 5
#: Below how much free disk space a note is made.
LITTLE_DISK = 1 << 30


@dataclass
class Finding:
    """The result of checking a host.

    :ivar facts: its facts; ``None`` where it cannot be used
    :ivar skew: by how many seconds its clock is ahead of ours
    :ivar slots: how many jobs it would get at a time
    :ivar gpus: its GPUs, one line each, where a tool of their driver is installed
    :ivar notes: what else the user should know
    """

    host: str
    facts: dict[str, Any] | None = None
    skew: float = 0.0
    slots: int | None = None
    error: HostError | None = None
    notes: list[str] = field(default_factory=list)
    gpus: list[dict[str, Any]] = field(default_factory=list)

    def note_gpus(self, report: GpuReport, host: Host) -> None:
        """Note what the host has reported about its GPUs."""
        given = {gpu.uuid for gpu in selected(report.gpus, host.gpus)}
        busy_from = BUSY_FROM if host.gpu_busy is None else host.gpu_busy
        self.gpus = [{"label": gpu.label, "uuid": gpu.uuid, "name": gpu.name, "memory": gpu.memory, "used": gpu.used,
                      "given": gpu.uuid in given, "in_use": gpu.taken_by(busy_from), "trouble": gpu.trouble}
                     for gpu in report.gpus]
        if report.gpus and self.facts is not None:
            self.facts = {**self.facts, "gpus": [gpu.name for gpu in report.gpus]}
        if report.trouble is not None:
            self.notes.append(report.trouble)

    @property
    def usable(self) -> bool:
        """Whether jobs can run there."""
        return self.facts is not None and self.error is None

    def text(self) -> str:
        """Return the result in one line."""
        if self.error is not None or self.facts is None:
            text = str(self.error).removeprefix(f"{self.host}: ")
        else:
            facts = self.facts
            text = describe(facts)
            if self.slots is not None and self.slots != facts.get("cores"):
                text += f", {count(self.slots, 'slot')}"
            if facts.get("gpus"):
                text += f" ({'; '.join(map(_gpu, self.gpus)) or ', '.join(facts['gpus'])})"
            if facts.get("disk") is not None:
                text += f", {size(facts['disk'])} free"
            text += f", {_skew(self.skew)}"
        return "; ".join([text, *self.notes])

    def as_dict(self) -> dict[str, Any]:
        """Return the result as data for JSON."""
        facts = self.facts or {}
        return {
            "host": self.host, "usable": self.usable,
            **{key: facts.get(key) for key in ("python", "cores", "memory", "gpus", "disk", "hostname", "machine")},
            "gpu_units": self.gpus, "slots": self.slots,
            "clock_skew": round(self.skew, 1) + 0.0 if self.usable else None,
            "kind": self.error.kind if self.error else None, "reason": str(self.error) if self.error else None,
            "notes": self.notes,
        }


def examine(hosts: Sequence[Host], *, ssh_config: str | None = None, transport: str | None = None,
            slots: int | None = None, accept_new_host_keys: bool = False,
            setup: Sequence[str] = ()) -> Iterator[Finding]:
    """Check all hosts at once. Yield the results in the order of the hosts, each as early as that allows.

    :param setup: lines of a script to run on each host that can be used
    :raises UsageError: the ssh configuration cannot be read
    """
    if ssh_config is not None and not os.access(ssh_config, os.R_OK):
        raise UsageError("the ssh configuration cannot be read", where=ssh_config, hint="correct --ssh-config")
    with tempfile.TemporaryDirectory(prefix="sshjobs-check-") as results:
        network = Network(results, hosts, ssh_config=ssh_config, transport=transport, slots=slots,
                          accept_new_host_keys=accept_new_host_keys)
        paths = create_run(Path(results), name="check")
        network.open(RunIdentity(secrets.token_hex(16), "check", 1), paths)
        try:
            yield from _collect(network, slots, _Setups(network, paths, setup))
        finally:
            network.close(finished=True)


class _Setups:
    """Tries the setup of a run on each host.

    :param script: the lines of the setup; none where there is nothing to try
    """

    def __init__(self, network: Network, paths: RunPaths, script: Sequence[str]):
        self._network, self._paths, self._script = network, paths, script
        self._of: dict[Job, Finding] = {}

    def __bool__(self) -> bool:
        return bool(self._of)

    def begin(self, found: Finding) -> bool:
        """Have a host run the setup; tell whether there is anything to wait for."""
        if not self._script or not found.usable:
            return False
        if any(one.host == found.host for one in self._of.values()):
            return True
        job = setup_job(self._script, found.host, FIRST_NUMBER + len(self._of))
        job.paths = self._paths
        self._of[job] = found
        self._network.LaunchJob(job, found.host)
        return True

    def ended(self, jobs: Iterable[Job]) -> Iterator[Finding]:
        """Yield the results of hosts whose setup has ended."""
        for job in jobs:
            attempt = job.attempts[-1]
            if attempt.state not in FINAL_STATES or job not in self._of:
                continue
            found = self._of.pop(job)
            if attempt.outcome is Outcome.SUCCEEDED:
                found.notes.append(f"its setup took {duration(attempt.seconds or 0.0)}")
            else:
                found.error = why_failed(found.host, attempt, job,
                                         hint="mend it there, or the setup in the jobfile")
            yield found


def _collect(network: Network, slots: int | None, setups: _Setups) -> Iterator[Finding]:
    findings: dict[str, Finding] = {}
    machines: dict[tuple[str, str], str] = {}
    #: Hosts that are asked about their GPUs.
    asked: dict[str, Finding] = {}
    waiting, last = list(network.hosts), time.monotonic()
    while waiting:
        news = network.wait(max(0.0, PATIENCE - (time.monotonic() - last)))
        for found in setups.ended(news.jobs):
            findings[found.host], last = found, time.monotonic()
        if not news and not setups and time.monotonic() - last >= PATIENCE:
            for name in waiting:
                findings.setdefault(name, _silent(name))
        for name in news.gpus.keys() & asked.keys():
            found, last = asked.pop(name), time.monotonic()
            found.note_gpus(news.gpus[name], network.hosts[name])
            if not setups.begin(found):
                findings[name] = found
        for event in news.hosts:
            if isinstance(event, Warned):
                if event.host in findings and len(findings[event.host].notes) < MOST_NOTES:
                    findings[event.host].notes.append(event.message)
            elif isinstance(event, (HostUp, HostDown)) and event.host not in findings and not _passing(event):
                found = _finding(event, network.hosts[event.host], slots, machines)
                if found.usable and found.facts is not None and found.facts.get("gpu_tool"):
                    asked[event.host] = found
                    network.ask_gpus(event.host)
                elif not setups.begin(found):
                    findings[event.host] = found
                last = time.monotonic()
        while waiting and waiting[0] in findings:
            yield findings[waiting.pop(0)]


def _finding(event: HostUp | HostDown, host: Host, slots: int | None,
             machines: dict[tuple[str, str], str]) -> Finding:
    if isinstance(event, HostDown):
        return Finding(host.name, error=event.error)
    facts = event.facts
    found = Finding(host.name, facts, facts["clock"] - time.time(), host.slots or slots or facts["cores"])
    if abs(found.skew) >= SKEW:
        found.notes.append("set its clock (NTP)")
    if facts.get("disk") is not None and facts["disk"] < LITTLE_DISK:
        found.notes.append("little disk is left")
    machine = (facts.get("machine") or "", facts.get("boot") or "")
    if all(machine):
        twin = machines.setdefault(machine, host.name)
        if twin != host.name:
            found.notes.append(f"the same machine as {twin}: name it once")
    return found


def _passing(event: HostUp | HostDown) -> bool:
    return isinstance(event, HostDown) and event.error.kind in PASSING


def _silent(name: str) -> Finding:
    return Finding(name, error=HostError("timeout", name, "no answer in time", why=f"waited {PATIENCE:.0f} s",
                                         hint=f"try: ssh {name}"))


def _gpu(unit: dict[str, Any]) -> str:
    """Return one GPU in words: ``0: NVIDIA A100-SXM4-40GB, 40.0 GiB, free``."""
    words = [unit["name"]]
    if unit["memory"]:
        words.append(size(unit["memory"]))
    words.append(unit["trouble"] or ("not to be given" if not unit["given"] else
                                     f"in use: {unit['in_use']}" if unit["in_use"] else "free"))
    return f"{unit['label']}: {', '.join(words)}"


def _skew(seconds: float) -> str:
    if abs(seconds) < SKEW:
        return "clock right"
    return f"clock {duration(abs(seconds))} {'ahead' if seconds > 0 else 'behind'}"
