"""What can go wrong, one function each: it befalls a play at its moment."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from sshjobs.running.requests import host_data
from sshjobs.simulation import Program
from sshjobs.simulation.agent import Agent
from sshjobs.simulation.machine import Machine
from sshjobs.simulation.runner import Runner
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
    # The first to die is seen by the other, or it is not.
    if agent_first := play.rng.random() < 0.5:
        kill_agent(play, machine)
    for runner in _owners(machine, "runner"):
        _note_death(play, runner)
        runner.die()
    if not agent_first:
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
    specs = [play.spec().as_dict() for _ in range(play.rng.randint(1, 16 if play.healthy else 4))]
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
    """A person stops a job where it is, or all launches, for a while or until all is well."""
    names = play.names(final=False)
    chosen = [play.rng.choice(names)] if names and play.rng.random() < 0.8 else None
    play.ask({"do": "pause", "jobs": chosen})
    if play.rng.random() < 0.8:
        play.world.at(play.rng.uniform(0.1, 5.0), lambda: play.ask({"do": "unpause", "jobs": chosen}))


def have_second_thoughts(play: Play) -> None:
    """A person cancels a job and wants it all the same, or the other way round, again and again."""
    if names := [*play.names(final=False), *play.names(final=True)]:
        name = play.rng.choice(names)
        for verb in play.rng.choices(("cancel", "retry", "pause", "unpause"), k=play.rng.randint(2, 4)):
            play.world.at(play.rng.choice((0.0, 0.01, 0.5)), partial(play.ask, {"do": verb, "jobs": [name]}))


def add_host(play: Play) -> None:
    """A person brings one more host."""
    if len(play.hosts) < 6:
        play.ask({"do": "hosts-add", "hosts": [host_data(play.new_host(play.rng.randint(1, 3)))]})


def remove_host(play: Play) -> None:
    """A person takes a host out of the run."""
    play.ask({"do": "hosts-remove", "hosts": [play.rng.choice(play.hosts).name]})


def lose_host(play: Play) -> None:
    """A person says that a host that is away will not come back."""
    manager = play.manager
    away = [host.name for host in play.hosts if manager is None or not manager.schedule.is_up(host.name)]
    if away:
        play.ask({"do": "hosts-lost", "hosts": [play.rng.choice(away)]})


def change_slots(play: Play) -> None:
    """A person has a host take more jobs at a time, or fewer."""
    play.ask({"do": "hosts-slots", "hosts": [play.rng.choice(play.hosts).name], "slots": play.rng.randint(1, 4)})


def break_host(play: Play) -> None:
    """Every job fails at once on a host, for a while."""
    machine = _machine(play)
    play.world.say(f"{machine.name}: fails every job")
    machine.spoils = Program(0.003, 127)
    play.world.at(play.rng.uniform(1.0, 60.0), lambda: setattr(machine, "spoils", None))


def sleep(play: Play) -> None:
    """Nothing befalls anybody for more than a minute."""
    play.advance(play.rng.uniform(30.0, 130.0))


def forsake(play: Play) -> None:
    """A host is out of reach for longer than its agent waits, is back for a moment, and is out of reach again."""
    machine = _machine(play)
    if play.rng.random() < 0.7:
        kill_agent(play, machine)
    for _ in range(2):
        machine.cut(0, 0, heard=True)
        _part(play, machine, 70.0)
        play.advance(70.0)
        while machine.agent is None and play.rng.random() < 0.98:
            play.advance(0.05)


#: Every disaster, with how often it comes relative to the others.
ALL: dict[Disaster, int] = {
    kill_manager: 3, trap_manager: 4, kill_agent: 3, kill_runner: 3, kill_both: 1, reboot: 3, trap_runner: 6,
    trap_agent: 2, cut: 6, lose_ack: 2, fill_host: 2, fill_manager: 2, jump_clock: 1, submit: 6, cancel: 3, retry: 2,
    drain: 2, hold: 2, have_second_thoughts: 2, add_host: 1, remove_host: 1, lose_host: 2, change_slots: 1,
    break_host: 3, sleep: 1, forsake: 1,
}
