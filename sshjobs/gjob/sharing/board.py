"""The directory in which the runs of all users of a host write down what they hold, and what they wait for.

``/tmp/sshjobs-shared-BOOT`` is sticky and everybody may write to it, like /tmp; ``BOOT`` is the kernel's name for this
boot, so that nothing of an earlier one, or of another host that shares the place, counts. Below it each user has a
directory, named by the uid, that nobody else can write to. In that are, for each agent (see :func:`agent_name`):

``AGENT.N``
    what is held for one job. It counts while its lock is had, which agent and runner share, or while the process
    lives whose pid and start are on its first line: the job.
``AGENT.w``
    what the agent waits for. It counts while the agent has its lock.

A process that decides has the lock of the directory itself meanwhile. As all of these are locks, the death of a process
frees what it had, at every moment. When a runner waits, or gives something back for which another one waits, the time
of the directory's last change is set: to look at that is all that it costs to see that nobody waits.

What stands here is not trusted: whose a file is, is what the kernel says; it is regular, short and checked key by key.
"""

import errno
import os
import stat

from .. import files, procs, system
from . import written
from .usage import NAMES
from .written import MOST_BYTES

MYPY = False
if MYPY:
    from typing import Any

    from .rules import Holding, Wish

#: Where the login's environment names another place, absolute; empty: nothing is shared.
VARIABLE = b"SSHJOBS_SHARED"
#: The most persons, and files of one of them, that are looked at.
MOST_PERSONS, MOST_FILES = 1000, 4096
#: In a file of what is held: where what the agent writes begins, behind the line of the runner.
_BEGIN = 64
_MODE = 0o1777
_TRIES = 3
_ENTER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
_MAKE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW


class Unshared(Exception):
    """There is no directory to agree in. The message says why."""


class Hold:
    """What is held for one job, in a file of its own. Who has the file open keeps it.

    :ivar fd: of the file
    :ivar taken: its lock is had
    :ivar idle: no job uses it
    :ivar at: when it was last given, by the monotonic clock
    :ivar since: since when it was not measured, by the clock that began with the boot
    """

    def __init__(self, fd: int, path: str):
        self.fd, self.path = fd, path
        self.amounts: "dict[str, int]" = {}
        self.taken, self.idle = True, False
        self.at = self.since = 0.0

    def is_there(self) -> bool:
        """Tell whether others can still see it."""
        return system.fstat(self.fd).st_nlink > 0


def note_job(hold: "tuple[int, str] | None", pid: int, start: int) -> None:
    """Write down for which process something is held, should all of ours die before that.

    :param hold: descriptor and path of the file of what is held
    :param start: 0 where it is not known yet
    """
    if hold is not None:
        try:
            system.pwrite(hold[0], b"%-31d%-31d\n" % (pid, start), 0)
        except OSError:
            pass


def forget(hold: "tuple[int, str] | None") -> None:
    """Remove the file of what was held."""
    if hold is not None:
        files.unlink_quietly(hold[1])


def directory(here: str) -> "str | None":
    """Return where runs agree; ``None`` where a person wants that they do not.

    :param here: this boot, as :func:`procs.identity` tells it
    :raises Unshared: there can be no such place
    """
    said = system.environ().get(VARIABLE)
    if said is not None:
        if said and not said.startswith(b"/"):
            raise Unshared("%s is not an absolute path" % VARIABLE.decode("ascii"))
        return os.fsdecode(said) or None
    boot = here.partition(":")[0]
    if not boot:
        raise Unshared("this kernel does not tell which boot this is")
    return "/tmp/sshjobs-shared-%s" % boot


def agent_name() -> str:
    """Return what the files of this process begin with: pid namespace, pid, start."""
    me = procs.look(system.getpid())
    return "%d-%d-%d" % (procs.pid_namespace(), system.getpid(), me.start if me is not None else 0)


class Board:
    """The directory, as one agent uses it.

    :param path: of the directory
    :param name: see :func:`agent_name`
    """

    def __init__(self, path: str, name: str):
        self.path, self._name = path, name
        self._uid = system.getuid()
        #: The directory of our user.
        self.own = "%s/%d" % (path, self._uid)
        self._wish = -1
        self._next = 1

    # -- the directory ---------------------------------------------------------------------------------------------

    def enter(self) -> "int | None":
        """Take the lock under which is decided, and return its descriptor; closing that gives it back. ``None``:
        somebody has it. No process may be forked meanwhile, which would have it as well.

        :raises Unshared: there is no such directory, or it is not as it has to be
        :raises OSError: it cannot be told now
        """
        for _ in range(_TRIES):
            fd = self._open()
            try:
                system.lock(fd)
                there = system.stat(self.path, follow_symlinks=False)
                if there.st_ino == system.fstat(fd).st_ino:
                    return fd
            except FileNotFoundError:  # removed between the two
                pass
            except BlockingIOError:
                files.close_quietly(fd)
                return None
            except OSError:
                files.close_quietly(fd)
                raise
            files.close_quietly(fd)
        return None

    def _open(self) -> int:
        for _ in range(_TRIES):
            try:
                fd = system.open(self.path, _ENTER)
            except FileNotFoundError:
                self._make()
                continue
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.ENOTDIR):
                    raise Unshared("%s is not a directory" % self.path)
                raise
            mode = stat.S_IMODE(system.fstat(fd).st_mode)
            if mode & _MODE != _MODE:
                files.close_quietly(fd)
                raise Unshared("%s has the mode %o, not 1777" % (self.path, mode))
            return fd
        raise Unshared("%s does not stay" % self.path)

    def _make(self) -> None:
        before = system.umask(0)
        try:
            system.mkdir(self.path, _MODE)
        except FileExistsError:
            pass
        except FileNotFoundError as error:
            raise Unshared("%s: %s" % (self.path, error.strerror))
        finally:
            system.umask(before)

    def changed(self) -> "tuple[int, int]":
        """Return what differs once somebody has begun to wait, or has given back what somebody waits for."""
        found = system.stat(self.path, follow_symlinks=False)
        return found.st_ino, found.st_mtime_ns

    def touch(self) -> None:
        """Have all others look again."""
        system.utime(self.path)

    # -- what is ours ----------------------------------------------------------------------------------------------

    def hold(self) -> Hold:
        """Make a file for what is going to be held, and take its lock.

        :raises OSError: it cannot be made
        """
        for _ in range(_TRIES):
            path = "%s/%s.%d" % (self.own, self._name, self._next)
            self._next += 1
            fd = self._make_file(path)
            try:
                system.lock(fd)
                return Hold(fd, path)
            except OSError as error:
                files.close_quietly(fd)
                files.unlink_quietly(path)
                if not isinstance(error, BlockingIOError):  # somebody was quick to lock what we had just made
                    raise
        raise OSError(errno.EAGAIN, "somebody locks what we make", self.own)

    def _make_file(self, path: str) -> int:
        try:
            fd = system.open(path, _MAKE, 0o644)
        except FileNotFoundError:
            self._make_own()
            fd = system.open(path, _MAKE, 0o644)
        # Whatever the user's umask is: others must be able to see it.
        system.fchmod(fd, 0o644)
        return fd

    def _make_own(self) -> None:
        try:
            system.mkdir(self.own, 0o755)
        except FileExistsError:
            pass
        found = system.stat(self.own, follow_symlinks=False)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != self._uid or found.st_mode & 0o022:
            raise OSError(errno.EPERM, "it is not a directory of ours alone", self.own)
        system.chmod(self.own, 0o755)

    def write(self, hold: Hold, text: "dict[str, Any]") -> None:
        """Write down what is held, while the lock under which is decided is had.

        :raises OSError: it cannot be written
        """
        _write(hold.fd, text, _BEGIN)

    def take_again(self, hold: Hold) -> bool:
        """Take the lock of a file of ours once more; False where that cannot be had, or the file is gone."""
        try:
            if not hold.is_there():
                return False
            system.lock(hold.fd)
        except OSError:
            return False
        hold.taken = True
        return True

    @staticmethod
    def give_back(hold: Hold) -> None:
        """Hold it no more, though another process may have the file open too."""
        try:
            system.unlock(hold.fd)
        except OSError:
            pass
        note_job((hold.fd, hold.path), 0, 0)
        hold.taken, hold.amounts = False, {}

    @staticmethod
    def drop(hold: Hold) -> None:
        """Hold it no more, and never again."""
        Board.give_back(hold)
        files.unlink_quietly(hold.path)
        files.close_quietly(hold.fd)

    def wish(self, text: "dict[str, Any]") -> None:
        """Write down what is waited for.

        :raises OSError: it cannot be written
        """
        path = "%s/%s.w" % (self.own, self._name)
        if self._wish < 0:
            files.unlink_quietly(path)
            fd = self._make_file(path)
            try:
                system.lock(fd)
            except OSError:
                files.close_quietly(fd)
                raise
            self._wish = fd
        _write(self._wish, text, 0)

    def no_wish(self) -> None:
        """Wait for nothing any more."""
        if self._wish >= 0:
            files.unlink_quietly("%s/%s.w" % (self.own, self._name))
            files.close_quietly(self._wish)
            self._wish = -1

    def leave(self) -> None:
        """Remove what is ours and empty, and the directory where nobody else has anything in it."""
        self.no_wish()
        for path in (self.own, self.path):
            try:
                system.rmdir(path)
            except OSError:
                return

    # -- what others have written down ------------------------------------------------------------------------------

    def look(self) -> "tuple[list[Holding], list[Wish]]":
        """Return what others hold and what they wait for. The lock under which is decided must be had."""
        holdings: "list[Holding]" = []
        wishes: "list[Wish]" = []
        for person, place in self.persons():
            for path, text in self._files(person, place):
                if path.endswith(".w"):
                    wish = written.wish(person, path, text)
                    if wish is not None:
                        wishes.append(wish)
                else:
                    holding = written.holding(person, text)
                    if holding is not None:
                        holdings.append(holding)
        return holdings, wishes

    def persons(self) -> "list[tuple[int, str]]":
        """Return the users who have a directory here that nobody else can write to, with its path."""
        found = []
        try:
            for name in system.entries(self.path, MOST_PERSONS):
                if name.isdigit() and len(name) <= 10:
                    path = "%s/%s" % (self.path, name)
                    there = system.stat(path, follow_symlinks=False)
                    if stat.S_ISDIR(there.st_mode) and there.st_uid == int(name) and not there.st_mode & 0o022:
                        found.append((int(name), path))
        except FileNotFoundError:  # removed since
            pass
        return found

    def _files(self, person: int, place: str) -> "list[tuple[str, dict[str, Any]]]":
        """Return what the files of a person say that count, with their paths."""
        found = []
        try:
            names = system.entries(place, MOST_FILES)
        except OSError:  # removed since, or not for us to see
            return []
        for name in names:
            if name in NAMES:
                continue
            if person != self._uid or not name.startswith(self._name + "."):
                text = self._read("%s/%s" % (place, name), person)
                if text is not None:
                    found.append(("%s/%s" % (place, name), text))
        return found

    def _read(self, path: str, person: int) -> "dict[str, Any] | None":
        """Return what a file says; ``None`` where it does not count, or is none of ours."""
        try:
            fd = system.open(path, _READ)
        except OSError:
            return None
        try:
            found = system.fstat(fd)
            if not stat.S_ISREG(found.st_mode) or found.st_uid != person:
                return None
            data = system.pread(fd, MOST_BYTES, 0)
            if not self._counts(fd, path, person, data):
                return None
            return written.parse(data if path.endswith(".w") else data[_BEGIN:])
        except OSError:
            return None
        finally:
            files.close_quietly(fd)

    def _counts(self, fd: int, path: str, person: int, data: bytes) -> bool:
        """Tell whether a file is held by somebody; one of ours whose agent is dead as well is removed."""
        try:
            system.lock(fd)
        except BlockingIOError:
            return True
        system.unlock(fd)
        space, pid, start = _agent_of(path)
        if space != procs.pid_namespace():
            return False  # We could not see its processes.
        words = data[:_BEGIN - 1].split()
        if not path.endswith(".w") and len(words) == 2 and _lives(words, person):
            return True
        if person == self._uid and not procs.lives(pid, start):
            files.unlink_quietly(path)
        return False


def _agent_of(path: str) -> "tuple[int, int, int]":
    numbers = os.path.basename(path).partition(".")[0].split("-")
    if len(numbers) != 3 or not all(one.isdigit() and len(one) < 20 for one in numbers):
        return 0, 0, 0
    return int(numbers[0]), int(numbers[1]), int(numbers[2])


def _lives(words: "list[bytes]", person: int) -> bool:
    """Tell whether the process of a job lives, and is of the person who says so."""
    if not all(word.isdigit() and len(word) < 20 for word in words) or words[0] == b"0":
        return False
    pid, start = int(words[0]), int(words[1])
    proc = procs.look(pid) if pid < 1 << 31 else None
    return (proc is not None and not proc.dead and proc.start == (start or proc.start)
            and system.owner_of(pid) == person)


def _write(fd: int, text: "dict[str, Any]", offset: int) -> None:
    data = written.line(text)
    if offset + len(data) > MOST_BYTES:
        raise OSError(errno.EMSGSIZE, "there is too much to write down")
    system.pwrite(fd, data, offset)
