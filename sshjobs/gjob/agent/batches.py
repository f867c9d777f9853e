"""Attempts that a scheduler carries out: they leave in batches, each a job array whose elements are runners.

The agent is on a machine that submits, and its directory on a file system that the nodes share. So claim, journal and
outputs of an attempt are seen from here as if its runner were. What a runner's death is elsewhere, the scheduler tells.
"""

import os

from .. import files, system, wire
from ..sharing.rules import MEMORY
from ..sharing.rules import SLOTS as SLOTS_KEY
from . import element, handout
from .attempts import QUEUED, RUNNING, Attempt, History, launched
from .crew import Crew
from .inarray import InArray
from .probe import Probe
from .scheduler import ENDED, GONE, Answer, Calls, Plan

MYPY = False
if MYPY:
    from typing import Any

    from ..places import Places
    from ..sharing.share import Share
    from .listener import Listener
    from .loop import Loop
    from .pool import Pool

#: How many CPUs jobs may have in the scheduler's hands at a time, where nobody says.
SLOTS = 1000
#: Seconds that launches are gathered for one submission, and between two looks at what elements have written: these at
#: least, and so many times what a look takes.
GATHER_S, LOOK_S, LOOK_SHARE = 0.3, 0.5, 20.0
#: Seconds between two questions to the scheduler: doubled from the first on, whenever there is something to find out.
FIRST_ASK_S, ASK_S = 1.0, 15.0
#: Elements that are ended by one call, and seconds that it may take at the end of the run.
_ENDED_AT_ONCE, LAST_S = 200, 4.0
#: Seconds until a submission is tried again that was refused, and beyond its limit until a job is over for certain of
#: which the scheduler says nothing any more.
AGAIN_S, BEYOND_S = 15.0, 600.0
_MIB = 1 << 20
_NOT_SEEN = "%s says %s, and nothing of it was started: is this directory shared by the nodes, and python3 there?"


class Batch:
    """Jobs that were submitted together.

    :ivar uids: their attempts, by index
    :ivar jobs: what the scheduler calls its submissions, by their numbers; the last number is ``serial``
    :ivar open: the answer to a submission is not clear: there may be another one
    :ivar over: by index: the states of elements that are over
    :ivar seen: the scheduler was seen to know of it; ``missed``, it did not tell of it when it was last asked
    """

    def __init__(self, tag: int, uids: "list[str]"):
        self.tag, self.uids = tag, uids
        self.jobs: "dict[int, str]" = {}
        self.serial = 0
        self.open = False
        self.over: "dict[int, str]" = {}
        self.seen = self.missed = False


class Batches(Crew):
    """See :class:`Crew`; what runs, runs elsewhere.

    :param said: the plan of the manager's hello
    :param names: of run and host
    """

    def __init__(self, places: "Places", history: History, loop: "Loop", listener: "Listener", pool: "Pool",
                 share: "Share", said: "dict[str, Any]", names: "tuple[str, str]"):
        self._plan, self._names = Plan(said), names
        self._size = self._plan.size
        self._directory = places.base + "/a"
        try:
            system.mkdir(self._directory, 0o700)
        except FileExistsError:
            pass
        self._batches: "dict[int, Batch]" = {}
        #: By attempt that is not over: its batch and its index.
        self._of: "dict[str, tuple[Batch, int]]" = {}
        #: By attempt: how many CPUs it has.
        self._cpus: "dict[str, int]" = {}
        self._submit_at = self._ask_at = self._look_at = 0.0
        self._pause = FIRST_ASK_S
        self._asking = False
        #: What is to be ended, in the scheduler's words.
        self._to_end: "list[str]" = []
        self._tag = max(history.batches, default=0)
        self._trouble = ""
        super().__init__(places, history, loop, listener, pool, share)
        self._calls = Calls(self._directory, self.helpers)
        self.probe = Probe(places.base, self._plan, self._calls, self._name(0))
        self._recover()

    def _recover(self) -> None:
        """Know again of what an earlier agent had submitted."""
        for tag, uids in list(self._history.batches.items()):
            batch = self._batches[tag] = Batch(tag, uids)
            batch.jobs = dict(self._history.submissions.get(tag, {}))
            batch.serial = max(batch.jobs, default=1)
            batch.open = not batch.jobs
            try:
                lines = element.read_batch(self._places.base, tag)[1]
            except FileNotFoundError:  # all of it was over
                lines = []
            for index, line in enumerate(lines[:len(uids)]):
                self._recall(batch, index, line)
        for batch in list(self._batches.values()):
            self._close(batch)

    def _recall(self, batch: Batch, index: int, line: bytes) -> None:
        uid = batch.uids[index]
        attempt = self.attempts.get(uid)
        if uid in self._history.released or (attempt is not None and attempt.state != RUNNING):
            return
        found = launched(wire.parse(line), line + b"\n")
        if attempt is None:
            attempt = self.attempts[uid] = found
        attempt.keep = found.keep
        self._of[uid] = batch, index
        self._cpus[uid] = _cpus(found)

    # -- orders ----------------------------------------------------------------------------------------------------

    def launch(self, attempt: Attempt) -> None:
        if not self.queue:
            self._submit_at = max(self._submit_at, system.monotonic() + GATHER_S)
        super().launch(attempt)
        if attempt.lease is not None or attempt.gpus:
            # Its runner hears of no manager; and which GPU is free on a node nobody here can tell.
            self.turn_down(attempt.uid, "cannot_start", "jobs of an array can have no lease and no GPUs of their own")

    def fence(self, uid: str, token: "str | None" = None) -> "Attempt | None":
        fenced = super().fence(uid, token)
        if fenced is not None and uid in self._of:
            self.end_soon(uid)
            self._forget(uid)
        return fenced

    def _may_begin(self, uid: str) -> bool:
        return uid in self._of

    def _halt(self, uid: str, stop: bool) -> None:
        if stop:
            self._listener.on_trouble("%s runs on: jobs in the hands of %s cannot be stopped where they are"
                                      % (uid, self._plan.name))

    def release(self, uids: "list[str]", keep: "set[str]") -> None:
        journals = [self.attempts[uid].journal for uid in uids]
        super().release(uids, keep)
        for path in filter(None, journals):
            files.unlink_quietly(path)

    def works(self) -> bool:
        return self.probe.waits or bool(self._of) or super().works()

    @property
    def unused(self) -> bool:
        return not self._batches and super().unused

    @property
    def facts(self) -> "dict[str, Any]":
        """What is to be known of the machines that jobs run on, instead of this one."""
        return {"boot": "array-" + os.path.basename(self._places.base), "machine": "", "cores": SLOTS, "memory": 0,
                "gpus": [], "gpu_tool": None}

    # -- the loop --------------------------------------------------------------------------------------------------

    def due(self, now: float) -> float:
        if self._child_ended or self._rubbish.waits(self._busy()):
            return now
        due = min(now + 3600.0, self.manners.at)
        if self._of or self._adopted:
            due = min(due, self._look_at)
            if not self._asking:
                due = min(due, self._ask_at)
        if self.probe.waits:
            due = min(due, self.probe.due(now))
        if self._calls.busy or self._to_end:
            due = min(due, now + LOOK_S)
        if self.queue and self.manners.why is None and self._room() > 0:
            due = min(due, self._submit_at)
        return due

    def act(self, now: float) -> None:
        if self._child_ended:
            self._on_child()
            self._child_ended = False
        if now >= self._look_at and (self._of or self._adopted):
            self._read_journals()
            self._look_after_adopted(now)
            self._look_at = max(now + LOOK_S, system.monotonic() + LOOK_SHARE * (system.monotonic() - now))
        if self.probe.waits:
            self.probe.act(now)
        self._end_elements()
        self._ask(now)
        self.ends.see(now)
        self._submit(now)
        self._calls.act(now)

    def _room(self) -> int:
        return self.pool.slots - sum(self._cpus.values())

    # -- submitting ------------------------------------------------------------------------------------------------

    def _submit(self, now: float) -> None:
        """Give the scheduler what waits, as far as there is room: what needs the same in one batch."""
        while self.queue and now >= self._submit_at and self._room() > 0 and self.manners.look(now):
            first, chosen, room = next(iter(self.queue.values())), [], self._room()  # type: Attempt, list[Attempt], int
            for attempt in self.queue.values():
                if attempt.want.amounts == first.want.amounts:
                    if len(chosen) >= self._size or (chosen and room < _cpus(attempt)):
                        break
                    room -= _cpus(attempt)
                    chosen.append(attempt)
            self._send(chosen)

    def _send(self, chosen: "list[Attempt]") -> None:
        # A number is never used twice, so that what an earlier submission left says nothing of a later one.
        self._tag += 1
        batch = Batch(self._tag, [attempt.uid for attempt in chosen])
        handout.put_code(self._directory)
        handout.put_batch(self._places.base, batch.tag, self._names, [attempt.line for attempt in chosen])
        self._history.note_batch(batch.tag, batch.uids)
        self._batches[batch.tag] = batch
        for index, attempt in enumerate(chosen):
            self.queue.pop(attempt.uid)
            self._of[attempt.uid] = batch, index
            self._cpus[attempt.uid] = _cpus(attempt)
        self._call_submit(batch, chosen[0])

    def _call_submit(self, batch: Batch, one: Attempt) -> None:
        batch.serial += 1
        batch.open = True
        serial, memory = batch.serial, one.want.amounts.get(MEMORY, 0)
        script = handout.put_script(self._places.base, batch.tag, serial, self._plan.python,
                                    '"${SLURM_ARRAY_TASK_ID:?}"' if self._plan.slurm else "0")
        words, variables = self._plan.call("submit", {
            "name": [self._name(batch.tag)], "last": [str(len(batch.uids) - 1)], "script": [script],
            "cpus": [str(_cpus(one))], "memory": [str((memory + _MIB - 1) // _MIB)] if memory else []})
        self._calls.ask(words, variables, lambda answer: self._submitted(batch, serial, answer))

    def _name(self, tag: int) -> str:
        return "sshjobs-%s-%s-%d" % (os.path.basename(self._places.run)[:16], os.path.basename(self._places.base)[:8],
                                     tag)

    def _submitted(self, batch: Batch, serial: int, answer: Answer) -> None:
        job = self._plan.submitted(answer)
        self._ask_soon()
        if job is not None:
            batch.jobs[serial], batch.open = job, False
            self._history.note_submitted(batch.tag, serial, job)
            if batch.tag not in self._batches:  # all of it was taken back meanwhile
                self._to_end.append(job)
        elif self._plan.too_long(answer) and len(batch.uids) > 1:
            self._size = max(1, len(batch.uids) // 2)
            self._take_back(batch)
        elif self._plan.refused(answer):
            # Should an earlier one have gone through although its answer was lost, the claims decide.
            self._submit_at = system.monotonic() + AGAIN_S
            for uid in self._waiting(batch):
                self.turn_down(uid, "start_failed", "%s does not take it: %s" % (self._plan.name, answer.words))
        else:
            # Asked next, it tells of it by its name, or it is submitted again: the claims make that harmless.
            self._say_once(answer)

    def _take_back(self, batch: Batch) -> None:
        """Have the jobs of a batch that does not exist wait again."""
        for uid in self._waiting(batch):
            self._forget(uid)
            self.queue[uid] = self.attempts[uid]

    def _again(self, batch: Batch) -> None:
        waiting = self._waiting(batch)
        if waiting:
            self._call_submit(batch, self.attempts[waiting[0]])

    def _waiting(self, batch: Batch) -> "list[str]":
        """Return the attempts of a batch that nobody is known to have begun with."""
        return [uid for uid in batch.uids if uid in self._of and self.attempts[uid].state == QUEUED]

    # -- asking ----------------------------------------------------------------------------------------------------

    def _ask_soon(self) -> None:
        self._pause = FIRST_ASK_S
        self._ask_at = min(self._ask_at, system.monotonic() + FIRST_ASK_S)

    def _ask(self, now: float) -> None:
        if not self._of or self._asking or now < self._ask_at or self._calls.busy:
            return
        self._ask_at, self._pause = now + self._pause, min(2 * self._pause, ASK_S)
        batches = [batch for batch in self._batches.values() if any(uid in self._of for uid in batch.uids)]
        words, variables = self._plan.call("ask", {
            "names": [",".join(self._name(one.tag) for one in batches)],
            "jobs": [job for one in batches for job in one.jobs.values()]})
        self._asking = True
        self._calls.ask(words, variables, lambda answer: self._answered(batches, answer))

    def _answered(self, batches: "list[Batch]", answer: Answer) -> None:
        self._asking = False
        found = self._plan.listed(answer)
        if found is None:
            self._say_once(answer)
            return
        self._trouble = ""
        for batch in batches:
            self._take_states(batch, found)
        # What they wrote before that is read before anything is concluded.
        self._look_at = 0.0

    def _take_states(self, batch: Batch, found: "list[tuple[str, int, str, str]]") -> None:
        states = self._plan.states(found, self._name(batch.tag), batch.jobs.values())
        if not states and batch.open:
            # What was sent did not arrive; should it come late, its elements find that all is claimed.
            self._again(batch)
            return
        batch.open = batch.open and not states
        batch.seen = batch.seen or bool(states)
        for index in range(len(batch.uids)):
            there = states.get(index)
            if there is None:
                # A user's command may be late to tell of a job: it is asked again before that counts.
                if (batch.jobs or batch.seen) and (self._plan.slurm or batch.missed):
                    batch.over.setdefault(index, GONE)
            elif all(state in ENDED for state in there):
                batch.over[index] = there[-1]
            else:
                batch.over.pop(index, None)
        batch.missed = not states

    def _say_once(self, answer: Answer) -> None:
        if answer.words != self._trouble:
            self._trouble = answer.words
            self._listener.on_trouble("%s cannot be asked, and is asked again: %s" % (self._plan.name, answer.words))

    def end_soon(self, uid: str) -> None:
        """Have the scheduler end an attempt's element."""
        batch, index = self._of.get(uid, (None, 0))
        if batch is not None and index not in batch.over:
            self._to_end += ["%s_%d" % (job, index) if self._plan.slurm else job for job in batch.jobs.values()]

    def _end_elements(self) -> None:
        if self._to_end and not self._calls.busy:
            self._calls.ask(*self._next_ends(), lambda answer: self._ask_soon())

    def _next_ends(self) -> "tuple[list[str], dict[str, str]]":
        ends, self._to_end = self._to_end[:_ENDED_AT_ONCE], self._to_end[_ENDED_AT_ONCE:]
        return self._plan.call("end", {"jobs": ends})

    def dismiss(self) -> int:
        # Nothing is left in the scheduler's hands of what was taken back.
        self._to_end += self.probe.jobs
        until = system.monotonic() + LAST_S
        while self._to_end and system.monotonic() < until:
            words, variables = self._next_ends()
            system.ask(["env"] + ["%s=%s" % item for item in variables.items()] + words, LAST_S)
        return super().dismiss()

    def state_of(self, uid: str, journal: str) -> "str | None":
        """Return in which state an attempt's element is over; ``None`` while it may be at work.

        :param journal: the path of its journal, where there is one
        """
        batch, index = self._of.get(uid, (None, 0))
        if batch is None:
            return GONE
        state = batch.over.get(index)
        if state is None:
            return None
        name = element.read_name(os.path.basename(journal)) if journal else None
        if not self._plan.slurm and name is not None and name[2] not in batch.jobs:
            return None  # it is one whose answer was lost, and cannot be asked for
        if state == GONE and name is not None and self._plan.slurm and not batch.seen:
            return GONE if self._outlived(journal) else None
        return state

    def _outlived(self, journal: str) -> bool:
        """Tell whether the time is over that the scheduler gives a job, since it was last heard of."""
        if self._plan.limit is None:
            return False
        try:
            last = system.stat(journal, follow_symlinks=False).st_mtime
        except OSError:
            return False
        return system.time() > last + self._plan.limit + BEYOND_S

    # -- what elements have written --------------------------------------------------------------------------------

    def _read_journals(self) -> None:
        for name in system.listdir(self._places.journals):
            told = element.read_name(name)
            batch = self._batches.get(told[0]) if told is not None else None
            if told is None or batch is None or told[1] >= len(batch.uids):
                continue
            uid, path = batch.uids[told[1]], os.path.join(self._places.journals, name)
            if uid not in self._of:
                continue
            self._history.read(path)
            claim = self._history.records.get(uid, {}).get("claim")
            attempt = self.attempts[uid]
            # Of two that were submitted for one job, the one that has it.
            if claim is not None and not attempt.journal and name.endswith(".%d.log" % claim["runner"]):
                attempt.journal = path
                if attempt.state == QUEUED:
                    self._taken(attempt)
        for uid in [uid for uid, (batch, index) in self._of.items() if index in batch.over]:
            if self.attempts[uid].state == QUEUED:
                batch, index = self._of[uid]
                self.turn_down(uid, "start_failed", _NOT_SEEN % (self._plan.name, batch.over[index]))

    def _adopt(self, attempt: Attempt, never: bool = False) -> None:
        self._adopted[attempt.uid] = InArray(attempt, self._history, self._places, self)
        self._look_at = 0.0
        self.ends.found(attempt.uid)

    def _ended(self, attempt: Attempt) -> None:
        if attempt.journal:
            self._history.forget(attempt.journal)
        super()._ended(attempt)
        self._forget(attempt.uid)

    def _forget(self, uid: str) -> None:
        """An attempt is over: its batch is, with the last of them."""
        batch, _ = self._of.pop(uid, (None, 0))
        self._cpus.pop(uid, None)
        if batch is not None:
            self._close(batch)

    def _close(self, batch: Batch) -> None:
        if batch.tag in self._batches and not any(uid in self._of for uid in batch.uids):
            del self._batches[batch.tag]
            self._history.batches.pop(batch.tag, None)
            handout.remove(self._places.base, batch.tag, batch.serial)

    def began(self, attempt: Attempt) -> None:
        """Tell that the process of an attempt is there."""
        self._listener.on_word(attempt, attempt.started_line)

    def find_out(self) -> None:
        """Ask the scheduler soon."""
        if self._pause > FIRST_ASK_S:
            self._ask_soon()


def _cpus(attempt: Attempt) -> int:
    return int(attempt.want.amounts.get(SLOTS_KEY, 1))
