"""Where things are on a host: the root, the directory of one run on one host, and what lies in it."""

import errno
import os
import stat

from . import files, system
from .trees import remove_tree, removing

MYPY = False
if MYPY:
    from typing import AnyStr, Iterator

#: Bits of a mode that let others put something into a directory.
_OTHERS_WRITE = 0o022
#: Flags of every file that is made: it must be new, and no link can lead elsewhere.
NEW = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_WRONLY
#: Mode of a directory in which no job is ever started. It comes with the directory, so no kill can part the two.
_FENCED = 0o500

#: How names of files begin that are made to see whether that is possible.
_TRY = ".try-"
#: How many directories are made above one that is wanted: no path is longer.
_DEEPEST = 2048
_SHORT = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EINTR)


class Unusable(Exception):
    """A directory cannot be used. ``kind`` is a short fixed word, the rest is for people.

    :ivar planted: somebody else may have seen to that
    """

    def __init__(self, kind: str, why: str, hint: str):
        super().__init__(why)
        self.kind, self.why, self.hint = kind, why, hint
        self.planted = kind in ("not-ours", "not-a-directory")


class Places:
    """The directory of one run on one host.

    :param root: of all of ours on this host
    :param run: the run's 32 hex digits
    :param host: first 16 hex digits of sha256 of the host's name
    :ivar own_root: the root is nobody's but ours
    :ivar notice: what a person is to know of where it is
    """

    def __init__(self, root: str, run: str, host: str):
        self.root = root
        self.own_root = True
        self.notice: "str | None" = None
        self.run = os.path.join(root, run)
        self.base = os.path.join(self.run, host)
        self.work = self.base + "/w"
        self.outputs = self.base + "/o"
        self.blobs = self.base + "/b"
        self.journals = self.base + "/j"
        self.lease = self.base + "/lease"
        self.agent = self.base + "/agent"

    def make(self) -> None:
        """Make what is missing.

        :raises OSError: it cannot be made
        """
        for path in (self.base, self.work, self.outputs, self.blobs, self.journals):
            try:
                system.mkdir(path, 0o700)
            except FileExistsError:
                pass

    def is_used(self) -> bool:
        """Return whether something of the run was here before. What only its owner may list, was.

        :raises OSError: that cannot be seen now
        """
        try:
            return any(not name.startswith(_TRY) for name in system.listdir(self.journals))
        except OSError as error:
            if error.errno in files.GONE:
                return False
            if isinstance(error, PermissionError):
                return True
            raise

    def unmake(self) -> None:
        """Remove what was made in vain."""
        for path in (self.work, self.outputs, self.blobs, self.journals, self.base):
            try:
                system.rmdir(path)
            except OSError:
                continue
        self.remove_empty_parents()

    def restore(self) -> None:
        """Make again what somebody has deleted.

        :raises OSError: it cannot be made
        :raises Unusable: something else stands in its place
        """
        # Where everybody may write, somebody else may have been faster.
        if not _is_directory(self.root) or os.path.dirname(self.root) == "/var/tmp":
            own_directory(self.root)
        own_directory(self.run)
        self.make()

    def cwd(self, uid: str) -> str:
        """The working directory of an attempt. Making it is the claim."""
        return self.work + "/" + uid

    def fence(self, uid: str) -> None:
        """Make the directory of an attempt, so that nobody else can, and so that it shows why.

        :raises OSError: it cannot be made; a :class:`FileExistsError`: it is there
        """
        system.mkdir(self.cwd(uid), _FENCED)

    def is_fenced(self, uid: str) -> bool:
        """Return whether the directory of an attempt is there because of a fence.

        :raises OSError: that cannot be seen now
        """
        try:
            found = system.stat(self.cwd(uid), follow_symlinks=False)
        except OSError as error:
            if error.errno in files.GONE:
                return False
            raise
        # A directory may have other bits from the one that it is in.
        return stat.S_ISDIR(found.st_mode) and found.st_mode & 0o777 == _FENCED

    def stream(self, uid: str, number: int) -> str:
        """The file of an attempt's stdout (1) or stderr (2)."""
        return self.outputs + "/" + uid + (".out" if number == 1 else ".err")

    def rest(self, uid: str) -> str:
        """The directory of what came behind the first half of an output with a limit, see :mod:`gjob.headtail`."""
        return self.outputs + "/" + uid + ".rest"

    def script(self, uid: str) -> str:
        """The file of an attempt's script."""
        return self.outputs + "/" + uid + ".sh"

    def blob(self, sha: str) -> str:
        """The file of an input."""
        return self.blobs + "/" + sha

    def size(self, uid: str, number: int) -> int:
        """Bytes in an attempt's stdout (1) or stderr (2), 0 where there is no file, or something else in its place.

        :raises OSError: that cannot be seen now
        """
        try:
            found = system.stat(self.stream(uid, number), follow_symlinks=False)
        except OSError as error:
            if error.errno in files.GONE:
                return 0
            raise
        return found.st_size if stat.S_ISREG(found.st_mode) else 0

    def remove_empty_parents(self) -> int:
        """Remove the run's directory and the root, where nothing else is in them and the root is our own idea; return
        how many are left although nothing else is in them."""
        for path in (self.run, self.root) if self.own_root else (self.run,):
            for last in (False, True):
                try:
                    system.rmdir(path)
                    break
                except OSError as error:
                    if error.errno not in _SHORT + (errno.EIO, errno.ENOSPC, errno.EDQUOT):
                        return 0
                    if last:
                        return 1
        return 0

    def discard(self, uid: str) -> None:
        """Delete all files of an attempt, as far as that is possible."""
        for _ in self.discarding(uid):
            pass

    def discarding(self, uid: str) -> "Iterator[int]":
        """Do what :meth:`discard` does, a piece at a time."""
        try:
            system.rmdir(self.cwd(uid))
        except OSError:
            for left in removing(self.cwd(uid)):
                yield left
        self.discard_outputs(uid)

    def discard_outputs(self, uid: str) -> None:
        """Delete what an attempt wrote to its outputs, and its script."""
        for path in (self.stream(uid, 1), self.stream(uid, 2), self.script(uid)):
            try:
                system.unlink(path)
            except OSError:
                pass
        try:
            system.rmdir(self.rest(uid))
        except OSError as error:
            if error.errno not in files.GONE:
                remove_tree(self.rest(uid))

    def clearing(self, kept: "set[str]") -> "Iterator[int]":
        """Delete everything but the directories of some attempts, and the journals where there are such: a piece at a
        time. Yield how much could not be deleted so far, at the end once more."""
        paths = [self.base]
        if kept:
            paths = [os.path.join(self.base, name) for name in system.listdir(self.base) if name not in ("w", "j")]
            paths += [self.cwd(name) for name in system.listdir(self.work) if name not in kept]
        before = left = 0
        for path in paths:
            for left in removing(path):
                yield before + left
            before += left
        yield before


def find(root: "str | None", run: str, host: str) -> Places:
    """Return the places of a run, made where they are missing; where there are some already, those.

    :param root: where the user wants it; ``None`` is ``~/.sshjobs``, or below /var/tmp if the home cannot be written
    :raises Unusable: nowhere
    """
    shared = usual_roots()[-1]
    candidates = [root] if root is not None else usual_roots()
    # What is there already knows what has run here: while it cannot be written, nothing else takes its place. What
    # was once made in vain, and could not be removed, knows nothing.
    there = [path for path in candidates if _is_directory(Places(path, run, host).base)]
    candidates = [path for path in there if Places(path, run, host).is_used()] or there or candidates
    trouble = None
    for path in candidates:
        places = Places(path, run, host)
        try:
            if path == root:
                places.own_root = make_directories(root)
            else:
                own_directory(path, follow=path != shared)
            own_directory(places.run)
            places.make()
            _try_writing(places.journals)
            if trouble is not None and trouble.planted:
                places.notice = "its files are in %s, because %s; %s" % (path, trouble.why, trouble.hint)
            return places
        except OSError as error:
            places.unmake()
            if error.errno in _SHORT:  # nothing is wrong with this place: who comes again finds it
                raise
            trouble = trouble or Unusable(_kind(error), "%s: %s" % (error.filename or path, error.strerror),
                                           _hint(error))
        except Unusable as error:
            trouble = trouble or error
    assert trouble is not None
    raise trouble


def usual_roots() -> "list[str]":
    """Return where a root is when nobody says where: in the home, else where everybody may write."""
    home = os.fsdecode(system.environ().get(b"HOME", b"")) or _home()
    return [os.path.join(home, ".sshjobs"), "/var/tmp/sshjobs-%d" % system.getuid()]


def is_in_home(root: str) -> bool:
    """Tell whether a root is the usual one in the home."""
    return root == usual_roots()[0]


def _is_directory(path: str) -> bool:
    """True when a directory is there. One that we cannot see for want of something else than it, is."""
    try:
        return stat.S_ISDIR(system.stat(path).st_mode)
    except OSError as error:
        if error.errno in files.GONE or isinstance(error, PermissionError):
            return False
        raise


def _home() -> str:
    import pwd

    try:
        return pwd.getpwuid(system.getuid()).pw_dir
    except KeyError:
        return "/nonexistent"


def _kind(error: OSError) -> str:
    return "disk-full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "read-only"


def _hint(error: OSError) -> str:
    if _kind(error) == "disk-full":
        return "make room in the home directory or in /var/tmp there"
    return "make the home directory or /var/tmp there writable"


def _try_writing(directory: str) -> None:
    """Write a few bytes: a full disk still lets directories be found, and some let empty files be made."""
    path = "%s/%s%d" % (directory, _TRY, system.getpid())
    fd = system.open(path, NEW, 0o600)
    try:
        system.write(fd, b"room?")
    finally:
        files.close_quietly(fd)
        system.unlink(path)


def make_directories(path: "AnyStr") -> bool:
    """Make a directory and those above it; True when it was not there.

    :raises OSError: it cannot be made, or is none
    """
    missing, tried = [path], {path}
    while missing:
        try:
            system.mkdir(missing[-1], 0o700)
        except FileExistsError:
            if len(missing) == 1:
                return False
        except FileNotFoundError:
            above = os.path.dirname(missing[-1])
            if len(missing) > _DEEPEST or not above or above in tried:
                raise
            missing.append(above)
            tried.add(above)
            continue
        missing.pop()
    return True


def own_directory(path: str, follow: bool = False) -> None:
    """Make a directory that only we can enter, or see that it is one.

    Where others could read, that is ended; where others could write, nothing in it is to be trusted any more.

    :param follow: a symbolic link is fine (in our own home nobody else can have put it)
    :raises OSError: it cannot be made
    :raises Unusable: it is another's, or others may write to it, or it is not a directory
    """
    try:
        system.mkdir(path, 0o700)
        return
    except FileExistsError:
        pass
    found = system.stat(path) if follow else system.stat(path, follow_symlinks=False)
    if not stat.S_ISDIR(found.st_mode):
        raise Unusable("not-a-directory", "%s is not a directory" % path, "remove it")
    if found.st_uid != system.getuid():
        raise Unusable("not-ours", "%s belongs to user %d" % (path, found.st_uid), "have it removed")
    if found.st_mode & _OTHERS_WRITE:
        raise Unusable("not-ours", "others may write to %s" % path,
                       "see whether all in it is yours, then there: chmod go-w %s" % path)
    if found.st_mode & 0o077:
        system.chmod(path, 0o700)


def is_own(path: str) -> bool:
    """Tell whether a directory is there that nobody else can have put anything into. Changes nothing."""
    try:
        found = system.stat(path, follow_symlinks=False)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == system.getuid() and not found.st_mode & _OTHERS_WRITE
