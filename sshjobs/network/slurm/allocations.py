"""The allocations of a run: submitted once, found again by their names, given back at the end.

The name of an allocation's job follows from the run and its hosts, which are in the run's store before anything is
sent. So even if an answer is lost or a manager dies, the next one asks Slurm for that name, finds what was submitted,
and uses it or ends it. (Promises L and D.)
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sshjobs.errors import HostError
from sshjobs.model.allocation import allocation_of, node_of
from sshjobs.model.host import Host
from sshjobs.network.contract import RunIdentity
from sshjobs.network.slurm import words
from sshjobs.network.slurm.programs import Answer, Programs
from sshjobs.network.slurm.words import Seen

#: Slurm is asked at most every so many seconds; sooner only where it was asked seldom within so long a time: then the
#: pause is doubled with each question, from the shorter one on.
LOOK_EVERY_S, FIRST_LOOK_S, SELDOM_S = 15.0, 0.4, 300.0
#: Questions at the end whether all is gone, and the pause between two.
LAST_LOOKS, LAST_PAUSE_S = 6, 0.3


@dataclass
class Allocation:
    """What is known of one allocation.

    :ivar host: one of its nodes; what is asked for is the same for all
    :ivar name: that of its job in Slurm
    :ivar sent: it may be there: it was sent, by this manager or by an earlier one
    :ivar used: jobs may have run in it: until it is seen to be gone, it is not taken for new
    :ivar job: Slurm's id of it, as far as it is known
    :ivar earlier: that of the one which an earlier manager used
    :ivar last: what Slurm said of it last
    :ivar ends_at: when its time is over, by the loop's clock
    :ivar doubtful: a link to it broke since Slurm was asked
    :ivar over: why no node of it will be used any more
    :ivar nodes: what Slurm calls the nodes on which something of the run may be
    :ivar forgotten: Slurm knows nothing of it, and nothing proves that it is over: why not
    :ivar before: the end of the one that an earlier manager had in its place; ``told``, the hosts that know of it
    """

    host: Host
    name: str
    sent: bool
    used: bool
    job: str | None = None
    earlier: str | None = None
    last: Seen | None = None
    ends_at: float | None = None
    doubtful: bool = False
    over: HostError | None = None
    nodes: set[str] = field(default_factory=set)
    forgotten: str | None = None
    before: HostError | None = None
    told: set[str] = field(default_factory=set)

    @property
    def runs(self) -> bool:
        return self.last is not None and self.last.state == "RUNNING" and bool(self.last.nodes)


@dataclass
class _Place:
    """Where Slurm is asked: this machine, or a login node."""

    programs: Programs
    #: One call at a time: what two say at once about one allocation could not be told apart.
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    looks: deque[float] = field(default_factory=deque)
    trouble: str | None = None


class Allocations:
    """Belongs to the network's event loop.

    :param programs_at: makes what calls Slurm's programs on this machine (``None``) or on a login node
    :param known: what an earlier manager of the run knew of hosts on which something of it may run
    """

    def __init__(self, run: RunIdentity, programs_at: Callable[[str | None], Programs],
                 known: Mapping[str, Mapping[str, Any]]):
        self._run, self._programs_at, self._known = run, programs_at, known
        self._all: dict[str, Allocation] = {}
        self._places: dict[str | None, _Place] = {}

    def programs_of(self, host: Host) -> Programs:
        """Return what calls Slurm's programs for a host."""
        return self._place(host).programs

    async def find(self, host: Host) -> tuple[str, str]:
        """Return the job of a host's allocation and the node that the host is. Submits what is not there yet.

        :raises HostError: it cannot be used, or not yet
        :raises LocalError: this machine has no room for a process
        """
        allocation, place = self._of(host), self._place(host)
        if not allocation.runs or allocation.doubtful:
            async with place.lock:
                try:
                    await self._see_to(allocation, place)
                except FileNotFoundError as error:
                    raise HostError("no-transport", host.name, f"there is no program {error.filename} on this machine",
                                    hint="name the login node of the cluster: slurm:login=HOST,…",
                                    lasting=True) from error
        if allocation.before is not None and host.name in self._known and host.name not in allocation.told:
            allocation.told.add(host.name)
            raise _about(host, allocation.before)
        if allocation.over is not None:
            raise _about(host, allocation.over)
        if not allocation.runs:
            raise self._not_yet(host, allocation, place)
        assert allocation.job is not None and allocation.last is not None
        nodes = allocation.last.nodes
        if len(nodes) != int(dict(host.slurm)["nodes"]):
            # Which of them this host is could not be told, and another one's boot would prove its jobs over.
            raise HostError("slurm-refused", host.name, "its allocation has not the nodes that were asked for",
                            why=f"job {allocation.job} has {len(nodes)}", lasting=True)
        allocation.used = True
        allocation.nodes.add(nodes[node_of(host)])
        return allocation.job, nodes[node_of(host)]

    def doubt(self, host: Host) -> None:
        """Note that a link broke: before the next, Slurm is asked whether the allocation is there."""
        self._of(host).doubtful = True

    def left(self, host: Host) -> float | None:
        """Return the seconds until the time of a host's allocation is over; ``None`` where it has no limit."""
        ends_at = self._of(host).ends_at
        return None if ends_at is None else ends_at - asyncio.get_running_loop().time()

    async def give_back(self, hosts: Iterable[Host], staying: Collection[str]) -> list[str]:
        """End the allocations of these hosts, but for those of which a node stays in the run. Returns what a person is
        to know of what could not be ended.

        :param staying: names of hosts
        """
        kept = {name.rpartition("-")[0] for name in staying}
        found: dict[str | None, list[Allocation]] = {}
        for name, host in {allocation_of(host): host for host in hosts}.items():
            allocation = self._all.get(name)
            if name not in kept and allocation is not None and allocation.sent:
                found.setdefault(self._login(host), []).append(allocation)
        lines = await asyncio.gather(*(self._end(self._places[login], some) for login, some in found.items()))
        return [line for line in lines if line is not None]

    # -- inside --------------------------------------------------------------------------------------------------

    @staticmethod
    def _login(host: Host) -> str | None:
        return dict(host.slurm).get("login")

    def _place(self, host: Host) -> _Place:
        login = self._login(host)
        if login not in self._places:
            self._places[login] = _Place(self._programs_at(login))
        return self._places[login]

    def _of(self, host: Host) -> Allocation:
        name = allocation_of(host)
        if name not in self._all:
            # Nobody but a manager before us can have sent it.
            told = [facts for known, facts in self._known.items() if known.rpartition("-")[0] == name]
            earlier = next((str(facts["slurm_job"]) for facts in told if "slurm_job" in facts), None)
            nodes = {str(facts.get("slurm_node", "")) for facts in told}
            self._all[name] = Allocation(host, words.job_name(self._run.uid, name), self._run.epoch > 1, bool(told),
                                         earlier=earlier, nodes=nodes)
        return self._all[name]

    def _not_yet(self, host: Host, allocation: Allocation, place: _Place) -> HostError:
        last = allocation.last
        if allocation.forgotten is not None and place.trouble is None:
            return waiting(HostError("slurm-forgot", host.name,
                                     "Slurm has forgotten its allocation, which is no proof that it is over",
                                     why=allocation.forgotten,
                                     hint=f"if you know that it is: sshjobs hosts lost RUN {host.name}"))
        if place.trouble is not None:
            return waiting(HostError("slurm-down", host.name, f"Slurm cannot be asked on {place.programs.place}",
                                     why=place.trouble, hint="trying again"))
        why = None if last is None else last.reason if last.state == "PENDING" else last.state
        return waiting(HostError("slurm-waits", host.name, f"its allocation (job {allocation.job}) cannot be used yet",
                                 why=None if why in (None, "None", "") else f"Slurm says {why}"))

    async def _see_to(self, allocation: Allocation, place: _Place) -> None:
        """Find out where an allocation stands; submit it where it is not there."""
        if allocation.over is not None or (allocation.runs and not allocation.doubtful):
            return
        if allocation.sent and not await self._look(place):
            return
        if allocation.over is None and not allocation.sent:
            await self._submit(allocation, place)
            if allocation.job is not None:
                # Where there is room it begins at once, and nobody need be told that it is waited for.
                await asyncio.sleep(FIRST_LOOK_S)
                await self._look(place)

    async def _submit(self, allocation: Allocation, place: _Place) -> None:
        host = allocation.host
        # From here on it may be there, whatever comes back.
        allocation.sent = True
        variables = {} if host.python is None else {"SSHJOBS_PYTHON": host.python}
        try:
            answer = await place.programs.call(words.submission(allocation.name, host), words.script(), variables)
        except FileNotFoundError:
            allocation.sent = False
            raise
        allocation.job = words.submitted(answer)
        if allocation.job is None and words.refused(answer, by_ssh=place.programs.login is not None):
            allocation.sent = False
            allocation.over = HostError("slurm-refused", host.name, "Slurm does not take the allocation",
                                        why=answer.words, hint="correct the slurm: word, or ask who runs the cluster",
                                        lasting=True)
        place.trouble = None if allocation.job is not None or allocation.over is not None else answer.words

    def _may_look(self, place: _Place) -> bool:
        now = asyncio.get_running_loop().time()
        while place.looks and now - place.looks[0] >= SELDOM_S:
            place.looks.popleft()
        pause = min(LOOK_EVERY_S, FIRST_LOOK_S * 2.0 ** len(place.looks))
        if place.looks and now - place.looks[-1] < pause:
            return False
        place.looks.append(now)
        return True

    async def _look(self, place: _Place) -> bool:
        """Ask Slurm about all allocations of a place in one call; False where nothing new is known."""
        asked = [one for one in self._all.values()
                 if one.sent and one.over is None and self._places.get(self._login(one.host)) is place]
        if not self._may_look(place):
            return False
        answer = await place.programs.call(words.look(one.name for one in asked))
        found = words.seen(answer)
        place.trouble = answer.words if found is None else None
        if found is None:
            return False
        for one in asked:
            await self._take(one, [seen for seen in found if seen.name == one.name], place)
        return True

    async def _take(self, allocation: Allocation, found: list[Seen], place: _Place) -> None:
        """Take what Slurm says of the jobs with an allocation's name. There are several where an answer was lost."""
        staying = sorted((seen for seen in found if not seen.leaves),
                         key=lambda seen: (seen.state == "PENDING", int(seen.job)))
        leaving = [seen for seen in found if seen.leaves and not seen.over]
        # Once jobs were in one of them it is that one, whatever else comes to be.
        ours = next((seen for seen in (*staying, *leaving) if seen.job == allocation.job), None)
        if allocation.job is None or not allocation.used:
            ours = staying[0] if staying else ours
        surplus = [seen.job for seen in staying if seen is not ours]
        if surplus:
            await place.programs.call(words.end(surplus))
        allocation.doubtful = False
        if ours is None and allocation.job is None and leaving:
            # One of an earlier manager, or a surplus one: something may still run in it.
            allocation.last = leaving[0]
            return
        if ours is not None:
            allocation.job, allocation.last, allocation.forgotten = ours.job, ours, None
            allocation.ends_at = None if ours.left is None else asyncio.get_running_loop().time() + ours.left
            # While it is being ended something may still run in it: then that is waited for.
            if ours.hopeless:
                await self._refuse(allocation, ours, place)
            elif ours.state == "NODE_FAIL":
                allocation.doubtful = True
            return
        asked = allocation.job or allocation.earlier
        ended = next((seen for seen in found if asked in (None, seen.job)), None)
        if not allocation.used and allocation.job is None:
            # What was sent did not arrive.
            allocation.sent = False
            return
        proof = f"Slurm says {ended.state}" if ended is not None else await self._proof(allocation, place, asked)
        allocation.forgotten = None
        if proof is not None:
            self._note_end(allocation, proof)
            return
        away = ", ".join(sorted(allocation.nodes - {""})) or "its nodes, which are not known"
        allocation.forgotten, allocation.last = f"Slurm does not say that it hears of {away}", None

    async def _proof(self, allocation: Allocation, place: _Place, job: str | None) -> str | None:
        """Return why nothing is left of an allocation of which Slurm knows nothing any more; ``None``: it may be there.

        Slurm forgets what has ended, and also what it has lost sight of. A node that answers it has told what runs
        there, and what Slurm does not know of that is ended by it.
        """
        try:
            state = words.ended_by(await place.programs.call(words.accounting(allocation.name, job)))
            if state is not None:
                return f"Slurm's accounting says {state}"
        except FileNotFoundError:
            pass
        if not allocation.used:
            return "Slurm knows nothing of it any more"
        if not allocation.nodes or "" in allocation.nodes:
            return None
        heard = words.answering(await place.programs.call(words.nodes(sorted(allocation.nodes))))
        return "Slurm knows nothing of it any more, and hears of its nodes" if allocation.nodes <= heard else None

    def _note_end(self, allocation: Allocation, why: str) -> None:
        """Note that no process is left in an allocation. One of an earlier manager is asked for anew: somebody has
        resumed the run."""
        mine = allocation.job is not None
        error = HostError("slurm-over", allocation.host.name, "its allocation is over", why=why,
                          hint="for another one: sshjobs hosts add slurm:…" if mine else None, lasting=mine)
        error.ends_jobs = True
        allocation.last = allocation.job = None
        if mine:
            allocation.over = error
        else:
            allocation.before, allocation.sent, allocation.used = error, False, False

    async def _refuse(self, allocation: Allocation, waits: Seen, place: _Place) -> None:
        """Do not wait for what Slurm holds back until a person acts."""
        await place.programs.call(words.end([waits.job]))
        allocation.over = HostError("slurm-refused", allocation.host.name, "Slurm does not start the allocation",
                                    why=f"{waits.reason} (job {waits.job}, cancelled)",
                                    hint="correct the slurm: word, or ask who runs the cluster", lasting=True)

    async def _end(self, place: _Place, some: list[Allocation]) -> str | None:
        async with place.lock:
            answer: Answer | None = None
            try:
                for number in range(LAST_LOOKS):
                    if number:
                        await asyncio.sleep(LAST_PAUSE_S)
                    answer = await place.programs.call(words.look(one.name for one in some))
                    found = words.seen(answer)
                    if found is None:
                        continue
                    left = [seen.job for seen in found if not seen.leaves]
                    if not left:
                        return None
                    answer = await place.programs.call(words.end(left))
                why = answer.words if answer is not None else None
            except OSError as error:
                why = error.strerror
        names = ", ".join(f"scancel --name={one.name}" for one in some)
        return (f"{allocation_of(some[0].host)}: the allocation could not be given back: {why}; "
                f"where Slurm runs: {names}")


def waiting(error: HostError) -> HostError:
    """Return the error for a host that is to be waited for, however long."""
    error.waits, error.reached = True, False
    return error


def _about(host: Host, error: HostError) -> HostError:
    """Return an error of an allocation as that of one of its hosts."""
    told = HostError(error.kind, host.name, error.what, why=error.why, hint=error.hint, lasting=error.lasting)
    told.ends_jobs = error.ends_jobs
    return told
