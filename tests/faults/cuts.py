"""Networks that are cut in five ways, and lines that break at any byte; hosts that reboot. Measures how soon the truth
is back, and how often each sshd is bothered."""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from sshjobs.store import RunReader
from tests.faults import ledger
from tests.faults.scene import Manager, Scene
from tests.lab import CUTS, DelayProxy, HostOptions, LabHost, NamespaceHost

#: Seconds between two looks.
TICK = 0.1
#: A job writes its end a little before it is over.
ENDING = 0.5
MINUTE = 60.0
#: The sshd of a host whose handshakes are counted: it tells of each connection when it meets it, whatever comes of it.
#: At the usual level it tells only how one ended, and nothing of one that ended at the banner.
TALKATIVE = HostOptions(sshd={"LogLevel": "VERBOSE"})
_MET = re.compile(r"^Connection from \S+ port \d+ on ", re.MULTILINE)
#: Seconds from one cut of a host to the next, at least: more would need more handshakes than a host is to see.
CYCLE = 12.0


@dataclass
class Measured:
    """What was seen: seconds from each healing to the truth, and from each long cut to the word that the host is away;
    the most handshakes that a host saw within a minute from one manager, and from all; the most memory that a manager
    had resident."""

    what: Counter[str] = field(default_factory=Counter)
    truth: list[float] = field(default_factory=list)
    noticed: list[float] = field(default_factory=list)
    handshakes: int = 0
    handshakes_of_all: int = 0
    resident: int = 0


def share(values: list[float], part: float) -> float:
    """The value below which so great a part of the values is."""
    return round(sorted(values)[min(len(values) - 1, int(len(values) * part))], 2) if values else 0.0


class Handshakes:
    """Counts the connections that each sshd met, from its own log; from the moment on when this is made.

    Between two looks nobody knows when one came, so it counts for every minute that it can have come in: the figure may be
    too high, never too low.
    """

    def __init__(self, hosts: list[LabHost]):
        self._hosts = hosts
        #: For each connection, the moments between which it came.
        self._seen: dict[str, list[tuple[float, float]]] = {host.name: [] for host in hosts}
        self._known = {host.name: _met(host) for host in hosts}
        self._last = time.monotonic()

    def look(self) -> None:
        """Read the logs, twice a second at most."""
        began = time.monotonic()
        if began < self._last + 0.5:
            return
        for host in self._hosts:
            count = _met(host)
            between = self._last, time.monotonic()
            self._seen[host.name] += [between] * (count - self._known[host.name])
            self._known[host.name] = count
        self._last = began

    def most(self) -> int:
        """The most handshakes of a host within a minute."""
        return max(most_within(MINUTE, seen) for seen in self._seen.values())


def most_within(seconds: float, seen: Sequence[tuple[float, float]]) -> int:
    """How many of the events, each known by the moments between which it came, can have come within so many seconds."""
    most = first = 0
    for last, (earliest, _) in enumerate(seen):
        while seen[first][1] <= earliest - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def _met(host: LabHost) -> int:
    return len(_MET.findall(host.sshd_log.read_text(errors="replace")))


class Victim:
    """One host: what is being done to it, and whether the store tells the truth about it."""

    def __init__(self, host: LabHost, rng: random.Random):
        self.host, self._rng = host, rng
        self.idle_until = rng.uniform(0.3, 4.0)
        self.back_at: float | None = None
        self.kind = ""
        self._cut_at = 0.0
        self._healed: tuple[float, float] | None = None
        self._noticed = False

    def act(self, now: float, reader: RunReader, run: str, measured: Measured,
            strike: Callable[[LabHost, random.Random], tuple[str, float]], mend: Callable[[LabHost], None]) -> bool:
        """Do what is due; tell whether a further fault is over and the truth back."""
        if self.back_at is not None:
            if not self._noticed and _row(reader, self.host.name) == "away":
                self._noticed = True
                measured.noticed.append(now - self._cut_at)
            if now >= self.back_at:
                mend(self.host)
                self.back_at, self._healed = None, (time.monotonic(), time.time())
        elif self._healed is not None:
            if self._is_true(reader, run, self._healed[1]):
                measured.truth.append(now - self._healed[0])
                measured.what[self.kind] += 1
                self._healed = None
                self.idle_until = max(now + self._rng.uniform(1.0, 8.0), self._cut_at + CYCLE)
                return True
        elif now >= self.idle_until:
            self._noticed, self._cut_at = False, now
            self.kind, seconds = strike(self.host, self._rng)
            self.back_at = time.monotonic() + seconds
        return False

    @property
    def waiting(self) -> float:
        """Since when the truth is waited for, by the monotonic clock; infinite where it is not."""
        return float("inf") if self._healed is None else self._healed[0]

    def _is_true(self, reader: RunReader, run: str, healed: float) -> bool:
        """Whether the host is up in the store and no job there is told other than its own ledger has it."""
        if _row(reader, self.host.name) != "up":
            return False
        here = [job for job in reader.jobs(("busy", "unknown")) if job.host == self.host.name]
        if any(job.state == "unknown" for job in here):
            return False
        known = reader.attempts_of([job.number for job in here])
        attempts = {number: rows[-1].n for number, rows in known.items() if rows}
        over = {(line.job, line.attempt) for line in ledger.read([self.host], run)
                if line.what == "end" and line.at < healed - ENDING}
        return not any((job.name, attempts.get(job.number)) in over for job in here)


def _row(reader: RunReader, host: str) -> str | None:
    return next(row.state for row in reader.hosts() if row.host.name == host)


def torment(scene: Scene, count: int, strike: Callable[[LabHost, random.Random], tuple[str, float]],
            mend: Callable[[LabHost], None], *, jobs: int, pace: float,
            limit: float = 60.0) -> tuple[ledger.Findings, Measured]:
    """Do something to hosts, all of them at once, ``count`` times, while a run goes on; then let it end, and check it.

    :param strike: does it; returns its name, and after how many seconds it is to be undone
    :param mend: undoes it
    :param limit: seconds that the truth may take
    """
    found, measured, done, of_all = ledger.Findings(), Measured(), 0, Handshakes(scene.lab.hosts)
    while done < count and not found.bad:
        shakes = Handshakes(scene.lab.hosts)
        manager = scene.begin(ledger.mixed(jobs, scene.rng.randrange(1 << 30), pace=pace))
        while not scene.is_there() or not _all_up(scene):
            _look(shakes, of_all)
            assert not manager.ended(TICK), manager.said()
        now = time.monotonic()
        victims = [Victim(host, random.Random(scene.rng.random())) for host in scene.lab.hosts]
        for victim in victims:
            victim.idle_until += now
        with RunReader.open(scene.paths) as reader:
            while not manager.ended(TICK) and done < count:
                now = time.monotonic()
                _look(shakes, of_all)
                measured.resident = max(measured.resident, manager.resident())
                for victim in victims:
                    done += victim.act(now, reader, scene.name, measured, strike, mend)
                    if now - victim.waiting > limit:
                        found.wrong.append(f"{victim.host.name}: {limit} s after {victim.kind} was undone the truth "
                                           f"is not back: {scene.how()}")
                        done = count
        for victim in victims:
            if victim.back_at is not None:
                mend(victim.host)
        _finish(scene, manager, shakes, of_all)
        found.add(scene.check())
        _look(shakes, of_all)
        measured.handshakes = max(measured.handshakes, shakes.most())
        measured.handshakes_of_all = of_all.most()
        assert measured.handshakes, "no sshd has told of a connection"
    return found, measured


def _all_up(scene: Scene) -> bool:
    with RunReader.open(scene.paths) as reader:
        return all(row.state == "up" for row in reader.hosts())


def _look(*counts: Handshakes) -> None:
    for shakes in counts:
        shakes.look()


def is_up(scene: Scene, host: LabHost) -> bool:
    """Whether the store has a host as up."""
    with RunReader.open(scene.paths) as reader:
        return _row(reader, host.name) == "up"


def _finish(scene: Scene, manager: Manager, *counts: Handshakes) -> None:
    while not manager.ended(TICK):
        _look(*counts)
    scene.finish()


def cut_networks(scene: Scene, cuts: int, *, jobs: int, pace: float,
                 longest: float = 50.0) -> tuple[ledger.Findings, Measured]:
    """Cut hosts off in each of the five ways, for moments and for most of a minute."""
    def strike(host: LabHost, rng: random.Random) -> tuple[str, float]:
        kind = rng.choice(CUTS)
        host.cut(kind)
        seconds = rng.choice((rng.uniform(0.2, 3), rng.uniform(3, 15), rng.uniform(3, 15), rng.uniform(15, 50)))
        return kind, min(seconds, longest)

    return torment(scene, cuts, strike, lambda host: host.heal(), jobs=jobs, pace=pace)


@contextmanager
def through_proxies(scene: Scene) -> Iterator[dict[str, DelayProxy]]:
    """Have the scene's managers reach each host through a proxy of its own."""
    with ExitStack() as stack:
        proxies = {host.name: stack.enter_context(DelayProxy(host.address, host.port, delay_ms=2))
                   for host in scene.lab.hosts}
        before = scene.ssh_config
        scene.ssh_config = scene.lab.write_ssh_config(
            scene.directory / "ssh_config",
            {name: {"HostName": proxy.host, "Port": str(proxy.port)} for name, proxy in proxies.items()})
        yield proxies
        scene.ssh_config = before


def break_lines(scene: Scene, cuts: int, *, jobs: int, pace: float) -> tuple[ledger.Findings, Measured]:
    """Break lines after any number of bytes in either direction, by an end of file, a reset, or a long stall."""
    with through_proxies(scene) as proxies:
        def strike(host: LabHost, rng: random.Random) -> tuple[str, float]:
            proxy, kind = proxies[host.name], rng.choice(("cut up", "cut down", "stall", "reset"))
            if kind == "stall":
                proxy.stall()
            elif kind == "reset":
                proxy.reset()
            else:
                proxy.cut_after(rng.randint(1, 4000), kind.removeprefix("cut "), reset=rng.random() < 0.5)
            return kind, rng.uniform(1, 8)

        return torment(scene, cuts, strike, lambda host: proxies[host.name].resume(), jobs=jobs, pace=pace)


def reboot_hosts(scene: Scene, reboots: int, *, jobs: int, pace: float) -> tuple[ledger.Findings, Measured]:
    """Kill all of a host at once and start it again: with a new boot id, or as a container with its old one."""
    def strike(host: LabHost, rng: random.Random) -> tuple[str, float]:
        assert isinstance(host, NamespaceHost)
        host.power_off()
        again[host.name] = rng.random() < 0.2
        return "container restart" if again[host.name] else "reboot", rng.choice((0.0, rng.uniform(0, 5), 15.0))

    def mend(host: LabHost) -> None:
        host.power_on(keep_boot_id=again.get(host.name, False))

    again: dict[str, bool] = {}
    return torment(scene, reboots, strike, mend, jobs=jobs, pace=pace)
