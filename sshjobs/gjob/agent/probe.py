"""Whether nodes see the run's directory and have a Python: one job tells, before any other is submitted."""

from .. import files
from ..places import Unusable
from . import handout
from .scheduler import ENDED, GONE

MYPY = False
if MYPY:
    from .scheduler import Answer, Calls, Plan

#: Seconds between two looks, and between two questions: doubled from the first on.
LOOK_S, FIRST_ASK_S, ASK_S = 0.2, 1.0, 15.0
#: Looks after the job's end in which what it wrote must show: a shared file system may be late.
LATE_LOOKS = 25


class Probe:
    """See the module.

    :param base: the run's directory
    :param name: what the job is to be called
    :ivar proved: they do
    :ivar refused: they never will, or the scheduler takes no such job
    """

    def __init__(self, base: str, plan: "Plan", calls: "Calls", name: str):
        self._base, self._plan, self._calls, self._name = base, plan, calls, name
        self.proved = files.exists(handout.seen(base))
        self.refused: "Unusable | None" = None
        self._sent = self._open = self._asking = False
        self._jobs: "list[str]" = []
        self._over = ""
        self._looks = 0
        self._ask_at, self._pause, self._trouble = 0.0, FIRST_ASK_S, ""

    @property
    def waits(self) -> bool:
        """It is not known yet."""
        return not self.proved and self.refused is None

    @property
    def jobs(self) -> "list[str]":
        """What may be in the scheduler's hands."""
        return [] if self._over else self._jobs

    def refusal(self) -> "Unusable | None":
        """Return why no job can be carried out, or not yet."""
        if self.proved or self.refused is not None:
            return self.refused
        return Unusable("waits", self._trouble or "%s has not started the job yet that tries whether nodes see %s" % (
            self._plan.name, self._base), "trying again")

    def act(self, now: float) -> None:
        """Do what is due."""
        if not self._sent:
            self._submit(now)
        elif files.exists(handout.seen(self._base)):
            self.proved = True
        elif self._over:
            self._looks += 1
            if self._looks >= LATE_LOOKS:
                self.refused = Unusable("not-shared", "nodes do not see %s, or have no %s (job %s: %s)" % (
                    self._base, self._plan.python, " ".join(self._jobs), self._over),
                    "share the home with the nodes, or leave mode=array out")
        elif now >= self._ask_at and not self._asking and not self._calls.busy:
            self._asking = True
            self._ask_at, self._pause = now + self._pause, min(2 * self._pause, ASK_S)
            words, variables = self._plan.call("ask", {"names": [self._name], "jobs": self._jobs})
            self._calls.ask(words, variables, self._answered)

    def _submit(self, now: float) -> None:
        handout.put_code(self._base + "/a")
        script = handout.put_script(self._base, 0, 1, self._plan.python, "")
        self._sent = self._open = True
        self._ask_at = now + FIRST_ASK_S
        words, variables = self._plan.call("submit", {
            "name": [self._name], "last": ["0"], "script": [script], "cpus": ["1"], "memory": []})
        self._calls.ask(words, variables, self._submitted)

    def _submitted(self, answer: "Answer") -> None:
        job = self._plan.submitted(answer)
        self._trouble = ""
        if job is not None:
            self._open = False
            self._jobs.append(job)
        elif self._plan.refused(answer):
            self.refused = Unusable("batch-refused", "%s does not take the jobs: %s" % (self._plan.name, answer.words),
                                    "correct the word of this host, or ask who runs the cluster")
        else:
            self._trouble = "%s cannot be asked: %s" % (self._plan.name, answer.words)

    def _answered(self, answer: "Answer") -> None:
        self._asking = False
        found = self._plan.listed(answer)
        if found is None:
            self._trouble = "%s cannot be asked: %s" % (self._plan.name, answer.words)
            return
        self._trouble = ""
        states = self._plan.states(found, self._name, self._jobs).get(0, [])
        if not states and self._open:
            self._sent = False
        elif all(state in ENDED for state in states):
            self._over = states[-1] if states else GONE
        else:
            self._open = False

    def due(self, now: float) -> float:
        """Return when to call :meth:`act`."""
        return now + LOOK_S


