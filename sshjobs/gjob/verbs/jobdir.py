"""Job directories: how they are made and what they tell of their job.

A directory holds ``log`` (stdout), ``err`` (stderr) and ``.cmds`` (the script), and once the job was started ``.pid``
and ``.pgid``; at its end ``.exit`` (status), ``.time`` and ``.done``. ``DELETED`` marks one that was emptied. What
decides is ``.gjob/journal`` (see journal.py): only the process that brings ``.gjob`` into place may start the job.
"""

import os
import re
import socket
import time

from .. import procs
from ..journal import Reader
from .say import Trouble, reason

MYPY = False
if MYPY:
    from typing import Any

    Records = dict[str, dict[str, Any]]

ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,252}/[0-9]{4}-[0-9]{2}-[0-9]{2}(-[1-9][0-9]{0,9})?")
RECORD, DELETED = ".gjob", "DELETED"
#: Only a gjob that kept no record leaves these without one.
_SEED_MARKS = (".done", ".pid", "log", DELETED)
#: Names in a job directory that are not the user's.
OURS = (RECORD, DELETED, ".cmds", ".pid", ".pgid", ".exit", ".time", ".done", "log", "err")

_OUTCOMES = {"signalled": "signalled", "oom": "out_of_memory", "start_failed": "failed", "fenced": "never_started",
             "timed_out": "timed_out", "cancelled": "cancelled", "lost": "lost"}
_REBOOT = "its host went down while it ran"
_LOST = "what watched over it was killed: the exit status is not known"


class Standing:
    """How a job stands.

    :ivar state: ``free``, ``busy``, ``done``, ``error`` or ``unknown``
    :ivar why: in words, where the state does not say it all
    :ivar facts: the same and more, for programs
    """

    def __init__(self, state: str, outcome: "str | None" = None, why: "str | None" = None, **facts: "Any"):
        self.state, self.why = state, why
        self.facts: "dict[str, Any]" = {"state": state, "outcome": outcome, "reason": why, "exit_status": None,
                                        "signal": None, "started": None, "ended": None, "cpu": None, "rss": None,
                                        "pid": None, "deleted": False}
        self.facts.update(facts)


class JobDir:
    """One job directory, which may not exist.

    :param path: where it is
    :param name: what to call it in messages
    """

    def __init__(self, path: str, name: "str | None" = None):
        self.path = os.path.abspath(path)
        self.name = path if name is None else name
        self.record = self.file(RECORD)

    def file(self, name: str) -> str:
        """The path of something in it."""
        return os.path.join(self.path, name)

    def has(self, name: str) -> bool:
        """Tell whether something of that name is in it."""
        return os.path.lexists(self.file(name))

    def require(self) -> None:
        """See that there is such a directory.

        :raises Trouble: there is none
        """
        if not os.path.isdir(self.path):
            raise Trouble(self.name, "there is no such job directory", "check the name: gjob local mkdir prints it")

    def records(self) -> "Records":
        """Return what the journal says, by kind; empty where the job was never started."""
        return {found["k"]: found for found in Reader(os.path.join(self.record, "journal")).read()}

    def standing(self) -> Standing:
        """Find out how the job stands."""
        records = self.records()
        while records:
            standing = self._judge(records)
            latest = self.records()
            # It may have ended while we looked for its processes; then what it wrote last counts.
            if latest == records:
                return standing
            records = latest
        if not os.path.isdir(self.path):
            return Standing("unknown", why="there is no such job directory")
        if any(map(self.has, _SEED_MARKS)):
            return Standing("unknown", why="an older gjob ran it, and kept no exit status", deleted=self.has(DELETED))
        return Standing("free")

    def _judge(self, records: "Records") -> Standing:
        start = records.get("start", {})
        facts: "dict[str, Any]" = {"pid": start.get("pid"), "started": start.get("at"), "deleted": self.has(DELETED)}
        end = records.get("end")
        if end is not None and (self.has(".done") or facts["deleted"]):
            return _ended(end, facts)
        where = self.where(records)
        if where == "elsewhere":
            return Standing("unknown", why="it runs on %s: ask there" % records["job"].get("host"), **facts)
        if where == "here" and (self.watcher(records) is not None or self.members(records)):
            return Standing("busy", **facts)
        if end is not None or "exit" in records:
            return _ended(end or records["exit"], facts)
        if "claim" not in records:
            return Standing("error", "never_started", "what was to start it died before that", **facts)
        return Standing("error", "lost", _LOST if where == "here" else _REBOOT, **facts)

    def where(self, records: "Records") -> str:
        """Tell where the job was started: ``here``, ``elsewhere``, or ``before`` this host's last start."""
        if records.get("runner", {}).get("boot") == procs.identity():
            return "here"
        return "before" if records.get("job", {}).get("host") == socket.gethostname() else "elsewhere"

    def watcher(self, records: "Records") -> "procs.Proc | None":
        """Return the process that waits for the job's end, while it lives."""
        runner = records.get("runner", {})
        proc = procs.look(runner["runner"]) if "runner" in runner else None
        return proc if proc is not None and proc.start == runner["rstart"] and not proc.dead else None

    def members(self, records: "Records") -> "list[procs.Proc]":
        """Scan for the living processes of the job: by descent and by token. What watches over it is none of them."""
        found = procs.table()
        members = {proc.pid: proc for proc in procs.holders([records.get("job", {}).get("token", "-")], found)}
        start = records.get("start")
        if start is not None and start["pid"] in found and found[start["pid"]].start == start["start"]:
            members[start["pid"]] = found[start["pid"]]
        watcher = self.watcher(records)
        roots = list(members) + ([watcher.pid] if watcher is not None else [])
        members.update((proc.pid, proc) for proc in procs.descendants(found, roots))
        for pid in (os.getpid(), watcher.pid if watcher is not None else 0):
            members.pop(pid, None)
        return [proc for proc in members.values() if not proc.dead]


def _ended(end: "dict[str, Any]", facts: "dict[str, Any]") -> Standing:
    status, why = end.get("status"), end["why"]
    if why == "exited":
        outcome = "succeeded" if status == 0 else "failed"
    else:
        outcome = _OUTCOMES.get(why, "failed")
    facts = dict(facts, exit_status=status, signal=end.get("signal"))
    facts.update((key, end[key]) for key in ("started", "ended", "cpu", "rss") if end.get(key) is not None)
    return Standing("done" if outcome == "succeeded" else "error", outcome, end.get("msg"), **facts)


def host_name() -> str:
    """Return this host's short name, as it stands in ids."""
    short = re.sub(r"[^A-Za-z0-9._-]", "_", socket.gethostname().partition(".")[0])
    return short if short[:1].isalnum() else "_" + short


def make(results: str) -> str:
    """Make a job directory below ``results`` that nobody ever had, and return its id.

    :raises Trouble: it cannot be made
    """
    host, date = host_name(), time.strftime("%Y-%m-%d")
    parent = os.path.join(results, host)
    try:
        os.makedirs(parent, exist_ok=True)
        while True:
            number = _highest(parent, date) + 1
            name = date if number == 1 else "%s-%d" % (date, number)
            try:
                os.mkdir(os.path.join(parent, name))
                return "%s/%s" % (host, name)
            except FileExistsError:  # somebody else was quicker
                continue
    except OSError as error:
        raise Trouble("%s: no job directory can be made" % parent, reason(error), "make it writable, or name another")


def _highest(parent: str, date: str) -> int:
    """Return the highest number that a job of the day has; one lower would have been somebody's too."""
    pattern = re.compile(re.escape(date) + "(?:-([0-9]{1,9}))?")
    found = [pattern.fullmatch(name) for name in os.listdir(parent)]
    return max([int(match.group(1) or 1) for match in found if match is not None] or [0])
