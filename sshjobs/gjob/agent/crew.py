"""Who carries attempts out: the queue, the runners that have one, and those that are only watched."""

import os

from .. import cgroup, lease, procs, room, system, wire
from . import parting
from .attempts import ENDED, QUEUED, RUNNING, Attempt, History, end_text
from .helpers import Helpers
from .listener import Listener
from .loop import READ, WRITE
from .manners import Ends, Manners
from .pool import Pool
from .rubbish import Rubbish
from .turns import Turns

MYPY = False
if MYPY:
    from typing import Iterator

    from ..places import Places
    from ..sharing.share import Share
    from .adopt import Adopted
    from .gpus import Gpus
    from .loop import Loop
    from .pool import Worker

#: Seconds until a runner that could not be forked is tried again; between two looks after those who have none of ours.
FORK_RETRY, LOOK_INTERVAL = 1.0, 0.1


class Crew:
    """All attempts of a run on this host that are not released.

    :param slots: how many may run at a time
    """

    def __init__(self, places: "Places", history: History, loop: "Loop", listener: Listener, pool: Pool,
                 share: "Share"):
        self._places, self._history, self._loop, self._listener = places, history, loop, listener
        self.pool, self.share = pool, share
        self.attempts: "dict[str, Attempt]" = {}
        self.queue: "dict[str, Attempt]" = {}
        self._workers: "dict[int, Worker]" = {}
        self._adopted: "dict[str, Adopted]" = {}
        #: Wait statuses of children that are no runners: main processes whose runner was killed, and their orphans.
        self._reaped: "dict[int, tuple[int, float, int]]" = {}
        self._ever_kept = False
        #: Orphans of our descendants become our children.
        self.inherits = False
        self._rubbish = Rubbish(places)
        self.leases = lease.Leases(lease.Heard(places.lease))
        self._turns = Turns(self.queue, self.leases, pool, share)
        self.manners = Manners()
        self.ends = Ends(self.manners, self.attempts, self.cancel, self._halt)
        self._next_look = 0.0
        self._fork_at = 0.0
        #: It was said that there are fewer runners than slots.
        self._short = False
        #: A child may have ended.
        self._child_ended = False
        self.helpers = Helpers()
        self._gpus: "Gpus | None" = None
        loop.watch_children(lambda: setattr(self, "_child_ended", True))
        if history.known():  # most runs have one agent, and its runners live as long as it
            from .adopt import recover
            for attempt in recover(history, places):
                self.attempts[attempt.uid] = attempt
                if attempt.state == RUNNING:
                    self.leases.add(attempt.uid, attempt.lease)
                    self._adopt(attempt)

    # -- orders ----------------------------------------------------------------------------------------------------

    def launch(self, attempt: Attempt) -> None:
        """Run it when there is a slot."""
        attempt.want = self.share.named(attempt.want)
        self.attempts[attempt.uid] = self.queue[attempt.uid] = attempt
        self._ever_kept = self._ever_kept or attempt.keep
        self.leases.add(attempt.uid, attempt.lease)
        self.share.consider(attempt.want)
        if attempt.gpus:
            self.gpus().clear(attempt)

    def gpus(self) -> "Gpus":
        """Return what looks at the GPUs of this host."""
        if self._gpus is None:
            from .gpus import Gpus  # most runs need none

            self._gpus = Gpus(self, self._loop, self._listener.on_gpus)
        return self._gpus

    def fence(self, uid: str, token: "str | None" = None) -> "Attempt | None":
        """Make sure that an attempt never starts; ``None`` when it is too late for that.

        :param token: of an attempt that may have been started here; where nothing is known of it (somebody has deleted
            what was written down), what carries its token is looked for
        """
        attempt = self.attempts.get(uid)
        if uid in self._history.released or (attempt is not None and attempt.state != QUEUED):
            return None
        if attempt is None:
            attempt = self.attempts[uid] = Attempt(uid, token or "")
            if token is not None and procs.holders([token], procs.table()):
                self._history.note_found(uid, token)
                self._taken(attempt)
                return None
        self.queue.pop(uid, None)
        try:
            self._places.fence(uid)
        except FileExistsError:
            self._taken(attempt)
            return None
        except OSError:
            if self._may_begin(uid):
                # No room for the directory that proves it, and a runner of an earlier agent may yet begin with it.
                attempt.doubtful = True
                self._taken(attempt)
                return None
            # Only we could start it, and from now on we will not.
        self._history.journal.append(b'{"k":"fence","id":"%s"}' % uid.encode("ascii"))
        attempt.state, attempt.end = ENDED, end_text(uid, "fenced")
        self.leases.drop(uid)
        return attempt

    def _may_begin(self, uid: str) -> bool:
        return self._history.others_work(self._mine())

    def cancel(self, uid: str, grace: float, why: str = "cancelled") -> None:
        """End an attempt that has started. Its end is told like any other."""
        attempt = self.attempts[uid]
        if attempt.worker is not None:
            attempt.worker.cancel(uid, grace, why)
            self._watch(attempt.worker)
        elif uid in self._adopted:
            self._adopted[uid].cancel(grace, system.monotonic(), why)
            self._next_look = 0.0

    def renew(self, at: float) -> None:
        """A manager has answered what it was asked then. Whose lease was over before it came, is over."""
        over, trouble = self.leases.renew(at)
        if trouble is not None:
            self._listener.on_trouble("leases cannot be renewed: %s" % room.words(trouble, self._places.root))
        for uid in over:
            attempt = self.fence(uid)
            if attempt is not None:
                attempt.end = end_text(uid, "fenced", lease.words(attempt.lease or 0.0, started=False))
                self._listener.on_end(attempt)
            elif self.attempts[uid].state == RUNNING:
                self.cancel(uid, lease.GRACE, "lease")

    def _halt(self, uid: str, stop: bool) -> None:
        attempt = self.attempts.get(uid)
        if attempt is None or attempt.state != RUNNING:
            return
        if attempt.worker is not None:
            attempt.worker.order(t="pause" if stop else "unpause", id=uid)
            self._watch(attempt.worker)
        elif uid in self._adopted:
            self._adopted[uid].pause(stop)

    def release(self, uids: "list[str]", keep: "set[str]") -> None:
        """Delete attempts that have ended, but for the directories of some; they can never be launched again."""
        self._history.note_release(uids, keep)
        attempts = [self.attempts.pop(uid) for uid in uids]
        for attempt in attempts:
            self.pool.forget(attempt)
            if attempt.uid in keep:
                self._places.discard_outputs(attempt.uid)
        self._rubbish.add(attempt for attempt in attempts if attempt.uid not in keep)

    def dismiss(self) -> int:
        """End all runners, which have nothing to do; return how many processes there are besides them."""
        self.helpers.end_all()
        left = parting.dismiss(self._mine(), self._hang_up)
        cgroup.clean_up(self._places)
        self.share.leave()
        return left

    def _hang_up(self) -> None:
        for worker in list(self._workers.values()):
            self._loop.forget(worker.sock.fileno())
            worker.sock.close()

    def works(self) -> bool:
        """True while an attempt waits or runs. What has ended is on the disk, where another agent finds it."""
        return any(one.state == RUNNING for one in self.attempts.values()) or any(map(self.leases.covers, self.queue))

    @property
    def unused(self) -> bool:
        """True when no runner was ever forked, and nothing is known of attempts that an earlier agent had."""
        return self.pool.unused and not self.attempts

    def running(self) -> "Iterator[tuple[str, int]]":
        """Yield the attempts whose process is known to run, with its pid."""
        for worker in self._workers.values():
            if worker.attempt is not None and worker.attempt.pid:
                yield worker.attempt.uid, worker.attempt.pid

    # -- the loop --------------------------------------------------------------------------------------------------

    def due(self, now: float) -> float:
        """Return when to call :meth:`act`, by the monotonic clock."""
        if self._child_ended or self._rubbish.waits(self._busy()):
            return now
        due = self.share.due(now)
        if self._adopted:
            due = min(due, self._next_look)
        if self._gpus is not None:
            due = min(due, self._gpus.due(now))
        if (self.queue and self.pool.free(len(self._adopted)) and self.manners.why is None and self.share.may_try(now)
                and self._turns.first() is not None):
            due = min(due, self._fork_at)
        return min(due, self.manners.at)

    def act(self, now: float) -> None:
        """Give launches to runners, and look after attempts that have none."""
        if self._child_ended:
            self._on_child()
            self._child_ended = False
        if self._adopted and now >= self._next_look:
            self._look_after_adopted(now)
        if self._gpus is not None:
            self._gpus.act(now)
        self.ends.see(now)
        self._start_what_can(now)
        self.share.act(now)

    def _start_what_can(self, now: float) -> None:
        """Give launches to runners, as far as there is room for them here."""
        while self.queue and self.pool.free(len(self._adopted)) and self.manners.look(now):
            if now < self._fork_at or not self.share.may_try(now):
                return
            found = self._turns.next(now)
            if found is None:
                return
            uid, hold = found
            try:
                worker = self.pool.get(hold)
            except OSError as error:
                self.share.drop(hold)
                self._fork_at = now + FORK_RETRY
                self._without_runner(error)
                return
            self._short = False
            if worker.pid not in self._workers and not self._take_on(worker):
                self._fork_at = now + FORK_RETRY
                return
            attempt = self.queue.pop(uid)
            attempt.state = RUNNING
            self.pool.assign(worker, attempt)
            self.share.begun()
            self._listener.on_start(attempt)
            self._watch(worker)
        # Nobody is to make room for us who have nothing to start.
        self.share.stop_waiting()

    def _take_on(self, worker: "Worker") -> bool:
        """Listen to a new runner; False where that cannot be, and it is ended again."""
        self._workers[worker.pid] = worker
        try:
            self._loop.watch(worker.sock.fileno(), lambda: self._on_worker(worker))
        except OSError:
            worker.last = True
            self.pool.done(worker)
            return False
        return True

    def _without_runner(self, error: OSError) -> None:
        """No runner can be started. While others are at work, jobs wait for those; else they are given back."""
        why = room.words(error, self._places.root)
        if self.pool.busy:
            if not self._short:
                self._listener.on_trouble("jobs wait for others to end: %s" % why)
            self._short = True
            return
        for uid in list(self.queue):
            self.turn_down(uid, "no_room", why)

    def turn_down(self, uid: str, why: str, msg: str) -> None:
        """Give back what has not started."""
        attempt = self.fence(uid)
        if attempt is not None:
            attempt.end = end_text(uid, why, msg)
            self._history.journal.append(b'{"k":"end",' + attempt.end)
            self._ended(attempt)

    def clean_up(self) -> None:
        """Delete some of what was released."""
        self._rubbish.clean_up(self._busy())

    def _busy(self) -> bool:
        return bool(self.queue or self._adopted) or self.pool.busy

    # -- runners ---------------------------------------------------------------------------------------------------

    def _watch(self, worker: "Worker") -> None:
        """Wait for its words, and for when it takes what could not be sent at once."""
        self._loop.want(worker.sock.fileno(), READ | WRITE if worker.full else READ)

    def _on_worker(self, worker: "Worker") -> None:
        if worker.full:
            worker.flush()
            self._watch(worker)
        lines, there = worker.listen()
        for line in lines:
            self._told(worker, line)
        if not there:
            # It closes its files a little before it is dead and its job becomes ours: SIGCHLD tells when.
            self._loop.forget(worker.sock.fileno())

    def _told(self, worker: "Worker", line: bytes) -> None:
        frame = wire.parse(line)
        attempt = self.attempts.get(frame["id"])
        if attempt is None or attempt.worker is not worker:
            return
        kind = frame["t"]
        if kind == "ended":
            self.pool.done(worker)
            if frame["why"] == "no_room":  # what would be tried at once would find none either
                self._fork_at = system.monotonic() + FORK_RETRY
            attempt.end, attempt.sizes = line[line.index(b",") + 1:], (frame["out"], frame["err"])
            if attempt.gpus and (frame["status"] or frame["signal"]):
                self.gpus().examine(attempt, frame, self._ended)
            else:
                self._ended(attempt)
        elif kind == "taken":
            self.pool.done(worker)
            self._taken(attempt)
        elif kind == "started":
            attempt.pid, attempt.started_line = frame["pid"], line + b"\n"
            self._listener.on_word(attempt, attempt.started_line)
        elif kind == "stuck":
            attempt.stuck = frame["pids"]
            self._listener.on_word(attempt, line + b"\n")

    def _gone(self, worker: "Worker") -> None:
        """A runner is gone: as it should be when it had nothing, else its job is watched from here."""
        there = True
        while there:
            lines, there = worker.listen()
            for line in lines:
                self._told(worker, line)
            there = there and bool(lines)
        self._loop.forget(worker.sock.fileno())
        attempt, never = worker.attempt, False
        if attempt is not None:
            # Before anything is forgotten: should it fail, it is tried again.
            self._history.read(worker.journal)
            others = [other for other in self.attempts.values() if other is not attempt]
            from .adopt import find_main
            # What was told to have started has, also where that could not be written down.
            never = (self.inherits and not find_main(attempt, self._history, worker.pid, others, self._mine())
                     and not attempt.started_line)
        del self._workers[worker.pid]
        self.pool.remove(worker)
        if attempt is not None:
            attempt.worker = None
            attempt.pid = self._history.records.get(attempt.uid, {}).get("start", {}).get("pid", 0)
            # Its main process has become our child at this moment: who was reaped under its pid before was another.
            self._reaped.pop(attempt.pid, None)
            self._adopt(attempt, never)
            self._adopted[attempt.uid].inherited = True
            self._adopted[attempt.uid].no_room = worker.status == room.SHORT << 8
            if worker.ending is not None:
                self.cancel(attempt.uid, *worker.ending)

    def _on_child(self) -> None:
        # At the very moment of a runner's death its job becomes our child, perhaps dead already. So who is on a list
        # that was made before has its runner among the dead; only then may it be reaped.
        children = procs.children()
        for worker in list(self._workers.values()):
            if worker.status is None:
                worker.status = procs.reaped(worker.pid)
            if worker.status is not None:
                self._gone(worker)
        for pid in children:
            if pid in self._workers:
                continue
            try:
                found, status, usage = system.wait4(pid, os.WNOHANG)
            except ChildProcessError:
                continue
            if found and pid in self.helpers.pids:
                self.helpers.pids.discard(pid)
            elif found:
                self._reaped[pid] = status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss
                self._next_look = 0.0
        if not self._adopted:
            self._reaped.clear()

    # -- what has no runner of ours --------------------------------------------------------------------------------

    def _ended(self, attempt: Attempt) -> None:
        attempt.state, attempt.stuck = ENDED, []
        hold, attempt.hold = attempt.hold, None
        self.share.drop(hold)
        self.ends.forget(attempt.uid)
        self.leases.drop(attempt.uid)
        self._adopted.pop(attempt.uid, None)
        self._listener.on_end(attempt)

    def _taken(self, attempt: Attempt) -> None:
        """Its directory was there: a runner of an earlier agent was faster."""
        attempt.state = RUNNING
        self._listener.on_start(attempt)
        self._history.refresh()
        self._adopt(attempt)

    def _adopt(self, attempt: Attempt, never: bool = False) -> None:
        from .adopt import Adopted
        watched = Adopted(attempt, self._history, self._places, self._mine, self._strays, self.leases)
        watched.never = never
        self._adopted[attempt.uid] = watched
        self._next_look = 0.0
        self.ends.found(attempt.uid)

    def _mine(self) -> "set[int]":
        """Return the pids of our children that have nothing to do with adopted attempts: helpers and runners."""
        return self.helpers.pids.union(self._workers)

    def _strays(self) -> "list[procs.Proc]":
        """Children of ours that are no runners: orphans of the one job whose runner died, if it can only be that."""
        if len(self._adopted) != 1 or self._ever_kept:
            return []
        me, found = system.getpid(), procs.table()
        # A runner that has died since children were last looked after has left us its job, which is not this one's.
        # The kernel hands orphans over and reaps the dead together: asked about children first, it shows who is dead.
        procs.children()
        if not all(map(procs.runs, self._workers)):
            return []
        return [proc for proc in found.values()
                if proc.ppid == me and proc.pid not in self._mine() and not proc.dead]

    def _look_after_adopted(self, now: float) -> None:
        watched = list(self._adopted.values())
        for one in watched:
            one.see_runner()
        # After seeing that a runner is dead: what it wrote before is all that it will ever have written.
        self._history.refresh()
        self._next_look = now + LOOK_INTERVAL
        trouble: "OSError | None" = None
        for one in watched:
            try:
                self._look_after(one, now)
            except OSError as error:  # that one is looked after again; it is not to keep the others from it
                trouble = error
        if trouble is not None:
            raise trouble

    def _look_after(self, one: "Adopted", now: float) -> None:
        attempt = one.attempt
        before = attempt.stuck
        text = one.look(now, self._reaped if one.inherited else {})
        if text:
            attempt.end = text
            self._ended(attempt)
        elif attempt.stuck != before:
            self._listener.on_word(attempt, wire.encode({"t": "stuck", "id": attempt.uid, "pids": attempt.stuck}))
