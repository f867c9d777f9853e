"""The attempts of a run on this host: what the agent knows, and what must be known after any crash."""

import errno
import os

from .. import files, procs, system
from ..journal import Journal, Reader
from ..light import dumps, loads
from ..places import NEW, Unusable
from ..sharing.rules import COUNT, MEMORY, SCRATCH, SLOTS
from ..sharing.share import ONE_SLOT, Want
from ..values import is_id

MYPY = False
if MYPY:
    from typing import Any, Iterable

    from ..places import Places
    from ..sharing.board import Hold
    from .pool import Worker

QUEUED, RUNNING, ENDED = "queued", "running", "ended"


class Attempt:
    """One attempt that the manager has not released.

    :ivar line: its launch frame as it came, empty for one that an earlier agent was given
    :ivar worker: the runner that has it, if that is ours
    :ivar journal: path of the journal of the runner that was given it
    :ivar keep: what it leaves running is left alone
    :ivar gpus: UUIDs of the GPUs that it was given
    :ivar busy: bytes in use from which on one of them is not free
    :ivar cleared: they were found free
    :ivar lease: seconds that it may run on without a manager; ``None``: for ever
    :ivar end: the keys of its ``ended`` frame but for ``t``, as the rest of a JSON object
    :ivar sizes: of stdout and stderr at the end
    :ivar lost: bytes sent of stdout and stderr that the job itself removed from its files
    :ivar missing: bytes of both that were there at its end and that somebody deleted before they were sent
    :ivar pid: of the main process, once it is known
    :ivar stuck: processes of it that do not die
    :ivar want: what it needs of this host
    :ivar since: when it was first in vain that it was its turn, by the clock that began with the boot; 0: never
    :ivar hold: what is held for it, where its runner is dead and it is not
    :ivar doubtful: a runner of an earlier agent may begin with it, or may not: there was no room for what would tell
    """

    __slots__ = ("busy", "cleared", "doubtful", "end", "gpus", "hold", "journal", "keep", "lease", "line", "lost",
                 "missing", "pid", "since", "sizes", "started_line", "state", "stuck", "token", "uid", "want", "worker")

    def __init__(self, uid: str, token: str, line: bytes = b"", state: str = QUEUED):
        self.uid, self.token, self.line, self.state = uid, token, line, state
        self.worker: "Worker | None" = None
        self.journal = ""
        self.keep = False
        self.gpus: "list[str]" = []
        self.busy, self.cleared = 0, True
        self.lease: "float | None" = None
        self.started_line = b""
        self.end = b""
        self.sizes = (0, 0)
        self.lost = self.missing = (0, 0)
        self.pid = 0
        self.stuck: "list[int]" = []
        self.doubtful = False
        self.want, self.since = ONE_SLOT, 0.0
        self.hold: "Hold | None" = None

    @property
    def told_state(self) -> str:
        """What a manager is told of how it stands. Of what a runner was given it is not known yet that it has begun:
        should agent and runner die before that, it never has."""
        return QUEUED if (self.worker is not None or self.doubtful) and not self.started_line else self.state

    @property
    def was_killed(self) -> bool:
        """True for an end by TERM or KILL, of its program or, as its shell tells, of one below it."""
        frame = loads((b"{" + self.end).decode("ascii"))
        return bool((frame["why"] == "signalled" and frame["signal"] in (9, 15))
                    or (frame["why"] == "exited" and frame["status"] in (128 + 9, 128 + 15)))

    def ended_line(self) -> bytes:
        """Return the ``ended`` frame; sizes count what the job removed from its own files as well. An end without all
        of the output is not told as any other."""
        if self.lost == self.missing == (0, 0):
            return b'{"t":"ended",' + self.end + b"\n"
        frame = loads((b"{" + self.end).decode("ascii"))
        frame.update(t="ended", out=frame["out"] + self.lost[0] - self.missing[0],
                     err=frame["err"] + self.lost[1] - self.missing[1])
        if max(self.missing) > 0 and frame["why"] != "lost":
            frame.update(why="lost", msg="%s; %d bytes of its output were deleted on the host before they were fetched"
                         % (_how(frame), sum(self.missing)))
        return dumps(frame).encode("ascii") + b"\n"


def _how(frame: "dict[str, Any]") -> str:
    if frame["why"] == "exited":
        return "it exited with %s" % frame["status"]
    return "it ended by signal %s" % frame["signal"] if frame["why"] == "signalled" else "it ended (%s)" % frame["why"]


def end_text(uid: str, why: str, msg: "str | None" = None, status: "int | None" = None, signal: "int | None" = None,
             started: "float | None" = None, ended: "float | None" = None, sizes: "tuple[int, int]" = (0, 0),
             usage: "tuple[float, int]" = (0.0, 0), result: "dict[str, Any] | None" = None) -> bytes:
    """Return an end as the rest of a JSON object, for ``Attempt.end`` and journals.

    :param result: what it says of the result (see :func:`gjob.result.fields`), and of what was left out of its outputs
    """
    frame = {"id": uid, "why": why, "status": status, "signal": signal, "started": started, "ended": ended,
             "out": sizes[0], "err": sizes[1], "msg": msg, "cpu": usage[0], "rss": usage[1]}
    frame.update(result or {})
    return dumps(frame).encode("ascii")[1:]


def launched(frame: "dict[str, Any]", line: bytes) -> Attempt:
    """Return the attempt of a launch frame."""
    attempt = Attempt(frame["id"], frame["token"], line)
    attempt.keep = frame["spec"].get("leftovers") == "keep"
    attempt.lease = frame["spec"].get("lease")
    attempt.want = _want(frame["spec"])
    gpus = frame["spec"].get("gpus")
    if gpus is not None:
        attempt.gpus, attempt.busy, attempt.cleared = gpus["uuids"], gpus["busy"], False
    return attempt


def _want(spec: "dict[str, Any]") -> Want:
    """Return what a job needs of its host."""
    cpus, counters = spec.get("cpus", 1), spec.get("needs") or {}
    gpus = spec.get("gpus")
    amounts = {SLOTS: cpus}
    for what in (MEMORY, SCRATCH):
        if spec.get(what):
            amounts[what] = spec[what]
    if amounts == ONE_SLOT.amounts and not counters and gpus is None:
        return ONE_SLOT
    for name in counters:
        amounts[COUNT + name] = counters[name]
    return Want(amounts, () if gpus is None else gpus["uuids"])


class UidSet:
    """A set of uids in a few bits each: it holds every attempt of the run that was ever released here."""

    def __init__(self) -> None:
        self._bits: "dict[tuple[int, int], int]" = {}

    @staticmethod
    def _place(uid: str) -> "tuple[tuple[int, int], int]":
        job, _, attempt = uid.partition(".")
        number = int(job)
        return (number >> 10, int(attempt)), 1 << (number & 1023)

    def add(self, uid: str) -> None:
        """Add a uid."""
        key, bit = self._place(uid)
        self._bits[key] = self._bits.get(key, 0) | bit

    def __len__(self) -> int:
        return sum(bin(bits).count("1") for bits in self._bits.values())

    def __contains__(self, uid: str) -> bool:
        key, bit = self._place(uid)
        return bool(self._bits.get(key, 0) & bit)


class History:
    """What the journals of a directory say, the agent's own journal among them, which is opened here.

    :param elsewhere: jobs run on other machines, which share the directory: a boot of this one says nothing of them
    :ivar batches: by number, the jobs that were given to a scheduler together; ``submissions``, by the same, what it
        calls their submissions, by the numbers of those
    """

    def __init__(self, places: "Places", elsewhere: bool = False):
        self._places, self.elsewhere = places, elsewhere
        self.batches: "dict[int, list[str]]" = {}
        self.submissions: "dict[int, dict[int, str]]" = {}
        #: This boot of the host. Asked for once: a record that was read is not read again, so taking it in cannot fail.
        self.here = procs.identity()
        self.epoch = -1
        #: The agent before this one did not leave by itself.
        self.after_a_kill = False
        self.boots: "set[str]" = set()
        self.released = UidSet()
        #: Those of the released ones whose directories stay here.
        self.kept: "set[str]" = set()
        #: Those of runners of earlier agents, perhaps with what still runs in them.
        self.cgroups: "set[str]" = set()
        #: By uid: the records of it by their kind.
        self.records: "dict[str, dict[str, dict[str, Any]]]" = {}
        #: Runners of earlier agents, as (pid, start), that may still be at work.
        self._runners: "set[tuple[int, int]]" = set()
        self._readers: "dict[str, Reader]" = {}
        self._next = 1
        for name in system.listdir(places.journals):
            number = name[:-4]
            if name.endswith(".log") and (number.isdigit() or elsewhere):
                if number.isdigit():
                    self._next = max(self._next, int(number) + 1)
                self.read(os.path.join(places.journals, name))
        fd, _ = self.new_journal()
        self.journal = Journal(fd)

    def new_journal(self) -> "tuple[int, str]":
        """Make a journal nobody else writes and return its file descriptor and path.

        :raises OSError: it cannot be made
        """
        while True:
            path = "%s/%d.log" % (self._places.journals, self._next)
            self._next += 1
            try:
                return system.open(path, NEW | os.O_APPEND, 0o600), path
            except FileExistsError:
                continue
            except FileNotFoundError:  # somebody has deleted where it was to be
                try:
                    self._places.restore()
                except Unusable as error:
                    raise OSError(errno.ENOTDIR, error.why)

    def refresh(self) -> None:
        """Read what came to the journals of earlier agents and their runners since the last time."""
        for path in list(self._readers):
            self.read(path)
            if not files.exists(path):  # all in it was released
                del self._readers[path]

    def forget(self, path: str) -> None:
        """Read no more of a journal: all that was to come has come."""
        self._readers.pop(path, None)

    def read(self, path: str) -> None:
        """Read what came to a journal since the last time."""
        if path not in self._readers:
            self._readers[path] = Reader(path)
        for item in self._readers[path].read():
            try:
                self._take(item)
            except (KeyError, TypeError, ValueError):  # whole, yet not as we write them: another version's
                continue

    def _take(self, item: "dict[str, Any]") -> None:
        kind = item["k"]
        if kind == "release":
            for uid in item["ids"]:
                self.released.add(uid)
                self.records.pop(uid, None)
            self.kept.update(item.get("keep", ()))
        elif kind == "epoch":
            self.epoch = max(self.epoch, item["epoch"])
            self.boots.add(item["boot"])
        elif kind == "runner":
            if item.get("cgroup"):
                self.cgroups.add(item["cgroup"])
            if item["boot"] == self.here:
                self._runners.add((item["runner"], item["rstart"]))
        elif kind == "batch":
            self.batches[item["tag"]] = item["ids"]
        elif kind == "submitted":
            self.submissions.setdefault(item["tag"], {})[item["serial"]] = item["job"]
        elif item["id"] not in self.released:
            self.records.setdefault(item["id"], {})[kind] = item
            if kind == "claim":
                self.boots.add(item["boot"])

    def known(self) -> "list[str]":
        """Return the uids of all attempts of which a record or a directory is here, in their order."""
        try:
            there = system.listdir(self._places.work)
        except FileNotFoundError:  # a job of ours has deleted it
            there = []
        return sorted(uid for uid in {*there, *self.records} if is_id(uid))

    def others_work(self, mine: "set[int]") -> bool:
        """True while a runner lives that is not one of mine: it may be about to write a claim."""
        self._runners = {(pid, start) for pid, start in self._runners if procs.lives(pid, start)}
        return any(pid not in mine for pid, _ in self._runners)

    def note_epoch(self, epoch: int) -> None:
        """Keep the highest epoch, and that this boot has seen us."""
        self.epoch = epoch
        self.boots.add(self.here)
        self.journal.append(b'{"k":"epoch","epoch":%d,"boot":"%s"}' % (epoch, self.here.encode("ascii")))

    def note_batch(self, tag: int, uids: "list[str]") -> None:
        """Keep that these are given to a scheduler, before they are."""
        self.batches[tag] = uids
        self.journal.append(dumps({"k": "batch", "tag": tag, "ids": uids}).encode("ascii"))

    def note_submitted(self, tag: int, serial: int, job: str) -> None:
        """Keep what a scheduler calls a submission."""
        self.submissions.setdefault(tag, {})[serial] = job
        self.journal.append(dumps({"k": "submitted", "tag": tag, "serial": serial, "job": job}).encode("ascii"))

    def note_found(self, uid: str, token: str) -> None:
        """Keep that processes of an attempt are here of which nothing was written down, or no longer is."""
        record = {"k": "claim", "id": uid, "token": token, "runner": 0, "rstart": 0, "boot": self.here,
                  "keep": False, "until": None}
        self.records.setdefault(uid, {})["claim"] = record
        self.journal.append(dumps(record).encode("ascii"))

    def note_start(self, uid: str, pid: int, start: int) -> None:
        """Keep which process the main one of an attempt was found to be; perhaps its program was never loaded."""
        record = {"k": "start", "id": uid, "pid": pid, "start": start, "at": system.time(), "found": True}
        self.records.setdefault(uid, {})["start"] = record
        self.journal.append(dumps(record).encode("ascii"))

    def note_release(self, uids: "Iterable[str]", keep: "Iterable[str]" = ()) -> None:
        """Keep that these can never be launched again, and that the directories of some of them stay."""
        uids = list(uids)
        self.kept.update(keep)
        for uid in uids:
            self.released.add(uid)
            self.records.pop(uid, None)
        if uids:
            record = {"k": "release", "ids": uids}
            if keep:
                record["keep"] = sorted(keep)
            self.journal.append(dumps(record).encode("ascii"))

    def note_end(self) -> None:
        """Write anew what is to be known of the directories that stay when all else is deleted.

        :raises OSError: it cannot be written
        """
        fd, path = self.new_journal()
        before, self.journal = self.journal.fd, Journal(fd)
        kept = sorted(self.kept)
        if not self.journal.append(dumps({"k": "release", "ids": kept, "keep": kept}).encode("ascii")):
            raise self.journal.trouble
        files.close_quietly(before)
        for name in system.listdir(self._places.journals):
            if name != os.path.basename(path):
                system.unlink(os.path.join(self._places.journals, name))
