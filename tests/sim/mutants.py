"""Ways to break a promise, each a small patch of a shipped file that is applied while a play runs: the plays must find
each.

``python -m tests.sim.mutants`` says after how many plays each was found, and keeps by which in ``hunted.json``: the next hunt
begins with that.
"""

from __future__ import annotations
import __future__

import contextlib
import importlib
import inspect
import itertools
import json
import os
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from sshjobs.model.spec import Job
from sshjobs.model.states import STATE_ERROR, STATE_FREE, Outcome
from sshjobs.network.session.attempts import Ended, LiveAttempt
from sshjobs.network.session.book import HostBook
from tests.sim.campaign import Told, play_one, seeds

#: Plays within which each has to be found.
WITHIN = 1500
#: By which play each was found last. Where the code has changed since, that may be another.
HUNTED = Path(__file__).with_name("hunted.json")


class Mutant(NamedTuple):
    """One of them.

    :ivar where: module, class and function below ``sshjobs``
    :ivar old: what stands there once
    :ivar new: what is put in its place
    """

    where: str
    old: str
    new: str


_HOSTS = "scheduling.hosts:ScheduledHosts"
_BOOK = "network.session.book:HostBook"
_CREW = "gjob.agent.crew:Crew"
_RUNNER = "gjob.runner:Runner"
_ADOPTED = "gjob.agent.adopt:Adopted"
_HISTORY = "gjob.agent.attempts:History"
_TALK = "gjob.agent.talk:Talk"

ALL: dict[str, Mutant] = {
    # -- here
    "send before commit": Mutant(
        "running.housekeeping:Housekeeping.commit", "    self._patiently(self.books.commit)",
        "    self._patiently(self.network.flush)\n    self._patiently(self.books.commit)"),
    "let hosts forget before the commit": Mutant(
        "running.housekeeping:Housekeeping.commit", "    self._patiently(self.books.commit)",
        "    self.network.release(self.books.due(self.clock.monotonic(), hurry=True))\n"
        "    self._patiently(self.books.commit)"),
    "retry on ssh's 255": Mutant(
        "network.session.session:HostSession._why_ended", "    ending = await stream.close()",
        "    take_for_failed(self.book)\n    ending = await stream.close()"),
    "skip the fence on cancel": Mutant(
        f"{_BOOK}.cancel", "    elif self.open:",
        "    elif not attempt.seen:\n        take_for_cancelled(self, attempt)\n    elif self.open:"),
    "cancel not heard": Mutant(f"{_BOOK}.cancel", 'self._say(lambda link: link.say("cancel", id=uid, grace=grace))', "pass"),
    "pause not heard": Mutant(
        f"{_BOOK}.pause", 'self._say(lambda link: link.say("pause" if paused else "unpause", id=uid))', "pass"),
    "forget a cancel with the manager": Mutant(
        "running.manager:Manager.Resume", "self.cancel(job for job in unfinished if job.index + 1 in cancelled)", "pass"),
    "try again without the delay": Mutant("running.manager:Manager._conclude", "delay = delay_before(job)", "delay = None"),
    "forget a delay with the manager": Mutant(
        "running.endings:Endings._time_of", "if job.not_before is None or", "if job.state == STATE_FREE or"),
    "withdraw what has run": Mutant("running.requests.withdraw:Withdraw.check", "if not never_started(job):", "if False:"),
    "reuse an attempt number": Mutant(
        "model.spec:Job.new_attempt", "self.attempts[-1].n + 1 if", "self.attempts[-1].n if"),
    "release before the outputs are safe": Mutant(
        "network.engine:Engine._sync", "await self._sync_outputs(attempts)", "pass"),
    "trust a stale boot id": Mutant(
        f"{_BOOK}.welcome", 'if not facts["resumed"] or known_boot not in (None, self.boot):', "if False:"),
    "drop a resend": Mutant(f"{_BOOK}.state", "self._send(attempt)", "pass"),
    "send again what may have run": Mutant(
        f"{_BOOK}.state", "attempt.seen or attempt.may_have_run or attempt.cancelling",
        "attempt.cancelling"),
    "let what was declared lost run on": Mutant(
        f"{_BOOK}.state", 'self.answer("cancel", id=uid, grace=0.0)', "pass"),
    "forget to release what ended while the host was away": Mutant(
        f"{_BOOK}.release", "self._to_release += uids", "pass"),
    "resume without asking": Mutant(
        "store.reader:RunReader.load_unfinished", "read_job(row, specs, group)",
        "take_for_never_started(read_job(row, specs, group))"),
    "offset from the wrong stream": Mutant(
        f"{_BOOK}.have", "attempt.have[0], attempt.have[1]", "attempt.have[1], attempt.have[0]"),
    "write the next attempt over the output of the last": Mutant(
        "network.session.records:Records.make_way", "self._files.put_aside(directory, aside)", "pass"),
    "write stdout into stderr": Mutant(f"{_BOOK}.store", "attempt.path(output.stream)", "attempt.path(3 - output.stream)"),
    "forget what jobs of another manager hold": Mutant(
        "scheduling.schedule:Schedule.occupy", "self.hosts.enter(host, job, needs_now(job), ", "self.hosts.enter(host, job, None, "),
    "forget which GPUs jobs of another manager have": Mutant(
        "scheduling.schedule:Schedule.occupy", "(job.attempts[-1].gpus if job.attempts else None) or ()", "()"),
    "give a GPU to two jobs": Mutant("scheduling.gpurack:GpuRack.hold", "self._holders.update(dict.fromkeys(given, job))", "pass"),
    "count no memory": Mutant("scheduling.room:Room._count", "sign * needs.memory", "0"),
    "count no counters": Mutant("scheduling.room:Room._count", "sign * number", "0"),
    "send ahead beside what takes more than its share": Mutant(
        f"{_HOSTS}.settle", "0 if place.heavy or place.kept_for is not None else self._prefetch_limit(host, place)",
        "self._prefetch_limit(host, place)"),
    # -- on hosts
    "start on GPUs without a last look": Mutant(f"{_CREW}.launch", "self.gpus().clear(attempt)", "attempt.cleared = True"),
    "take a signal for an exit status": Mutant(
        f"{_RUNNER}._reap", "job.signal = info.si_status", "job.status = info.si_status"),
    "use inputs that a power failure has left": Mutant(
        "gjob.agent.agent:Agent.__init__", "self._blobs.forget_all()", "pass"),
    "use a kept input unseen": Mutant("gjob.agent.cache:Cache._comparing", "if digest.hexdigest() == sha:", "if True:"),
    "ack before claim": Mutant(
        f"{_RUNNER}._run", "    try:\n        self._make_directory(job)",
        '    self._tell(b\'{"t":"started","id":"%s","pid":1,"at":1.0}\' % job.uid.encode("ascii"))\n'
        "    try:\n        self._make_directory(job)"),
    "pid-only identity": Mutant("gjob.procs:lives", "proc.start == start and ", ""),
    "reap before the end is written down": Mutant(
        f"{_RUNNER}._reap", "self._journal.append(", "str("),
    "leave what a job has left": Mutant(
        f"{_RUNNER}._is_over", "(alone or (job.keep and job.killer is None))", "True"),
    "leave with what was not written down": Mutant(f"{_RUNNER}._leave", "while not self._journal.retry():", "while False:"),
    "drop what a full disk does not take": Mutant(
        "gjob.journal:Journal.retry", "        self.trouble = error\n        return False",
        '        self._unwritten = b""\n        return False'),
    "forget a prefetched job": Mutant(
        "gjob.agent.agent:Agent._drop_link", "    if talk is None:",
        "    self._crew.queue.clear()\n    if talk is None:"),
    "fence what runs": Mutant(f"{_CREW}.fence", "(attempt is not None and attempt.state != QUEUED)", "False"),
    "take a fence that was cut short for a runner's death": Mutant(
        "gjob.agent.adopt:recover", " or (not records and places.is_fenced(uid))", ""),
    "let the jobs of dead runners go to init": Mutant(
        "gjob.agent.agent:Agent.run", "self._crew.inherits = system.adopt_orphans()", "pass"),
    "do not look after the job of a dead runner": Mutant(f"{_CREW}._adopt", "self._adopted[attempt.uid] = watched", "pass"),
    "do not read what other runners write": Mutant(f"{_CREW}._look_after_adopted", "self._history.refresh()", "pass"),
    "take the end of the runner for that of the job": Mutant(
        f"{_ADOPTED}._running", 'return procs.lives(start["pid"], start["start"])', "return False"),
    "leave what the job of a dead runner has left": Mutant(f"{_ADOPTED}._over", "and self.members():", "and False:"),
    "take another boot for this one": Mutant("gjob.agent.adopt:recover", '(claim["boot"] != here)', "False"),
    "tell the end before the output": Mutant(f"{_TALK}._send_outputs", "elif not news:", "else:"),
    "remove what an earlier agent had": Mutant("gjob.agent.agent:Agent._unused", "return ", "return True or "),
}


def _take_for_never_started(job: Job) -> Job:
    attempt = job.attempt
    if attempt is not None and attempt.outcome is None:
        attempt.state, attempt.outcome, attempt.released = STATE_ERROR, Outcome.NEVER_STARTED, True
        job.state = STATE_FREE
    return job


def _take_for_failed(book: HostBook) -> None:
    for attempt in [live for live in book.live.values() if not live.over]:
        book.end(attempt, Ended(attempt.uid, Outcome.FAILED, 255, None, None, None, None, None, None,
                                (attempt.have[0], attempt.have[1])))


def _take_for_cancelled(book: HostBook, attempt: LiveAttempt) -> None:
    book.end(attempt, Ended(attempt.uid, Outcome.CANCELLED, None, None, None, None, None, None, None, (0, 0)))


#: What mutants call.
HELP = {"take_for_never_started": _take_for_never_started, "take_for_failed": _take_for_failed,
        "take_for_cancelled": _take_for_cancelled}


def patched(mutant: Mutant) -> tuple[Any, str, Any]:
    """Return what a mutant changes: a module or class, the name in it, and what that is now.

    :raises ValueError: its text is not there once: the file has changed, and the mutant has to follow
    """
    place, _, path = mutant.where.partition(":")
    module = importlib.import_module(f"sshjobs.{place}")
    owner: Any = module
    *outer, name = path.split(".")
    for part in outer:
        owner = getattr(owner, part)
    found: Any = inspect.getattr_static(owner, name)
    source = textwrap.dedent(inspect.getsource(getattr(found, "fget", found)))
    if source.count(mutant.old) != 1:
        raise ValueError(f"{mutant.old!r} is {source.count(mutant.old)} times in {mutant.where}")
    text = source.replace(mutant.old, mutant.new)
    names: dict[str, Any] = {}
    flags = __future__.annotations.compiler_flag
    exec(compile(text, f"<{mutant.where}>", "exec", flags=flags, dont_inherit=True), module.__dict__ | HELP, names)
    return owner, name, names[name]


@contextlib.contextmanager
def mutated(name: str) -> Iterator[None]:
    """Have one of them be so."""
    owner, what, how = patched(ALL[name])
    with mock.patch.object(owner, what, how):
        yield


def hunt(name: str, within: int = WITHIN) -> tuple[int, Told | None]:
    """Return after how many plays a mutant was found, and by what; ``None``: it was not."""
    source = itertools.chain(filter(None, [hunted().get(name)]), seeds(7))
    with mutated(name):
        for number in range(1, within + 1):
            told = play_one(next(source))
            if told.trouble is not None:
                return number, told
    return within, None


def hunted() -> dict[str, str]:
    """Return the seeds of the plays that have found mutants, by their names."""
    found: dict[str, str] = json.loads(HUNTED.read_text()) if HUNTED.exists() else {}
    return found


def main() -> int:
    """Hunt every mutant; 1 when one was not found."""
    missing = 0
    for name in sys.argv[1:] or ALL:
        plays, told = hunt(name)
        missing += told is None
        if told is not None:
            known = hunted() | {name: told.seed}
            HUNTED.write_text(json.dumps({name: known[name] for name in sorted(known) if name in ALL}, indent=1) + "\n")
        trouble = told.trouble.splitlines()[0] if told is not None and told.trouble else "NOT FOUND"
        print(f"{name}: play {plays}, seed {told.seed if told else '-'}: {trouble}", flush=True)
    return int(missing > 0)


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.execve(sys.executable, [sys.executable, "-m", "tests.sim.mutants", *sys.argv[1:]],
                  {**os.environ, "PYTHONHASHSEED": "0"})
    sys.exit(main())
