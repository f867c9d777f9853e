"""Prints one plain line per event: for pipes, log files and simple terminals."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from sshjobs.model.states import Outcome
from sshjobs.store.rundir import RunPaths
from sshjobs.views.acts import act_word, event_text
from sshjobs.views.base import Event, Output, View, paths_of
from sshjobs.views.hostnews import HostNews
from sshjobs.views.progress import Progress
from sshjobs.views.wording import carried, clock, count, counts, ending_of, places, receipt, setup_text

#: After how many seconds of silence a line says what the run waits for.
SILENCE = 60.0
#: For how many seconds the message about a host that does not answer is held back: the end of its job may say the same.
PATIENCE = 3.0


class Lines(View):
    """Prints ``12:03:04 done   sim-3 on node01 exit 0 in 1.2 s``.

    :param quiet: print only what went wrong, and the summary
    :param verbose: also print when each job began to run
    :param brief: do not repeat at the end what was printed as it happened
    :param host_of: returns the one host that a job may run on. That such a host was never up is then reported once,
        with the end of its job
    :param handle: returns what to type for a run
    :param still: how often, in seconds, a line says that the run goes on, whatever else was printed
    """

    def __init__(self, output: Output, *, handle: Callable[[RunPaths], str], quiet: bool = False,
                 verbose: bool = False, brief: bool = False,
                 host_of: Callable[[str], str] | None = None, still: float | None = None,
                 now: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic):
        self._output, self._handle, self._quiet, self._verbose = output, handle, quiet, verbose
        self._now, self._monotonic = now, monotonic
        self._hosts, self._progress = HostNews(), Progress(monotonic)
        self._last, self._brief, self._host_of = monotonic(), brief, host_of
        self._still, self._still_told = still, monotonic()
        self._counts = not quiet or still is not None
        #: The hosts that were up; for others, what is held back, and since when.
        self._seen: set[str] = set()
        self._postponed: dict[str, tuple[float, tuple[str, str]]] = {}
        #: The last lines about hosts: the end of a job does not repeat them.
        self._told: deque[str] = deque(maxlen=200)

    def __call__(self, event: Event) -> None:
        # Where nobody is told how many jobs stand where, they are not counted: that is done twice for each job.
        if self._counts or event["event"] == "run":
            self._progress.take(event)
        getattr(self, f"_on_{event['event']}", self._on_other)(event)
        if self._still is not None and event["event"] != "end" and (
                self._monotonic() - self._still_told >= self._still):
            self._still_told = self._monotonic()
            self._say("still", f"running: {counts(self._progress.counts)}; {self._progress.waits_for()}")

    def close(self) -> None:
        """Do nothing: every line was printed at once."""

    def _say(self, word: str, text: str) -> None:
        self._last = self._monotonic()
        self._output.line(f"{clock(self._now())} {word:<6} {text}")

    def _on_run(self, event: Event) -> None:
        if not self._quiet:
            self._say("run", f"{event['run']}: {count(event['jobs'], 'job')} on {places(event['hosts'])}, "
                             f"in {event['directory']}")

    def _on_carried(self, event: Event) -> None:
        if not self._quiet:
            self._say("before", carried(event))

    def _on_launch(self, event: Event) -> None:
        if not self._quiet:
            again = f", attempt {event['attempt']}" if event["attempt"] > 1 else ""
            self._say("launch", f"{event['job']} on {event['host']}{again}")

    def _on_started(self, event: Event) -> None:
        if self._verbose and not self._quiet:
            self._say("start", f"{event['job']} on {event['host']}")

    def _on_retry(self, event: Event) -> None:
        left = -1 if self._quiet else self._hosts.room(event["host"])
        if left >= 0:
            more = "" if left else " (no more is told of that host)"
            again = f"; again at {clock(event['not_before'])}" if "not_before" in event else ""
            self._say("retry", f"{event['job']} on {event['host']}: {event['reason']}{again}{more}")

    def _on_setup(self, event: Event) -> None:
        if not self._quiet or event["outcome"] is not None:
            self._say("setup", setup_text(event))

    def _on_unknown(self, event: Event) -> None:
        left = -1 if self._quiet else self._hosts.room(event["host"])
        if left >= 0:
            more = "" if left else " (no more is told of that host)"
            self._say("away", f"{event['job']} on {event['host']}: its host cannot be asked; it may still run{more}")

    def _on_done(self, event: Event) -> None:
        if not self._quiet:
            told = event["reason"] and any(line.endswith(f"{event['job']}: {event['reason']}") for line in self._told)
            self._say("done", _end({**event, "reason": None} if told else event))

    def _on_error(self, event: Event) -> None:
        if self._host_of is not None and event["outcome"] == Outcome.SKIPPED:
            self._postponed.pop(self._host_of(event["job"]), None)
        self._say("error", _end(event))

    def _on_host(self, event: Event) -> None:
        news, host = self._hosts.line(event), event["host"]
        if news is not None and news[0] == "up":
            self._seen.add(host)
            self._postponed.pop(host, None)
        if news is None or (self._quiet and news[0] == "up"):
            return
        if self._host_of is None or host in self._seen or event["event"] != "host":
            self._told.append(news[1])
            self._say(*news)
        else:
            self._postponed[host] = self._monotonic(), news

    def _tell_postponed(self, patience: float) -> None:
        for host, (since, news) in list(self._postponed.items()):
            if self._monotonic() - since >= patience:
                del self._postponed[host]
                self._say(*news)

    _on_warning = _on_host

    def _on_act(self, event: Event) -> None:
        if not self._quiet:
            self._say(act_word(event), event_text(event))

    _on_added = _on_withdrawn = _on_again = _on_pause = _on_hosts = _on_act

    def _on_resumed(self, event: Event) -> None:
        if self._quiet:
            return
        text = ", ".join(f"{name} {event[key]}" for name, key in (
            ("adopted", "adopted"), ("collected", "collected"), ("to run", "to_run"), ("re-run", "re_run"),
            ("lost", "lost")))
        self._say("resumed", text + (f", not known yet {event['unknown']}" if event["unknown"] else ""))

    def _on_interrupt(self, event: Event) -> None:
        self._say("stop", event["reason"])

    def _on_wait(self, event: Event) -> None:
        self._tell_postponed(PATIENCE)
        if not self._quiet and self._monotonic() - self._last >= SILENCE:
            self._say("wait", f"{counts(self._progress.counts)}; {self._progress.waits_for()}")

    def _on_receipt(self, event: Event) -> None:
        for line in receipt(event):
            self._say("left", line)

    def _on_end(self, event: Event) -> None:
        from sshjobs.views.closing import closing

        self._tell_postponed(0.0)
        for line in closing(event, self._progress.elapsed(), self._handle(paths_of(event)), brief=self._brief,
                            screen=self._output.screen()):
            self._output.line(line)

    def _on_other(self, event: Event) -> None:
        """Ignore an event that this view does not show."""


def _end(event: Event) -> str:
    where = f" on {event['host']}" if event["host"] else ""
    again = f" (attempt {event['attempts']})" if event["attempts"] > 1 else ""
    return f"{event['job']}{where} {ending_of(event)}{again}"
