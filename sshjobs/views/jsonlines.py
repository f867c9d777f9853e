"""Prints every event as one line of JSON, for programs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from sshjobs.views.base import Event, Output, View
from sshjobs.views.hostnews import MOST_LINES


class JsonLines(View):
    """Prints each event with the time at which it came (``time``, seconds since the epoch).

    For a host that comes and goes again and again, only so many events are printed; how its jobs end always is.
    """

    def __init__(self, output: Output, now: Callable[[], float] = time.time):
        self._output, self._now = output, now
        #: How many events were printed for each host; jobs that became unknown without an event being printed.
        self._told: dict[str, int] = {}
        self._hushed: set[str] = set()

    def __call__(self, event: Event) -> None:
        if self._is_too_much(event):
            return
        self._print(event)
        word, host = event["event"], str(event.get("host"))
        if word in ("host", "silent", "warning") and self._told[host] == MOST_LINES:
            self._print({"event": "warning", "host": host, "reason": "no more is told of it, but how its jobs end and "
                                                                     "whether nobody tries it any more"})

    def _is_too_much(self, event: Event) -> bool:
        word, host = event["event"], str(event.get("host"))
        if word in ("host", "silent", "warning"):
            self._told[host] = self._told.get(host, 0) + 1
            return self._told[host] > MOST_LINES and event.get("state") != "blocked"
        if word == "unknown" and self._told.get(host, 0) > MOST_LINES:
            self._hushed.add(event["job"])
            return True
        if event.get("job") in self._hushed:
            self._hushed.discard(event["job"])
            # That it became unknown was not printed, so that it goes on is not either.
            return bool(word == "started")
        return False

    def _print(self, event: Event) -> None:
        # ASCII only, so that no text from a host or a jobfile can act on a terminal.
        self._output.write(json.dumps({"time": round(self._now(), 3), **event}).replace("\x7f", "\\u007f") + "\n")

    def close(self) -> None:
        """Do nothing: every event was printed at once."""
