"""``slurm:partition=gpu,nodes=4,time=2h``: an allocation of Slurm in the place of hosts.

Every value is held against an allow-list before any process starts, as it becomes an argument of sbatch, and with
``login=`` a word of a remote command line, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from sshjobs.errors import UsageError
from sshjobs.inputs.hostranges import split_list
from sshjobs.inputs.hostsettings import number_from, short
from sshjobs.model.allocation import KEYS
from sshjobs.model.similar import similar

#: How the word begins.
PREFIX = "slurm:"
#: How words begin that stand for what a scheduler gives.
PREFIXES = (PREFIX, "batch:")
#: Nodes of one allocation, at most.
MAX_NODES = 1_000
#: The longest time that may be asked for, in seconds: a year.
LONGEST_TIME = 365 * 86_400.0

# Not compiled here: few lists of hosts hold such a word.
_PLAIN = r"[A-Za-z0-9_][A-Za-z0-9_.+@-]{0,99}"
#: ``intel&gpu``, ``[rack1|rack2]``, ``gpu*2``, ``(a|b)&c``. Within the quotes of a shell all of it is plain.
_CONSTRAINT = r"[A-Za-z0-9_(\[][A-Za-z0-9_.&|*()\[\]:-]{0,199}"
#: ``gpu``, ``gpu:2``, ``gpu:a100:2``.
_GRES = r"[A-Za-z0-9_]{1,60}(:[A-Za-z0-9_.-]{1,60}){0,2}"
_LOGIN = r"([A-Za-z0-9_][A-Za-z0-9._+-]{0,99}@)?[A-Za-z0-9_][A-Za-z0-9._-]{0,252}(:[0-9]{1,5})?"
#: Days, hours, minutes and seconds as Slurm writes them.
_SLURM_TIME = r"(?:([0-9]{1,3})-)?([0-9]{1,4}):([0-9]{2}):([0-9]{2})"


def whole_words(parts: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Yield the items of a list with their offsets, those that belong to one such word in one piece:
    behind it, items whose first word has a ``=``."""
    held: tuple[int, str] | None = None
    for at, part in parts:
        first = (part.split() or [""])[0]
        if held is not None and "=" in first and not first.startswith(PREFIXES):
            held = held[0], f"{held[1]},{part}"
            continue
        if held is not None:
            yield held
        held = None
        if first.startswith(PREFIXES):
            held = at, part
        else:
            yield at, part
    if held is not None:
        yield held


def read_slurm(word: str) -> tuple[dict[str, str], list[tuple[int, str]]]:
    """Return what a ``slurm:`` word asks for, by key, and every mistake in it, each with its offset in the word."""
    found, problems = dict[str, str](), list[tuple[int, str]]()
    rest = word[len(PREFIX):]
    for at, piece in split_list(rest) if rest else ():
        key, equals, value = piece.partition("=")
        try:
            if key not in KEYS or not equals:
                near = similar(key, KEYS, 1)
                raise UsageError(f"'{short(key)}' is nothing that slurm: knows" + (f"; did you mean {near[0]}=?" if near
                                 else f"; there are {'=, '.join(KEYS)}="))
            if key in found:
                raise UsageError(f"{key}= is given twice; keep one of them")
            found[key] = _CHECKS[key](value)
            if "mode" in found and "nodes" in found:
                raise UsageError("nodes= is for an allocation, and with mode=array each job has a node by itself")
        except UsageError as error:
            problems.append((len(PREFIX) + at, str(error)))
    return found, problems


def nodes_of(keys: dict[str, str]) -> int:
    """Return how many nodes are asked for."""
    return int(keys.get("nodes", "1"))


def settings_of(keys: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the same in the order of the keys, as hosts have it: never nothing."""
    asked = {"nodes": "1", **keys}
    return tuple((key, asked[key]) for key in KEYS if key in asked)


def _matching(key: str, pattern: str, example: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise UsageError(f"{key}= cannot be '{short(value)}'; write {key}={example}")
        return value

    return check


def _nodes(value: str) -> str:
    return str(number_from(value, "nodes", MAX_NODES))


def time_from(value: str) -> str:
    """Return seconds."""
    from sshjobs.inputs.timespans import parse_duration

    match = re.fullmatch(_SLURM_TIME, value)
    if match is not None:
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        found = float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
    else:
        found = parse_duration(value)
    if not 60 <= found <= LONGEST_TIME:
        raise UsageError(f"time= must be from a minute to a year, got '{short(value)}'; write time=2h")
    return str(int(found))


def login_from(value: str) -> str:
    """Return a login node as it is written.

    :raises UsageError: it could be taken for something else by ssh or a shell
    """
    return _CHECKS["login"](value)


def _mode(value: str) -> str:
    if value != "array":
        raise UsageError(f"mode= cannot be '{short(value)}'; write mode=array, or leave it out for an allocation")
    return value


_CHECKS: dict[str, Callable[[str], str]] = {
    "partition": _matching("partition", _PLAIN, "gpu"), "nodes": _nodes, "time": time_from,
    "login": _matching("login", _LOGIN, "cluster.example.org"), "account": _matching("account", _PLAIN, "project1"),
    "qos": _matching("qos", _PLAIN, "normal"), "constraint": _matching("constraint", _CONSTRAINT, "intel"),
    "gres": _matching("gres", _GRES, "gpu:2"), "mode": _mode,
}
