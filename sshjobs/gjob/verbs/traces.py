"""What runs have left on this host: told without changing anything, and removed where that is asked.

``survey`` only reads. ``sweep`` ends processes by the tokens that it is given, and deletes directories that it is
given, each under the lock of its agent's door and only if nothing else has come there since the survey.
"""

import os
import re
import stat
import time

from .. import door, kill, procs
from ..agent.cache import Cache
from ..journal import Reader
from ..places import Places, is_own, usual_roots
from ..trees import count_files, remove_tree
from ..values import is_id

MYPY = False
if MYPY:
    from typing import Any, Iterable, Iterator

_RUN, _HOST = re.compile(r"[0-9a-f]{32}\Z"), re.compile(r"[0-9a-f]{16}\Z")
_ADDRESS = re.compile(r"([0-9a-f]{8})-([0-9a-f]{8})\.(?:sock|lock)\Z")
_VARIABLES = {b"SSHJOBS_TOKEN": "token", b"SSHJOBS_JOB": "job", b"SSHJOBS_RUN": "run"}
#: Seconds that what is ended gets in all before it counts as stuck.
KILL_WITHIN = 10.0


# -- reading ---------------------------------------------------------------------------------------------------------

def survey(run: "str | None") -> "dict[str, Any]":
    """Return what of one run, or of every run, is on this host. Changes nothing."""
    found = procs.table()
    directories = [_describe(places) for places in directories_of(run)]
    inputs = sum(Cache(root).count() for root in usual_roots()) if run is None else 0
    return {"boot": procs.identity(), "clock": time.time(), "directories": directories, "inputs": inputs,
            "processes": _processes(found, [one["base"] for one in directories])}


def directories_of(run: "str | None") -> "Iterator[Places]":
    if run is not None and not _RUN.match(run):
        return
    for root in usual_roots():
        for name in _names(root, _RUN) if run is None else [run]:
            for host in _names(os.path.join(root, name), _HOST):
                yield Places(root, name, host)


def _names(path: str, pattern: "re.Pattern[str]") -> "list[str]":
    """Return the directories of such a name in a directory that is ours."""
    try:
        if not is_own(os.path.realpath(path) if path == usual_roots()[0] else path):
            return []
        return sorted(name for name in os.listdir(path)
                      if pattern.match(name) and stat.S_ISDIR(os.lstat(os.path.join(path, name)).st_mode))
    except OSError:
        return []


def _describe(places: Places) -> "dict[str, Any]":
    records, released, kept, boots, changed = _journals(places)
    there = {name for name in _listed(places.work) if is_id(name)}
    uids = there | set(records)
    kept &= there
    files = max(1, count_files(places.base))
    left = files
    if kept:
        # Beside them there is what tells that they are kept.
        left -= sum(count_files(places.cwd(uid)) for uid in kept) + len(_listed(places.journals))
    return {"run": os.path.basename(places.run), "host": os.path.basename(places.base), "base": places.base,
            "agent": any(_is_served(address) for address in _addresses(places)), "boots": sorted(boots),
            "changed": changed, "files": files, "left": max(0, left), "kept": sorted(kept),
            "attempts": [_attempt(uid, records.get(uid, {}), places) for uid in sorted(uids - released)]}


def _journals(places: Places) -> "tuple[dict[str, dict[str, Any]], set[str], set[str], set[str], float]":
    """Return what the journals say: records by attempt and kind, what was released, which directories are kept, boots,
    and when it was said."""
    records = {}  # type: dict[str, dict[str, Any]]
    released, kept, boots = set(), set(), set()  # type: set[str], set[str], set[str]
    changed = 0.0
    for name in _listed(places.journals):
        path = os.path.join(places.journals, name)
        try:
            changed = max(changed, os.stat(path).st_mtime)
        except OSError:  # its runner is done with
            continue
        for item in Reader(path).read():
            if isinstance(item.get("boot"), str):
                boots.add(item["boot"])
            if item["k"] == "release":
                released.update(uid for uid in item.get("ids", ()) if isinstance(uid, str))
                kept.update(uid for uid in item.get("keep", ()) if isinstance(uid, str))
            elif isinstance(item.get("id"), str):
                records.setdefault(item["id"], {})[item["k"]] = item
    return records, released, kept, boots, changed


def _attempt(uid: str, records: "dict[str, Any]", places: Places) -> "dict[str, Any]":
    claim, end = records.get("claim", {}), records.get("end")
    if end is not None or "fence" in records:
        state = "ended"
    elif claim and claim.get("boot") != procs.identity():
        state = "reboot"
    else:
        state = "running"
    end = end or {}
    return {"id": uid, "state": state, "token": claim.get("token", ""), "why": end.get("why"),
            "status": end.get("status"), "signal": end.get("signal"),
            "out": places.size(uid, 1), "err": places.size(uid, 2)}


def _processes(found: "dict[int, procs.Proc]", bases: "Iterable[str]") -> "list[dict[str, Any]]":
    """Return the living processes of jobs, by token or descent, and the agents and runners of these directories."""
    logs = {base + "/log": base for base in bases}
    staff = {}  # type: dict[int, str]
    holding = {}  # type: dict[int, dict[str, Any]]
    for proc in found.values():
        if proc.dead:
            continue
        base = logs.get(_link("/proc/%d/fd/2" % proc.pid))
        said = _environment(proc.pid)
        if base is not None:
            staff[proc.pid] = base
        elif "token" in said:
            holding[proc.pid] = said
    told = [_process(found[pid], {}, base) for pid, base in staff.items()]
    told += [_process(found[pid], said, None) for pid, said in holding.items()]
    for root in list(holding) + list(staff):
        # What has another environment, or belongs to another user, is told by whose child it is.
        for proc in procs.descendants(found, [root]):
            if proc.pid not in holding and proc.pid not in staff and not proc.dead:
                said = holding.get(root, {})
                told.append(_process(proc, said, staff.get(root)))
                holding[proc.pid] = said
    return told


def _process(proc: procs.Proc, said: "dict[str, Any]", base: "str | None") -> "dict[str, Any]":
    return {"pid": proc.pid, "start": proc.start, "state": proc.state, "token": said.get("token", ""),
            "job": said.get("job", ""), "run": said.get("run", ""), "base": base, "user": _user_of(proc.pid)}


def _environment(pid: int) -> "dict[str, str]":
    try:
        with open("/proc/%d/environ" % pid, "rb") as file:
            words = file.read().split(b"\0")
    except OSError:  # gone, or another user's
        return {}
    pairs = (word.partition(b"=") for word in words)
    return {_VARIABLES[name]: value.decode("utf-8", "replace") for name, _, value in pairs if name in _VARIABLES}


def _user_of(pid: int) -> "int | None":
    """Return whose process it is where it is not ours: we can signal it only as root."""
    try:
        user = os.stat("/proc/%d" % pid).st_uid
    except OSError:
        return None
    return None if user == os.getuid() else user


def _link(path: str) -> str:
    try:
        return os.readlink(path).replace(" (deleted)", "")
    except OSError:
        return ""


def _listed(path: str) -> "list[str]":
    try:
        return os.listdir(path)
    except OSError:
        return []


# -- agents' doors ---------------------------------------------------------------------------------------------------

def _addresses(places: Places) -> "list[door.Address]":
    run, host = os.path.basename(places.run), os.path.basename(places.base)
    return [door.Address(directory, run, host) for directory in door.own_directories()]


def _is_served(address: door.Address) -> bool:
    connection = address.connect()
    if connection is None:
        return False
    connection.close()
    return True


# -- removing --------------------------------------------------------------------------------------------------------

def sweep(tokens: "list[str]", directories: "list[dict[str, Any]]", inputs: bool) -> "dict[str, Any]":
    """End what carries one of the tokens and all below it, delete directories, and remove doors that nobody keeps.

    :param directories: ``run``, ``host``, and ``ids``: the attempts that may be in it; ``staff``: an agent that is
        there is ended too
    :param inputs: throw out the inputs that are kept for later runs; runs that use one have it by a name of their own
    :return: how much was removed, and what was not, with the reason
    """
    ended = _end(lambda: _tree(procs.holders(tokens, procs.table()))) if tokens else 0
    told = {"processes": ended, "directories": 0, "files": 0, "doors": 0, "kept": []}  # type: dict[str, Any]
    for wish in directories:
        for places in directories_of(wish["run"]):
            if os.path.basename(places.base) == wish["host"]:
                _remove(places, wish, told)
    if inputs:
        told["files"] += sum(Cache(root).clear()[0] for root in usual_roots())
    told["doors"] = sum(map(_clear_doors, door.own_directories()))
    return told


def _remove(places: Places, wish: "dict[str, Any]", told: "dict[str, Any]") -> None:
    locks = []
    door.runtime_directory()  # without it there would be no lock, and somebody might make it meanwhile
    try:
        for address in _addresses(places):
            lock = address.take_lock(door.PATIENCE)
            if lock is None:
                return _keep(places, "somebody is about to use it", told)
            locks.append((address, lock))
        served = any(_is_served(address) for address, _ in locks)
        if served and not wish["staff"]:
            return _keep(places, "an agent serves it", told)
        known = set(wish["ids"])
        if any(one["id"] not in known for one in _describe(places)["attempts"]):
            return _keep(places, "more is in it than before", told)
        if wish["staff"]:
            told["processes"] += _end(lambda: _tree(_staff(places)))
        files = count_files(places.base)
        left = remove_tree(places.base)
        told["files"] += max(0, files - left)
        if left:
            return _keep(places, "%d things in it cannot be deleted" % left, told)
        told["directories"] += 1
        places.remove_empty_parents()
    finally:
        for address, lock in locks:
            if not _is_served(address):
                _unlink(address.socket, address.lock)
                door.leave(address.directory)
            os.close(lock)
    return None


def _keep(places: Places, why: str, told: "dict[str, Any]") -> None:
    told["kept"].append([places.base, why])


def _staff(places: Places) -> "list[procs.Proc]":
    log = places.base + "/log"
    return [proc for proc in procs.table().values() if not proc.dead and _link("/proc/%d/fd/2" % proc.pid) == log]


def _tree(roots: "list[procs.Proc]") -> "list[procs.Proc]":
    below = procs.descendants(procs.table(), [proc.pid for proc in roots])
    return [proc for proc in {proc.pid: proc for proc in roots + below}.values()
            if not proc.dead and proc.pid != os.getpid()]


def _end(members: "kill.Members") -> int:
    """End what a scan finds, TERM first; return how many processes are gone when this returns."""
    first = {(proc.pid, proc.start) for proc in members()}
    now = time.monotonic()
    killer, deadline = kill.Killer(members, 1.0, now), now + KILL_WITHIN
    seen = set(first)
    while now < deadline:
        alive = {(proc.pid, proc.start) for proc in members()}
        seen |= alive
        if not alive:
            break
        time.sleep(max(0.0, min(0.1, killer.act(now) - now)))
        now = time.monotonic()
    return len(seen) - len([proc for proc in members() if (proc.pid, proc.start) in seen])


def _clear_doors(directory: str) -> int:
    """Remove the sockets and locks of agents that are gone; return how many doors that were."""
    cleared = 0
    for run, host in {match.groups() for match in map(_ADDRESS.match, _listed(directory)) if match}:
        address = door.Address(directory, run, host)
        lock = address.take_lock(0.0)
        if lock is None:
            continue
        if not _is_served(address):
            cleared += _unlink(address.socket, address.lock)
        os.close(lock)
    door.leave(directory)
    return cleared


def _unlink(*paths: str) -> int:
    done = 0
    for path in paths:
        try:
            os.unlink(path)
            done = 1
        except OSError:
            pass
    return done
