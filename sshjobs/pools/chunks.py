"""Chunks of a map as they travel to workers, and what workers answer.

Requests and answers begin with a line that names the version of this format and the Python that wrote them, because
functions travel as code of one Python version. With a key an HMAC comes first. It covers the rest, whether it is a
request or an answer, and which request it belongs to.
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
#: How many characters of a traceback are shown at most.
MAX_TRACEBACK = 100_000

#: The kinds of answers: results; an exception that the function raised; the worker could not do it; another worker is
#: to do it; the worker has another Python.
VALUES, RAISED, FAILED, DECLINED, UNFIT = "values", "raised", "failed", "declined", "unfit"
#: Why a worker declines a chunk: another worker is to do it; it is busy.
AVOIDED, BUSY = "avoided", "busy"
#: How many seconds a broker gets to answer.
ANSWER_S = 5.0


class PoolError(SshjobsError):
    """A pool cannot do what it was asked for."""


class BrokerError(SshjobsError):
    """The other end of a channel does not answer, or the key does not fit (``refused``)."""

    def __init__(self, what: str, *, where: str, refused: bool, hint: str):
        self.refused = refused
        super().__init__(what, where=where, hint=hint)


class RemoteTraceback(Exception):
    """The traceback where a function ran, as the cause of the exception that it raised."""

    def __str__(self) -> str:
        # A host has written it, so control characters are taken out.
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
        """Return the object that was encoded.

        :raises PoolError: the bytes are no pickle, or one that cannot be loaded here
        """
        import pickle

        try:
            return pickle.loads(decodable_string)
        except Exception as error:
            raise PoolError("what came in cannot be loaded", why=f"{type(error).__name__}: {error}"[:300]) from error


class Answer(NamedTuple):
    """A worker's answer to a chunk.

    :ivar kind: one of the five above
    :ivar value: the results; or an exception as a pickle (``None`` where it cannot be pickled), a line and a traceback;
        or the reason
    :ivar worker: the worker that answers
    """

    kind: str
    value: Any
    worker: str = ""


def seal(key: bytes | None, about: bytes, data: bytes) -> bytes:
    """Return data as it is sent.

    :param key: for the HMAC; ``None`` only where nobody else has access to the channel
    :param about: what the data is and which request it belongs to
    """
    data = _LINE + data
    return data if key is None else hmac.digest(key, about + b"\0" + data, "sha256") + data


def unseal(key: bytes | None, about: bytes, data: bytes) -> bytes:
    """Return the data that :func:`seal` was given.

    :raises PoolError: it was sealed without the key, or for another request
    :raises OtherPythonError: it was sealed by another version of Python
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
    """The two ends have different versions of Python."""

    def __init__(self, theirs: str):
        super().__init__(f"this is Python {PYTHON[2:]}, and the other end Python {theirs[2:]}",
                         hint="functions travel as code of one Python: use the same on both")


def carry_out(function: Callable[[Any], Any], items: list[Any]) -> tuple[str, Any]:
    """Call a function for each item; return the kind and the value of the answer."""
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
    """Raise what a function raised on a worker, with the traceback there as its cause.

    :raises BaseException: what the function raised; :class:`PoolError` where that cannot be loaded here
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
