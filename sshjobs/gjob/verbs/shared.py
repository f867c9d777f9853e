"""Who holds what of this host, and what each has used lately: told of the runs of all users."""

import os

from .. import files, procs, system
from ..sharing import usage as used
from ..sharing import written
from ..sharing.board import Board, Unshared, agent_name, directory
from ..sharing.holders import count, user_name

MYPY = False
if MYPY:
    from typing import Any

#: Seconds for others who decide just now, and between two tries.
_PATIENCE, _PAUSE = 2.0, 0.01
#: The most runs that are told of.
_MOST = 1000


def who() -> "dict[str, Any]":
    """Return who holds what now (``holders``), and who waits (``waits``); ``why`` says why nothing is known."""
    try:
        board = _board()
        if board is None:
            return {"why": "sharing is turned off there", "holders": [], "waits": []}
        if not files.exists(board.path):
            return {"why": None, "holders": [], "waits": []}
        holdings, wishes = _look(board)
    except (Unshared, OSError) as error:
        return {"why": str(error), "holders": [], "waits": []}
    now, clock = system.time(), system.boottime()
    holders = count(holdings)[:_MOST]
    waits = [{"uid": one.person, "slots": min(one.amounts.get("slots", 0), 1 << 20),
              "since": round(now - max(0.0, clock - one.since))} for one in wishes[:_MOST]]
    names: "dict[int, str | None]" = {}
    for one in holders + waits:
        if one["uid"] not in names:
            names[one["uid"]] = user_name(one["uid"])
        one["user"] = names[one["uid"]]
    for one in holders:
        one["since"] = round(now - max(0.0, clock - one["since"]))
    return {"why": None, "holders": holders, "waits": waits}


def _board() -> "Board | None":
    path = directory(procs.identity())
    return None if path is None else Board(path, agent_name())


def _look(board: Board) -> "Any":
    deadline = system.monotonic() + _PATIENCE
    lock = board.enter()
    while lock is None and system.monotonic() < deadline:
        system.sleep(_PAUSE)
        lock = board.enter()
    try:
        return board.look()
    finally:
        if lock is not None:
            files.close_quietly(lock)


def usage(seconds: float) -> "dict[str, Any]":
    """Return what each run of each user has used in the last so many seconds, and since when that is known here."""
    board, now = _board(), system.time()
    sums: "dict[tuple[int, str], dict[str, Any]]" = {}
    first = now
    for person, line in [] if board is None else _lines(board):
        first = min(first, line["at"])
        if line["at"] < now - seconds:
            continue
        one = sums.setdefault((person, line["run"]), {
            "uid": person, "user": None, "run": line["name"][:100], "jobs": 0, "slots": 0.0, "memory": 0.0,
            "units": 0.0})
        for key in ("jobs", "slots", "memory", "units"):
            one[key] += line[key]
        one["jobs"] = int(one["jobs"])
    told = sorted(sums.values(), key=lambda one: -one["slots"])[:_MOST]
    names = {uid: user_name(uid) for uid in {one["uid"] for one in told}}
    for one in told:
        one["user"] = names[one["uid"]]
    return {"first": round(first), "used": told}


def _lines(board: Board) -> "list[tuple[int, dict[str, Any]]]":
    found = []
    for person, directory_ in board.persons():
        for name in used.NAMES:
            try:
                fd = files.open_regular("%s/%s" % (directory_, name))
            except OSError:
                continue
            try:
                if system.fstat(fd).st_uid != person:
                    continue
                data = system.pread(fd, 2 * used.MOST, 0)
            finally:
                os.close(fd)
            for text in data.split(b"\n"):
                line = written.parse(text)
                line = None if line is None else used.checked(line)
                if line is not None:
                    found.append((person, line))
    return found
