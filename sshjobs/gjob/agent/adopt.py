"""Attempts that no runner of ours tells of: their runner belongs to an earlier agent, or is dead."""

import os

from .. import cgroup, kill, procs, result, system
from .. import lease as lease_
from .. import pipes as pipes_
from ..light import dumps
from . import attempts as attempts_
from . import logout
from .attempts import Attempt, History, end_text

MYPY = False
if MYPY:
    from typing import Any, Callable

    from ..lease import Leases
    from ..places import Places

LEFTOVERS_GRACE, TIMEOUT_GRACE = 1.0, 5.0
#: Looks in a row that must find nothing alive: a process may fork while a scan has passed it already.
CLEAR_LOOKS = 2

#: Exit statuses of posix_spawn's and of subprocess's child when the program cannot be loaded.
UNLOADED = (127, 255)

#: Ends of what has run, known for certain.
_WITH_RESULT = ("exited", "signalled", "timed_out", "oom", "cancelled")
#: Ends that this side has brought about.
_ASKED_FOR = ("cancelled", "lease", "closed")
_NEVER = "its runner died before the job was started"
_NO_ROOM = "its runner had no room for itself: files or memory"
_LAST_WORDS = "its runner died as it ended: the last of its output may be missing"
_LOST = "its runner died, and its exit status is not known"
_TOGETHER = ("the agent and its runner were killed, and its exit status is not known; some hosts end everything at "
             "logout (KillUserProcesses): see sshjobs hosts check")
_LOGOUT = "it was killed with its runner and the agent: " + logout.WARNING
_REBOOT = "the host was restarted while it ran"


class Adopted:
    """Finds out how an attempt ends.

    :param mine: returns the pids of the runners that this agent has
    :param strays: returns living processes that can only belong to this attempt, though nothing in them says so
    """

    def __init__(self, attempt: Attempt, history: History, places: "Places", mine: "Callable[[], set[int]]",
                 strays: "Callable[[], list[procs.Proc]]", leases: "Leases"):
        self.attempt = attempt
        self._leases = leases
        self._history, self._places, self._mine, self._strays = history, places, mine, strays
        self._status: "tuple[int | None, int | None] | None" = None
        self._why: "str | None" = None
        self._usage = (0.0, 0)
        self._killer: "kill.Killer | None" = None
        self._known: "dict[int, int]" = {}
        self._clear = 0
        self._runner_lives = True
        #: Its runner was this agent's, so its main process became a child of the agent's.
        self.inherited = False
        #: Its runner was killed between the claim and the start: there is no process, and there was none.
        self.never = False
        self._pipes: "pipes_.Pipes | None" = None
        self._held_pipes = False
        #: Its runner found no room for its own files before it began with it.
        self.no_room = False

    @property
    def _records(self) -> "dict[str, dict[str, Any]]":
        return self._history.records.get(self.attempt.uid, {})

    def cancel(self, grace: float, now: float, why: str = "cancelled") -> None:
        """End it.

        :param why: of its end, unless it is over already
        """
        if self._killer is not None:
            self._killer.hurry(grace, now)
            return
        if self._running():
            self._why = why
        self._killer = self._kill(grace, now)

    def _kill(self, grace: float, now: float) -> "kill.Killer":
        return kill.Killer(self.members, grace, now, at_once=self._kill_cgroup)

    def _kill_cgroup(self) -> None:
        # With a runner that lives it would end that as well, and with it what is known of the end.
        if not self._runner_lives:
            cgroup.kill(self._records.get("claim", {}).get("cgroup"))

    def pause(self, stop: bool) -> None:
        """Stop it, or let it go on."""
        (kill.halt if stop else kill.go_on)(self.members)

    def see_runner(self) -> None:
        """Note whether its runner lives, before its journal is read for :meth:`look`."""
        claim = self._records.get("claim")
        if claim is None:
            self._runner_lives = self._history.others_work(self._mine())
        else:
            self._runner_lives = procs.lives(claim["runner"], claim["rstart"])

    def look(self, now: float, reaped: "dict[int, tuple[int, float, int]]") -> bytes:
        """Do what is due; return the end (see ``Attempt.end``) once it is known and nothing is left alive.

        :param reaped: wait status, CPU seconds and size of children of the agent's that ended, by pid
        """
        records = self._records
        claim = records.get("claim")
        if "start" in records:
            self.attempt.pid = records["start"]["pid"]
            if self.attempt.pid in reaped:
                self._take_status(*reaped.pop(self.attempt.pid))
        if "end" in records:
            return self._told(records["end"])
        if self._killer is not None:
            self._killer.act(now)
            self.attempt.stuck = self._killer.stuck
        if claim is None or self.never:
            if self._runner_lives:
                return b""
            return self._finish(*(("no_room", _NO_ROOM) if self.no_room else ("start_failed", _NEVER)))
        if self._runner_lives:
            return b""
        if claim.get("pipes"):
            self._move()
        if self._running():
            if not self._leases.covers(self.attempt.uid):
                self.cancel(lease_.GRACE, now, "lease")
            if self._killer is None and claim.get("until") is not None and now >= claim["until"]:
                self._why = "timed_out"
                self._killer = self._kill(TIMEOUT_GRACE, now)
            return b""
        return self._over(records, claim, now)

    def _over(self, records: "dict[str, dict[str, Any]]", claim: "dict[str, Any]", now: float) -> bytes:
        """The main process is over and so is its runner: see to what is left."""
        if not (claim.get("keep") and self._killer is None) and self.members():
            self._clear = 0
            if self._killer is None:
                self._killer = self._kill(LEFTOVERS_GRACE, now)
            return b""
        # Even where nothing is waited for: a child of ours that has ended is reaped between two looks.
        self._clear += 1
        if self._clear < CLEAR_LOOKS:
            return b""
        noted = records.get("exit")
        if noted is not None:
            return self._finish(noted["why"], None, noted["status"], noted["signal"])
        if self._status is not None and not self._never_loaded(records):
            status, number = self._status
            return self._finish(self._why or ("exited" if number is None else "signalled"), None, status, number)
        if self._why in _ASKED_FOR:
            return self._finish(self._why, None)
        return self._finish("lost", self._lost())

    def _lost(self) -> str:
        """Say why its exit status is not known, and what may have ended it where all of ours was ended with it."""
        if self.inherited or not self._history.after_a_kill:
            return _LOST
        return _LOGOUT if logout.ends_everything() else _TOGETHER

    def _move(self) -> None:
        """Do what its runner did: have what comes through its pipes in its files."""
        if self._pipes is None:
            self._held_pipes = self._running()
            self._pipes = pipes_.Pipes(self._places, self.attempt.uid, self._records["claim"].get("limit"))
            self._pipes.find()
        self._pipes.move()

    def _never_loaded(self, records: "dict[str, dict[str, Any]]") -> bool:
        """True where the status may be that of the attempt to load the program, whose answer the runner did not live
        to read."""
        return bool(records["start"].get("found")) and self._status is not None and self._status[0] in UNLOADED

    def _finish(self, why: str, msg: "str | None", status: "int | None" = None,
                number: "int | None" = None) -> bytes:
        uid = self.attempt.uid
        if self._pipes is not None:
            while self._pipes.move():
                pass
            self._pipes.close()
            self._pipes.settle()
            msg = msg if self._held_pipes or msg is not None else _LAST_WORDS
        started = self._records.get("start", {}).get("at")
        self.attempt.sizes = sizes = self._places.size(uid, 1), self._places.size(uid, 2)
        # Of one of which nobody knows how it ended, nobody knows either whether it was through with that.
        limit = None if self._pipes is None else self._pipes.limit
        left = result.fields(self._places, uid, tries=1, limit=limit) if why in _WITH_RESULT else {}
        left.update({} if self._pipes is None else self._pipes.told())
        text = end_text(uid, why, msg, status, number, started, system.time(), sizes, self._usage, left)
        cgroup.remove(self._records.get("claim", {}).get("cgroup"))
        if self._history.journal.append(b'{"k":"end",' + text) and self._pipes is not None:
            self._pipes.forget()
        return text

    def _told(self, record: "dict[str, Any]") -> bytes:
        """Take the end that its own runner wrote; it does not know that we cancelled."""
        if self._why in _ASKED_FOR and record["why"] in ("exited", "signalled"):
            record = dict(record, why=self._why)
        return take_end(self.attempt, record)

    def _running(self) -> bool:
        records = self._records
        if "exit" in records or "end" in records or self._status is not None:
            return False
        start = self._start()
        if start is not None:
            return procs.lives(start["pid"], start["start"])
        # The main process leads a session as long as it lives: what is in its session without it was left behind.
        return "claim" in records and any(proc.session == proc.pid for proc in self.members())

    def _start(self) -> "dict[str, Any] | None":
        """The record of its start. Where the start time is not in it yet, it is found out: a child of ours can be
        no other process, and one that carries the token is not."""
        start = self._records.get("start")
        if start is not None and start["start"] is None:
            proc = procs.look(start["pid"])
            ours = proc is not None and (proc.ppid == system.getpid() or bool(
                procs.holders([self._records["claim"]["token"]], {proc.pid: proc})))
            start["start"] = proc.start if proc is not None and ours else 0
        return start

    def _take_status(self, status: int, cpu: float, rss: int) -> None:
        if os.WIFSIGNALED(status):
            self._status = None, os.WTERMSIG(status)
        else:
            self._status = os.WEXITSTATUS(status), None
        self._usage = cpu, rss

    def members(self) -> "list[procs.Proc]":
        """Scan for the living processes of the attempt: by token, by cgroup, by descent, and those seen before."""
        found = procs.table()
        claim, start = self._records.get("claim"), self._start()
        members = {}
        if claim is not None:
            members = {proc.pid: proc for proc in procs.holders([claim["token"]], found)}
            members.update((pid, found[pid]) for pid in cgroup.pids(claim.get("cgroup"))
                           if pid in found and pid != claim["runner"])
        roots = dict(self._known)
        if start is not None:
            roots[start["pid"]] = start["start"]
        for pid, began in roots.items():
            if pid in found and found[pid].start == began:
                members[pid] = found[pid]
        for proc in procs.descendants(found, list(members)) + self._strays():
            members[proc.pid] = proc
        mine = self._mine()
        living = [proc for proc in members.values() if not proc.dead and proc.pid not in mine]
        self._known = {proc.pid: proc.start for proc in living}
        return living


def find_main(attempt: Attempt, history: History, runner: int, others: "list[Attempt]", staff: "set[int]") -> bool:
    """Find the main process of a job whose runner was killed before it could write down the pid; False where
    there is none, so that the job was never started.

    The moment is not short: the runner stands still until the program is loaded. What is found is a child of ours
    that leads a session, or is still in the runner's, and can be no other job's; where several can, none is taken.

    :param runner: the pid that its runner had
    :param staff: pids of runners
    """
    records = history.records.get(attempt.uid, {})
    if "claim" not in records or "start" in records or "end" in records:
        return True
    known = {other.pid for other in others if other.state == attempts_.RUNNING} | staff
    found = [proc for proc in map(procs.look, procs.children()) if proc is not None and proc.pid not in known
             and proc.session in (proc.pid, runner)]
    strangers = procs.holders([other.token for other in others if other.token], {proc.pid: proc for proc in found})
    pids = {proc.pid for proc in strangers}
    found = [proc for proc in found if proc.pid not in pids]
    if len(found) == 1:
        history.note_start(attempt.uid, found[0].pid, found[0].start)
    return bool(found)


def take_end(attempt: Attempt, record: "dict[str, Any]") -> bytes:
    """Give an attempt the end that a journal tells, and return it."""
    attempt.sizes = record["out"], record["err"]
    frame = {key: record[key] for key in record if key != "k"}
    return dumps(frame).encode("ascii")[1:]


def _is_whole(uid: str, records: "dict[str, dict[str, Any]]", places: "Places") -> bool:
    """False when the host went down after the end, and what was not on the disk by then is missing in the outputs."""
    claim, end = records.get("claim"), records["end"]
    if claim is not None and claim["boot"] == procs.identity():
        return True
    return bool(places.size(uid, 1) >= end["out"] and places.size(uid, 2) >= end["err"])


def _put_together(places: "Places", uid: str, records: "dict[str, dict[str, Any]]") -> "dict[str, Any]":
    """Put outputs with a limit together as far as there is room, and return what their end says of that."""
    if "left_out" in records.get("end", {}):
        return {"left_out": records["end"]["left_out"]}
    pipes = pipes_.Pipes(places, uid, records.get("claim", {}).get("limit"))
    try:
        pipes.settle()
    except OSError:
        pass  # what there was no room for counts as left out
    return pipes.told()


def recover(history: History, places: "Places") -> "list[Attempt]":
    """Return every attempt that an earlier agent left here. Those whose end is not known yet are ``running``."""
    here = procs.identity()
    found = []
    for uid in history.known():
        if uid in history.released:
            (places.discard_outputs if uid in history.kept else places.discard)(uid)
            continue
        records = history.records.get(uid, {})
        claim = records.get("claim")
        attempt = Attempt(uid, claim["token"] if claim else "", state=attempts_.ENDED)
        if "end" in records and _is_whole(uid, records, places):
            attempt.end = take_end(attempt, records["end"])
        elif "fence" in records or (not records and places.is_fenced(uid)):
            attempt.end = end_text(uid, "fenced")
        elif not history.elsewhere and (
                "end" in records or ((claim["boot"] != here) if claim else (here not in history.boots))):
            left_out = _put_together(places, uid, records)
            attempt.sizes = places.size(uid, 1), places.size(uid, 2)
            started = records.get("start", {}).get("at")
            attempt.end = end_text(uid, "reboot", _REBOOT, started=started, sizes=attempt.sizes, result=left_out)
            history.journal.append(b'{"k":"end",' + attempt.end)
        else:
            attempt.state = attempts_.RUNNING
            attempt.lease = claim.get("lease") if claim else None
        found.append(attempt)
    return found
