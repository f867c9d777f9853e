"""How often a job is tried again after which of its own ends, and with how much more of what."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from sshjobs.model.several import KEY, Gathering
from sshjobs.model.similar import similar
from sshjobs.model.states import HOST_OUTCOMES, JOB_OUTCOMES, Outcome

#: How often one job may be tried again.
MAX_RETRIES = 1000
#: The largest factor by which one more attempt may get more.
MAX_FACTOR = 100.0

#: What may be said of one outcome: how often, and which keys of the job grow.
TIMES, GROWING = "times", ("memory", "timeout")
#: The outcomes that may be told apart, in the order of the glossary.
WORDS = tuple(outcome.value for outcome in Outcome if outcome in JOB_OUTCOMES)

#: By what others call them.
_ALIASES = {"oom": "out_of_memory", "timeout": "timed_out", "killed": "signalled", "signal": "signalled",
            "error": "failed", "exit": "failed"}

_FACTOR = r"(?i)\s*x\s*([0-9]{1,3}(?:\.[0-9]{1,3})?)\s*"
_EXAMPLE = "write retries: 2, or retries: {failed: 1, out_of_memory: {times: 2, memory: x2}}"

#: As a spec holds it: one number for all of a job's own ends together, or by outcome how often, and by how much what
#: grows.
Retries = int | dict[str, dict[str, float]]


class Again(NamedTuple):
    """What follows from one outcome.

    :ivar times: how often it is tried again after it
    :ivar memory: by how much the next attempt's memory grows; ``timeout``: the same of its time; 1: not at all
    """

    times: int
    memory: float = 1.0
    timeout: float = 1.0


def again_after(said: Retries, outcome: Outcome) -> Again | None:
    """Return what follows from one of a job's own ends; ``None`` where all of them count together."""
    if isinstance(said, int):
        return None
    how = said.get(outcome.value)
    if how is None:
        return Again(0)
    return Again(int(how[TIMES]), how.get("memory", 1.0), how.get("timeout", 1.0))


def grows(said: Retries, key: str) -> bool:
    """Tell whether a key of the job grows after any end."""
    return not isinstance(said, int) and any(key in how for how in said.values())


def spelt_out(said: Any) -> Retries:
    """Return what was said with the key ``retries``, a number or a mapping of outcomes, as a spec holds it.

    :raises ValueError: it cannot be that; the text says what is wrong, to stand behind the name of the key
    """
    if not isinstance(said, Mapping):
        return _times("", said)
    found = {}
    told = Gathering()
    for word, how in said.items():
        with told.at(word, KEY):
            _outcome(word)
        with told.at(word):
            found[str(word)] = _how(str(word), how)
    told.end()
    return found


def _outcome(word: Any) -> None:
    if word in WORDS:
        return
    if word in {outcome.value for outcome in HOST_OUTCOMES}:
        raise ValueError(f" cannot count {word}: that is the host's fault; write host_retries: N")
    plain = str(word).replace("-", "_").lower()
    close = [_ALIASES[plain]] if plain in _ALIASES else similar(plain, WORDS, 1, 0.5)
    raise ValueError(f" cannot count {word!r:.40}; " + (f"did you mean {close[0]}?" if close else
                                                       f"the outcomes are {', '.join(WORDS)}"))


def _how(word: str, how: Any) -> dict[str, float]:
    if not isinstance(how, Mapping):
        return {TIMES: _times(f" {word}", how)}
    told = Gathering()
    for key in how:
        with told.at(key, KEY):
            if key not in (TIMES, *GROWING):
                raise ValueError(f" {word} has no {key!r:.40}; it takes {', '.join((TIMES, *GROWING))}")
    found: dict[str, float] = {}
    with told.at(TIMES):
        found[TIMES] = _times(f" {word}: {TIMES}", how.get(TIMES, 1))
    for key in GROWING:
        if key in how:
            with told.at(key):
                found[key] = _factor(f" {word}: {key}", how[key])
    told.end()
    return found


def _times(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_RETRIES:
        raise ValueError(f"{name} must be a whole number from 0 to {MAX_RETRIES:,}, got {value!r:.40}"
                         + ("" if name else f"; {_EXAMPLE}"))
    return value


def _factor(name: str, value: Any) -> float:
    found = re.fullmatch(_FACTOR, value) if isinstance(value, str) else None
    # A spec that was kept has numbers.
    factor = float(found[1]) if found else value
    if isinstance(factor, bool) or not isinstance(factor, (int, float)) or not 1 <= factor <= MAX_FACTOR:
        raise ValueError(f"{name} must be a factor from x1 to x{MAX_FACTOR:.0f}, got {value!r:.40}; write x2")
    return float(factor)
