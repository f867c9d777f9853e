"""Chunks of a map as they travel to workers, and what workers answer.

A request and an answer begin with a line that names the version of both and the Python that wrote them, as functions
travel as code of one Python. With a key, an HMAC over what it is, which request it belongs to and the rest goes before.
"""

from __future__ import annotations

import hmac
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from sshjobs.errors import SshjobsError, printable

PYTHON = f"py{sys.version_info.major}.{sys.version_info.minor}"
_LINE = b"sshjobs 1 %s\n" % PYTHON.encode()
_MAC = 32
#: No more of a traceback is shown, in characters.
MAX_TRACEBACK = 100_000

#: What an answer tells: results; the exception of an item; the worker could not do it; it is for another worker; the
#: worker has another Python.
VALUES, RAISED, FAILED, DECLINED, UNFIT = "values", "raised", "failed", "declined", "unfit"
#: Why a worker declines a chunk: another one is to do it; it has something to do.
AVOIDED, BUSY = "avoided", "busy"
#: How long a broker gets to answer before it is said that it does not, in seconds.
ANSWER_S = 5.0


class PoolError(SshjobsError):
    """A pool cannot do what it was asked for."""


class BrokerError(SshjobsError):
    """The other end of a channel does not answer, or the key does not fit. ``refused`` tells which."""

    def __init__(self, what: str, *, where: str, refused: bool, hint: str):
        self.refused = refused
        super().__init__(what, where=where, hint=hint)


class RemoteTraceback(Exception):
    """The traceback where a function ran, as the cause of the exception that it raised."""

    def __str__(self) -> str:
        # A host has written it: it is only to be read.
        return "\n" + "\n".join(map(printable, str(self.args[0])[:MAX_TRACEBACK].splitlines()))


class PickleDataEncoder:
    """Writes and reads what is sent as pickles. Only for channels whose other end is trusted."""

    @classmethod
    def encode(cls, encodable_object: Any) -> bytes:
        """Return an object as bytes.

        :raises PoolError: it cannot be pickled
        """
        import cloudpickle

        try:
            return bytes(cloudpickle.dumps(encodable_object))
        except Exception as error:
            raise PoolError("what is to be sent cannot be pickled", why=f"{error}"[:300],
                            hint="leave out what only lives in this process") from error

    @classmethod
    def decode(cls, decodable_string: bytes) -> Any:
        """Return the object that bytes stand for.

        :raises PoolError: they are no pickle, or one that cannot be loaded here
        """
        import pickle

        try:
            return pickle.loads(decodable_string)
        except Exception as error:
            raise PoolError("what came in cannot be loaded", why=f"{type(error).__name__}: {error}"[:300]) from error


class Answer(NamedTuple):
    """What a worker says of a chunk.

    :ivar kind: one of the five above
    :ivar value: the results; or a pickled exception, ``None`` where it cannot be pickled, a line and a traceback; or
        why
    :ivar worker: who says it
    """

    kind: str
    value: Any
    worker: str = ""


def seal(key: bytes | None, about: bytes, data: bytes) -> bytes:
    """Return data as it is sent.

    :param key: for the HMAC; ``None``: only where nobody else can listen
    :param about: what it is and which request it belongs to
    """
    data = _LINE + data
    return data if key is None else hmac.digest(key, about + b"\0" + data, "sha256") + data


def unseal(key: bytes | None, about: bytes, data: bytes) -> bytes:
    """Return what was sealed.

    :raises PoolError: it was not sealed by who has the key, or not for this
    :raises OtherPythonError: by another Python
    """
    if key is not None:
        mac, data = data[:_MAC], data[_MAC:]
        if not hmac.compare_digest(mac, hmac.digest(key, about + b"\0" + data, "sha256")):
            raise PoolError("what came in was not sealed with the cluster's key",
                            hint="give all parties the same key_file")
    line, newline, rest = data.partition(b"\n")
    if not newline or not line.startswith(b"sshjobs 1 py"):
        raise PoolError("what came in is no message of this version",
                        hint="use one version of sshjobs, and key_file everywhere or nowhere")
    if line + newline != _LINE:
        raise OtherPythonError(line.rpartition(b" ")[2].decode("ascii", "replace")[:20])
    return rest


class OtherPythonError(PoolError):
    """The two ends have different Pythons."""

    def __init__(self, theirs: str):
        super().__init__(f"this is Python {PYTHON[2:]}, and the other end Python {theirs[2:]}",
                         hint="functions travel as code of one Python: use the same on both")


def carry_out(function: Callable[[Any], Any], items: list[Any]) -> tuple[str, Any]:
    """Call a function for each item; return what an answer says of it: kind and value."""
    return portable()(function, items)


def portable() -> Callable[[Callable[[Any], Any], list[Any]], tuple[str, Any]]:
    """Return :func:`carry_out` in a form that travels as code: a worker of another engine needs nothing of ours."""

    def run(function: Any, items: list[Any]) -> tuple[str, Any]:
        import pickle
        import traceback

        import cloudpickle

        if isinstance(function, bytes):
            function = pickle.loads(function)
        try:
            return "values", [function(item) for item in items]
        except Exception as error:  # noqa: BLE001  (whatever it raises is its answer)
            below = error.__traceback__.tb_next if error.__traceback__ is not None else None
            lines = traceback.format_exception(type(error), error, below)
            told = traceback.format_exception_only(type(error), error)[-1].strip()
            error.__traceback__ = None
            try:
                data = bytes(cloudpickle.dumps(error))
                pickle.loads(data)
            except Exception:  # noqa: BLE001  (some cannot be sent)
                return "raised", (None, told, "".join(lines))
            return "raised", (data, told, "".join(lines))

    return run


def raise_again(value: Any) -> None:
    """Raise what a function raised where it ran, with the traceback there as its cause.

    :raises BaseException: that; or :class:`PoolError` with its line where it cannot be loaded here
    """
    import pickle

    data, line, text = value
    raised: BaseException = PoolError(line)
    if data is not None:
        try:
            raised = pickle.loads(data)
        except Exception:  # noqa: BLE001, S110  (of a module that is not here: its line tells)
            pass
    raise raised from RemoteTraceback(text)
