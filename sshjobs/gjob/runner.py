"""The runner: takes one launch at a time, claims it, starts it, waits for it, ends what it left, and tells the end.

It hangs on nobody: when the agent is gone it finishes its job, writes the end into its journal, and exits.
"""

import os
import select

from . import cgroup, files, lease, memory, oom, procs, result, room, start, system
from . import journal as journal_
from .job import Job, wants_pipes
from .kill import Killer, go_on, halt
from .light import dumps, loads, signal
from .places import NEW, Unusable
from .sharing import board

MYPY = False
if MYPY:
    import socket
    from typing import Any, Callable

    from .pipes import Pipes
    from .places import Places

#: Seconds between TERM and KILL for what a job left running, and for a job that ran out of time.
LEFTOVERS_GRACE = 1.0
TIMEOUT_GRACE = 5.0
#: A job that ends within so many seconds is told of by its end alone.
QUIET_START = 0.02
#: Seconds between two looks for processes where the kernel does not make orphans ours, and how many must be empty.
SCAN_INTERVAL, CLEAR_LOOKS = 0.05, 2
#: Bytes taken at a time from the agent; for more, memory would be mapped and unmapped with every launch.
_PIECE = 1 << 16
#: What is in the way of a record is tried again after so many seconds.
RETRY_INTERVAL = 1.0
#: Seconds until what failed for want of something is tried again while a job runs.
SHORT_PAUSE = 0.1


class Runner:
    """One slot's runner.

    :param sock: to the agent: launches and orders come in, ``started``, ``ended`` and ``stuck`` go out, as lines
    :param journal: its own
    :param hold: the file of what is held on this host for its jobs; that it is open here is what holds it
    """

    def __init__(self, sock: "socket.socket", journal: journal_.Journal, places: "Places", starter: start.Starter,
                 hold: "tuple[int, str] | None" = None):
        self._sock, self._journal, self._hold = sock, journal, hold
        self._places, self._starter = places, starter
        self._pid = system.getpid()
        me = procs.look(self._pid)
        self._claim = ',"runner":%d,"rstart":%d,"boot":"%s"' % (self._pid, me.start if me else 0, procs.identity())
        # After a look at whose memory counts: the child cgroup has no counters of its own.
        watch = oom.Watch()
        self._was_in = cgroup.own()
        self._cgroup = cgroup.enter(places, me.start if me else 0)
        self._memory = memory.Limit(self._cgroup, watch)
        if self._cgroup is not None:
            self._claim += ',"cgroup":%s' % dumps([self._cgroup])[1:-1]
        # Before any claim: by this it is known of a directory without a record whether its maker may live.
        journal.append(('{"k":"runner"%s}' % self._claim).encode("ascii"))
        self._subreaper = starter.forks_calls = system.adopt_orphans()
        self._heard = lease.Heard(places.lease)
        self._input = b""
        self._orders: "list[dict[str, Any]]" = []
        self._connected = True
        self._pipes: "Pipes | None" = None
        self._wake, wake_in = system.pipe()
        for fd in (self._wake, wake_in):
            system.set_blocking(fd, False)
        system.heed_children(wake_in)
        self._poll = system.poll()
        self._poll.register(self._wake, select.POLLIN)
        self._poll.register(sock, select.POLLIN)

    def serve(self) -> None:
        """Run what comes until the agent hangs up, or a job was allowed to leave processes behind."""
        while self._connected:
            while not self._orders and self._connected:
                self._wait(None)
            # What was not begun when the agent went is not ours to begin: the next one may have it by now.
            order = self._orders.pop(0) if self._connected else {"t": ""}
            if order["t"] == "launch":
                job = Job(order)
                self._run(job)
                if job.keep:
                    break
        self._leave()

    def carry_out(self, launch: "dict[str, Any]") -> None:
        """Run one job and be done: where no agent is there to give any."""
        self._run(Job(launch))
        self._leave()

    def end_soon(self, uid: str, grace: float, why: str) -> None:
        """Have the job ended, as an agent would; may be called by a signal."""
        self._orders.append({"t": "cancel", "id": uid, "grace": grace, "why": why})

    def _leave(self) -> None:
        while not self._journal.retry():
            system.sleep(RETRY_INTERVAL)
        self._starter.end()
        cgroup.leave(self._cgroup, self._was_in)
        board.forget(self._hold)  # where the agent is dead nobody else does it

    # -- one job ---------------------------------------------------------------------------------------------------

    def _run(self, job: Job) -> None:
        try:
            self._make_directory(job)
        except FileExistsError:
            self._tell(b'{"t":"taken","id":"%s"}' % job.uid.encode("ascii"))
            return
        except (OSError, Unusable) as error:
            self._turn_down(job, "its directory cannot be made", error)
            return
        outputs: "list[int]" = []
        try:
            self._open_outputs(job, outputs)
            self._start(job, outputs[0], outputs[1])
            if job.pipes is not None:
                self._watch_pipes(job.pipes, outputs)
            self._see_through(job)
            if job.pipes is not None:
                self._empty(job, job.pipes)
            msg = lease.words(job.lease) if job.why == "lease" and job.lease is not None else self._memory.words(
                job.why or "exited", job.signal, job.rss)
            self._end(job, job.why or "exited", msg, self._size(job, 1, outputs), self._size(job, 2, outputs))
        except lease.RanOut as error:
            self._end(job, "fenced", str(error), 0, 0)
        except start.StartError as error:
            self._end(job, error.kind, str(error), 0, 0)
        except OSError as error:
            if job.pid:
                raise
            self._turn_down(job, "its files cannot be made", error)
        finally:
            for fd in outputs:
                files.close_quietly(fd)
            if job.pipes is not None and not job.pid:
                job.pipes.close()

    def _open_outputs(self, job: Job, outputs: "list[int]") -> None:
        if wants_pipes(job.launch["spec"]):
            from .pipes import Pipes  # few jobs have any
            job.pipes = Pipes(self._places, job.uid, job.limit)
            outputs += job.pipes.make()
            return
        for number in (1, 2):
            outputs.append(system.open(self._places.stream(job.uid, number), NEW | os.O_APPEND, 0o600))

    def _watch_pipes(self, pipes: "Pipes", outputs: "list[int]") -> None:
        """Move what comes from now on. The ends to write to are the job's alone."""
        self._pipes = pipes
        while outputs:
            files.close_quietly(outputs.pop())
        for fd in pipes.fds:
            self._poll.register(fd, select.POLLIN)

    def _move(self) -> bool:
        assert self._pipes is not None
        before = self._pipes.fds
        try:
            return self._pipes.move()
        finally:
            for fd in set(before) - set(self._pipes.fds):
                self._poll.unregister(fd)

    def _empty(self, job: Job, pipes: "Pipes") -> None:
        """Move what still waits, and have the last bytes of outputs with a limit in their place."""
        self._insist(job, self._move)
        for fd in pipes.fds:
            self._poll.unregister(fd)
        self._pipes = None
        pipes.close()
        self._insist(job, pipes.settle)

    def _insist(self, job: Job, act: "Callable[[], bool]") -> None:
        """Do something until there is no more of it; without room that takes until there is some, or a cancel."""
        more = True
        while more:
            try:
                more = act()
            except OSError:
                if any(order["t"] == "cancel" and order["id"] == job.uid for order in self._orders):
                    return
                self._wait(RETRY_INTERVAL)

    def _size(self, job: Job, number: int, outputs: "list[int]") -> int:
        return int(self._sure(lambda: system.fstat(outputs[number - 1]).st_size if job.pipes is None else
                              self._places.size(job.uid, number)))

    def _sure(self, look: "Callable[[], Any]") -> "Any":
        """Return what can be seen, once it can."""
        while True:
            try:
                return look()
            except OSError:
                system.sleep(RETRY_INTERVAL)

    def _make_directory(self, job: Job) -> None:
        path = self._places.cwd(job.uid)
        try:
            system.mkdir(path, 0o700)
        except FileNotFoundError:  # somebody has deleted what it was to be in
            self._places.restore()
            system.mkdir(path, 0o700)

    def _turn_down(self, job: Job, what: str, error: "OSError | Unusable") -> None:
        """Tell that a job was not started, by the host's fault or for want of room."""
        if isinstance(error, OSError) and room.passes(error):
            self._end(job, "no_room", room.words(error, self._places.root), 0, 0)
        else:
            why = error.why if isinstance(error, Unusable) else error.strerror
            self._end(job, "start_failed", "%s: %s" % (what, why), 0, 0)

    def _start(self, job: Job, out: int, err: int) -> None:
        now = system.monotonic()
        if job.timeout is not None:
            job.deadline = now + job.timeout
        if job.lease is not None and not self._heard.covers(job.lease):
            raise lease.RanOut(lease.words(job.lease, started=False))
        claim = '{"k":"claim","id":"%s","token":"%s"%s,"keep":%s,"until":%s%s%s}' % (
            job.uid, job.launch["token"], self._claim, "true" if job.keep else "false",
            "null" if job.deadline is None else "%.3f" % job.deadline,
            "" if job.lease is None else ',"lease":%.3f' % job.lease, "" if job.pipes is None else job.pipes.record)
        if not self._journal.append(claim.encode("ascii")):
            raise start.StartError(room.words(self._journal.trouble, self._places.root), start.NO_ROOM)
        self._starter.hurried = lambda: self._is_to_end(job)
        self._starter.first = self._memory.begin(job.launch["spec"])
        job.pid = self._starter.start(job.launch, out, err)
        board.note_job(self._hold, job.pid, 0)
        job.started_at = system.time()
        job.tell_at = now + QUIET_START
        # At once, and without the start time: the kernel keeps that back until the program is loaded.
        self._note_start(job, "null")
        self._starter.go()

    def _is_to_end(self, job: Job) -> bool:
        """True when a job that is being started is to be ended already."""
        self._wait(0.0)
        return any(order["t"] == "cancel" and order["id"] == job.uid for order in self._orders) or (
            job.deadline is not None and system.monotonic() >= job.deadline)

    def _note_start(self, job: Job, start: str, tell: bool = False) -> None:
        line = '{"k":"start","id":"%s","pid":%d,"start":%s,"at":%.6f}' % (job.uid, job.pid, start, job.started_at or 0)
        if not self._journal.append(line.encode("ascii")) or tell:  # else it may look as if it had never started
            self._tell(b'{"t":"started","id":"%s","pid":%d,"at":%.6f}' % (
                job.uid.encode("ascii"), job.pid, job.started_at or 0.0))

    def _see_through(self, job: Job) -> None:
        """Wait until the job is over and nothing of it is left that should not be; serve orders meanwhile."""
        while True:
            try:
                if self._is_over(job):
                    return
                now = system.monotonic()
                self._wait(max(0.0, self._act(job, now) - now))
            except (OSError, MemoryError):  # no descriptor for a look, no memory: what is due is due again
                system.sleep(SHORT_PAUSE)

    def _is_over(self, job: Job) -> bool:
        alone = self._reap(job)
        if job.over and (alone or (job.keep and job.killer is None)):
            if self._subreaper or job.keep or self._seems_alone(job):
                return True
        # Orders first: some may have come together with the launch.
        for order in [order for order in self._orders if order["t"] != "launch"]:
            if order["id"] == job.uid:
                self._obey(job, order)
            self._orders.remove(order)
        return False

    def _seems_alone(self, job: Job) -> bool:
        """Look for what the kernel did not make ours; twice, as a process may fork just behind the back of a scan."""
        job.clear = 0 if self._members(job) else job.clear + 1
        return job.clear >= CLEAR_LOOKS

    def _reap(self, job: Job) -> bool:
        """Take note of children that ended; True when there are no more, so no descendants either (but a fork server).

        The end of the main process goes into the journal before it is reaped: otherwise a process that
        takes over from this one would find neither the process nor a record.
        """
        while True:
            try:
                info = system.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return True
            if info is None:
                return job.over and self._starter.is_all_that_is_left()
            if info.si_pid != job.pid:
                system.wait4(info.si_pid, 0)
                self._starter.reaped(info.si_pid)
                continue
            job.over = True
            job.ended_at = system.time()
            if info.si_code == os.CLD_EXITED:
                job.status = info.si_status
            else:
                job.signal = info.si_status
            # A script ends by a status where a command of it was killed: 128 and the signal.
            killed = signal.SIGKILL in (job.signal, (job.status or 0) - 128)
            if job.why is None and killed and self._memory.struck():
                job.why = "oom"
            elif job.why is None and job.signal is not None:
                job.why = "signalled"
            self._journal.append(b'{"k":"exit","id":"%s","why":"%s","status":%s,"signal":%s}' % (
                job.uid.encode("ascii"), (job.why or "exited").encode("ascii"), _null(job.status), _null(job.signal)))
            _, _, usage = system.wait4(job.pid, 0)
            job.cpu, job.rss = usage.ru_utime + usage.ru_stime, usage.ru_maxrss

    def _act(self, job: Job, now: float) -> float:
        """Do what is due and return when to look again, by the monotonic clock."""
        due = now + 3600.0
        if job.tell_at is not None and not job.over:
            if now >= job.tell_at:
                main = procs.look(job.pid)
                job.tell_at = None
                board.note_job(self._hold, job.pid, 0 if main is None else main.start)
                self._note_start(job, "null" if main is None else str(main.start), tell=True)
            else:
                due = job.tell_at
        if job.lease is not None and not job.over:
            if not self._heard.covers(job.lease):
                self._finish_off(job, "lease", lease.GRACE, now)
            due = min(due, now + lease.LOOK_INTERVAL)
        if job.killer is None:
            if job.over:
                job.killer = self._killer(job, LEFTOVERS_GRACE, now)
            elif job.deadline is not None:
                if now < job.deadline:
                    return min(due, job.deadline)
                job.why = "timed_out"
                job.killer = self._killer(job, TIMEOUT_GRACE, now)
        if job.killer is not None:
            due = min(due, job.killer.act(now))
            if job.killer.stuck != job.stuck:
                job.stuck = job.killer.stuck
                self._tell(dumps({"t": "stuck", "id": job.uid, "pids": job.stuck}).encode("ascii"))
            if not self._subreaper:
                due = min(due, now + SCAN_INTERVAL)
        return due

    def _killer(self, job: Job, grace: float, now: float) -> Killer:
        return Killer(lambda: self._members(job), grace, now, procs.children)

    def _obey(self, job: Job, order: "dict[str, Any]") -> None:
        if order["t"] == "pause":
            halt(lambda: self._members(job))
        elif order["t"] == "unpause":
            go_on(lambda: self._members(job))
        elif order["t"] == "cancel":
            self._finish_off(job, order.get("why", "cancelled"), order["grace"], system.monotonic())

    def _finish_off(self, job: Job, why: str, grace: float, now: float) -> None:
        if job.killer is not None:
            job.killer.hurry(grace, now)
            return
        if not job.over:
            job.why = why
        job.killer = self._killer(job, grace, now)

    def _members(self, job: Job) -> "list[procs.Proc]":
        found = procs.table()
        roots = [self._pid]
        if not self._subreaper:
            roots += [proc.pid for proc in procs.holders([job.launch["token"]], found)]
        members = {proc.pid: proc for proc in procs.descendants(found, roots)}
        members.update((pid, found[pid]) for pid in roots[1:])
        members.pop(self._pid, None)
        members.pop(self._starter.server_pid, None)
        return [proc for proc in members.values() if not proc.dead]

    def _end(self, job: Job, why: str, msg: "str | None", out: int, err: int) -> None:
        body = '"id":"%s","why":"%s","status":%s,"signal":%s,"started":%s,"ended":%.6f,"out":%d,"err":%d,"msg":%s,' \
               '"cpu":%.6f,"rss":%d' % (
                   job.uid, why, "null" if job.status is None else job.status,
                   "null" if job.signal is None else job.signal,
                   "null" if job.started_at is None else "%.6f" % job.started_at, job.ended_at or system.time(),
                   out, err, "null" if msg is None else dumps([msg])[1:-1], job.cpu, job.rss)
        left = result.fields(self._places, job.uid, limit=job.limit) if job.pid else {}
        if job.pid and job.pipes is not None:
            left.update(self._sure(job.pipes.told))
        text = (body + "," + dumps(left)[1:] if left else body + "}").encode("ascii")
        if self._journal.append(b'{"k":"end",' + text) and job.pipes is not None:
            job.pipes.forget()
        self._tell(b'{"t":"ended",' + text)

    # -- the agent -------------------------------------------------------------------------------------------------

    def _tell(self, line: bytes) -> None:
        data = line + b"\n"
        while data:
            try:
                data = data[self._sock.send(data):]
            except OSError as error:
                if not room.passes(error):  # the agent is gone: the journal has it, or the next one asks
                    self._hang_up()
                    return
                system.sleep(SHORT_PAUSE)

    def _wait(self, seconds: "float | None") -> None:
        try:
            for fd, _ in self._poll.poll(None if seconds is None else int(seconds * 1000) + 1):
                if fd == self._wake:
                    system.read(fd, 4096)
                elif self._pipes is not None and fd in self._pipes.fds:
                    self._move()
                elif fd == self._sock.fileno():
                    self._listen()
        except (OSError, MemoryError):
            system.sleep(SHORT_PAUSE)

    def _listen(self) -> None:
        try:
            data = self._sock.recv(_PIECE)
        except OSError as error:
            if room.passes(error):
                raise
            data = b""
        if not data:
            self._hang_up()
            return
        lines = (self._input + data).split(b"\n")
        self._input = lines.pop()
        self._orders += [loads(line.decode("ascii")) for line in lines]

    def _hang_up(self) -> None:
        if self._connected:
            self._connected = False
            self._poll.unregister(self._sock)


def _null(number: "int | None") -> bytes:
    return b"null" if number is None else b"%d" % number


def main(sock: "socket.socket", journal_fd: int, places: "Places", environ: "dict[bytes, bytes]",
         open_limit: "int | None", who: "tuple[str, str, int]", hold: "tuple[int, str] | None") -> int:
    """Be a runner, in a process forked from the agent; return its exit status.

    :param open_limit: how many files a job may have open, where that is not how many we may
    :param who: the run, the host, the slot
    :param hold: see :class:`Runner`
    """
    try:
        system.setsid()
        system.signals_as_usual()
        files.close_all_but([sock.fileno(), journal_fd] + ([] if hold is None else [hold[0]]))
        if open_limit is not None:
            system.set_open_limit(open_limit)
        runner = Runner(sock, journal_.Journal(journal_fd), places, start.Starter(places, environ, *who), hold)
    except (OSError, MemoryError):
        # Nothing was begun: what it was given may be given again.
        return room.SHORT
    runner.serve()
    return 0
