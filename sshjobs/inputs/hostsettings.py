"""The settings behind a host in a hosts file: ``slots=4 memory=64G env.CUDA_HOME=/opt/cuda count.license=2 gpu``."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

from sshjobs.errors import UsageError
from sshjobs.inputs.limits import MAX_WORD
from sshjobs.inputs.manners import MANNERS, read_manner
from sshjobs.model.given import MAX_SLOTS
from sshjobs.model.gpus import checked_selection
from sshjobs.model.needs import COUNTER, MAX_COUNT, MAX_COUNTERS, OWN_KEYS
from sshjobs.model.similar import similar
from sshjobs.model.sizes import parse_memory

ALLOWED = "letters, digits, '.', '_' and '-' are allowed"

#: A word, which may contain blanks within quotes, as in a shell.
_WORD = re.compile(r"""(?:[^ \t"'\\]|\\.|"(?:[^"\\]|\\.)*"|'[^']*')+""")
_BLANKS = re.compile(r"[ \t]*")
# Those below are not compiled here: most lists name hosts alone.
_TAG = r"[A-Za-z0-9_][A-Za-z0-9._:+-]{0,99}"
_PYTHON = r"[A-Za-z0-9_/][A-Za-z0-9._/+-]{0,999}"
_VARIABLE = r"[A-Za-z_][A-Za-z0-9_]{0,254}"
_OPTIONS = ("slots", "memory", "scratch", "gpus", "gpu_busy", "count.NAME", "share", "python", "wrap", "env.NAME",
            *MANNERS)
_ALL = ("there are slots=N, memory=SIZE, scratch=SIZE, gpus=0,1, gpu_busy=SIZE, count.NAME=N, share=0.5, python=PATH, "
        "wrap=… and env.NAME=…, and for manners max_load=N, min_free=SIZE, only=HH:MM-HH:MM, at_end=WORD, until=DATE "
        "and nice=N")
_SHARE = r"[01](\.[0-9]{1,6})?|\.[0-9]{1,6}"
#: Environment variables with this prefix are ours.
_RESERVED = "SSHJOBS_"


def words_of(text: str) -> Iterator[tuple[int, str]]:
    """Yield the words of a line as written, with quotes, each with its column from 1, up to a word that begins with
    ``#``.

    :raises UsageError: a quote is not closed
    """
    at = _BLANKS.match(text).end()  # type: ignore[union-attr]
    while at < len(text) and text[at] != "#":
        found = _WORD.match(text, at)
        if found is None or text[found.end():found.end() + 1] not in ("", " ", "\t"):
            raise UsageError("a quote is not closed", hint='write wrap="nice -n 5"')
        yield at + 1, found[0]
        at = _BLANKS.match(text, found.end()).end()  # type: ignore[union-attr]


class Settings:
    """The settings of a host."""

    def __init__(self) -> None:
        self.slots: int | None = None
        self.memory: int | None = None
        self.scratch: int | None = None
        self.gpus: tuple[str, ...] | None = None
        self.gpu_busy: int | None = None
        self.counts: dict[str, int] = {}
        self.share: float | None = None
        self.python: str | None = None
        self.wrap: list[str] | None = None
        self.env: dict[str, str] = {}
        self.tags: list[str] = []
        #: Its manners: fields of :class:`Host` by name.
        self.manners: dict[str, Any] = {}

    def take(self, word: str, *, tags: bool) -> None:
        """Read one word, as written: ``slots=N``, ``memory=SIZE``, ``scratch=SIZE``, ``gpus=0,1``,
        ``gpu_busy=SIZE``, ``count.NAME=N``, ``share=0.5``, ``python=PATH``, ``wrap="PROGRAM …"``, ``env.NAME=VALUE``, a
        manner such as ``max_load=N``, or a tag.

        :raises UsageError: none of them
        """
        key, is_option, value = word.partition("=")
        if is_option and key.startswith("env."):
            self._variable(key[4:], _unquoted(value))
            return
        if is_option and key.startswith("count."):
            self._counter(key[6:], _unquoted(value))
            return
        if is_option and key not in _OPTIONS:
            near = similar(key, _OPTIONS, 1)
            hint = f"did you mean {near[0]}=?" if near else _ALL
            raise UsageError(f"unknown option '{short(key)}='", hint=hint)
        if is_option and (key in self.manners or getattr(self, key, None) is not None):
            raise UsageError(f"{key}= is given twice", hint="keep one of them")
        if is_option and key in MANNERS:
            self.manners[key] = read_manner(key, _unquoted(value))
            return
        if key == "slots" and is_option:
            self.slots = number_from(_unquoted(value), "slots", MAX_SLOTS)
        elif key == "gpus" and is_option:
            self.gpus = _gpus(_unquoted(value))
        elif key in ("memory", "scratch", "gpu_busy") and is_option:
            setattr(self, key, _size(key, _unquoted(value)))
        elif key == "share" and is_option:
            self.share = _share(_unquoted(value))
        elif key == "python" and is_option:
            self.python = _python(_unquoted(value))
        elif is_option:
            self.wrap = _wrap(_unquoted(value))
        elif not tags:
            hint = "part hosts by commas; tags go in a hosts file"
            raise UsageError(f"'{short(word)}' is no option", hint=hint)
        elif not re.fullmatch(_TAG, word):
            raise UsageError(f"'{short(word)}' is not a tag", hint=ALLOWED)
        else:
            self.tags.append(word)

    def _counter(self, name: str, value: str) -> None:
        if name in OWN_KEYS:
            raise UsageError(f"'{name}' is no counter", hint=f"write {name}=…" if name in _OPTIONS else
                             "call it by another name")
        if not COUNTER.fullmatch(name):
            raise UsageError(f"'{short(name)}' is no name of a counter", hint="write count.license=2")
        if name in self.counts:
            raise UsageError(f"count.{name}= is given twice", hint="keep one of them")
        if len(self.counts) >= MAX_COUNTERS:
            raise UsageError(f"more than {MAX_COUNTERS} counters, the limit", hint="name fewer")
        self.counts[name] = number_from(value, f"count.{name}", MAX_COUNT)

    def _variable(self, name: str, value: str) -> None:
        if not re.fullmatch(_VARIABLE, name):
            raise UsageError(f"'{short(name)}' is no name of a variable", hint="write env.NAME=VALUE")
        if name.startswith(_RESERVED):
            raise UsageError(f"{_RESERVED}… are set by sshjobs", hint="choose another name")
        if name in self.env:
            raise UsageError(f"env.{name}= is given twice", hint="keep one of them")
        if len(f"{name}={value}".encode("utf-8", "surrogatepass")) > MAX_WORD:
            raise UsageError(f"env.{name} has more than {MAX_WORD:,} bytes", hint="use a file on the host")
        self.env[name] = value


def _unquoted(text: str) -> str:
    """Return a value without its quotes, as a shell would read it."""
    if not any(letter in text for letter in "\"'\\"):
        return text
    return "".join(shlex.split(text, comments=False, posix=True))


def _wrap(text: str) -> list[str]:
    try:
        words = shlex.split(text)
    except ValueError:
        raise UsageError("in wrap= a quote is not closed", hint="write wrap=\"apptainer exec 'my img.sif'\"") from None
    if not words or not words[0]:
        raise UsageError("wrap= must begin with a program", hint='write wrap="apptainer exec img.sif"')
    return words


def number_from(text: str, what: str, most: int) -> int:
    """Parse a number from 1 to ``most``.

    :raises UsageError: it is no such number
    """
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
        raise UsageError(f"{what} must be a number from 1 to {most}, got '{short(text)}'")
    return int(text)


def _share(text: str) -> float:
    if re.fullmatch(_SHARE, text) and 0 < float(text) <= 1:
        return float(text)
    raise UsageError(f"share must be above 0 and at most 1, which is an equal share, got '{short(text)}'",
                     hint="write share=0.5")


def _size(key: str, text: str) -> int:
    try:
        return parse_memory(text)
    except ValueError as error:
        raise UsageError(f"{key}{error}") from None


def _gpus(text: str) -> tuple[str, ...]:
    try:
        return checked_selection(text)
    except ValueError as error:
        raise UsageError(f"gpus={error}") from None


def _python(text: str) -> str:
    if not re.fullmatch(_PYTHON, text):
        raise UsageError(f"python= cannot be '{short(text)}'", hint="write python3.11 or /opt/bin/python3")
    if "/" in text and not text.startswith("/"):
        raise UsageError(f"python= cannot be the relative path '{short(text)}'", hint="write the whole path")
    return text


def short(text: str) -> str:
    """Return a text for a message, in ASCII, so that letters which only look like ASCII become visible."""
    shown = text.encode("ascii", "backslashreplace").decode("ascii")
    return shown if len(shown) <= 60 else shown[:57] + "..."
