"""What can go wrong, one function each: it befalls a play at its moment."""

from __future__ import annotations

import errno
from collections.abc import Callable
from functools import partial

from sshjobs.running.requests import host_data
from sshjobs.simulation import Program
from tests.sim.host.machine import KILL, Machine, Trap
from tests.sim.host.process import Process
from tests.sim.play import Play

Disaster = Callable[[Play], None]

_MANY = 1 << 40
#: Points of the manager and of the far side that a trap can wait at.
MANAGER_POINTS = ("manager.launch", "manager.commit", "manager.committed", "manager.flush", "manager.aside",
                  "manager.flushed", "manager.release", "manager.open", "manager.change", "manager.changed")
#: Calls of the far side that it is likely to be between of when it matters.
CALLS = ("mkdir", "open", "write", "spawn", "waitid", "wait4", "fork", "send", "recv", "unlink", "rmdir", "listdir", "wait",
         "close", "listen", "connect", "stat", "pwrite", "kill_exactly")


#: Errors of this machine's disk, and of calls on hosts.
HERE = (errno.ENOSPC, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ESTALE)
THERE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EIO, errno.ENOSPC, errno.EDQUOT)
#: What is said of attempts that there are not, or is no frame at all; and how often in one play.
LIES = (b"no frame\n", b"{}\n", b'{"t":"state","id":"99999.1","s":"running"}\n', b'{"t":"pong","seq":9e99}\n',
        b'{"t":"started","id":"99999.1","pid":-1,"at":1e400}\n', b'{"t":"warn","msg":"\\u001b[2J"}\n',
        b'{"t":"out","id":"99999.1","s":1,"off":0,"n":3,"crc":7}\nabc', b'{"t":"welcome","v":1}\n', b"\x00" * 5000,
        b'{"t":"stuck","id":"99999.1","pids":[1,2]}\n', b'{"t":"lack","shas":["x"]}\n')
MOST_LIES = 3
#: What a host says of an attempt that is another's.
OF_OTHERS = (b'{"t":"state","id":"UID","s":"absent"}\n', b'{"t":"started","id":"UID","pid":7,"at":1.0}\n',
             b'{"t":"ended","id":"UID","why":"exited","status":0,"signal":null,"started":1.0,"ended":2.0,"out":0,"err":0,'
             b'"msg":null,"cpu":0.0,"rss":0}\n',
             b'{"t":"ended","id":"UID","why":"fenced","status":null,"signal":null,"started":null,"ended":null,"out":0,'
             b'"err":0,"msg":null,"cpu":0.0,"rss":0}\n',
             b'{"t":"out","id":"UID","s":1,"off":0,"n":3,"crc":891568578}\nabc')


def _machine(play: Play) -> Machine:
    machine = play.world.machines[play.rng.choice(play.hosts).name]
    assert isinstance(machine, Machine)
    return machine


def kill_manager(play: Play) -> None:
    """kill -9 of the manager; a new one comes a while later."""
    _let_manager_come_back(play)
    play.kill_manager(power=play.rng.random() < 0.25)


def _let_manager_come_back(play: Play) -> None:
    play.later(play.rng.choice((0.0, 0.1, 1.0, 5.0, 90.0)), lambda: setattr(play, "wants_manager", True))


def trap_manager(play: Play) -> None:
    """The same at a certain point of its work."""
    play.traps[play.rng.choice(MANAGER_POINTS)] = play.rng.choice((1, 1, 2, 3)), lambda machine: kill_manager(play)


def ask_at_a_point(play: Play) -> None:
    """A person asks for something at a certain point of the manager's work."""
    ask = play.rng.choice(REQUESTS)
    play.traps[play.rng.choice(MANAGER_POINTS)] = play.rng.choice((1, 1, 2, 3)), lambda machine: ask(play)


def kill_agent(play: Play, machine: Machine | None = None) -> None:
    """kill -9 of the agent of a host."""
    machine = machine or _machine(play)
    for agent in machine.of_kind("agent"):
        machine.kill(agent, KILL, None)


def kill_runner(play: Play, machine: Machine | None = None) -> None:
    """kill -9 of one of the runners of a host."""
    machine = machine or _machine(play)
    runners = machine.of_kind("runner")
    if runners:
        machine.kill(play.rng.choice(runners), KILL, None)
        _others_come(play, machine)


def _others_come(play: Play, machine: Machine) -> None:
    """Programs that are none of ours begin, and take the pids that are free."""
    others = [machine.spawn("bystander") for _ in range(play.rng.choice((0, 6, 12)))]

    def leave() -> None:
        for one in others:
            machine.end(one, 0)
    play.world.at(play.rng.choice((5.0, 5000.0)), leave)


def kill_both(play: Play, machine: Machine | None = None) -> None:
    """kill -9 of agent and runners at once."""
    machine = machine or _machine(play)
    # The first to die is seen by the other, or it is not.
    kinds = play.rng.sample(("agent", "runner"), 2)
    for kind in kinds:
        for process in machine.of_kind(kind):
            machine.kill(process, KILL, None)


def reboot(play: Play, machine: Machine | None = None) -> None:
    """A host goes down and comes up again, perhaps without what was written lately."""
    machine = machine or _machine(play)
    power = play.rng.random() < 0.6
    play.world.say(f"{machine.name}: goes down{' without power' if power else ''}")
    machine.reboot(power=power)
    _part(play, machine, play.rng.choice((0.0, 0.5, 20.0)))


def trap_host(play: Play) -> None:
    """A process of ours on a host, or several, or the host, dies at some call of it."""
    machine, rng = _machine(play), play.rng
    act = rng.choice((_kill_it, _kill_it, _kill_it, kill_agent, kill_both, reboot))

    def spring(process: Process) -> None:
        play.world.say(f"{machine.name}: trap: {act.__name__} at {process.kind} {process.pid}")
        play.judge.disturb()
        if act is _kill_it:
            machine.kill(process, KILL, None)
        else:
            act(play, machine)
    kind, name = rng.choice(("runner", "runner", "agent", "front")), rng.choice((None, *CALLS))
    machine.traps.append(Trap(kind, name, rng.choice((1, 1, 2, 3, 10, 50)), spring, after=rng.random() < 0.5))


def _kill_it(play: Play, machine: Machine) -> None:
    """The process itself dies."""


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
        play.later(seconds, lambda: setattr(machine, "reachable", True))


def fill_host(play: Play) -> None:
    """The disk of a host is full for a while."""
    machine = _machine(play)
    play.world.say(f"{machine.name}: its disk is full")
    machine.disk.trouble = errno.ENOSPC
    play.later(play.rng.uniform(0.1, 10.0), lambda: setattr(machine.disk, "trouble", None))


def fill_manager(play: Play) -> None:
    """The disk of the manager takes nothing for a while, mostly because it is full: outputs, store or both."""
    what, number = play.rng.choice(("store", "files", "both")), play.rng.choice(HERE)
    play.world.say(f"the manager's disk fails: {errno.errorcode[number]} of {what}")
    if what != "store":
        play.files.trouble = number
    play.store_full = what != "files"
    play.world.at(play.rng.uniform(0.1, 10.0), play.end_trouble)


def lose_results(play: Play) -> None:
    """The disk with the results is away for a while."""
    if not play.away:
        play.lose_results()
        play.world.at(play.rng.uniform(0.1, 20.0), play.end_trouble)


def fail_call(play: Play) -> None:
    """Some call of a process of ours on a host fails, once."""
    machine, rng = _machine(play), play.rng
    number, name = rng.choice(THERE), rng.choice((None, *CALLS))

    def spring(process: Process) -> int:
        play.world.say(f"{machine.name}: {errno.errorcode[number]} for {process.kind} {process.pid}")
        play.judge.disturb()
        return number
    machine.traps.append(Trap(rng.choice(("runner", "runner", "agent", "front")), name,
                              rng.choice((1, 1, 2, 3, 10, 50)), spring))


def lie(play: Play) -> None:
    """A host says what no agent of ours says, or speaks of what runs elsewhere."""
    machine, rng = _machine(play), play.rng
    elsewhere = [uid for uid, process in play.judge.running.items() if process.machine is not machine]
    if machine.connection is not None and play.lies < MOST_LIES:
        play.lies += 1
        play.world.say(f"{machine.name}: lies")
        lie = rng.choice(LIES)
        if elsewhere and rng.random() < 0.5:
            lie = rng.choice(OF_OTHERS).replace(b"UID", rng.choice(elsewhere).encode())
        machine.connection.down.write(lie * rng.choice((1, 1, 300)))


def jump_clock(play: Play) -> None:
    """A wall clock jumps, back to 1970 even."""
    by = play.rng.choice((-1.7e9, -3600.0, 3600.0, 1e6))
    if play.rng.random() < 0.5:
        play.world.wall = max(0.0, play.world.wall + by)
    else:
        _machine(play).clock_error += by


def submit(play: Play) -> None:
    """A person adds jobs."""
    specs = [play.spec().as_dict() for _ in range(play.rng.randint(1, 16 if play.work.healthy else 4))]
    play.ask({"do": "add", "specs": specs})


def cancel(play: Play) -> None:
    """A person cancels a job."""
    if names := play.names(final=False):
        play.ask({"do": "cancel", "jobs": [play.rng.choice(names)]})


def cancel_unheard(play: Play) -> None:
    """A person cancels the job that would run longest, while its host is out of reach, and the manager goes before that is back."""
    if play.manager is None or not play.judge.running:
        return
    job = max(play.judge.running.values(), key=lambda process: process.ends_at)
    play.world.say(f"{job.machine.name}: out of reach while a person cancels {job.uid}")
    job.machine.cut(0, 0, heard=play.rng.random() < 0.7)
    _part(play, job.machine, play.rng.choice((2.0, 10.0)))
    play.ask({"do": "cancel", "jobs": [job.environ[b"SSHJOBS_JOB"].decode()]})
    play.advance(play.rng.choice((0.1, 0.5)))
    kill_manager(play)


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


def withdraw(play: Play) -> None:
    """A person takes jobs back that have not started."""
    if names := [*play.names(final=False), *play.names(final=True)]:
        play.ask({"do": "withdraw", "jobs": play.rng.sample(names, min(len(names), play.rng.choice((1, 1, 2))))})


def finish(play: Play) -> None:
    """A person says that no more jobs will come, and perhaps adds some all the same."""
    play.ask({"do": "finish"})


def leave(play: Play) -> None:
    """A person has the manager leave; another comes a while later."""
    if play.manager is not None:
        play.ask({"do": "leave"})


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
    away = [host.name for host in play.hosts if manager is None or not manager.schedule.hosts.is_up(host.name)]
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
        while not machine.of_kind("agent") and play.rng.random() < 0.98:
            play.advance(0.05)


#: What people ask for.
REQUESTS: tuple[Disaster, ...] = (cancel, retry, drain, hold, have_second_thoughts, remove_host, change_slots, submit, withdraw,
                                  finish, leave, add_host, lose_host)
#: Every disaster, with how often it comes relative to the others.
ALL: dict[Disaster, int] = {
    kill_manager: 3, trap_manager: 4, kill_agent: 3, kill_runner: 3, kill_both: 1, reboot: 3, trap_host: 8,
    cut: 6, lose_ack: 2, fill_host: 2, fill_manager: 2, jump_clock: 1, submit: 6, cancel: 3, retry: 2,
    drain: 2, hold: 2, have_second_thoughts: 2, add_host: 1, remove_host: 1, lose_host: 2, change_slots: 1,
    break_host: 3, sleep: 1, forsake: 1, lose_results: 1, fail_call: 4, lie: 2, ask_at_a_point: 3,
    withdraw: 2, finish: 1, leave: 1, cancel_unheard: 1,
}
