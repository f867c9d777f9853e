"""Reads manners of hosts: ``max_load=8 min_free=8G only=20:00-08:00 at_end=stop``."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sshjobs.errors import UsageError
from sshjobs.model.host import AT_END, Host
from sshjobs.model.sizes import parse_memory

#: The highest load that may be asked for; the highest niceness.
MAX_LOAD, MAX_NICE = 100_000.0, 19

#: Not compiled here: few hosts have manners.
_DAY = r"([0-9]{1,2}):([0-9]{2})-([0-9]{1,2}):([0-9]{2})"
_MOMENT = r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2})?(?:Z|[+-][0-9]{2}:[0-9]{2})?)?"
_NUMBER = r"[0-9]{1,9}(?:\.[0-9]{1,6})?"
_MINUTES = 24 * 60


def _load(text: str) -> float:
    if not re.fullmatch(_NUMBER, text) or not 0 < float(text) <= MAX_LOAD:
        raise ValueError(f" must be a load above 0, got {text!r:.60}; write max_load=8")
    return float(text)


def _free(text: str) -> int:
    return parse_memory(text)


def _only(text: str) -> tuple[int, int]:
    found = re.fullmatch(_DAY, text)
    if found is None:
        raise ValueError(f" must be a time of the day, got {text!r:.60}; write only=20:00-08:00")
    first, last = (int(hour) * 60 + int(minute) for hour, minute in ((found[1], found[2]), (found[3], found[4])))
    for hour, minute, most in ((found[1], found[2], _MINUTES - 1), (found[3], found[4], _MINUTES)):
        if int(minute) > 59 or int(hour) * 60 + int(minute) > most:
            raise ValueError(f" cannot be {text!r:.60}: no day has {hour}:{minute}; write only=20:00-08:00")
    if first == last % _MINUTES:
        raise ValueError(f" cannot begin when it ends, got {text!r:.60}; leave it out for the whole day")
    return first, last % _MINUTES


def _at_end(text: str) -> str:
    if text not in AT_END:
        raise ValueError(f" must be one of {', '.join(AT_END)}, got {text!r:.60}")
    return text


def _until(text: str) -> float:
    """Return seconds since the epoch; a time without a zone is in this machine's."""
    from datetime import datetime

    moment = None
    if re.fullmatch(_MOMENT, text):
        try:
            moment = datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
        except (ValueError, OverflowError, OSError):
            pass
    if moment is None:
        raise ValueError(f" must be a date and a time, got {text!r:.60}; write until=2026-12-01T18:00, "
                         "with Z or +02:00 behind it where that is not the time of this machine")
    if moment <= time.time():
        raise ValueError(f" is over: {text}; leave the host out, or write when it is to be left")
    return moment


def _nice(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 3 and int(text) <= MAX_NICE):
        raise ValueError(f" must be a number from 0 to {MAX_NICE}, got {text!r:.60}")
    return int(text)


#: Each option with the parser of its value, which raises ValueError with a message that follows the option's name.
MANNERS: dict[str, Callable[[str], Any]] = {
    "max_load": _load, "min_free": _free, "only": _only, "at_end": _at_end, "until": _until, "nice": _nice}


def read_manner(key: str, text: str) -> Any:
    """Return the value of an option.

    :param key: one of :data:`MANNERS`
    :raises UsageError: the value is wrong
    """
    try:
        return MANNERS[key](text)
    except ValueError as error:
        raise UsageError(f"{key}{error}") from None


def read_manners(text: str) -> dict[str, Any]:
    """Parse manners for all hosts of a run: ``max_load=8 only=20:00-08:00``.

    :raises ValueError: something in it is wrong; the message follows the name of the key or option
    """
    found: dict[str, Any] = {}
    if not isinstance(text, str) or not text.split():
        raise ValueError(f" must be text such as max_load=8 only=20:00-08:00, got {text!r:.60}")
    for word in text.split():
        key, is_option, value = word.partition("=")
        if not is_option or key not in MANNERS:
            raise ValueError(f" cannot be {word!r:.60}; there are {'=, '.join(MANNERS)}=")
        if key in found:
            raise ValueError(f" are wrong: {key}= is given twice; keep one of them")
        try:
            found[key] = MANNERS[key](value)
        except ValueError as error:
            raise ValueError(f" are wrong: {key}{error}") from None
    return found


def with_manners(hosts: Sequence[Host], manners: Mapping[str, Any]) -> list[Host]:
    """Return hosts with these manners as defaults."""
    return [replace(host, **{key: value for key, value in manners.items() if getattr(host, key) is None})
            for host in hosts]
