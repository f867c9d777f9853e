"""Durations as people write them: ``90``, ``1s``, ``2h30m``, ``1d``."""

from __future__ import annotations

import re

from sshjobs.errors import UsageError
from sshjobs.model.given import LONGEST_S

#: Seconds in each unit, largest first.
UNITS = {"w": 604800.0, "d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}

_HINT = "write seconds (90) or units (1s, 2h30m, 1d)"
# Not compiled here: who only writes durations needs none of them.
_NUMBER = r"[0-9]{1,20}(?:\.[0-9]{0,20})?|\.[0-9]{1,20}"
_PARTS = rf"\s*({_NUMBER})\s*(ms|[wdhms])"
_CLOCK = r"([0-9]{1,6}):([0-9]{1,2})(?::([0-9]{1,2}))?"


def parse_duration(value: str | int | float) -> float:
    """Return the seconds that ``value`` means: a number, or text such as ``90``, ``1s`` or ``2h30m``.

    Units are w, d, h, m, s and ms, the larger before the smaller, each at most once.

    :raises UsageError: not a duration, not above zero, or above ten years
    """
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise UsageError(f"a duration cannot be {value!r}", hint=_HINT)
    text = value.strip() if isinstance(value, str) else ""
    seconds = _seconds(text) if isinstance(value, str) else value
    shown = repr(text) if isinstance(value, str) else f"{value}"[:40]
    if seconds is None:
        clock = re.fullmatch(_CLOCK, text)
        hint = _clock_hint(clock) if clock else _HINT
        raise UsageError(f"{shown if len(shown) < 60 else 'this text'} is not a duration", hint=hint)
    if not seconds > 0:
        raise UsageError(f"a duration must be above zero, got {shown}", hint=_HINT)
    if seconds > LONGEST_S:
        limit = format_duration(LONGEST_S)
        raise UsageError(f"{shown} is more than {limit}", hint="leave it out for no limit")
    return float(seconds)


def format_duration(seconds: float) -> str:
    """Return a duration as :func:`parse_duration` reads it: ``2h30m``, ``0.25s``; weeks are given in days."""
    if seconds < 60:
        return f"{round(seconds, 3):g}s"
    left, parts = round(seconds), []
    for unit in ("d", "h", "m", "s"):
        count, left = divmod(left, int(UNITS[unit]))
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def _seconds(text: str) -> float | None:
    """The seconds that a text means, ``None`` where it is no duration."""
    if re.fullmatch(_NUMBER, text):
        return float(text)
    total, place, larger = 0.0, 0, float("inf")
    parts = re.compile(_PARTS)
    while match := parts.match(text, place):
        size = UNITS[match[2]]
        if size >= larger:
            return None
        total, place, larger = total + float(match[1]) * size, match.end(), size
    return total if place and place == len(text) else None


def _clock_hint(clock: re.Match[str]) -> str:
    """Both things that ``1:30`` may have been meant as."""
    first, second, third = clock.groups()
    if third:
        return f"write {int(first)}h{int(second)}m{int(third)}s"
    return f"write {int(first)}m{int(second)}s or {int(first)}h{int(second)}m"
