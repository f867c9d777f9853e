"""Turns calls of functions into jobs: what is pickled goes into files, named by what is in them."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import io
import os
import re
import sys
import zipfile
from collections.abc import Callable, Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from sshjobs.errors import SshjobsError, UsageError
from sshjobs.model.spec import JobSpec
from sshjobs.store.rundir import write_private

#: The program of calls, as hosts have it.
ARCHIVE = "calls.pyz"
#: The Python that calls need: functions travel as code of this very version.
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
#: Arguments up to so many bytes are part of the job; larger ones are in a file.
INLINE = 2048
#: Parts of arguments from so many bytes on are files of their own, so that a host gets each only once.
LARGE = 1 << 18
#: How the result of a call comes back.
FORMS = ("pickle", "json")

_ODD = re.compile(r"[^\w.]+")


class Function(NamedTuple):
    """A function that was written down.

    :ivar title: its name, as far as a file may be called so
    :ivar canon: what it is known by from one program to the next
    """

    title: str
    file: str
    canon: bytes


class CallFiles:
    """What calls put into the directory of a run.

    :param directory: where the files go; made when the first is written
    :param form: one of :data:`FORMS`
    :param files: paths that every call is to find in its working directory
    :param options: further parameters of :class:`sshjobs.JobSpec`, the same for every call
    """

    def __init__(self, directory: Path, form: str, files: Iterable[str] = (), options: Mapping[str, Any] | None = None):
        self._directory, self._form = directory.absolute(), form
        self._files, self._options = list(files), dict(options or {})
        self._there: set[str] = set()
        self._seen: dict[str, int] = {}

    def function(self, function: Callable[..., Any]) -> Function:
        """Write a function down.

        :raises UsageError: it cannot be sent
        """
        if not callable(function):
            raise UsageError(f"a call takes a function, got {type(function).__name__}")
        title = _ODD.sub("-", str(getattr(function, "__qualname__", type(function).__name__)))
        title = title.replace("-locals-", "").strip("-.")[-60:] or "call"
        data = _pickle(function, f"the function {title}")
        canon = _canonical(data)
        name = hashlib.sha256(data).hexdigest() + ".function"
        self._write(name, data)
        return Function(title, name, hashlib.sha256(canon).digest())

    def call(self, function: Function, given: Any, each: bool = False) -> JobSpec:
        """Return the job of a call. Of two calls with the same content in one program the second has a name of its own.

        :param given: the pair of positional and named arguments; with ``each`` a list of tuples of arguments
        :raises UsageError: an argument cannot be sent
        """
        parts: list[Any] = []
        data = _pickle(given, f"an argument of {function.title}", parts)
        digest = hashlib.sha256(b"%s %s %d\n" % (function.canon.hex().encode(), self._form.encode(), each))
        digest.update(_canonical(_without_passing(given, data)))
        names = []
        for part in parts:
            names.append(hashlib.sha256(part).hexdigest() + ".part")
            digest.update(names[-1].encode())
            self._write(names[-1], part)
        for path in self._files:
            digest.update(_content(Path(path)))
        stdin = None
        if len(data) <= INLINE:
            text = base64.b64encode(data).decode("ascii")
        else:
            text, stdin = "-", hashlib.sha256(data).hexdigest() + ".arguments"
            self._write(stdin, data)
        self._write_archive()
        words = [ARCHIVE, function.file, self._form, ":".join([text, *names]), "each" if each else "one"]
        ours = [str(self._directory / name) for name in (ARCHIVE, function.file, *names)]
        return JobSpec(argv=words, name=self._name(function.title, digest.hexdigest()), call=PYTHON,
                       files=[*ours, *self._files], stdin=stdin and str(self._directory / stdin),
                       base_dir=os.getcwd(), **self._options)

    def _name(self, title: str, digest: str) -> str:
        name = f"{title}-{digest[:16]}"
        number = self._seen[name] = self._seen.get(name, 0) + 1
        return name if number == 1 else f"{name}-{number}"

    def _write_archive(self) -> None:
        if ARCHIVE not in self._there:
            self._write(ARCHIVE, archive())

    def _write(self, name: str, data: Any) -> None:
        """Write a file that is named by its content, unless it is there."""
        if name in self._there:
            return
        path = self._directory / name
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            if not path.exists() or path.stat().st_size != memoryview(data).nbytes or name == ARCHIVE:
                write_private(path, data)
        except OSError as error:
            raise SshjobsError("what a call needs cannot be kept", where=str(path), why=error.strerror) from error
        self._there.add(name)


def archive() -> bytes:
    """Return the program of calls with cloudpickle, as source and as code of this Python; always the same bytes."""
    cloudpickle = _cloudpickle()
    modules = {"__main__": resources.files("sshjobs.pools").joinpath("callee.py").read_bytes()}
    for entry in sorted(Path(cloudpickle.__file__).parent.glob("*.py")):
        modules[f"cloudpickle/{entry.stem}"] = entry.read_bytes()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in modules.items():
            file.writestr(zipfile.ZipInfo(f"{name}.py"), text, zipfile.ZIP_DEFLATED)
            file.writestr(zipfile.ZipInfo(f"{name}.pyc"), _compiled(name, text), zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def _compiled(name: str, text: bytes) -> bytes:
    import marshal

    # Flags 1: known by its content, which is not compared; both are in one archive.
    head = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + importlib.util.source_hash(text)
    return head + marshal.dumps(compile(text, f"{ARCHIVE}/{name}.py", "exec", dont_inherit=True))


def _cloudpickle() -> Any:
    try:
        import cloudpickle
    except ImportError:
        raise UsageError("calls need cloudpickle", hint="install it: pip install 'sshjobs[functions]'") from None
    return cloudpickle


def _pickle(value: Any, what: str, parts: list[Any] | None = None) -> bytes:
    """Return a value as a pickle.

    :param parts: takes large buffers in it, which are left out of the pickle
    """
    cloudpickle = _cloudpickle()

    def keep(buffer: Any) -> bool:
        try:
            raw = buffer.raw()
        except BufferError:  # not in one piece
            return True
        if parts is None or raw.nbytes < LARGE:
            return True
        parts.append(raw)
        return False

    try:
        return bytes(cloudpickle.dumps(value, protocol=5, buffer_callback=keep))
    except Exception as error:
        raise UsageError(f"{what} cannot be sent", why=f"{error}"[:300],
                         hint="leave out what only lives in this process, such as open files, locks and connections"
                         ) from error


def _canonical(data: bytes) -> bytes:
    """Return a pickle without what differs from one process to the next: cloudpickle gives each class that it sends as
    code a number by chance."""
    from cloudpickle import cloudpickle

    numbers = cloudpickle._DYNAMIC_CLASS_TRACKER_BY_CLASS
    known = {str(number).encode() for number in list(numbers.values())}
    found = sorted((data.index(number), number) for number in known if number in data)
    for place, (_, number) in enumerate(found):
        data = data.replace(number, b"%032d" % place)
    return data


#: In arguments of scikit-learn: which search it is that calls, by chance and time, and what shows its progress.
_PASSING = "sklearn.callback."


def _without_passing(value: Any, data: bytes) -> bytes:
    """Return a pickle without what a library adds for this process alone.

    :param data: the pickle with it
    """
    if _PASSING.encode() not in data:
        return data
    cloudpickle = _cloudpickle()

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc, name-defined]
        def reducer_override(self, one: Any) -> Any:
            if type(one).__module__.startswith(_PASSING):
                return str, (_PASSING,)
            return super().reducer_override(one)

    written = io.BytesIO()
    Pickler(written, protocol=5, buffer_callback=lambda buffer: buffer.raw().nbytes < LARGE).dump(value)
    return written.getvalue()


def _content(path: Path) -> bytes:
    """Return what tells a file or directory from another one."""
    digest = hashlib.sha256()
    try:
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            digest.update(b"%s\n" % os.fsencode(file.relative_to(path)))
            if file.is_file():
                digest.update(hashlib.sha256(file.read_bytes()).digest())
    except OSError as error:
        raise UsageError("a file that calls need cannot be read", where=str(path), why=error.strerror) from error
    return digest.digest()
