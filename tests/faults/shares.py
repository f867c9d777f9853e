"""Three runs of two persons on the same hosts, while managers, agents and runners are killed.

What each job had, and when, is what it has written itself: its start with its GPUs, a tick every tenth of a second, and its
end. From these ledgers follows what was taken of a host at every moment, who waited although there was enough, and for how
long. What counts as held is read where all runs agree, in the directory of the host, and held against the processes.
"""

from __future__ import annotations

import json
import math
import os
import random
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from sshjobs.store import RunReader
from tests.faults import ledger
from tests.faults.scene import Scene
from tests.lab import BaseLab, HostOptions, LabHost, wait_until
from tests.lab.files import USER
from tests.smi import cards, program

SECOND = "mate"
#: Hosts with a second person on them.
OPTIONS = HostOptions(others=(SECOND,))
SLOTS, MEMORY, LICENSES, GPUS = 4, 8, 2, 2
#: Seconds between two ticks of a job, and the most ticks of one.
TICK, MOST_TICKS = 0.1, 12
#: Seconds between two looks at what is held, and mean seconds between two kills.
LOOK, INTERVAL = 0.1, 2.5
#: Seconds within which what no living job holds has to be free, and for which a job may wait beside what it needs.
FREE_WITHIN, MOST_WAIT = 5.0, 2.0
#: Seconds after a kill after which the run that was hit counts as waiting, whatever it is doing.
MOST_AWAY = 15.0
#: Shares of the kills.
VICTIMS = {"manager": 6, "agent": 7, "runner": 4, "agent and runners": 3}
#: Where jobs with GPUs say on a host that they are on them.
SEEN = "/tmp/seen-on-gpus"
#: ``note`` without ``sync``.
_TICK = ledger.NOTE.replace("note()", "tick()").replace('; sync -d "$LEDGER"', "")

#: A job is seen on its GPUs as real ones are, by a tool that lists the processes.
_ON_GPUS = f'for gpu in ${{SSHJOBS_GPUS//,/ }}; do echo "$gpu, $$"; done > {SEEN}/$$'
_APPS = f"""apps) cat {SEEN}/* 2>/dev/null | while read -r gpu pid; do [ ! -d /proc/$pid ] || echo "$gpu $pid"; done;;
"""


class Needs(NamedTuple):
    """What a job takes. Memory is GiB."""

    slots: int = 1
    memory: int = 0
    licenses: int = 0
    gpus: int = 0

    def fits(self, taken: Needs) -> bool:
        """Tell whether a host has that beside what is taken of it."""
        return all(mine + others <= has for mine, others, has in zip(self, taken, LIMITS, strict=True))


LIMITS = Needs(SLOTS, MEMORY, LICENSES, GPUS)


class Stay(NamedTuple):
    """An attempt, as it has written itself: what it had where, from when to when.

    :ivar ended: it has come to its end by itself; ``end`` is when it last wrote anything
    """

    run: str
    job: str
    attempt: int
    host: str
    begin: float
    end: float
    ended: bool
    needs: Needs
    gpus: tuple[str, ...]


class Away(NamedTuple):
    """A time in which a run could not start anything on a host, because its manager or its agent there had been killed."""

    run: str
    host: str
    begin: float
    end: float


@dataclass
class Shares:
    """What was seen.

    :ivar longest_wait: seconds that a job waited although a host had what it needs
    :ivar longest_held: seconds that something stayed held after a kill which no living job had
    :ivar first: seconds until the first job of the second person began, on hosts that the first one had filled
    :ivar longest_job: seconds of the longest job, of all runs
    :ivar most: the most that was taken of a host at one moment
    :ivar away: seconds that the longest absence of a run from a host took
    """

    what: Counter[str] = field(default_factory=Counter)
    longest_wait: float = 0.0
    longest_held: float = 0.0
    first: list[float] = field(default_factory=list)
    longest_job: float = 0.0
    most: Needs = Needs(0)
    away: float = 0.0


# -- jobs ----------------------------------------------------------------------------------------------------------


def make_jobs(count: int, rng: random.Random, *, pace: float = 1.0) -> tuple[ledger.Jobs, dict[str, Needs]]:
    """Return jobs, and what each of them takes. The first few take a slot and no more."""
    made, needs = ledger.Jobs(), {}
    for number in range(count):
        name, need = f"j{number}", _some_needs(rng) if number >= SLOTS else Needs()
        needs[name] = need
        keys: dict[str, Any] = {"host_retries": 20}
        if need.slots > 1:
            keys["cpus"] = need.slots
        if need.memory:
            keys["memory"] = f"{need.memory}G"
        if need.licenses:
            keys["needs"] = {"license": need.licenses}
        if need.gpus:
            keys["gpus"] = need.gpus
        ticks = max(1, round(rng.randint(2, MOST_TICKS) * pace))
        made.add(name, [_TICK, 'tick "gpus=${SSHJOBS_GPUS-}"', *([_ON_GPUS] if need.gpus else []), f"for ((i=0; i<{ticks}; i++)); do sleep {TICK}; tick tick; done",
                        "note end"], **keys)
    return made, needs


def _some_needs(rng: random.Random) -> Needs:
    return Needs(rng.choice((1, 1, 1, 1, 1, 2, 2, 3, 4)), rng.choice((0, 0, 0, 1, 2, 3, 5)), rng.choice((0, 0, 0, 1, 1, 2)),
                 rng.choice((0, 0, 0, 1, 1, 2)))


class SharedRun(Scene):
    """One of the runs.

    :param user: whose account on the hosts it uses
    """

    def __init__(self, lab: BaseLab, directory: Path, seed: int, user: str, *, patience: float):
        directory.mkdir()
        super().__init__(lab, directory, seed, slots=SLOTS, patience=patience)
        self.user, self.uid = user, ""
        self.needs: dict[str, Needs] = {}
        if user != USER:
            self.ssh_config = lab.write_ssh_config(directory / "ssh_config", {name: {"User": user} for name in lab.names})
        self.hosts_file = directory / "hosts.txt"
        self.hosts_file.write_text("".join(
            f"{name} slots={SLOTS} memory={MEMORY}G count.license={LICENSES}\n" for name in lab.names))

    def start(self, count: int, pace: float) -> None:
        """Begin with so many jobs, and wait until the run is there."""
        jobs, self.needs = make_jobs(count, self.rng, pace=pace)
        self.begin(jobs, hosts=str(self.hosts_file))
        wait_until(self.is_there, 60, "the run to be made")
        with RunReader.open(self.paths) as reader:
            self.uid = reader.summary().uid

    def processes_on(self, host: LabHost) -> tuple[list[int], list[int]]:
        """The pids of its agent and of its runners on a host."""
        ours = []
        for process in host.processes():
            if process.state in "ZX" or "-ISc" not in process.argv:
                continue
            with suppress(OSError):
                if any(f"/{self.uid}/" in os.readlink(path) for path in Path(f"/proc/{process.pid}/fd").iterdir()):
                    ours.append(process)
        pids = {process.pid for process in ours}
        runners = [process.pid for process in ours if process.parent in pids]
        return [process.pid for process in ours if process.pid not in runners], runners


# -- looking, while it goes on --------------------------------------------------------------------------------------


class Watch:
    """Looks at what is held on the hosts, and which hosts each run can use."""

    def __init__(self, runs: Sequence[SharedRun], hosts: Sequence[LabHost]):
        self._runs, self._hosts = runs, hosts
        #: Since when a run cannot use a host, and the newest kill that it was hit by.
        self._open: dict[tuple[SharedRun, str], tuple[float, float]] = {}
        #: Absences that are over.
        self.away: list[Away] = []
        #: Since when something counts that no living job has: by file, and by when it was taken.
        self._idle: dict[tuple[str, str, float], float] = {}
        #: The longest of these times.
        self.held = 0.0
        self.came: dict[SharedRun, float] = {}

    def comes(self, run: SharedRun) -> None:
        """A run begins: it can use no host yet."""
        self.lost(run, [host.name for host in self._hosts], 0.0)

    def lost(self, run: SharedRun, hosts: Iterable[str], at: float) -> None:
        """A run cannot use these hosts from now on, until its manager has them again."""
        for host in hosts:
            self._open[run, host] = self._open.get((run, host), (at, at))[0], at

    def look(self) -> None:
        """Look once."""
        now = time.time()
        for run in {run for run, _ in self._open}:
            with RunReader.open(run.paths) as reader:
                rows = reader.hosts()
                attended = reader.summary().state == "running"
            for row in rows:
                times = self._open.get((run, row.host.name))
                if times is not None and attended and row.state == "up" and (row.since or 0.0) > times[1]:
                    self._close(run, row.host.name, now)
                    self.came.setdefault(run, now)
        for host in self._hosts:
            self._look_at(host, now)

    def _close(self, run: SharedRun, host: str, now: float) -> None:
        begin, _ = self._open.pop((run, host))
        self.away.append(Away(run.name, host, begin, min(now, begin + MOST_AWAY) if begin else now))

    def finish(self) -> None:
        """Nobody waits any more."""
        for run, host in list(self._open):
            self._close(run, host, time.time())

    def _look_at(self, host: LabHost, now: float) -> None:
        idle = {(host.name, *entry) for entry in idle_holds(host)}
        self._idle = {entry: since for entry, since in self._idle.items() if entry[0] != host.name or entry in idle}
        for entry in idle:
            self.held = max(self.held, now - self._idle.setdefault(entry, now))


def idle_holds(host: LabHost) -> Iterator[tuple[str, float]]:
    """Yield what counts as held on a host although no job that it is held for is alive: its file, and since when."""
    locked = _locked(host)
    for place in host.path("/tmp").glob("sshjobs-shared-*"):
        for path in place.glob("*/*.*"):
            if not path.suffix[1:].isdigit():
                continue
            with suppress(OSError, ValueError, IndexError):
                data, found = path.read_bytes(), path.stat()
                pid, start = map(int, data[:63].split())
                if (found.st_dev, found.st_ino) in locked and not _lives(host, pid, start):
                    yield path.name, json.loads(data[64:].partition(b"\n")[0])["since"]


def _locked(host: LabHost) -> set[tuple[int, int]]:
    """Device and inode of the files that agents and runners on a host have locked."""
    found, proc = set(), host.path("/proc")
    for name in os.listdir(proc):
        if not name.isdigit():
            continue
        with suppress(OSError):
            if b"-ISc" not in (proc / name / "cmdline").read_bytes():
                continue
            for fd in os.listdir(proc / name / "fd"):
                with suppress(OSError):
                    if "/sshjobs-shared-" in os.readlink(proc / name / "fd" / fd) and "lock:" in (
                            proc / name / "fdinfo" / fd).read_text():
                        there = (proc / name / "fd" / fd).stat()
                        found.add((there.st_dev, there.st_ino))
    return found


def _lives(host: LabHost, pid: int, start: int) -> bool:
    try:
        words = (host.path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return words[0] not in "ZX" and int(words[19]) == start


# -- what the ledgers tell ------------------------------------------------------------------------------------------


def stays(run: str, lines: Iterable[ledger.Line], needs: Mapping[str, Needs]) -> list[Stay]:
    """Return what each attempt of a run had, and when."""
    by_attempt: dict[tuple[str, int], list[ledger.Line]] = defaultdict(list)
    for line in lines:
        by_attempt[line.job, line.attempt].append(line)
    found = []
    for (job, attempt), told in by_attempt.items():
        given = next((line.what[5:] for line in told if line.what.startswith("gpus=")), "")
        found.append(Stay(run, job, attempt, told[0].host, min(line.at for line in told), max(line.at for line in told),
                          any(line.what == "end" for line in told), needs[job], tuple(filter(None, given.split(",")))))
    return found


def too_much(found: Iterable[Stay]) -> tuple[list[str], Needs]:
    """Return where more was taken of a host than it has, or a GPU by two jobs, and the most that was taken at one time."""
    wrong, most = [], Needs(0)
    running: dict[str, set[Stay]] = defaultdict(set)
    for _, begins, stay in sorted([(stay.begin, True, stay) for stay in found] + [(stay.end, False, stay) for stay in found]):
        there = running[stay.host]
        if not begins:
            there.discard(stay)
            continue
        if len(stay.gpus) != stay.needs.gpus:
            wrong.append(f"{stay.run} {stay.job}: has the GPUs {stay.gpus}, not {stay.needs.gpus}")
        for other in there:
            if set(stay.gpus) & set(other.gpus):
                wrong.append(f"{stay.host}: {stay.run} {stay.job} and {other.run} {other.job} have one GPU: {stay.gpus}, {other.gpus}")
        there.add(stay)
        taken = _sum(there)
        most = Needs(*map(max, most, taken))
        if not Needs(0).fits(taken):
            wrong.append(f"{stay.host}: {taken} is taken when {stay.run} {stay.job} starts, of {LIMITS}: {sorted(there)}")
    return wrong, most


def _sum(running: Iterable[Stay]) -> Needs:
    needs = [stay.needs for stay in running]
    return Needs(*(sum(one) for one in zip(*needs, strict=True))) if needs else Needs(0)


class Waiting(NamedTuple):
    """A job that waited although a host had what it needs, for so many seconds."""

    seconds: float
    until: float
    run: str
    job: str


def waits(found: Sequence[Stay], runs: Mapping[str, Mapping[str, Needs]], away: Sequence[Away]) -> list[Waiting]:
    """Return for each job the longest time on end before its first start in which one host that its run could use had what it
    needs. A host may have to become empty for a large job first: that takes as long as the longest job. What an attempt had that has written no end is free :data:`FREE_WITHIN` seconds later."""
    firsts = {(run, job): min((stay.begin for stay in found if (stay.run, stay.job) == (run, job)), default=math.inf)
              for run, jobs in runs.items() for job in jobs}
    events: list[tuple[float, int, Any]] = [(first, 3, key) for key, first in firsts.items() if first < math.inf]
    events += [event for stay in found for event in ((stay.begin, 1, stay), (stay.end + (0.0 if stay.ended else FREE_WITHIN), 0, stay))]
    events += [event for one in away for event in ((one.begin, 2, one), (one.end, 4, one))]
    running: dict[str, set[Stay]] = defaultdict(set)
    absent: Counter[tuple[str, str]] = Counter()
    since: dict[tuple[str, str, str], float] = {}
    longest: dict[tuple[str, str], Waiting] = {}
    waiting = set(firsts)
    hosts = sorted({one.host for one in away})
    for at, what, about in sorted(events, key=lambda event: (event[0], event[1])):
        for (run, job, _), began in since.items():
            key = run, job
            if key in waiting and at - began > longest.get(key, Waiting(0.0, 0.0, *key)).seconds:
                longest[key] = Waiting(at - began, at, *key)
        if what == 0:
            running[about.host].discard(about)
        elif what == 1:
            running[about.host].add(about)
        elif what == 3:
            waiting.discard(about)
        else:
            absent[about.run, about.host] += 1 if what == 2 else -1
        taken = {host: _sum(running[host]) for host in hosts}
        fits = {(run, need): [host for host in hosts if not absent[run, host] and need.fits(taken[host])]
                for run, jobs in runs.items() for need in set(jobs.values())}
        since = {(run, job, host): since.get((run, job, host), at) for run, job in waiting
                 for host in fits[run, runs[run][job]]}
    return sorted(longest.values(), reverse=True)


# -- the campaign ---------------------------------------------------------------------------------------------------


def fake_gpus(hosts: Sequence[LabHost]) -> None:
    """Have each host show two GPUs with the jobs on them."""
    for number, host in enumerate(hosts):
        text = program(cards(GPUS, first=number * GPUS))
        host.replace_program("nvidia-smi", text.replace("apps) cat <<'END'\nEND\n;;\n", _APPS))
        host.run(["mkdir", "-p", "-m", "1777", SEEN]).check_returncode()


def share_hosts(scene: Scene, kills: int, *, jobs: int = 500, pace: float = 1.0,
                interval: float = INTERVAL, timed: bool = True) -> tuple[ledger.Findings, Shares]:
    """Have three runs of two persons share the hosts, with so many jobs in all; kill, and hold all of it against the ledgers.

    :param timed: what takes too long counts as wrong; else it is only told
    """
    fake_gpus(scene.lab.hosts)
    found, seen, number = ledger.Findings(), Shares(), 0
    while sum(seen.what.values()) < kills and not found.bad:
        number += 1
        play = _Play(scene, number, seen)
        try:
            play.go(kills - sum(seen.what.values()), jobs, pace, interval)
            found.add(play.check(timed=timed))
        finally:
            play.close()
    return found, seen


class _Play:
    """Three runs at a time."""

    def __init__(self, scene: Scene, number: int, seen: Shares):
        self._rng, self._lab, self._seen = scene.rng, scene.lab, seen
        base = scene.directory / f"play-{number}"
        base.mkdir()
        self.runs = [SharedRun(scene.lab, base / name, scene.rng.randrange(1 << 30), user, patience=scene.patience)
                     for name, user in (("a", USER), ("b", USER), ("c", SECOND))]
        self._watch = Watch(self.runs, scene.lab.hosts)
        self._doubled: list[str] = []

    def go(self, kills: int, jobs: int, pace: float, interval: float) -> None:
        """Begin one run after the other, kill, and let all come to their ends."""
        first, other, second = self.runs
        count = jobs // 3
        for run in (first, other):
            self._begin(run, count, pace)
        self._until(self._is_full, 60, "the first person to have all slots")
        self._begin(second, jobs - 2 * count, pace)
        self._until(lambda: bool(second.ledger()), 60, "the first job of the second person")
        left = kills
        while left and self._working():
            self._wait(self._rng.expovariate(1 / interval))
            left -= self._kill()
        for run in self.runs:
            self._until(lambda run=run: not run.is_at_work(), run.patience, "the runs' ends")
            run.finish()
        self._watch.finish()

    def _begin(self, run: SharedRun, count: int, pace: float) -> None:
        run.start(count, pace)
        self._watch.comes(run)

    def _is_full(self) -> bool:
        there = [stay for run in self.runs[:2] for stay in stays(run.name, run.ledger(), run.needs) if not stay.ended]
        return sum(stay.needs.slots for stay in there) >= SLOTS * len(self._lab.hosts)

    def _working(self) -> list[SharedRun]:
        return [run for run in self.runs if run.is_at_work()]

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while True:
            self._watch.look()
            if (left := until - time.monotonic()) <= 0:
                return
            time.sleep(min(LOOK, left))

    def _until(self, true: Any, within: float, what: str) -> None:
        deadline = time.monotonic() + within
        while not true():
            if time.monotonic() > deadline:
                raise AssertionError(f"{what}: not within {within:.0f} s; {[run.how() for run in self.runs]}")
            self._wait(LOOK)

    def _kill(self) -> int:
        """Kill something; how often that came to pass."""
        what = self._rng.choices(list(VICTIMS), list(VICTIMS.values()))[0]
        run, host = self._rng.choice(self.runs), self._rng.choice(self._lab.hosts)
        if not run.is_at_work():
            return 0
        if what == "manager":
            self._kill_manager(run)
        else:
            agents, runners = run.processes_on(host)
            victims = {"agent": agents, "runner": runners[:1], "agent and runners": agents + runners}[what]
            if not victims or (what != "runner" and not agents):
                return 0
            if agents and victims != runners[:1]:
                self._watch.lost(run, [host.name], time.time())
            for pid in victims:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self._seen.what[what] += 1
        self._doubled += run.twice()
        return 1

    def _kill_manager(self, run: SharedRun) -> None:
        assert run.manager is not None
        self._watch.lost(run, self._lab.names, time.time())
        run.manager.kill()
        self._wait(self._rng.expovariate(1 / 0.5))
        run.resume()

    def check(self, *, timed: bool) -> ledger.Findings:
        """Hold all three against their ledgers and against each other."""
        found = ledger.Findings(doubled=self._doubled)
        all_stays = []
        for run in self.runs:
            found.add(run.check())
            all_stays += stays(run.name, run.ledger(), run.needs)
        wrong, most = too_much(all_stays)
        found.wrong += wrong
        seen, watch = self._seen, self._watch
        needs = {run.name: run.needs for run in self.runs}
        longest = waits(all_stays, needs, watch.away)
        late = [f"{one.run} {one.job} waited for {one.seconds:.2f} s until {one.until:.2f}, while a host had what it needs: "
                        f"{needs[one.run][one.job]}" for one in longest if one.seconds > MOST_WAIT]
        if watch.held > FREE_WITHIN:
            late.append(f"something was held for {watch.held:.1f} s that no living job had")
        second = self.runs[-1]
        first = min(line.at for line in second.ledger()) - watch.came[second]
        job = max(stay.end - stay.begin for stay in all_stays)
        if first > job:
            late.append(f"the second person's first job began after {first:.2f} s; the longest job took {job:.2f} s")
        found.wrong += late if timed else []
        seen.first.append(round(max(0.0, first), 2))
        seen.longest_job = round(max(seen.longest_job, job), 2)
        seen.longest_wait = round(max([seen.longest_wait, *(one.seconds for one in longest)]), 2)
        seen.longest_held = round(max(seen.longest_held, watch.held), 2)
        seen.most = Needs(*map(max, seen.most, most))
        seen.away = round(max([seen.away, *(one.end - one.begin for one in watch.away if one.begin)]), 2)
        return found

    def close(self) -> None:
        """Leave no manager behind."""
        for run in self.runs:
            if run.manager is not None:
                run.manager.kill()
