"""Expands host patterns, ``node[01-16]`` and ``10.0.0.{1,2}``, after checking that the result is small enough."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

from sshjobs.errors import UsageError

#: A hosts file or specification may name at most so many hosts.
MAX_HOSTS = 10_000

# Not compiled here: most hosts are named one by one.
_BRACE = r"\{([^{}]*)\}"
_SPAN = r"([0-9]{1,9})\.\.([0-9]{1,9})"
_BRACKET = r"\[([^\[\]]*)\]"
_RANGE = r"([0-9]{1,9})(?:-([0-9]{1,9})(?:/([0-9]{1,9}))?)?"


def split_list(text: str) -> Iterator[tuple[int, str]]:
    """Yield the items of ``h1,node[1,3],10.0.0.{1,2}`` with their offsets; commas in brackets do not separate."""
    depth = start = 0
    for place, letter in enumerate(text):
        depth += (letter in "[{") - (letter in "]}" and depth > 0)
        if letter == "," and not depth:
            yield start, text[start:place]
            start = place + 1
    yield start, text[start:]


def expand(pattern: str) -> list[str]:
    """Return the names that a pattern means, in the order in which they are written.

    :raises UsageError: not a pattern, or it means more than :data:`MAX_HOSTS` hosts
    """
    if not any(letter in pattern for letter in "[]{}"):
        return [pattern]
    names: list[str] = []
    for text in _braces(pattern):
        names += _ranges(text)
        if len(names) > MAX_HOSTS:
            raise _too_many(pattern)
    return names


def fold(hosts: Sequence[str]) -> str:
    """Return names of hosts as ``node[01-16],gpu1``."""
    # Imported here, because it takes long to load. Without groups: nothing but names is read.
    from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet, NodeSetException

    try:
        nodes = NodeSet.fromlist(hosts, resolver=RESOLVER_NOGROUP)
    except NodeSetException:
        return ",".join(hosts)
    # NodeSet takes some names for patterns.
    return str(nodes) if sorted(nodes) == sorted(hosts) else ",".join(hosts)


def _braces(pattern: str) -> Iterator[str]:
    """Yield the pattern once for every choice in its braces."""
    parts = re.split(_BRACE, pattern)
    if any(letter in part for part in parts[::2] for letter in "{}"):
        raise UsageError(f"braces do not match in '{pattern}'", hint="write 10.0.0.{1,2} or node{1..4}")
    choices = [_choices(part) if n % 2 else [part] for n, part in enumerate(parts)]
    count = 1
    for choice in choices:
        count *= len(choice)
    if count > MAX_HOSTS:
        raise _too_many(pattern)
    return ("".join(words) for words in itertools.product(*choices))


def _choices(inner: str) -> list[str]:
    """Return the choices between two braces: ``1,2`` or ``01..16``."""
    span = re.fullmatch(_SPAN, inner)
    if span is None:
        words = inner.split(",")
        if len(words) < 2 or "" in words:
            raise UsageError(f"'{{{inner}}}' lists nothing", hint="write {1,2} or {1..4}")
        return words
    first, last = int(span[1]), int(span[2])
    if abs(last - first) >= MAX_HOSTS:
        raise _too_many(f"{{{inner}}}")
    padded = any(text.startswith("0") and len(text) > 1 for text in span.groups())
    width = max(len(span[1]), len(span[2])) if padded else 0
    step = 1 if first <= last else -1
    return [f"{number:0{width}}" for number in range(first, last + step, step)]


def _ranges(text: str) -> list[str]:
    parts = re.split(_BRACKET, text)
    if any(letter in part for part in parts[::2] for letter in "[]"):
        raise UsageError(f"brackets do not match in '{text}'", hint="write node[01-16]; IPv6 is [fe80::1]")
    count = 1
    for inner in parts[1::2]:
        count *= sum(_count(part) for part in inner.split(","))
        if count > MAX_HOSTS:
            raise _too_many(text)
    choices = [_numbers(part) if n % 2 else [part] for n, part in enumerate(parts)]
    return ["".join(words) for words in itertools.product(*choices)]


def _numbers(inner: str) -> list[str]:
    """Return the numbers between two brackets, each once."""
    # Imported here, because it takes long to load, and most hosts are not named by ranges.
    from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet, NodeSetException

    found: dict[str, None] = {}
    for part in inner.split(","):
        try:
            # The range alone: NodeSet would join digits beside the bracket with it, and take n1[8-11] for n[18-111].
            # Without groups: no file in /etc and no program decides what a name means.
            found.update((name[1:], None) for name in NodeSet(f"n[{part}]", resolver=RESOLVER_NOGROUP))
        except NodeSetException as error:
            raise UsageError(f"'{part}' is not a range", why=str(error), hint="write [01-16]") from None
    return list(found)


def _count(part: str) -> int:
    match = re.fullmatch(_RANGE, part)
    if match is None or match[3] and not int(match[3]):
        raise UsageError(f"'{part}' is not a range", hint="write [01-16], [1,4] or [0-8/2]")
    first, last, step = int(match[1]), int(match[2] or match[1]), int(match[3] or 1)
    if last < first:
        raise UsageError(f"the range '{part}' runs backwards", hint="write the smaller number first")
    return (last - first) // step + 1


def _too_many(pattern: str) -> UsageError:
    return UsageError(f"'{pattern}' means more than {MAX_HOSTS:,} hosts, the limit", hint="check its ranges")
