"""What is done to a job that was started: signals to its whole tree, and emptying its directory."""

import os
import re
import signal
import time

from .. import kill as kill_
from .. import procs
from ..trees import remove_tree
from .jobdir import DELETED, RECORD, JobDir
from .say import Trouble, reason, usage
from .start import claim, draft_record

MYPY = False
if MYPY:
    from typing import Callable

    from .jobdir import Records

#: Seconds between TERM and KILL where no signal was named.
GRACE = 5.0
#: Seconds for what is killed or stopped to be so, and for its end to be on disk.
PATIENCE = 15.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.005, 0.2


def signal_number(words: "list[str]") -> "int | None":
    """Return the signal that KILL-ARGS name as kill(1) takes them, ``None`` where there are none.

    :raises Trouble: they name none
    """
    text = " ".join(words)
    match = re.fullmatch(r"(?:--signal[ =]|-s ?|-)([A-Za-z0-9+-]+)", text)
    if match is None:
        if not words:
            return None
        raise usage("'%s' is no signal" % text, hint="write -9, -KILL or -s KILL")
    name = match.group(1).upper()
    if name.isdigit() and 1 <= int(name) < signal.NSIG:
        return int(name)
    # Of the real-time signals only the first and the last have a name: SIGRTMIN+3 is counted from one of them.
    base = re.fullmatch(r"(?:SIG)?([A-Z0-9]+?)((?:(?<=RTMIN)\+|(?<=RTMAX)-)[0-9]{1,2})?", name)
    found = None if base is None else getattr(signal, "SIG" + base.group(1), None)
    number = found + int(base.group(2) or 0) if base is not None and isinstance(found, signal.Signals) else 0
    if not 1 <= number < signal.NSIG:
        raise usage("there is no signal %s" % match.group(1), hint="see: kill -l")
    return number


def kill(job_dir: JobDir, number: "int | None") -> None:
    """Send a signal to the whole tree of a job. Without one, or with KILL, return when nothing of it lives.

    :param number: ``None`` for TERM and, for what is still there after a while, KILL
    :raises Trouble: the job was never started, runs elsewhere, or does not die
    """
    records = _started(job_dir)
    if job_dir.standing().state != "busy":
        return
    if number is not None and number != signal.SIGKILL:
        _send(job_dir, records, number)
        return
    _end(job_dir, 0.0 if number else GRACE, gently=number is None)


def _end(job_dir: JobDir, grace: float, gently: bool) -> None:
    begun = time.monotonic()
    killer = kill_.Killer(lambda: job_dir.members(job_dir.records()), grace, begun, gently=gently)

    def ended() -> bool:
        killer.act(time.monotonic())
        return job_dir.standing().state != "busy"

    if not _poll(ended, begun + grace + PATIENCE):
        left = _pids(job_dir.members(job_dir.records()))
        raise Trouble("%s: it does not die" % job_dir.name, "processes %s" % left,
                      "see what they wait for: ps -o stat,wchan,args -p %s" % left)


def _pids(processes: "list[procs.Proc]") -> str:
    return ",".join(str(process.pid) for process in processes)


def _send(job_dir: JobDir, records: "Records", number: int) -> None:
    def members() -> "list[procs.Proc]":
        return job_dir.members(records)

    if number == signal.SIGSTOP:
        kill_.halt(members)
    elif number == signal.SIGCONT:
        kill_.go_on(members)
    else:
        for proc in members():
            procs.send(proc, number)


def pause(job_dir: JobDir) -> None:
    """Stop the whole tree of a job, and return when all of it stands still.

    :raises Trouble: it does not run, or cannot be stopped
    """
    records = _running(job_dir)
    _send(job_dir, records, signal.SIGSTOP)
    if not _poll(lambda: is_paused(job_dir) or job_dir.standing().state != "busy", time.monotonic() + PATIENCE):
        raise Trouble("%s: it cannot be stopped" % job_dir.name, "some of it waits for a disk or is another user's",
                      "see: ps -o pid,user,stat,args -p %s" % _pids(job_dir.members(records)))


def unpause(job_dir: JobDir) -> None:
    """Let a paused job go on; one that is not paused is left as it is.

    :raises Trouble: it does not run
    """
    _send(job_dir, _running(job_dir), signal.SIGCONT)


def is_paused(job_dir: JobDir) -> bool:
    """Tell whether a job is there and all of it is stopped.

    :raises Trouble: there is no such job, or it runs elsewhere
    """
    job_dir.require()
    records = job_dir.records()
    if not records:
        return False
    if job_dir.standing().state == "unknown":
        raise _elsewhere(job_dir)
    members = job_dir.members(records) if job_dir.where(records) == "here" else []
    return bool(members) and all(proc.state in "Tt" for proc in members)


def delete(job_dir: JobDir) -> None:
    """Empty the directory of a job that is over, or was never started. The id is never used again.

    How the job ended stays known: its record is kept.

    :raises Trouble: the job runs, or something cannot be deleted
    """
    job_dir.require()
    if job_dir.standing().state == "free":
        _fence(job_dir)
    state = job_dir.standing().state
    if state == "busy":
        raise Trouble("%s: it runs" % job_dir.name, None, "end it first, with the verb kill")
    if state == "unknown" and job_dir.records():
        raise _elsewhere(job_dir)
    try:
        with open(job_dir.file(DELETED), "w"):
            pass
        left = [name for name in os.listdir(job_dir.path)
                if name not in (DELETED, RECORD) and remove_tree(job_dir.file(name))]
    except OSError as error:
        raise Trouble("%s: it cannot be deleted" % job_dir.name, reason(error), "see who owns it")
    if left:
        raise Trouble("%s: not all of it can be deleted" % job_dir.name, ", ".join(left), "see who owns these")


def _fence(job_dir: JobDir) -> None:
    """Make sure that a job that was not started never is."""
    try:
        draft, journal = draft_record(job_dir, os.urandom(16).hex())
        journal.append(b'{"k":"end","why":"fenced","msg":"deleted before it was started"}')
        os.close(journal.fd)
        if not claim(job_dir, draft):  # started just now; it is judged by that
            remove_tree(draft)
    except OSError as error:
        raise Trouble("%s: it cannot be deleted" % job_dir.name, reason(error), "see who owns it")


def _started(job_dir: JobDir) -> "Records":
    job_dir.require()
    records = job_dir.records()
    if not records:
        raise Trouble("%s: it was not started" % job_dir.name, None, "there is nothing to signal")
    if job_dir.standing().state == "unknown":
        raise _elsewhere(job_dir)
    return records


def _running(job_dir: JobDir) -> "Records":
    records = _started(job_dir)
    if job_dir.standing().state != "busy":
        raise Trouble("%s: it is over" % job_dir.name, None, "see: gjob local status or gjob remote status")
    return records


def _elsewhere(job_dir: JobDir) -> Trouble:
    return Trouble(job_dir.name, job_dir.standing().why, "run gjob on that host")


def _poll(condition: "Callable[[], bool]", deadline: float) -> bool:
    pause_ = _FIRST_PAUSE
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(pause_)
        pause_ = min(pause_ * 1.5, _LONGEST_PAUSE)
    return True
