"""``gjob remote …``: the same on other hosts, over ssh. This code goes along; nothing need be installed there."""

import os
import random
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from ..wire import parse
from .args import Words, tell_status
from .control import signal_number
from .files import Parcel
from .jobdir import ID
from .say import FAILED, OK, Trouble, complain, reason, say, usage, write_all
from .ssh import Target, call

MYPY = False
if MYPY:
    from typing import Any

    from .local import Verb

    Facts = dict[str, Any]

#: How many hosts are asked at the same time.
_AT_ONCE = 16
_MOST_WORKERS = 100000
#: What a host may say of a job, and how much of it, in bytes and characters; no number there is as large as that.
_STATES = ("free", "busy", "done", "error", "unknown")
_LONGEST_LINE, _LONGEST_TEXT, _NO_NUMBER = 1 << 16, 1000, 1 << 63

# The whole remote command of an interactive shell: hex digits mean the same to every login shell.
_SHELL = """
import os
home = os.environ.get("HOME", "/")
path = %r
try:
    os.chdir(os.path.join(home.encode(), path[2:]) if path.startswith(b"~/") else path)
except OSError as error:
    raise SystemExit("gjob: %%s: there is no such job directory: %%s" %% (%r, error.strerror))
shell = os.environ.get("SHELL") or "/bin/sh"
os.execvp(shell, ["-" + os.path.basename(shell)])
"""


class _Remote:
    """A remote verb's words, with the options that all of them have."""

    def __init__(self, words: "list[str]", takes: str, short: str = "", long: "tuple[str, ...]" = ()):
        self.words = Words(words, takes, "r:F:" + short, ["results=", "ssh-config=", "host="] + list(long))
        path = self.words.option("-r", "--results") or os.environ.get("GJOB_REMOTE_PATH")
        if not path:
            raise usage("the directory of the jobs on the hosts is not known", None,
                        "set GJOB_REMOTE_PATH, or use -r PATH")
        self.results = _text(path)
        self._host = self.words.option("--host")

    def target(self, host: str) -> Target:
        """Return the way to a host."""
        return Target(host, self.words.option("-F", "--ssh-config"))

    def host_of(self, name: str) -> str:
        """Return the host of a job, by its id unless an option says otherwise.

        :raises Trouble: it is no id
        """
        if not ID.fullmatch(name):
            raise usage("'%s' is not a job's id" % name, None,
                        "write it as gjob remote start prints it: HOST/YYYY-MM-DD[-N]")
        return self._host or name.partition("/")[0]

    def ask(self, name: str, verb: str, **more: "Any") -> int:
        """Carry out a verb on a job, and pass on what it says."""
        request = dict(more, verb=verb, id=name, results=self.results)
        body = [request.pop("body", b"")]
        return call(self.target(self.host_of(name)), request, write_all, body)


def _text(word: str) -> str:
    return os.fsencode(word).decode("utf-8", "surrogateescape")


def _start(words: "list[str]", takes: str) -> int:
    remote = _Remote(words, takes, "ct")
    host, *paths = remote.words.need(1)
    if remote.words.flag("-c"):
        host = choose_worker(host)
    target = remote.target(host)
    parcel = Parcel(_script(), paths)
    request = {"verb": "start", "results": remote.results, "files": parcel.listing,
               "follow": remote.words.flag("-t")}
    first = b""

    def out(number: int, data: bytes) -> None:
        nonlocal first
        write_all(number, data)
        if number == 1 and b"\n" not in first and len(first) < _LONGEST_TEXT:
            first += data[:_LONGEST_TEXT]
            if b"\n" in first:
                _note(host, first.split(b"\n")[0].decode("ascii", "replace"))

    return call(target, request, out, parcel.pieces())


def _note(host: str, name: str) -> None:
    if ID.fullmatch(name) and name.partition("/")[0] != host:
        complain("the id of the job leads to %s; where that is not enough, add: --host %s"
                 % (name.partition("/")[0], host))


def _script() -> bytes:
    if sys.stdin is None or sys.stdin.isatty():
        complain("type the commands, and end them with Ctrl-D")
    return sys.stdin.buffer.read() if sys.stdin is not None else b""


def choose_worker(path: str) -> str:
    """Return one of the workers of a cluster file. Its first host is the management host, which runs no jobs.

    :raises Trouble: there is none, or something in it is no host
    """
    try:
        with open(path, encoding="utf-8") as file:
            lines = [re.sub(r"(^|\s)#.*", "", line).split() for line in file]
    except (OSError, UnicodeDecodeError) as error:
        raise usage("%s: it cannot be read" % path, reason(error) if isinstance(error, OSError) else "not text",
                    "name a cluster file: the management host, then a worker on each line")
    named = [(number, line[0]) for number, line in enumerate(lines, 1) if line]
    for number, host in named:
        try:
            Target(host, None)
        except Trouble as error:
            raise usage("%s:%d: %s" % (path, number, error))
    workers = [host for _, host in named[1:_MOST_WORKERS] if host != named[0][1]]
    if not workers:
        raise usage("%s: it names no worker" % path, None, "the first line is the management host; add others")
    return random.choice(workers)


def _status(words: "list[str]", takes: str) -> int:
    remote = _Remote(words, takes, "", ("json",))
    by_host: "dict[str, list[str]]" = {}
    names = remote.words.need(1)
    for name in names:
        asked = by_host.setdefault(remote.host_of(name), [])
        if name not in asked:
            asked.append(name)
    targets = {host: remote.target(host) for host in by_host}
    known: "dict[str, Facts]" = {}
    failed = False

    def ask(host: str) -> "tuple[dict[str, Facts], Trouble | None]":
        try:
            return _ask_status(targets[host], remote.results, by_host[host]), None
        except Trouble as error:
            facts = {"state": "unknown", "reason": str(error)}
            return {name: facts for name in by_host[host]}, error

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for answers, trouble in pool.map(ask, by_host):
            known.update(answers)
            if trouble is not None:
                failed = True
                complain(str(trouble))
    for name in names:
        say(tell_status(name, known[name], remote.words.flag("--json")))
    return FAILED if failed else OK


def _ask_status(target: Target, results: str, names: "list[str]") -> "dict[str, Facts]":
    told = {1: b"", 2: b""}

    def out(number: int, data: bytes) -> None:
        if number == 1 and len(told[1]) > _LONGEST_LINE * len(names):
            raise Trouble("%s: it tells more than there is" % target.host)
        told[number] = (told[number] + data)[-_LONGEST_LINE:] if number == 2 else told[number] + data

    status = call(target, {"verb": "status", "results": results, "ids": names}, out)
    lines = told[1].splitlines()
    if status or len(lines) != len(names):
        why = told[2].decode("utf-8", "replace").strip()
        raise Trouble("%s: it does not tell" % target.host, why.replace("gjob: ", "", 1)[:_LONGEST_TEXT] or None)
    try:
        return dict(zip(names, map(_facts, lines)))
    except ValueError as error:
        raise Trouble("%s: it said what it must not say" % target.host, str(error))


def _facts(line: bytes) -> "Facts":
    """Return what a host says of a job, as far as it can be so.

    :raises ValueError: it cannot
    """
    facts = parse(line)
    if facts.get("state") not in _STATES:
        raise ValueError("no state of a job")
    for key, value in facts.items():
        if isinstance(value, str):
            facts[key] = value[:_LONGEST_TEXT]
        elif value is not None and not (type(value) in (bool, int, float) and abs(value) < _NO_NUMBER):
            raise ValueError("a bad %.50r" % key)
    return facts


def _kill(words: "list[str]", takes: str) -> int:
    remote = _Remote(words, takes)
    name, *args = remote.words.need(1)
    return remote.ask(name, "kill", signal=signal_number(args))


def _pause(words: "list[str]", takes: str) -> int:
    remote = _Remote(words, takes)
    return remote.ask(remote.words.need(1, 1)[0], "pause")


def _unpause(words: "list[str]", takes: str) -> int:
    remote = _Remote(words, takes)
    return remote.ask(remote.words.need(1, 1)[0], "unpause")


def _is_paused(words: "list[str]", takes: str) -> int:
    remote = _Remote(words, takes)
    return remote.ask(remote.words.need(1, 1)[0], "is-paused")


def _delete(words: "list[str]", takes: str) -> int:
    remote = _Remote(words, takes)
    return remote.ask(remote.words.need(1, 1)[0], "delete")


def _cmd(words: "list[str]", takes: str) -> int:
    remote = _Remote(words, takes, "i")
    name = remote.words.need(1, 1)[0]
    if not remote.words.flag("-i"):
        remote.host_of(name)  # before anything is read
        script = _script()
        return remote.ask(name, "cmd", body=script, size=len(script))
    if sys.stdin is None or not sys.stdin.isatty():
        raise usage("-i needs a terminal", None, "without -i the commands come from standard input")
    path = os.path.join(remote.results, name).encode("utf-8", "surrogateescape")
    code = (_SHELL % (path, name)).encode("utf-8").hex()
    argv = remote.target(remote.host_of(name)).argv('exec python3 -ISc "exec(bytes.fromhex(\'%s\'))"' % code, True)
    try:
        return subprocess.call(argv)
    except OSError as error:
        raise Trouble("ssh cannot be started", reason(error), "install the OpenSSH client")


#: By verb: what carries it out, what it takes, what it does.
VERBS: "dict[str, tuple[Verb, str, str]]" = {
    "start": (_start, "[-c] [-t] HOST [FILE...] < COMMANDS",
              "start a script with its files there and print the id; -c: HOST is a cluster file, take any worker; "
              "-t: show what it writes until it is over"),
    "status": (_status, "[--json] ID...", "print of each whether it is free, busy, done, error or unknown"),
    "kill": (_kill, "ID [-SIGNAL]", "end all that it started, or send that a signal"),
    "pause": (_pause, "ID", "stop all that it started"),
    "unpause": (_unpause, "ID", "let it go on"),
    "is-paused": (_is_paused, "ID", "print yes (exit status 0) or no (1)"),
    "delete": (_delete, "ID", "empty its directory; the id is never used again"),
    "cmd": (_cmd, "[-i] ID < COMMANDS", "run commands in its directory; -i: a shell at your terminal"),
}
