"""Steering: what the keys of the live view do, and the line that says so."""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from rich.text import Text

from sshjobs.errors import SshjobsError, printable
from sshjobs.model.given import MAX_SLOTS
from sshjobs.views.acts import event_text
from sshjobs.views.base import Ask, Event
from sshjobs.views.frame import fit
from sshjobs.views.progress import HostView, Progress
from sshjobs.views.wording import count

#: Seconds that an answer stays in sight.
ANSWER_S = 6.0
#: Keys that wait for the answer to one before them.
_MOST_ACTS = 16
#: Characters of what was typed that are kept.
_LONGEST = 240


class Steering:
    """Takes keys: ``p`` pauses and unpauses the run, ``+`` and ``-`` give each host a slot more or less, ``d`` drains a
    host that is chosen, ``q`` leaves.

    :param ask: may take seconds, and is called in a thread of its own, once at a time
    :param leave: called for ``q``, likewise
    :param lock: guards the progress
    :param changed: called when the line is another
    """

    def __init__(self, progress: Progress, lock: AbstractContextManager[object], ask: Ask, leave: Callable[[], object],
                 changed: Callable[[], None], monotonic: Callable[[], float] = time.monotonic):
        self._progress, self._lock, self._ask, self._leave = progress, lock, ask, leave
        self._changed, self._monotonic = changed, monotonic
        #: What was typed of a host's name, while one is chosen; and which of those that fit is meant.
        self._typed: str | None = None
        self._at = 0
        self._said, self._said_until = "", 0.0
        self._thread: threading.Thread | None = None
        #: What is to be done, and whether the thread does it; guarded by the lock.
        self._acts: deque[Callable[[], str]] = deque()
        self._turn, self._busy = threading.Lock(), False
        self._left = False

    def press(self, key: str) -> None:
        """Take a key."""
        if self._typed is not None:
            self._choose(key)
        elif not self._progress.stopping:
            self._act(key)
        self._changed()

    def line(self, width: int) -> Text:
        """Return what stands at the bottom: what is asked, the answer to the last key, or which keys there are."""
        if self._typed is not None:
            return Text(self._question(width), style="reverse", no_wrap=True, overflow="ellipsis")
        if self._said and self._monotonic() < self._said_until:
            return Text(self._said, style="bold", no_wrap=True, overflow="ellipsis")
        words = f"p {'unpause' if self._progress.paused else 'pause'}   + - slots   d drain   q leave"
        words = words if len(words) <= width else "p + - d q"
        return Text("" if self._progress.stopping else words, style="dim", no_wrap=True, overflow="ellipsis")

    def wait(self) -> None:
        """Return when what was asked for last is done."""
        if self._thread is not None:
            self._thread.join()

    # -- acting --------------------------------------------------------------------------------------------------

    def _act(self, key: str) -> None:
        if key == "q":
            self._do("leaving", self._go)
        elif key == "p":
            self._do("asking", self._pause)
        elif key in ("+", "=", "-", "_"):
            self._do("asking", lambda: self._change_slots(1 if key in "+=" else -1))
        elif key == "d":
            self._typed, self._at = "", 0

    def _go(self) -> str:
        if not self._left:
            self._left = True
            self._leave()
        return ""

    def _pause(self) -> str:
        paused = not self._progress.paused
        return self._carry_out({"do": "pause" if paused else "unpause", "jobs": None},
                               {"event": "pause", "paused": paused, "jobs": None})

    def _do(self, word: str, act: Callable[[], str]) -> None:
        """Do something in a thread of its own, after what was asked for before."""
        self._say(f"{word} …", 3600.0)
        with self._turn:
            if len(self._acts) < _MOST_ACTS:
                self._acts.append(act)
            if self._busy:
                return
            self._busy = True
        self._thread = threading.Thread(target=self._work, name="sshjobs-ask", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while True:
            with self._turn:
                if not self._acts:
                    self._busy = False
                    return
                act = self._acts.popleft()
            try:
                self._say(act())
            except SshjobsError as error:
                self._say(str(error))
            self._changed()

    def _carry_out(self, request: dict[str, Any], event: Event) -> str:
        self._ask(request)
        with self._lock:
            # Who only watches a run is not told of what was asked for.
            self._progress.take(event)
        return event_text(event)

    def _change_slots(self, change: int) -> str:
        with self._lock:
            wanted: dict[int, list[str]] = defaultdict(list)
            for host in self._progress.hosts.values():
                if host.slots is not None and 1 <= host.slots + change <= MAX_SLOTS:
                    wanted[host.slots + change].append(host.name)
        if not wanted:
            return "no host can have fewer" if change < 0 else "no host is up yet that could have more"
        for slots, names in wanted.items():
            self._carry_out({"do": "hosts-slots", "hosts": names, "slots": slots},
                            {"event": "hosts", "change": "slots", "hosts": names, "slots": slots})
        hosts = sum(map(len, wanted.values()))
        each = next(iter(wanted)) if len(wanted) == 1 else None
        word = "more" if change > 0 else "fewer"
        return (f"{count(hosts, 'host')}: a slot {word}" + (f", {each} each" if each and hosts > 1 else "")
                + (f", {each} now" if each and hosts == 1 else ""))

    # -- choosing a host -----------------------------------------------------------------------------------------

    def _fitting(self) -> list[HostView]:
        typed = (self._typed or "").lower()
        with self._lock:
            return sorted((host for host in self._progress.hosts.values() if typed in host.name.lower()),
                          key=lambda host: (not host.name.lower().startswith(typed), host.drained, host.name))

    def _choose(self, key: str) -> None:
        assert self._typed is not None
        if key == "escape":
            self._typed = None
        elif key == "enter":
            fitting = self._fitting()
            if fitting:
                self._typed = None
                self._drain(fitting[self._at % len(fitting)])
        elif key in ("up", "down"):
            self._at += 1 if key == "down" else -1
        elif key == "backspace":
            self._typed, self._at = self._typed[:-1], 0
        elif len(key) == 1 and key.isprintable() and len(self._typed) < _LONGEST:
            self._typed, self._at = self._typed + key, 0

    def _drain(self, host: HostView) -> None:
        change = "undrained" if host.drained else "drained"
        self._do("asking", lambda: self._carry_out(
            {"do": f"hosts-{change.removesuffix('ed')}", "hosts": [host.name]},
            {"event": "hosts", "change": change, "hosts": [host.name], "slots": None}))

    def _question(self, width: int) -> str:
        fitting = self._fitting()
        typed = printable(self._typed)
        if not fitting:
            return f"no host is called so: {typed}_  (Esc: leave)"
        host = fitting[self._at % len(fitting)]
        verb = "use again" if host.drained else "drain"
        more = f", {self._at % len(fitting) + 1} of {len(fitting)}, Tab: next" if len(fitting) > 1 else ""
        keys = f"  (Enter{more}, Esc)"
        room = width - len(verb) - len(typed) - len(keys) - 4
        if room < 8:
            keys, room = "", max(2, width - len(verb) - len(typed) - 4)
        return f"{verb} {fit(host.name, room)}? {typed}_{keys}"

    def _say(self, text: str, seconds: float = ANSWER_S) -> None:
        self._said, self._said_until = printable(text), self._monotonic() + seconds

