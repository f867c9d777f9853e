"""The agent: one process per run and host. Keeps the queue of launches, talks, streams outputs, and never blocks."""

import os
import select
import signal
import socket
import time
import traceback

from . import adopt, door, facts, procs, wire
from .attempts import ENDED, QUEUED, RUNNING, Attempt, History, end_text
from .blobs import Blobs
from .link import ENOUGH, TOO_MUCH, Link, LinkLost
from .outputs import Feed
from .places import Places, remove_tree
from .pool import Pool, Worker

MYPY = False
if MYPY:
    from typing import Any, Callable

#: Seconds without a link and without anything to do after which the agent goes.
IDLE_EXIT = 60.0
#: Seconds until a runner that could not be forked is tried again.
FORK_RETRY = 1.0


class Agent:
    """Everything of one run on one host.

    :param entrance: where fronts bring links
    :param first: the first hello; it says which run and host this is for good
    """

    def __init__(self, entrance: "door.Door", first: "dict[str, Any]", places: Places):
        self.places, self._door = places, entrance
        self._name, self._host = first["name"], first["host"]
        self._resumed = bool(os.listdir(places.journals))
        self.history = History(places)
        self.blobs = Blobs(places)
        self.attempts: "dict[str, Attempt]" = {}
        self._queue: "dict[str, Attempt]" = {}
        self._workers: "dict[int, Worker]" = {}
        self._adopted: "dict[str, adopt.Adopted]" = {}
        self._reaped: "dict[int, tuple[int, float, int]]" = {}
        self._ever_kept = False
        self.link: "Link | None" = None
        self._facts: "dict[str, Any]" = {}
        self._writing = False
        self._next_look = 0.0
        self._fork_at = 0.0
        self._idle_since: "float | None" = None
        self._done = False
        self.pool = Pool(places, self.history, self._name, self._host, first["slots"] or facts.cores())
        self._epoll = select.epoll()
        self._handlers: "dict[int, Callable[[int], None]]" = {}
        self._watch(entrance.fileno(), self._on_door)
        wake, wake_in = os.pipe()
        for fd in (wake, wake_in):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(wake_in)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        self._wake = wake
        self._watch(wake, self._on_child)
        for attempt in adopt.recover(self.history, places):
            self.attempts[attempt.uid] = attempt
            if attempt.state == RUNNING:
                self._adopt(attempt)

    # -- the loop --------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until the run is over or nobody needs us."""
        subreaper = False
        while not self._done:
            for fd, events in self._epoll.poll(self._patience(time.monotonic())):
                handler = self._handlers.get(fd)
                if handler is not None:
                    handler(events)
            try:
                self._turn(time.monotonic())
            except LinkLost:
                self._drop_link()
            if not subreaper:  # after the first welcome, which ctypes is not to delay
                subreaper = procs.become_subreaper() or True

    def _watch(self, fd: int, handler: "Callable[[int], None]", events: int = select.EPOLLIN) -> None:
        self._epoll.register(fd, events)
        self._handlers[fd] = handler

    def _unwatch(self, fd: int) -> None:
        del self._handlers[fd]
        self._epoll.unregister(fd)

    def _patience(self, now: float) -> float:
        """Seconds until something is due."""
        due = now + 3600.0
        if self._adopted:
            due = min(due, self._next_look)
        if self._idle_since is not None:
            due = min(due, self._idle_since + IDLE_EXIT)
        if self._queue and self.pool.free():
            due = min(due, self._fork_at)
        if self.link is not None and self.link.waiting < ENOUGH:
            for feed in self.link.live.values():
                due = min(due, feed.next)
        return max(0.0, due - now)

    def _turn(self, now: float) -> None:
        """What follows from all that came in at once: looks, launches, outputs, and one write."""
        if self._adopted and now >= self._next_look:
            self._look_after_adopted(now)
        if self._queue:
            self._launch_queued(now)
        if self.link is not None:
            self._stream(self.link, now)
            self._write(self.link)
        self._consider_leaving(now)

    def _write(self, link: Link) -> None:
        blocked = not link.flush()
        if blocked != self._writing:
            self._writing = blocked
            if link.writing == link.reading:
                self._epoll.modify(link.writing, select.EPOLLIN | (select.EPOLLOUT if blocked else 0))
            elif blocked:
                self._watch(link.writing, lambda events: None, select.EPOLLOUT)
            else:
                self._unwatch(link.writing)

    # -- links -----------------------------------------------------------------------------------------------------

    def _on_door(self, events: int) -> None:
        came = self._door.accept()
        if came is None:
            return
        frame, reading, writing, front = came
        link = Link(reading, writing, front)
        if frame["epoch"] < self.history.epoch:
            link.say(t="stale", epoch=self.history.epoch)
            _finish(link)
            return
        if frame["epoch"] > self.history.epoch:
            self.history.note_epoch(frame["epoch"])
        self._drop_link()
        self._idle_since = None
        self._set_slots(frame["slots"])
        self.link, self._writing = link, False
        try:
            self._watch(reading, self._on_link)
        except OSError:  # a plain file or /dev/null
            self.link = None
            link.close()
            return
        self._watch(front.fileno(), lambda events: self._drop_link())
        self._welcome(link)

    def _welcome(self, link: Link) -> None:
        if not self._facts:
            self._facts = facts.gather()
        link.say(t="welcome", v=wire.VERSION, pid=os.getpid(), root=self.places.root, blobs=self.blobs.here(),
                 resumed=self._resumed, **dict(self._facts, **facts.passing(self.places.base)))
        self._resumed = True

    def _drop_link(self) -> None:
        link, self.link = self.link, None
        if link is None:
            return
        for fd in {link.reading, link.writing, link.front.fileno()}:
            if fd in self._handlers:
                self._unwatch(fd)
        for uid, feed in link.feeds.items():
            if uid in self.attempts:
                self.attempts[uid].lost = feed.lost
        self.blobs.forget_halves()
        link.close()

    def _on_link(self, events: int) -> None:
        link = self.link
        if link is None or link.waiting > TOO_MUCH:
            return
        try:
            for frame, line, body in link.receive():
                self._obey(link, frame, line, body)
                if self._done or self.link is not link:
                    return
        except LinkLost:
            self._drop_link()
        except wire.WireError as error:
            self._complain(link, str(error))
        except Exception as error:  # noqa: BLE001  (a fault of ours costs the link, not the jobs' supervision)
            traceback.print_exc()
            self._complain(link, "the agent failed: %r" % error)

    def _complain(self, link: Link, msg: str) -> None:
        link.say(t="error", msg=msg)
        _try_flush(link)
        self._drop_link()

    # -- frames ----------------------------------------------------------------------------------------------------

    def _obey(self, link: Link, frame: "dict[str, Any]", line: bytes, body: bytes) -> None:
        kind = frame["t"]
        if kind == "launch":
            self._on_launch(link, frame, line)
        elif kind == "release":
            self._on_release(link, frame["ids"])
        elif kind == "sync":
            self._on_sync(link, frame)
        elif kind == "put":
            trouble = self.blobs.put(frame["sha"], frame["size"], frame["off"], body)
            if trouble is not None:
                link.say(t="warn", msg=trouble)
        elif kind == "fence":
            if not self._fence(link, frame["id"]):
                self._answer(link, frame["id"])
        elif kind == "cancel":
            self._on_cancel(link, frame["id"], frame["grace"])
        elif kind in ("pause", "unpause"):
            self._on_pause(frame["id"], kind)
        elif kind == "slots":
            self._set_slots(frame["slots"])
        elif kind == "ping":
            link.say(t="pong", seq=frame["seq"])
        elif kind == "bye":
            self._on_bye(link)
        else:
            raise wire.WireError("%s: not here and now" % kind)

    def _on_launch(self, link: Link, frame: "dict[str, Any]", line: bytes) -> None:
        uid = frame["id"]
        if uid in self.attempts:
            self._answer(link, uid)
        elif uid in self.history.released:
            link.say(t="state", id=uid, s="absent")
        else:
            self.attempts[uid] = self._queue[uid] = Attempt(uid, frame["token"], line)
            self._introduce(link, uid, (0, 0))
            self._ever_kept = self._ever_kept or frame["spec"].get("leftovers") == "keep"

    def _on_sync(self, link: Link, frame: "dict[str, Any]") -> None:
        for uid, out, err in frame["a"]:
            if uid in self.attempts:
                self._introduce(link, uid, (out, err))
            self._answer(link, uid)
        if frame["last"]:
            link.synced = True
            for uid in [uid for uid in self.attempts if uid not in link.feeds]:
                self._introduce(link, uid, (0, 0))
                self._answer(link, uid)

    def _introduce(self, link: Link, uid: str, sent: "tuple[int, int]") -> None:
        """Tell a link of an attempt from now on, and of its outputs from where the manager has them."""
        attempt = self.attempts[uid]
        if uid in link.feeds:
            link.feeds[uid].close()
        feed = Feed(self.places, uid, sent, attempt.lost, time.monotonic())
        link.feeds[uid] = link.live[uid] = feed
        if attempt.state == ENDED:
            feed.sizes = attempt.sizes
            feed.next = 0.0

    def _answer(self, link: Link, uid: str) -> None:
        """Say how an attempt stands. An end follows by itself, after the outputs."""
        attempt = self.attempts.get(uid)
        if attempt is None:
            link.say(t="state", id=uid, s="absent")
            return
        if uid not in link.feeds:
            self._introduce(link, uid, (0, 0))
        if attempt.state != ENDED:
            link.say(t="state", id=uid, s=attempt.state)
            if attempt.started_line:
                link.say_line(attempt.started_line)
            if attempt.stuck:
                link.say(t="stuck", id=uid, pids=attempt.stuck)
        elif uid not in link.live:
            link.say_line(attempt.ended_line())

    def _fence(self, link: Link, uid: str) -> bool:
        """Make sure that it never starts; False when it is too late for that, or was released."""
        attempt = self.attempts.get(uid)
        if uid in self.history.released or (attempt is not None and attempt.state != QUEUED):
            return False
        if attempt is None:
            attempt = self.attempts[uid] = Attempt(uid, "")
        self._queue.pop(uid, None)
        try:
            os.mkdir(self.places.cwd(uid), 0o700)
        except FileExistsError:
            self._taken(attempt)
            return False
        except OSError:
            pass  # no room for a directory: ours is the only place that could start it, and it will not
        self.history.journal.append(b'{"k":"fence","id":"%s"}' % uid.encode("ascii"))
        if uid not in link.feeds:
            self._introduce(link, uid, (0, 0))
        self._ended(attempt, end_text(uid, "fenced"), (0, 0))
        return True

    def _on_cancel(self, link: Link, uid: str, grace: float) -> None:
        if self._fence(link, uid):
            return
        attempt = self.attempts.get(uid)
        if attempt is None or attempt.state == ENDED:
            self._answer(link, uid)
        elif attempt.worker is not None:
            attempt.worker.order(t="cancel", id=uid, grace=grace)
        elif uid in self._adopted:
            self._adopted[uid].cancel(grace, time.monotonic())
            self._next_look = 0.0

    def _on_pause(self, uid: str, kind: str) -> None:
        attempt = self.attempts.get(uid)
        if attempt is None or attempt.state != RUNNING:
            return
        if attempt.worker is not None:
            attempt.worker.order(t=kind, id=uid)
        elif uid in self._adopted:
            self._adopted[uid].pause(kind == "pause")

    def _on_release(self, link: Link, uids: "list[str]") -> None:
        known = [uid for uid in uids if uid in self.attempts]
        for uid in known:
            if self.attempts[uid].state != ENDED:
                raise wire.WireError("release: %s has not ended" % uid)
        self.history.note_release(known)
        for uid in known:
            del self.attempts[uid]
            link.live.pop(uid, None)
            feed = link.feeds.pop(uid, None)
            if feed is not None:
                feed.close()
            self.places.discard(uid)

    def _set_slots(self, slots: "int | None") -> None:
        self.pool.slots = slots or facts.cores()

    def _on_bye(self, link: Link) -> None:
        running = [uid for uid, attempt in self.attempts.items() if attempt.state == RUNNING]
        if running:
            raise wire.WireError("bye: %s runs" % running[0])
        for worker in list(self._workers.values()):
            worker.sock.close()
        mine = {worker.pid for worker in self._workers.values()}
        left = [proc for proc in procs.descendants(procs.table(), [os.getpid()])
                if proc.pid not in mine and not proc.dead]
        files = self._door.close_and(lambda: _clean(self.places))
        link.say(t="gone", processes=len(left), files=files)
        _finish(link)
        self._done = True

    # -- attempts --------------------------------------------------------------------------------------------------

    def _launch_queued(self, now: float) -> None:
        while self._queue and self.pool.free() and now >= self._fork_at:
            try:
                worker = self.pool.get()
            except OSError as error:
                self._fork_at = now + FORK_RETRY
                self._warn("jobs wait, because the host cannot make another process: %s" % error.strerror)
                return
            if worker.sock.fileno() not in self._handlers:
                self._workers[worker.pid] = worker
                self._watch(worker.sock.fileno(), lambda events, worker=worker: self._on_worker(worker, events))
            uid = next(iter(self._queue))
            attempt = self._queue.pop(uid)
            attempt.state, attempt.worker, worker.attempt = RUNNING, worker, attempt
            line, attempt.line = attempt.line, b""
            worker.last = b'"keep"' in line
            worker.give(line)
            self._watch_room(worker)

    def _watch_room(self, worker: Worker) -> None:
        events = select.EPOLLIN | (select.EPOLLOUT if worker.full else 0)
        if worker.full or worker.waiting:
            self._epoll.modify(worker.sock.fileno(), events)
            worker.waiting = worker.full

    def _on_worker(self, worker: Worker, events: int) -> None:
        if worker.full or worker.waiting:
            worker.flush()
            self._watch_room(worker)
        lines, there = worker.listen()
        for line in lines:
            self._told(worker, line)
        if not there:
            self._lost_worker(worker)

    def _told(self, worker: Worker, line: bytes) -> None:
        frame = wire.parse(line)
        attempt = self.attempts.get(frame["id"])
        if attempt is None or attempt.worker is not worker:
            return
        kind = frame["t"]
        if kind == "ended":
            self._release_worker(worker)
            self._ended(attempt, line[line.index(b",") + 1:], (frame["out"], frame["err"]))
        elif kind == "taken":
            self._release_worker(worker)
            self._taken(attempt)
        elif kind == "started":
            attempt.pid, attempt.started_line = frame["pid"], line + b"\n"
            self._say_of(attempt, attempt.started_line)
        elif kind == "stuck":
            attempt.stuck = frame["pids"]
            self._say_of(attempt, line + b"\n")

    def _release_worker(self, worker: Worker) -> None:
        assert worker.attempt is not None
        worker.attempt.worker = None
        self.pool.done(worker)

    def _say_of(self, attempt: Attempt, line: bytes) -> None:
        if self.link is not None and attempt.uid in self.link.feeds:
            self.link.say_line(line)

    def _ended(self, attempt: Attempt, text: bytes, sizes: "tuple[int, int]") -> None:
        attempt.state, attempt.end, attempt.sizes, attempt.stuck = ENDED, text, sizes, []
        self._adopted.pop(attempt.uid, None)
        if self.link is not None and attempt.uid in self.link.live:
            feed = self.link.live[attempt.uid]
            feed.sizes, feed.next = sizes, 0.0

    def _taken(self, attempt: Attempt) -> None:
        """Its directory was there: a runner of an earlier agent was faster."""
        attempt.state = RUNNING
        self.history.refresh()
        records = self.history.records.get(attempt.uid, {})
        if "end" in records:
            text = adopt.take_end(attempt, records["end"])
            self._ended(attempt, text, attempt.sizes)
        else:
            self._adopt(attempt)

    def _adopt(self, attempt: Attempt) -> None:
        self._adopted[attempt.uid] = adopt.Adopted(attempt, self.history, self.places, self._mine, self._strays)
        self._next_look = 0.0

    def _mine(self) -> "set[int]":
        return set(self._workers)

    def _strays(self) -> "list[procs.Proc]":
        """Children of ours that are no runners: orphans of the one job whose runner died, if it can only be that."""
        if len(self._adopted) != 1 or self._ever_kept:
            return []
        me = os.getpid()
        return [proc for proc in procs.table().values()
                if proc.ppid == me and proc.pid not in self._workers and not proc.dead]

    def _look_after_adopted(self, now: float) -> None:
        for watched in list(self._adopted.values()):
            attempt = watched.attempt
            before = attempt.stuck
            text = watched.look(now)
            if attempt.pid in self._reaped:
                watched.reaped(*self._reaped.pop(attempt.pid))
            if text:
                self._ended(attempt, text, attempt.sizes)
            elif attempt.stuck != before and self.link is not None and attempt.uid in self.link.feeds:
                self.link.say(t="stuck", id=attempt.uid, pids=attempt.stuck)
        self._next_look = now + adopt.LOOK_INTERVAL

    def _on_child(self, events: int) -> None:
        os.read(self._wake, 4096)
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if pid in self._workers:
                self._lost_worker(self._workers[pid])
            else:
                self._reaped[pid] = status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss

    def _lost_worker(self, worker: Worker) -> None:
        """A runner is gone: as it should be when it had nothing, else its job is taken over."""
        if self._workers.pop(worker.pid, None) is None:
            return
        for line in worker.listen()[0]:
            self._told(worker, line)
        self._unwatch(worker.sock.fileno())
        attempt = worker.attempt
        self.pool.remove(worker)
        if attempt is not None:
            attempt.worker = None
            self.history.read(worker.journal)
            self._adopt(attempt)

    # -- outputs ---------------------------------------------------------------------------------------------------

    def _stream(self, link: Link, now: float) -> None:
        """Send what is new in the files that are due, one piece each in turn, while the link takes it."""
        for uid, feed in list(link.live.items()):
            if link.waiting >= ENOUGH:
                return
            if feed.next > now:
                continue
            news = False
            for head, data in feed.pieces():
                link.say_line(head, data)
                news = True
            if feed.sizes is None:
                feed.looked(now, news)
                continue
            if not news:
                attempt = self.attempts[uid]
                attempt.lost = feed.lost
                link.say_line(attempt.ended_line())
                feed.close()
                del link.live[uid]

    def _warn(self, msg: str) -> None:
        if self.link is not None:
            self.link.say(t="warn", msg=msg)

    # -- the end ---------------------------------------------------------------------------------------------------

    def _consider_leaving(self, now: float) -> None:
        if self.link is not None or self.attempts:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        elif now - self._idle_since >= IDLE_EXIT:
            self._idle_since = now
            if self._door.try_close():
                self._done = True


def _try_flush(link: Link) -> None:
    try:
        link.flush()
    except LinkLost:
        pass


def _finish(link: Link) -> None:
    """Write the last words, which are few, and hang up."""
    _try_flush(link)
    link.close()


def _clean(places: Places) -> int:
    left = remove_tree(places.base)
    for path in (places.run, places.root):
        try:
            os.rmdir(path)
        except OSError:
            break
    return left


def main(entrance: "door.Door", first: "dict[str, Any]", places: Places) -> None:
    """Be the agent, in a process forked from the first front; does not return."""
    status = 1
    try:
        Agent(entrance, first, places).run()
        status = 0
    finally:
        if status:
            traceback.print_exc()
        os._exit(status)
