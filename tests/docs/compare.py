"""Compare what a command printed with what a page says it prints."""

from __future__ import annotations

import re
from collections.abc import Sequence

#: On a page: any text within a line; alone on a line, any number of lines.
ANY = "..."
#: What differs from machine to machine and from day to day; a page shows it as it was when it was written.
_VARIES = (
    (re.compile(r"\b\d\d:\d\d:\d\d\b"), "<clock>"),
    (re.compile(r"\b\d+(\.\d+)? (ms|s|min|h|d)\b( \d+ (s|min|h)\b)?"), "<time>"),
    (re.compile(r"\b\d+(\.\d)? [KMGTP]iB\b"), "<size>"),
    (re.compile(r"\b\d+ cores\b"), "<cores>"),
    (re.compile(r"\bPython 3\.\d+\.\d+\b"), "<python>"),
)
#: A host that comes late may find that nothing is left to do, and is not told of then.
_HOST_UP = re.compile(r"<clock> up\s")
#: Which of them a job meets is up to them.
_HOST = re.compile(r"\bnode0\d\b")


def differs(shown: Sequence[str], printed: Sequence[str], *, ordered: bool, any_host: bool = False) -> str | None:
    """Return in words how the two differ, ``None`` where they do not.

    :param ordered: lines must come as shown; else in any order, as the ends of jobs do
    :param any_host: one host is as good as another
    """
    wanted, found = _tidy(shown, any_host), _tidy(printed, any_host)
    same = _matches_in_order(wanted, found) if ordered else _matches_in_any_order(wanted, found)
    if same:
        return None
    return "\n".join(["the page shows", *(f"  | {line}" for line in shown),
                      "and it prints", *(f"  | {line}" for line in printed)])


def _tidy(lines: Sequence[str], any_host: bool) -> list[str]:
    """Return the lines without what may differ. Empty ones are left out: a page may set them for readers."""
    tidy = [_same(line, any_host) for line in lines if line.strip()]
    return [line for line in tidy if not (any_host and _HOST_UP.match(line))]


def _same(line: str, any_host: bool) -> str:
    for pattern, word in _VARIES:
        line = pattern.sub(word, line)
    return _HOST.sub("<host>", line.rstrip()) if any_host else line.rstrip()


def _line(shown: str) -> re.Pattern[str]:
    parts = (re.escape(re.sub(r"\s+", " ", part)).replace(r"\ ", r"\s+") for part in shown.split(ANY))
    return re.compile(".*".join(parts) + r"\s*")


def _matches_in_order(shown: list[str], printed: list[str]) -> bool:
    reachable = {0}
    for line in shown:
        if line.strip() == ANY:
            reachable = set(range(min(reachable), len(printed) + 1))
            continue
        pattern = _line(line)
        reachable = {at + 1 for at in reachable if at < len(printed) and pattern.fullmatch(printed[at])}
        if not reachable:
            return False
    return len(printed) in reachable


def _matches_in_any_order(shown: list[str], printed: list[str]) -> bool:
    wanted = [_line(line) for line in shown if line.strip() != ANY]
    may_have_more = len(wanted) < len(shown)
    if len(wanted) > len(printed) or (len(wanted) < len(printed) and not may_have_more):
        return False
    taken_by: dict[int, int] = {}
    return all(_place(at, wanted, printed, taken_by, set()) for at in range(len(wanted)))


def _place(at: int, wanted: list[re.Pattern[str]], printed: list[str], taken_by: dict[int, int],
           tried: set[int]) -> bool:
    """Find a printed line for a wanted one, moving others to other lines that fit them too where that helps."""
    for index, line in enumerate(printed):
        if index in tried or not wanted[at].fullmatch(line):
            continue
        tried.add(index)
        if index not in taken_by or _place(taken_by[index], wanted, printed, taken_by, tried):
            taken_by[index] = at
            return True
    return False
