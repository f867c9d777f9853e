"""Starting a job: its directory filled, its environment, its program; what is in the way said in words."""

import errno
import os

from . import room, wire
from .light import signal
from .places import NEW, Places

MYPY = False
if MYPY:
    from typing import Any

_COPY = 1 << 26
#: From Python 3.8.
_copy_file_range: "Any" = getattr(os, "copy_file_range", None)
_CANNOT_SHARE = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM)
_DEFAULT_PATH = os.fsencode(os.defpath)
#: From Python 3.8, and only with a C library that can make a session on the way.
_posix_spawn: "Any" = getattr(os, "posix_spawn", None)
_DUP2: int = getattr(os, "POSIX_SPAWN_DUP2", 0)
#: What Python itself ignores and programs expect as it was.
_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ)


#: Whose fault it is that a job was not started: its host's, which has no room for it now; its own, so that it cannot be
#: started as it is; its host's in another way.
NO_ROOM, CANNOT_START, START_FAILED = "no_room", "cannot_start", "start_failed"


class StartError(Exception):
    """No process came to be. The message says why.

    :ivar kind: the ``why`` of the attempt's end: one of the three above
    """

    def __init__(self, why: str, kind: str = START_FAILED):
        super().__init__(why)
        self.kind = kind


class Starter:
    """Starts jobs in one slot.

    :param places: where things are
    :param environ: the login's environment, as bytes
    :param run: name of the run
    :param host: the host's name, as the manager knows it
    :param slot: from 1
    """

    def __init__(self, places: Places, environ: "dict[bytes, bytes]", run: str, host: str, slot: int):
        self._places = places
        self._environ = {key: value for key, value in environ.items() if not key.startswith(b"SSHJOBS_")}
        self._environ.update({b"SSHJOBS_RUN": wire.to_bytes(run), b"SSHJOBS_HOST": wire.to_bytes(host),
                              b"SSHJOBS_SLOT": b"%d" % slot})
        self._null = os.open(os.devnull, os.O_RDWR)
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
            argv = self._argv(launch["id"], spec, env)
            cwd = self._cwd(spec.get("cwd"), home, env)
            stdin = self._stdin(spec.get("stdin"))
        except UnicodeEncodeError:
            raise StartError("text that stands for no bytes: a lone surrogate", CANNOT_START)
        try:
            return self._spawn(argv, env, cwd, (stdin, out, err), spec.get("nice") or 0)
        finally:
            if stdin != self._null:
                os.close(stdin)

    def _spawn(self, argv: "list[bytes]", env: "dict[bytes, bytes]", cwd: bytes, files: "tuple[int, int, int]",
               nice: int) -> int:
        try:
            # Relative to it the program is looked for as well; the child inherits it.
            os.chdir(cwd)
        except OSError as error:
            raise StartError("cannot work in %s: %s" % (os.fsdecode(cwd), error.strerror), CANNOT_START)
        try:
            if nice or _posix_spawn is None:
                return _popen(argv, env, files, nice)
            return self._posix_spawn(argv, env, files)
        except OSError as error:
            if room.passes(error):
                raise StartError(room.words(error, self._places.root), NO_ROOM)
            from . import unstartable  # only where there is something to explain

            raise StartError(unstartable.program(error, argv[0], env), CANNOT_START)
        finally:
            os.chdir("/")

    def _posix_spawn(self, argv: "list[bytes]", env: "dict[bytes, bytes]", files: "tuple[int, int, int]") -> int:
        """Start a program at a fraction of what subprocess takes."""
        program, path = argv[0], env.get(b"PATH", _DEFAULT_PATH)
        found = self._found.get((program, path))
        if found is None or not os.path.isfile(found):
            # Looked for before, not by trying: a process that cannot load its program looks like a job for a moment.
            found = program if b"/" in program else _find(program, env)
            if found is None:
                raise FileNotFoundError(errno.ENOENT, "not found")
            if b"/" not in program:
                self._found[program, path] = found
        actions = [(_DUP2, fd, target) for target, fd in enumerate(files)]
        pid: int = _posix_spawn(found, argv, env, file_actions=actions, setsid=True, setsigdef=_SIGNALS)
        return pid

    def _env(self, launch: "dict[str, Any]") -> "dict[bytes, bytes]":
        env = dict(self._environ)
        for name, value in (launch["spec"].get("env") or {}).items():
            env[wire.to_bytes(name)] = wire.to_bytes(value)
        env[b"SSHJOBS_JOB"] = wire.to_bytes(launch["job"])
        env[b"SSHJOBS_ATTEMPT"] = launch["id"].partition(".")[2].encode("ascii")
        env[b"SSHJOBS_INDEX"] = b"%d" % launch["index"]
        env[b"SSHJOBS_TOKEN"] = launch["token"].encode("ascii")
        return env

    def _argv(self, uid: str, spec: "dict[str, Any]", env: "dict[bytes, bytes]") -> "list[bytes]":
        if "argv" in spec:
            return [wire.to_bytes(word) for word in spec["argv"]]
        bash = _find(b"bash", env)
        if bash is None:
            raise StartError("no such program: bash (a script needs it); PATH is %s"
                             % os.fsdecode(env.get(b"PATH", b"not set")), CANNOT_START)
        strict, login = spec.get("strict", True), spec.get("login", False)
        text = wire.to_bytes(spec["script"])
        if login and strict:
            # Not by -e: the user's start-up files were not written for it. On the first line, so that the
            # numbers of lines in messages stay right.
            text = b"set -e -o pipefail; " + text
        path = self._places.script(uid)
        try:
            fd = os.open(path, NEW, 0o600)
            try:
                _write_all(fd, text)
            finally:
                os.close(fd)
        except OSError as error:
            raise self._not_placed("the script cannot be written", error)
        flags = [b"-l"] if login else [b"-e", b"-o", b"pipefail"] if strict else []
        return [bash] + flags + [os.fsencode(path)]

    def _cwd(self, cwd: "str | None", home: str, env: "dict[bytes, bytes]") -> bytes:
        if cwd is None:
            return os.fsencode(home)
        path = wire.to_bytes(cwd)
        if path == b"~" or path.startswith(b"~/"):
            path = env.get(b"HOME", b"/") + path[1:]
        path = os.path.join(os.fsencode(home), path)
        if not os.path.isdir(path):
            from . import unstartable  # only where there is something to explain

            raise StartError(unstartable.directory(cwd, path), CANNOT_START)
        return path

    def _stdin(self, sha: "str | None") -> int:
        if sha is None:
            return self._null
        try:
            return os.open(self._places.blob(sha), os.O_RDONLY | os.O_NOFOLLOW)
        except OSError as error:
            raise self._not_placed("its standard input is not here", error, sha)

    def _not_placed(self, what: str, error: OSError, sha: "str | None" = None) -> StartError:
        """Return what is in the way of a file of ours. An input that is not here was not kept (a full disk), or was
        deleted since: it can be sent again."""
        if room.passes(error):
            return StartError(room.words(error, self._places.root), NO_ROOM)
        gone = sha is not None and not os.path.exists(self._places.blob(sha))
        return StartError("%s: %s" % (what, error.strerror), NO_ROOM if gone else START_FAILED)

    def _files(self, spec: "dict[str, Any]") -> "list[list[Any]]":
        sha = spec.get("listing")
        if sha is None:
            return spec.get("files") or []
        try:
            with open(self._places.blob(sha), "rb") as file:
                return wire.parse_listing(file.read())
        except OSError as error:
            raise self._not_placed("the list of its input files is not here", error, sha)
        except wire.WireError as error:
            raise StartError("the list of its input files cannot be read: %s" % error)

    def _place_files(self, files: "list[list[Any]]", home: str) -> None:
        """Copy input files in. Links come after all files, which must not get into what they lead to, and modes of
        directories last: files must get into read-only ones."""
        directories, made = [], {os.fsencode(home)}
        for path, sha, mode in sorted(files, key=_is_link):
            target = os.path.join(os.fsencode(home), wire.to_bytes(path))
            directory = target if sha is None else os.path.dirname(target)
            try:
                if directory not in made:
                    os.makedirs(directory, 0o700, exist_ok=True)
                    made.add(directory)
                if sha is None:
                    directories.append((target, mode & 0o777))
                elif mode == wire.LINK:
                    os.symlink(wire.to_bytes(sha), target)
                else:
                    _copy(self._places.blob(sha), target, mode & 0o777)
            except OSError as error:
                raise self._not_placed("the input file %s cannot be placed" % path, error,
                                       None if mode == wire.LINK else sha)
        for target, mode in sorted(directories, reverse=True):
            os.chmod(target, mode)


def _is_link(item: "list[Any]") -> bool:
    return bool(item[2] == wire.LINK)


def _popen(argv: "list[bytes]", env: "dict[bytes, bytes]", files: "tuple[int, int, int]", nice: int) -> int:
    """Start a program where posix_spawn is missing (Python 3.6) or cannot do it."""
    import subprocess

    try:
        # Our own files are all closed on exec, so nothing is left for close_fds to do.
        process = subprocess.Popen(argv, env=env, stdin=files[0], stdout=files[1], stderr=files[2],
                                   start_new_session=True, close_fds=False,
                                   preexec_fn=(lambda: _renice(nice)) if nice else None)
    except (subprocess.SubprocessError, ValueError) as error:
        raise StartError(str(error))
    # We wait for it ourselves; Popen is to leave the pid alone, which may be another's by then.
    process.returncode = 0
    return process.pid


def _copy(source: str, target: bytes, mode: int) -> None:
    reading = os.open(source, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        writing = os.open(target, NEW, 0o600)
        try:
            _fill(writing, reading)
            os.fchmod(writing, mode)
        finally:
            os.close(writing)
    finally:
        os.close(reading)


def _fill(writing: int, reading: int) -> None:
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


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data):]


def _find(program: bytes, env: "dict[bytes, bytes]") -> "bytes | None":
    for directory in env.get(b"PATH", _DEFAULT_PATH).split(b":"):
        path = os.path.join(directory or b".", program)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


def _renice(nice: int) -> None:
    try:
        os.nice(nice)
    except OSError:  # below zero is for root
        pass
