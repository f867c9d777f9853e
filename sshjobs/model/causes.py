"""Causes: why an attempt ended as it did, where its outcome alone does not tell. Decisions are made by these values;
the words for them are made here and never compared.
"""

from __future__ import annotations

from enum import Enum


class Cause(str, Enum):
    """Why an attempt ended so. Most ends need none: ``None``."""

    #: It was taken back before it started, so that its job can run elsewhere or later.
    TAKEN_BACK = "taken_back"
    #: It did not start, because its host has no room for any job: a full disk, a full table of processes.
    NO_ROOM = "no_room"
    #: It did not start, because somebody else uses one of its GPUs.
    GPU_TAKEN = "gpu_taken"
    #: It failed on a GPU that does not work any more.
    GPU_FAILED = "gpu_failed"
    #: It cannot be started as it is: no such program, no execute bit, no such directory.
    CANNOT_START = "cannot_start"
    #: It was not sent, for a reason on this machine: one of its files is missing here.
    NOT_SENT = "not_sent"
    #: It succeeded, but a required output was missing, or could not be fetched.
    OUTPUT_MISSING = "output_missing"
    #: The same jobs pass on other hosts: the host is to blame, not the job.
    HOSTS_FAULT = "hosts_fault"
    #: Its host was restarted after the launch. Known before its end.
    MAY_HAVE_RUN = "may_have_run"
    #: Its host knows nothing of it any more, and it may have run.
    FORGOTTEN = "forgotten"
    #: Its runner and agent died, so its exit status is unknown.
    STATUS_UNKNOWN = "status_unknown"
    #: Its host has booted since.
    REBOOT = "reboot"
    #: The Slurm allocation of its host is over.
    ALLOCATION = "allocation"
    #: Its lease ran out.
    LEASE = "lease"
    #: Its host closed by its manners, which end what runs then.
    CLOSED = "closed"
    #: A person has declared that its host will not come back.
    DECLARED_LOST = "declared_lost"
    #: A rule of the run, such as fail_fast, ended the run, and the attempt with it.
    ENDED_BY_RULE = "ended_by_rule"

    def __str__(self) -> str:
        return self.value


class EndCause(str, Enum):
    """Why an attempt or a job ended without success, in the words of commands and messages. Each such end has one: it
    follows from outcome, cause, status and last lines (:mod:`sshjobs.diagnosis.ends`), and is not stored."""

    EXIT = "exit"
    SIGNAL = "signal"
    OUT_OF_MEMORY = "out_of_memory"
    TIMEOUT = "timeout"
    DISK_FULL = "disk_full"
    NOT_EXECUTABLE = "not_executable"
    NO_SUCH_PROGRAM = "no_such_program"
    MISSING_LIBRARY = "missing_library"
    MISSING_INPUT = "missing_input"
    MISSING_OUTPUT = "missing_output"
    GPU_ERROR = "gpu_error"
    HOST_REBOOTED = "host_rebooted"
    HOST_LOST = "host_lost"
    RUNNER_LOST = "runner_lost"
    LEASE = "lease"
    SETUP_FAILED = "setup_failed"
    NOT_STARTED = "not_started"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"

    def __str__(self) -> str:
        return self.value


#: An end with such a cause counts against no job, no host and no number of retries.
GIVEN_BACK = frozenset((Cause.TAKEN_BACK, Cause.NO_ROOM, Cause.GPU_TAKEN, Cause.CLOSED))

#: A trouble that does not pass by itself, and is not the host's fault: no retry before a person acts.
LASTING = frozenset((Cause.CANNOT_START, Cause.NOT_SENT))

_WORDS = {
    Cause.TAKEN_BACK: "taken back before it started",
    Cause.NO_ROOM: "the host cannot take it",
    Cause.GPU_TAKEN: "it waits for a GPU",
    Cause.GPU_FAILED: "the host's fault, not the job's",
    Cause.CANNOT_START: "it cannot be started",
    Cause.NOT_SENT: "it was not sent",
    Cause.OUTPUT_MISSING: "a required file is missing",
    Cause.HOSTS_FAULT: "the host's fault, not the job's",
    Cause.MAY_HAVE_RUN: "the host went down after it was launched; it may have run",
    Cause.FORGOTTEN: "the host has forgotten it; it may have run",
    Cause.STATUS_UNKNOWN: "its exit status cannot be known any more",
    Cause.REBOOT: "the host was restarted",
    Cause.ALLOCATION: "the allocation of its host is over",
    Cause.LEASE: "its lease ran out while no manager was there",
    Cause.CLOSED: "stopped, as the time that its host has for jobs was over",
    Cause.DECLARED_LOST: "its host was declared lost by a person",
    Cause.ENDED_BY_RULE: "by a rule of the run",
}
#: For these causes the host's text is added to our words; for others it replaces them.
_WITH_DETAIL = frozenset((Cause.NO_ROOM, Cause.GPU_TAKEN, Cause.GPU_FAILED, Cause.HOSTS_FAULT, Cause.OUTPUT_MISSING,
                          Cause.ENDED_BY_RULE))


def explain(cause: Cause | None, detail: str | None) -> str | None:
    """Return in words why an attempt ended; ``None`` where its outcome says it all.

    :param detail: what its host, or sshjobs, said about it
    """
    if cause is None or (detail and cause not in _WITH_DETAIL):
        return detail
    return f"{_WORDS[cause]}: {detail}" if detail else _WORDS[cause]
