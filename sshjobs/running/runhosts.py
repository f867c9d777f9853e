"""The hosts of a run: which of them can be used, which of them fail jobs, and what people want of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sshjobs.errors import HostError
from sshjobs.model.gpus import GpuReport
from sshjobs.model.host import Host
from sshjobs.model.sharing import waits_for
from sshjobs.model.spec import Job
from sshjobs.network.clock import Clock
from sshjobs.network.contract import HostClosed, HostDown, HostUp, NetworkContract, News, Shared, Silent, Warned
from sshjobs.running.gpuwatch import GpuWatch
from sshjobs.running.manners import HostManners
from sshjobs.running.setups import Setups
from sshjobs.scheduling.hostwatch import HostWatch
from sshjobs.scheduling.placement import Placement
from sshjobs.scheduling.quarantine import Quarantine
from sshjobs.scheduling.retries import needs_now
from sshjobs.scheduling.schedule import Schedule
from sshjobs.store import RunStore

#: Seconds between two looks for leases that are over, while a job with one is on a host that is away.
LEASE_LOOK = 1.0
#: Seconds that pulses wait for others, so that one commit, which is a sync of the disk, is for all of them.
PULSES_WITHIN = 2.0


class RunHosts:
    """Keeps network, schedule and store in step about hosts.

    :param tell: hears whatever happens to a host
    :ivar watch: which of them can be reached
    :ivar quarantine: which of them fail jobs
    :ivar placement: which jobs are on them
    :ivar gpus: which GPUs they have
    :ivar manners: which of them take no jobs at present
    :ivar leaving: those that leave the run as soon as nothing of it runs there
    """

    def __init__(self, network: NetworkContract, schedule: Schedule, store: RunStore,
                 tell: Callable[[HostUp | HostDown | HostClosed | Warned | Silent], None]):
        self._network, self._schedule, self._store, self._tell = network, schedule, store, tell
        self._clock: Clock = network.clock
        self.watch, self.placement = HostWatch(network.hosts), Placement(schedule)
        self.quarantine = Quarantine(schedule, network.hosts, self._tell_health)
        self.manners = HostManners(network, schedule, store, tell,
                                   lambda host: self.ask_back(self.placement.unstarted(host)), self.quarantine.why)
        self.leaving: set[str] = set()
        self.gpus = GpuWatch(network, schedule, lambda host, words: tell(Warned(host, words)))
        #: What hosts need before their first job.
        self.setups: Setups | None = None
        #: When to look at leases next; ``None`` while nothing with one is on a host that is away.
        self._lease_look: float | None = None
        #: How hosts fare, as far as it was not handed to the store yet; when it is to be.
        self._pulses: dict[str, dict[str, Any]] = {}
        self._pulses_due = 0.0
        #: What each host has told last: how it fares, and who is on its GPUs.
        self._fares: dict[str, dict[str, Any]] = {}
        self._units: dict[str, list[dict[str, Any]]] = {}
        #: Jobs that were on hosts of which it is proved that nothing is alive there, with why.
        self._proved_over: list[tuple[Job, str]] = []
        #: Hosts of which people were told that jobs wait there for what others hold.
        self._told_shared: set[str] = set()
        #: What the store says that jobs wait for on a host.
        self._shared_words: dict[str, str | None] = {}

    # -- what hosts tell -----------------------------------------------------------------------------------------

    def take(self, news: News) -> None:
        """Handle what has happened to hosts."""
        for name, seconds in news.round_trips.items():
            self._schedule.hosts.note_round_trip(name, seconds)
        if news.pulses:
            self._take_pulses(news.pulses)
        for shared in news.shared.values():
            self._take_shared(shared)
        # A host that was removed may still send a warning.
        for event in (one for one in news.hosts if isinstance(one, Warned) or one.host in self._network.hosts):
            if isinstance(event, HostUp):
                self.manners.up(event.host, event.facts.get("until"))
            match event:
                case HostUp(name) | HostDown(name) if self.setups is not None and name in self.setups.failed:
                    continue
                case HostUp(name, facts):
                    self._take_up(name, facts)
                case HostDown(name, error):
                    self._take_down(name, error)
                case Silent(name, silence):
                    self._store.set_silence(name, None if silence is None else self._clock.time() - silence)
            self._tell(event)
        for said in news.manners.values():
            self.manners.take(said)

    def _take_pulses(self, pulses: dict[str, dict[str, Any]]) -> None:
        """Note how hosts fare. It is written with whatever else is, or by itself after a while."""
        at = self._clock.time()
        for name, told in pulses.items():
            self._fares[name] = {"at": at, **told}
            self._renew_pulse(name)
            if told.get("disk") is not None:
                self._schedule.hosts.note_disk(name, told["disk"])

    def _renew_pulse(self, name: str) -> None:
        if not self._pulses:
            self._pulses_due = self._clock.monotonic() + PULSES_WITHIN
        units = self._units.get(name)
        self._pulses[name] = self._fares[name] if not units else {**self._fares[name], "units": units}

    def _take_shared(self, told: Shared) -> None:
        """Note that jobs wait on a host for what others hold there, or that they do no more: others are launched
        elsewhere meanwhile, and those that wait go where there is a free slot."""
        name = told.host
        if name not in self._network.hosts or not self.watch.usable(name):
            return
        self._schedule.hosts.note_shared(name, told.slots, told.stalled, told.parts)
        words = None if told.slots is None else f"{name} {waits_for(told.holders)}"
        if words == self._shared_words.get(name, ""):
            return
        self._shared_words[name] = words
        self._store.set_host(name, "up", words, since=self._clock.time())
        self.manners.stand(name)
        if words is not None and name not in self._told_shared:
            self._told_shared.add(name)
            self._tell(Warned(name, words.removeprefix(f"{name} ")))

    def take_gpus(self, reports: Mapping[str, GpuReport]) -> dict[Job, str]:
        """Note what hosts have told of their GPUs. Returns for whom waiting jobs wait, where that is new."""
        for name, report in reports.items():
            units = [{"uuid": gpu.uuid, "label": gpu.label, "name": gpu.name, "by": gpu.trouble or gpu.by}
                     for gpu in report.gpus]
            if units != self._units.get(name, []):
                self._units[name] = units
                if name in self._fares:
                    self._renew_pulse(name)
        return self.gpus.take(reports)

    def hand_over_pulses(self) -> None:
        """Hand to the store how hosts fare, where a commit comes anyway or that has waited long enough."""
        if self._pulses and (self._store.dirty or self._clock.monotonic() >= self._pulses_due):
            for name, told in self._pulses.items():
                self._store.set_pulse(name, told)
            self._pulses.clear()

    def _take_down(self, name: str, error: HostError) -> None:
        self._shared_words.pop(name, None)
        if error.ends_jobs:
            self._proved_over += [(job, error.what if error.why is None else f"{error.what}: {error.why}")
                                  for job in self.placement.on(name)]
        self.gpus.down(name)
        lasting = self.watch.down(name, error, self._clock.monotonic())
        self._schedule.host_down(name, lasting=lasting)
        self._lease_look = self._clock.monotonic()
        self._store.set_host(name, "blocked" if error.lasting else "away", str(error), since=self._clock.time())

    def block(self, name: str, error: HostError) -> None:
        """Do not use a host any more before a person acts, although it can be reached."""
        self._take_down(name, error)
        self._tell(HostDown(name, error))

    def _take_up(self, name: str, facts: dict[str, Any]) -> None:
        if self.setups is not None and not self.setups.up(name, facts):
            # It has booted since they were sent: those that it has not begun wait until it is prepared.
            self.ask_back(self.placement.unstarted(name))
        twin = self.watch.up(name, facts)
        slots = self._network.hosts[name].slots or self._network.slots or facts["cores"]
        self._schedule.host_up(name, slots, facts.get("memory"), facts.get("disk"))
        self.gpus.up(name, facts)
        self._store.set_host(name, "up", facts=facts, since=self._clock.time())
        self.manners.stand(name)
        if twin is not None:
            self._tell(Warned(name, twin))

    def _tell_health(self, host: str, usable: bool, words: str) -> None:
        if host not in self.manners:
            self._store.set_host(host, "up" if usable else "quarantined", None if usable else words,
                                 since=self._clock.time())
        self._tell(Warned(host, words))

    def look(self) -> None:
        """Note what time alone has changed, before anything is launched."""
        self.manners.look()
        self.gpus.look()

    def look_within(self) -> float | None:
        """Return after how many seconds :meth:`leases_over` is to be asked again, pulses are to be committed, or a host
        is to be given back; ``None``: after the next event."""
        soon = [] if (within := self.manners.within()) is None else [within]
        if self._pulses:
            soon.append(max(0.0, self._pulses_due - self._clock.monotonic()))
        if self._pulses or self._lease_look is not None:
            soon.append(LEASE_LOOK)
        return min(soon, default=None)

    def proved_over(self) -> list[tuple[Job, str]]:
        """Return the jobs that are proved to be over because their hosts are, each once, with why."""
        over, self._proved_over = self._proved_over, []
        return over

    def leases_over(self) -> list[Job]:
        """Return the jobs on hosts that are away whose lease is over there for certain; looks now and then."""
        now, found = self._clock.monotonic(), list[Job]()
        if self._lease_look is None or now < self._lease_look:
            return found
        self._lease_look = None
        for host in self.watch.away():
            for job in self.placement.on(host):
                if job.spec.lease is None:
                    continue
                self._lease_look = now + LEASE_LOOK
                if self.watch.lease_is_over(host, job.spec.lease, now):
                    found.append(job)
        return found

    # -- what people want of them --------------------------------------------------------------------------------

    def take_over(self) -> None:
        """Go on with what people have wanted of the hosts by an earlier manager."""
        for host in self._network.hosts.values():
            self._schedule.drain(host.name, host.drained)
            if host.removed:
                self.leaving.add(host.name)

    def add(self, host: Host) -> None:
        """Use a further host, or one that has left."""
        self._network.add_host(host)
        self.watch.add(host.name)
        self.quarantine.add(host.name)
        self._schedule.add_host(host)
        self.manners.lend(host)
        if self.setups is not None:
            self.setups.add([host.name])

    def drain(self, host: Host) -> None:
        """Launch nothing more on a host, and take back what has not started there.

        :param host: as it is described from now on
        """
        self._network.hosts[host.name] = host
        self._schedule.drain(host.name, True)
        self.ask_back(self.placement.unstarted(host.name))

    def remove(self, host: Host) -> None:
        """The same, and let it leave when nothing of the run is there any more."""
        self.drain(host)
        self.leaving.add(host.name)

    def use_again(self, host: Host) -> None:
        """Launch on a host again, although it was drained or in quarantine."""
        self._network.hosts[host.name] = host
        self._schedule.drain(host.name, False)
        self.quarantine.trust(host.name)
        self._schedule.gpus.trust(host.name)
        self.leaving.discard(host.name)
        facts = None if self.setups is None else self.setups.forgive(host.name)
        if facts is not None:
            self._take_up(host.name, facts)

    def set_slots(self, host: Host, slots: int) -> None:
        """Change how many jobs a host takes at a time; what runs there is left alone."""
        self._network.hosts[host.name] = host
        # What was sent ahead was to run in turn with what is there, and not beside it.
        self.ask_back(job for job in self.placement.unstarted(host.name) if needs_now(job) is not None)
        self._network.set_slots(host.name, slots)
        self._schedule.set_slots(host.name, slots)

    def ask_back(self, jobs: Iterable[Job]) -> None:
        """Take back from their hosts the jobs that have not started there."""
        for job in self.placement.ask_back(jobs):
            self._network.fence(job)

    def part(self, keeps: Callable[[str], bool]) -> list[str]:
        """Remove the hosts that are to leave and on which nothing runs; return them.

        :param keeps: tells whether a host still has something of an attempt that is to be released
        """
        gone = [host for host in self.leaving
                if not self._schedule.hosts.load(host) and not (self.watch.usable(host) and keeps(host))]
        for host in gone:
            self.leaving.discard(host)
            self._schedule.remove_host(host)
            self.quarantine.remove(host)
            self.manners.forget(host)
            self.gpus.down(host)
            if self.setups is not None:
                self.setups.remove(host)
            self._network.remove_host(host)
        return gone
