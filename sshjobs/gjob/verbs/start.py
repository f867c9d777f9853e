"""Starting a job in its directory, and watching over it until its end.

The watcher is a runner (see runner.py) without an agent: a session of its own that hangs on nobody, a subreaper, so
that nothing of the job can slip away. It writes down how the job ended, and ends what the job left running.
"""

import json
import os
import resource
import signal
import socket
import time

from .. import files, system
from ..job import Job
from ..journal import Journal
from ..places import Places
from ..runner import RETRY_INTERVAL, Runner
from ..start import Starter, StartError
from ..trees import remove_tree
from .jobdir import DELETED, JobDir
from .say import Trouble, reason

#: The job's niceness above that of who starts it.
NICE = 10
_UID = "1.1"
_OPEN = os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW
#: What a shell says of a program that is not there, and of one that cannot be run.
_NOT_FOUND, _NOT_RUN = 127, 126


class JobPlaces(Places):
    """A job directory as the places of a runner."""

    def __init__(self, job_dir: JobDir):
        super().__init__(job_dir.path, "", "")
        self._job_dir = job_dir

    def cwd(self, uid: str) -> str:
        return self._job_dir.path

    def stream(self, uid: str, number: int) -> str:
        return self._job_dir.file("log" if number == 1 else "err")


class Watcher(Runner):
    """Runs one job in its directory.

    :param draft: where the journal is; renaming it is the claim: who does that, and only who does, starts the job
    """

    def __init__(self, sock: socket.socket, journal: Journal, places: JobPlaces, starter: Starter, job_dir: JobDir,
                 draft: str):
        super().__init__(sock, journal, places, starter)
        self._job_dir, self._draft = job_dir, draft
        self._claimed = False
        self._unwritten: "list[tuple[str, str]]" = []

    def serve(self) -> None:
        """Run the job, and stay until how it ended is on disk."""
        super().serve()
        if not self._claimed:
            remove_tree(self._draft)
        while not self._write():
            time.sleep(RETRY_INTERVAL)

    def _run(self, job: Job) -> None:
        if not claim(self._job_dir, self._draft):
            self._tell(b'{"t":"taken"}')
            return
        self._claimed = True
        files = []
        try:
            for number in (1, 2):
                files.append(os.open(self._places.stream(_UID, number), _OPEN | os.O_APPEND, 0o666))
            self._start(job, files[0], files[1])
            self._see_through(job)
            self._end(job, job.why or "exited", None, os.fstat(files[0]).st_size, os.fstat(files[1]).st_size)
        except StartError as error:
            self._fail(job, str(error), _NOT_FOUND if error.missing else _NOT_RUN)
        except OSError as error:
            if job.pid:
                raise
            self._fail(job, "its output files cannot be made: %s" % reason(error), _NOT_RUN)
        finally:
            for fd in files:
                os.close(fd)

    def _start(self, job: Job, out: int, err: int) -> None:
        super()._start(job, out, err)
        self._unwritten += [(".pid", "%d\n" % job.pid), (".pgid", "%d\n" % job.pid)]
        self._write()

    def _fail(self, job: Job, msg: str, status: int) -> None:
        try:
            with open(self._places.stream(_UID, 2), "ab") as file:
                file.write(("gjob: %s\n" % msg).encode("utf-8", "surrogateescape"))
        except OSError:  # it is in the journal, and the process that waits is told
            pass
        job.status = status
        self._end(job, "start_failed", msg, 0, 0)

    def _end(self, job: Job, why: str, msg: "str | None", out: int, err: int) -> None:
        super()._end(job, why, msg, out, err)
        number = job.status if job.status is not None else 128 + (job.signal or 0)
        seconds = (job.ended_at or time.time()) - (job.started_at or time.time())
        self._unwritten += [(".exit", "%d\n" % number), (".time", _times(seconds)), (".done", "")]
        self._write()

    def _write(self) -> bool:
        """Write the files that say in the old way what the journal says; True when all are there."""
        while self._unwritten:
            name, text = self._unwritten[0]
            if not _write_file(self._job_dir, name, text):
                return False
            del self._unwritten[0]
        return True


def claim(job_dir: JobDir, draft: str) -> bool:
    """Bring a record into place; False where there is one already.

    :raises OSError: neither can be had
    """
    try:
        # A directory takes the place of an empty one only, and a record is never empty.
        os.rename(draft, job_dir.record)
        return True
    except OSError:
        if not os.path.isdir(job_dir.record):
            raise
        return False


def draft_record(job_dir: JobDir, token: str) -> "tuple[str, Journal]":
    """Make a record that is not in place yet, and return its directory and its journal.

    :raises OSError: it cannot be made
    """
    draft = "%s-%d-%s" % (job_dir.record, os.getpid(), os.urandom(4).hex())
    os.mkdir(draft, 0o755)
    journal = Journal(os.open(os.path.join(draft, "journal"), _OPEN | os.O_EXCL | os.O_APPEND, 0o644))
    text = json.dumps({"k": "job", "token": token, "host": socket.gethostname(), "at": time.time()})
    if not journal.append(text.encode("ascii")):
        remove_tree(draft)
        raise OSError(0, "no space, or a disk that is read-only")
    return draft, journal


def start(job_dir: JobDir, argv: "list[str]") -> None:
    """Start a command in a job directory and return once it runs. It outlives us and our connection.

    :raises Trouble: it cannot be started, or something was started there before
    """
    job_dir.require()
    if job_dir.has(DELETED):
        raise Trouble(job_dir.name, "it was deleted", "make another: gjob local mkdir")
    if job_dir.standing().state != "free":
        raise _taken(job_dir)
    ours, theirs = socket.socketpair()
    token = os.urandom(16).hex()
    child = os.fork()
    if not child:
        _detach(theirs, job_dir, token)
    theirs.close()
    os.waitpid(child, 0)
    with ours:
        _await_start(ours, job_dir, token, argv)


def _taken(job_dir: JobDir) -> Trouble:
    return Trouble(job_dir.name, "it was started before, and a job is started once", "make another: gjob local mkdir")


def _await_start(sock: socket.socket, job_dir: JobDir, token: str, argv: "list[str]") -> None:
    words = [os.fsencode(word).decode("utf-8", "surrogateescape") for word in argv]
    name = os.fsencode(os.path.basename(job_dir.path)).decode("utf-8", "surrogateescape")
    launch = {"t": "launch", "id": _UID, "token": token, "job": name, "index": 1,
              "spec": {"argv": words, "nice": NICE}}
    answer = b""
    try:
        sock.sendall(json.dumps(launch).encode("ascii") + b"\n")
        while not answer.endswith(b"\n"):
            data = sock.recv(1 << 16)
            if not data:
                break
            answer += data
    except OSError:  # it is gone; what it said before counts
        pass
    told = json.loads(answer.split(b"\n")[0].decode("ascii")) if answer else {}
    if told.get("t") == "taken":
        raise _taken(job_dir)
    if told.get("t") not in ("started", "ended"):
        raise Trouble(job_dir.name, "it cannot be started: %s" % told.get("msg", "what was to watch over it died"),
                      "see that files and processes can be made there")
    if told.get("why") == "start_failed":
        raise Trouble(job_dir.name, told["msg"], "correct it, and start it in a new job directory")


def _detach(sock: socket.socket, job_dir: JobDir, token: str) -> None:
    """Be the watcher, as nobody's child; does not return."""
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        os.chdir("/")
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        _watch(sock, job_dir, token)
    finally:
        os._exit(1)


def _watch(sock: socket.socket, job_dir: JobDir, token: str) -> None:
    draft = ""
    try:
        draft, journal = draft_record(job_dir, token)
        log = os.open(os.path.join(draft, "log"), _OPEN | os.O_EXCL | os.O_APPEND, 0o644)
        os.dup2(log, 2)
        files.close_all_but([sock.fileno(), journal.fd])
        places = JobPlaces(job_dir)
        starter = Starter(places, dict(os.environb), "gjob", socket.gethostname(), 1)
        Watcher(sock, journal, places, starter, job_dir, draft).serve()
    except OSError as error:
        system.note_failure()
        remove_tree(draft)
        sock.sendall(json.dumps({"t": "failed", "msg": reason(error)}).encode("ascii") + b"\n")
    except BaseException:
        system.note_failure()
        raise


def _write_file(job_dir: JobDir, name: str, text: str) -> bool:
    """Write a small file in one step; False where it cannot be written now."""
    path = job_dir.file(name)
    new = "%s-%d" % (path, os.getpid())
    try:
        with open(new, "w", encoding="ascii") as file:
            file.write(text)
        os.rename(new, path)
        return True
    except OSError:
        return not os.path.isdir(job_dir.path)


def _times(seconds: float) -> str:
    """Return what /usr/bin/time writes, for the job and all that it waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    minutes, rest = divmod(max(0.0, seconds), 60)
    elapsed = "%d:%05.2f" % (minutes, rest) if minutes < 60 else "%d:%02d:%02d" % (minutes // 60, minutes % 60, rest)
    percent = "%d%%" % ((used.ru_utime + used.ru_stime) * 100 / seconds) if seconds > 0 else "?%"
    return ("%.2fuser %.2fsystem %selapsed %sCPU (0avgtext+0avgdata %dmaxresident)k\n"
            "%dinputs+%doutputs (%dmajor+%dminor)pagefaults %dswaps\n" % (
                used.ru_utime, used.ru_stime, elapsed, percent, used.ru_maxrss, used.ru_inblock, used.ru_oublock,
                used.ru_majflt, used.ru_minflt, used.ru_nswap))
