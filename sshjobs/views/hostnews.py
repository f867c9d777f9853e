"""What is said about hosts: each trouble once, with its fix."""

from __future__ import annotations

from sshjobs.views.base import Event
from sshjobs.views.wording import count, size


class HostNews:
    """Turns the events ``host`` and ``warning`` into lines, and remembers what was said already."""

    def __init__(self) -> None:
        self._said: set[tuple[str, str]] = set()
        self._down: set[str] = set()

    def line(self, event: Event) -> tuple[str, str] | None:
        """Return a word (``up``, ``away``, ``blocked``, ``warn``) and a line; ``None`` for what is not new."""
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
    """Return what a host said of itself, in a few words; what it did not say is left out."""
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
