"""Where things are on a host: the root, the directory of one run on one host, and what lies in it."""

import os
import stat

MYPY = False
if MYPY:
    from typing import Iterator

#: Bits of a mode that let others put something into a directory.
_OTHERS_WRITE = 0o022
#: Flags of every file that is made: it must be new, and no link can lead elsewhere.
NEW = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_WRONLY


class Unusable(Exception):
    """A directory cannot be used. ``kind`` is a short fixed word, the rest is for people."""

    def __init__(self, kind: str, why: str, hint: str):
        super().__init__(why)
        self.kind, self.why, self.hint = kind, why, hint


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

    def make(self) -> None:
        """Make what is missing.

        :raises OSError: it cannot be made
        """
        for path in (self.base, self.work, self.outputs, self.blobs, self.journals):
            try:
                os.mkdir(path, 0o700)
            except FileExistsError:
                pass

    def restore(self) -> None:
        """Make again what somebody has deleted.

        :raises OSError: it cannot be made
        :raises Unusable: something else stands in its place
        """
        # Where everybody may write, somebody else may have been faster.
        if not os.path.isdir(self.root) or os.path.dirname(self.root) == "/var/tmp":
            own_directory(self.root)
        own_directory(self.run)
        self.make()

    def cwd(self, uid: str) -> str:
        """The working directory of an attempt. Making it is the claim."""
        return self.work + "/" + uid

    def stream(self, uid: str, number: int) -> str:
        """The file of an attempt's stdout (1) or stderr (2)."""
        return self.outputs + "/" + uid + (".out" if number == 1 else ".err")

    def script(self, uid: str) -> str:
        """The file of an attempt's script."""
        return self.outputs + "/" + uid + ".sh"

    def blob(self, sha: str) -> str:
        """The file of an input."""
        return self.blobs + "/" + sha

    def size(self, uid: str, number: int) -> int:
        """Bytes in an attempt's stdout (1) or stderr (2), 0 where there is no file."""
        try:
            return os.stat(self.stream(uid, number)).st_size
        except OSError:
            return 0

    def remove_empty_parents(self) -> None:
        """Remove the run's directory and the root, where nothing else is in them and the root is our own idea."""
        for path in (self.run, self.root) if self.own_root else (self.run,):
            try:
                os.rmdir(path)
            except OSError:
                return

    def discard(self, uid: str) -> None:
        """Delete all files of an attempt, as far as that is possible."""
        try:
            os.rmdir(self.cwd(uid))
        except OSError:
            remove_tree(self.cwd(uid))
        for path in (self.stream(uid, 1), self.stream(uid, 2), self.script(uid)):
            try:
                os.unlink(path)
            except OSError:
                pass


def find(root: "str | None", run: str, host: str) -> Places:
    """Return the places of a run, made where they are missing; where there are some already, those.

    :param root: where the user wants it; ``None`` is ``~/.sshjobs``, or below /var/tmp if the home cannot be written
    :raises Unusable: nowhere
    """
    shared = usual_roots()[-1]
    candidates = [root] if root is not None else usual_roots()
    # What is there already knows what has run here: while it cannot be written, nothing else takes its place.
    candidates = [path for path in candidates if os.path.isdir(Places(path, run, host).base)] or candidates
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
            if trouble is not None and trouble.kind == "not-ours":
                places.notice = "its files are in %s, because %s; %s" % (path, trouble.why, trouble.hint)
            return places
        except OSError as error:
            trouble = trouble or Unusable(_kind(error), "%s: %s" % (error.filename or path, error.strerror),
                                           _hint(error))
        except Unusable as error:
            trouble = trouble or error
    assert trouble is not None
    raise trouble


def usual_roots() -> "list[str]":
    """Return where a root is when nobody says where: in the home, else where everybody may write."""
    home = os.environ.get("HOME") or _home()
    return [os.path.join(home, ".sshjobs"), "/var/tmp/sshjobs-%d" % os.getuid()]


def _home() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return "/nonexistent"


def _kind(error: OSError) -> str:
    import errno

    return "disk-full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "read-only"


def _hint(error: OSError) -> str:
    if _kind(error) == "disk-full":
        return "make room in the home directory or in /var/tmp there"
    return "make the home directory or /var/tmp there writable"


def _try_writing(directory: str) -> None:
    """Write a few bytes: a full disk still lets directories be found, and some let empty files be made."""
    path = "%s/.try-%d" % (directory, os.getpid())
    fd = os.open(path, NEW, 0o600)
    try:
        os.write(fd, b"room?")
    finally:
        os.close(fd)
        os.unlink(path)


def make_directories(path: str) -> bool:
    """Make a directory and those above it; True when it was not there."""
    try:
        os.makedirs(path, 0o700)
        return True
    except FileExistsError:
        return False


def own_directory(path: str, follow: bool = False) -> None:
    """Make a directory that only we can enter, or see that it is one.

    Where others could read, that is ended; where others could write, nothing in it is to be trusted any more.

    :param follow: a symbolic link is fine (in our own home nobody else can have put it)
    :raises OSError: it cannot be made
    :raises Unusable: it is another's, or others may write to it, or it is not a directory
    """
    try:
        os.mkdir(path, 0o700)
        return
    except FileExistsError:
        pass
    found = os.stat(path) if follow else os.lstat(path)
    if not stat.S_ISDIR(found.st_mode):
        raise Unusable("not-a-directory", "%s is not a directory" % path, "remove it")
    if found.st_uid != os.getuid():
        raise Unusable("not-ours", "%s belongs to user %d" % (path, found.st_uid), "have it removed")
    if found.st_mode & _OTHERS_WRITE:
        raise Unusable("not-ours", "others may write to %s" % path,
                       "see whether all in it is yours, then there: chmod go-w %s" % path)
    if found.st_mode & 0o077:
        os.chmod(path, 0o700)


def is_own(path: str) -> bool:
    """Tell whether a directory is there that nobody else can have put anything into. Changes nothing."""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & _OTHERS_WRITE


def remove_tree(path: str) -> int:
    """Delete a directory and all in it without following a link; return how many things could not be deleted.

    Directories that a job made read-only are made writable first.
    """
    try:
        found = os.lstat(path)
    except OSError:
        return 0
    if not stat.S_ISDIR(found.st_mode):
        return _remove(os.unlink, path, None)
    try:
        parent = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return 1
    try:
        return _remove_directory(os.path.basename(path), parent)
    finally:
        os.close(parent)


def _remove_directory(name: str, parent: int) -> int:
    """Delete a directory below an open one. Names are looked up in open directories only, so no link leads out."""
    try:
        fd = _enter(name, parent)
    except OSError:
        return _remove(os.rmdir, name, parent)
    left = 0
    try:
        for entry in list(_entries(fd)):
            try:
                is_directory = stat.S_ISDIR(os.stat(entry, dir_fd=fd, follow_symlinks=False).st_mode)
            except OSError:
                continue
            left += _remove_directory(entry, fd) if is_directory else _remove(os.unlink, entry, fd)
    finally:
        os.close(fd)
    return left + _remove(os.rmdir, name, parent)


def _enter(name: str, parent: int) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    try:
        fd = os.open(name, flags, dir_fd=parent)
    except PermissionError:
        # Not a link: what is no directory any more fails in the open below.
        os.chmod(name, 0o700, dir_fd=parent)
        fd = os.open(name, flags, dir_fd=parent)
    if os.fstat(fd).st_mode & 0o300 != 0o300:
        os.fchmod(fd, 0o700)
    return fd


def _entries(fd: int) -> "Iterator[str]":
    return iter(os.listdir(fd))


def _remove(how: "object", name: str, parent: "int | None") -> int:
    assert callable(how)
    try:
        how(name, dir_fd=parent)
    except FileNotFoundError:
        return 0
    except OSError:
        return 1
    return 0
