"""The manners of a run's hosts: which hosts are closed now, until when, and why, in words."""

from __future__ import annotations

from collections.abc import Callable

from sshjobs.model.host import Host
from sshjobs.model.needs import shown_size
from sshjobs.network.contract import HostClosed, Manner, NetworkContract
from sshjobs.scheduling.schedule import Schedule
from sshjobs.store import RunStore
from sshjobs.views.wording import clock as at_clock

_NEVER = float("inf")


class HostManners:
    """Keeps schedule and store informed about hosts that close and open, and about those with an end (``until``).

    :param tell: told of each host that closes or opens
    :param take_back: takes back launches that have not started on a host
    :param standing: returns why an open host gets no jobs anyway, in words
    :ivar over: hosts that will not be used again, with a sentence about each
    """

    def __init__(self, network: NetworkContract, schedule: Schedule, store: RunStore,
                 tell: Callable[[HostClosed], None], take_back: Callable[[str], None],
                 standing: Callable[[str], str | None]):
        self._network, self._schedule, self._store = network, schedule, store
        self._tell, self._take_back, self._standing = tell, take_back, standing
        self._clock = network.clock
        self.over: dict[str, str] = {}
        #: Hosts that are closed now; when open hosts close, by this machine's clock; hosts of which it was noted that
        #: no waiting job would end before they close.
        self._closed: dict[str, str] = {}
        self._closing: dict[str, float] = {}
        #: When hosts will be gone, where their transport tells that.
        self._gone: dict[str, float] = {}
        self._late: set[str] = set()
        #: When the next host is given back; 0: to be computed.
        self._next = 0.0

    def __contains__(self, host: str) -> bool:
        """Whether a host is closed."""
        return host in self._closed or host in self.over

    # -- what hosts say ------------------------------------------------------------------------------------------

    def up(self, name: str, until: float | None = None) -> None:
        """Note that a host was reached. It reports by itself if it is closed.

        :param until: when it will be gone, in seconds since the epoch, where its transport tells that
        """
        self._gone.pop(name, None)
        if until is not None:
            self._gone[name] = until
        if self._closed.pop(name, None) is not None:
            self._schedule.close(name, False)
        self._set_closing(name, None)

    def stand(self, name: str) -> None:
        """Write to the store that a host is closed, if it is, after the store was told that it can be used."""
        words = self.over[name].partition(": ")[2] if name in self.over else self._closed.get(name)
        if words is not None:
            self._note(name, words)

    def take(self, said: Manner) -> None:
        """Note a report of a host."""
        if said.host not in self._network.hosts or said.host in self.over:
            return
        if said.why is None:
            self._set_closing(said.host, said.seconds)
            if self._closed.pop(said.host, None) is not None:
                self._schedule.close(said.host, False)
                self._note(said.host, None)
                self._tell(HostClosed(said.host, None, ""))
            return
        words = self._words(said)
        first = said.host not in self._closed
        self._closed[said.host] = words
        self._note(said.host, words)
        if first:
            self._schedule.close(said.host, True)
            self._take_back(said.host)
        self._tell(HostClosed(said.host, said.why, f"{said.host}: {words}"))

    def _words(self, said: Manner) -> str:
        host, value = self._network.hosts[said.host], said.value
        if said.why == "away":
            return ("its owner wants it, by the file ~/.sshjobs/away or /etc/sshjobs/away there; it takes jobs again "
                    "when that is gone")
        if said.why == "load":
            shown = "" if value is None else f" of {value:.1f}"
            return f"its load{shown} is above max_load={host.max_load:g}" if host.max_load else "its load is too high"
        if said.why == "memory":
            shown = "little" if value is None else shown_size(int(value))
            least = "" if host.min_free is None else f" (min_free={shown_size(host.min_free)})"
            return f"too little of its memory is free: {shown}{least}"
        if said.why == "until":
            return "the time that it was lent for is over"
        again = "" if said.seconds is None else f", so again at {at_clock(self._clock.time() + said.seconds)}"
        return f"it takes jobs {_hours(host)}by its own clock{again}"

    def _note(self, name: str, words: str | None) -> None:
        self._late.discard(name)
        why = self._standing(name) if words is None else None
        state = "closed" if words is not None else "up" if why is None else "quarantined"
        self._store.set_host(name, state, words or why, since=self._clock.time())

    # -- the clock -----------------------------------------------------------------------------------------------

    def _set_closing(self, name: str, seconds: float | None) -> None:
        """Note in how many seconds a host closes by its own clock. That does not matter where jobs go on there after it
        has opened again."""
        host, ends = self._network.hosts[name], list[float]()
        if seconds is not None and host.at_end != "pause":
            ends.append(seconds)
        for until in (host.until, self._gone.get(name)):
            if until is not None:
                ends.append(until - self._clock.time())
        self._schedule.closings.set(name, self._clock.monotonic() + min(ends) if ends else None)
        if ends:
            self._closing[name] = self._clock.time() + min(ends)

    def look(self) -> None:
        """Find out which hosts are to be given back now, and on which no waiting job would end in time."""
        late = self._schedule.closings.late
        for name in (late.keys() ^ self._late) - self._closed.keys() if late or self._late else ():
            self._note_late(name, name in late)
        now = self._clock.time()
        if now < self._next:
            return
        self._next = _NEVER
        for host in list(self._network.hosts.values()):
            if host.until is None or host.name in self.over:
                continue
            if host.until > now:
                self._next = min(self._next, host.until)
            else:
                self._end(host, host.until)

    def _note_late(self, name: str, late: bool) -> None:
        (self._late.add if late else self._late.discard)(name)
        if name in self._network.hosts and name not in self.over and self._standing(name) is None:
            closes = at_clock(self._closing.get(name, 0.0), self._clock.time())
            words = f"{name} takes jobs until {closes}, and none of those that wait is likely to be over by then"
            self._store.set_host(name, "up", words if late else None, since=self._clock.time())

    def _end(self, host: Host, until: float) -> None:
        words = f"it was lent until {at_clock(until, self._clock.time())}"
        self._closed.pop(host.name, None)
        self.over[host.name] = f"{host.name}: {words}"
        self._schedule.close(host.name, True, over=True)
        self._note(host.name, words)
        self._take_back(host.name)
        self._tell(HostClosed(host.name, "until", self.over[host.name]))

    def within(self) -> float | None:
        """Return after how many seconds :meth:`look` is to be called again; ``None``: after the next event."""
        return None if self._next in (0.0, _NEVER) else max(0.0, self._next - self._clock.time())

    # -- hosts ---------------------------------------------------------------------------------------------------

    def lend(self, host: Host) -> None:
        """Note a further host, or one that comes back."""
        if self.over.pop(host.name, None) is not None:
            self._schedule.close(host.name, False)
            self._note(host.name, None)
        self._next = 0.0
        self._set_closing(host.name, None)

    def forget(self, name: str) -> None:
        """Forget a host that has left the run."""
        self._late.discard(name)
        for known in (self.over, self._closed, self._closing, self._gone):
            known.pop(name, None)


def _hours(host: Host) -> str:
    if host.only is None:
        return ""
    return "from {:02}:{:02} to {:02}:{:02} ".format(*divmod(host.only[0], 60), *divmod(host.only[1], 60))
