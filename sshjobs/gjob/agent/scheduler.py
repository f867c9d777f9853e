"""The scheduler of a cluster, asked from its login node: three commands, one call at a time, and none is waited for.

Each call leaves its answer in files, so that it is not lost with the agent that asked.
"""

import os
import re

from .. import files, system
from ..light import signal

MYPY = False
if MYPY:
    from typing import Any, Callable, Iterable

    from .helpers import Helpers

#: Seconds that a command may take. Slurm's own try for some ten seconds to reach slurmctld.
LIMIT_S = 60.0
#: States of a job of Slurm in which no process of it is left. Not NODE_FAIL: a node that does not answer may go on.
ENDED = frozenset(
    ("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "OUT_OF_MEMORY", "PREEMPTED", "TIMEOUT")
)
#: What stands for the state of a job of which the scheduler says nothing any more.
GONE = "GONE"
#: What Slurm's programs say while slurmctld, or the way to it, is away: whether it has heard what it was told is open.
_AWAY = re.compile(
    r"unable to contact slurm controller|connect failure|timed out|zero bytes|connection (refused|reset)"
    r"|temporarily|standby mode|not connected|munge|communication|unexpected message|DNS SRV"
    r"|authentication credential|unspecified error|backup controller",
    re.IGNORECASE,
)
_LONG_ARRAY = re.compile(r"invalid job array specification", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_ID = re.compile(r"[!-~]{1,100}")
_LISTED = re.compile(r"([0-9]{1,12})\|(N/A|[0-9\[\],%:-]{1,4000})\|([A-Z_]{1,40})\|([A-Za-z0-9_.-]{1,200})")
#: Elements of one line, as ``[4-9,12-20:2%3]``; more than so many are not believed.
_RANGE, _MOST_INDEXES = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9})(?::([0-9]{1,9}))?)?"), 100000
_PLACE = re.compile(r"\{([a-z]+)\}")
#: Leaves what a command says and how it ends in files; the last of them appears when the rest is complete.
_SH = 'out=$1; shift; "$@" >"$out.out" 2>"$out.err" </dev/null; echo $? >"$out.new"; mv -f "$out.new" "$out.rc"'


class Answer:
    """What a command has said. ``status`` is ``None`` where it did not end in time."""

    def __init__(self, status: "int | None", out: str, err: str):
        self.status, self.out, self.err = status, out, err

    @property
    def words(self) -> str:
        """The last line of its complaints, fit to be shown."""
        lines = [_CONTROL.sub(" ", line).strip() for line in (self.err or self.out)[-4096:].splitlines()]
        told = [line for line in lines if line] or [
            "no answer in time" if self.status is None else "it ended with %d" % self.status
        ]
        return re.sub(r"^(sbatch|squeue|scancel): (error: )?", "", told[-1])[:200]


class Plan:
    """What the three commands are, as the manager's hello says it.

    :ivar slurm: they are those of Slurm; else a user's own, which get what they need as variables
    :ivar size: how many jobs go into one submission, at most
    :ivar limit: seconds that a job may take by the scheduler's own watch, ``None`` where that is not known
    """

    def __init__(self, said: "dict[str, Any]"):
        self.slurm: bool = said["kind"] == "slurm"
        self.size: int = said["size"]
        self.limit: "float | None" = said["limit"]
        self.python: str = said["python"] or "python3"
        self.name = "Slurm" if self.slurm else "the scheduler"
        self._said = said

    def call(self, verb: str, values: "dict[str, list[str]]") -> "tuple[list[str], dict[str, str]]":
        """Return the command line of a command, and its variables.

        :param values: what stands for each placeholder: a word that is one by itself becomes as many words as there
            are, one that only holds it is left out where there is none
        """
        words: "list[str]" = []
        for word in self._said[verb]:
            found = _PLACE.search(word) if self.slurm else None
            if found is None:
                words.append(word)
            elif found.group(0) == word:
                words += values[found.group(1)]
            elif values[found.group(1)]:
                words.append(word.replace(found.group(0), ",".join(values[found.group(1)])))
        return words, {"SSHJOBS_" + name.upper(): " ".join(values[name]) for name in values}

    def submitted(self, answer: Answer) -> "str | None":
        """Return the id that a submission was given; ``None`` where none was told."""
        lines = [line for line in answer.out.splitlines() if line.strip()]
        if answer.status != 0 or not lines:
            return None
        word = lines[-1].split()[0]
        if self.slurm:
            word = word.partition(";")[0]
        return word if (word.isdigit() if self.slurm else _ID.fullmatch(word)) else None

    def refused(self, answer: Answer) -> bool:
        """Tell whether there will certainly be no such job."""
        if answer.status is None or answer.status <= 0:
            return False
        if not self.slurm:
            return answer.status in (126, 127)
        return answer.status in (126, 127) or ("error" in answer.err and _AWAY.search(answer.err[-4096:]) is None)

    def too_long(self, answer: Answer) -> bool:
        """Tell whether it was refused for its length."""
        return self.slurm and _LONG_ARRAY.search(answer.err[-4096:]) is not None

    def states(self, found: "list[tuple[str, int, str, str]]", name: str,
               jobs: "Iterable[str]") -> "dict[int, list[str]]":
        """Return the states of all that is known under a name, or (of a user's scheduler) of these jobs, by index."""
        states: "dict[int, list[str]]" = {}
        known = set(jobs)
        for job, index, state, called in found:
            if called == name if self.slurm else job in known:
                states.setdefault(index, []).append(state)
        return states

    def listed(self, answer: Answer) -> "list[tuple[str, int, str, str]] | None":
        """Return what the scheduler knows of, as (id, index, state, name); ``None`` where it has told nothing that can
        be believed. Of a user's command each line is a job that is not over."""
        if answer.status != 0:
            return None
        found = []
        for line in answer.out.splitlines():
            if not line.strip():
                continue
            if not self.slurm:
                found.append((line.split()[0], 0, "", ""))
                continue
            match = _LISTED.fullmatch(line.strip())
            if match is None:
                return None
            indexes = _indexes(match.group(2))
            if indexes is None:
                return None
            found += [(match.group(1), index, match.group(3), match.group(4)) for index in indexes]
        return found


def _indexes(text: str) -> "list[int] | None":
    """Return the elements that squeue means: those that it has not told apart come as ranges."""
    found: "list[int]" = []
    for part in text.partition("%")[0].strip("[]").split(",") if text != "N/A" else ():
        match = _RANGE.fullmatch(part)
        if match is None or len(found) > _MOST_INDEXES:
            return None
        first, step = int(match.group(1)), int(match.group(3) or 1)
        last = int(match.group(2) or first)
        if not step or last - first > _MOST_INDEXES:
            return None
        found += range(first, last + 1, step)
    return found


class Calls:
    """Carries commands out, one after the other.

    :param directory: where their answers go
    :param helpers: the agent's, which are reaped there
    """

    def __init__(self, directory: str, helpers: "Helpers"):
        self._directory, self._helpers = directory, helpers
        self._waiting: "list[tuple[list[str], dict[str, str], Callable[[Answer], None]]]" = []
        self._now: "Callable[[Answer], None] | None" = None
        self._path, self._pid, self._until, self._count = "", 0, 0.0, 0

    @property
    def busy(self) -> bool:
        """Whether a command runs or waits."""
        return self._now is not None or bool(self._waiting)

    def ask(self, words: "list[str]", variables: "dict[str, str]", then: "Callable[[Answer], None]") -> None:
        """Carry a command out when those before it have ended; then is given its answer."""
        self._waiting.append((words, variables, then))

    def act(self, now: float) -> None:
        """Take the answer that has come, and begin with the next command."""
        if self._now is not None:
            answer = self._read(now)
            if answer is None:
                return
            then, self._now = self._now, None
            then(answer)
        if self._waiting and self._now is None:
            words, variables, then = self._waiting[0]
            self._start(words, variables)
            self._waiting.pop(0)
            self._now, self._until = then, now + LIMIT_S

    def _start(self, words: "list[str]", variables: "dict[str, str]") -> None:
        self._count += 1
        self._path = "%s/call-%d-%d" % (self._directory, system.getpid(), self._count)
        env = system.environ()
        env.update((name.encode("ascii"), os.fsencode(variables[name])) for name in variables)
        argv = [os.fsencode(word) for word in ["/bin/sh", "-c", _SH, "sh", self._path] + words]
        null = system.open(os.devnull, os.O_RDWR)
        try:
            self._pid = system.spawn(argv[0], argv, env, (null, null, null), [])
        finally:
            files.close_quietly(null)
        self._helpers.pids.add(self._pid)

    def _read(self, now: float) -> "Answer | None":
        """Return the answer, once there is one or it has taken too long."""
        parts = {}
        try:
            parts = {
                end: files.contents(self._path + end).decode("utf-8", "replace") for end in (".rc", ".out", ".err")
            }
        except FileNotFoundError:
            if now < self._until and self._pid in self._helpers.pids:
                return None
            self._helpers.end(self._pid)
        for end in (".rc", ".out", ".err", ".new"):
            files.unlink_quietly(self._path + end)
        status = parts.get(".rc", "").strip()
        return Answer(int(status) if status.isdigit() else None, parts.get(".out", ""), parts.get(".err", ""))


def killed(why: str, status: "int | None", number: "int | None") -> bool:
    """True for an end that the scheduler may have brought about: by TERM or KILL, of the program or, as its shell
    tells, of one below it; or by a runner that was told to."""
    return why == "closed" or (why == "signalled" and number in (signal.SIGTERM, signal.SIGKILL)) or (
        why == "exited" and status in (128 + signal.SIGTERM, 128 + signal.SIGKILL)
    )
