"""Why something ended, with the evidence: certain where a host or we know it, else read from what the job wrote."""

from __future__ import annotations

import signal as signals
from collections.abc import Sequence
from typing import NamedTuple

from sshjobs.diagnosis import signs
from sshjobs.model.causes import Cause, EndCause, explain
from sshjobs.model.states import Outcome
from sshjobs.views.wording import ending, signal_name

#: The words for each cause.
WORDS = {
    EndCause.EXIT: "failed by itself", EndCause.SIGNAL: "ended by a signal", EndCause.OUT_OF_MEMORY: "out of memory",
    EndCause.TIMEOUT: "timed out", EndCause.DISK_FULL: "disk full", EndCause.NOT_EXECUTABLE: "program not executable",
    EndCause.NO_SUCH_PROGRAM: "no such program", EndCause.MISSING_LIBRARY: "missing library",
    EndCause.MISSING_INPUT: "missing input", EndCause.MISSING_OUTPUT: "missing output file",
    EndCause.GPU_ERROR: "GPU error", EndCause.HOST_REBOOTED: "host rebooted", EndCause.HOST_LOST: "host lost",
    EndCause.RUNNER_LOST: "runner lost", EndCause.LEASE: "lease ran out", EndCause.SETUP_FAILED: "setup failed",
    EndCause.NOT_STARTED: "not started", EndCause.CANCELLED: "cancelled", EndCause.SKIPPED: "skipped",
}


class End(NamedTuple):
    """How something ended, as stored.

    :ivar cause: the stored cause of the attempt
    :ivar reason: what was said about it: for an attempt by the host or by us, for a job in whole words
    """

    outcome: str | None
    exit_status: int | None
    signal: int | None
    cause: str | None
    reason: str | None

    @property
    def explained(self) -> str | None:
        """The reason in whole words; ``None`` where the outcome says it all."""
        return explain(None if self.cause is None else _CAUSES.get(self.cause), self.reason)


class Diagnosis(NamedTuple):
    """Why something ended as it did.

    :ivar proved: whether that is known for certain; else it is probable
    :ivar evidence: what shows it, in one line; may hold control characters that a job wrote
    :ivar line: the line of a job's output that the evidence quotes
    """

    cause: EndCause
    proved: bool
    evidence: str
    line: str | None = None

    @property
    def words(self) -> str:
        """The cause in words: ``timed out``, ``probably GPU error``."""
        return f"{'' if self.proved else 'probably '}{WORDS[self.cause]}"


#: Outcomes that say for certain why something ended.
_BY_OUTCOME = {Outcome.TIMED_OUT.value: (EndCause.TIMEOUT, "its timeout passed"),
               Outcome.OUT_OF_MEMORY.value: (EndCause.OUT_OF_MEMORY, "the kernel killed for want of memory"),
               Outcome.SKIPPED.value: (EndCause.SKIPPED, "no host that it may run on could be used"),
               Outcome.CANCELLED.value: (EndCause.CANCELLED, "by a person")}
#: Stored causes that say so for certain.
_BY_CAUSE = {Cause.REBOOT.value: EndCause.HOST_REBOOTED, Cause.STATUS_UNKNOWN.value: EndCause.RUNNER_LOST,
             Cause.LEASE.value: EndCause.LEASE, Cause.DECLARED_LOST.value: EndCause.HOST_LOST,
             Cause.FORGOTTEN.value: EndCause.HOST_LOST, Cause.MAY_HAVE_RUN.value: EndCause.HOST_LOST,
             Cause.OUTPUT_MISSING.value: EndCause.MISSING_OUTPUT, Cause.NOT_SENT.value: EndCause.MISSING_INPUT,
             Cause.GPU_FAILED.value: EndCause.GPU_ERROR, Cause.GPU_TAKEN.value: EndCause.NOT_STARTED,
             Cause.NO_ROOM.value: EndCause.NOT_STARTED, Cause.TAKEN_BACK.value: EndCause.NOT_STARTED}
_OF_A_SHELL = {signs.NOT_EXECUTABLE: (EndCause.NOT_EXECUTABLE, "what a shell returns where it may not run a program"),
               signs.NOT_FOUND: (EndCause.NO_SUCH_PROGRAM, "what a shell returns where it finds no program")}
_CAUSES = {cause.value: cause for cause in Cause}
_SIGNALS = frozenset(int(one) for one in signals.Signals)
#: Signals by which a program ends itself when something goes wrong in it; its output says more about the cause.
_OWN_SIGNALS = frozenset((signals.SIGABRT, signals.SIGBUS, signals.SIGFPE, signals.SIGILL, signals.SIGSEGV,
                          signals.SIGTRAP))


def diagnose(end: End, lines: Sequence[str] = ()) -> Diagnosis:
    """Return why something ended without success.

    :param lines: the last lines that it wrote, in their order
    """
    if (certain := _certain(end)) is not None:
        return certain
    found = signs.read(lines, end.exit_status)
    said = ending(end.outcome, end.exit_status, end.signal, None)
    if end.signal is not None or end.outcome == Outcome.SIGNALLED.value:
        if found is not None and end.signal in _OWN_SIGNALS:
            return _read(said, *found)
        return Diagnosis(EndCause.SIGNAL, True, said)
    if found is not None:
        return _read(said, *found)
    status = end.exit_status
    if status in _OF_A_SHELL:
        cause, why = _OF_A_SHELL[status]
        return Diagnosis(cause, False, f"{said} is {why}")
    if status is not None and status - signs.SIGNALLED in _SIGNALS:
        name = signal_name(status - signs.SIGNALLED)
        return Diagnosis(EndCause.SIGNAL, False, f"{said} is what a shell returns for a command that {name} ended")
    # It failed without an exit status: nothing is known but the reason that was given.
    return Diagnosis(EndCause.EXIT, status is not None, end.reason or said)


def _read(said: str, cause: EndCause, line: str) -> Diagnosis:
    return Diagnosis(cause, False, f"{said}, and it wrote: {line}", line)


def _certain(end: End) -> Diagnosis | None:
    if end.outcome in _BY_OUTCOME:
        found, words = _BY_OUTCOME[end.outcome]
        return Diagnosis(found, True, end.explained or words)
    if end.cause in _BY_CAUSE:
        return Diagnosis(_BY_CAUSE[end.cause], True, end.explained or WORDS[_BY_CAUSE[end.cause]])
    if end.outcome == Outcome.NEVER_STARTED.value:
        found_cause = signs.of_start(end.reason)
        return Diagnosis(found_cause or EndCause.NOT_STARTED, True, end.explained or "it did not start")
    if end.outcome == Outcome.LOST.value:
        return Diagnosis(EndCause.HOST_LOST, True, end.explained or "how it ended cannot be known")
    return None
