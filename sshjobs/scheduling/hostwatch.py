"""What is known of each host's reachability: its trouble, whether it is still waited for, whether it has a twin."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sshjobs.errors import HostError

#: Failures to reach a host, from the first on, after which nothing waits for it any more. It is still tried.
FIRST_CONTACT_TRIES = 3
#: A lease is over for certain when a host has been away for so many times its length, and so many seconds more: no
#: clock is slower than that, and it takes the host a while to end what runs.
LEASE_DRIFT, LEASE_MARGIN = 1.1, 30.0


class HostWatch:
    """Pure bookkeeping for the manager.

    :ivar trouble: why a host cannot be used at present; empty text where it can, or where nobody knows yet
    """

    def __init__(self, hosts: Iterable[str]):
        self.trouble = dict.fromkeys(hosts, "")
        self._failures = dict.fromkeys(self.trouble, 0)
        self._away_since: dict[str, float] = {}
        self._seen: set[str] = set()
        self._machines: dict[tuple[Any, ...], str] = {}
        self._twins: set[str] = set()

    def know(self, hosts: Iterable[str]) -> None:
        """Note hosts that an earlier manager of the run has reached: they are waited for like those that we have."""
        self._seen.update(hosts)

    def add(self, host: str) -> None:
        """Add a host, or one that comes back."""
        self.trouble[host] = ""
        self._failures[host] = 0

    def up(self, host: str, facts: dict[str, Any]) -> str | None:
        """Note that a host can be used; return a warning, once, when it is one that is known by another name."""
        self.trouble[host] = ""
        self._away_since.pop(host, None)
        self._seen.add(host)
        machine = (facts["machine"], facts["boot"], facts["pidns"])
        first = self._machines.setdefault(machine, host)
        if first == host or host in self._twins:
            return None
        self._twins.add(host)
        return f"is the same machine as {first}: the jobs of both share it; leave one of the names out"

    def down(self, host: str, error: HostError, now: float) -> bool:
        """Note that a host cannot be used; tell whether nothing should wait for it: it was never reached in this
        run and does not come, or only a person can help.

        :param now: seconds of a clock that never goes back
        """
        self.trouble[host] = str(error)
        self._away_since.setdefault(host, now)
        self._failures[host] += not error.waits
        return error.lasting or (host not in self._seen and self._failures[host] >= FIRST_CONTACT_TRIES)

    def away_since(self, host: str) -> float | None:
        """Return since when a host could not be used, ``None`` where it can or nobody knows yet."""
        return self._away_since.get(host)

    def away(self) -> list[str]:
        """Return the hosts that have been seen to be away."""
        return list(self._away_since)

    def lease_is_over(self, host: str, lease: float, now: float) -> bool:
        """Tell whether a host that is away has certainly ended what has such a lease.

        Counted from when it was found to be away, which is later than when it last heard of us; by a clock that stands
        still while this machine sleeps; and after a resume from anew. All three err on the side of waiting.
        """
        since = self._away_since.get(host)
        return since is not None and now - since >= lease * LEASE_DRIFT + LEASE_MARGIN

    def usable(self, host: str) -> bool:
        """Tell whether nothing is known against a host."""
        return not self.trouble[host]

    def why_hopeless(self, names: Sequence[str], over: Mapping[str, str]) -> str:
        """Say why a job cannot run whose hosts are these, none of which can be used.

        :param over: hosts that are not going to be used again, with why
        """
        if not names:
            return "no host that it may run on is left in the run"
        if len(names) == 1 and (trouble := self.trouble.get(names[0]) or over.get(names[0])):
            return trouble
        return f"no host that it may run on can be used: {', '.join(names)}"
