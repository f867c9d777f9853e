"""Starting a job: its input files, its environment, its program; and in words why it cannot be started."""

import errno
import os
import stat
import sys

from . import files, result, room, seals, system, wire
from .jobkeys import CHANGES, Start
from .places import NEW, Places, make_directories
from .values import FIXED, LINK, to_bytes

MYPY = False
if MYPY:
    from typing import Any, Callable

    from .calls import ForkServer

_DEFAULT_PATH = os.fsencode(os.defpath)


#: Why a job was not started: its host has no room now; the job itself is wrong; something else is wrong with the host.
NO_ROOM, CANNOT_START, START_FAILED = "no_room", "cannot_start", "start_failed"


class StartError(Exception):
    """No process was started. The message says why.

    :ivar kind: the ``why`` of the attempt's end: one of the three above
    :ivar missing: there is no such program
    """

    def __init__(self, why: str, kind: str = START_FAILED, missing: bool = False):
        super().__init__(why)
        self.kind, self.missing = kind, missing


class Starter:
    """Starts jobs in one slot.

    :param environ: the login's environment, as bytes
    :param run: name of the run
    :param host: the host's name, as the manager knows it
    :param slot: from 1
    """

    def __init__(self, places: Places, environ: "dict[bytes, bytes]", run: str, host: str, slot: int):
        self._places = places
        self._environ = {key: value for key, value in environ.items() if not key.startswith(b"SSHJOBS_")}
        self._environ.update({b"SSHJOBS_RUN": to_bytes(run), b"SSHJOBS_HOST": to_bytes(host),
                              b"SSHJOBS_SLOT": b"%d" % slot})
        self._null = system.open(os.devnull, os.O_RDWR)
        #: Whether orphans become our children, which a fork server needs; the fork server, once there is one.
        self.forks_calls = False
        self._server: "ForkServer | None" = None
        #: What the process of the next job does first, as in :attr:`Start.before`.
        self.first: "list[tuple[str, Any]]" = []
        #: True when the start is not worth waiting for any longer: the job was cancelled, or its time is over.
        self.hurried: "Callable[[], bool]" = lambda: False
        #: Where programs were found, by name and PATH.
        self._found: "dict[tuple[bytes, bytes], bytes]" = {}

    def start(self, launch: "dict[str, Any]", out: int, err: int) -> int:
        """Start the main process of a claimed attempt and return its pid.

        :param launch: a launch frame, checked
        :param out: file descriptor for its stdout
        :param err: file descriptor for its stderr
        :raises StartError: it cannot be started; nothing of it runs
        """
        spec = launch["spec"]
        home = self._places.cwd(launch["id"])
        try:
            self._place_files(self._files(spec), home)
            env = self._env(launch)
            start = Start(self._argv(launch["id"], spec, env), env)
            start.before += self.first
            for key in spec:
                if key in CHANGES:
                    CHANGES[key](start, spec[key])
            cwd = self._cwd(spec.get("cwd"), home, env)
            stdin = self._stdin(spec.get("stdin"))
        except UnicodeEncodeError:
            raise StartError("text that stands for no bytes: a lone surrogate", CANNOT_START)
        try:
            if "call" in spec:
                return self._call(spec["call"], home, start, cwd, (stdin, out, err))
            return self._spawn(start, cwd, (stdin, out, err))
        finally:
            if stdin != self._null:
                files.close_quietly(stdin)

    # -- calls ---------------------------------------------------------------------------------------------------------

    @property
    def server_pid(self) -> int:
        """The fork server's pid, 0 where there is none."""
        return 0 if self._server is None else self._server.pid

    def go(self) -> None:
        """Let a call begin whose start is written down."""
        if self._server is not None:
            self._server.go()

    def is_all_that_is_left(self) -> bool:
        """True when this process has no child but the fork server."""
        return self._server is not None and self._server.alone()

    def reaped(self, pid: int) -> None:
        """Note that a child other than a main process has ended."""
        if self._server is not None:
            self._server.reaped(pid)

    def end(self) -> None:
        """End the fork server: no more jobs are started here."""
        if self._server is not None:
            self._server.end()

    def _spawn(self, start: Start, cwd: bytes, stdio: "tuple[int, int, int]") -> int:
        argv, env = start.argv, start.env
        try:
            # The child inherits it, and a relative path of the program counts from there.
            system.chdir(cwd)
        except OSError as error:
            if room.passes(error):
                raise StartError(room.words(error, self._places.root), NO_ROOM)
            raise StartError("cannot work in %s: %s" % (os.fsdecode(cwd), error.strerror), CANNOT_START)
        try:
            return system.spawn(self._program(argv[0], env), argv, env, stdio, start.before)
        except ValueError as error:
            raise StartError(str(error), CANNOT_START)
        except OSError as error:
            if room.passes(error):
                raise StartError(room.words(error, self._places.root), NO_ROOM)
            from . import unstartable  # only where there is something to explain

            raise StartError(unstartable.program(error, argv[0], env), CANNOT_START,
                             unstartable.is_missing(error, argv[0]))
        finally:
            _leave()

    def _call(self, wanted: str, home: str, start: Start, cwd: bytes, stdio: "tuple[int, int, int]") -> int:
        """Have the fork server fork a call; where that fails, start it like any program.

        :param wanted: the Python version that the call needs
        """
        from . import calls  # only where there are calls

        if wanted != calls.python() or not sys.executable:
            raise StartError("python here is %s, and the calls need %s: name one by python= in the hosts file"
                             % (calls.python(), wanted))
        start.argv[0] = os.path.join(os.fsencode(home), start.argv[0])
        if self.forks_calls:
            if self._server is None:
                self._server = calls.ForkServer(self._null, lambda: self.hurried())
            pid = self._server.start(start, cwd, stdio)
            if pid:
                return pid
        start.argv.insert(0, os.fsencode(sys.executable))
        return self._spawn(start, cwd, stdio)

    def _program(self, program: bytes, env: "dict[bytes, bytes]") -> bytes:
        """Return the path of a program. It is looked up before the fork: a process that fails to load its program looks
        like a running job for a moment."""
        if b"/" in program:
            return program
        path = env.get(b"PATH", _DEFAULT_PATH)
        found = self._found.get((program, path))
        if found is None or not _is_file(found):
            found = _find(program, env)
            if found is None:
                raise FileNotFoundError(errno.ENOENT, "not found")
            self._found[program, path] = found
        return found

    def _env(self, launch: "dict[str, Any]") -> "dict[bytes, bytes]":
        env = dict(self._environ)
        for name, value in (launch["spec"].get("env") or {}).items():
            env[to_bytes(name)] = to_bytes(value)
        env[b"SSHJOBS_JOB"] = to_bytes(launch["job"])
        env[b"SSHJOBS_ATTEMPT"] = launch["id"].partition(".")[2].encode("ascii")
        env[b"SSHJOBS_INDEX"] = b"%d" % launch["index"]
        env[b"SSHJOBS_TOKEN"] = launch["token"].encode("ascii")
        env[b"SSHJOBS_RESULT_FILE"] = os.fsencode(result.path(self._places.cwd(launch["id"])))
        return env

    def _argv(self, uid: str, spec: "dict[str, Any]", env: "dict[bytes, bytes]") -> "list[bytes]":
        if "argv" in spec:
            return [to_bytes(word) for word in spec["argv"]]
        # A wrapper, such as a container, may have a bash of its own.
        bash = b"bash" if "wrap" in spec else _find(b"bash", env)
        if bash is None:
            raise StartError("no such program: bash (a script needs it); PATH is %s"
                             % os.fsdecode(env.get(b"PATH", b"not set")), CANNOT_START, missing=True)
        strict, login = spec.get("strict", True), spec.get("login", False)
        text = to_bytes(spec["script"])
        if login and strict:
            # Not by -e: the user's start-up files were not written for it. On the first line, so that the
            # numbers of lines in messages stay right.
            text = b"set -e -o pipefail; " + text
        path = self._places.script(uid)
        try:
            fd = system.open(path, NEW, 0o600)
            try:
                files.write_all(fd, text)
            finally:
                system.close(fd)
        except OSError as error:
            raise self._not_placed("the script cannot be written", error)
        flags = [b"-l"] if login else [b"-e", b"-o", b"pipefail"] if strict else []
        return [bash] + flags + [os.fsencode(path)]

    def _cwd(self, cwd: "str | None", home: str, env: "dict[bytes, bytes]") -> bytes:
        if cwd is None:
            return os.fsencode(home)
        path = to_bytes(cwd)
        if path == b"~" or path.startswith(b"~/"):
            path = env.get(b"HOME", b"/") + path[1:]
        path = os.path.join(os.fsencode(home), path)
        try:
            there = stat.S_ISDIR(system.stat(path).st_mode)
        except OSError as error:
            if room.passes(error):
                raise
            there = False
        if not there:
            from . import unstartable  # only where there is something to explain

            raise StartError(unstartable.directory(cwd, path), CANNOT_START)
        return path

    def _stdin(self, sha: "str | None") -> int:
        if sha is None:
            return self._null
        try:
            return seals.open_whole(self._places.blob(sha), sha)
        except OSError as error:
            raise self._not_placed("its standard input is not here", error, sha)

    def _not_placed(self, what: str, error: OSError, sha: "str | None" = None) -> StartError:
        """Return the error of a file that could not be placed. Where the input itself is missing (the disk was full, or
        somebody deleted it), the kind is NO_ROOM: it is sent again, and the job started again."""
        if room.passes(error):
            return StartError(room.words(error, self._places.root), NO_ROOM)
        gone = sha is not None and not files.exists(self._places.blob(sha))
        return StartError("%s: %s" % (what, error.strerror), NO_ROOM if gone else START_FAILED)

    def _files(self, spec: "dict[str, Any]") -> "list[list[Any]]":
        sha = spec.get("listing")
        if sha is None:
            return spec.get("files") or []
        try:
            fd = seals.open_whole(self._places.blob(sha), sha)
            try:
                return wire.parse_listing(files.read_all(fd))
            finally:
                files.close_quietly(fd)
        except OSError as error:
            raise self._not_placed("the list of its input files is not here", error, sha)
        except wire.WireError as error:
            raise StartError("the list of its input files cannot be read: %s" % error)

    def _place_files(self, inputs: "list[list[Any]]", home: str) -> None:
        """Place the input files. Links come after all files, so that no file is written through a link; modes of
        directories come last, so that files can be placed in read-only ones."""
        directories, made = [], {os.fsencode(home)}
        for path, sha, mode in sorted(inputs, key=_is_link):
            target = os.path.join(os.fsencode(home), to_bytes(path))
            directory = target if sha is None else os.path.dirname(target)
            try:
                if directory not in made:
                    make_directories(directory)
                    made.add(directory)
                if sha is None:
                    directories.append((target, mode & 0o777))
                elif mode == LINK:
                    system.symlink(to_bytes(sha), target)
                elif mode == FIXED and path != result.NAME:
                    _link(self._places.blob(sha), sha, target)
                else:
                    _copy(self._places.blob(sha), sha, target, 0o400 if mode == FIXED else mode & 0o777)
            except OSError as error:
                raise self._not_placed("the input file %s cannot be placed" % path, error,
                                       None if mode == LINK else sha)
        for target, mode in sorted(directories, reverse=True):
            try:
                system.chmod(target, mode)
            except OSError as error:
                raise self._not_placed("the directory %s cannot be placed" % os.fsdecode(target), error)
        if any(path.partition("/")[0] == result.NAME for path, _, _ in inputs):
            self._mark_result(home)

    def _mark_result(self, home: str) -> None:
        """Mark an input file that has the name of the result: it counts as a result only if the job writes to it."""
        target = result.path(home)
        try:
            if files.kind(target, follow=False) == files.LINK:
                system.utime(target, (result.PLACED, result.PLACED), follow_symlinks=False)
            else:
                system.utime(target, (result.PLACED, result.PLACED))
        except OSError as error:
            raise self._not_placed("the input file %s cannot be placed" % result.NAME, error)


def _is_link(item: "list[Any]") -> bool:
    return bool(item[2] == LINK)


def _leave() -> None:
    """Leave the job's directory, so that it can be deleted. No error: the job may run already."""
    try:
        system.chdir("/")
    except OSError:
        pass


def _copy(source: str, sha: str, target: bytes, mode: int) -> None:
    reading = seals.open_whole(source, sha)
    try:
        writing = system.open(target, NEW, 0o600)
        try:
            system.fill(writing, reading)
            system.fchmod(writing, mode)
        finally:
            system.close(writing)
    finally:
        files.close_quietly(reading)


def _link(source: str, sha: str, target: bytes) -> None:
    """Place an input as a hard link, which takes no room; where that is impossible, as a read-only copy."""
    files.close_quietly(seals.open_whole(source, sha))
    try:
        system.link(source, target, follow_symlinks=False)
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EMLINK, errno.EPERM, errno.ENOTSUP):
            raise
        _copy(source, sha, target, 0o400)


def _find(program: bytes, env: "dict[bytes, bytes]") -> "bytes | None":
    for directory in env.get(b"PATH", _DEFAULT_PATH).split(b":"):
        path = os.path.join(directory or b".", program)
        if _is_file(path) and system.access(path, os.X_OK):
            return path
    return None


def _is_file(path: bytes) -> bool:
    try:
        return stat.S_ISREG(system.stat(path).st_mode)
    except OSError as error:
        if room.passes(error):
            raise
        return False
