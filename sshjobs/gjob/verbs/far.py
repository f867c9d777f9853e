"""The far end of one verb: reads what is asked from its standard input, does it here, and says how that went.

The request is a line of JSON, with raw bytes after it where there are files. The marker comes first on both outputs,
the end with the verb's exit status comes last; what lies between is the user's, byte for byte.
"""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile

from .. import procs
from ..places import NEW
from ..values import is_inner_path, to_bytes
from . import control
from .jobdir import JobDir, make
from .say import FAILED, INTERRUPTED, OK, Trouble, complain, reason, say, write_all
from .start import start

MYPY = False
if MYPY:
    from typing import Any, BinaryIO, Callable

    Request = dict[str, Any]

_PIECE = 1 << 18
#: Seconds between two looks at a log that is followed.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.5


def main(nonce: str) -> int:
    """Serve one request on standard input and output; return the exit status."""
    mark = b"\nSSHJOBS-READY %s\n" % nonce.encode("ascii")
    write_all(2, mark)
    write_all(1, mark)
    line = sys.stdin.buffer.readline()
    if not line.endswith(b"\n"):
        return INTERRUPTED
    try:
        request = json.loads(line.decode("ascii"))
        status = _VERBS[request["verb"]](request, sys.stdin.buffer)
    except Trouble as error:
        complain(str(error))
        status = error.code
    except BrokenPipeError:
        return INTERRUPTED
    except OSError as error:
        complain("%s: %s" % (error.filename, reason(error)) if error.filename else reason(error))
        status = FAILED
    end = b"\0SSHJOBS-END %s %d\0" % (nonce.encode("ascii"), status)
    try:
        write_all(2, end)
        write_all(1, end)
    except OSError:  # nobody waits for it any more
        pass
    return 0


def _local(text: str) -> str:
    """Return a path from a request as this system names it, whatever its locale."""
    return os.fsdecode(to_bytes(text))


def _results(request: "Request") -> str:
    path = _local(request["results"])
    if path == "~" or path.startswith("~/"):
        path = os.environ.get("HOME", "/") + path[1:]
    return path


def _job(request: "Request", name: "str | None" = None) -> JobDir:
    name = request["id"] if name is None else name
    return JobDir(os.path.join(_results(request), name), name)


# -- verbs -----------------------------------------------------------------------------------------------------------

def _start(request: "Request", body: "BinaryIO") -> int:
    name = make(_results(request))
    job_dir = _job(request, name)
    try:
        _receive(request["files"], job_dir, body)
        # As the seed does: a login shell reads the script, and a command that fails does not end it.
        start(job_dir, ["bash", "-l", ".cmds"])
    except BaseException:
        if job_dir.standing().state == "free":
            control.delete(job_dir)
        raise
    say(name)
    return _follow(job_dir) if request["follow"] else OK


def _receive(files: "list[list[Any]]", job_dir: JobDir, body: "BinaryIO") -> None:
    """Write what follows the request into a job directory. Modes of directories come last."""
    directories = []
    for path, size, mode in files:
        if not is_inner_path(path):
            raise Trouble("%s: it does not lie in the job directory" % path)
        target = job_dir.file(_local(path))
        if size is None:
            os.mkdir(target, 0o700)
            directories.append((target, mode))
            continue
        fd = os.open(target, NEW, 0o600)
        try:
            while size:
                piece = body.read(min(size, _PIECE))
                if not piece:
                    raise Trouble("%s: the connection broke while files were sent" % job_dir.name, None,
                                  "nothing was started")
                write_all(fd, piece)
                size -= len(piece)
            os.fchmod(fd, mode & 0o777)
        finally:
            os.close(fd)
    for target, mode in directories:
        os.chmod(target, mode & 0o777)


def _follow(job_dir: JobDir) -> int:
    """Pass on what a job writes until it is over; return 0 if it succeeded."""
    logs = [(number, open(job_dir.file(name), "rb", 0)) for number, name in ((1, "log"), (2, "err"))]
    pause = _FIRST_PAUSE
    while True:
        # Asked before the last look at the files: what was written until its end is then passed on.
        state = job_dir.standing().state
        news = False
        for number, file in logs:
            data = file.read(_PIECE)
            while data:
                news = True
                write_all(number, data)
                data = file.read(_PIECE)
        if state != "busy":
            return OK if state == "done" else FAILED
        pause = _FIRST_PAUSE if news else min(pause * 1.5, _LONGEST_PAUSE)
        if select.select([0], [], [], pause)[0]:
            return INTERRUPTED  # the user has gone; nothing else would come here


def _status(request: "Request", body: "BinaryIO") -> int:
    for name in request["ids"]:
        say(json.dumps(_job(request, name).standing().facts))
    return OK


def _kill(request: "Request", body: "BinaryIO") -> int:
    control.kill(_job(request), request["signal"])
    return OK


def _pause(request: "Request", body: "BinaryIO") -> int:
    control.pause(_job(request))
    return OK


def _unpause(request: "Request", body: "BinaryIO") -> int:
    control.unpause(_job(request))
    return OK


def _is_paused(request: "Request", body: "BinaryIO") -> int:
    paused = control.is_paused(_job(request))
    say("yes" if paused else "no")
    return OK if paused else FAILED


def _delete(request: "Request", body: "BinaryIO") -> int:
    control.delete(_job(request))
    return OK


def _cmd(request: "Request", body: "BinaryIO") -> int:
    job_dir = _job(request)
    job_dir.require()
    with tempfile.TemporaryFile() as script:
        script.write(body.read(request["size"]))
        script.flush()
        script.seek(0)
        return _run_here(["bash", "-l", "/dev/fd/%d" % script.fileno()], job_dir.path, script.fileno())


def _run_here(argv: "list[str]", cwd: str, keep: int) -> int:
    """Run a program to its end, or to the end of the connection; return its exit status as a shell does."""
    wake, wake_in = os.pipe()
    for fd in (wake, wake_in):
        os.set_blocking(fd, False)
    signal.set_wakeup_fd(wake_in)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    try:
        process = subprocess.Popen(argv, cwd=cwd, stdin=subprocess.DEVNULL, pass_fds=[keep], start_new_session=True)
    except OSError as error:
        raise Trouble("%s cannot be started" % argv[0], reason(error), "install it on the host")
    watched = [0, wake]
    while process.poll() is None:
        ready = select.select(watched, [], [])[0]
        if wake in ready:
            os.read(wake, 4096)
        elif 0 in ready:
            # As a terminal that is closed.
            for proc in procs.descendants(procs.table(), [os.getpid()]):
                procs.send(proc, signal.SIGHUP)
            return INTERRUPTED
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def _install(request: "Request", body: "BinaryIO") -> int:
    from . import install as verbs_install

    if request["size"] is None:
        told = verbs_install.remove()
    else:
        told = verbs_install.install(body.read(request["size"]), request["version"], request["python"],
                                     request["force"])
    say(json.dumps(told))
    return OK


def _survey(request: "Request", body: "BinaryIO") -> int:
    from . import traces as verbs_traces

    say(json.dumps(verbs_traces.survey(request["run"])))
    return OK


def _sweep(request: "Request", body: "BinaryIO") -> int:
    from . import traces as verbs_traces

    say(json.dumps(verbs_traces.sweep(request["tokens"], request["directories"], request["inputs"])))
    return OK


def _who(request: "Request", body: "BinaryIO") -> int:
    from . import shared

    say(json.dumps(shared.who()))
    return OK


def _usage(request: "Request", body: "BinaryIO") -> int:
    from . import shared

    say(json.dumps(shared.usage(request["seconds"])))
    return OK


_VERBS: "dict[str, Callable[[Request, BinaryIO], int]]" = {
    "start": _start, "status": _status, "kill": _kill, "pause": _pause, "unpause": _unpause,
    "is-paused": _is_paused, "delete": _delete, "cmd": _cmd, "install": _install,
    "survey": _survey, "sweep": _sweep, "who": _who, "usage": _usage,
}
