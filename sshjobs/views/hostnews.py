"""The messages about hosts: each trouble once, with its fix."""

from __future__ import annotations

from sshjobs.views.base import Event
from sshjobs.views.wording import count, size

#: How many lines are shown because of one host in a run.
MOST_LINES = 80


class HostNews:
    """Turns the events ``host`` and ``warning`` into lines, and remembers which were shown already."""

    def __init__(self) -> None:
        self._said: set[tuple[str, str]] = set()
        self._down: set[str] = set()
        #: How many more lines may be shown for each host.
        self._left: dict[str, int] = {}

    def line(self, event: Event) -> tuple[str, str] | None:
        """Return a word (``up``, ``away``, ``blocked``, ``warn``) and a line; ``None`` for what is not new, and where
        too many lines were shown for the host."""
        news = self._news(event)
        # That a host is no longer tried is the last line that is shown about it.
        if news is None or news[0] == "blocked":
            return news
        left = self.room(event["host"])
        if left < 0:
            return None
        return news if left else (news[0], f"{news[1]} (no more is told of it)")

    def room(self, host: str) -> int:
        """Count a line about a host, or about a job because of its host; return how many more may follow.

        A result below 0 means that the line is not to be shown. A host that comes and goes must not bury the messages
        about others.
        """
        self._left[host] = self._left.get(host, MOST_LINES) - 1
        return self._left[host]

    def _news(self, event: Event) -> tuple[str, str] | None:
        host = event["host"]
        if event["event"] == "warning":
            return ("warn", f"{host}: {event['reason']}") if self._is_new(host, event["reason"]) else None
        if event["state"] == "up":
            return self._up(host, event)
        self._down.add(host)
        if not self._is_new(host, event["kind"]):
            return None
        return event["state"], event["reason"]

    def _up(self, host: str, event: Event) -> tuple[str, str] | None:
        if host in self._down:
            self._down.discard(host)
            return "up", f"{host}: is back"
        return ("up", f"{host}: {describe(event['facts'])}") if self._is_new(host, "up") else None

    def _is_new(self, host: str, what: str) -> bool:
        if (host, what) in self._said:
            return False
        self._said.add((host, what))
        return True


def describe(facts: Event) -> str:
    """Describe a host by its facts, in a few words; facts that are missing are left out."""
    words = []
    if facts.get("cores"):
        words.append(count(facts["cores"], "core"))
    if facts.get("memory"):
        words.append(size(facts["memory"]))
    if facts.get("gpus"):
        words.append(count(len(facts["gpus"]), "GPU"))
    if facts.get("python"):
        words.append(f"Python {facts['python']}")
    return ", ".join(words)
