"""Every event as one line of JSON, for programs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from sshjobs.views.base import Event, Output, View


class JsonLines(View):
    """Prints each event with the time at which it came (``time``, seconds since the epoch)."""

    def __init__(self, output: Output, now: Callable[[], float] = time.time):
        self._output, self._now = output, now

    def __call__(self, event: Event) -> None:
        # ASCII only: no text of a host or a jobfile reaches a terminal as anything but text.
        self._output.write(json.dumps({"time": round(self._now(), 3), **event}).replace("\x7f", "\\u007f") + "\n")

    def close(self) -> None:
        """Every event is printed at once: nothing is left to print."""
