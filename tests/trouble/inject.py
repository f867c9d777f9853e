"""Has one place of our code fail, in a process that was started for that: see ``site/sitecustomize.py``.

``SSHJOBS_TROUBLE`` is JSON: ``place`` (a key of ``tests.trouble.places``) fails with ``errno`` the first time it is reached
or, with ``until``, as long as that file is there. With ``hangs`` it does not fail, but does not return as long as that file
is there; where it has been reached meanwhile, a file of that name and ``.reached`` is there too. ``seen`` names a file into which each place is written that is reached.
"""

from __future__ import annotations

import builtins
import errno
import io
import json
import marshal
import os
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path, PurePath
from types import CodeType, ModuleType
from typing import Any

from tests.trouble import places

ROOT = Path(__file__).parents[2] / "sshjobs"
#: Rooms of the package that run elsewhere, or nowhere but in a simulation.
NOT_OURS = ("gjob/", "simulation/")
#: Answers of predicates, for which these errors are an answer.
_PREDICATES = {"exists", "is_file", "is_dir"}
_AN_ANSWER = {errno.ENOENT, errno.ENOTDIR, errno.EBADF, errno.ELOOP}
#: What SQLite says of an error of the system.
_IN_SQLITE = {errno.ENOSPC: "database or disk is full", errno.EACCES: "attempt to write a readonly database",
              errno.EMFILE: "unable to open database file", errno.ENOENT: "unable to open database file"}


class Trouble:
    """What is to fail, and how often it has."""

    def __init__(self, told: dict[str, Any]):
        self.place, self.errno = told.get("place"), told.get("errno", errno.EIO)
        self._until, self._seen_file = told.get("until"), told.get("seen")
        self._hangs = told.get("hangs")
        self._done = False
        self._seen: set[str] = set()

    def reach(self, key: str, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Make a call, or have it fail."""
        if not _is_of_the_system(function):
            return function(*arguments, **named)
        if self._seen_file is not None and key not in self._seen:
            self._seen.add(key)
            self._note(key)
        if key == self.place and self._hangs is not None:
            while os.path.exists(self._hangs):
                Path(f"{self._hangs}.reached").touch()
                time.sleep(0.02)
        elif key == self.place and self._is_due():
            if getattr(function, "__name__", "") in _PREDICATES and self.errno in _AN_ANSWER:
                return False
            raise _error(function, self.errno, arguments)
        return function(*arguments, **named)

    def _is_due(self) -> bool:
        if self._until is not None:
            return os.path.exists(self._until)
        due, self._done = not self._done, True
        return due

    def _note(self, text: str) -> None:
        descriptor = os.open(str(self._seen_file), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(descriptor, f"{text}\n".encode())
        os.close(descriptor)


def _is_of_the_system(function: Callable[..., Any]) -> bool:
    owner = getattr(function, "__self__", None)
    if isinstance(owner, sqlite3.Connection) and function.__name__ == "close":
        # It never fails: what it cannot do now is done later.
        return False
    if isinstance(owner, ModuleType) or owner is None:
        module = getattr(function, "__module__", "") or ""
        return function is builtins.open or module.partition(".")[0].lstrip("_") in {
            "io", "os", "posix", "shutil", "tempfile", "subprocess", "socket", "sqlite3", "resource", "fcntl", "select"}
    return isinstance(owner, (PurePath, io.IOBase, socket.socket, sqlite3.Connection, sqlite3.Cursor, threading.Thread))


def _error(function: Callable[..., Any], number: int, arguments: Sequence[Any]) -> Exception:
    owner = getattr(function, "__self__", None)
    if isinstance(owner, threading.Thread):
        return RuntimeError("can't start new thread")
    if isinstance(owner, (sqlite3.Connection, sqlite3.Cursor)) or function is sqlite3.connect:
        return sqlite3.OperationalError(_IN_SQLITE.get(number, "disk I/O error"))
    name = str(owner) if isinstance(owner, PurePath) else arguments[0] if arguments else None
    return OSError(number, os.strerror(number), *([str(name)] if isinstance(name, (str, PurePath)) else []))


class _Loader(SourceFileLoader):
    """Loads a module with hooks; compiled ones are kept beside each other, for the next process."""

    def get_code(self, fullname: str) -> CodeType:
        path = Path(self.path)
        info = path.stat()
        cache = os.environ.get("SSHJOBS_TROUBLE_CACHE")
        file = path.relative_to(ROOT).as_posix()
        kept = Path(cache or os.curdir) / f"{file.replace('/', '.')}-{info.st_size}-{info.st_mtime_ns}"
        if cache and kept.exists():
            code: CodeType = marshal.loads(kept.read_bytes())
            return code
        code = compile(places.instrumented(path.read_text(encoding="utf-8"), file), self.path, "exec")
        if cache:
            aside = kept.with_name(f"{kept.name}.{os.getpid()}")
            aside.write_bytes(marshal.dumps(code))
            aside.replace(kept)
        return code


class _Finder(MetaPathFinder):
    def find_spec(self, fullname: str, path: Sequence[str] | None,
                  target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname != "sshjobs" and not fullname.startswith("sshjobs."):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
            return spec
        file = os.path.relpath(spec.origin, ROOT)
        if not file.startswith((*NOT_OURS, "..")):
            spec.loader = _Loader(fullname, spec.origin)
        return spec


def install(told: str) -> None:
    """Have the modules of the package that are loaded from now on fail as is told."""
    setattr(builtins, places.HOOK, Trouble(json.loads(told)).reach)
    sys.meta_path.insert(0, _Finder())
