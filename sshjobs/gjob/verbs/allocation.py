"""On a node of a Slurm allocation: ``wait``, a process of the batch step that takes links and starts what serves them;
``link``, a step of its own that brings one.

What a step has started is ended with that step, and a link is a step: so that jobs outlive it, nothing is started by
it. It passes bytes both ways between Slurm and the process of the batch step; when it is killed, that one sees the end
of the link. Imports nothing of ours: it comes as text.
"""

import array
import glob
import os
import re
import shutil
import signal
import socket
import struct
import sys
import threading
import time

MYPY = False
if MYPY:
    from typing import Optional

#: Seconds without a link and without any process of ours after which an allocation is given back: nobody wants it.
IDLE_S = 600.0
#: Seconds that a link waits for the batch step to come up, and the pause between two tries.
COMES_WITHIN_S, PAUSE_S = 30.0, 0.05
#: Seconds between two looks for children, and that the other end of a new connection may take: both are on this node.
LOOK_S, PATIENCE_S = 1.0, 5.0
#: Seconds that all of it gets to end when Slurm ends the allocation.
GRACE_S = 60.0
#: In a journal: directories are kept.
_KEPT = re.compile('"keep":\\[')
#: Bytes passed on at a time.
_PIECE = 1 << 16
_SUBREAPER = 36


def main(word: str) -> None:
    """Do what the word says, in hex digits: ``link``, or ``wait CODE``, where the code is what Python is to run for a
    link. Does not return."""
    verb, _, code = bytes.fromhex(word).decode("ascii").partition(" ")
    sys.exit(link() if verb == "link" else wait(code))


def address() -> str:
    """Where links of this allocation are taken on this node. No file: nothing of it is left."""
    return "\0sshjobs-%d-%s-%s" % (os.getuid(), os.environ["SLURM_JOB_ID"], os.environ["SLURMD_NODENAME"])


def wait(code: str) -> int:
    """Take links until nobody wants any, or Slurm ends the allocation; return the exit status."""
    over: "list[int]" = []
    # Slurm tells all processes of the allocation, and some time (KillWait) later it kills them.
    signal.signal(signal.SIGTERM, lambda number, frame: over.append(number))
    inherits = _adopts_orphans()
    # What Slurm gave belongs to this allocation alone, whatever other runs have of the same node.
    os.environ["SSHJOBS_SHARED"] = ""
    door = socket.socket(socket.AF_UNIX)
    door.bind(address())
    door.listen(64)
    door.settimeout(LOOK_S)
    since = time.monotonic()
    while not over and time.monotonic() - since < IDLE_S:
        try:
            _take(door.accept()[0], code)
        except OSError:  # nobody came, or went at once; or there is no room for a process: then the link is tried again
            pass
        if _has_children() or not inherits:
            since = time.monotonic()
    if over:
        _tidy()
    return 0


def _tidy() -> None:
    """Remove what agents of this allocation have on this node, once nothing runs that may use it; unless directories
    were kept there for a person. What they had is lost with the allocation, and nobody else comes for it."""
    until = time.monotonic() + GRACE_S
    while _has_children():
        if time.monotonic() >= until:
            return
        time.sleep(PAUSE_S)
    mark = '"slurm":"%s %s"' % (os.environ["SLURM_JOB_ID"], os.environ["SLURMD_NODENAME"])
    for root in (os.path.expanduser("~/.sshjobs"), "/var/tmp/sshjobs-%d" % os.getuid()):
        for path in glob.glob(os.path.join(glob.escape(root), "*", "*", "agent")):
            base = os.path.dirname(path)
            journals = glob.glob(os.path.join(glob.escape(base), "j", "*.log"))
            if mark in _text(path) and not any(_KEPT.search(_text(one)) for one in journals):
                shutil.rmtree(base, ignore_errors=True)
                for above in (os.path.dirname(base), root):
                    try:
                        os.rmdir(above)
                    except OSError:  # others have something there
                        break


def _text(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _take(link: socket.socket, code: str) -> None:
    """Start what serves a link. The link ends with it.

    :raises OSError: there is no link, or no room for a process
    """
    stderr = None  # type: Optional[int]
    try:
        link.settimeout(PATIENCE_S)
        if _user_behind(link) != os.getuid():
            return
        stderr = _descriptor(link)
        if stderr is not None and os.fork() == 0:
            _become(link, stderr, code)
    finally:
        if stderr is not None:
            os.close(stderr)
        link.close()


def _become(link: socket.socket, stderr: int, code: str) -> None:
    try:
        os.setsid()
        link.setblocking(True)
        os.dup2(stderr, 2)
        for target in (0, 1):
            os.dup2(link.fileno(), target)
        python = sys.executable or "python3"
        os.execvp(python, [python, "-ISc", code])
    finally:
        os._exit(126)


def link() -> int:
    """Pass a link on until its end; return the exit status."""
    door = _connected()
    if door is None:
        return 1
    door.sendmsg([b"L"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", (2,)).tobytes())])
    threading.Thread(target=_pass_in, args=(door,), daemon=True).start()
    try:
        data = door.recv(_PIECE)
        while data:
            while data:
                data = data[os.write(1, data):]
            data = door.recv(_PIECE)
    except OSError:  # one of the two sides is gone
        pass
    # At once: the other thread may wait for what never comes.
    os._exit(0)


def _pass_in(door: socket.socket) -> None:
    try:
        data = os.read(0, _PIECE)
        while data:
            door.sendall(data)
            data = os.read(0, _PIECE)
        door.shutdown(socket.SHUT_WR)
    except OSError:  # the other direction tells
        pass


def _connected() -> "Optional[socket.socket]":
    """Return a connection to the batch step's process, waiting for it to come up; None where there is none, said."""
    deadline = time.monotonic() + COMES_WITHIN_S
    while True:
        door = socket.socket(socket.AF_UNIX)
        try:
            door.connect(address())
            break
        except OSError as error:
            door.close()
            if time.monotonic() >= deadline:
                sys.stderr.write("sshjobs: the batch step of the allocation takes no link: %s\n" % error)
                return None
        time.sleep(PAUSE_S)
    if _user_behind(door) != os.getuid():
        sys.stderr.write("sshjobs: another user takes links of this allocation\n")
        return None
    return door


def _user_behind(connection: socket.socket) -> int:
    """Return the user at the other end: anybody on this node may connect, or take links."""
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", found)[1])


def _descriptor(link: socket.socket) -> "Optional[int]":
    """Return what the other side hands over with its first byte, None where it is not that."""
    got = array.array("i")
    _, extra, _, _ = link.recvmsg(1, socket.CMSG_LEN(got.itemsize))
    for level, kind, data in extra:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            got.frombytes(data[:len(data) - len(data) % got.itemsize])
    for fd in got:
        os.set_inheritable(fd, False)
    return got[0] if len(got) == 1 else None


def _adopts_orphans() -> bool:
    """Have agents become our children, however they were started: while one is there, the allocation is wanted."""
    try:
        import ctypes

        return bool(ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0) == 0)
    except (ImportError, OSError, AttributeError):
        return False


def _has_children() -> bool:
    """Tell whether there are any, and let those that have ended go."""
    pid = None  # type: Optional[int]
    try:
        while pid != 0:
            pid = os.waitpid(-1, os.WNOHANG)[0]
    except ChildProcessError:
        return False
    return True
