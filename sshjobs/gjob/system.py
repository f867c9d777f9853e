"""The door to the operating system: all that the far side does to files, processes, sockets and clocks.

Every other module calls these names as ``system.NAME`` and never keeps them. So a simulation, or a test in which one
call fails, replaces names of this module and nothing else. ``CALLS`` lists them; the other functions use those.

| files | |
|---|---|
| open close read pread readv write writev pwrite | as in ``os``; ``open`` closes on exec |
| fill | copies a whole file from one descriptor to another |
| seek_end | goes to the end of a file |
| seek_data | tells where something was written to a file next |
| splice | moves what waits in a pipe to the end of a file; what was not written stays in the pipe |
| stat fstat access listdir statvfs getxattr | as in ``os``, by path, below an open directory, or of a descriptor |
| entries | the first names in a directory, however many there are |
| mkdir mkfifo rmdir unlink rename link symlink readlink chmod fchmod utime chdir | as in ``os`` |
| lock unlock | takes the lock of a file, without waiting; releases it for all processes that share the open file |

| processes | |
|---|---|
| getpid getppid getuid environ hostname cores | who and where we are |
| fork | runs a function in a child, which cannot return from it |
| exit | ends this process, at once |
| setsid umask kill kill_exactly waitid wait4 | as in ``os``; ``kill_exactly`` minds that a pid may be another's |
| spawn | starts a program in a session of its own |
| ask | returns what a program prints |
| pids stat_of environ_of children_of owner_of | /proc, as the kernel writes it |
| adopt_orphans | orphaned descendants become our children |
| open_limit set_open_limit | how many files may be open |
| heed_children, signals_as_usual | a byte into a pipe for each SIGCHLD; signals as a login has them |
| collect_garbage | whether Python looks for objects that only name each other |

| streams and clocks | |
|---|---|
| pipe socketpair listen connect accept | unix sockets, which have the methods of ``socket.socket`` |
| poll epoll widen set_blocking set_inheritable dup2 | as in ``select`` and ``os`` |
| monotonic time localtime boottime sleep | as in ``time`` |

Whatever fails raises OSError, or MemoryError, which is ENOMEM before the kernel was asked.
"""

import errno
import fcntl
import os
import posix
import select
import sys
import time as time_

from . import light
from .light import signal, socket

MYPY = False
if MYPY:
    from typing import Any, Callable, NoReturn

CALLS = tuple(
    "open close read pread readv write writev pwrite fill splice seek_end seek_data stat fstat access listdir statvfs"
    " getxattr mkdir mkfifo rmdir unlink rename link symlink readlink chmod fchmod utime chdir lock unlock entries"
    " getpid getppid getuid environ hostname cores fork exit setsid umask kill kill_exactly waitid wait4 spawn ask pids"
    " stat_of environ_of children_of owner_of adopt_orphans open_limit set_open_limit heed_children signals_as_usual"
    " collect_garbage pipe socketpair listen connect accept poll epoll widen set_blocking set_inheritable dup2"
    " monotonic time localtime boottime sleep".split())

open = os.open
close, read, pread, readv, write, writev, pwrite = (
    os.close, os.read, os.pread, os.readv, os.write, os.writev, os.pwrite)
stat, fstat, access, listdir, statvfs, getxattr = (
    os.stat, os.fstat, os.access, os.listdir, os.statvfs, os.getxattr)
mkdir, mkfifo, rmdir, unlink, rename, link, symlink, readlink = (
    os.mkdir, os.mkfifo, os.rmdir, os.unlink, os.rename, os.link, os.symlink, os.readlink)
chmod, fchmod, utime, chdir = os.chmod, os.fchmod, os.utime, os.chdir

_COPY = 1 << 26
#: Bytes that are read of what a program prints, and seconds for its end after it was killed.
_MOST_ASKED, _REAPED_WITHIN = 1 << 20, 0.2
#: From Python 3.8.
_copy_file_range: "Any" = getattr(os, "copy_file_range", None)
_CANNOT_SHARE = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM)


def fill(writing: int, reading: int) -> None:
    """Copy a whole file. Where the file system can, both share their blocks until one of them is written to."""
    try:
        while _copy_file_range is not None and _copy_file_range(reading, writing, _COPY):
            pass
    except OSError as error:
        if error.errno not in _CANNOT_SHARE:
            raise
    # Goes on where that ended: at the end, or at the beginning.
    while os.sendfile(writing, reading, None, _COPY):
        pass


#: From Python 3.10.
_splice: "Any" = getattr(os, "splice", None)


def splice(reading: int, writing: int, most: int) -> int:
    """Move what waits in a pipe to a file, at its own offset; return how many bytes that were, 0 at the pipe's end.
    What cannot be written stays in the pipe, even if this process is killed. Only where Python has no splice, bytes
    that were read and not yet written are lost then.

    :raises BlockingIOError: nothing waits
    """
    if _splice is not None:
        try:
            return int(_splice(reading, writing, most))
        except OSError as error:
            if error.errno != errno.EINVAL:  # a file system that cannot do it
                raise
    data = read(reading, most)
    rest = data
    while rest:
        try:
            rest = rest[write(writing, rest):]
        except OSError:  # there is no way to put it back
            sleep(1.0)
    return len(data)


def seek_end(fd: int) -> None:
    """Move to the end of an open file, so that the next write appends."""
    os.lseek(fd, 0, os.SEEK_END)


def seek_data(fd: int, offset: int) -> int:
    """Return where the next data is in an open file with holes: the end of the file if there is none, the offset
    itself where the file system does not tell."""
    try:
        return os.lseek(fd, offset, os.SEEK_DATA)
    except OSError as error:
        return fstat(fd).st_size if error.errno == errno.ENXIO else offset


def lock(fd: int) -> None:
    """Take the lock of an open file.

    :raises BlockingIOError: another process has it
    """
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def unlock(fd: int) -> None:
    """Release the lock of an open file, also for parents and children that share the open file."""
    fcntl.flock(fd, fcntl.LOCK_UN)


def entries(path: str, most: int) -> "list[str]":
    """Return the names in a directory, no more than so many of them."""
    found: "list[str]" = []
    with os.scandir(path) as listing:
        for entry in listing:
            if len(found) >= most:
                break
            found.append(entry.name)
    return found


getpid, getppid, getuid, setsid, umask, kill, waitid, wait4 = (
    os.getpid, os.getppid, os.getuid, os.setsid, os.umask, os.kill, os.waitid, os.wait4)

#: From Python 3.8, and only with a C library that can make a session on the way.
_posix_spawn: "Any" = getattr(os, "posix_spawn", None)
_DUP2: int = getattr(os, "POSIX_SPAWN_DUP2", 0)
#: What programs expect as it was: what Python itself ignores. And all others, since for each that is named here the C
#: library makes one system call, and else two.
_SIGNALS = tuple(getattr(signal, "valid_signals", tuple)())
_SUBREAPER = 36


def environ() -> "dict[bytes, bytes]":
    """Return the environment of this process."""
    return dict(posix.environ)  # what os.environb shows, which takes each name and value apart


def hostname() -> str:
    """Return what this machine calls itself."""
    return os.uname().nodename


def cores() -> int:
    """Return how many cores this process may run on."""
    return len(os.sched_getaffinity(0))


def exit(status: int) -> "NoReturn":
    """End this process at once: nothing is flushed, no handler runs."""
    while True:
        try:
            os._exit(status)
        except BaseException:  # noqa: BLE001, S112  (no memory for the call itself)
            continue


def fork(child: "Callable[[], int]") -> int:
    """Run a function in a child process and return its pid here. The child exits with what the function returns, or
    with 1. It never returns from here, whatever fails in it.

    :raises OSError: no process can be made
    """
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        try:
            status = child()
        except BaseException:  # noqa: BLE001  (no exception may leave the child)
            note_failure()
    except BaseException:  # noqa: BLE001, S110  (a signal's exception, while the log was written: it ends with 1 anyway)
        pass
    finally:
        exit(status)


def note_failure() -> None:
    """Write the exception that is being handled into the log (standard error). Never raises."""
    try:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()  # Python 3.6 keeps it otherwise, and we leave by os._exit
    except Exception:  # noqa: BLE001  (no descriptor for the module, no room on the disk)
        try:
            write(2, b"%a\n" % (sys.exc_info()[1],))
        except Exception:  # noqa: BLE001, S110  (no log either: its exit status tells that it failed)
            pass


def spawn(program: bytes, argv: "list[bytes]", env: "dict[bytes, bytes]", files: "tuple[int, int, int]",
          before: "list[tuple[str, Any]]") -> int:
    """Start a program in a session of its own and return its pid.

    :param files: its standard input, output and error
    :param before: what its process does before it becomes the program: functions of ``os`` by name, each with an
        argument, or several. One that the system refuses is passed over, as ``nice`` below zero for anybody but root
    :raises OSError: no process came to be
    :raises ValueError: no process can have such arguments
    """
    if before or _posix_spawn is None:
        return _popen(program, argv, env, files, before)
    actions = [(_DUP2, fd, target) for target, fd in enumerate(files)]
    pid: int = _posix_spawn(program, argv, env, file_actions=actions, setsid=True, setsigdef=_SIGNALS)
    return pid


def _popen(program: bytes, argv: "list[bytes]", env: "dict[bytes, bytes]", files: "tuple[int, int, int]",
           before: "list[tuple[str, Any]]") -> int:
    """Start a program where posix_spawn is missing (Python 3.6) or cannot do it."""
    import subprocess

    try:
        # Our own files are all closed on exec, so nothing is left for close_fds to do.
        process = subprocess.Popen(argv, executable=program, env=env, stdin=files[0], stdout=files[1],
                                   stderr=files[2], start_new_session=True, close_fds=False,
                                   preexec_fn=(lambda: _prepare(before)) if before else None)
    except subprocess.SubprocessError as error:
        raise ValueError(str(error))
    # We wait for it ourselves. Popen must not: by then the pid may be another process's.
    process.returncode = 0
    return process.pid


def _prepare(before: "list[tuple[str, Any]]") -> None:
    for name, value in before:
        try:
            getattr(os, name)(*(value if isinstance(value, tuple) else (value,)))
        except OSError:  # below zero nice is for root
            pass


def ask(argv: "list[str]", patience: float) -> bytes:
    """Return what a program prints, cut at 1 MiB; nothing where it cannot be run or takes longer than ``patience``
    seconds. Never waits longer, even if the program hangs in a driver or has started others."""
    import subprocess

    said, piece, deadline, poller = b"", b" ", monotonic() + patience, select.poll()
    try:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                   start_new_session=True, bufsize=0)
        with process.stdout:  # type: ignore[union-attr]
            reading = process.stdout.fileno()  # type: ignore[union-attr]
            poller.register(reading, select.POLLIN)
            while piece and len(said) < _MOST_ASKED:
                ready = poller.poll(max(0.0, deadline - monotonic()) * 1000)
                piece = read(reading, 1 << 16) if ready else b""
                said = said + piece if ready else b""
        kill(-process.pid, signal.SIGKILL)
        process.wait(_REAPED_WITHIN)
    except (OSError, subprocess.TimeoutExpired):  # the process that reaps our children reaps it too
        pass
    return said


def kill_exactly(pid: int, number: int, same: "Callable[[], bool]") -> None:
    """Send a signal to a process unless it is another by now.

    :param same: whether the pid is still that of the process that is meant
    :raises OSError: it is gone, or not ours to signal
    """
    pidfd_open = getattr(os, "pidfd_open", None)
    try:
        fd = pidfd_open(pid) if pidfd_open is not None else -1
    except OSError as error:
        if isinstance(error, (ProcessLookupError, PermissionError)):
            raise
        fd = -1  # Python knows pidfds, the kernel does not, or there is no descriptor for one
    try:
        if not same():
            raise ProcessLookupError(errno.ESRCH, "another process has that pid now")
        if fd < 0:
            kill(pid, number)
        else:
            getattr(signal, "pidfd_send_signal")(fd, number)  # noqa: B009  (not in Python 3.6)
    finally:
        if fd >= 0:
            close(fd)


def pids() -> "list[int]":
    """Return the pid of every process that can be seen."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def stat_of(pid: int) -> bytes:
    """Return a process's /proc/PID/stat."""
    return _proc("/proc/%d/stat" % pid, one_line=True)


def environ_of(pid: int) -> bytes:
    """Return a process's environment."""
    return _proc("/proc/%d/environ" % pid)


def children_of(pid: int) -> "list[int]":
    """Return the children of a process with one thread, including those not waited for.

    :raises FileNotFoundError: this kernel does not tell
    """
    return [int(word) for word in _proc("/proc/%d/task/%d/children" % (pid, pid)).split()]


def owner_of(pid: int) -> int:
    """Return the uid of a process's user; root's for processes that nobody may look into."""
    return os.stat("/proc/%d" % pid).st_uid


def _proc(path: str, one_line: bool = False) -> bytes:
    fd = os.open(path, os.O_RDONLY)
    try:
        data = piece = os.read(fd, 1 << 16)
        while piece and not one_line:  # which comes whole
            piece = os.read(fd, 1 << 16)
            data += piece
        return data
    finally:
        os.close(fd)


def adopt_orphans() -> bool:
    """Have orphaned descendants become children of this process; False where that cannot be had."""
    try:
        return light.c_function("prctl")(_SUBREAPER, 1, 0, 0, 0) == 0
    except (ImportError, OSError, AttributeError, MemoryError):  # Python without ctypes, or libffi without memory
        return False


def open_limit() -> int:
    """Return how many files may be open."""
    return os.sysconf("SC_OPEN_MAX")


def set_open_limit(soft: "int | None") -> None:
    """Set the limit of open files, ``None`` for the highest that is allowed. Where that fails, nothing changes."""
    try:
        import resource

        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard if soft is None else soft, hard))
    except (ImportError, OSError, ValueError):
        pass


def heed_children(wake: int) -> None:
    """Have a byte written into a pipe whenever a child may have ended; -1 ends that."""
    signal.set_wakeup_fd(wake)
    if wake >= 0:
        signal.signal(signal.SIGCHLD, lambda number, frame: None)


def signals_as_usual() -> None:
    """Give all signals their default effect, and block none."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


accept, collect_garbage = light.accept, light.collect_garbage
pipe, set_blocking, set_inheritable, dup2, poll, epoll = (
    os.pipe, os.set_blocking, os.set_inheritable, os.dup2, select.poll, select.epoll)

#: fcntl's F_SETPIPE_SZ (by name from Python 3.10), and the bytes that may wait in a pipe that is wide.
_SET_SIZE, _WIDE = 1031, 1 << 20
_BACKLOG = 16


def widen(fd: int) -> bool:
    """Give a pipe a larger buffer; False where it is no pipe, or the user's limit for pipes is reached."""
    try:
        fcntl.fcntl(fd, _SET_SIZE, _WIDE)
    except OSError:
        return False
    return True


def socketpair() -> "tuple[socket.socket, socket.socket]":
    """Return two ends of a stream."""
    return socket.socketpair()


def listen(path: str) -> "socket.socket":
    """Return a listening unix socket of packets at a path."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        sock.bind(path)
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def connect(path: str, patience: float) -> "socket.socket":
    """Return a connection to the socket of a path.

    :param patience: seconds that each call on it may take
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.settimeout(patience)
    try:
        sock.connect(path)
    except OSError:
        sock.close()
        raise
    return sock


monotonic, time, localtime, sleep = time_.monotonic, time_.time, time_.localtime, time_.sleep
#: CLOCK_BOOTTIME, which Python names from 3.7 on: it goes on while the machine sleeps, and nobody can set it.
_BOOTTIME = 7


def boottime() -> float:
    """Return seconds since the machine was booted, those that it slept included."""
    try:
        return time_.clock_gettime(_BOOTTIME)
    except OSError:  # a kernel without that clock
        return monotonic()
