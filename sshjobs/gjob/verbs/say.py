"""What the ``gjob`` command says: results on standard output, one line for every error."""

import os
import re

#: Exit codes of the command. Never ssh's own 255.
OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


class Trouble(Exception):
    """A verb cannot do what it was asked for.

    :param what: what it is about, and what happened
    :param why: the cause, as far as it is known
    :param hint: what to do about it
    :param code: exit code of the command
    """

    def __init__(self, what: str, why: "str | None" = None, hint: "str | None" = None, code: int = FAILED):
        text = "%s: %s" % (what, why) if why else what
        super().__init__("%s; %s" % (text, hint) if hint else text)
        self.code = code


def usage(what: str, why: "str | None" = None, hint: "str | None" = None) -> Trouble:
    """Return the error of a command line that cannot be carried out."""
    return Trouble(what, why, hint, USAGE)


def printable(text: str) -> str:
    """Return text on one line and harmless to a terminal: control and direction characters are escaped."""
    return _UNPRINTABLE.sub(lambda match: match.group().encode("unicode_escape").decode("ascii"), text)


def say(text: str) -> None:
    """Write a line on standard output, at once.

    :raises OSError: nobody reads it
    """
    write_all(1, as_bytes(printable(text)) + b"\n")


def complain(text: str) -> None:
    """Write a line on standard error, if anybody reads it."""
    try:
        write_all(2, as_bytes("gjob: " + printable(text)) + b"\n")
    except OSError:
        pass


def as_bytes(text: str) -> bytes:
    """Return text as this system writes it; file names come out byte for byte."""
    try:
        return os.fsencode(text)
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace")


def write_all(fd: int, data: bytes) -> None:
    """Write all of it to a file.

    :raises OSError: it cannot be written
    """
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view):]


def reason(error: OSError) -> str:
    """Return why the system refused, in its words."""
    return error.strerror or str(error)
