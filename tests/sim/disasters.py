"""What can go wrong, one function each: it befalls a play at its moment."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from sshjobs.network.sim.agent import Agent
from sshjobs.network.sim.machine import Machine
from sshjobs.network.sim.runner import Runner
from tests.sim.play import Play

Disaster = Callable[[Play], None]

_MANY = 1 << 40
#: Points of the manager and of the far side that a trap can wait at.
MANAGER_POINTS = ("manager.launch", "manager.commit", "manager.committed", "manager.flush", "manager.aside",
                  "manager.flushed", "manager.release", "manager.open")
RUNNER_POINTS = ("runner.given", "runner.claimed", "runner.noted", "runner.started", "runner.running", "runner.over",
                 "runner.reaped", "runner.ended")


def _machine(play: Play) -> Machine:
    return play.world.machines[play.rng.choice(play.hosts).name]


def _owners(machine: Machine, kind: str) -> list[Any]:
    return [process.owner for process in list(machine.processes.values()) if process.kind == kind]


def kill_manager(play: Play) -> None:
    """kill -9 of the manager; a new one comes a while later."""
    _let_manager_come_back(play)
    play.kill_manager(power=play.rng.random() < 0.25)


def _let_manager_come_back(play: Play) -> None:
    play.world.at(play.rng.choice((0.0, 0.1, 1.0, 5.0, 90.0)), lambda: setattr(play, "wants_manager", True))


def trap_manager(play: Play) -> None:
    """The same at a certain point of its work."""
    play.traps[play.rng.choice(MANAGER_POINTS)] = play.rng.choice((1, 1, 2, 3)), lambda machine: kill_manager(play)


def kill_agent(play: Play, machine: Machine | None = None) -> None:
    """kill -9 of the agent of a host."""
    machine = machine or _machine(play)
    for agent in _owners(machine, "agent"):
        assert isinstance(agent, Agent)
        play.world.say(f"{machine.name}: the agent is killed")
        play.judge.agent_deaths[machine.name].append(play.world.now)
        agent.die()


def kill_runner(play: Play, machine: Machine | None = None) -> None:
    """kill -9 of one of the runners of a host."""
    machine = machine or _machine(play)
    runners = _owners(machine, "runner")
    if runners:
        runner = play.rng.choice(runners)
        assert isinstance(runner, Runner)
        play.world.say(f"{machine.name}: the runner of {runner.uid or 'nothing'} is killed")
        _note_death(play, runner)
        runner.die()
        _others_come(play, machine)


def _others_come(play: Play, machine: Machine) -> None:
    """Programs that are none of ours begin, and take the pids that are free."""
    others = [machine.spawn("bystander") for _ in range(play.rng.choice((0, 6, 12)))]

    def leave() -> None:
        for one in others:
            machine.end(one, 0)
    play.world.at(play.rng.choice((5.0, 5000.0)), leave)


def _note_death(play: Play, runner: Runner) -> None:
    play.judge.runner_deaths.update(runner.knows())
    if runner.journal.unwritten:
        play.judge.silenced.update(runner.knows())


def kill_both(play: Play, machine: Machine | None = None) -> None:
    """kill -9 of agent and runners at once."""
    machine = machine or _machine(play)
    for runner in _owners(machine, "runner"):
        _note_death(play, runner)
        runner.die()
    kill_agent(play, machine)


def reboot(play: Play, machine: Machine | None = None) -> None:
    """A host goes down and comes up again, perhaps without what was written lately."""
    machine = machine or _machine(play)
    power = play.rng.random() < 0.6
    play.world.say(f"{machine.name}: goes down{' without power' if power else ''}")
    play.judge.reboots[machine.name].append(play.world.now)
    machine.reboot(power=power)
    _part(play, machine, play.rng.choice((0.0, 0.5, 20.0)))


def trap_runner(play: Play) -> None:
    """A runner, its agent or its host dies between two steps of its work."""
    act = play.rng.choice((kill_agent, kill_both, reboot, kill_agent))
    point = play.rng.choice(RUNNER_POINTS)

    def spring(machine: Machine | None) -> None:
        assert machine is not None
        if play.rng.random() < 0.4:
            kill_those_at(play, machine)
        else:
            act(play, machine)
    play.traps[point] = play.rng.choice((1, 1, 2, 4)), spring


def kill_those_at(play: Play, machine: Machine) -> None:
    """All runners of a host die."""
    for runner in _owners(machine, "runner"):
        _note_death(play, runner)
        play.world.say(f"{machine.name}: the runner of {runner.uid or 'nothing'} is killed")
        runner.die()


def trap_agent(play: Play) -> None:
    """The agent dies when a launch has reached it."""
    play.traps["agent.launch"] = play.rng.choice((1, 2, 3)), partial(_at_once, play)


def _at_once(play: Play, machine: Machine | None) -> None:
    play.world.at(0.0, lambda: kill_agent(play, machine))


def cut(play: Play) -> None:
    """A connection breaks at some byte of either direction, and perhaps nobody is told."""
    machine, rng = _machine(play), play.rng
    up, down = (rng.choice((0, rng.randint(0, 400), rng.randint(0, 4000), _MANY)) for _ in range(2))
    heard = rng.random() < 0.7
    play.world.say(f"{machine.name}: cut after {up} bytes there and {down} back, {'heard' if heard else 'unheard'}")
    machine.cut(up, down, heard=heard)
    if rng.random() < 0.3:
        _part(play, machine, rng.choice((1.0, 10.0, 100.0)))


def lose_ack(play: Play) -> None:
    """What the host is told arrives, and what it answers does not."""
    machine = _machine(play)
    play.world.say(f"{machine.name}: its answers are lost")
    machine.cut(_MANY, 0, heard=play.rng.random() < 0.5)


def _part(play: Play, machine: Machine, seconds: float) -> None:
    """No new connection for a while."""
    if seconds:
        machine.reachable = False
        play.world.at(seconds, lambda: setattr(machine, "reachable", True))


def fill_host(play: Play) -> None:
    """The disk of a host is full for a while."""
    machine = _machine(play)
    play.world.say(f"{machine.name}: its disk is full")
    machine.disk.full = True
    play.world.at(play.rng.uniform(0.1, 10.0), lambda: setattr(machine.disk, "full", False))


def fill_manager(play: Play) -> None:
    """The disk of the manager is full for a while: outputs, store or both."""
    play.world.say("the manager's disk is full")
    what = play.rng.choice(("store", "files", "both"))
    play.files.full = what != "store"
    play.store_full = what != "files"

    def empty() -> None:
        play.files.full = play.store_full = False
    play.world.at(play.rng.uniform(0.1, 10.0), empty)


def jump_clock(play: Play) -> None:
    """A wall clock jumps, back to 1970 even."""
    by = play.rng.choice((-1.7e9, -3600.0, 3600.0, 1e6))
    if play.rng.random() < 0.5:
        play.world.wall = max(0.0, play.world.wall + by)
    else:
        _machine(play).clock_error += by


def submit(play: Play) -> None:
    """A person adds jobs."""
    specs = [play.spec().as_dict() for _ in range(play.rng.randint(1, 4))]
    play.ask({"do": "add", "specs": specs})


def cancel(play: Play) -> None:
    """A person cancels a job."""
    if names := play.names(final=False):
        play.ask({"do": "cancel", "jobs": [play.rng.choice(names)]})


def retry(play: Play) -> None:
    """A person has a job tried again."""
    if names := play.names(final=True):
        play.ask({"do": "retry", "jobs": [play.rng.choice(names)]})


def drain(play: Play) -> None:
    """A person takes a host out of use, or back into it."""
    verb = play.rng.choice(("hosts-drain", "hosts-undrain"))
    play.ask({"do": verb, "hosts": [play.rng.choice(play.hosts).name]})


def hold(play: Play) -> None:
    """A person stops a job where it is, for a while."""
    if names := play.names(final=False):
        name = play.rng.choice(names)
        play.ask({"do": "pause", "jobs": [name]})
        play.world.at(play.rng.uniform(0.1, 5.0), lambda: play.ask({"do": "unpause", "jobs": [name]}))


#: Every disaster, with how often it comes relative to the others.
ALL: dict[Disaster, int] = {
    kill_manager: 3, trap_manager: 4, kill_agent: 3, kill_runner: 3, kill_both: 1, reboot: 3, trap_runner: 6,
    trap_agent: 2, cut: 6, lose_ack: 2, fill_host: 2, fill_manager: 2, jump_clock: 1, submit: 6, cancel: 3, retry: 2,
    drain: 2,
}
